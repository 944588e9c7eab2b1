//! Replays `bytes/windower.json`: who may propose, and when.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a case that is not as expected must fail the test"
)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sastrugi_conformance::{Fields, cases};
use sastrugi_proposervm::windower::{
    BUILD_DELAY_MAX, BUILD_WINDOWS_MAX, LOOK_AHEAD_MAX, LOOK_AHEAD_SLOTS_MAX, VERIFY_DELAY_MAX,
    VERIFY_WINDOWS_MAX, WINDOW, WindowError, Windower, slot_at,
};
use sastrugi_types::{Id, NodeId, WallTime};
use sastrugi_vm::{
    VmError,
    validators::{ValidatorOutput, ValidatorSet, ValidatorState},
};

const SUBNET: Id = Id([0x5b; 32]);
const P_CHAIN_HEIGHT: u64 = 7;

#[test]
fn windower() {
    let mut replay = Replay::default();
    for mut case in cases("windower") {
        let kind: String = case.take("kind");
        case.skip("name");
        match kind.as_str() {
            "constants" => constants(&mut case),
            "validators" => replay.validators(&mut case),
            "proposers" => replay.proposers(&mut case),
            "delay" => replay.delay(&mut case),
            "expected_proposer" => replay.expected_proposer(&mut case),
            "min_delay" => replay.min_delay(&mut case),
            "time_to_slot" => time_to_slot(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.finish();
    }
    for windower in replay.windowers.values() {
        let stats = windower.stats();
        assert!(stats.hits > stats.misses || stats.hits == 0, "sets are asked for once: {stats:?}");
    }
}

/// One set; `None` where upstream's state fails.
struct Set(Option<Arc<ValidatorSet>>);

impl ValidatorState for Set {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(P_CHAIN_HEIGHT)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(P_CHAIN_HEIGHT)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Ok(SUBNET)
    }

    fn validator_set(&self, height: u64, subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        assert_eq!((height, subnet), (P_CHAIN_HEIGHT, SUBNET));
        self.0.clone().ok_or_else(|| VmError::Other("state failed".into()))
    }
}

fn span(case: &mut Fields, key: &str) -> Duration {
    Duration::from_nanos(case.u64(key))
}

fn node(case: &mut Fields, key: &str) -> NodeId {
    NodeId(case.bytes(key).try_into().unwrap())
}

fn constants(case: &mut Fields) {
    assert_eq!(span(case, "window_duration_ns"), WINDOW);
    assert_eq!(case.take::<usize>("max_verify_windows"), VERIFY_WINDOWS_MAX);
    assert_eq!(span(case, "max_verify_delay_ns"), VERIFY_DELAY_MAX);
    assert_eq!(case.take::<usize>("max_build_windows"), BUILD_WINDOWS_MAX);
    assert_eq!(span(case, "max_build_delay_ns"), BUILD_DELAY_MAX);
    assert_eq!(case.take::<u64>("max_look_ahead_slots"), LOOK_AHEAD_SLOTS_MAX);
    assert_eq!(span(case, "max_look_ahead_window_ns"), LOOK_AHEAD_MAX);
}

/// Windowers by set and chain, made when they are first needed and kept: their caches too are
/// replayed.
#[derive(Default)]
struct Replay {
    sets: BTreeMap<u64, Arc<Set>>,
    windowers: BTreeMap<(u64, Id), Windower>,
}

impl Replay {
    fn validators(&mut self, case: &mut Fields) {
        let mut set = ValidatorSet::new();
        for mut validator in case.list("validators") {
            let node = node(&mut validator, "node_id");
            let weight = validator.u64("weight");
            set.insert(node, ValidatorOutput { node, public_key: None, weight });
            validator.finish();
        }
        let fails: bool = case.take("state_fails");
        let set = Set((!fails).then(|| Arc::new(set)));
        assert!(self.sets.insert(case.take("set"), Arc::new(set)).is_none());
    }

    fn windower(&mut self, case: &mut Fields) -> &Windower {
        let number = case.take("set");
        let chain = Id(case.bytes("chain_id").try_into().unwrap());
        let set = &self.sets[&number];
        let new = || Windower::new(set.clone(), SUBNET, chain);
        self.windowers.entry((number, chain)).or_insert_with(new)
    }

    fn proposers(&mut self, case: &mut Fields) {
        let (height, windows_max) = (case.u64("height"), case.take("max_windows"));
        let proposers = self.windower(case).proposers(height, P_CHAIN_HEIGHT, windows_max);
        let expected: Vec<String> = case.or_default("proposers");
        if let Some(proposers) = compare_error(case, proposers) {
            let proposers: Vec<_> =
                proposers.iter().map(|node| const_hex::encode(node.0)).collect();
            assert_eq!(proposers, expected, "{}", case.name);
        }
    }

    fn delay(&mut self, case: &mut Fields) {
        let (height, windows_max) = (case.u64("height"), case.take("max_windows"));
        let node = node(case, "node_id");
        let proposer = (node != NodeId::default()).then_some(node);
        let delay = self.windower(case).delay(height, P_CHAIN_HEIGHT, proposer, windows_max);
        let expected = span(case, "delay_ns");
        if let Some(delay) = compare_error(case, delay) {
            assert_eq!(delay, expected, "{}", case.name);
        }
    }

    fn expected_proposer(&mut self, case: &mut Fields) {
        let (height, slot) = (case.u64("height"), case.u64("slot"));
        let proposer = self.windower(case).expected_proposer(height, P_CHAIN_HEIGHT, slot);
        let expected = node(case, "node_id");
        if let Some(proposer) = compare_error(case, anyone(proposer)) {
            assert_eq!(proposer, expected, "{}", case.name);
        }
    }

    fn min_delay(&mut self, case: &mut Fields) {
        let (height, start_slot) = (case.u64("height"), case.u64("start_slot"));
        let node = node(case, "node_id");
        let delay = self.windower(case).min_delay(height, P_CHAIN_HEIGHT, node, start_slot);
        let expected = span(case, "delay_ns");
        if let Some(delay) = compare_error(case, anyone(delay)) {
            assert_eq!(delay, expected, "{}", case.name);
        }
    }
}

/// That anyone may propose is an error upstream.
fn anyone<T>(result: Result<Option<T>, WindowError>) -> Result<T, Option<WindowError>> {
    result.map_err(Some).and_then(|found| found.ok_or(None))
}

/// The value, unless the case expects an error, which must be this one.
fn compare_error<T, E: Into<Option<WindowError>>>(
    case: &mut Fields,
    result: Result<T, E>,
) -> Option<T> {
    let expected: Option<String> = case.maybe("error");
    let (value, text) = match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(text(error.into()))),
    };
    assert_eq!(text, expected.as_deref(), "{}", case.name);
    value
}

/// Upstream's text.
fn text(error: Option<WindowError>) -> &'static str {
    match error {
        None => "anyone can propose",
        Some(WindowError::NoWeight) => "unexpected sampler failure",
        Some(WindowError::WeightOverflow) => "overflow",
        Some(WindowError::State(VmError::Other(text))) if text == "state failed" => "state failed",
        Some(error @ WindowError::State(_)) => panic!("{error}"),
    }
}

fn time_to_slot(case: &mut Fields) {
    let parent = WallTime::from_unix_secs(1_700_000_000);
    let offset: i64 = case.take::<String>("offset_ns").parse().unwrap();
    let slot = slot_at(parent, WallTime(parent.0 + offset));
    assert_eq!(slot, case.u64("slot"), "{}", case.name);
}
