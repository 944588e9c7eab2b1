//! To whom gossip goes.
//!
//! The named nodes that are connected and allowed, and a sample of the rest: the connected nodes
//! are gone through in random order, those that do not track the subnet, are named or are not
//! allowed are skipped, and each is taken as a peer of any kind while such are wanted, else as
//! the validator or the non-validator that it is.
//!
//! Upstream: `network.samplePeers`, `network.Send`.

use std::{collections::BTreeSet, sync::Arc};

use sastrugi_types::{
    Id, NodeId,
    sampler::{Source, Uniform},
};

use crate::{caller::Membership, connection::Connection, registry::Connected};

/// To whom gossip is to go. Upstream: `common.SendConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// These, if they are connected, whatever subnets they track.
    pub nodes: BTreeSet<NodeId>,
    /// So many validators of the subnet.
    pub validators: usize,
    /// So many other peers.
    pub non_validators: usize,
    /// So many peers of any kind.
    pub peers: usize,
}

/// How many of each kind are still wanted.
struct Quota {
    peers: usize,
    validators: usize,
    non_validators: usize,
}

impl Quota {
    const fn is_empty(&self) -> bool {
        self.peers == 0 && self.validators == 0 && self.non_validators == 0
    }

    /// Whether one more node is taken.
    fn takes(&mut self, is_validator: impl FnOnce() -> bool) -> bool {
        let kind = if self.peers > 0 {
            &mut self.peers
        } else if is_validator() {
            &mut self.validators
        } else {
            &mut self.non_validators
        };
        let is_wanted = *kind > 0;
        *kind = kind.saturating_sub(1);
        is_wanted
    }
}

/// Draws the sampled part of the recipients.
pub(crate) fn sample<'a>(
    connected: &'a Connected,
    recipients: &Recipients,
    subnet: Id,
    membership: &dyn Membership,
    random: &mut dyn Source,
) -> Vec<&'a Arc<Connection>> {
    let mut quota = Quota {
        peers: recipients.peers,
        validators: match recipients.validators {
            0 => 0,
            wanted => wanted.min(membership.validators(subnet)),
        },
        non_validators: recipients.non_validators,
    };
    let mut order = Uniform::new(connected.len() as u64);
    let mut drawn = Vec::new();
    while !quota.is_empty()
        && let Some(place) = order.next(random)
    {
        let connection = &connected[place as usize];
        let node = connection.node();
        if connection.tracks(subnet)
            && !recipients.nodes.contains(&node)
            && membership.is_allowed(subnet, node)
            && quota.takes(|| membership.is_validator(subnet, node))
        {
            drawn.push(connection);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_any_kind_are_taken_first() {
        let mut quota = Quota { peers: 1, validators: 1, non_validators: 1 };
        assert!(quota.takes(|| unreachable!("any kind will do")));
        assert!(quota.takes(|| true));
        assert!(!quota.takes(|| true));
        assert!(quota.takes(|| false));
        assert!(!quota.takes(|| false));
        assert!(quota.is_empty());
    }
}
