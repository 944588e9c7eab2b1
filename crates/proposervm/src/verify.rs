//! The rules for an outer block after its parent.
//!
//! Each row is checked in this order, and the first that does not hold is the error.
//!
//! A block *before the fork* on one before the fork:
//!
//! | rule | error |
//! |---|---|
//! | `ApricotPhase4` is not active at the parent's time, or the parent is an oracle | [`VerifyError::UnexpectedType`] |
//!
//! A *block* on one before the fork, the first of its kind:
//!
//! | rule | error |
//! |---|---|
//! | the parent is no oracle | [`VerifyError::UnexpectedType`] |
//! | its P-Chain height was reached | [`VerifyError::PChainHeightNotReached`] |
//! | … and is one at which there are proposers | [`VerifyError::PChainHeightTooLow`] |
//! | the inner block is a child of the parent | [`VerifyError::InnerParent`] |
//! | `ApricotPhase4` is active at the parent's time | [`VerifyError::ProposersNotActivated`] |
//! | its time is not before the parent's | [`VerifyError::TimeNotMonotonic`] |
//! | … and at most [`SKEW_MAX`] ahead of now | [`VerifyError::TimeTooAdvanced`] |
//! | it has no epoch, whether or not Granite is active | [`VerifyError::UnexpectedEpoch`] |
//! | it is unsigned | [`VerifyError::UnexpectedProposer`] |
//!
//! A *block* on a block or an option:
//!
//! | rule | error |
//! |---|---|
//! | the parent's inner block is no oracle | [`VerifyError::UnexpectedType`] |
//! | its P-Chain height is not below the parent's | [`VerifyError::PChainHeightNotMonotonic`] |
//! | its inner block is a child of the parent's | [`VerifyError::InnerParent`] |
//! | its time is not before the parent's | [`VerifyError::TimeNotMonotonic`] |
//! | … and at most [`SKEW_MAX`] ahead of now | [`VerifyError::TimeTooAdvanced`] |
//! | its epoch is the [next](Epoch::of_child) ° | [`VerifyError::EpochMismatch`] |
//! | its P-Chain height was reached ° | [`VerifyError::PChainHeightNotReached`] |
//! | its proposer may propose at its time ° | see below |
//!
//! An *option* on a block:
//!
//! | rule | error |
//! |---|---|
//! | the parent's inner block is an oracle | [`VerifyError::UnexpectedType`] |
//! | its inner block is a child of the parent's | [`VerifyError::InnerParent`] |
//!
//! A block before the fork on one after it is [`VerifyError::UnsignedChild`], an option on anything
//! but a block [`VerifyError::UnexpectedType`].
//!
//! ° Only in normal operation. A node that catches up need not have the P-Chain yet, and some chains
//! have accepted blocks without the epoch they should have had.
//!
//! Who may propose, if Durango is active at the *parent's* time: the one expected in the slot, and
//! nobody else ([`VerifyError::WrongProposer`]); without validators the block must be unsigned
//! ([`VerifyError::ProposerMismatch`]). Before: a block must be as old as its proposer's turn
//! ([`VerifyError::WindowNotStarted`]), and is signed if and only if it is younger than
//! [`VERIFY_DELAY_MAX`] ([`VerifyError::ProposerMismatch`]).
//!
//! The signature is no matter of these rules: it is checked when a block is read. Upstream:
//! `vms/proposervm/{block,pre_fork_block,post_fork_block,post_fork_option}.go`.

use std::{fmt, time::Duration};

use sastrugi_types::{
    Id, NodeId, WallTime,
    upgrade::{Upgrade, UpgradeSchedule},
};
use sastrugi_vm::{BlockContext, VmError, validators::ValidatorState};

use crate::{
    Epoch, PostForkBlock,
    windower::{VERIFY_DELAY_MAX, VERIFY_WINDOWS_MAX, WindowError, Windower, slot_at},
};

/// How far the time of a block may be ahead of this node's clock.
pub const SKEW_MAX: Duration = Duration::from_secs(10);

/// The rule that a block breaks, or why it cannot be known whether it does.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The parent's kind has no children of this kind.
    #[error("unexpected proposer block type")]
    UnexpectedType,
    /// A block before the fork stands on one after it.
    #[error("expected child to be signed")]
    UnsignedChild,
    /// The inner block is not a child of the parent's.
    #[error("inner parentID {inner_parent} didn't match expected parent {expected}")]
    InnerParent {
        /// The parent of the inner block.
        inner_parent: Id,
        /// The inner block of the parent.
        expected: Id,
    },
    /// The block is older than its parent.
    #[error("time must monotonically increase: {child:?} after {parent:?}")]
    TimeNotMonotonic {
        /// The block's.
        child: WallTime,
        /// The parent's.
        parent: WallTime,
    },
    /// The block is from the future.
    #[error("time is too far advanced: {child:?} at {now:?}")]
    TimeTooAdvanced {
        /// The block's.
        child: WallTime,
        /// This node's.
        now: WallTime,
    },
    /// The block refers to a lower height than its parent.
    #[error("non monotonically increasing P-chain height: {child} after {parent}")]
    PChainHeightNotMonotonic {
        /// The block's.
        child: u64,
        /// The parent's.
        parent: u64,
    },
    /// The block refers to a height that this node's P-Chain has not reached.
    #[error("block P-chain height larger than current P-chain height: {child} > {current}")]
    PChainHeightNotReached {
        /// The block's.
        child: u64,
        /// The current one.
        current: u64,
    },
    /// The first block refers to a height from before there were proposers.
    #[error("block P-chain height is too low: {child} < {min}")]
    PChainHeightTooLow {
        /// The block's.
        child: u64,
        /// The lowest that is good.
        min: u64,
    },
    /// The block has another epoch than the one that follows from its parent.
    #[error("epoch mismatch: epoch {child:?} != expected {expected:?}")]
    EpochMismatch {
        /// The block's.
        child: Epoch,
        /// The right one.
        expected: Epoch,
    },
    /// The first block has an epoch.
    #[error("epoch must not be provided prior to granite")]
    UnexpectedEpoch,
    /// Blocks have no proposers yet.
    #[error("proposers haven't been activated yet")]
    ProposersNotActivated,
    /// The first block is signed.
    #[error("child of pre-fork block has proposer {0}")]
    UnexpectedProposer(NodeId),
    /// Before Durango: it is not yet the proposer's turn.
    #[error("proposer window hasn't started: delay {delay:?} < minDelay {min:?}")]
    WindowNotStarted {
        /// Age of the parent.
        delay: Duration,
        /// What it must be.
        min: Duration,
    },
    /// Since Durango: the slot belongs to somebody else.
    #[error("unexpected proposer for current window: slot {slot} expects {expected}")]
    WrongProposer {
        /// The slot of the block.
        slot: u64,
        /// Whom it belongs to.
        expected: NodeId,
    },
    /// The block is signed and must not be, or the other way round.
    #[error("proposer mismatch: shouldHaveProposer ({should_have}) != hasProposer ({has})")]
    ProposerMismatch {
        /// Whether it must be signed.
        should_have: bool,
        /// Whether it is.
        has: bool,
    },
    /// The current height of the P-Chain is not known.
    #[error("the current P-chain height is not known: {0}")]
    CurrentHeight(VmError),
    /// It is not known who may propose.
    #[error(transparent)]
    Window(#[from] WindowError),
}

/// The kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The inner block alone.
    PreFork,
    /// One that says when it was made.
    Block,
    /// A child of an oracle.
    Option,
}

/// What a block means for its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its kind.
    pub kind: Kind,
    /// Its inner block.
    pub inner: Id,
    /// Its height.
    pub height: u64,
    /// When it was made; an option when its parent was.
    pub time: WallTime,
    /// The height of the P-Chain it refers to; an option as its parent does. 0 before the fork.
    pub p_chain_height: u64,
    /// Its epoch; an option has its parent's. [`Epoch::NONE`] before the fork.
    pub epoch: Epoch,
}

/// A block to be verified.
#[derive(Clone, Copy, Debug)]
pub enum Child<'a> {
    /// The inner block alone.
    PreFork,
    /// One that says when it was made.
    Block {
        /// The block.
        block: &'a PostForkBlock,
        /// The parent of its inner block.
        inner_parent: Id,
        /// Its height.
        height: u64,
    },
    /// A child of an oracle.
    Option {
        /// The parent of its inner block.
        inner_parent: Id,
    },
}

/// What follows from the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What the inner VM is to know about the block, if anything.
    pub context: Option<BlockContext>,
    /// The slot the block was made in, if that was looked at.
    pub slot: Option<u64>,
}

/// What the rules need beside the blocks.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// When each rule begins.
    pub upgrades: &'a UpgradeSchedule,
    /// The P-Chain.
    pub validators: &'a dyn ValidatorState,
    /// Who may propose.
    pub windower: &'a Windower,
    /// This node's clock.
    pub now: WallTime,
    /// Whether the chain is in normal operation.
    pub is_normal_op: bool,
}

impl Rules<'_> {
    /// Checks all but the inner block. `is_oracle` says whether the parent's inner block is one.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn verify(
        &self,
        parent: &Parent,
        is_oracle: bool,
        child: &Child<'_>,
    ) -> Result<Verdict, VerifyError> {
        match (parent.kind, *child) {
            (Kind::PreFork, Child::PreFork) => {
                let are_proposers_active =
                    self.upgrades.is_active(Upgrade::ApricotPhase4, parent.time);
                check(!are_proposers_active || is_oracle, VerifyError::UnexpectedType)?;
                Ok(Verdict::default())
            }
            (Kind::PreFork, Child::Block { block, inner_parent, .. }) => {
                check(!is_oracle, VerifyError::UnexpectedType)?;
                self.verify_first(parent, block, inner_parent)
            }
            (Kind::Block | Kind::Option, Child::Block { block, inner_parent, height }) => {
                check(!is_oracle, VerifyError::UnexpectedType)?;
                self.verify_block(parent, block, inner_parent, height)
            }
            (Kind::Block, Child::Option { inner_parent }) => {
                check(is_oracle, VerifyError::UnexpectedType)?;
                check_inner_parent(parent, inner_parent)?;
                Ok(Verdict::default())
            }
            (Kind::PreFork | Kind::Option, Child::Option { .. }) => {
                Err(VerifyError::UnexpectedType)
            }
            (Kind::Block | Kind::Option, Child::PreFork) => Err(VerifyError::UnsignedChild),
        }
    }

    /// The first block after the fork.
    fn verify_first(
        &self,
        parent: &Parent,
        block: &PostForkBlock,
        inner_parent: Id,
    ) -> Result<Verdict, VerifyError> {
        self.check_height_reached(block)?;
        let (child, min) =
            (block.p_chain_height(), self.upgrades.apricot_phase4_min_p_chain_height);
        check(child >= min, VerifyError::PChainHeightTooLow { child, min })?;
        check_inner_parent(parent, inner_parent)?;
        let are_proposers_active = self.upgrades.is_active(Upgrade::ApricotPhase4, parent.time);
        check(are_proposers_active, VerifyError::ProposersNotActivated)?;
        self.check_time(parent, block)?;
        check(block.epoch().is_none(), VerifyError::UnexpectedEpoch)?;
        match block.proposer() {
            Some(proposer) => Err(VerifyError::UnexpectedProposer(proposer)),
            None => Ok(Verdict::default()),
        }
    }

    fn verify_block(
        &self,
        parent: &Parent,
        block: &PostForkBlock,
        inner_parent: Id,
        height: u64,
    ) -> Result<Verdict, VerifyError> {
        let (child, least) = (block.p_chain_height(), parent.p_chain_height);
        let not_monotonic = VerifyError::PChainHeightNotMonotonic { child, parent: least };
        check(child >= least, not_monotonic)?;
        check_inner_parent(parent, inner_parent)?;
        self.check_time(parent, block)?;
        let slot = if self.is_normal_op {
            let child = block.epoch();
            let expected = parent.child_epoch(self.upgrades, block.timestamp());
            check(child == expected, VerifyError::EpochMismatch { child, expected })?;
            self.check_height_reached(block)?;
            self.check_proposer(parent, block, height)?
        } else {
            None
        };
        let context = parent.child_context(
            self.upgrades,
            block.timestamp(),
            block.epoch(),
            block.p_chain_height(),
        );
        Ok(Verdict { context: Some(context), slot })
    }

    fn check_height_reached(&self, block: &PostForkBlock) -> Result<(), VerifyError> {
        let child = block.p_chain_height();
        let current = self.validators.current_height().map_err(VerifyError::CurrentHeight)?;
        check(child <= current, VerifyError::PChainHeightNotReached { child, current })
    }

    fn check_time(&self, parent: &Parent, block: &PostForkBlock) -> Result<(), VerifyError> {
        let (child, now) = (block.timestamp(), self.now);
        let not_monotonic = VerifyError::TimeNotMonotonic { child, parent: parent.time };
        check(child >= parent.time, not_monotonic)?;
        check(child <= now + SKEW_MAX, VerifyError::TimeTooAdvanced { child, now })
    }

    /// Gives the slot of the block, if there are slots.
    fn check_proposer(
        &self,
        parent: &Parent,
        block: &PostForkBlock,
        height: u64,
    ) -> Result<Option<u64>, VerifyError> {
        let has = block.proposer().is_some();
        let (should_have, slot) = if self.upgrades.is_active(Upgrade::Durango, parent.time) {
            let slot = slot_at(parent.time, block.timestamp());
            let expected = self.windower.expected_proposer(height, parent.p_chain_height, slot)?;
            if let Some(expected) = expected
                && block.proposer() != Some(expected)
            {
                return Err(VerifyError::WrongProposer { slot, expected });
            }
            (expected.is_some(), Some(slot))
        } else {
            let (at, proposer) = (parent.p_chain_height, block.proposer());
            let min = self.windower.delay(height, at, proposer, VERIFY_WINDOWS_MAX)?;
            let delay = age(parent.time, block.timestamp());
            check(delay >= min, VerifyError::WindowNotStarted { delay, min })?;
            (delay < VERIFY_DELAY_MAX, None)
        };
        check(should_have == has, VerifyError::ProposerMismatch { should_have, has })?;
        Ok(slot)
    }
}

impl fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("now", &self.now)
            .field("is_normal_op", &self.is_normal_op)
            .finish_non_exhaustive()
    }
}

impl Parent {
    /// The epoch of a child made at this time.
    #[must_use]
    pub fn child_epoch(&self, upgrades: &UpgradeSchedule, time: WallTime) -> Epoch {
        Epoch::of_child(upgrades, self.p_chain_height, self.epoch, self.time, time)
    }

    /// What the inner VM is to know about the inner block of a child that says this.
    pub(crate) fn child_context(
        &self,
        upgrades: &UpgradeSchedule,
        time: WallTime,
        epoch: Epoch,
        p_chain_height: u64,
    ) -> BlockContext {
        let p_chain_height = if upgrades.is_active(Upgrade::Granite, time) {
            epoch.p_chain_height
        } else if upgrades.is_active(Upgrade::Etna, time) {
            p_chain_height
        } else {
            self.p_chain_height
        };
        BlockContext { p_chain_height }
    }
}

fn check_inner_parent(parent: &Parent, inner_parent: Id) -> Result<(), VerifyError> {
    let expected = parent.inner;
    check(inner_parent == expected, VerifyError::InnerParent { inner_parent, expected })
}

/// Time passed since the parent; none if `time` is earlier.
pub(crate) fn age(parent: WallTime, time: WallTime) -> Duration {
    Duration::from_nanos(time.nanos_since(parent).max(0) as u64)
}

fn check(holds: bool, error: VerifyError) -> Result<(), VerifyError> {
    if holds { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
