use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use sastrugi_crypto::Identity;
use sastrugi_vm::validators::{ValidatorOutput, ValidatorSet};

use super::*;
use crate::{
    block::BlockTemplate,
    model::{self, Broken, Facts, Form, Set, Times, first_broken},
};

/// A P-Chain that stands still, and may be silent.
struct Standing {
    current: Option<u64>,
    set: Option<Set>,
}

impl ValidatorState for Standing {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(0)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        self.current.ok_or(VmError::Closed)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Err(VmError::NotFound)
    }

    fn validator_set(&self, _height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        let set = self.set.as_ref().ok_or(VmError::Closed)?;
        let output = |(node, weight): &(NodeId, u64)| {
            (*node, ValidatorOutput { node: *node, public_key: None, weight: *weight })
        };
        Ok(Arc::new(set.iter().map(output).collect()))
    }
}

fn identities() -> &'static [Identity] {
    static IDENTITIES: OnceLock<Vec<Identity>> = OnceLock::new();
    IDENTITIES.get_or_init(|| model::identities(4))
}

fn upgrades(facts: &Facts) -> UpgradeSchedule {
    let time = |nanos: i128| WallTime(i64::try_from(nanos).unwrap()).into();
    UpgradeSchedule {
        apricot_phase4_time: time(facts.times.apricot_phase4),
        apricot_phase4_min_p_chain_height: facts.min_p,
        durango_time: time(facts.times.durango),
        etna_time: time(facts.times.etna),
        granite_time: time(facts.times.granite),
        granite_epoch_duration: Duration::from_secs(facts.epoch_secs as u64),
        ..UpgradeSchedule::always()
    }
}

const fn epoch((p_chain_height, number, start_secs): (u64, u64, i64)) -> Epoch {
    Epoch { p_chain_height, number, start_secs }
}

/// What the rules under test say.
fn verdict(facts: &Facts) -> Result<Verdict, VerifyError> {
    let upgrades = upgrades(facts);
    let validators = Arc::new(Standing { current: facts.current_p, set: facts.validators.clone() });
    let rules = Rules {
        upgrades: &upgrades,
        validators: &*validators,
        windower: &Windower::new(validators.clone(), Id::EMPTY, facts.chain),
        now: WallTime(i64::try_from(facts.now_nanos).unwrap()),
        is_normal_op: facts.is_normal_op,
    };
    let parent = Parent {
        kind: match facts.parent {
            Form::Pre => Kind::PreFork,
            Form::Block => Kind::Block,
            Form::Option => Kind::Option,
        },
        inner: Id([7; 32]),
        height: facts.height - 1,
        time: WallTime::from_unix_secs(facts.parent_secs),
        p_chain_height: facts.parent_p,
        epoch: epoch(facts.parent_epoch),
    };
    let template = BlockTemplate {
        parent: Id([1; 32]),
        timestamp_secs: facts.child_secs,
        p_chain_height: facts.child_p,
        epoch: epoch(facts.child_epoch),
        inner: b"inner",
    };
    let signer = identities().iter().find(|own| Some(own.node_id()) == facts.proposer);
    let block = match signer {
        Some(signer) => template.signed(facts.chain, signer).unwrap(),
        None => template.unsigned().unwrap(),
    };
    assert_eq!(block.proposer(), facts.proposer);
    let inner_parent = if facts.is_inner_child { parent.inner } else { Id([8; 32]) };
    let child = match facts.child {
        Form::Pre => Child::PreFork,
        Form::Block => Child::Block { block: &block, inner_parent, height: facts.height },
        Form::Option => Child::Option { inner_parent },
    };
    rules.verify(&parent, facts.is_oracle, &child)
}

/// When the parent was made.
const PARENT_SECS: i64 = 1_700_000_000;
const SECOND: i128 = 1_000_000_000;

/// Spans around which something changes, in seconds.
const SPANS_SECS: [i64; 24] =
    [-1, 0, 1, 4, 5, 6, 9, 10, 11, 14, 15, 19, 20, 24, 25, 29, 30, 31, 59, 60, 299, 300, 301, 3600];

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![1 => Just(Form::Pre), 4 => Just(Form::Block), 2 => Just(Form::Option)]
}

/// Mostly true.
fn mostly() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.95)
}

/// A time at which an upgrade matters: long ago, around parent and child, or never.
fn upgrade_time() -> impl Strategy<Value = i128> {
    let around = |span| {
        (span, -1_i128..=1)
            .prop_map(|(secs, nanos): (i64, i128)| i128::from(PARENT_SECS + secs) * SECOND + nanos)
    };
    prop_oneof![
        4 => Just(0),
        2 => around(Just(0).boxed()),
        2 => around(prop::sample::select(&SPANS_SECS[..]).boxed()),
        1 => Just(i128::from(i64::MAX)),
    ]
}

fn validators() -> impl Strategy<Value = Option<Set>> {
    let weight = prop_oneof![4 => 1_u64..20, 1 => Just(0), 1 => Just(u64::MAX / 2)];
    let weights = prop_oneof![
        6 => prop::collection::vec(weight, 1..=4),
        1 => Just(vec![]),
        1 => Just(vec![0, 0]),
        1 => Just(vec![u64::MAX, 1]),
    ];
    let set = weights.prop_map(|weights| model::set(identities(), &weights));
    prop::option::weighted(0.97, set)
}

/// A height of the P-Chain near those of the others.
fn p_height() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 9_u64..12, 1 => Just(0), 1 => Just(u64::MAX)]
}

prop_compose! {
    fn kinds()(parent in form(), child in form(), is_oracle in mostly(), is_inner_child in mostly())
        -> (Form, Form, bool, bool) {
        // Mostly as it should be.
        let should_be_oracle = parent == Form::Pre && child == Form::Pre
            || parent == Form::Block && child == Form::Option;
        (parent, child, is_oracle == should_be_oracle, is_inner_child)
    }
}

prop_compose! {
    fn clocks()(
        span in prop::sample::select(&SPANS_SECS[..]),
        skew in prop_oneof![
            3 => Just(0),
            1 => prop::sample::select(
                &[-10 * SECOND - 1, -10 * SECOND, -10 * SECOND + 1, SECOND / 2, 1][..]
            ),
        ],
        extreme in prop::option::weighted(
            0.02, prop::sample::select(&[i64::MIN, i64::MAX, 0, -1, 9_223_372_037][..])
        ),
    ) -> (i64, i128) {
        let child = PARENT_SECS + span;
        (extreme.unwrap_or(child), i128::from(child) * SECOND + skew)
    }
}

prop_compose! {
    fn times()(
        (a, b, c, d) in (upgrade_time(), upgrade_time(), upgrade_time(), upgrade_time()),
        in_order in mostly(),
    ) -> Times {
        let mut times = [a, b, c, d];
        if in_order {
            times.sort_unstable();
        }
        let [apricot_phase4, durango, etna, granite] = times;
        Times { apricot_phase4, durango, etna, granite }
    }
}

prop_compose! {
    fn facts()(
        (parent, child, is_oracle, is_inner_child) in kinds(),
        (child_secs, now_nanos) in clocks(),
        times in times(),
        (parent_p, child_p, current_p, min_p) in (p_height(), p_height(), p_height(), p_height()),
        (knows_current, is_right_epoch, is_right_proposer) in (mostly(), mostly(), mostly()),
        start in prop::sample::select(&SPANS_SECS[..]),
        has_epoch in any::<bool>(),
        number in 1..4_u64,
        height in 1..200_u64,
        (signs, who) in (prop::bool::weighted(0.7), 0..4_usize),
        validators in validators(),
        is_normal_op in prop::bool::weighted(0.8),
    ) -> Facts {
        let parent_epoch = if parent != Form::Pre && has_epoch {
            (parent_p.saturating_sub(1), number, PARENT_SECS - start)
        } else {
            (0, 0, 0)
        };
        let mut facts = Facts {
            parent, child, is_oracle, is_inner_child, height, child_secs, now_nanos, parent_p,
            child_p, min_p, parent_epoch, validators, is_normal_op, times,
            chain: Id([0xab; 32]),
            parent_secs: PARENT_SECS,
            current_p: knows_current.then_some(current_p),
            child_epoch: (parent_p, number, PARENT_SECS),
            epoch_secs: 30,
            proposer: signs.then(|| identities()[who].node_id()),
        };
        if is_right_epoch {
            let is_first = parent == Form::Pre;
            facts.child_epoch = if is_first { (0, 0, 0) } else { facts.next_epoch() };
        }
        if is_right_proposer && parent == Form::Pre {
            facts.proposer = None;
        } else if is_right_proposer {
            facts.proposer = right_proposer(&facts).or(facts.proposer);
        }
        facts
    }
}

/// A proposer with which the block would be good, if the table knows one.
fn right_proposer(facts: &Facts) -> Option<NodeId> {
    let candidates = identities().iter().map(|own| Some(own.node_id())).chain([None]);
    let mut trial = facts.clone();
    for proposer in candidates {
        trial.proposer = proposer;
        if first_broken(&trial).is_none() {
            return proposer;
        }
    }
    None
}

fn agree(facts: &Facts) -> Result<Option<Broken>, TestCaseError> {
    let (verdict, expected) = (verdict(facts), first_broken(facts));
    match verdict {
        Ok(verdict) => {
            prop_assert_eq!(None, expected, "{:?}", facts);
            let context = verdict.context.map(|context| context.p_chain_height);
            prop_assert_eq!(context, facts.context(), "{:?}", facts);
        }
        Err(error) => {
            prop_assert_eq!(Some(Broken::from(&error)), expected, "{:?}", error);
        }
    }
    Ok(expected)
}

/// How often each outcome was met; the last one is that the block is good.
#[derive(Default)]
struct Met([AtomicU32; 20]);

impl Met {
    fn count(&self, outcome: Option<Broken>) {
        let place = outcome.map_or(19, |broken| broken as usize);
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_rules_are_the_table() {
    let met = Met::default();
    // The same cases in each run, so that the counts are too.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(4_000), rng);
    let outcome = runner.run(&facts(), |facts| {
        met.count(agree(&facts)?);
        Ok(())
    });
    outcome.unwrap();
    let counts: Vec<u32> = met.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert!(counts.iter().all(|count| *count >= 2), "every outcome is met: {counts:?}");
}

/// All that is good, in every phase.
fn ordinary(parent: Form, times: Times) -> Facts {
    let mut facts = Facts {
        parent,
        child: Form::Block,
        chain: Id([0xab; 32]),
        is_oracle: false,
        is_inner_child: true,
        height: 8,
        parent_secs: PARENT_SECS,
        child_secs: PARENT_SECS + 7,
        now_nanos: i128::from(PARENT_SECS + 7) * SECOND,
        parent_p: 10,
        child_p: 11,
        current_p: Some(11),
        min_p: 10,
        parent_epoch: (0, 0, 0),
        child_epoch: (0, 0, 0),
        epoch_secs: 30,
        proposer: None,
        validators: Some(model::set(identities(), &[1, 1, 1])),
        is_normal_op: true,
        times,
    };
    if parent != Form::Pre {
        facts.child_epoch = facts.next_epoch();
        facts.proposer = right_proposer(&facts);
    }
    facts
}

/// Each phase of the network's upgrades, by the number of those that are active.
fn phase(active: usize) -> Times {
    let time = |index| if index < active { 0 } else { i128::from(i64::MAX) };
    Times { apricot_phase4: time(0), durango: time(1), etna: time(2), granite: time(3) }
}

#[test]
fn every_second_of_a_parents_life_in_every_phase() {
    for (parent, active) in [(Form::Pre, 1), (Form::Block, 1), (Form::Block, 2), (Form::Option, 4)]
    {
        let ordinary = ordinary(parent, phase(active));
        for span in -2..400 {
            for signer in [None, Some(0), Some(1), Some(3)] {
                let mut facts = ordinary.clone();
                facts.child_secs = PARENT_SECS + span;
                facts.now_nanos = i128::from(facts.child_secs) * SECOND;
                facts.proposer = signer.map(|index: usize| identities()[index].node_id());
                facts.child_epoch =
                    if parent == Form::Pre { (0, 0, 0) } else { facts.next_epoch() };
                agree(&facts).unwrap();
            }
        }
    }
}

#[test]
fn an_ordinary_block_is_good_in_every_phase() {
    for active in 1..=4 {
        for parent in [Form::Pre, Form::Block, Form::Option] {
            let facts = ordinary(parent, phase(active));
            let verdict = verdict(&facts).unwrap();
            let context = verdict.context.map(|context| context.p_chain_height);
            let expected = match (parent, active) {
                (Form::Pre, _) => None,
                // The parent's, the child's, the epoch's, which began with the parent.
                (_, 1 | 2 | 4) => Some(10),
                _ => Some(11),
            };
            assert_eq!(context, expected, "{parent:?} {active}");
            assert_eq!(verdict.slot, (parent != Form::Pre && active >= 2).then_some(1));
        }
    }
}

#[test]
fn a_node_that_catches_up_looks_at_neither_epoch_nor_proposer() {
    let mut facts = ordinary(Form::Block, phase(4));
    facts.is_normal_op = false;
    facts.current_p = None;
    facts.validators = None;
    facts.child_p = u64::MAX;
    facts.proposer = None;
    facts.child_epoch = (3, 2, 1);
    let verdict = verdict(&facts).unwrap();
    assert_eq!(verdict, Verdict { context: Some(BlockContext { p_chain_height: 3 }), slot: None });
    // The first block is looked at all the same.
    let mut first = ordinary(Form::Pre, phase(4));
    first.is_normal_op = false;
    first.current_p = None;
    assert!(matches!(super::tests::verdict(&first), Err(VerifyError::CurrentHeight(_))));
    first.current_p = Some(10);
    first.child_p = 11;
    assert!(matches!(
        super::tests::verdict(&first),
        Err(VerifyError::PChainHeightNotReached { child: 11, current: 10 })
    ));
}

#[test]
fn heights_up_to_the_greatest_are_compared() {
    let mut sets = BTreeMap::new();
    for child_p in [0, 9, 10, 11, 12, u64::MAX] {
        let mut facts = ordinary(Form::Block, phase(4));
        facts.child_p = child_p;
        sets.insert(child_p, agree(&facts).unwrap());
    }
    let expected = [
        (0, Some(Broken::PNotMonotonic)),
        (9, Some(Broken::PNotMonotonic)),
        (10, None),
        (11, None),
        (12, Some(Broken::NotReached)),
        (u64::MAX, Some(Broken::NotReached)),
    ];
    assert_eq!(sets, BTreeMap::from(expected));
}
