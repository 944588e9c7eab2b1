//! Where transactions come in: from this node's API and from other nodes.
//!
//! All of this runs beside the engine, on any thread. It sees committed state only, and shares
//! with the engine's side nothing but the mempool.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, NodeId, RequestId};
use sastrugi_vm::{AppError, AppSender, Clock, Random, SendConfig, VmInit};

use crate::{
    committed::{Committed, ReadError},
    config::Config,
    gossip::{Peers, Pull, TransactionList},
    mempool::{Mempool, Origin, PoolError},
    transaction::{Account, Target, Transaction, TransactionError},
};

/// Answers a request that cannot be read.
pub(crate) const MALFORMED: AppError =
    AppError { code: 1, message: std::borrow::Cow::Borrowed("malformed request") };

/// See the module.
pub(crate) struct Intake {
    pub(crate) target: Target,
    pub(crate) committed: Committed,
    pub(crate) mempool: Mutex<Mempool>,
    push_gossip_peers: usize,
    peers: Mutex<Peers>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    app_sender: Arc<dyn AppSender>,
}

/// Why a transaction is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IntakeError {
    /// It is refused.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The state cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<TransactionError> for IntakeError {
    fn from(error: TransactionError) -> Self {
        Self::Pool(error.into())
    }
}

impl Intake {
    pub(crate) fn new(init: &VmInit, target: Target, config: &Config) -> Self {
        Self {
            target,
            committed: Committed::new(Arc::clone(&init.committed)),
            mempool: Mutex::new(Mempool::new(config.clone(), init.events.clone())),
            push_gossip_peers: config.push_gossip_peers,
            peers: Mutex::new(Peers::new(config.pull_gossip_interval(), init.clock.now())),
            clock: Arc::clone(&init.clock),
            random: Arc::clone(&init.random),
            app_sender: Arc::clone(&init.app_sender),
        }
    }

    /// Takes a transaction issued to this node, and pushes it to peers. One that waits already is
    /// fine.
    pub(crate) fn issue(&self, bytes: Bytes) -> Result<Id, IntakeError> {
        let transaction = Transaction::decode(bytes).map_err(TransactionError::from)?;
        let id = transaction.id();
        let mut list = TransactionList::default();
        list.push(transaction.bytes());
        match self.take(transaction, Origin::Local) {
            Err(IntakeError::Pool(PoolError::Known)) => return Ok(id),
            taken => taken?,
        }
        self.mempool.lock().signal(self.clock.now());
        let config = SendConfig { peers: self.push_gossip_peers, ..SendConfig::default() };
        log_failure("push gossip", self.app_sender.send_app_gossip(&config, list.encode()));
        Ok(id)
    }

    /// Takes what a peer pushed, or answered to a pull.
    pub(crate) fn receive(&self, node: NodeId, bytes: Bytes) {
        let transactions = match TransactionList::decode(bytes) {
            Ok(transactions) => transactions,
            Err(error) => {
                tracing::debug!(%node, %error, "malformed gossip");
                return;
            }
        };
        for bytes in transactions {
            let taken = Transaction::decode(bytes)
                .map_err(|error| TransactionError::from(error).into())
                .and_then(|transaction| self.take(transaction, Origin::Remote));
            log_failure("take a gossiped transaction", taken);
        }
        self.mempool.lock().signal(self.clock.now());
    }

    /// Takes the transactions of a rejected block again, if they still can be accepted.
    pub(crate) fn take_again(&self, transactions: &[Transaction]) {
        for transaction in transactions {
            let taken = self.take(transaction.clone(), Origin::Rejected);
            log_failure("take a rejected block's transaction", taken);
        }
    }

    /// The cheap checks come before the signature.
    fn take(&self, transaction: Transaction, origin: Origin) -> Result<(), IntakeError> {
        transaction.check_target(self.target)?;
        let next = self.committed.nonce(transaction.account())?;
        self.mempool.lock().check(&transaction, next)?;
        if origin != Origin::Rejected {
            transaction.verify_signature()?;
        }
        self.mempool.lock().add(transaction, origin, next, self.clock.now())?;
        Ok(())
    }

    /// The nonce of the account's next transaction as committed, and the first one that no waiting
    /// transaction has.
    pub(crate) fn nonces(&self, account: Account) -> Result<(u64, u64), ReadError> {
        let next = self.committed.nonce(account)?;
        Ok((next, self.mempool.lock().free_nonce(account, next)))
    }

    pub(crate) fn connected(&self, node: NodeId) {
        self.peers.lock().connected(node);
    }

    pub(crate) fn disconnected(&self, node: NodeId) {
        self.peers.lock().disconnected(node);
    }

    /// When [`Self::pull`] has something to do.
    pub(crate) fn pull_due(&self) -> Option<Instant> {
        self.peers.lock().due()
    }

    /// Asks a peer for transactions, if it is time.
    pub(crate) fn pull(&self, now: Instant) {
        let Some((node, request)) = self.peers.lock().pull(now, self.random.next_u64()) else {
            return;
        };
        let salt = self.random.next_u64();
        let pull = {
            let mempool = self.mempool.lock();
            Pull::new(salt, mempool.transactions().map(|transaction| transaction.id()))
        };
        let sent =
            self.app_sender.send_app_request(&BTreeSet::from([node]), request, pull.encode());
        log_failure("pull gossip", sent);
    }

    /// Answers a peer's pull, always: silence would look like a failure of this node.
    pub(crate) fn answer(&self, node: NodeId, request: RequestId, bytes: Bytes) {
        let sent = match Pull::decode(bytes) {
            Ok(pull) => {
                let list = self.list_for(node, &pull);
                self.app_sender.send_app_response(node, request, list.encode())
            }
            Err(error) => {
                tracing::debug!(%node, %error, "malformed pull");
                self.app_sender.send_app_error(node, request, &MALFORMED)
            }
        };
        log_failure("answer a pull", sent);
    }

    fn list_for(&self, node: NodeId, pull: &Pull) -> TransactionList {
        let mut list = TransactionList::default();
        if self.peers.lock().may_answer(node, self.clock.now()) {
            let mempool = self.mempool.lock();
            let unknown =
                mempool.transactions().filter(|transaction| !pull.knows(transaction.id()));
            for transaction in unknown {
                if !list.push(transaction.bytes()) {
                    break;
                }
            }
        }
        list
    }
}

/// Gossip is help among equals: when it fails the node goes on.
fn log_failure<E: fmt::Display>(what: &'static str, result: Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "failed to {what}");
    }
}
