//! Taking charge, health, and what happens inside the node.

use std::sync::Arc;

use sastrugi_types::{Instant, NodeId, RequestId, WallTime, version::Application};
use sastrugi_vm::{Health, State, StateSyncableVm, VmError};
use serde_json::json;

use super::StateSyncer;
use crate::common::{
    AcceptedFrontierHandler, AcceptedHandler, AncestorsHandler, AppHandler, ChitsHandler, Cx,
    Engine, Fatal, Handled, Handler, InternalHandler, Message, PutHandler, QueryHandler,
};

impl AcceptedFrontierHandler for StateSyncer {}
impl AcceptedHandler for StateSyncer {}
impl AncestorsHandler for StateSyncer {}
impl PutHandler for StateSyncer {}
impl QueryHandler for StateSyncer {}
impl ChitsHandler for StateSyncer {}

impl Handler for StateSyncer {
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync> {
        self.config.vm.clone()
    }
}

impl crate::common::StateSyncer for StateSyncer {
    fn is_enabled(&mut self) -> Result<bool, Fatal> {
        match self.vm().map(StateSyncableVm::state_sync_enabled) {
            None | Some(Err(VmError::NotImplemented)) => Ok(false),
            Some(enabled) => enabled.map_err(Fatal::vm("state_sync_enabled")),
        }
    }
}

impl Engine for StateSyncer {
    fn start(&mut self, cx: &mut Cx<'_>, start_request: RequestId) -> Handled {
        cx.acceptor.state_changed(State::StateSyncing)?;
        self.config.vm.set_state(State::StateSyncing).map_err(Fatal::vm("set_state"))?;
        self.request_id = start_request;
        self.begin_if_ready(cx)
    }

    fn timeout(&mut self, cx: &mut Cx<'_>) -> Handled {
        self.end_pause(cx)
    }

    fn health(&mut self, _now: Instant, _wall: WallTime) -> Health {
        let vm = self.config.vm.health();
        let progress = self.progress();
        let stuck = progress.stuck();
        Health {
            causes: stuck.into_iter().chain(vm.causes).collect(),
            details: json!({
                "consensus": {},
                "vm": vm.details,
                "stateSync": progress.to_json(),
            }),
        }
    }
}

impl InternalHandler for StateSyncer {
    fn connected(&mut self, cx: &mut Cx<'_>, node: NodeId, version: &Application) -> Handled {
        self.config.vm.connected(node, version).map_err(Fatal::vm("connected"))?;
        self.config.startup.connected(node);
        self.begin_if_ready(cx)
    }

    fn disconnected(&mut self, _cx: &mut Cx<'_>, node: NodeId) -> Handled {
        self.config.vm.disconnected(node).map_err(Fatal::vm("disconnected"))?;
        self.config.startup.disconnected(node);
        Ok(())
    }

    fn shutdown(&mut self, _cx: &mut Cx<'_>) -> Handled {
        tracing::info!("shutting down the state syncer");
        self.config.vm.shutdown().map_err(Fatal::vm("shutdown"))
    }

    fn notify(&mut self, cx: &mut Cx<'_>, message: Message) -> Handled {
        if message == Message::StateSyncDone {
            self.config.state_syncing.set(false);
            self.finish(cx);
        } else {
            tracing::info!(%message, "an unexpected message from the VM");
        }
        Ok(())
    }
}
