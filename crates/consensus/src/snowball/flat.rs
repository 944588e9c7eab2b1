//! A decision among IDs by a single instance.

use std::fmt;

use sastrugi_types::{Bag, Id};

use super::{Consensus, Factory, Nnary, Parameters, Thresholds, parameters::saturate};

/// One n-ary instance, fed with the most frequent choice of each poll.
///
/// The baseline that [`Tree`](super::Tree) is compared with. Upstream:
/// `snow/consensus/snowball/flat.go`.
#[derive(Clone, Debug)]
pub struct Flat {
    thresholds: Thresholds,
    instance: Nnary,
}

impl Flat {
    /// Prefers `choice`. The parameters must have been verified.
    pub fn new(factory: Factory, parameters: &Parameters, choice: Id) -> Self {
        Self { thresholds: parameters.thresholds(), instance: factory.nnary(choice) }
    }
}

impl Consensus for Flat {
    fn add(&mut self, choice: Id) {
        self.instance.add(choice);
    }

    fn preference(&self) -> Id {
        self.instance.preference()
    }

    fn record_poll(&mut self, votes: &Bag<Id>) -> bool {
        let (choice, count) =
            votes.mode().map_or((Id::EMPTY, 0), |(choice, count)| (*choice, count));
        let count = saturate(count);
        self.instance.record_poll(&self.thresholds, count, choice);
        count >= self.thresholds.alpha_preference
    }

    fn record_unsuccessful_poll(&mut self) {
        self.instance.record_unsuccessful_poll();
    }

    fn finalized(&self) -> bool {
        self.instance.finalized()
    }
}

impl fmt::Display for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.instance.fmt(f)
    }
}
