//! Validator sets by height from the network description.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{
    VmError,
    validators::{CanonicalSets, ValidatorOutput, ValidatorSet, ValidatorState},
    warp::CanonicalSet,
};

use crate::description::{NetworkDescription, PChain, Primary, Validator, Validators};

/// The primary network, whose chains are the P-Chain and those of `primary`.
const PRIMARY_NETWORK: Id = Id::EMPTY;
/// The P-Chain.
const PLATFORM_CHAIN: Id = Id::EMPTY;

/// Answers from a description, which is one fixed state of the P-Chain: its heights never move, and
/// sets of past heights are those it lists.
#[derive(Debug)]
pub struct DescribedValidators {
    p_chain: PChain,
    /// The sets of each subnet in the order of the heights from which on they hold.
    sets: BTreeMap<Id, Vec<DescribedSet>>,
    /// The subnet of each chain.
    subnets: BTreeMap<Id, Id>,
}

#[derive(Debug)]
struct DescribedSet {
    from_height: u64,
    validators: Arc<ValidatorSet>,
    canonical: Arc<CanonicalSet>,
}

impl DescribedValidators {
    /// Answers from this description.
    ///
    /// # Errors
    /// Says which validators are described wrongly, as [`NetworkDescription::check`] does.
    pub fn new(description: &NetworkDescription) -> Result<Self, String> {
        let Primary { x_chain_id, c_chain_id, validators } = &description.primary;
        let primary = vec![DescribedSet::new(0, validators)?];
        let mut sets = BTreeMap::from([(PRIMARY_NETWORK, primary)]);
        for subnet in &description.subnets {
            let described = match &subnet.validators {
                Validators::Always(validators) => vec![DescribedSet::new(0, validators)?],
                Validators::ByHeight(sets) => sets
                    .iter()
                    .map(|set| DescribedSet::new(set.from_height, &set.validators))
                    .collect::<Result<_, _>>()?,
            };
            sets.entry(subnet.id).or_insert(described);
        }
        let mut subnets: BTreeMap<_, _> =
            description.chains().map(|(subnet, chain)| (chain.id, subnet.id)).collect();
        let primary = [PLATFORM_CHAIN, *x_chain_id, *c_chain_id];
        subnets.extend(primary.map(|chain| (chain, PRIMARY_NETWORK)));
        Ok(Self { p_chain: description.p_chain.clone(), sets, subnets })
    }

    fn check_height(&self, height: u64) -> Result<(), VmError> {
        let current = self.p_chain.current_height;
        if height > current {
            return Err(VmError::Other(format!(
                "the P-Chain's height {height} is above {current}, the current one; the network \
                 description says so under pChain"
            )));
        }
        Ok(())
    }
}

impl DescribedSet {
    fn new(from_height: u64, described: &[Validator]) -> Result<Self, String> {
        let output = |validator: &Validator| {
            let Validator { node_id: node, weight, .. } = *validator;
            let key = validator.bls_key().map_err(|error| format!("{node}: publicKey: {error}"))?;
            let public_key = key.map(|key| Bytes::copy_from_slice(&key.to_uncompressed()));
            Ok((node, ValidatorOutput { node, public_key, weight }))
        };
        let validators: BTreeMap<NodeId, _> =
            described.iter().map(output).collect::<Result<_, String>>()?;
        let canonical = CanonicalSet::new(&validators).map_err(|error| error.to_string())?;
        Ok(Self { from_height, validators: validators.into(), canonical: canonical.into() })
    }
}

/// The set that holds at a height.
fn set_at(sets: &[DescribedSet], height: u64) -> Option<&DescribedSet> {
    sets.iter().rfind(|set| set.from_height <= height)
}

impl ValidatorState for DescribedValidators {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(self.p_chain.minimum_height)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(self.p_chain.current_height)
    }

    fn subnet_of(&self, chain: Id) -> Result<Id, VmError> {
        self.subnets.get(&chain).copied().ok_or(VmError::NotFound)
    }

    fn validator_set(&self, height: u64, subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        self.check_height(height)?;
        let set = self.sets.get(&subnet).and_then(|sets| set_at(sets, height));
        Ok(set.map_or_else(Arc::default, |set| set.validators.clone()))
    }

    fn canonical_sets(&self, height: u64) -> Result<Arc<CanonicalSets>, VmError> {
        self.check_height(height)?;
        let sets = self.sets.iter().filter_map(|(subnet, sets)| {
            let set = set_at(sets, height).filter(|set| !set.validators.is_empty())?;
            Some((*subnet, set.canonical.clone()))
        });
        Ok(Arc::new(sets.collect()))
    }
}

#[cfg(test)]
mod tests {
    use sastrugi_crypto::bls::SecretKey;
    use serde_json::json;

    use super::*;

    const X_CHAIN: Id = Id([0x58; 32]);
    const SUBNET: Id = Id([0x5b; 32]);
    const CHAIN: Id = Id([0xc4; 32]);
    const NODES: [NodeId; 3] = [NodeId([1; 20]), NodeId([2; 20]), NodeId([3; 20])];

    fn key() -> sastrugi_crypto::bls::PublicKey {
        SecretKey::generate(&[7; 32]).unwrap().public_key()
    }

    /// A subnet that exists from height 3 on and changes at height 7; the current height is 8.
    fn description() -> NetworkDescription {
        let public_key = format!("0x{}", const_hex::encode(key().to_compressed()));
        let description = json!({
            "version": 1,
            "networkID": 4242,
            "pChain": { "minimumHeight": 5, "currentHeight": 8 },
            "primary": {
                "xChainID": X_CHAIN,
                "cChainID": null,
                "validators": [{ "nodeID": NODES[0], "weight": 5 }],
            },
            "subnets": [{
                "id": SUBNET,
                "kind": "permissioned",
                "sampling": "listed",
                "validators": [
                    { "fromHeight": 3, "validators": [{ "nodeID": NODES[1], "weight": 10 }] },
                    { "fromHeight": 7, "validators": [
                        { "nodeID": NODES[1], "weight": 20, "publicKey": public_key },
                        { "nodeID": NODES[2], "weight": 1, "publicKey": public_key },
                    ] },
                    { "fromHeight": 9, "validators": [] },
                ],
                "chains": [
                    { "id": CHAIN, "name": "kv", "vmID": sastrugi_kvvm::VM_ID, "genesis": "" },
                ],
            }],
        });
        serde_json::from_value(description).unwrap()
    }

    fn state() -> DescribedValidators {
        let description = description();
        assert_eq!(description.check(), Ok(()));
        DescribedValidators::new(&description).unwrap()
    }

    fn weights(height: u64, subnet: Id) -> Vec<(NodeId, u64)> {
        let set = state().validator_set(height, subnet).unwrap();
        set.values().map(|validator| (validator.node, validator.weight)).collect()
    }

    #[test]
    fn each_height_has_the_set_that_began_last() {
        for (height, expected) in [
            (0, vec![]),
            (2, vec![]),
            (3, vec![(NODES[1], 10)]),
            (6, vec![(NODES[1], 10)]),
            (7, vec![(NODES[1], 20), (NODES[2], 1)]),
            (8, vec![(NODES[1], 20), (NODES[2], 1)]),
        ] {
            assert_eq!(weights(height, SUBNET), expected, "height {height}");
            assert_eq!(weights(height, PRIMARY_NETWORK), [(NODES[0], 5)]);
        }
        assert_eq!(weights(8, Id([9; 32])), [], "an unknown subnet has nobody");
        let key = Bytes::copy_from_slice(&key().to_uncompressed());
        let set = state().validator_set(8, SUBNET).unwrap();
        assert_eq!(set[&NODES[2]].public_key, Some(key));
    }

    #[test]
    fn heights_above_the_current_one_are_unknown() {
        let state = state();
        assert_eq!(state.minimum_height().unwrap(), 5);
        assert_eq!(state.current_height().unwrap(), 8);
        for height in [9, u64::MAX] {
            let error = state.validator_set(height, SUBNET).unwrap_err();
            assert!(error.to_string().contains(&format!("height {height} is above 8")), "{error}");
            assert!(state.validator_set(height, PRIMARY_NETWORK).is_err());
            assert!(state.canonical_sets(height).is_err());
        }
    }

    #[test]
    fn chains_belong_to_their_subnets() {
        let state = state();
        assert_eq!(state.subnet_of(CHAIN).unwrap(), SUBNET);
        for chain in [PLATFORM_CHAIN, X_CHAIN] {
            assert_eq!(state.subnet_of(chain).unwrap(), PRIMARY_NETWORK);
        }
        assert!(matches!(state.subnet_of(SUBNET), Err(VmError::NotFound)));
    }

    #[test]
    fn canonical_sets_are_those_of_all_subnets_with_validators() {
        let state = state();
        assert_eq!(state.canonical_sets(0).unwrap().keys().collect::<Vec<_>>(), [&PRIMARY_NETWORK]);
        let sets = state.canonical_sets(7).unwrap();
        let set = &sets[&SUBNET];
        assert_eq!(set.total_weight, 21);
        assert_eq!(set.validators.len(), 1);
        assert_eq!(set.validators[0].nodes, NODES[1..]);
        assert_eq!(**set, CanonicalSet::of_chain(&state, 7, CHAIN).unwrap());
        // A set without keys verifies nothing, but is there.
        assert!(sets[&PRIMARY_NETWORK].validators.is_empty());
    }

    #[test]
    fn descriptions_that_cannot_be_answered_from_are_refused() {
        let mut wrong = description();
        wrong.p_chain.minimum_height = 9;
        let error = wrong.check().unwrap_err();
        assert!(error.contains("pChain.minimumHeight: 9 is above currentHeight, 8"), "{error}");
        let mut wrong = description();
        wrong.primary.validators[0].public_key = Some("0x00".into());
        assert!(wrong.check().is_err());
        assert!(DescribedValidators::new(&wrong).unwrap_err().contains("publicKey"));
        let mut wrong = description();
        let upgrades = wrong.upgrades();
        let etna_time = upgrades.helicon_time;
        wrong.upgrades = Some(sastrugi_types::upgrade::UpgradeSchedule { etna_time, ..upgrades });
        let error = wrong.check().unwrap_err();
        assert!(error.contains("upgrades: upgrades are out of order: Etna"), "{error}");
        wrong.network_id = 12345;
        let error = wrong.check().unwrap_err();
        assert_eq!(error, "upgrades: those of network 12345 are fixed, leave them out");
        wrong.upgrades = None;
        assert_eq!(wrong.check(), Ok(()));
    }
}
