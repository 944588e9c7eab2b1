//! Taking charge, connections, and what happens inside the node.

use std::sync::Arc;

use sastrugi_types::{Instant, NodeId, RequestId, WallTime, version::Application};
use sastrugi_vm::{Health, State};

use super::{Bootstrapper, Standing, Wait, interval, interval::Tree};
use crate::common::{
    self, AcceptedStateSummaryHandler, AppHandler, BootstrapableEngine, ChitsHandler, Cx, Engine,
    Fatal, Handled, Handler, InternalHandler, Message, PutHandler, QueryHandler,
    StateSummaryFrontierHandler,
};

impl StateSummaryFrontierHandler for Bootstrapper {}
impl AcceptedStateSummaryHandler for Bootstrapper {}
impl PutHandler for Bootstrapper {}
impl QueryHandler for Bootstrapper {}
impl ChitsHandler for Bootstrapper {}

impl Handler for Bootstrapper {
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync> {
        self.config.vm.clone()
    }
}

impl Engine for Bootstrapper {
    fn start(&mut self, cx: &mut Cx<'_>, start_request: RequestId) -> Handled {
        cx.acceptor.state_changed(State::Bootstrapping)?;
        self.config.vm.set_state(State::Bootstrapping).map_err(Fatal::vm("set_state"))?;
        let last_accepted = self.last_accepted()?;
        self.standing = Standing::Waiting;
        self.request_id = start_request;
        self.base_height = last_accepted.height;
        self.load()?;
        tracing::info!(
            last_accepted = %last_accepted.id,
            height = last_accepted.height,
            fetched = self.tree.len(),
            missing = self.missing.len(),
            "starting to bootstrap"
        );
        self.try_start(cx)
    }

    fn work(&mut self, cx: &mut Cx<'_>) -> Result<common::Progress, Fatal> {
        self.execute_slice(cx)
    }

    fn timeout(&mut self, cx: &mut Cx<'_>) -> Handled {
        match self.waiting.take() {
            Some(Wait::NextRound) => self.start_round(cx),
            Some(Wait::Subnet) if self.config.tracker.is_bootstrapped() => {
                self.finish(cx);
                Ok(())
            }
            Some(Wait::Subnet) => self.restart(cx),
            None => {
                tracing::debug!(reason = "nothing waits for it", "dropping timeout");
                Ok(())
            }
        }
    }

    fn health(&mut self, now: Instant, _wall: WallTime) -> Health {
        self.check_health(now)
    }
}

impl BootstrapableEngine for Bootstrapper {
    fn clear(&mut self) -> Handled {
        self.tree = Tree::new();
        self.missing.clear();
        Ok(interval::clear(&*self.config.db)?)
    }
}

impl InternalHandler for Bootstrapper {
    fn connected(&mut self, cx: &mut Cx<'_>, node: NodeId, version: &Application) -> Handled {
        self.config.vm.connected(node, version).map_err(Fatal::vm("connected"))?;
        self.config.startup.connected(node);
        self.try_start(cx)
    }

    fn disconnected(&mut self, _cx: &mut Cx<'_>, node: NodeId) -> Handled {
        self.config.vm.disconnected(node).map_err(Fatal::vm("disconnected"))?;
        self.config.startup.disconnected(node);
        Ok(())
    }

    fn shutdown(&mut self, _cx: &mut Cx<'_>) -> Handled {
        tracing::info!("shutting down the bootstrapper");
        self.config.vm.shutdown().map_err(Fatal::vm("shutdown"))
    }

    fn notify(&mut self, _cx: &mut Cx<'_>, message: Message) -> Handled {
        match message {
            Message::StateSyncDone => self.config.state_syncing.set(false),
            message => tracing::debug!(%message, "not for a chain that is bootstrapping"),
        }
        Ok(())
    }
}

impl Bootstrapper {
    /// Looks at what was fetched before.
    fn load(&mut self) -> Handled {
        let db = self.config.db.clone();
        self.tree = Tree::load(&*db)?;
        self.missing = interval::missing(&*db, &self.tree, self.base_height, |height, bytes| {
            self.parse_trusted(height, bytes).map(|block| block.parent)
        })?;
        self.tip_height = self.tree.flatten().last().map_or(0, |run| run.upper);
        Ok(())
    }

    /// Begins the first round, once enough beacons were connected.
    fn try_start(&mut self, cx: &mut Cx<'_>) -> Handled {
        if self.standing != Standing::Waiting || !self.config.startup.should_start() {
            return Ok(());
        }
        self.standing = Standing::Started;
        self.start_round(cx)
    }

    /// Begins another round with what was learned in those before.
    pub(super) fn restart(&mut self, cx: &mut Cx<'_>) -> Handled {
        tracing::debug!("checking for new frontiers");
        self.standing = Standing::Restarted;
        self.outstanding.clear();
        self.start_round(cx)
    }

    /// The next gear's turn has come.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        tracing::info!(accepted = self.stats.accepted, "bootstrapped");
        self.standing = Standing::Finished;
        cx.finish(self.request_id);
    }
}
