//! The arguments and replies of the JSON-RPC methods, for servers and clients alike.
//!
//! The methods are described in `docs/kvvm.md`. The reply of `kv.chain` is a [`crate::Target`].

use sastrugi_types::{Id, formatting::Encoding};
use serde::{Deserialize, Serialize};

pub use crate::json::{Decimal, Hex};
use crate::{
    state::{Proof, Root},
    transaction::{Account, Operation, Transaction},
};

/// The most entries of one [`RangeReply`].
pub const RANGE_ENTRIES_MAX: u64 = 1024;
/// The most bytes of keys and values of one [`RangeReply`], unless a single entry has more.
pub const RANGE_BYTES_MAX: usize = 1 << 20;

/// Names a block whose state an answer is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockInfo {
    /// The block.
    #[serde(rename = "blockID")]
    pub block_id: Id,
    /// Its height.
    pub height: Decimal,
    /// The root of the state after it.
    pub root: Root,
    /// Its time in milliseconds since the Unix epoch.
    #[serde(rename = "timestampMs")]
    pub timestamp_ms: Decimal,
}

/// Arguments of `kv.get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetArgs {
    /// The owner.
    pub account: Account,
    /// The key.
    pub key: Hex,
    /// The height of the state; the last accepted one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Decimal>,
    /// Whether a proof is wanted.
    #[serde(default)]
    pub proof: bool,
}

/// Reply of `kv.get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetReply {
    /// The block whose state was read.
    #[serde(flatten)]
    pub block: BlockInfo,
    /// The value, `null` if the key is not set.
    pub value: Option<Hex>,
    /// The proof, if it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Arguments of `kv.range`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeArgs {
    /// The owner.
    pub account: Account,
    /// The first key wanted; the account's first if absent.
    #[serde(default)]
    pub start: Hex,
    /// The most entries wanted; [`RANGE_ENTRIES_MAX`] if absent or larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
}

/// Reply of `kv.range`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeReply {
    /// The block whose state was read. The next page may be about a later one.
    #[serde(flatten)]
    pub block: BlockInfo,
    /// The entries in ascending order of their keys.
    pub entries: Vec<RangeEntry>,
    /// The start of the next page, `null` if this is the last.
    pub next: Option<Hex>,
}

/// An entry of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeEntry {
    /// The key.
    pub key: Hex,
    /// The value.
    pub value: Hex,
}

/// Arguments of `kv.issueTx`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueTxArgs {
    /// The transaction's bytes.
    pub tx: String,
    /// How they are written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// Names a transaction: reply of `kv.issueTx`, arguments of `kv.getTxStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxId {
    /// The transaction.
    #[serde(rename = "txID")]
    pub tx_id: Id,
}

/// Reply of `kv.getTxStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
pub enum TxStatus {
    /// It waits in this node's mempool.
    Pending,
    /// It is in a block that is not decided.
    Processing,
    /// It was accepted.
    Accepted {
        /// The height of its block.
        height: Decimal,
    },
    /// It left this node's mempool without being accepted.
    Dropped {
        /// Why.
        reason: String,
    },
    /// This node does not know it.
    Unknown,
}

/// Arguments of `kv.getBlock`: exactly one of the two, and an encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBlockArgs {
    /// The block.
    #[serde(default, rename = "blockID", skip_serializing_if = "Option::is_none")]
    pub block_id: Option<Id>,
    /// The height of the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Decimal>,
    /// `json` gives [`BlockReply::Json`], the others [`BlockReply::Bytes`].
    #[serde(default)]
    pub encoding: Encoding,
}

/// Reply of `kv.getBlock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BlockReply {
    /// The bytes.
    Bytes {
        /// The bytes of the block.
        block: String,
        /// How they are written.
        encoding: Encoding,
    },
    /// The content.
    Json {
        /// What the block says.
        block: BlockJson,
        /// [`Encoding::Json`].
        encoding: Encoding,
    },
}

/// What a block says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockJson {
    /// The block itself.
    #[serde(flatten)]
    pub block: BlockInfo,
    /// The block it extends.
    #[serde(rename = "parentID")]
    pub parent_id: Id,
    /// The transactions in the order of their execution.
    pub txs: Vec<TxJson>,
}

/// What a transaction says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxJson {
    /// The transaction.
    #[serde(rename = "txID")]
    pub tx_id: Id,
    /// Who signed.
    pub account: Account,
    /// The account's nonce before.
    pub nonce: Decimal,
    /// What happened, in ascending order of the keys.
    pub operations: Vec<OperationJson>,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum OperationJson {
    /// It was set.
    Put {
        /// The key.
        key: Hex,
        /// The value.
        value: Hex,
    },
    /// It was removed.
    Delete {
        /// The key.
        key: Hex,
    },
}

impl From<&Transaction> for TxJson {
    fn from(transaction: &Transaction) -> Self {
        let operation = |operation: &Operation| match operation.clone() {
            Operation::Put { key, value } => {
                OperationJson::Put { key: Hex(key), value: Hex(value) }
            }
            Operation::Delete { key } => OperationJson::Delete { key: Hex(key) },
        };
        Self {
            tx_id: transaction.id(),
            account: transaction.account(),
            nonce: Decimal(transaction.nonce()),
            operations: transaction.operations().iter().map(operation).collect(),
        }
    }
}

/// Arguments of `kv.account`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountArgs {
    /// The account.
    pub account: Account,
}

/// Reply of `kv.account`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountReply {
    /// The number of the account's accepted transactions.
    pub nonce: Decimal,
    /// The nonce to sign the next transaction with: the first that no transaction waiting in this
    /// node's mempool has.
    #[serde(rename = "nextNonce")]
    pub next_nonce: Decimal,
}
