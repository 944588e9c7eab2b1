//! What a gear may touch besides itself and its VM.

use std::fmt;

use sastrugi_types::{Instant, NodeId, RequestId, WallTime};
use sastrugi_vm::{Block, State};

use super::{Halter, Handled, Sender, TimeoutRegistrar};

/// Why no sample could be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The subnet has no validators.
    #[error("the subnet has no validators")]
    MissingValidators,
    /// The validators' weights add up to fewer units than should be drawn.
    #[error("the validators' total weight is below the sample size")]
    InsufficientWeight,
    /// The validators' weights add up to more than 64 bits.
    #[error("the validators' total weight overflows")]
    Overflow,
}

/// Draws validators of the chain's subnet.
pub trait Sampler {
    /// Draws `size` units of weight without replacement and names their owners: a heavy validator
    /// may be named several times. This node is a validator like any other.
    fn sample(&mut self, size: usize) -> Result<Vec<NodeId>, SampleError>;

    /// Draws one connected validator, each with the same chance; `None` when there is none.
    fn sample_connected(&mut self) -> Option<NodeId>;
}

/// Stands between the gear's decision to accept and the VM, and behind it.
pub trait Acceptor {
    /// Before the VM accepts the block: indexes and the like. An error stops the chain, and the VM
    /// does not accept. Upstream: `snow/acceptor.go`.
    fn accepting(&mut self, block: &Block) -> Handled;

    /// The VM has accepted the block: what it wrote is committed before this returns.
    fn accepted(&mut self, block: &Block) -> Handled;

    /// The gear has set the state of the chain, before it tells the VM. An error stops the chain.
    fn state_changed(&mut self, state: State) -> Handled;
}

/// The context of one call.
pub struct Cx<'a> {
    /// Time on the monotonic clock.
    pub now: Instant,
    /// Calendar time.
    pub wall: WallTime,
    /// What the gear says leaves here at once.
    pub sender: &'a dyn Sender,
    /// The gear's one wake-up.
    pub timer: &'a mut dyn TimeoutRegistrar,
    /// Draws validators.
    pub sampler: &'a mut dyn Sampler,
    /// Hears of accepted blocks and state changes.
    pub acceptor: &'a mut dyn Acceptor,
    /// Long work looks here whether it should stop.
    pub halter: &'a Halter,
    /// Set by [`Cx::finish`].
    finished: Option<RequestId>,
}

impl<'a> Cx<'a> {
    /// The context of a call that happens now.
    pub fn new(
        now: Instant,
        wall: WallTime,
        sender: &'a dyn Sender,
        timer: &'a mut dyn TimeoutRegistrar,
        sampler: &'a mut dyn Sampler,
        acceptor: &'a mut dyn Acceptor,
        halter: &'a Halter,
    ) -> Self {
        Self { now, wall, sender, timer, sampler, acceptor, halter, finished: None }
    }

    /// Says that this gear is done; the next one continues after the given number. The chain
    /// switches when the handler returns.
    pub fn finish(&mut self, last_request: RequestId) {
        self.finished = Some(last_request);
    }

    /// Whether the gear said it is done, and its last number.
    pub const fn finished(&self) -> Option<RequestId> {
        self.finished
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("now", &self.now)
            .field("wall", &self.wall)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
