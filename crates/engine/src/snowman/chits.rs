//! Queries of peers, and the answers to them.

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId, message::Chits};

use super::{IssueSource, Snowman};
use crate::common::{Cx, Handled, QueryHandler};

impl QueryHandler for Snowman {
    fn pull_query(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
        requested_height: u64,
    ) -> Handled {
        self.answer(cx, from, request, requested_height);
        self.issue_from_by_id(cx, from, container, IssueSource::PushGossip)?;
        self.build_blocks(cx)
    }

    fn push_query(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Bytes,
        requested_height: u64,
    ) -> Handled {
        self.answer(cx, from, request, requested_height);
        let block = match self.config.vm.parse_block(container) {
            Ok(block) => block,
            Err(error) => {
                tracing::debug!(node = %from, %request, %error, "failed to parse block");
                return Ok(());
            }
        };
        if !self.should_issue(&block) {
            self.stats.useless_push_query_bytes += block.bytes.len() as u64;
        }
        self.issue_from(cx, from, block, IssueSource::PushGossip)?;
        self.build_blocks(cx)
    }
}

impl Snowman {
    /// Answers a query by the state before the query's own block is looked at.
    fn answer(&mut self, cx: &mut Cx<'_>, node: NodeId, request: RequestId, height: u64) {
        let (accepted, accepted_height) = self.consensus.last_accepted();
        let is_incomplete = self.config.state_syncing.is_set() || self.config.partial_sync;
        let (preferred, preferred_at_height) = if is_incomplete {
            (accepted, self.accepted_at(height).unwrap_or(accepted))
        } else {
            (self.consensus.preference(), self.preferred_at(height))
        };
        let chits = Chits { preferred, preferred_at_height, accepted, accepted_height };
        cx.sender.send_chits(node, request, chits);
    }

    /// What is preferred at a height: an accepted block that the VM lacks is replaced by the last
    /// accepted one, a block that nobody made yet by the preference.
    fn preferred_at(&mut self, height: u64) -> Id {
        let (last_accepted, last_height) = self.consensus.last_accepted();
        if height >= last_height {
            let preference = self.consensus.preference_at_height(height);
            return preference.unwrap_or_else(|| self.consensus.preference());
        }
        self.accepted_at(height).unwrap_or_else(|| {
            self.stats.missing_accepted_blocks += 1;
            last_accepted
        })
    }

    /// The accepted block at a height, if the VM knows it.
    fn accepted_at(&self, height: u64) -> Option<Id> {
        self.config.vm.block_id_at_height(height).ok().flatten()
    }
}
