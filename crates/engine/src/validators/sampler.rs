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
