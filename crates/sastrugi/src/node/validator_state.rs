//! Validator sets by height from the network description.

use std::collections::BTreeMap;

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{
    VmError,
    validators::{ValidatorOutput, ValidatorState},
};

use crate::description::{NetworkDescription, Validator};

/// Answers from a description, which is one fixed state.
#[derive(Debug)]
pub struct DescribedValidators {
    description: NetworkDescription,
}

impl DescribedValidators {
    /// Answers from this description.
    pub const fn new(description: NetworkDescription) -> Self {
        Self { description }
    }
}

fn outputs(validators: &[Validator]) -> Result<BTreeMap<NodeId, ValidatorOutput>, VmError> {
    let output = |validator: &Validator| {
        let key = validator.bls_key().map_err(VmError::Other)?;
        let public_key = key.map(|key| Bytes::copy_from_slice(&key.to_uncompressed()));
        let Validator { node_id: node, weight, .. } = *validator;
        Ok((node, ValidatorOutput { node, public_key, weight }))
    };
    validators.iter().map(output).collect()
}

impl ValidatorState for DescribedValidators {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(self.description.p_chain.minimum_height)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(self.description.p_chain.current_height)
    }

    fn subnet_of(&self, chain: Id) -> Result<Id, VmError> {
        let found = self.description.chains().find(|(_, described)| described.id == chain);
        found.map(|(subnet, _)| subnet.id).ok_or(VmError::NotFound)
    }

    fn validator_set(
        &self,
        height: u64,
        subnet: Id,
    ) -> Result<BTreeMap<NodeId, ValidatorOutput>, VmError> {
        let current = self.description.p_chain.current_height;
        if height > current {
            return Err(VmError::Other(format!("height {height} is above {current}, the current")));
        }
        if subnet == Id::EMPTY {
            return outputs(&self.description.primary.validators);
        }
        let found = self.description.subnets.iter().find(|described| described.id == subnet);
        outputs(found.ok_or(VmError::NotFound)?.validators_at(height))
    }
}
