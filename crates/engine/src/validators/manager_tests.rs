use parking_lot::Mutex;
use sastrugi_types::sampler::Mt19937_64;

use super::*;

const SUBNET: Id = Id([5; 32]);

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

fn validator(number: u8, weight: u64) -> Validator {
    Validator { node: node(number), public_key: None, tx: Id([number; 32]), weight }
}

fn manager(weights: &[u64]) -> Validators {
    let manager = Validators::new(3);
    for (number, weight) in (1..).zip(weights) {
        manager.add_staker(SUBNET, validator(number, *weight)).unwrap();
    }
    manager
}

fn sample(manager: &Validators, size: usize) -> Result<Vec<u8>, SampleError> {
    let mut out = vec![node(77)];
    let mut source = Mt19937_64::new(11);
    manager.sample(SUBNET, size, &mut Uniform::new(0), &mut source, &mut out)?;
    let mut numbers: Vec<_> = out.iter().map(|node| node.0[0]).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[test]
fn errors_change_nothing() {
    let manager = manager(&[]);
    assert_eq!(manager.add_staker(SUBNET, validator(1, 0)), Err(ValidatorsError::ZeroWeight));
    assert_eq!(manager.add_weight(SUBNET, node(1), 0), Err(ValidatorsError::ZeroWeight));
    assert_eq!(manager.remove_weight(SUBNET, node(1), 0), Err(ValidatorsError::ZeroWeight));
    assert_eq!(manager.add_weight(SUBNET, node(1), 1), Err(ValidatorsError::Missing));
    assert_eq!(manager.remove_weight(SUBNET, node(1), 1), Err(ValidatorsError::Missing));
    assert_eq!(manager.subnets(), 0);
    manager.add_staker(SUBNET, validator(1, 5)).unwrap();
    assert_eq!(manager.add_staker(SUBNET, validator(1, 6)), Err(ValidatorsError::Duplicate));
    assert_eq!(manager.add_weight(SUBNET, node(1), u64::MAX), Err(ValidatorsError::Overflow));
    assert_eq!(manager.remove_weight(SUBNET, node(1), 6), Err(ValidatorsError::Underflow));
    assert_eq!(manager.add_weight(SUBNET, node(2), 1), Err(ValidatorsError::Missing));
    assert_eq!(manager.validator(SUBNET, &node(1)), Some(validator(1, 5)));
    assert_eq!(manager.total_weight(SUBNET), Ok(5));
}

#[test]
fn one_that_leaves_gives_its_place_to_the_last_one() {
    let manager = manager(&[1, 2, 3, 4]);
    manager.remove_weight(SUBNET, node(2), 1).unwrap();
    assert_eq!(manager.weight(SUBNET, &node(2)), 1);
    manager.remove_weight(SUBNET, node(2), 1).unwrap();
    assert_eq!(manager.validator_ids(SUBNET), [1, 4, 3].map(node));
    assert_eq!(sample(&manager, 8), Ok(vec![1, 3, 3, 3, 4, 4, 4, 4]));
    manager.remove_weight(SUBNET, node(3), 3).unwrap();
    assert_eq!(sample(&manager, 5), Ok(vec![1, 4, 4, 4, 4]));
    assert_eq!((manager.weight(SUBNET, &node(3)), manager.len(SUBNET)), (0, 2));
    manager.remove_weight(SUBNET, node(1), 1).unwrap();
    manager.remove_weight(SUBNET, node(4), 4).unwrap();
    assert_eq!((manager.subnets(), manager.is_empty(SUBNET)), (0, true));
}

#[test]
fn the_total_may_exceed_64_bits() {
    let manager = manager(&[u64::MAX, 2]);
    let total = u128::from(u64::MAX) + 2;
    assert_eq!(manager.total_weight(SUBNET), Err(ValidatorsError::TotalTooLarge(total)));
    let both = BTreeSet::from([node(1), node(2)]);
    assert_eq!(manager.subset_weight(SUBNET, &both), Err(ValidatorsError::TotalTooLarge(total)));
    assert_eq!(manager.subset_weight(SUBNET, &BTreeSet::from([node(2), node(9)])), Ok(2));
    assert_eq!(sample(&manager, 1), Err(SampleError::Overflow));
    manager.remove_weight(SUBNET, node(1), u64::MAX).unwrap();
    assert_eq!(sample(&manager, 2), Ok(vec![2, 2]));
}

#[test]
fn samples_need_as_many_units_as_are_drawn() {
    let nobody = manager(&[]);
    assert_eq!(sample(&nobody, 0), Ok(vec![]));
    assert_eq!(sample(&nobody, 1), Err(SampleError::MissingValidators));
    assert_eq!(sample(&manager(&[2, 1]), 4), Err(SampleError::InsufficientWeight));
    assert_eq!(sample(&manager(&[2, 1]), 3), Ok(vec![1, 1, 2]));
}

#[test]
fn units_are_drawn_in_proportion_to_weight() {
    let manager = manager(&[100, 300, 600]);
    let mut source = Mt19937_64::new(4);
    let (mut units, mut out) = (Uniform::new(0), Vec::new());
    let mut drawn = [0; 4];
    for _ in 0..1000 {
        manager.sample(SUBNET, 10, &mut units, &mut source, &mut out).unwrap();
        for node in &out {
            drawn[usize::from(node.0[0])] += 1;
        }
    }
    for (drawn, expected) in drawn[1..].iter().zip([1000, 3000, 6000]) {
        assert!((expected - 250..expected + 250).contains(drawn), "{drawn} for {expected}");
    }
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl SetListener for Recorder {
    fn added(&self, node: NodeId, _: Option<&bytes::Bytes>, tx: Id, weight: u64) {
        self.0.lock().push(format!("added {} {} {weight}", node.0[0], tx.0[0]));
    }
    fn removed(&self, node: NodeId, weight: u64) {
        self.0.lock().push(format!("removed {} {weight}", node.0[0]));
    }
    fn weight_changed(&self, node: NodeId, old: u64, new: u64) {
        self.0.lock().push(format!("changed {} {old} {new}", node.0[0]));
    }
}

impl ManagerListener for Recorder {
    fn added(&self, subnet: Id, node: NodeId, _: Option<&bytes::Bytes>, tx: Id, weight: u64) {
        let text = format!("{}: added {} {} {weight}", subnet.0[0], node.0[0], tx.0[0]);
        self.0.lock().push(text);
    }
    fn removed(&self, subnet: Id, node: NodeId, weight: u64) {
        self.0.lock().push(format!("{}: removed {} {weight}", subnet.0[0], node.0[0]));
    }
    fn weight_changed(&self, subnet: Id, node: NodeId, old: u64, new: u64) {
        self.0.lock().push(format!("{}: changed {} {old} {new}", subnet.0[0], node.0[0]));
    }
}

#[test]
fn listeners_hear_of_what_is_there_and_of_every_change() {
    let manager = manager(&[7]);
    let recorder = Arc::new(Recorder::default());
    let all: Arc<dyn ManagerListener> = recorder.clone();
    manager.register_set_listener(SUBNET, recorder.clone());
    assert_eq!(recorder.take(), ["added 1 1 7"]);
    manager.register_listener(&all);
    assert_eq!(recorder.take(), ["5: added 1 1 7"]);
    manager.add_weight(SUBNET, node(1), 2).unwrap();
    assert_eq!(recorder.take(), ["5: changed 1 7 9", "changed 1 7 9"]);
    manager.remove_weight(SUBNET, node(1), 9).unwrap();
    assert_eq!(recorder.take(), ["5: removed 1 9", "removed 1 9"]);
    assert_eq!(manager.subnets(), 1, "its listener keeps the set");
    manager.add_staker(Id([6; 32]), validator(3, 1)).unwrap();
    assert_eq!(recorder.take(), ["6: added 3 3 1"]);
    manager.remove_weight(Id([6; 32]), node(3), 1).unwrap();
    assert_eq!(manager.subnets(), 1, "a manager's listener keeps no set");
}

#[test]
fn the_text_form_is_upstreams() {
    let manager = Validators::new(3);
    assert_eq!(manager.to_string(), "Validator Manager: (Size = 0)");
    let staker = |node, weight| Validator { node, public_key: None, tx: Id::EMPTY, weight };
    manager.add_staker(Id::EMPTY, staker(NodeId::EMPTY, 1)).unwrap();
    manager.add_staker(Id::EMPTY, staker(NodeId([255; 20]), u64::MAX - 1)).unwrap();
    let expected = "Validator Manager: (Size = 1)\n    \
        Subnet[11111111111111111111111111111111LpoYY]: Validator Set: (Size = 2, Weight = 18446744073709551615)\n        \
        Validator[0]: NodeID-111111111111111111116DBWJs, 1\n        \
        Validator[1]: NodeID-QLbz7JHiBTspS962RLKV8GndWFwdYhk6V, 18446744073709551614";
    assert_eq!(manager.to_string(), expected);
}
