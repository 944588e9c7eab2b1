//! What a chain tells its surroundings, and what stands behind each accepted block.

use std::fmt;

use sastrugi_vm::{Block, State};

use super::Gear;
use crate::common::{Acceptor, Handled};

/// Something that happened in a chain.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// The block is accepted and committed.
    Accepted(&'a Block),
    /// The gear takes charge; what follows is its doing. The sequence of these is the trace of
    /// transitions: each gear at most once, in the order of [`Gear`].
    GearChanged(Gear),
    /// The gear in charge has set the chain's state.
    StateChanged(State),
    /// The chain has ended, the VM is shut down. `Err` is what broke.
    Stopped(&'a Handled),
}

/// Hears the facts of a chain in order: metrics, traces, the oracles of a simulation. It is called
/// on the chain's thread, so it must not block.
pub trait Output: Send {
    /// Something happened.
    fn observe(&mut self, fact: Fact<'_>);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Output for Unobserved {
    fn observe(&mut self, _fact: Fact<'_>) {}
}

/// Makes accepting one step: what the VM wrote and what the engine notes are written together.
///
/// A VM inside the process writes into a layer over the node's database, and this writes the layer
/// and the engine's index in one synced batch. A plugin VM commits on its own, so there it writes
/// the index alone.
pub trait Commit: Send {
    /// The block will be accepted: note it. An error stops the chain before the VM accepts.
    fn accepting(&mut self, _block: &Block) -> Handled {
        Ok(())
    }

    /// The VM accepted the block: when this returns, all of it is on the disk. The next block is
    /// not accepted before. An error stops the chain.
    fn commit(&mut self, block: &Block) -> Handled;

    /// The VM wrote a step of its own, beside any block, and said so through
    /// [`Events::set_written`](sastrugi_vm::Events::set_written): what it wrote so far is to be
    /// committed. Called between messages. An error stops the chain.
    fn written(&mut self) -> Handled {
        Ok(())
    }

    /// A gear sets the chain's state, before it tells the VM: from here on commits may be of
    /// another kind, and what was committed before must be on the disk. An error stops the chain.
    fn state_changed(&mut self, _state: State) -> Handled {
        Ok(())
    }
}

/// A chain whose VM keeps nothing, or commits on its own.
#[derive(Clone, Copy, Debug)]
pub struct Uncommitted;

impl Commit for Uncommitted {
    fn commit(&mut self, _block: &Block) -> Handled {
        Ok(())
    }
}

/// The gears' acceptor: commits, then tells.
pub(super) struct ChainAcceptor {
    pub(super) commit: Box<dyn Commit>,
    pub(super) output: Box<dyn Output>,
    pub(super) state: State,
}

impl Acceptor for ChainAcceptor {
    fn accepting(&mut self, block: &Block) -> Handled {
        self.commit.accepting(block)
    }

    fn accepted(&mut self, block: &Block) -> Handled {
        self.commit.commit(block)?;
        self.output.observe(Fact::Accepted(block));
        Ok(())
    }

    fn state_changed(&mut self, state: State) -> Handled {
        self.commit.state_changed(state)?;
        self.state = state;
        self.output.observe(Fact::StateChanged(state));
        Ok(())
    }
}

impl fmt::Debug for ChainAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainAcceptor").field("state", &self.state).finish_non_exhaustive()
    }
}
