use std::sync::atomic::{AtomicUsize, Ordering};

use sastrugi_vm::validators::{ValidatorOutput, ValidatorSet};

use super::*;

/// The same sets at each height up to 1000, and a count of the questions.
struct Sets {
    weights: Vec<u64>,
    asked: AtomicUsize,
}

fn node(number: u8) -> NodeId {
    let mut node = NodeId::default();
    node.0[0] = number;
    node
}

impl ValidatorState for Sets {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(0)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(1000)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Ok(Id::EMPTY)
    }

    fn validator_set(&self, height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if height > 1000 {
            return Err(VmError::NotFound);
        }
        let output = |(number, weight): (u8, &u64)| {
            let node = node(number);
            (node, ValidatorOutput { node, public_key: None, weight: *weight })
        };
        Ok(Arc::new((1..).zip(&self.weights).map(output).collect()))
    }
}

fn windower(weights: &[u64]) -> (Arc<Sets>, Windower) {
    let sets = Arc::new(Sets { weights: weights.to_vec(), asked: AtomicUsize::new(0) });
    let mut chain = Id::EMPTY;
    chain.0[1] = 2;
    (sets.clone(), Windower::new(sets, Id::EMPTY, chain))
}

fn numbers(nodes: impl IntoIterator<Item = NodeId>) -> Vec<u8> {
    nodes.into_iter().map(|node| node.0[0]).collect()
}

fn slots(windower: &Windower, height: u64, slots: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let expected = |slot| windower.expected_proposer(height, 0, slot).unwrap().unwrap();
    numbers(slots.into_iter().map(expected))
}

#[test]
fn slots_of_equal_validators() {
    let (_, windower) = windower(&[1; 10]);
    let expected = [3, 1, 10, 8, 1, 4, 4, 4, 4, 4, 5, 1, 7, 4, 3, 2, 7, 1, 6, 2, 10, 7, 1, 9];
    assert_eq!(slots(&windower, 1, 0..24), expected);
    assert_eq!(slots(&windower, 1, [720, 721]), [5, 7]);
    assert_eq!(slots(&windower, 2, [0]), [2]);
    let delay = |node| windower.min_delay(1, 0, node, 0).unwrap().unwrap().as_secs() / 5;
    let delays: Vec<_> = (1..=11).map(|number| delay(node(number))).collect();
    assert_eq!(delays, [1, 15, 0, 5, 10, 18, 12, 3, 23, 2, 720]);
}

#[test]
fn slots_of_unequal_validators() {
    let (_, windower) = windower(&[100, 2000, 300, 50, 700]);
    assert_eq!(slots(&windower, 1, 0..12), [2, 2, 2, 2, 2, 2, 2, 2, 5, 2, 2, 2]);
    assert_eq!(slots(&windower, 2, 0..12), [3, 2, 2, 3, 2, 5, 2, 3, 5, 3, 5, 2]);
    let proposers = |height| numbers(windower.proposers(height, 0, 6).unwrap());
    assert_eq!(proposers(1), [2, 2, 5, 2, 3, 5]);
    assert_eq!(proposers(2), [3, 2, 5, 4, 1, 2]);
    assert_eq!(proposers(3), [3, 5, 3, 3, 2, 4]);
}

#[test]
fn huge_weights() {
    let (_, windower) = windower(&[1 << 63, 1 << 62]);
    assert_eq!(slots(&windower, 1, 0..12), [1, 1, 1, 1, 2, 1, 1, 1, 2, 2, 1, 1]);
    assert_eq!(numbers(windower.proposers(3, 0, 6).unwrap()), [2, 2, 1, 2, 1, 1]);
}

#[test]
fn the_order_before_durango() {
    let (_, windower) = windower(&[1; 6]);
    for (height, expected) in [(1, [2, 5, 3, 4, 0, 1]), (2, [5, 1, 3, 4, 0, 2])] {
        let delay = |number| windower.delay(height, 0, Some(node(number)), 6).unwrap();
        let delays: Vec<_> = (1..=6).map(|number| delay(number).as_secs() / 5).collect();
        assert_eq!(delays, expected);
    }
    // Fewer units of weight than windows.
    assert_eq!(windower.proposers(1, 0, 60).unwrap().len(), 6);
    assert_eq!(windower.delay(1, 0, Some(node(9)), 60).unwrap(), Duration::from_secs(30));
    assert_eq!(windower.delay(1, 0, None, 60).unwrap(), BUILD_DELAY_MAX);
}

#[test]
fn without_validators_anyone_may_propose() {
    let (_, windower) = windower(&[]);
    assert_eq!(windower.expected_proposer(1, 0, 0).unwrap(), None);
    assert_eq!(windower.min_delay(1, 0, node(1), 0).unwrap(), None);
    assert_eq!(windower.proposers(1, 0, 6).unwrap(), []);
    assert_eq!(windower.delay(1, 0, Some(node(1)), 6).unwrap(), Duration::ZERO);
}

#[test]
fn without_weight_nobody_may() {
    let (_, windower) = windower(&[0, 0]);
    assert!(matches!(windower.expected_proposer(1, 0, 0), Err(WindowError::NoWeight)));
    assert!(matches!(windower.min_delay(1, 0, node(1), 0), Err(WindowError::NoWeight)));
    assert_eq!(windower.proposers(1, 0, 6).unwrap(), []);
    assert_eq!(windower.delay(1, 0, Some(node(1)), 6).unwrap(), Duration::ZERO);
}

#[test]
fn overflow_and_unknown_heights_are_errors() {
    let (_, windower) = windower(&[u64::MAX, 1]);
    assert!(matches!(windower.expected_proposer(1, 0, 0), Err(WindowError::WeightOverflow)));
    assert!(matches!(windower.min_delay(1, 0, node(1), 0), Err(WindowError::WeightOverflow)));
    assert!(matches!(windower.proposers(1, 0, 6), Err(WindowError::WeightOverflow)));
    let unknown = windower.delay(1, 1001, Some(node(1)), 6);
    assert!(matches!(unknown, Err(WindowError::State(VmError::NotFound))));
    assert_eq!(windower.delay(1, 1001, None, 6).unwrap(), VERIFY_DELAY_MAX);
}

#[test]
fn the_last_slots_there_are() {
    let (_, windower) = windower(&[1]);
    let last = windower.min_delay(1, 0, node(2), u64::MAX - 5).unwrap();
    assert_eq!(last, Some(Duration::from_secs(u64::MAX)));
    assert_eq!(windower.expected_proposer(1, 0, u64::MAX).unwrap(), Some(node(1)));
}

#[test]
fn each_height_is_asked_for_once_while_it_is_kept() {
    let (sets, windower) = windower(&[1; 3]);
    let asked = || sets.asked.load(Ordering::Relaxed);
    for _ in 0..3 {
        for height in 0..HEIGHTS_MAX as u64 {
            windower.expected_proposer(1, height, 0).unwrap();
        }
    }
    assert_eq!(asked(), HEIGHTS_MAX);
    // One more takes the place of the one that was not used for the longest time, which is 1.
    windower.expected_proposer(1, 0, 0).unwrap();
    windower.expected_proposer(1, 999, 0).unwrap();
    windower.expected_proposer(1, 0, 0).unwrap();
    assert_eq!(asked(), HEIGHTS_MAX + 1);
    windower.expected_proposer(1, 1, 0).unwrap();
    assert_eq!(asked(), HEIGHTS_MAX + 2);
    // What failed is asked for again.
    windower.expected_proposer(1, 1001, 0).unwrap_err();
    windower.expected_proposer(1, 1001, 0).unwrap_err();
    assert_eq!(asked(), HEIGHTS_MAX + 4);
    let stats = windower.stats();
    assert_eq!((stats.hits, stats.misses), (2 * 32 + 2, 32 + 4));
}

#[test]
fn times_to_slots() {
    let parent = WallTime::from_unix_secs(100);
    for (seconds, slot) in [(0, 0), (99, 0), (100, 0), (104, 0), (105, 1), (3700, 720)] {
        assert_eq!(slot_at(parent, WallTime::from_unix_secs(seconds)), slot);
    }
}

proptest::proptest! {
    /// The next own slot by asking for each slot.
    #[test]
    fn the_minimum_delay_is_that_of_the_next_own_slot(
        weights in proptest::collection::vec(0u64..20, 1..8),
        height: u64,
        start in 0u64..10_000,
        number in 1u8..9,
    ) {
        let (_, windower) = windower(&weights);
        if weights.iter().sum::<u64>() > 0 {
            let is_own = |slot: &u64| {
                windower.expected_proposer(height, 7, *slot).unwrap() == Some(node(number))
            };
            let own = (start..start + LOOK_AHEAD_SLOTS_MAX).find(is_own);
            let expected = own.unwrap_or(start + LOOK_AHEAD_SLOTS_MAX) * 5;
            let delay = windower.min_delay(height, 7, node(number), start).unwrap();
            proptest::prop_assert_eq!(delay, Some(Duration::from_secs(expected)));
        }
    }
}
