//! Collects the answers to queries into polls.
//!
//! # Specification
//!
//! A poll asks a bag of voters. Each voter counts as often as it was sampled, and once: with its
//! vote, or dropped.
//!
//! Upon `vote` or `drop_vote` of a poll that is then finished: the results of all finished polls
//! are released, from the oldest up to the first one that is not. So results come in the order in
//! which the polls were made, which is what makes "β polls in a row" mean something. A voter that
//! is never heard of again would block all later polls: its silence must be reported as a drop.
//!
//! A poll is finished, and stays so, as soon as no answer still missing can change what its result
//! does to a snowflake instance:
//!
//! 1. No answer is missing (*exhausted*); or
//! 2. fewer than α preference votes can still arrive (*early fail*); or
//! 3. there are votes, and each instance they reach is settled (*early alpha*): it cannot reach
//!    α preference any more, or it has reached it and cannot reach α confidence, or it has reached
//!    α confidence.
//!
//! The instances reached are those of the blocks voted for, of all their known ancestors, and of
//! the bit prefixes that children of one of these blocks share. See the module's source for how
//! they are counted.
//!
//! The block tree is the one of the moment: blocks become known and are decided while a poll is
//! open. It is looked at when an answer arrives.
//!
//! Upstream: `snow/consensus/snowman/poll`.

mod early_term;
mod tally;

use std::{collections::VecDeque, fmt};

use sastrugi_types::{Bag, Id, IdBuildHasher, Instant, NodeId, RequestId};

use super::{Observations, ParentView};
use early_term::{Poll, Reason};
use tally::Tally;

/// How many tallies are kept for later polls.
const SPARE_TALLIES_MAX: usize = 16;

/// The open polls, and the finished ones that wait for older ones.
///
/// Upstream: `snow/consensus/snowman/poll/set.go`.
#[derive(Clone, Debug)]
pub struct Set {
    alpha_preference: usize,
    alpha_confidence: usize,
    /// The requests of `polls`, the oldest first.
    requests: VecDeque<RequestId>,
    polls: VecDeque<Poll>,
    spare: Vec<Tally>,
    hasher: IdBuildHasher,
    stats: Stats,
}

/// How polls ended. The sums are durations in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `poll_duration`: from the start of a poll to the release of its result.
    pub released: Observations,
    /// `poll_count` and `poll_duration` with the reason `exhausted`: no answer was missing.
    pub exhausted: Observations,
    /// The same with the reason `early_fail`: too few votes could still arrive.
    pub early_fail: Observations,
    /// The same with the reason `early_alpha`: no instance could be moved any more.
    pub early_alpha: Observations,
}

impl Stats {
    fn finish(&mut self, reason: Reason, nanos: i64) {
        match reason {
            Reason::Exhausted => self.exhausted.observe(nanos),
            Reason::EarlyFail => self.early_fail.observe(nanos),
            Reason::EarlyAlpha => self.early_alpha.observe(nanos),
        }
    }
}

impl Set {
    /// No polls. `hash_seed` makes the places of IDs in tables unpredictable to peers.
    pub fn new(alpha_preference: usize, alpha_confidence: usize, hash_seed: u64) -> Self {
        Self {
            alpha_preference,
            alpha_confidence,
            requests: VecDeque::new(),
            polls: VecDeque::new(),
            spare: Vec::new(),
            hasher: IdBuildHasher::new(hash_seed),
            stats: Stats::default(),
        }
    }

    /// Number of polls whose result was not released.
    pub fn len(&self) -> usize {
        self.polls.len()
    }

    /// Whether there is no poll.
    pub fn is_empty(&self) -> bool {
        self.polls.is_empty()
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Begins a poll. Returns false, and does nothing, if there is one for this request.
    pub fn add(&mut self, request: RequestId, voters: Bag<NodeId>, now: Instant) -> bool {
        if self.requests.contains(&request) {
            return false;
        }
        let tally = self.spare.pop().unwrap_or_else(|| Tally::new(self.hasher));
        self.requests.push_back(request);
        self.polls.push_back(Poll::new(voters, tally, now));
        true
    }

    /// Takes the vote of a voter. Votes of others, repeated ones and those for unknown polls do
    /// not count. Returns the results that are released by it.
    pub fn vote(
        &mut self,
        request: RequestId,
        voter: &NodeId,
        vote: Id,
        tree: &dyn ParentView,
        now: Instant,
    ) -> Vec<Bag<Id>> {
        let Some(index) = self.index(request) else { return Vec::new() };
        self.polls[index].vote(voter, vote, tree);
        self.after_answer(index, tree, now)
    }

    /// Notes that a voter will not vote. Returns the results that are released by it.
    #[doc(alias = "Drop")]
    pub fn drop_vote(
        &mut self,
        request: RequestId,
        voter: &NodeId,
        tree: &dyn ParentView,
        now: Instant,
    ) -> Vec<Bag<Id>> {
        let Some(index) = self.index(request) else { return Vec::new() };
        self.polls[index].drop_vote(voter);
        self.after_answer(index, tree, now)
    }

    fn index(&self, request: RequestId) -> Option<usize> {
        self.requests.iter().position(|other| *other == request)
    }

    fn after_answer(&mut self, index: usize, tree: &dyn ParentView, now: Instant) -> Vec<Bag<Id>> {
        let mut results = Vec::new();
        if !self.finished(index, tree, now) {
            return results;
        }
        while !self.polls.is_empty() && self.finished(0, tree, now) {
            self.requests.pop_front();
            let Some(poll) = self.polls.pop_front() else { break };
            self.stats.released.observe(nanos(poll.started(), now));
            let (result, tally) = poll.into_result();
            results.push(result);
            if self.spare.len() < SPARE_TALLIES_MAX {
                self.spare.push(tally);
            }
        }
        results
    }

    /// Whether a poll is finished as of now.
    fn finished(&mut self, index: usize, tree: &dyn ParentView, now: Instant) -> bool {
        let poll = &mut self.polls[index];
        if poll.finished() {
            return true;
        }
        let Some(reason) = poll.finish(self.alpha_preference, self.alpha_confidence, tree) else {
            return false;
        };
        self.stats.finish(reason, nanos(poll.started(), now));
        true
    }
}

fn nanos(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.since(from).as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "current polls: (Size = {})", self.len())?;
        for (request, poll) in self.requests.iter().zip(&self.polls) {
            write!(f, "\n    RequestID {request}:\n        {poll}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
