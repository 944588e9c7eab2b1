//! Blocks: transactions in order, and the root of the state they lead to.
//!
//! The bytes are fixed in `docs/kvvm.md`. Reading them is pure; what makes a block valid after its
//! parent is in the module `chain`.

use std::sync::Arc;

use bytes::Bytes;
use sastrugi_types::{Id, WallTime, hash::sha256};

use crate::{
    codec::{CODEC_VERSION, DecodeError, Reader, check_range, check_size},
    state::Root,
    transaction::{TRANSACTION_BYTES_MAX, Transaction},
};

/// The longest block, in bytes. A message between nodes holds at most 2 MiB.
pub const BLOCK_BYTES_MAX: usize = 512 << 10;
/// The most transactions of one block. All blocks but genesis have at least one.
pub const BLOCK_TRANSACTIONS_MAX: usize = 1024;
/// The latest time of a block, in milliseconds since the Unix epoch: what 64 bits of nanoseconds
/// hold.
pub const TIMESTAMP_MS_MAX: u64 = i64::MAX as u64 / NANOS_PER_MS as u64;

/// The length of a block without transactions, in bytes.
const HEADER_BYTES: usize = 2 + 32 + 8 + 8 + 32 + 4;
/// What a transaction takes in a block besides its own bytes.
const LENGTH_BYTES: usize = 4;
const NANOS_PER_MS: i64 = 1_000_000;

/// A block whose form is right. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    id: Id,
    header: Header,
    transactions: Arc<[Transaction]>,
    bytes: Bytes,
}

/// What a block says besides its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) parent: Id,
    pub(crate) height: u64,
    pub(crate) timestamp_ms: u64,
    pub(crate) root: Root,
}

impl Block {
    /// Writes a block.
    pub(crate) fn new(header: Header, transactions: Vec<Transaction>) -> Self {
        let bytes = encode(&header, &transactions);
        Self { id: Id(sha256(&bytes)), header, transactions: transactions.into(), bytes }
    }

    /// Reads a block: all of the bytes, in the one form they can have.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        check_size("block", bytes.len(), HEADER_BYTES, BLOCK_BYTES_MAX)?;
        let mut reader = Reader::new(bytes.clone())?;
        let header = Header::decode(&mut reader)?;
        let count = reader.u32()? as usize;
        check_size("transactions", count, 0, BLOCK_TRANSACTIONS_MAX)?;
        let transactions: Result<_, _> = (0..count)
            .map(|_| {
                let length = reader.u32()? as usize;
                check_size("transaction", length, 0, TRANSACTION_BYTES_MAX)?;
                Transaction::decode(reader.bytes(length)?)
            })
            .collect();
        let transactions = transactions?;
        reader.finish()?;
        Ok(Self { id: Id(sha256(&bytes)), header, transactions, bytes })
    }

    /// The SHA-256 of the bytes.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The block it extends; 32 zero bytes for genesis.
    pub const fn parent(&self) -> Id {
        self.header.parent
    }

    /// One more than the parent's.
    pub const fn height(&self) -> u64 {
        self.header.height
    }

    /// Milliseconds since the Unix epoch.
    pub const fn timestamp_ms(&self) -> u64 {
        self.header.timestamp_ms
    }

    /// The root of the state after the block.
    pub const fn root(&self) -> Root {
        self.header.root
    }

    /// The transactions in the order of their execution.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// The block as the engine handles it.
    pub(crate) fn to_vm(&self) -> sastrugi_vm::Block {
        self.header.to_vm(self.id, self.bytes.clone())
    }
}

impl Header {
    /// The header of a block that was read before, without reading the rest.
    pub(crate) fn of(block_bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(block_bytes)?)
    }

    /// The block as the engine handles it.
    pub(crate) fn to_vm(self, id: Id, bytes: Bytes) -> sastrugi_vm::Block {
        sastrugi_vm::Block {
            id,
            parent: self.parent,
            height: self.height,
            timestamp: WallTime(self.timestamp_ms as i64 * NANOS_PER_MS),
            bytes,
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (parent, height, timestamp_ms) = (reader.id()?, reader.u64()?, reader.u64()?);
        check_range("timestamp", timestamp_ms, 0, TIMESTAMP_MS_MAX)?;
        Ok(Self { parent, height, timestamp_ms, root: Root(reader.array()?) })
    }
}

fn encode(header: &Header, transactions: &[Transaction]) -> Bytes {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend(CODEC_VERSION.to_be_bytes());
    out.extend(header.parent.0);
    out.extend(header.height.to_be_bytes());
    out.extend(header.timestamp_ms.to_be_bytes());
    out.extend(header.root.0);
    out.extend((transactions.len() as u32).to_be_bytes());
    for transaction in transactions {
        out.extend((transaction.bytes().len() as u32).to_be_bytes());
        out.extend(transaction.bytes());
    }
    out.into()
}

/// How much room a new block has left.
pub(crate) struct Room {
    bytes: usize,
    transactions: usize,
}

impl Room {
    /// The room of an empty block.
    pub(crate) const WHOLE: Self =
        Self { bytes: BLOCK_BYTES_MAX - HEADER_BYTES, transactions: BLOCK_TRANSACTIONS_MAX };

    /// Takes the room of a transaction, if there is enough.
    pub(crate) fn take(&mut self, transaction: &Transaction) -> bool {
        let bytes = transaction.bytes().len() + LENGTH_BYTES;
        if self.transactions == 0 || self.bytes < bytes {
            return false;
        }
        self.transactions -= 1;
        self.bytes -= bytes;
        true
    }
}

/// Calendar time in whole milliseconds, as blocks count it; times out of range are cut.
pub(crate) const fn to_ms(time: WallTime) -> u64 {
    let ms = time.0.div_euclid(NANOS_PER_MS);
    if ms < 0 { 0 } else { ms as u64 }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
