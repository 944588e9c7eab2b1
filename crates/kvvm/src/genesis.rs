//! What a chain begins with: JSON with a time and initial entries.
//!
//! ```json
//! {
//!   "timestampMs": "1790000000000",
//!   "entries": [{ "account": "0x…", "key": "0x…", "value": "0x…" }]
//! }
//! ```
//!
//! All members are optional, unknown ones an error.

use sastrugi_types::Id;
use sastrugi_vm::VmError;
use serde::{Deserialize, Serialize};

use crate::{
    block::{Block, Header, TIMESTAMP_MS_MAX},
    codec::check_size,
    json::{Decimal, Hex},
    state::{Changes, Root},
    transaction::{Account, KEY_BYTES_MAX, VALUE_BYTES_MAX},
};

/// The longest genesis, in bytes.
pub const GENESIS_BYTES_MAX: usize = 4 << 20;

/// What a chain begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Genesis {
    /// The time of the genesis block, in milliseconds since the Unix epoch.
    pub timestamp_ms: Decimal,
    /// The initial entries, each key of an account once.
    pub entries: Vec<Entry>,
}

/// One initial entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The owner.
    pub account: Account,
    /// The key; within the limits of a transaction, as the value.
    pub key: Hex,
    /// The value.
    pub value: Hex,
}

impl Genesis {
    /// Reads and checks the JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, VmError> {
        if bytes.len() > GENESIS_BYTES_MAX {
            return Err(VmError::invalid("the genesis is too long"));
        }
        let genesis: Self = serde_json::from_slice(bytes)
            .map_err(|error| VmError::invalid(format!("genesis: {error}")))?;
        genesis.changes()?;
        Ok(genesis)
    }

    /// The JSON that [`Genesis::parse`] reads, for tools that make networks.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The first state, as changes of the empty one.
    pub(crate) fn changes(&self) -> Result<Changes, VmError> {
        if self.timestamp_ms.0 > TIMESTAMP_MS_MAX {
            return Err(VmError::invalid("genesis: the time is out of range"));
        }
        let mut changes = Changes::default();
        for Entry { account, key: Hex(key), value: Hex(value) } in &self.entries {
            check_size("key", key.len(), 1, KEY_BYTES_MAX)
                .and_then(|()| check_size("value", value.len(), 0, VALUE_BYTES_MAX))
                .map_err(|error| VmError::invalid(format!("genesis: {error}")))?;
            if changes.set(*account, key.clone(), Some(value.clone())).is_some() {
                return Err(VmError::invalid("genesis: a key occurs twice"));
            }
        }
        Ok(changes)
    }

    /// The genesis block, given the root of the first state.
    pub(crate) fn block(&self, root: Root) -> Block {
        let timestamp_ms = self.timestamp_ms.0;
        Block::new(Header { parent: Id::EMPTY, height: 0, timestamp_ms, root }, Vec::new())
    }
}
