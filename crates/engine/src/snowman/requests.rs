//! Outstanding requests for blocks.

use hashbrown::HashMap;
use sastrugi_types::{Id, IdBuildHasher, IdMap};

use super::IssueSource;
use crate::common::Request;

/// Which block each outstanding `Get` asks for, and the other way round: a block is asked for once
/// at a time, whoever is asked. Upstream: `blkReqs` and `blkReqSourceMetric`.
#[derive(Debug)]
pub(super) struct BlockRequests {
    by_request: HashMap<Request, Wanted, IdBuildHasher>,
    by_block: IdMap<Request>,
}

/// A block that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) block: Id,
    /// How this node came to want it.
    pub(super) source: IssueSource,
}

impl BlockRequests {
    pub(super) fn new(hasher: IdBuildHasher) -> Self {
        Self { by_request: HashMap::with_hasher(hasher), by_block: IdMap::with_hasher(hasher) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_request.len()
    }

    /// Whether somebody was asked for the block.
    pub(super) fn is_wanted(&self, block: &Id) -> bool {
        self.by_block.contains_key(block)
    }

    /// What the request asks for.
    pub(super) fn wanted(&self, request: &Request) -> Option<Wanted> {
        self.by_request.get(request).copied()
    }

    /// Notes a request. A block that an equal one (2³² requests ago) asked for is forgotten.
    pub(super) fn insert(&mut self, request: Request, wanted: Wanted) {
        if let Some(old) = self.by_request.insert(request, wanted) {
            self.by_block.remove(&old.block);
        }
        self.by_block.insert(wanted.block, request);
    }

    /// The request is over.
    pub(super) fn remove(&mut self, request: &Request) -> Option<Wanted> {
        let wanted = self.by_request.remove(request)?;
        self.by_block.remove(&wanted.block);
        Some(wanted)
    }

    /// The block is here; whoever was asked for it need not answer.
    pub(super) fn remove_block(&mut self, block: &Id) {
        if self.by_block.is_empty() {
            return;
        }
        if let Some(request) = self.by_block.remove(block) {
            self.by_request.remove(&request);
        }
    }

    /// All requests with their blocks, in the order of the requests.
    pub(super) fn list(&self) -> Vec<(Request, Id)> {
        let mut list: Vec<_> =
            self.by_request.iter().map(|(request, wanted)| (*request, wanted.block)).collect();
        list.sort_unstable();
        list
    }
}

#[cfg(test)]
mod tests {
    use sastrugi_types::{NodeId, RequestId};

    use super::*;

    fn request(node: u8, number: u32) -> Request {
        Request { node: NodeId([node; 20]), request: RequestId(number) }
    }

    fn wanted(block: u8) -> Wanted {
        Wanted { block: Id([block; 32]), source: IssueSource::Built }
    }

    #[test]
    fn requests_and_blocks_belong_together() {
        let mut requests = BlockRequests::new(IdBuildHasher::new(1));
        requests.insert(request(1, 1), wanted(1));
        requests.insert(request(2, 1), wanted(2));
        assert!(requests.is_wanted(&Id([2; 32])));
        requests.remove_block(&Id([2; 32]));
        assert!(requests.remove(&request(2, 1)).is_none());
        assert_eq!(requests.remove(&request(1, 1)).unwrap().block, Id([1; 32]));
        assert!(!requests.is_wanted(&Id([1; 32])));
        assert_eq!(requests.len(), 0);
    }

    #[test]
    fn a_number_used_again_forgets_the_block_it_stood_for() {
        let mut requests = BlockRequests::new(IdBuildHasher::new(1));
        requests.insert(request(1, 7), wanted(1));
        requests.insert(request(1, 7), wanted(2));
        assert!(!requests.is_wanted(&Id([1; 32])));
        assert_eq!(requests.list(), [(request(1, 7), Id([2; 32]))]);
    }
}
