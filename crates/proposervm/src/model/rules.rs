//! The rules for a block after its parent, as a table.

use sastrugi_types::{Id, NodeId};

use super::windows::{self, Set, WindowFault};
use crate::verify::VerifyError;

/// The kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Pre,
    Block,
    Option,
}

use Form::{Block, Option as Choice, Pre};

/// The upgrades that matter, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) apricot_phase4: i128,
    pub(crate) durango: i128,
    pub(crate) etna: i128,
    pub(crate) granite: i128,
}

/// All that a row may look at.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) parent: Form,
    pub(crate) child: Form,
    pub(crate) chain: Id,
    pub(crate) is_oracle: bool,
    pub(crate) is_inner_child: bool,
    /// Of the child.
    pub(crate) height: u64,
    pub(crate) parent_secs: i64,
    pub(crate) child_secs: i64,
    pub(crate) now_nanos: i128,
    pub(crate) parent_p: u64,
    pub(crate) child_p: u64,
    /// `None` if the P-Chain does not answer.
    pub(crate) current_p: Option<u64>,
    pub(crate) min_p: u64,
    /// Height, number, start.
    pub(crate) parent_epoch: (u64, u64, i64),
    pub(crate) child_epoch: (u64, u64, i64),
    pub(crate) epoch_secs: i64,
    pub(crate) proposer: Option<NodeId>,
    /// At the parent's P-Chain height; `None` if the P-Chain does not answer.
    pub(crate) validators: Option<Set>,
    pub(crate) is_normal_op: bool,
    pub(crate) times: Times,
}

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Broken {
    Type,
    UnsignedChild,
    CurrentHeight,
    NotReached,
    TooLow,
    PNotMonotonic,
    InnerParent,
    NotActivated,
    TimeNotMonotonic,
    TooAdvanced,
    Epoch,
    UnexpectedEpoch,
    UnexpectedProposer,
    Validators,
    Overflow,
    NoWeight,
    WrongProposer,
    NotStarted,
    Mismatch,
}

struct Row {
    pairs: &'static [(Form, Form)],
    /// Only in normal operation.
    settled: bool,
    breaks: fn(&Facts) -> bool,
    error: Broken,
}

const ALWAYS: bool = false;
const NORMAL_OP: bool = true;

const fn row(
    pairs: &'static [(Form, Form)],
    settled: bool,
    breaks: fn(&Facts) -> bool,
    error: Broken,
) -> Row {
    Row { pairs, settled, breaks, error }
}

const FIRST: (Form, Form) = (Pre, Block);
const NEXT: [(Form, Form); 2] = [(Block, Block), (Choice, Block)];

const TABLE: [Row; 29] = [
    row(&[(Pre, Pre)], ALWAYS, |f| f.has_proposers() && !f.is_oracle, Broken::Type),
    row(&[(Block, Pre), (Choice, Pre)], ALWAYS, |_| true, Broken::UnsignedChild),
    row(&[(Pre, Choice), (Choice, Choice)], ALWAYS, |_| true, Broken::Type),
    row(&[FIRST, NEXT[0], NEXT[1]], ALWAYS, |f| f.is_oracle, Broken::Type),
    row(&[(Block, Choice)], ALWAYS, |f| !f.is_oracle, Broken::Type),
    row(&[FIRST], ALWAYS, |f| f.current_p.is_none(), Broken::CurrentHeight),
    row(&[FIRST], ALWAYS, |f| Some(f.child_p) > f.current_p, Broken::NotReached),
    row(&[FIRST], ALWAYS, |f| f.child_p < f.min_p, Broken::TooLow),
    row(&NEXT, ALWAYS, |f| f.child_p < f.parent_p, Broken::PNotMonotonic),
    row(
        &[FIRST, NEXT[0], NEXT[1], (Block, Choice)],
        ALWAYS,
        |f| !f.is_inner_child,
        Broken::InnerParent,
    ),
    row(&[FIRST], ALWAYS, |f| !f.has_proposers(), Broken::NotActivated),
    row(
        &[FIRST, NEXT[0], NEXT[1]],
        ALWAYS,
        |f| f.child_secs < f.parent_secs,
        Broken::TimeNotMonotonic,
    ),
    row(
        &[FIRST, NEXT[0], NEXT[1]],
        ALWAYS,
        |f| nanos(f.child_secs) > f.now_nanos + 10 * SECOND,
        Broken::TooAdvanced,
    ),
    row(&[FIRST], ALWAYS, |f| f.child_epoch != (0, 0, 0), Broken::UnexpectedEpoch),
    row(&[FIRST], ALWAYS, |f| f.proposer.is_some(), Broken::UnexpectedProposer),
    row(&NEXT, NORMAL_OP, |f| f.child_epoch != f.next_epoch(), Broken::Epoch),
    row(&NEXT, NORMAL_OP, |f| f.current_p.is_none(), Broken::CurrentHeight),
    row(&NEXT, NORMAL_OP, |f| Some(f.child_p) > f.current_p, Broken::NotReached),
    row(&NEXT, NORMAL_OP, |f| f.is_window_fault(None), Broken::Validators),
    row(&NEXT, NORMAL_OP, |f| f.is_window_fault(Some(WindowFault::Overflow)), Broken::Overflow),
    row(&NEXT, NORMAL_OP, |f| f.is_window_fault(Some(WindowFault::NoWeight)), Broken::NoWeight),
    // Since Durango.
    row(&NEXT, NORMAL_OP, |f| f.has_slots() && f.is_anothers_slot(), Broken::WrongProposer),
    row(
        &NEXT,
        NORMAL_OP,
        |f| f.has_slots() && f.has_no_validators() && f.proposer.is_some(),
        Broken::Mismatch,
    ),
    // Before Durango.
    row(&NEXT, NORMAL_OP, |f| !f.has_slots() && f.age() < f.turn(), Broken::NotStarted),
    row(
        &NEXT,
        NORMAL_OP,
        |f| !f.has_slots() && f.age() < 30 && f.proposer.is_none(),
        Broken::Mismatch,
    ),
    row(
        &NEXT,
        NORMAL_OP,
        |f| !f.has_slots() && f.age() >= 30 && f.proposer.is_some(),
        Broken::Mismatch,
    ),
    // All nine pairs have a row.
    row(&[(Pre, Pre)], ALWAYS, |_| false, Broken::Type),
    row(&[(Block, Choice)], ALWAYS, |_| false, Broken::Type),
    row(&NEXT, ALWAYS, |_| false, Broken::Type),
];

const SECOND: i128 = 1_000_000_000;

fn nanos(secs: i64) -> i128 {
    i128::from(secs) * SECOND
}

impl Facts {
    fn has_proposers(&self) -> bool {
        nanos(self.parent_secs) >= self.times.apricot_phase4
    }

    fn has_slots(&self) -> bool {
        nanos(self.parent_secs) >= self.times.durango
    }

    pub(crate) fn next_epoch(&self) -> (u64, u64, i64) {
        let (_, number, start) = self.parent_epoch;
        let next = (self.parent_p, number + 1, self.parent_secs);
        if nanos(self.child_secs) < self.times.granite {
            (0, 0, 0)
        } else if self.parent_epoch == (0, 0, 0) || self.parent_secs >= start + self.epoch_secs {
            next
        } else {
            self.parent_epoch
        }
    }

    /// What the inner VM is told.
    pub(crate) fn context(&self) -> Option<u64> {
        match (self.parent, self.child) {
            (Pre, _) | (_, Pre | Choice) => None,
            _ if nanos(self.child_secs) >= self.times.granite => Some(self.child_epoch.0),
            _ if nanos(self.child_secs) >= self.times.etna => Some(self.child_p),
            _ => Some(self.parent_p),
        }
    }

    fn slot(&self) -> u64 {
        (self.child_secs - self.parent_secs) as u64 / 5
    }

    fn age(&self) -> u64 {
        (self.child_secs - self.parent_secs) as u64
    }

    /// Rows below that of the fault do not look at sets that are unknown, unless the set does not
    /// matter.
    fn set(&self) -> Set {
        self.validators.clone().unwrap_or_default()
    }

    fn has_no_validators(&self) -> bool {
        self.set().is_empty()
    }

    fn is_anothers_slot(&self) -> bool {
        let expected =
            windows::expected(self.chain, &self.set(), self.height, self.slot()).unwrap();
        expected.is_some() && expected != self.proposer
    }

    fn turn(&self) -> u64 {
        windows::delay(self.chain, &self.set(), self.height, self.proposer, 6).unwrap()
    }

    /// Whether the proposers cannot be known for this reason; `None` is that the P-Chain does not
    /// answer. Before Durango it is not asked about unsigned blocks.
    fn is_window_fault(&self, fault: Option<WindowFault>) -> bool {
        if !self.has_slots() && self.proposer.is_none() {
            return false;
        }
        let Some(set) = &self.validators else { return fault.is_none() };
        let found = if self.has_slots() {
            windows::expected(self.chain, set, self.height, self.slot()).err()
        } else {
            windows::delay(self.chain, set, self.height, self.proposer, 6).err()
        };
        found.is_some() && found == fault
    }
}

/// The first row that the block breaks.
pub(crate) fn first_broken(facts: &Facts) -> Option<Broken> {
    let pair = (facts.parent, facts.child);
    let concerns = |row: &&Row| row.pairs.contains(&pair) && (facts.is_normal_op || !row.settled);
    assert!(TABLE.iter().any(|row| row.pairs.contains(&pair)), "no row for {pair:?}");
    TABLE.iter().filter(concerns).find(|row| (row.breaks)(facts)).map(|row| row.error)
}

impl From<&VerifyError> for Broken {
    fn from(error: &VerifyError) -> Self {
        use crate::windower::WindowError;
        match error {
            VerifyError::UnexpectedType => Self::Type,
            VerifyError::UnsignedChild => Self::UnsignedChild,
            VerifyError::InnerParent { .. } => Self::InnerParent,
            VerifyError::TimeNotMonotonic { .. } => Self::TimeNotMonotonic,
            VerifyError::TimeTooAdvanced { .. } => Self::TooAdvanced,
            VerifyError::PChainHeightNotMonotonic { .. } => Self::PNotMonotonic,
            VerifyError::PChainHeightNotReached { .. } => Self::NotReached,
            VerifyError::PChainHeightTooLow { .. } => Self::TooLow,
            VerifyError::EpochMismatch { .. } => Self::Epoch,
            VerifyError::UnexpectedEpoch => Self::UnexpectedEpoch,
            VerifyError::ProposersNotActivated => Self::NotActivated,
            VerifyError::UnexpectedProposer(_) => Self::UnexpectedProposer,
            VerifyError::WindowNotStarted { .. } => Self::NotStarted,
            VerifyError::WrongProposer { .. } => Self::WrongProposer,
            VerifyError::ProposerMismatch { .. } => Self::Mismatch,
            VerifyError::CurrentHeight(_) => Self::CurrentHeight,
            VerifyError::Window(WindowError::State(_)) => Self::Validators,
            VerifyError::Window(WindowError::WeightOverflow) => Self::Overflow,
            VerifyError::Window(WindowError::NoWeight) => Self::NoWeight,
        }
    }
}
