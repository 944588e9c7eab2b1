//! The gear that catches up: it finds out what the network has accepted, fetches it and executes
//! it. Upstream: `snow/engine/snowman/bootstrap`.
//!
//! # A round
//!
//! 1. *Frontier*: a sample of the beacons, by weight, is asked for the last accepted block.
//! 2. *Accepted*: all beacons are asked which of these they have accepted. Blocks that more than
//!    half of all weight has accepted are taken for accepted by the network.
//! 3. *Fetching*: their ancestors are fetched down to the last accepted block, and kept in a
//!    database ([`interval`]), so that a restart goes on where it was.
//! 4. *Executing*: they are verified and accepted, lowest first.
//!
//! While a round takes, the network moves on. So rounds are repeated while each executes less than
//! half of the one before; then what is left is little enough for the consensus gear.
//!
//! # Specification
//!
//! * Upon **start**: the chain's state is set, then the VM's, and only then the last accepted block
//!   is read, because the VM may roll back when it hears of the state. The fetched blocks on the
//!   disk are looked at: the parents of the lowest ones of each run are *missing*. The first round
//!   begins as soon as enough weight of the beacons was ever connected.
//! * Upon **connected**, **disconnected**: the VM hears of it, then the tracker of the beacons.
//!   The tracker of bandwidth is told by the chain.
//! * A round draws its sample from the beacons of this moment. Without beacons nothing is asked and
//!   what is fetched is executed. Both questions of a round have one number.
//! * Upon **accepted frontier**, **accepted** and their failures: ignored unless the number is the
//!   last one used. A failure is an empty opinion. At most 50 nodes are asked at a time. If no block
//!   has a majority, another round begins after a while (half a second at first, twice as long
//!   each time up to 10 s, less up to a half by chance).
//! * *Fetching* begins with the accepted blocks, the built-in checkpoints and what is missing. What
//!   the VM has is taken from it; the rest is asked for, each block at one node at a time, the
//!   quickest ones first. Without any peer this node itself is asked: the timeout of that request is
//!   the pause until the next try.
//! * Upon **ancestors**: nothing if not asked for. An empty answer, one with a block that does not
//!   parse among the first 2000, and one that does not begin with the block asked for are failures.
//!   Else the block and those of its ancestors that are in the answer are stored, until an accepted
//!   or stored height is reached, or the parent is not there: it is missing now, and asked for.
//! * Upon **get ancestors failed**, and upon ancestors that are a failure: the block is asked for
//!   again, at once and without end; after each 16 failures at this node itself, which is a pause.
//! * When nothing is missing, *executing* begins, in slices of [`work`](crate::common::Engine::work) of at most
//!   [`SLICE_BLOCKS_MAX`] blocks. Each block is verified and accepted. What a slice executed is
//!   forgotten in one batch, after the accepts. Blocks up to the last accepted height are only
//!   forgotten. Answers to polls are ignored meanwhile; other messages are heard between slices.
//!   When the halter is set, it ends without a word, and the rest stays on the disk.
//! * After executing, when something was executed but less than half of the round before: the next
//!   round. Otherwise the chain is *caught up*: whoever wants to know is told once, and the subnet's
//!   tracker each time. When all chains of the subnet are, the gear is finished. Else it waits 10 s,
//!   or until they are, and then begins another round or is finished.
//! * A new round forgets the outstanding requests; what is missing and what was fetched stays.
//! * Upon **notify** of finished state sync: the flag is cleared. Upon **gossip**: nothing.
//! * **Clear** forgets what was fetched. **Gets**: see [`getter`](crate::getter). App messages and
//!   shutdown go to the VM.
//!
//! # Fatal
//!
//! The VM's last accepted block, state, accept, connections and shutdown; the acceptor; the database;
//! weights that overflow; a fetched block that does not parse or verify any more. Nothing a single
//! peer can cause: a block is only stored if its ID is that of a block a majority of the beacons
//! has accepted, or of an ancestor of one.
//!
//! # Invariants
//!
//! * A block is asked for at most once at a time, and only if it is or was missing in this round. A
//!   fetched block replaces one missing block by at most one other. So there are never more missing
//!   blocks and requests than accepted and built-in blocks, and one for each run on the disk.
//! * The blocks on the disk form runs. When nothing is missing there is one that begins right above
//!   the last accepted block (or none).
//! * A block is executed only above the last accepted height, so never twice.
//! * While executing nothing is missing and no wake-up is pending.
//!
//! # Deviations from upstream
//!
//! * Executed blocks are removed from the disk after they are accepted, where upstream may do so
//!   before: a crash leaves blocks that are skipped, not gaps to fetch again.
//! * Blocks nobody was asked about cannot become accepted.
//! * Rounds without a result, and many failures of one block, are followed by a pause. Requests to
//!   this node itself do not make it a peer to fetch from.
//! * Progress counts from the last accepted block of each round, and is measured each second.

mod config;
pub mod eta;
mod execute;
mod fetch;
mod health;
pub mod interval;
mod polls;
mod progress;
mod requests;
mod start;
mod stats;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use sastrugi_types::{Id, RequestId};
use sastrugi_vm::{Block, VmError};

pub use config::{ANCESTORS_RECEIVED_MAX, Config, TrustedParser};
pub use execute::{SLICE_BLOCKS_MAX, SLICE_BYTES_MAX, SLICE_TIME_MAX};
pub use progress::{Hardest, Phase, Progress};
pub use stats::Stats;

use crate::{
    common::{Fatal, Request},
    getter::{Getter, serve_gets},
};
use execute::Execution;
use interval::Tree;
use polls::Poll;
use progress::Meter;
use requests::Outstanding;

/// The gear that fetches and executes what was accepted meanwhile.
///
/// See the [module documentation](self) for what it does. Upstream:
/// `snow/engine/snowman/bootstrap/bootstrapper.go`.
pub struct Bootstrapper {
    config: Config,
    getter: Getter,
    standing: Standing,
    /// The number of the last request.
    request_id: RequestId,
    /// The poll of this round that was begun last.
    poll: Option<Poll>,
    /// What the pending wake-up is for.
    waiting: Option<Wait>,
    /// Rounds without a result in a row.
    empty_rounds: u32,
    /// Heights that were fetched and not yet executed.
    tree: Tree,
    missing: BTreeSet<Id>,
    outstanding: Outstanding,
    /// How often each missing block was not to be had.
    failures: BTreeMap<Id, u32>,
    /// The greatest height of a block that was fetched at first hand.
    tip_height: u64,
    /// Last accepted height when fetching began.
    base_height: u64,
    execution: Option<Execution>,
    /// How many blocks the round before had to execute.
    executed_before: u64,
    meter: Meter,
    stats: Stats,
}

/// How far the gear came at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It is not in charge.
    New,
    /// It waits until enough beacons were connected.
    Waiting,
    /// The first round has begun.
    Started,
    /// A later one has.
    Restarted,
    /// The next gear's turn has come.
    Finished,
}

/// What the gear waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The other chains of the subnet.
    Subnet,
    /// A better moment for the next round.
    NextRound,
}

serve_gets!(Bootstrapper, getter);

impl Bootstrapper {
    /// A gear that waits to be started. Touches neither the VM, which may not be initialized, nor
    /// the database.
    #[doc(alias = "New")]
    pub fn new(config: Config) -> Self {
        Self {
            getter: Getter::new(config.vm.clone(), config.clock.clone(), config.getter),
            config,
            standing: Standing::New,
            request_id: RequestId::default(),
            poll: None,
            waiting: None,
            empty_rounds: 0,
            tree: Tree::new(),
            missing: BTreeSet::new(),
            outstanding: Outstanding::default(),
            failures: BTreeMap::new(),
            tip_height: 0,
            base_height: 0,
            execution: None,
            executed_before: i64::MAX as u64,
            meter: Meter::default(),
            stats: Stats::default(),
        }
    }

    /// What the gear has done so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The server of blocks, to look at.
    pub const fn getter(&self) -> &Getter {
        &self.getter
    }

    /// The number of the last request.
    pub const fn last_request(&self) -> RequestId {
        self.request_id
    }

    /// The heights that were fetched and not yet executed, to look at.
    pub const fn fetched(&self) -> &Tree {
        &self.tree
    }

    /// The blocks to be fetched, as far as they are known.
    pub const fn missing(&self) -> &BTreeSet<Id> {
        &self.missing
    }

    /// Outstanding requests for ancestors and what they ask for, sorted.
    pub fn outstanding_requests(&self) -> Vec<(Request, Id)> {
        self.outstanding.list()
    }

    /// Whether a round has begun.
    pub fn is_started(&self) -> bool {
        self.standing >= Standing::Started
    }

    /// Whether the gear waits for the other chains of the subnet.
    pub fn is_waiting_for_subnet(&self) -> bool {
        self.waiting == Some(Wait::Subnet)
    }

    /// Whether the gear makes a pause after a round without a result.
    pub fn is_backing_off(&self) -> bool {
        self.waiting == Some(Wait::NextRound)
    }

    fn next_request(&mut self) -> RequestId {
        self.request_id = self.request_id.next();
        self.request_id
    }

    fn last_accepted(&self) -> Result<Block, Fatal> {
        let vm = &self.config.vm;
        let id = vm.last_accepted().map_err(Fatal::vm("last_accepted"))?;
        vm.get_block(id)
            .and_then(|block| block.ok_or(VmError::NotFound))
            .map_err(Fatal::vm("get_block of the last accepted"))
    }
}

impl fmt::Debug for Bootstrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bootstrapper")
            .field("config", &self.config)
            .field("standing", &self.standing)
            .field("request_id", &self.request_id)
            .field("waiting", &self.waiting)
            .field("fetched", &self.tree.len())
            .field("missing", &self.missing.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
