//! Blocks that this node asked for.

use bytes::Bytes;
use sastrugi_types::{NodeId, RequestId};

use super::{IssueSource, Snowman};
use crate::common::{Cx, Handled, PutHandler, Request};

impl PutHandler for Snowman {
    fn put(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Bytes,
    ) -> Handled {
        let block = match self.config.vm.parse_block(container) {
            Ok(block) => block,
            Err(error) => {
                tracing::debug!(node = %from, %request, %error, "failed to parse block");
                return self.get_failed(cx, from, request);
            }
        };
        let source = match self.requests.wanted(&Request { node: from, request }) {
            Some(wanted) if wanted.block != block.id => {
                let expected = wanted.block;
                tracing::debug!(node = %from, %request, block = %block.id, %expected, "wrong block");
                return self.get_failed(cx, from, request);
            }
            Some(wanted) => wanted.source,
            // The block came another way in the meantime. It is issued all the same: it may have
            // failed to verify then.
            None => IssueSource::Unknown,
        };
        if !self.should_issue(&block) {
            self.stats.useless_put_bytes += block.bytes.len() as u64;
        }
        self.issue_from(cx, from, block, source)?;
        self.build_blocks(cx)
    }

    fn get_failed(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId) -> Handled {
        let Some(wanted) = self.requests.remove(&Request { node: from, request }) else {
            tracing::debug!(node = %from, %request, "unexpected failure of a get");
            return Ok(());
        };
        self.abandon(cx, wanted.block)?;
        self.build_blocks(cx)
    }
}
