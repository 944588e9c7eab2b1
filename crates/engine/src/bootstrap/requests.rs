//! Who was asked for which block, and when.

use std::collections::{BTreeMap, BTreeSet};

use sastrugi_types::{Id, Instant};

use crate::common::Request;

/// Outstanding requests for ancestors. A block is asked for at most once at a time.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    requests: BTreeMap<Request, Wanted>,
    blocks: BTreeSet<Id>,
}

/// What a request asks for, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) block: Id,
    pub(super) since: Instant,
}

impl Outstanding {
    /// Whether somebody was asked for the block.
    pub(super) fn asks_for(&self, block: &Id) -> bool {
        self.blocks.contains(block)
    }

    /// Notes a request for a block that nobody was asked for.
    pub(super) fn insert(&mut self, request: Request, wanted: Wanted) {
        self.blocks.insert(wanted.block);
        self.requests.insert(request, wanted);
    }

    /// Ends a request, if there is one.
    pub(super) fn take(&mut self, request: &Request) -> Option<Wanted> {
        let wanted = self.requests.remove(request)?;
        self.blocks.remove(&wanted.block);
        Some(wanted)
    }

    /// Forgets all requests: their answers will not be known.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.blocks.clear();
    }

    /// All requests and what they ask for, sorted.
    pub(super) fn list(&self) -> Vec<(Request, Id)> {
        self.requests.iter().map(|(request, wanted)| (*request, wanted.block)).collect()
    }
}
