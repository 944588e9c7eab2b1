//! Validator sets by height of the P-Chain.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};

use crate::{VmError, warp::CanonicalSet};

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

/// The validators of a subnet at a height.
pub type ValidatorSet = BTreeMap<NodeId, ValidatorOutput>;

/// The canonical sets of subnets at a height.
pub type CanonicalSets = BTreeMap<Id, Arc<CanonicalSet>>;

/// The validator sets of all subnets as the P-Chain knows them, by height.
///
/// What is answered for a height never changes, so it may be kept as long as it is of use. Calls may
/// take long, because a provider may ask a database or another node, and are made from any thread.
///
/// Upstream: `snow/validators/state.go`.
pub trait ValidatorState: Send + Sync {
    /// The height that new blocks should refer to: somewhat below the current one, so that every
    /// other node has reached it too. It never falls.
    #[doc(alias = "GetMinimumHeight")]
    fn minimum_height(&self) -> Result<u64, VmError>;

    /// The current height. It never falls.
    #[doc(alias = "GetCurrentHeight")]
    fn current_height(&self) -> Result<u64, VmError>;

    /// The subnet that validates a chain. An unknown chain is an error.
    #[doc(alias = "GetSubnetID")]
    fn subnet_of(&self, chain: Id) -> Result<Id, VmError>;

    /// The validators of a subnet at a height. A height above the current one is an error; a subnet
    /// that was unknown then has none.
    #[doc(alias = "GetValidatorSet")]
    fn validator_set(&self, height: u64, subnet: Id) -> Result<Arc<ValidatorSet>, VmError>;

    /// The canonical sets of all subnets at a height. A height above the current one is an error; a
    /// subnet that is missing cannot sign warp messages.
    #[doc(alias = "GetWarpValidatorSets")]
    fn canonical_sets(&self, _height: u64) -> Result<Arc<CanonicalSets>, VmError> {
        Err(VmError::NotImplemented)
    }
}
