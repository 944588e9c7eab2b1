//! Which connections there are.
//!
//! * Upon registering: refuse a node that has a connection already (the first one stays), and
//!   everybody once the network closes.
//! * Upon the end of the handshake: the connection may be sent to.
//! * Upon the end of the connection: it is forgotten, and the node may come back.
//!
//! Senders work on a snapshot, so they hold no lock while they ask who validates or fill queues.
//!
//! Upstream: `network/network.go`, `network/peer/set.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use sastrugi_types::{Id, NodeId};
use sastrugi_wire::peer::Direction;

use crate::connection::Connection;

/// Connections that may be sent to, in the order of their node IDs.
pub(crate) type Connected = Arc<[Arc<Connection>]>;

/// Finds a node in a snapshot.
pub(crate) fn find(connected: &Connected, node: NodeId) -> Option<&Arc<Connection>> {
    let found = connected.binary_search_by_key(&node, |connection| connection.node());
    found.ok().map(|place| &connected[place])
}

/// Why a connection is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRegistered {
    Duplicate,
    Closing,
}

/// All connections past TLS.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    all: Mutex<All>,
    connected: RwLock<Connected>,
}

#[derive(Debug, Default)]
struct All {
    is_closing: bool,
    connections: BTreeMap<NodeId, Arc<Connection>>,
}

impl Registry {
    /// Whether a connection of this node would be registered.
    pub(crate) fn check(&self, node: NodeId) -> Result<(), NotRegistered> {
        check(&self.all.lock(), node)
    }

    pub(crate) fn register(&self, connection: Arc<Connection>) -> Result<(), NotRegistered> {
        let mut all = self.all.lock();
        check(&all, connection.node())?;
        all.connections.insert(connection.node(), connection);
        Ok(())
    }

    /// The handshake with a registered node, which tracks these subnets, is done.
    pub(crate) fn promote(&self, node: NodeId, subnets: BTreeSet<Id>) {
        let all = self.all.lock();
        if let Some(connection) = all.connections.get(&node) {
            connection.set_ready(subnets);
            self.publish(&all);
        }
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, node: NodeId) -> Option<Arc<Connection>> {
        let mut all = self.all.lock();
        let removed = all.connections.remove(&node)?;
        if removed.is_ready() {
            self.publish(&all);
        }
        Some(removed)
    }

    /// Refuses further connections, and gives those there are.
    pub(crate) fn close(&self) -> Vec<Arc<Connection>> {
        let mut all = self.all.lock();
        all.is_closing = true;
        all.connections.values().cloned().collect()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.all.lock().is_closing
    }

    /// Whether the node has a connection, whether or not its handshake is done.
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.all.lock().connections.contains_key(&node)
    }

    /// How many connections others have opened.
    pub(crate) fn ingress(&self) -> usize {
        let all = self.all.lock();
        all.connections.values().filter(|it| it.direction() == Direction::Ingress).count()
    }

    pub(crate) fn connected(&self) -> Connected {
        Arc::clone(&self.connected.read())
    }

    fn publish(&self, all: &All) {
        let ready = all.connections.values().filter(|connection| connection.is_ready());
        *self.connected.write() = ready.cloned().collect();
    }
}

fn check(all: &All, node: NodeId) -> Result<(), NotRegistered> {
    if all.is_closing {
        Err(NotRegistered::Closing)
    } else if let Some(first) = all.connections.get(&node) {
        first.note_rival();
        Err(NotRegistered::Duplicate)
    } else {
        Ok(())
    }
}
