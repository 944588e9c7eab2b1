//! Asking validators.

use bytes::Bytes;
use sastrugi_types::Id;

use super::Snowman;
use crate::common::{Cx, NodeSet};

impl Snowman {
    /// Polls a sample of validators about a block, which is brought along if `bytes` are given. No
    /// poll is made when one could not succeed; the next gossip tick tries again.
    pub(super) fn query(&mut self, cx: &mut Cx<'_>, block: Id, bytes: Option<Bytes>) {
        let connected = self.config.peers.connected_fraction();
        let params = &self.config.params;
        if connected < params.alpha_confidence as f64 / params.k as f64 {
            tracing::debug!(%block, connected, reason = "insufficient connected stake", "dropped query");
            return;
        }
        let mut nodes = match cx.sampler.sample(params.k) {
            Ok(nodes) => nodes,
            Err(error) => {
                tracing::warn!(%block, %error, "dropped query");
                return;
            }
        };
        let Some(height) = self.next_height() else { return };
        let request = self.next_request();
        nodes.sort_unstable();
        let to = nodes.iter().copied().collect();
        if !self.polls.add(request, nodes.into_iter().collect(), cx.now) {
            tracing::error!(%block, %request, reason = "the request is used already", "dropped query");
            return;
        }
        match bytes {
            Some(bytes) => cx.sender.send_push_query(&to, request, bytes, height),
            None => cx.sender.send_pull_query(&to, request, block, height),
        }
    }

    /// Polls about the preference until the number of concurrent polls is reached.
    pub(super) fn repoll(&mut self, cx: &mut Cx<'_>) {
        let preference = self.consensus.preference();
        for _ in self.polls.len()..self.config.params.concurrent_repolls {
            self.query(cx, preference, None);
        }
    }

    /// Polls again unless everything is decided.
    pub(super) fn repoll_if_processing(&mut self, cx: &mut Cx<'_>) {
        if self.consensus.num_processing() > 0 {
            self.repoll(cx);
        }
    }

    /// Asks one validator what it prefers, without a poll: its answer brings blocks this node lacks.
    pub(super) fn query_one_validator(&mut self, cx: &mut Cx<'_>) {
        let Some(node) = cx.sampler.sample_connected() else {
            tracing::debug!(reason = "no connected validators", "skipping block gossip");
            return;
        };
        let Some(height) = self.next_height() else { return };
        let request = self.next_request();
        let preference = self.consensus.preference();
        cx.sender.send_pull_query(&NodeSet::from([node]), request, preference, height);
    }

    /// The height of the next block to accept; none after the last possible one.
    fn next_height(&self) -> Option<u64> {
        let (block, height) = self.consensus.last_accepted();
        let next = height.checked_add(1);
        if next.is_none() {
            tracing::error!(%block, height, reason = "block height overflow", "dropped query");
        }
        next
    }
}
