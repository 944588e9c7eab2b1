//! The sampler of a running node.

use std::{fmt, sync::Arc};

use sastrugi_types::{
    Id, NodeId,
    sampler::{Source, Uniform},
};

use super::Validators;
use crate::common::{SampleError, Sampler, tracker::Peers};

/// Draws a subnet's validators: by weight from the current set, and evenly from those connected.
///
/// All randomness comes from the [`Source`] given at construction.
pub struct SubnetSampler {
    validators: Arc<Validators>,
    subnet: Id,
    peers: Arc<Peers>,
    source: Box<dyn Source + Send>,
    units: Uniform,
}

impl SubnetSampler {
    /// A sampler of `subnet`; `peers` says who is connected.
    pub fn new(
        validators: Arc<Validators>,
        subnet: Id,
        peers: Arc<Peers>,
        source: Box<dyn Source + Send>,
    ) -> Self {
        Self { validators, subnet, peers, source, units: Uniform::new(0) }
    }
}

impl Sampler for SubnetSampler {
    fn sample(&mut self, size: usize) -> Result<Vec<NodeId>, SampleError> {
        let mut nodes = Vec::with_capacity(size);
        let Self { units, source, .. } = self;
        self.validators.sample(self.subnet, size, units, source, &mut nodes)?;
        Ok(nodes)
    }

    fn sample_connected(&mut self) -> Option<NodeId> {
        self.peers.sample_connected(&mut self.source)
    }
}

impl fmt::Debug for SubnetSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubnetSampler").field("subnet", &self.subnet).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sastrugi_types::sampler::Mt19937_64;

    use super::*;
    use crate::validators::Validator;

    #[test]
    fn draws_by_weight_and_among_the_connected() {
        let (subnet, heavy, light) = (Id([1; 32]), NodeId([2; 20]), NodeId([3; 20]));
        let validators = Arc::new(Validators::new(1));
        let peers = Arc::new(Peers::new(1));
        validators.register_set_listener(subnet, peers.clone());
        let source = Box::new(Mt19937_64::new(1));
        let mut sampler = SubnetSampler::new(validators.clone(), subnet, peers.clone(), source);
        assert_eq!(sampler.sample(1), Err(SampleError::InsufficientWeight));
        for (node, weight) in [(heavy, 3), (light, 1)] {
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight };
            validators.add_staker(subnet, validator).unwrap();
        }
        let mut sample = sampler.sample(4).unwrap();
        sample.sort_unstable();
        assert_eq!(sample, [heavy, heavy, heavy, light]);
        assert_eq!(sampler.sample(5), Err(SampleError::InsufficientWeight));
        assert_eq!(sampler.sample_connected(), None);
        peers.connected(light);
        assert_eq!(sampler.sample_connected(), Some(light));
    }
}
