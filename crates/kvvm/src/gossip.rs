//! How transactions travel between nodes.
//!
//! * A transaction issued to this node is pushed at once to some peers, as gossip.
//! * Now and then a node asks one random peer for what it lacks, naming what it has by short
//!   salted fingerprints; the peer answers with transactions. An unlucky collision hides a
//!   transaction once, not twice, because the salt changes.
//!
//! Transactions that came from others are not pushed on. The forms of the messages are in
//! `docs/kvvm.md`. Nothing a peer sends is a reason to stop: what is malformed or refused is
//! logged and forgotten. Peers are answered no more often than a correct one would ask.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use sastrugi_types::Id;
use sastrugi_types::{Instant, NodeId, RequestId, hash::sha256_parts};

use crate::{
    codec::{CODEC_VERSION, DecodeError, Reader, check_size},
    transaction::TRANSACTION_BYTES_MAX,
};

/// The longest list of transactions in one message, in bytes.
pub(crate) const GOSSIP_BYTES_MAX: usize = 2 * TRANSACTION_BYTES_MAX;
/// The most transactions in one message: each costs the receiver a signature check.
pub(crate) const GOSSIP_TRANSACTIONS_MAX: usize = 64;
/// The most fingerprints in one request.
pub(crate) const FINGERPRINTS_MAX: usize = 4096;

/// A list of transactions: pushed as gossip, or the answer to a [`Pull`].
#[derive(Debug, Default)]
pub(crate) struct TransactionList {
    transactions: Vec<Bytes>,
    size_bytes: usize,
}

impl TransactionList {
    /// Adds a transaction if there is room.
    pub(crate) fn push(&mut self, transaction: &Bytes) -> bool {
        let size_bytes = self.size_bytes + transaction.len();
        if size_bytes > GOSSIP_BYTES_MAX || self.transactions.len() == GOSSIP_TRANSACTIONS_MAX {
            return false;
        }
        self.size_bytes = size_bytes;
        self.transactions.push(transaction.clone());
        true
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.extend(CODEC_VERSION.to_be_bytes());
        out.extend((self.transactions.len() as u16).to_be_bytes());
        for transaction in &self.transactions {
            out.extend((transaction.len() as u32).to_be_bytes());
            out.extend(transaction);
        }
        out.into()
    }

    /// The transactions of a message, each still to be decoded.
    pub(crate) fn decode(bytes: Bytes) -> Result<Vec<Bytes>, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        let count = usize::from(reader.u16()?);
        check_size("transactions", count, 0, GOSSIP_TRANSACTIONS_MAX)?;
        let transactions: Result<Vec<_>, _> = (0..count)
            .map(|_| {
                let length = reader.u32()? as usize;
                reader.bytes(length)
            })
            .collect();
        reader.finish()?;
        transactions
    }
}

/// Asks for transactions, naming those that are known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pull {
    salt: u64,
    /// Ascending.
    known: Vec<u64>,
}

impl Pull {
    /// Asks for everything but these.
    pub(crate) fn new(salt: u64, known: impl Iterator<Item = Id>) -> Self {
        let mut known: Vec<u64> =
            known.take(FINGERPRINTS_MAX).map(|id| fingerprint(salt, id)).collect();
        known.sort_unstable();
        known.dedup();
        Self { salt, known }
    }

    /// Whether the asking node seems to know the transaction.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.known.binary_search(&fingerprint(self.salt, id)).is_ok()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.extend(CODEC_VERSION.to_be_bytes());
        out.extend(self.salt.to_be_bytes());
        out.extend((self.known.len() as u16).to_be_bytes());
        out.extend(self.known.iter().flat_map(|fingerprint| fingerprint.to_be_bytes()));
        out.into()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        let salt = reader.u64()?;
        let count = usize::from(reader.u16()?);
        check_size("fingerprints", count, 0, FINGERPRINTS_MAX)?;
        let known: Vec<u64> = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        reader.finish()?;
        if known.is_sorted_by(|a, b| a < b) {
            Ok(Self { salt, known })
        } else {
            Err(DecodeError::KeyOrder)
        }
    }
}

fn fingerprint(salt: u64, id: Id) -> u64 {
    let hash = sha256_parts(&[&salt.to_be_bytes(), &id.0]);
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whom to ask, and whom to answer.
#[derive(Debug)]
pub(crate) struct Peers {
    interval: Duration,
    next_pull: Instant,
    next_request: RequestId,
    /// The connected peers, and when each was last answered.
    connected: BTreeMap<NodeId, Option<Instant>>,
}

impl Peers {
    /// Nobody is connected. `interval` is the time between two requests of one node.
    pub(crate) const fn new(interval: Duration, now: Instant) -> Self {
        let connected = BTreeMap::new();
        Self { interval, next_pull: now, next_request: RequestId(0), connected }
    }

    pub(crate) fn connected(&mut self, node: NodeId) {
        self.connected.insert(node, None);
    }

    pub(crate) fn disconnected(&mut self, node: NodeId) {
        self.connected.remove(&node);
    }

    /// When to ask next; `None` while nobody is connected.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.connected.is_empty()).then_some(self.next_pull)
    }

    /// Whom to ask now, if it is time.
    pub(crate) fn pull(&mut self, now: Instant, random: u64) -> Option<(NodeId, RequestId)> {
        if self.due()? > now {
            return None;
        }
        self.next_pull = now + self.interval;
        let chosen = random % self.connected.len() as u64;
        let node = *self.connected.keys().nth(chosen as usize)?;
        // Even numbers: the odd ones are for ranges of the state.
        let request = self.next_request;
        self.next_request = RequestId(request.0.wrapping_add(2));
        Some((node, request))
    }

    /// Whether a request of the peer is to be answered: it is connected, and was not answered
    /// within half an interval.
    pub(crate) fn may_answer(&mut self, node: NodeId, now: Instant) -> bool {
        let Some(answered) = self.connected.get_mut(&node) else { return false };
        if answered.is_some_and(|answered| now.since(answered) < self.interval / 2) {
            return false;
        }
        *answered = Some(now);
        true
    }
}

#[cfg(test)]
#[path = "gossip_tests.rs"]
mod tests;
