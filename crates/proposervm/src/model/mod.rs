//! An independent, slow statement of who may propose and of the rules for a block, for tests: the
//! rules are one table, and the proposers are drawn as the paper says, from scratch each time.

mod rules;
mod windows;

use sastrugi_crypto::Identity;
use sastrugi_types::{NodeId, WallTime};

pub(crate) use rules::{Broken, Facts, Form, Times, first_broken};
pub(crate) use windows::{Set, expected, min_delay};

/// Staking identities, the same in each run, in the order of their node IDs.
pub(crate) fn identities(count: u8) -> Vec<Identity> {
    let mut identities: Vec<Identity> = (1..=count)
        .map(|number| {
            let mut fill = |bytes: &mut [u8]| bytes.fill(number);
            Identity::generate(&mut fill, WallTime::from_unix_secs(1_700_000_000)).unwrap()
        })
        .collect();
    identities.sort_by_key(Identity::node_id);
    identities
}

/// The validators with these weights.
pub(crate) fn set(identities: &[Identity], weights: &[u64]) -> Set {
    let nodes = identities.iter().map(Identity::node_id);
    nodes.zip(weights.iter().copied()).collect::<Vec<(NodeId, u64)>>()
}
