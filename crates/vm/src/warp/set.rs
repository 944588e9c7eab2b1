//! Validator sets in the order that signatures refer to.

use std::collections::BTreeMap;

use sastrugi_crypto::bls;
use sastrugi_types::{Id, NodeId};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::{
    VmError,
    validators::{ValidatorOutput, ValidatorSet, ValidatorState},
};

/// The validators of a subnet as warp sees them: those that can sign, in the order of their keys.
///
/// Keys are parsed when the set is made, so keep it as long as the height is in use. In JSON it is
/// `{"validators": [{"publicKey": "0x…", "weight": "…", "nodeIDs": […]}], "totalWeight": "…"}`.
/// Upstream: `WarpSet` in `snow/validators/warp.go`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "WarpSet")]
pub struct CanonicalSet {
    /// One for each BLS key, in the order of the uncompressed keys.
    #[serde(deserialize_with = "or_empty")]
    pub validators: Vec<CanonicalValidator>,
    /// The weight of all validators, also of those without a key.
    #[serde(with = "quoted")]
    pub total_weight: u64,
}

/// The nodes that share a BLS key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[doc(alias = "Warp")]
pub struct CanonicalValidator {
    /// The key.
    #[serde(with = "hex_key")]
    pub public_key: bls::PublicKey,
    /// The weight of its nodes together.
    #[serde(default, with = "quoted")]
    pub weight: u64,
    /// Its nodes, in the order of their IDs.
    #[serde(rename = "nodeIDs", default, deserialize_with = "or_empty")]
    pub nodes: Vec<NodeId>,
}

/// Why validators have no canonical set: nobody can verify messages of their subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CanonicalSetError {
    /// The weights add up to more than 2⁶⁴ − 1.
    #[error("the weights of the validators overflow")]
    Overflow,
    /// Bytes that should be an uncompressed key are none.
    #[error("{node} has no valid public key")]
    PublicKey {
        /// Whose key.
        node: NodeId,
    },
}

impl CanonicalSet {
    /// The set of these validators.
    ///
    /// # Errors
    /// [`CanonicalSetError`]
    #[doc(alias = "FlattenValidatorSet")]
    pub fn new(validators: &ValidatorSet) -> Result<Self, CanonicalSetError> {
        let mut by_key: BTreeMap<_, CanonicalValidator> = BTreeMap::new();
        let mut total_weight = 0_u64;
        for validator in validators.values() {
            let ValidatorOutput { node, public_key, weight } = validator;
            total_weight = total_weight.checked_add(*weight).ok_or(CanonicalSetError::Overflow)?;
            let Some(bytes) = public_key else { continue };
            let public_key = <&[u8; bls::PUBLIC_KEY_UNCOMPRESSED_BYTES]>::try_from(&**bytes)
                .ok()
                .and_then(|bytes| bls::PublicKey::from_trusted_uncompressed(bytes).ok())
                .ok_or(CanonicalSetError::PublicKey { node: *node })?;
            let shared = by_key
                .entry(public_key.to_uncompressed())
                .or_insert_with(|| CanonicalValidator { public_key, weight: 0, nodes: Vec::new() });
            // At most the total.
            shared.weight += weight;
            shared.nodes.push(*node);
        }
        Ok(Self { validators: by_key.into_values().collect(), total_weight })
    }

    /// The set of a subnet at a height.
    ///
    /// # Errors
    /// Those of [`ValidatorState::validator_set`], and [`CanonicalSetError`] as
    /// [`VmError::Invalid`].
    pub fn of_subnet(state: &dyn ValidatorState, height: u64, subnet: Id) -> Result<Self, VmError> {
        let validators = state.validator_set(height, subnet)?;
        Self::new(&validators).map_err(|error| VmError::invalid(error.to_string()))
    }

    /// The set of the subnet that validates a chain.
    ///
    /// # Errors
    /// As [`Self::of_subnet`], and those of [`ValidatorState::subnet_of`].
    pub fn of_chain(state: &dyn ValidatorState, height: u64, chain: Id) -> Result<Self, VmError> {
        Self::of_subnet(state, height, state.subnet_of(chain)?)
    }
}

/// A list that may be null.
fn or_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A number in quotes.
mod quoted {
    use sastrugi_types::json::Quoted;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        Quoted(*number).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        Quoted::deserialize(from).map(|Quoted(number)| number)
    }
}

/// A compressed key in hexadecimal digits.
mod hex_key {
    use sastrugi_crypto::bls::PublicKey;
    use sastrugi_types::formatting::Encoding;
    use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(key: &PublicKey, to: S) -> Result<S::Ok, S::Error> {
        let text = Encoding::HexNc.encode(&key.to_compressed()).map_err(ser::Error::custom)?;
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PublicKey, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = Encoding::HexNc.decode(&text).map_err(de::Error::custom)?;
        PublicKey::from_compressed(&bytes).map_err(de::Error::custom)
    }
}
