//! Validator sets by height of the P-Chain.

use std::collections::BTreeMap;

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};

use crate::VmError;

/// One validator of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorOutput {
    /// The validator.
    pub node: NodeId,
    /// Its BLS public key, 96 bytes uncompressed, if it has one.
    pub public_key: Option<Bytes>,
    /// Its weight.
    pub weight: u64,
}

/// The validator sets of all subnets as the P-Chain knows them, by height.
///
/// Upstream: `snow/validators/state.go`.
pub trait ValidatorState: Send + Sync {
    /// The lowest height that should be referred to by new blocks.
    fn minimum_height(&self) -> Result<u64, VmError>;
    /// The current height.
    fn current_height(&self) -> Result<u64, VmError>;
    /// The subnet that validates a chain.
    fn subnet_of(&self, chain: Id) -> Result<Id, VmError>;
    /// The validators of a subnet at a height; a height above the current one is an error.
    fn validator_set(
        &self,
        height: u64,
        subnet: Id,
    ) -> Result<BTreeMap<NodeId, ValidatorOutput>, VmError>;
}
