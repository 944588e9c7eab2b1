//! The consensus gear of a linear chain: it issues blocks, polls validators and decides.
//! Upstream: `snow/engine/snowman`.
//!
//! # A block's way
//!
//! unknown → *requested* (a `Get` is outstanding) → *pending* (its bytes are here, an ancestor is
//! not) → *processing* (verified and issued) → accepted or rejected. A block that cannot be issued,
//! because it or an ancestor does not verify, is *unverified*: votes for it count for its nearest
//! processing ancestor, and it is tried again when it comes again.
//!
//! A block is *decided* when it is not above the last accepted height, or stands one above it on
//! another parent. A child can be issued on the last accepted block and on processing ones.
//!
//! # Specification
//!
//! Each handler that may have changed something ends with *building* (below).
//!
//! * **start**: consensus begins at the VM's last accepted block. The options of an oracle block
//!   are issued; else the VM is told the preference. Then the VM enters normal operation.
//! * **Pull query**: answer ([chits](#chits)), then issue the branch that ends with the block. A
//!   missing block is asked for at the node that named it.
//! * **Push query**: answer, whatever the bytes are; then parse and issue.
//! * **Put**: parse and issue. Bytes that do not parse, and another block than was asked for, count
//!   as the failure of the request. A block nobody asked for is issued like any other.
//! * **Get failed**: what waits for the block is abandoned. Nothing is asked again until a query or
//!   an answer names the block again.
//! * **Chits**: note what the node accepted last; issue the branches of its preference and of its
//!   preference at the height asked for; when both are issued or abandoned, *vote*.
//! * **Query failed**: the node's last word about what it accepted counts as its answer. Without
//!   one its vote is dropped.
//! * **Gossip** (every 100 ms): while something processes, poll again, which also revives polls that
//!   could not be sent before. Else ask one connected validator, each with the same chance, what it
//!   prefers. No poll belongs to that query: its answer only brings blocks.
//! * **Notify** of pending transactions: one more block is owed. Of finished state sync: the flag
//!   is cleared.
//! * **Gets**: see [`getter`](crate::getter). App messages, connections and shutdown go to the VM.
//!
//! ## Issuing
//!
//! A branch is issued from its youngest block down to the first that is known, decided or missing.
//! A block waits for its parent unless that is issued; when the parent is abandoned, the block is
//! too. Otherwise it is *delivered*:
//!
//! 1. It is verified. A failure is not fatal and not final: the block becomes unverified.
//! 2. It and, if it is an oracle, its options are added to consensus. The VM is told the preference.
//! 3. If it is preferred, validators are queried about it; others are not amplified.
//! 4. Everything that waits for it runs, before anything else happens. Then the options' turn comes.
//! 5. Validators are polled up to the number of concurrent polls.
//!
//! ## Voting
//!
//! The vote goes to the first of the answer's blocks that has a processing ancestor (itself
//! included), found by way of unverified blocks; without one it is dropped. Polls that are thereby
//! finished, in the order they were begun, are recorded, which may accept and reject blocks. Then
//! the VM is told the preference, and validators are polled again while something processes.
//!
//! ## Querying
//!
//! Nothing is sent while less than αc/k of the weight is connected, or when `k` units of weight
//! cannot be drawn. A drawn node is asked once; its answer counts as often as it was drawn. Queries
//! ask for the preference one above the last accepted height. Only blocks built here are pushed.
//!
//! ## Building
//!
//! While blocks are owed and fewer than the optimal number process, the VM builds. Nothing to build
//! ends it until the next handler.
//!
//! ## Chits
//!
//! The preference, the preferred (or accepted) block at the height asked for, and the last accepted
//! block. Above the preference it is the preference itself that stands for the height. While the
//! state is incomplete only accepted blocks are named.
//!
//! # Order
//!
//! What a block sets free runs depth first: the first block that waited for it, everything that
//! waited for that one, then the second. An explicit work list holds what is left to do, so a chain
//! of any length needs no stack.
//!
//! # Fatal
//!
//! The VM's last accepted block, preference, state, options, accept, reject, connections and
//! shutdown; the acceptor. Nothing a peer can cause.
//!
//! # Invariants
//!
//! * A block is asked for at most once at a time, and never while it is pending.
//! * What waits for a block waits for one that is requested or pending, so it runs some day.
//! * The blocks kept with their bytes are those that consensus processes.
//!
//! # Deviations from upstream
//!
//! * A block that is processing or last accepted is not read from the VM again.
//! * Blocks that would have to wait are dropped while 256 MiB of them wait.

mod ancestor;
mod build;
mod cache;
mod chits;
mod config;
mod engine;
mod issue;
mod jobs;
mod pending;
mod put;
mod query;
mod requests;
mod stats;
mod vote;
mod work;

use std::{fmt, sync::Arc};

use sastrugi_consensus::{
    snowball::{Factory, Parameters, ParametersError},
    snowman::{Topological, poll},
};
use sastrugi_types::{Id, IdBuildHasher, IdMap, RequestId, WallTime};
use sastrugi_vm::Block;

pub use config::Config;
pub use stats::{IssueSource, Stats, Tally};

use crate::{
    common::{Request, tracker::Accepted},
    getter::{Getter, serve_gets},
};
use ancestor::AncestorTree;
use cache::{BlockCache, CACHE_BYTES_MAX};
use jobs::Scheduler;
use pending::Pending;
use requests::BlockRequests;
use work::{Job, Step};

/// The consensus gear of a linear chain.
///
/// See the [module documentation](self) for what it does. Upstream:
/// `snow/engine/snowman/engine.go`.
#[doc(alias = "Engine")]
pub struct Snowman {
    config: Config,
    getter: Getter,
    consensus: Topological,
    polls: poll::Set,
    /// The number of the last request.
    request_id: RequestId,
    requests: BlockRequests,
    pending: Pending,
    /// The blocks that consensus processes.
    processing: IdMap<Block>,
    jobs: Scheduler<Job>,
    /// What is left to do, the next step last.
    work: Vec<Step>,
    /// Blocks that could not be issued, below a processing one.
    unverified: AncestorTree,
    unverified_blocks: BlockCache,
    accepted_frontiers: Arc<Accepted>,
    /// How many blocks the VM should still build.
    owed_builds: u64,
    stats: Stats,
}

serve_gets!(Snowman, getter);

impl Snowman {
    /// A gear that waits to be started. It listens to the validators of its subnet from now on.
    ///
    /// # Errors
    /// What is wrong with the parameters.
    pub fn new(config: Config) -> Result<Self, ParametersError> {
        let hasher = IdBuildHasher::new(config.hash_seed);
        let accepted_frontiers = Arc::new(Accepted::new(config.hash_seed));
        let Parameters { alpha_preference, alpha_confidence, .. } = config.params;
        let consensus = consensus_above(&config, Id::EMPTY, 0, WallTime::default())?;
        config.validators.register_set_listener(config.subnet, accepted_frontiers.clone());
        Ok(Self {
            getter: Getter::new(config.vm.clone(), config.clock.clone(), config.getter),
            consensus,
            polls: poll::Set::new(alpha_preference, alpha_confidence, config.hash_seed),
            request_id: RequestId::default(),
            requests: BlockRequests::new(hasher),
            pending: Pending::new(hasher),
            processing: IdMap::with_hasher(hasher),
            jobs: Scheduler::new(hasher),
            work: Vec::new(),
            unverified: AncestorTree::new(hasher),
            unverified_blocks: BlockCache::new(CACHE_BYTES_MAX, hasher),
            accepted_frontiers,
            owed_builds: 0,
            stats: Stats::default(),
            config,
        })
    }

    /// Consensus, to look at.
    pub const fn consensus(&self) -> &Topological {
        &self.consensus
    }

    /// The open polls, to look at.
    pub const fn polls(&self) -> &poll::Set {
        &self.polls
    }

    /// The server of blocks, to look at.
    pub const fn getter(&self) -> &Getter {
        &self.getter
    }

    /// What the gear has done so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The number of the last request.
    pub const fn last_request(&self) -> RequestId {
        self.request_id
    }

    /// How many blocks the VM should still build.
    pub const fn owed_builds(&self) -> u64 {
        self.owed_builds
    }

    /// Outstanding requests for blocks and what they ask for, sorted (`requests` is their number).
    pub fn outstanding_gets(&self) -> Vec<(Request, Id)> {
        self.requests.list()
    }

    /// Blocks that wait for an ancestor, sorted (`blocked` is their number).
    pub fn pending(&self) -> Vec<Id> {
        self.pending.ids()
    }

    /// How much the gear holds.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            requests: self.requests.len(),
            blocked: self.pending.len(),
            blockers: self.jobs.dependencies(),
            unverified: self.unverified.len(),
            unverified_cached: self.unverified_blocks.len(),
        }
    }

    fn next_request(&mut self) -> RequestId {
        self.request_id = self.request_id.next();
        self.request_id
    }
}

/// How much the gear holds. The upstream metric is named with each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// `requests`: outstanding requests for blocks.
    pub requests: usize,
    /// `blocked`: blocks that wait for an ancestor.
    pub blocked: usize,
    /// `blockers`: blocks that something waits for.
    pub blockers: usize,
    /// `non_verified_blks`: blocks known to stand on an undecided one without being issued.
    pub unverified: usize,
    /// Those of them that are kept with their bytes.
    pub unverified_cached: usize,
}

/// Consensus that begins at a block.
fn consensus_above(
    config: &Config,
    last_accepted: Id,
    height: u64,
    timestamp: WallTime,
) -> Result<Topological, ParametersError> {
    let Config { params, hash_seed, .. } = config;
    Topological::new(Factory::Snowflake, *params, last_accepted, height, timestamp, *hash_seed)
}

impl fmt::Debug for Snowman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snowman")
            .field("config", &self.config)
            .field("last_accepted", &self.consensus.last_accepted())
            .field("request_id", &self.request_id)
            .field("gauges", &self.gauges())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
