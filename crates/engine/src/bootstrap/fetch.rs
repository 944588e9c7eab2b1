//! Fetching blocks, youngest first.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId};
use sastrugi_vm::{Block, VmError, db::Durability};

use super::{
    Bootstrapper,
    interval::{self, Edits},
    requests::Wanted,
};
use crate::common::{AncestorsHandler, Cx, Fatal, Handled, Request};

/// Keeps bandwidths finite when an answer comes within the same instant, in seconds.
const LATENCY_MIN: f64 = 1e-6;
/// After so many failures of a block there is a pause: peers that answer quickly that they do not
/// have it are not asked without end.
const FAILURES_PER_PAUSE: u32 = 16;

impl AncestorsHandler for Bootstrapper {
    fn ancestors(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: Vec<Bytes>,
    ) -> Handled {
        let Some(wanted) = self.outstanding.take(&Request { node: from, request }) else {
            tracing::debug!(node = %from, %request, reason = "not asked for", "dropping ancestors");
            return Ok(());
        };
        let (block, ancestors) = match self.read_answer(wanted.block, containers) {
            Ok(blocks) => blocks,
            Err(reason) => {
                tracing::debug!(node = %from, %request, block = %wanted.block, reason, "useless ancestors");
                self.stats.answers_refused += 1;
                self.fetch_again(cx, from, wanted.block);
                return Ok(());
            }
        };
        let bytes = block.bytes.len()
            + ancestors.values().map(|ancestor| ancestor.bytes.len()).sum::<usize>();
        self.stats.received_bytes += bytes as u64;
        let latency = cx.now.since(wanted.since).as_secs_f64() + LATENCY_MIN;
        self.config.peers.register_response(from, bytes as f64 / latency, cx.now);
        self.store(cx, block, ancestors)?;
        self.try_execute(cx);
        Ok(())
    }

    fn get_ancestors_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        let Some(wanted) = self.outstanding.take(&Request { node: from, request }) else {
            tracing::debug!(node = %from, %request, reason = "not asked for", "dropping failure");
            return Ok(());
        };
        self.stats.requests_failed += 1;
        self.fetch_again(cx, from, wanted.block);
        Ok(())
    }
}

impl Bootstrapper {
    /// Begins to fetch the accepted blocks, the built-in ones and what else is missing.
    pub(super) fn start_fetching(&mut self, cx: &mut Cx<'_>, accepted: &BTreeSet<Id>) -> Handled {
        self.missing.extend(&self.config.checkpoints);
        self.missing.extend(accepted);
        tracing::debug!(
            accepted = accepted.len(),
            checkpoints = self.config.checkpoints.len(),
            missing = self.missing.len(),
            "starting to fetch blocks"
        );
        let mut known = Vec::new();
        for id in self.missing.clone() {
            match self.config.vm.get_block(id) {
                Ok(Some(block)) => known.push(block),
                Ok(None) | Err(_) => self.fetch(cx, id),
            }
        }
        self.base_height = self.last_accepted()?.height;
        self.meter.begin(cx.now, self.tree.len(), self.fetch_total());
        for block in known {
            self.store(cx, block, BTreeMap::new())?;
        }
        self.try_execute(cx);
        Ok(())
    }

    /// Asks somebody for a block and its ancestors, unless somebody was asked.
    fn fetch(&mut self, cx: &mut Cx<'_>, block: Id) {
        if self.outstanding.asks_for(&block) {
            return;
        }
        let failures = self.failures.get(&block).copied().unwrap_or_default();
        let is_pause = failures > 0 && failures.is_multiple_of(FAILURES_PER_PAUSE);
        // The request to this node itself fails when its time is over.
        let peer = self.config.peers.select_peer().filter(|_| !is_pause);
        let node = peer.unwrap_or(self.config.node);
        self.config.peers.register_request(node);
        let request = self.next_request();
        self.stats.requests += 1;
        self.outstanding.insert(Request { node, request }, Wanted { block, since: cx.now });
        cx.sender.send_get_ancestors(node, request, block);
    }

    fn fetch_again(&mut self, cx: &mut Cx<'_>, failed: NodeId, block: Id) {
        self.config.peers.register_failure(failed, cx.now);
        if self.missing.contains(&block) {
            let failures = self.failures.entry(block).or_default();
            *failures = failures.saturating_add(1);
        }
        // While executing, nothing is missing: the block came with another one.
        if self.execution.is_none() {
            self.fetch(cx, block);
        }
    }

    /// The block asked for and the other blocks of an answer, or what is wrong with it.
    fn read_answer(
        &self,
        wanted: Id,
        mut containers: Vec<Bytes>,
    ) -> Result<(Block, BTreeMap<Id, Block>), String> {
        containers.truncate(self.config.ancestors_max);
        let blocks = self.parse(containers).map_err(|error| error.to_string())?;
        let mut blocks = blocks.into_iter();
        let first = blocks.next().ok_or("no blocks")?;
        if first.id != wanted {
            return Err(format!("the first block is {}", first.id));
        }
        Ok((first, blocks.map(|block| (block.id, block)).collect()))
    }

    fn parse(&self, containers: Vec<Bytes>) -> Result<Vec<Block>, VmError> {
        let vm = &self.config.vm;
        match vm.batched() {
            _ if containers.is_empty() => Ok(Vec::new()),
            Some(batched) => batched.parse_blocks(containers),
            None => containers.into_iter().map(|bytes| vm.parse_block(bytes)).collect(),
        }
    }

    /// Reads a stored block.
    pub(super) fn parse_trusted(&self, height: u64, bytes: Bytes) -> Result<Block, Fatal> {
        let parsed = match &self.config.trusted_parser {
            Some(parser) => parser.parse_trusted(bytes),
            None => self.config.vm.parse_block(bytes),
        };
        parsed.map_err(|error| {
            Fatal::Broken(format!("the block fetched at height {height} does not parse: {error}"))
        })
    }

    /// Stores a block that the network has accepted, and its ancestors as far as they are here. If
    /// one is missing it is asked for.
    fn store(
        &mut self,
        cx: &mut Cx<'_>,
        mut block: Block,
        mut ancestors: BTreeMap<Id, Block>,
    ) -> Handled {
        let last_accepted_height = self.last_accepted()?.height;
        let fetched_before = self.tree.len();
        self.tip_height = self.tip_height.max(block.height);
        let mut edits = Edits::new();
        let missing = loop {
            let Block { id, parent, height, bytes, .. } = block;
            self.missing.remove(&id);
            self.failures.remove(&id);
            let wants_parent = interval::add_block(
                &mut edits,
                &mut self.tree,
                last_accepted_height,
                height,
                bytes,
            );
            if !wants_parent {
                break None;
            }
            match ancestors.remove(&parent) {
                Some(ancestor) => block = ancestor,
                None => break Some(parent),
            }
        };
        self.stats.fetched += self.tree.len().wrapping_sub(fetched_before);
        if !edits.is_empty() {
            self.config.db.write(&edits.take(), Durability::Buffered)?;
        }
        self.tell_fetched(cx.now);
        if let Some(parent) = missing {
            self.missing.insert(parent);
            self.fetch(cx, parent);
        }
        Ok(())
    }

    /// How many blocks are to be fetched in this round, as far as it is known.
    pub(super) const fn fetch_total(&self) -> u64 {
        self.tip_height.saturating_sub(self.base_height)
    }

    fn tell_fetched(&mut self, now: sastrugi_types::Instant) {
        let (fetched, total) = (self.tree.len(), self.fetch_total());
        if let Some(estimate) = self.meter.observe(now, fetched, total) {
            let missing = self.missing.len();
            tracing::info!(fetched, total, missing, eta = ?estimate.remaining, "fetching blocks");
        }
    }
}
