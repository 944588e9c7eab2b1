//! Random trees of blocks through the wrapper, and through the table of rules with records of its own.

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use sastrugi_types::{WallTime, upgrade::UpgradeTime};
use sastrugi_vm::{Clock, State, Vm};

use super::*;
use crate::{
    Epoch, OuterBlock, PostForkOption,
    block::BlockTemplate,
    model::{Facts, Form, Times, first_broken},
};

/// What the test itself knows of a block.
#[derive(Clone)]
struct Record {
    id: Id,
    form: Form,
    inner: Block,
    secs: i64,
    p_height: u64,
    epoch: (u64, u64, i64),
}

/// One attempt at a block; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says what is right about the block")]
struct Attempt {
    parent: usize,
    form: Form,
    /// Seconds after the parent, or at the clock if there are none.
    span: Option<i64>,
    p_above: i64,
    signer: Option<usize>,
    is_right_proposer: bool,
    is_right_epoch: bool,
    is_right_inner: bool,
    is_oracle: bool,
    wait_secs: u64,
    current_p: u64,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let form = prop_oneof![5 => Just(Form::Block), 1 => Just(Form::Pre), 1 => Just(Form::Option)];
    let span = prop::option::weighted(
        0.3,
        prop::sample::select(&[-1_i64, 0, 4, 5, 9, 10, 11, 29, 30, 31, 300][..]),
    );
    let often = || prop::bool::weighted(0.9);
    let wait = prop::sample::select(&[0_u64, 1, 5, 10, 29, 30, 60, 299, 300][..]);
    (
        (any::<usize>(), form, span, -1..2_i64, prop::option::weighted(0.7, 0..4_usize)),
        (often(), often(), often(), prop::bool::weighted(0.2), wait, 9..14_u64),
    )
        .prop_map(|((parent, form, span, p_above, signer), rest)| {
            let (
                is_right_proposer,
                is_right_epoch,
                is_right_inner,
                is_oracle,
                wait_secs,
                current_p,
            ) = rest;
            Attempt {
                parent,
                form,
                span,
                p_above,
                signer,
                is_right_proposer,
                is_right_epoch,
                is_right_inner,
                is_oracle,
                wait_secs,
                current_p,
            }
        })
}

const CHAIN: Id = Id([0xc4; 32]);

/// When each upgrade begins, in seconds after the test does; negative ones have begun.
fn schedule(starts: [i64; 4]) -> (UpgradeSchedule, Times) {
    let time = |secs: i64| WallTime::from_unix_secs(START_UNIX_SECS + secs);
    let [a, b, c, d] = starts.map(|secs| UpgradeTime::from(time(secs)));
    let [apricot_phase4, durango, etna, granite] = starts.map(|secs| i128::from(time(secs).0));
    let upgrades = UpgradeSchedule {
        apricot_phase4_time: a,
        apricot_phase4_min_p_chain_height: 10,
        durango_time: b,
        etna_time: c,
        granite_time: d,
        granite_epoch_duration: Duration::from_secs(30),
        ..UpgradeSchedule::always()
    };
    (upgrades, Times { apricot_phase4, durango, etna, granite })
}

struct Tree<'a> {
    world: &'a World,
    times: Times,
    is_normal_op: bool,
    records: Vec<Record>,
    salt: u64,
}

impl Tree<'_> {
    fn facts(&self, attempt: &Attempt, parent: &Record) -> Facts {
        let scene = self.world.p_chain.0.lock().clone();
        let now = self.world.node.clock.wall();
        let child_secs = attempt.span.map_or(now.unix_secs(), |span| parent.secs + span);
        let base_p = if parent.form == Form::Pre { 10 } else { parent.p_height };
        let mut facts = Facts {
            parent: parent.form,
            child: attempt.form,
            chain: CHAIN,
            is_oracle: plain::number(&parent.inner) & plain::ORACLE != 0,
            is_inner_child: attempt.is_right_inner,
            height: parent.inner.height + 1,
            parent_secs: parent.secs,
            child_secs,
            now_nanos: i128::from(now.0),
            parent_p: parent.p_height,
            child_p: base_p.saturating_add_signed(attempt.p_above.max(-1)),
            current_p: Some(scene.current),
            min_p: 10,
            parent_epoch: parent.epoch,
            child_epoch: (10, 7, parent.secs),
            epoch_secs: 30,
            proposer: attempt.signer.map(|index| identities()[index].node_id()),
            validators: Some(scene.set),
            is_normal_op: self.is_normal_op,
            times: self.times,
        };
        if attempt.is_right_epoch {
            facts.child_epoch =
                if parent.form == Form::Pre { (0, 0, 0) } else { facts.next_epoch() };
        }
        if attempt.is_right_proposer {
            let everybody = identities().iter().map(|own| Some(own.node_id()));
            let right = everybody.chain([None]).find(|proposer| {
                first_broken(&Facts { proposer: *proposer, ..facts.clone() }).is_none()
            });
            facts.proposer = right.unwrap_or(facts.proposer);
        }
        facts
    }

    /// The block, and what is recorded of it if it is good.
    fn make(&mut self, attempt: &Attempt, facts: &Facts, parent: &Record) -> (Bytes, Record) {
        self.salt += 8;
        let oracle = if attempt.is_oracle { plain::ORACLE } else { 0 };
        let inner_parent = if attempt.is_right_inner { parent.inner.id } else { Id([5; 32]) };
        let inner = plain::make(inner_parent, facts.height, facts.child_secs, self.salt | oracle);
        let (number, start_secs) = (facts.child_epoch.1, facts.child_epoch.2);
        let template = BlockTemplate {
            parent: parent.id,
            timestamp_secs: facts.child_secs,
            p_chain_height: facts.child_p,
            epoch: Epoch { p_chain_height: facts.child_epoch.0, number, start_secs },
            inner: &inner.bytes,
        };
        let signer = identities().iter().find(|own| Some(own.node_id()) == facts.proposer);
        let outer: Option<OuterBlock> = match (attempt.form, signer) {
            (Form::Pre, _) => None,
            (Form::Option, _) => Some(PostForkOption::new(parent.id, &inner.bytes).unwrap().into()),
            (Form::Block, Some(signer)) => Some(template.signed(CHAIN, &**signer).unwrap().into()),
            (Form::Block, None) => Some(template.unsigned().unwrap().into()),
        };
        let (id, bytes) = match &outer {
            Some(outer) => (outer.id(), outer.bytes().clone()),
            None => (inner.id, inner.bytes.clone()),
        };
        let record = match attempt.form {
            Form::Pre => Record {
                id,
                form: Form::Pre,
                secs: facts.child_secs,
                p_height: 0,
                epoch: (0, 0, 0),
                inner,
            },
            Form::Option => Record { id, form: Form::Option, inner, ..parent.clone() },
            Form::Block => Record {
                id,
                form: Form::Block,
                secs: facts.child_secs,
                p_height: facts.child_p,
                epoch: facts.child_epoch,
                inner,
            },
        };
        (bytes, record)
    }

    fn attempt(&mut self, attempt: &Attempt) -> Result<bool, TestCaseError> {
        self.world.node.advance(Duration::from_secs(attempt.wait_secs)).unwrap();
        self.world.p_chain.set(|scene| scene.current = attempt.current_p);
        let parent = self.records[attempt.parent % self.records.len()].clone();
        // The inner VM looks for the parent of a block before the fork among its own.
        if attempt.form == Form::Pre && (parent.form != Form::Pre || !attempt.is_right_inner) {
            return Ok(false);
        }
        let facts = self.facts(attempt, &parent);
        let (bytes, record) = self.make(attempt, &facts, &parent);
        let block = self.world.vm.parse_block(bytes);
        let block = block.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((block.id, block.height), (record.id, facts.height));
        let verified = self.world.vm.verify(&block, None);
        let broken = first_broken(&facts);
        prop_assert_eq!(
            verified.is_ok(),
            broken.is_none(),
            "{:?} {:?} {:?}",
            verified,
            broken,
            facts
        );
        if broken.is_none() {
            self.records.push(record);
        }
        Ok(broken.is_none())
    }
}

fn grow(
    starts: [i64; 4],
    validators: usize,
    is_normal_op: bool,
    attempts: &[Attempt],
) -> Result<usize, TestCaseError> {
    let (upgrades, times) = schedule(starts);
    let world = world_under(Some(Arc::new(upgrades)), validators);
    if !is_normal_op {
        world.vm.set_state(State::Bootstrapping).unwrap();
    }
    let genesis = world.last();
    let genesis = Record {
        id: genesis.id,
        form: Form::Pre,
        secs: genesis.timestamp.unix_secs(),
        p_height: 0,
        epoch: (0, 0, 0),
        inner: genesis,
    };
    let mut tree = Tree { world: &world, times, is_normal_op, records: vec![genesis], salt: 0 };
    let mut good = 0;
    for attempt in attempts {
        good += usize::from(tree.attempt(attempt)?);
    }
    Ok(good)
}

#[test]
fn random_trees_get_the_verdicts_of_the_table() {
    let start =
        || prop::sample::select(&[-1000_i64, -101, -100, -99, 0, 5, 30, 100, 1_000_000][..]);
    let starts = prop::array::uniform4(start()).prop_map(|mut starts| {
        starts.sort_unstable();
        starts
    });
    let attempts = prop::collection::vec(attempt(), 1..40);
    let cases = (starts, 0..4_usize, prop::bool::weighted(0.8), attempts);
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(200), rng);
    let good = std::cell::Cell::new(0);
    let outcome = runner.run(&cases, |(starts, validators, is_normal_op, attempts)| {
        good.set(good.get() + grow(starts, validators, is_normal_op, &attempts)?);
        Ok(())
    });
    outcome.unwrap();
    assert!(good.get() > 200, "many blocks are good: {}", good.get());
}
