//! Answers to this node's queries, and what they vote for.

use sastrugi_consensus::snowman::Decision;
use sastrugi_types::{Bag, Id, NodeId, RequestId, message::Chits};
use smallvec::{SmallVec, smallvec};

use super::{
    IssueSource, Snowman,
    work::{Job, Vote},
};
use crate::common::{ChitsHandler, Cx, Fatal, Handled};

impl ChitsHandler for Snowman {
    fn chits(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        chits: Chits,
    ) -> Handled {
        let Chits { preferred, preferred_at_height, accepted, accepted_height } = chits;
        self.accepted_frontiers.set(from, accepted, accepted_height);
        self.take_answer(cx, from, request, preferred, preferred_at_height)?;
        self.build_blocks(cx)
    }

    fn query_failed(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId) -> Handled {
        if let Some((accepted, _)) = self.accepted_frontiers.last_accepted(&from) {
            self.take_answer(cx, from, request, accepted, accepted)?;
        } else {
            self.vote(cx, &Vote { node: from, request, options: SmallVec::new() })?;
        }
        self.build_blocks(cx)
    }
}

impl Snowman {
    /// Issues what the answer names, then votes.
    fn take_answer(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        request: RequestId,
        preferred: Id,
        preferred_at_height: Id,
    ) -> Handled {
        let source = IssueSource::PullGossip;
        self.issue_from_by_id(cx, node, preferred, source)?;
        // By falling height, because the first usable one counts.
        let mut options: SmallVec<[Id; 2]> = smallvec![preferred];
        let mut dependencies: SmallVec<[Id; 2]> = SmallVec::new();
        if preferred_at_height != preferred {
            self.issue_from_by_id(cx, node, preferred_at_height, source)?;
            options.push(preferred_at_height);
        }
        dependencies.extend(options.iter().copied().filter(|id| self.can_depend_on(id)));
        let vote = Vote { node, request, options };
        if dependencies.is_empty() {
            return self.vote(cx, &vote);
        }
        self.jobs.schedule(Job::Vote(vote), &dependencies);
        Ok(())
    }

    /// Votes, and records the polls that are finished by it.
    pub(super) fn vote(&mut self, cx: &mut Cx<'_>, vote: &Vote) -> Handled {
        let Vote { node, request, options } = vote;
        let mut found = None;
        for (index, option) in (0..).zip(options) {
            if let Some(ancestor) = self.processing_ancestor(*option) {
                self.stats.selected_vote_index.observe(index);
                found = Some(ancestor);
                break;
            }
        }
        let results = match found {
            Some(block) => self.polls.vote(*request, node, block, &self.consensus, cx.now),
            None => self.polls.drop_vote(*request, node, &self.consensus, cx.now),
        };
        if results.is_empty() {
            return Ok(());
        }
        for result in &results {
            self.record_poll(cx, result)?;
        }
        self.prefer()?;
        self.repoll_if_processing(cx);
        Ok(())
    }

    /// Moves consensus by a finished poll, and tells acceptor and VM what is decided.
    fn record_poll(&mut self, cx: &mut Cx<'_>, votes: &Bag<Id>) -> Handled {
        let Self { consensus, config, unverified, processing, .. } = self;
        let vm = &*config.vm;
        let unknown =
            |id: Id| Fatal::Broken(format!("consensus decided {id}, which was not issued"));
        consensus.record_poll(votes, cx.wall, &mut |decision| match decision {
            Decision::Accepting(id) => {
                let block = processing.get(&id).ok_or_else(|| unknown(id))?;
                cx.acceptor.accepting(block)
            }
            Decision::Accept(id) => {
                let block = processing.remove(&id).ok_or_else(|| unknown(id))?;
                // What stands on a sibling is decided with it.
                unverified.remove_descendants(block.parent);
                vm.accept(id).map_err(Fatal::vm("accept"))?;
                cx.acceptor.accepted(&block)
            }
            Decision::Reject(id) => {
                processing.remove(&id).ok_or_else(|| unknown(id))?;
                unverified.remove_descendants(id);
                vm.reject(id).map_err(Fatal::vm("reject"))
            }
        })
    }

    /// The nearest ancestor of a block that is processing, or the block itself.
    fn processing_ancestor(&mut self, block: Id) -> Option<Id> {
        let mut ancestor = self.unverified.oldest_ancestor(block);
        while !self.consensus.processing(&ancestor) {
            let Some(kept) = self.unverified_blocks.get(&ancestor).cloned() else {
                self.stats.ancestor_fetches_failed += 1;
                return None;
            };
            if self.is_decided(&kept) {
                self.stats.ancestor_fetches_dropped += 1;
                return None;
            }
            ancestor = kept.parent;
        }
        if ancestor == block {
            self.stats.ancestor_fetches_unneeded += 1;
        } else {
            self.stats.ancestor_fetches_succeeded += 1;
        }
        Some(ancestor)
    }
}
