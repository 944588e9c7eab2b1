//! What a client needs: keys, transactions, and the text of calls and answers.
//!
//! There is no I/O here. A client makes a [`Key`] from 32 random bytes and keeps its
//! [`Key::to_file`] where nobody else can read it (mode 0600). It asks `kv.chain` and `kv.account`
//! what a transaction must name, signs it with [`Key::sign`], and posts what [`call`] gives to
//! `/ext/bc/<chain>/rpc`; [`answer`] reads what comes back.

use std::fmt;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use sastrugi_types::formatting::Encoding;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    api::{AccountReply, GetReply, IssueTxArgs},
    json::Hex,
    transaction::{Account, Operation, Target, Transaction, TransactionError, UnsignedTransaction},
};

/// Length of a [`Key`]'s seed, in bytes.
pub const SEED_BYTES: usize = ed25519_dalek::SECRET_KEY_LENGTH;

/// The secret of an account. Not shown by `Debug`, and erased from memory when dropped.
#[derive(Clone)]
pub struct Key(SigningKey);

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The key file is not one.
    #[error("the key file {0}")]
    KeyFile(&'static str),
    /// The answer is not one.
    #[error("the node's answer is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The node answered with an error.
    #[error("the node refused: {message} ({code})")]
    Refused {
        /// The JSON-RPC code.
        code: i64,
        /// Why.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    account: Option<Account>,
    seed: Hex,
}

impl Key {
    /// The key made from 32 random bytes.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a key file: JSON with the member `seed`, or the seed's hexadecimal digits alone, with
    /// or without `0x`.
    pub fn from_file(text: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        if text.starts_with('{') {
            let file: KeyFile =
                serde_json::from_str(text).map_err(|_| ClientError::KeyFile("has no seed"))?;
            let key = Self::from_seed_slice(&file.seed.0)?;
            if file.account.is_some_and(|account| account != key.account()) {
                return Err(ClientError::KeyFile("names another account than its seed"));
            }
            return Ok(key);
        }
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let seed = const_hex::decode(digits)
            .map_err(|_| ClientError::KeyFile("is neither JSON nor hexadecimal"))?;
        Self::from_seed_slice(&seed)
    }

    fn from_seed_slice(seed: &[u8]) -> Result<Self, ClientError> {
        let seed = seed.try_into().map_err(|_| ClientError::KeyFile("has no seed of 32 bytes"))?;
        Ok(Self::from_seed(seed))
    }

    /// The text of a key file. It holds the secret.
    pub fn to_file(&self) -> String {
        let seed = Hex(Bytes::copy_from_slice(self.0.as_bytes()));
        let file = json!(KeyFile { account: Some(self.account()), seed });
        format!("{file:#}\n")
    }

    /// The account.
    pub fn account(&self) -> Account {
        Account(self.0.verifying_key().to_bytes())
    }

    /// Makes a transaction. The operations are brought into order; two on the same key are refused.
    pub fn sign(
        &self,
        target: Target,
        nonce: u64,
        mut operations: Vec<Operation>,
    ) -> Result<Transaction, TransactionError> {
        operations.sort_by(|a, b| a.key().cmp(b.key()));
        let unsigned = UnsignedTransaction { target, account: self.account(), nonce, operations };
        unsigned.sign(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.account()).finish()
    }
}

/// Sets a key.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Operation {
    Operation::Put { key: key.into(), value: value.into() }
}

/// Removes a key.
pub fn delete(key: impl Into<Bytes>) -> Operation {
    Operation::Delete { key: key.into() }
}

/// The body of a call, to be posted as `application/json`. The arguments are in [`crate::api`];
/// methods without any take `()`.
pub fn call<A: Serialize>(method: &str, args: &A) -> String {
    let params = json!(args);
    let params = if params.is_null() { json!({}) } else { params };
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// The body of the call that issues a transaction.
pub fn issue_call(transaction: &Transaction) -> String {
    let tx = format!("0x{}", const_hex::encode(transaction.bytes()));
    call("kv.issueTx", &IssueTxArgs { tx, encoding: Encoding::HexNc })
}

/// Reads the answer to a call.
pub fn answer<R: DeserializeOwned>(body: &[u8]) -> Result<R, ClientError> {
    let mut body: Value = serde_json::from_slice(body)?;
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        return Err(ClientError::Refused { code, message });
    }
    Ok(serde_json::from_value(body.get_mut("result").map(Value::take).unwrap_or_default())?)
}

impl GetReply {
    /// Whether the answer proves what it says about a key, to someone who trusts the root.
    pub fn is_proven(&self, account: Account, key: &[u8]) -> bool {
        let value = self.value.as_ref().map(|Hex(value)| &value[..]);
        self.proof.as_ref().is_some_and(|proof| proof.verify(self.block.root, account, key, value))
    }
}

impl AccountReply {
    /// The nonce to sign the next transaction with.
    pub const fn next(&self) -> u64 {
        self.next_nonce.0
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
