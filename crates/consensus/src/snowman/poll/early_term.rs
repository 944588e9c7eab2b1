//! A poll that ends as soon as nothing depends on the missing answers.

use std::fmt;

use sastrugi_types::{Bag, Id, Instant, NodeId};

use super::{super::ParentView, tally::Tally};

/// Why a poll is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Exhausted,
    EarlyFail,
    EarlyAlpha,
}

/// One poll. Upstream: `snow/consensus/snowman/poll/early_term_traversal.go`.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    /// Who has not answered.
    voters: Bag<NodeId>,
    tally: Tally,
    started: Instant,
    finished: bool,
}

impl Poll {
    /// A poll of `voters`, counted in `tally`, which is empty.
    pub(super) const fn new(voters: Bag<NodeId>, tally: Tally, started: Instant) -> Self {
        Self { voters, tally, started, finished: false }
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    pub(super) const fn finished(&self) -> bool {
        self.finished
    }

    pub(super) fn vote(&mut self, voter: &NodeId, vote: Id, tree: &dyn ParentView) {
        let count = self.voters.remove(voter);
        if count > 0 {
            self.tally.add(vote, count, tree);
        }
    }

    pub(super) fn drop_vote(&mut self, voter: &NodeId) {
        self.voters.remove(voter);
    }

    /// Looks whether an open poll is finished now, and says why.
    pub(super) fn finish(
        &mut self,
        alpha_preference: usize,
        alpha_confidence: usize,
        tree: &dyn ParentView,
    ) -> Option<Reason> {
        let remaining = self.voters.len();
        let settled = |votes: usize| {
            let most = votes + remaining;
            most < alpha_preference
                || votes >= alpha_confidence
                || (votes >= alpha_preference && most < alpha_confidence)
        };
        let reason = if remaining == 0 {
            Reason::Exhausted
        } else if self.tally.len() + remaining < alpha_preference {
            Reason::EarlyFail
        } else if self.tally.len() > 0 && self.tally.all(settled, tree) {
            Reason::EarlyAlpha
        } else {
            return None;
        };
        self.finished = true;
        Some(reason)
    }

    /// The votes, and the memory for another poll.
    pub(super) fn into_result(mut self) -> (Bag<Id>, Tally) {
        let votes = self.tally.votes();
        self.tally.clear();
        (votes, self.tally)
    }
}

impl fmt::Display for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting on Bag[ids.NodeID]: (Size = {})", self.voters.len())?;
        for (voter, count) in self.voters.iter() {
            write!(f, "\n            {voter}: {count}")?;
        }
        let votes = self.tally.votes();
        write!(f, "\n        received Bag[ids.ID]: (Size = {})", votes.len())?;
        for (block, count) in votes.iter() {
            write!(f, "\n            {block}: {count}")?;
        }
        Ok(())
    }
}
