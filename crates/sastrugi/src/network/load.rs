//! `--load`: a generator of transactions, and what became of them.
//!
//! Accounts take turns, and each account stays with one node, because its nonces must arrive in
//! order. A transaction is final when the node it was issued to has accepted it and all of its
//! block is on that node's disk.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::Rng as _;
use sastrugi_kvvm::{
    Block, Target,
    client::{Key, SEED_BYTES, put},
};
use sastrugi_types::Id;

use super::percentiles::Percentiles;
use crate::{client::KvClient, error::StartError};

/// Accounts per node: enough that none reaches the limit of waiting transactions.
const ACCOUNTS_PER_NODE: usize = 16;
/// Transactions the generator waits for; beyond that it issues no more, because the network is
/// behind.
const PENDING_MAX: usize = 10_000;

/// What the generator has seen.
#[derive(Debug, Default)]
pub(super) struct LoadState {
    /// When each transaction was issued, and to which node.
    pending: Mutex<BTreeMap<Id, (Instant, usize)>>,
    times: Mutex<Percentiles>,
    issued: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    is_stopping: AtomicBool,
}

/// Figures of the generator.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadFigures {
    /// Transactions that a node took.
    pub(super) issued: u64,
    /// Transactions that are final.
    pub(super) accepted: u64,
    /// Transactions that a node refused.
    pub(super) refused: u64,
    /// Transactions issued and not yet final.
    pub(super) pending: usize,
}

impl LoadState {
    /// A node accepted a block: notes the transactions that were issued to that node.
    pub(super) fn accepted(&self, node: usize, bytes: &bytes::Bytes) {
        let Ok(block) = Block::decode(bytes.clone()) else { return };
        let now = Instant::now();
        let mut pending = self.pending.lock();
        let mut times = self.times.lock();
        for transaction in block.transactions() {
            let id = transaction.id();
            if let Some((issued, _)) = pending.get(&id).copied().filter(|(_, to)| *to == node) {
                pending.remove(&id);
                times.add(now - issued);
                self.accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The figures now.
    pub(super) fn figures(&self) -> LoadFigures {
        LoadFigures {
            issued: self.issued.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            pending: self.pending.lock().len(),
        }
    }

    /// Times from issue to acceptance.
    pub(super) fn times(&self) -> Percentiles {
        self.times.lock().clone()
    }
}

/// A generator at work.
#[derive(Debug)]
pub(super) struct Load {
    state: Arc<LoadState>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts one thread for each of these nodes, by number, that together issue `rate` transactions per second.
    pub(super) fn start(
        state: Arc<LoadState>,
        urls: &[(usize, String)],
        chain: &str,
        rate: f64,
    ) -> Result<Self, StartError> {
        let mut threads = Vec::new();
        for (turn, (node, url)) in urls.iter().enumerate() {
            let client = KvClient::new(url, chain);
            let target = client.target()?;
            let keys = (0..ACCOUNTS_PER_NODE).map(|_| {
                let mut seed = [0; SEED_BYTES];
                rand::rng().fill_bytes(&mut seed);
                (Key::from_seed(&seed), 0)
            });
            let issuer = Issuer {
                node: *node,
                state: state.clone(),
                client,
                target,
                accounts: keys.collect(),
                period: Duration::from_secs_f64(urls.len() as f64 / rate),
                offset: Duration::from_secs_f64(turn as f64 / rate),
            };
            threads.push(thread::spawn(move || issuer.run()));
        }
        Ok(Self { state, threads })
    }

    /// Stops issuing.
    pub(super) fn stop(self) {
        self.state.is_stopping.store(true, Ordering::Release);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the load generator panicked");
            }
        }
    }
}

/// Issues to one node.
struct Issuer {
    node: usize,
    state: Arc<LoadState>,
    client: KvClient,
    target: Target,
    accounts: Vec<(Key, u64)>,
    period: Duration,
    offset: Duration,
}

impl Issuer {
    fn run(mut self) {
        // The nodes' turns are spread evenly.
        let start = Instant::now() + self.offset;
        let mut number = 0_u32;
        while !self.state.is_stopping.load(Ordering::Acquire) {
            let due = start + self.period * number;
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait.min(Duration::from_millis(100)));
                continue;
            }
            number = number.wrapping_add(1);
            if self.state.pending.lock().len() < PENDING_MAX {
                self.issue(number);
            }
        }
    }

    fn issue(&mut self, number: u32) {
        let index = number as usize % self.accounts.len();
        let (key, nonce) = &mut self.accounts[index];
        let operation = put(format!("load/{number}"), number.to_string());
        let Ok(transaction) = key.sign(self.target, *nonce, vec![operation]) else {
            self.state.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.state.pending.lock().insert(transaction.id(), (Instant::now(), self.node));
        match self.client.issue(&transaction) {
            Ok(_) => {
                *nonce += 1;
                self.state.issued.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::debug!(%error, "a transaction was refused");
                self.state.pending.lock().remove(&transaction.id());
                self.state.refused.fetch_add(1, Ordering::Relaxed);
                if let Ok(next) = self.client.next_nonce(key.account()) {
                    *nonce = next;
                }
            }
        }
    }
}
