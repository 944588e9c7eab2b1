//! Taking charge, health, and what happens inside the node.

use std::sync::Arc;

use sastrugi_consensus::snowman;
use sastrugi_types::{
    Instant, NodeId, RequestId, WallTime, time::duration_text, version::Application,
};
use sastrugi_vm::{Block, Health, State, VmError};
use serde_json::{Value, json};

use super::{IssueSource, Snowman, consensus_above, work::Issue};
use crate::common::{
    AcceptedFrontierHandler, AcceptedHandler, AcceptedStateSummaryHandler, AncestorsHandler,
    AppHandler, Cx, Engine, Fatal, Handled, Handler, InternalHandler, Message,
    StateSummaryFrontierHandler,
};

impl StateSummaryFrontierHandler for Snowman {}
impl AcceptedStateSummaryHandler for Snowman {}
impl AcceptedFrontierHandler for Snowman {}
impl AcceptedHandler for Snowman {}
impl AncestorsHandler for Snowman {}

impl Handler for Snowman {
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync> {
        self.config.vm.clone()
    }
}

impl Engine for Snowman {
    fn start(&mut self, cx: &mut Cx<'_>, start_request: RequestId) -> Handled {
        self.request_id = start_request;
        let last_accepted = self.last_accepted_block()?;
        let Block { id, height, timestamp, .. } = last_accepted;
        self.consensus = consensus_above(&self.config, id, height, timestamp)
            .map_err(|error| Fatal::Broken(error.to_string()))?;
        match self.config.vm.options(&last_accepted).map_err(Fatal::vm("options"))? {
            Some(options) => self.issue_options(cx, options)?,
            None => self.prefer()?,
        }
        tracing::info!(last_accepted = %id, height, "starting consensus");
        self.stats.started = true;
        cx.acceptor.state_changed(State::NormalOp)?;
        self.config.vm.set_state(State::NormalOp).map_err(Fatal::vm("set_state"))?;
        self.build_blocks(cx)
    }

    fn health(&mut self, _now: Instant, wall: WallTime) -> Health {
        let consensus = self.consensus.health(wall);
        let vm = self.config.vm.health();
        let causes = consensus.problems.iter().map(ToString::to_string).chain(vm.causes);
        Health {
            causes: causes.collect(),
            details: json!({ "consensus": consensus_details(&consensus), "vm": vm.details }),
        }
    }
}

impl InternalHandler for Snowman {
    fn connected(&mut self, _cx: &mut Cx<'_>, node: NodeId, version: &Application) -> Handled {
        self.config.vm.connected(node, version).map_err(Fatal::vm("connected"))
    }

    fn disconnected(&mut self, _cx: &mut Cx<'_>, node: NodeId) -> Handled {
        self.config.vm.disconnected(node).map_err(Fatal::vm("disconnected"))
    }

    fn gossip(&mut self, cx: &mut Cx<'_>) -> Handled {
        if self.consensus.num_processing() == 0 {
            self.query_one_validator(cx);
        } else {
            self.repoll(cx);
        }
        Ok(())
    }

    fn shutdown(&mut self, _cx: &mut Cx<'_>) -> Handled {
        tracing::info!("shutting down the consensus engine");
        self.config.vm.shutdown().map_err(Fatal::vm("shutdown"))
    }

    fn notify(&mut self, cx: &mut Cx<'_>, message: Message) -> Handled {
        match message {
            Message::PendingTxs => {
                self.owed_builds = self.owed_builds.saturating_add(1);
                return self.build_blocks(cx);
            }
            Message::StateSyncDone => self.config.state_syncing.set(false),
            Message::Unknown(number) => {
                tracing::warn!(number, "an unexpected message from the VM");
            }
        }
        Ok(())
    }
}

impl Snowman {
    fn last_accepted_block(&self) -> Result<Block, Fatal> {
        let vm = &self.config.vm;
        let id = vm.last_accepted().map_err(Fatal::vm("last_accepted"))?;
        vm.get_block(id)
            .and_then(|block| block.ok_or(VmError::NotFound))
            .map_err(Fatal::vm("get_block of the last accepted"))
    }

    /// Issues the options of the last accepted block, which is an oracle.
    fn issue_options(&mut self, cx: &mut Cx<'_>, options: [Block; 2]) -> Handled {
        let (node, source) = (self.config.node, IssueSource::Built);
        for block in options {
            self.deliver(cx, Issue { node, block, push: false, source })?;
            self.work_off(cx)?;
        }
        Ok(())
    }
}

/// What health says of consensus.
fn consensus_details(health: &snowman::Health) -> Value {
    json!({
        "processingBlocks": health.processing_blocks,
        "longestProcessingBlock": duration_text(health.longest_processing_block),
        "avgAcceptanceTime": span_text(health.average_acceptance_nanos),
        "lastAcceptedID": health.last_accepted.to_string(),
        "lastAcceptedHeight": health.last_accepted_height,
    })
}

/// A span that may be negative, as upstream writes it.
fn span_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let span = std::time::Duration::from_nanos(nanos.unsigned_abs());
    format!("{sign}{}", duration_text(span))
}
