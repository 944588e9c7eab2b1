//! The three identifiers of the protocol. Upstream: `ids/{id,short,node_id}.go`.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// Length of an [`Id`] in bytes.
pub const ID_BYTES: usize = 32;
/// Length of a [`ShortId`] and a [`NodeId`] in bytes.
pub const SHORT_ID_BYTES: usize = 20;

/// A 32-byte identifier: of a block, chain, subnet, transaction or summary.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub [u8; ID_BYTES]);

/// A 20-byte identifier of an address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortId(pub [u8; SHORT_ID_BYTES]);

/// A 20-byte identifier of a node, derived from its staking certificate.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub [u8; SHORT_ID_BYTES]);

impl Id {
    /// 32 zero bytes: the P-Chain, the primary network, and "no block".
    pub const EMPTY: Self = Self([0; ID_BYTES]);
}

impl NodeId {
    /// 20 zero bytes.
    pub const EMPTY: Self = Self([0; SHORT_ID_BYTES]);
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

// The bytes alone, without the length that an array would write: identifiers of one type are all
// of one length.
impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Hash for ShortId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Hash for NodeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}
