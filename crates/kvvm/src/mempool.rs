//! The transactions that wait for a block.
//!
//! * Only signed transactions for this chain come in, in bounded number and size, in all and per
//!   account, and no further ahead of the account's nonce than the account may have waiting.
//! * A transaction stays until its nonce is used by an accepted block, or its time is over. What
//!   processing blocks hold is not removed: if they are rejected it waits again.
//! * It is *eligible* when the preferred block's state has come to its nonce, and it was issued to
//!   this node or has waited for the delay of gossiped ones. While any is eligible the engine's
//!   slot for pending transactions is set.
//! * What became of the last few transactions that left otherwise than by acceptance is remembered
//!   for those who ask.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use sastrugi_types::{Id, Instant};
use sastrugi_vm::Events;

use crate::{
    block::Room,
    config::Config,
    transaction::{Account, Transaction, TransactionError},
};

/// So many dropped transactions are remembered.
const DROPPED_MAX: usize = 4096;

/// Why a transaction does not get in, or had to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    /// It is not valid here and now.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// It waits already.
    #[error("the transaction waits already")]
    Known,
    /// Another transaction of the account waits with this nonce.
    #[error("another transaction with nonce {0} waits")]
    NonceTaken(u64),
    /// Another transaction of the account was accepted with this nonce.
    #[error("another transaction with nonce {0} was accepted")]
    Overtaken(u64),
    /// The mempool is full.
    #[error("the mempool is full")]
    Full,
    /// It waited too long.
    #[error("the transaction waited too long")]
    Expired,
}

/// Where a transaction came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This node's API.
    Local,
    /// Another node.
    Remote,
    /// A rejected block, where its signature was checked.
    Rejected,
}

/// What the mempool knows about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PoolStatus {
    /// In a processing block.
    Processing,
    /// Waiting.
    Pending,
    /// Gone, for this reason.
    Dropped(PoolError),
    Unknown,
}

/// See the module.
pub(crate) struct Mempool {
    config: Config,
    events: Events,
    accounts: BTreeMap<Account, Queue>,
    /// Waiting transactions by ID.
    by_id: BTreeMap<Id, (Account, u64)>,
    /// Waiting transactions by arrival.
    by_arrival: BTreeMap<u64, (Account, u64)>,
    arrivals: u64,
    size_bytes: usize,
    /// The nonces on top of the preferred block, where they differ from the accepted ones.
    preferred_nonces: BTreeMap<Account, u64>,
    /// In how many processing blocks a transaction is.
    processing: BTreeMap<Id, usize>,
    /// The transactions of the last accepted block: it may not be committed yet.
    accepted_last: Vec<Id>,
    /// When something is next due, as last computed.
    due: Option<Instant>,
    dropped: BTreeMap<Id, PoolError>,
    dropped_order: VecDeque<Id>,
}

struct Queue {
    /// The account's nonce as accepted.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    transaction: Arc<Transaction>,
    arrival: u64,
    arrived: Instant,
    eligible_from: Instant,
}

impl Mempool {
    /// An empty mempool that reports to `events`.
    pub(crate) fn new(config: Config, events: Events) -> Self {
        Self {
            config,
            events,
            accounts: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_arrival: BTreeMap::new(),
            arrivals: 0,
            size_bytes: 0,
            preferred_nonces: BTreeMap::new(),
            processing: BTreeMap::new(),
            accepted_last: Vec::new(),
            due: None,
            dropped: BTreeMap::new(),
            dropped_order: VecDeque::new(),
        }
    }

    /// Whether [`Self::add`] would take the transaction: to be asked before its signature is
    /// checked. `next` is the account's nonce as committed.
    pub(crate) fn check(&self, transaction: &Transaction, next: u64) -> Result<(), PoolError> {
        if self.by_id.contains_key(&transaction.id()) {
            return Err(PoolError::Known);
        }
        let nonce = transaction.nonce();
        let queue = self.accounts.get(&transaction.account());
        let next = queue.map_or(next, |queue| queue.next.max(next));
        let per_account = self.config.mempool_txs_per_account;
        if nonce < next {
            return Err(TransactionError::NonceUsed { nonce, next }.into());
        }
        if nonce - next >= per_account as u64 || nonce == u64::MAX {
            return Err(TransactionError::NonceTooHigh { nonce, next }.into());
        }
        if queue.is_some_and(|queue| queue.waiting.contains_key(&nonce)) {
            return Err(PoolError::NonceTaken(nonce));
        }
        let is_full = self.by_id.len() >= self.config.mempool_txs
            || self.size_bytes + transaction.bytes().len() > self.config.mempool_bytes
            || queue.is_some_and(|queue| queue.waiting.len() >= per_account);
        if is_full { Err(PoolError::Full) } else { Ok(()) }
    }

    /// Adds a transaction whose chain and signature were checked. `next` is the account's nonce as
    /// committed.
    pub(crate) fn add(
        &mut self,
        transaction: Transaction,
        origin: Origin,
        next: u64,
        now: Instant,
    ) -> Result<(), PoolError> {
        self.check(&transaction, next)?;
        let (account, nonce) = (transaction.account(), transaction.nonce());
        let delay = match origin {
            Origin::Local => Duration::ZERO,
            Origin::Remote | Origin::Rejected => self.config.gossiped_tx_delay(),
        };
        self.arrivals += 1;
        self.size_bytes += transaction.bytes().len();
        self.by_id.insert(transaction.id(), (account, nonce));
        self.by_arrival.insert(self.arrivals, (account, nonce));
        self.dropped.remove(&transaction.id());
        let queue =
            self.accounts.entry(account).or_insert(Queue { next, waiting: BTreeMap::new() });
        let waiting = Waiting {
            transaction: Arc::new(transaction),
            arrival: self.arrivals,
            arrived: now,
            eligible_from: now + delay,
        };
        queue.waiting.insert(nonce, waiting);
        Ok(())
    }

    /// Follows a block that became processing.
    pub(crate) fn verified(&mut self, transactions: &[Transaction]) {
        for transaction in transactions {
            *self.processing.entry(transaction.id()).or_default() += 1;
        }
    }

    /// Follows a rejected block.
    pub(crate) fn rejected(&mut self, transactions: &[Transaction]) {
        for transaction in transactions {
            if let Some(blocks) = self.processing.get_mut(&transaction.id()) {
                *blocks -= 1;
                if *blocks == 0 {
                    self.processing.remove(&transaction.id());
                }
            }
        }
    }

    /// Follows an accepted block.
    pub(crate) fn accepted(&mut self, transactions: &[Transaction]) {
        self.rejected(transactions);
        self.accepted_last = transactions.iter().map(Transaction::id).collect();
        for transaction in transactions {
            if self.by_id.contains_key(&transaction.id()) {
                self.take(transaction.account(), transaction.nonce());
            }
            self.advance(transaction.account(), transaction.nonce() + 1);
        }
    }

    /// Follows a change of the preferred block.
    pub(crate) fn prefer(&mut self, nonces: BTreeMap<Account, u64>) {
        self.preferred_nonces = nonces;
    }

    /// Follows a failed attempt to build with a transaction.
    pub(crate) fn refused(&mut self, id: Id, error: TransactionError) {
        let Some(&(account, nonce)) = self.by_id.get(&id) else { return };
        match error {
            TransactionError::NonceUsed { next, .. } => self.advance(account, next),
            error => self.drop(account, nonce, error.into()),
        }
    }

    /// Drops what has waited too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.expiry().is_some_and(|expiry| expiry <= now)
            && let Some(&(account, nonce)) = self.by_arrival.values().next()
        {
            self.drop(account, nonce, PoolError::Expired);
        }
    }

    /// Tells the engine whether anything is eligible, and itself when to look again.
    pub(crate) fn signal(&mut self, now: Instant) {
        let eligible_from = self.heads().map(|waiting| waiting.eligible_from).min();
        let is_pending = eligible_from.is_some_and(|from| from <= now);
        self.events.set_pending_txs(is_pending);
        let eligible_due = eligible_from.filter(|_| !is_pending);
        let due = eligible_due.into_iter().chain(self.expiry()).min();
        let is_sooner = due.is_some_and(|due| self.due.is_none_or(|before| due < before));
        self.due = due;
        if is_sooner {
            self.events.wake();
        }
    }

    /// When [`Self::expire`] and [`Self::signal`] have something to do.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Waiting transactions that can follow the preferred block one after another, the oldest
    /// first, as many as fit in a block.
    pub(crate) fn executable(&self) -> Vec<Arc<Transaction>> {
        let mut room = Room::WHOLE;
        let mut chosen = Vec::new();
        let mut heads: BTreeMap<u64, &Waiting> =
            self.heads().map(|waiting| (waiting.arrival, waiting)).collect();
        while let Some((_, head)) = heads.pop_first() {
            if !room.take(&head.transaction) {
                continue;
            }
            chosen.push(Arc::clone(&head.transaction));
            let (account, nonce) = (head.transaction.account(), head.transaction.nonce());
            if let Some(next) = self.waiting(account, nonce + 1) {
                heads.insert(next.arrival, next);
            }
        }
        chosen
    }

    /// The accounts with waiting transactions.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.accounts.keys().copied().collect()
    }

    /// Waiting transactions, the oldest first.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = &Arc<Transaction>> {
        self.by_arrival
            .values()
            .filter_map(|(account, nonce)| self.waiting(*account, *nonce))
            .map(|waiting| &waiting.transaction)
    }

    /// Whether the transaction waits; then its signature is right.
    pub(crate) fn contains(&self, id: Id) -> bool {
        self.by_id.contains_key(&id)
    }

    /// What is known about a transaction that is not committed.
    pub(crate) fn status(&self, id: Id) -> PoolStatus {
        if self.processing.contains_key(&id) || self.accepted_last.contains(&id) {
            PoolStatus::Processing
        } else if self.contains(id) {
            PoolStatus::Pending
        } else if let Some(reason) = self.dropped.get(&id) {
            PoolStatus::Dropped(reason.clone())
        } else {
            PoolStatus::Unknown
        }
    }

    /// The first nonce from `next` on that no transaction of the account waits with.
    pub(crate) fn free_nonce(&self, account: Account, next: u64) -> u64 {
        let Some(queue) = self.accounts.get(&account) else { return next };
        let start = queue.next.max(next);
        let end = start.saturating_add(queue.waiting.len() as u64);
        (start..end).find(|nonce| !queue.waiting.contains_key(nonce)).unwrap_or(end)
    }

    /// The number of waiting transactions.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The sum of their lengths, in bytes.
    pub(crate) const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn waiting(&self, account: Account, nonce: u64) -> Option<&Waiting> {
        self.accounts.get(&account)?.waiting.get(&nonce)
    }

    /// The transactions whose nonce the preferred block's state has come to.
    fn heads(&self) -> impl Iterator<Item = &Waiting> {
        self.accounts.iter().filter_map(|(account, queue)| {
            let next = self.preferred_nonces.get(account).unwrap_or(&queue.next);
            queue.waiting.get(next)
        })
    }

    /// When the transaction that has waited longest expires.
    fn expiry(&self) -> Option<Instant> {
        let (account, nonce) = self.by_arrival.values().next()?;
        let waiting = self.waiting(*account, *nonce)?;
        Some(waiting.arrived + self.config.tx_lifetime())
    }

    /// The account's nonce rose: what waits below it has lost.
    pub(crate) fn advance(&mut self, account: Account, next: u64) {
        let Some(queue) = self.accounts.get_mut(&account) else { return };
        queue.next = queue.next.max(next);
        let lost: Vec<u64> = queue.waiting.range(..queue.next).map(|(nonce, _)| *nonce).collect();
        for nonce in lost {
            self.drop(account, nonce, PoolError::Overtaken(nonce));
        }
    }

    fn drop(&mut self, account: Account, nonce: u64, reason: PoolError) {
        let Some(transaction) = self.take(account, nonce) else { return };
        if self.dropped.insert(transaction.id(), reason).is_none() {
            self.dropped_order.push_back(transaction.id());
        }
        if self.dropped_order.len() > DROPPED_MAX
            && let Some(oldest) = self.dropped_order.pop_front()
        {
            self.dropped.remove(&oldest);
        }
    }

    fn take(&mut self, account: Account, nonce: u64) -> Option<Arc<Transaction>> {
        let queue = self.accounts.get_mut(&account)?;
        let waiting = queue.waiting.remove(&nonce)?;
        if queue.waiting.is_empty() {
            self.accounts.remove(&account);
        }
        self.by_id.remove(&waiting.transaction.id());
        self.by_arrival.remove(&waiting.arrival);
        self.size_bytes -= waiting.transaction.bytes().len();
        Some(waiting.transaction)
    }
}

#[cfg(test)]
#[path = "mempool_tests.rs"]
mod tests;
