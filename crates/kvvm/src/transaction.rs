//! Transactions: what an account does to its own keys, in one step.
//!
//! A transaction names the network and the chain it is for, so that it means nothing on any other,
//! and carries the account's nonce, so that it takes effect once: it is valid only while the
//! account's nonce is the very same, and raises it by one. The bytes are fixed in `docs/kvvm.md`.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use ed25519_dalek::{
    PUBLIC_KEY_LENGTH, SIGNATURE_LENGTH, Signature, Signer, SigningKey, VerifyingKey,
};
use sastrugi_types::{Id, hash::sha256};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{CODEC_VERSION, DecodeError, Reader, check_size},
    json::decimal_u32,
};

/// The longest key, in bytes. The shortest has one byte.
pub const KEY_BYTES_MAX: usize = 256;
/// The longest value, in bytes. It may be empty.
pub const VALUE_BYTES_MAX: usize = 16 << 10;
/// The most operations of one transaction. It has at least one.
pub const OPERATIONS_MAX: usize = 64;
/// The longest transaction, in bytes.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 10;

/// What is signed begins with this, so that a signature made here fits nothing else.
const SIGNATURE_DOMAIN: &[u8] = b"sastrugi kvvm transaction\0";

const PUT: u8 = 0;
const DELETE: u8 = 1;

/// An account: an Ed25519 public key. Its text is `0x` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account(pub [u8; PUBLIC_KEY_LENGTH]);

/// What happens to one key of the account that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets a key.
    Put {
        /// At most [`KEY_BYTES_MAX`], not empty.
        key: Bytes,
        /// At most [`VALUE_BYTES_MAX`].
        value: Bytes,
    },
    /// Removes a key; a missing one is fine.
    Delete {
        /// At most [`KEY_BYTES_MAX`], not empty.
        key: Bytes,
    },
}

/// The chain a transaction is for. It means nothing on any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The network of the chain.
    #[serde(rename = "networkID", with = "decimal_u32")]
    pub network_id: u32,
    /// The chain.
    #[serde(rename = "chainID")]
    pub chain_id: Id,
}

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedTransaction {
    /// The chain it is for.
    pub target: Target,
    /// Whose keys change, and who signs.
    pub account: Account,
    /// The number of the account's transactions accepted before.
    pub nonce: u64,
    /// In ascending order of their keys, each key once; at most [`OPERATIONS_MAX`].
    pub operations: Vec<Operation>,
}

/// A transaction whose form is right. Its signature is checked by
/// [`Transaction::verify_signature`] and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    unsigned: UnsignedTransaction,
    signature: [u8; SIGNATURE_LENGTH],
    id: Id,
    bytes: Bytes,
}

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Its form is wrong.
    #[error(transparent)]
    Form(#[from] DecodeError),
    /// It is for another network or chain.
    #[error("the transaction is for another chain")]
    OtherChain,
    /// The signature is not the account's.
    #[error("the signature is wrong")]
    Signature,
    /// The account has already used this nonce.
    #[error("the nonce {nonce} was used before, the next is {next}")]
    NonceUsed {
        /// Of the transaction.
        nonce: u64,
        /// The account's next.
        next: u64,
    },
    /// The account has not come to this nonce.
    #[error("the nonce {nonce} is too high, the next is {next}")]
    NonceTooHigh {
        /// Of the transaction.
        nonce: u64,
        /// The account's next.
        next: u64,
    },
}

impl Operation {
    /// The key.
    pub const fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    fn check(&self) -> Result<(), DecodeError> {
        check_size("key", self.key().len(), 1, KEY_BYTES_MAX)?;
        match self {
            Self::Put { value, .. } => check_size("value", value.len(), 0, VALUE_BYTES_MAX),
            Self::Delete { .. } => Ok(()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let tag = if matches!(self, Self::Put { .. }) { PUT } else { DELETE };
        out.push(tag);
        out.extend((self.key().len() as u16).to_be_bytes());
        out.extend(self.key());
        if let Self::Put { value, .. } = self {
            out.extend((value.len() as u32).to_be_bytes());
            out.extend(value);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let key_length = usize::from(reader.u16()?);
        let key = reader.bytes(key_length)?;
        match tag {
            PUT => {
                let value_length = reader.u32()? as usize;
                Ok(Self::Put { key, value: reader.bytes(value_length)? })
            }
            DELETE => Ok(Self::Delete { key }),
            other => Err(DecodeError::Operation(other)),
        }
    }
}

impl UnsignedTransaction {
    /// Signs, after checking the form.
    pub fn sign(self, key: &SigningKey) -> Result<Transaction, TransactionError> {
        self.check()?;
        let unsigned_bytes = self.encode();
        let signature = key.sign(&signed_message(&unsigned_bytes)).to_bytes();
        let bytes = [&unsigned_bytes[..], &signature].concat();
        check_size("transaction", bytes.len(), 0, TRANSACTION_BYTES_MAX)?;
        let transaction =
            Transaction { unsigned: self, signature, id: Id(sha256(&bytes)), bytes: bytes.into() };
        transaction.verify_signature()?;
        Ok(transaction)
    }

    fn check(&self) -> Result<(), DecodeError> {
        check_size("operations", self.operations.len(), 1, OPERATIONS_MAX)?;
        self.operations.iter().try_for_each(Operation::check)?;
        if self.operations.is_sorted_by(|a, b| a.key() < b.key()) {
            Ok(())
        } else {
            Err(DecodeError::KeyOrder)
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(CODEC_VERSION.to_be_bytes());
        out.extend(self.target.network_id.to_be_bytes());
        out.extend(self.target.chain_id.0);
        out.extend(self.account.0);
        out.extend(self.nonce.to_be_bytes());
        out.extend((self.operations.len() as u16).to_be_bytes());
        for operation in &self.operations {
            operation.encode(&mut out);
        }
        out
    }
}

impl Transaction {
    /// Reads a transaction: all of the bytes, in the one form they can have.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        check_size("transaction", bytes.len(), 0, TRANSACTION_BYTES_MAX)?;
        let mut reader = Reader::new(bytes.clone())?;
        let target = Target { network_id: reader.u32()?, chain_id: reader.id()? };
        let account = Account(reader.array()?);
        let nonce = reader.u64()?;
        let count = usize::from(reader.u16()?);
        check_size("operations", count, 1, OPERATIONS_MAX)?;
        let operations: Result<_, _> = (0..count).map(|_| Operation::decode(&mut reader)).collect();
        let unsigned = UnsignedTransaction { target, account, nonce, operations: operations? };
        let signature = reader.array()?;
        reader.finish()?;
        unsigned.check()?;
        Ok(Self { unsigned, signature, id: Id(sha256(&bytes)), bytes })
    }

    /// Checks that the account signed these bytes. Costs some 50 microseconds.
    pub fn verify_signature(&self) -> Result<(), TransactionError> {
        let (message, _) = self.bytes.split_at(self.bytes.len() - SIGNATURE_LENGTH);
        VerifyingKey::from_bytes(&self.unsigned.account.0)
            .and_then(|key| {
                key.verify_strict(&signed_message(message), &Signature::from_bytes(&self.signature))
            })
            .map_err(|_| TransactionError::Signature)
    }

    /// Checks that the transaction is for this chain.
    pub(crate) fn check_target(&self, target: Target) -> Result<(), TransactionError> {
        if self.unsigned.target == target { Ok(()) } else { Err(TransactionError::OtherChain) }
    }

    /// What was signed.
    pub const fn unsigned(&self) -> &UnsignedTransaction {
        &self.unsigned
    }

    /// Who signed.
    pub const fn account(&self) -> Account {
        self.unsigned.account
    }

    /// The account's nonce before this transaction.
    pub const fn nonce(&self) -> u64 {
        self.unsigned.nonce
    }

    /// What happens, in ascending order of the keys.
    pub fn operations(&self) -> &[Operation] {
        &self.unsigned.operations
    }

    /// The SHA-256 of the bytes.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

fn signed_message(unsigned_bytes: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, unsigned_bytes].concat()
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", const_hex::encode(self.0))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says what the text of an account looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account is 0x and 64 hexadecimal digits")]
pub struct AccountError;

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let digits = text.strip_prefix("0x").ok_or(AccountError)?;
        if digits.len() != 2 * PUBLIC_KEY_LENGTH {
            return Err(AccountError);
        }
        const_hex::decode_to_array(digits).map(Self).map_err(|_| AccountError)
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
