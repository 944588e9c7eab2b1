//! What to do at the start when a VM and the engine's record disagree about the last accepted block.
//!
//! The engine notes the last accepted block in its own record. A VM inside the process commits in one
//! batch with the record, so the two agree, except that a VM may jump when it syncs its state. A VM
//! that commits on its own may be ahead of the record or behind it after a crash, by one block or by
//! many.
//!
//! **The VM is the truth.** It cannot be told to accept a block again, nor to take one back. So the
//! record moves to where the VM is, and nothing else is needed:
//!
//! * The VM is *ahead*: it has accepted what the engine was about to note. The record moves forward, if
//!   the VM has accepted the noted block at its height. A VM that does not know any more what it
//!   accepted there has jumped, or forgets old blocks; then nothing can be compared.
//! * The VM is *behind*: it has lost its last blocks. The record moves back, if what the VM still
//!   knows of the noted block leads down to the VM's last accepted one. The bootstrapper, and then
//!   the answers of peers, bring the lost blocks again: all gears begin at the VM's last accepted block,
//!   so none that the VM has is accepted twice, and none is left out.
//! * Neither stands on the other: the VM's data and the record are of different chains. That cannot
//!   be repaired here.

use std::fmt;

use sastrugi_types::Id;
use sastrugi_vm::{Block, ChainVm, VmError};

/// No more ancestors of a lost block are compared. A VM that has kept the bytes of more blocks is
/// believed.
pub const COMPARED_MAX: u64 = 4096;

/// A block's ID and height.
pub type Noted = (Id, u64);

/// How the engine's record is brought into line with the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// They agree, or nothing was noted yet.
    Agreed,
    /// The VM is ahead.
    Forward {
        /// What was noted.
        from: Noted,
        /// The VM's last accepted block.
        to: Noted,
        /// Whether the VM does not know any more what it accepted at the noted height.
        jumped: bool,
    },
    /// The VM is behind.
    Back {
        /// What was noted.
        from: Noted,
        /// The VM's last accepted block.
        to: Noted,
    },
}

/// Why the engine's record and the VM cannot be brought into line.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The VM failed.
    #[error("VM, {call}: {error}")]
    Vm {
        /// The call.
        call: &'static str,
        /// How it failed.
        error: VmError,
    },
    /// The VM does not have the block it names as its last accepted one.
    #[error(
        "the VM does not have its own last accepted block {0}: its data is damaged; move the chain's \
         data away and let the node fetch everything anew"
    )]
    Lost(Id),
    /// Neither block stands on the other.
    #[error(
        "the VM's data and the node's database are of different chains: the node noted block {} as \
         accepted at height {}, the VM accepted {vm} at height {height}; restore both from the same \
         backup, or move both away and let the node fetch everything anew",
        .noted.0, .noted.1
    )]
    DifferentChains {
        /// What was noted.
        noted: Noted,
        /// The block of the VM's accepted chain that contradicts it.
        vm: Id,
        /// Its height.
        height: u64,
    },
}

impl Repair {
    /// What the engine must note now, before the chain starts; `None` if the record stays.
    pub const fn to_note(&self) -> Option<Noted> {
        match self {
            Self::Agreed => None,
            Self::Forward { to, .. } | Self::Back { to, .. } => Some(*to),
        }
    }
}

/// Compares the VM with the engine's record, which is `None` as long as nothing was accepted. Call it
/// after the VM was initialized and before the chain starts. It changes nothing.
///
/// # Errors
/// See [`RepairError`]; the chain must not start.
pub fn repair(vm: &dyn ChainVm, noted: Option<Noted>) -> Result<Repair, RepairError> {
    let Some(from) = noted else { return Ok(Repair::Agreed) };
    let id = vm.last_accepted().map_err(failed("last_accepted"))?;
    let last = block(vm, id)?.ok_or(RepairError::Lost(id))?;
    let to = (last.id, last.height);
    if to == from {
        return Ok(Repair::Agreed);
    }
    if to.1 > from.1 {
        let accepted = accepted_at(vm, from.1)?;
        return match accepted {
            Some(vm) if vm != from.0 => Err(differs(from, vm, from.1)),
            accepted => Ok(Repair::Forward { from, to, jumped: accepted.is_none() }),
        };
    }
    match ancestor(vm, from, to.1)? {
        Some(ancestor) if ancestor != to.0 => Err(differs(from, to.0, to.1)),
        _ => Ok(Repair::Back { from, to }),
    }
}

/// The ancestor of a noted block at a height, as far as the VM still knows the way.
fn ancestor(vm: &dyn ChainVm, noted: Noted, height: u64) -> Result<Option<Id>, RepairError> {
    let (mut id, mut above) = noted;
    for _ in 0..COMPARED_MAX {
        if above <= height {
            return Ok(Some(id));
        }
        let Some(block) = block(vm, id)? else { return Ok(None) };
        (id, above) = (block.parent, above - 1);
    }
    Ok(None)
}

fn block(vm: &dyn ChainVm, id: Id) -> Result<Option<Block>, RepairError> {
    absent(vm.get_block(id)).map_err(failed("get_block"))
}

fn accepted_at(vm: &dyn ChainVm, height: u64) -> Result<Option<Id>, RepairError> {
    absent(vm.block_id_at_height(height)).map_err(failed("block_id_at_height"))
}

/// A plugin says in an error that there is nothing.
fn absent<T>(found: Result<Option<T>, VmError>) -> Result<Option<T>, VmError> {
    match found {
        Err(VmError::NotFound) => Ok(None),
        found => found,
    }
}

const fn failed(call: &'static str) -> impl FnOnce(VmError) -> RepairError {
    move |error| RepairError::Vm { call, error }
}

const fn differs(noted: Noted, vm: Id, height: u64) -> RepairError {
    RepairError::DifferentChains { noted, vm, height }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agreed => f.write_str("the VM and the engine agree"),
            Self::Forward { from, to, jumped } => {
                let why =
                    if *jumped { "it jumped, or forgets old blocks" } else { "it stands on it" };
                write!(
                    f,
                    "the VM is at block {} of height {}, ahead of block {} of height {} that the engine \
                     noted ({why}): the record moves forward",
                    to.0, to.1, from.0, from.1
                )
            }
            Self::Back { from, to } => write!(
                f,
                "the VM is at block {} of height {}, behind block {} of height {} that the engine noted: \
                 the record moves back, and the lost blocks are fetched again",
                to.0, to.1, from.0, from.1
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sastrugi_vm::{StateSyncMode, StateSyncableVm as _};

    use super::*;
    use crate::testing::{TestSummaries, TestVm, test_block, test_summary};

    /// A chain of blocks, genesis first; `length` tells chains apart.
    fn chain(blocks: u64, length: usize) -> Vec<Block> {
        let mut chain = vec![test_block(Id::EMPTY, 0, 100)];
        for height in 1..=blocks {
            let parent = chain[chain.len() - 1].id;
            chain.push(test_block(parent, height, length));
        }
        chain
    }

    /// A VM that has accepted the first `accepted` blocks above genesis, and verified the others.
    fn vm(chain: &[Block], accepted: usize, verified: usize) -> Arc<TestVm> {
        let vm = TestVm::new(chain[0].clone());
        for block in &chain[1..=verified] {
            vm.verify(block, None).unwrap();
        }
        for block in &chain[1..=accepted] {
            vm.accept(block.id).unwrap();
        }
        vm
    }

    fn noted(block: &Block) -> Noted {
        (block.id, block.height)
    }

    #[test]
    fn nothing_noted_or_the_same_needs_nothing() {
        let chain = chain(3, 100);
        let vm = vm(&chain, 3, 3);
        for record in [None, Some(noted(&chain[3]))] {
            let repair = repair(&*vm, record).unwrap();
            assert_eq!((repair, repair.to_note()), (Repair::Agreed, None));
        }
    }

    #[test]
    fn the_record_moves_to_the_vm_in_both_directions_by_one_or_many_blocks() {
        let chain = chain(50, 100);
        for (is, was) in [(5, 4), (50, 4), (50, 0), (4, 5), (4, 50), (0, 50), (0, 1)] {
            let (from, to) = (noted(&chain[was]), noted(&chain[is]));
            // What a VM that is behind still knows of the lost blocks, from nothing to all.
            for verified in [is, usize::midpoint(is, was.max(is)), was.max(is)] {
                let repair = repair(&*vm(&chain, is, verified), Some(from)).unwrap();
                let expected = if is > was {
                    Repair::Forward { from, to, jumped: false }
                } else {
                    Repair::Back { from, to }
                };
                assert_eq!((repair, repair.to_note()), (expected, Some(to)));
            }
        }
    }

    #[test]
    fn a_vm_that_jumped_is_followed() {
        let chain = chain(30, 100);
        let (mode, every) = (StateSyncMode::Static, 10);
        for (was, jumped) in [(0, false), (3, true), (5, true)] {
            let vm = vm(&chain, 5, 5);
            vm.set_summaries(TestSummaries { enabled: true, every, mode, ongoing: None });
            vm.accept_summary(&test_summary(&chain[30])).unwrap();
            let (from, to) = (noted(&chain[was]), noted(&chain[30]));
            assert_eq!(
                repair(&*vm, Some(from)).unwrap(),
                Repair::Forward { from, to, jumped },
                "{was}"
            );
        }
    }

    #[test]
    fn different_chains_are_an_error_that_says_what_to_do() {
        let (ours, other) = (chain(9, 100), chain(9, 200));
        let known = vm(&other, 5, 5);
        // The noted block is below, beside and above the VM's last accepted one.
        for was in [3, 5] {
            let error = repair(&*known, Some(noted(&ours[was]))).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, RepairError::DifferentChains { .. }), "{text}");
            assert!(text.contains("move both away"), "{text}");
        }
        for block in &ours[1..] {
            known.verify(block, None).unwrap();
        }
        let error = repair(&*known, Some(noted(&ours[9]))).unwrap_err();
        assert!(matches!(error, RepairError::DifferentChains { height: 5, .. }));
    }

    #[test]
    fn the_way_down_from_a_lost_block_is_bounded() {
        let length = usize::try_from(COMPARED_MAX).unwrap() + 2;
        let (ours, other) = (chain(length as u64, 100), chain(1, 200));
        let vm = vm(&ours, 0, length);
        vm.verify(&other[1], None).unwrap();
        vm.accept(other[1].id).unwrap();
        let back = repair(&*vm, Some(noted(&ours[length]))).unwrap();
        assert!(matches!(back, Repair::Back { .. }), "believed");
        assert!(repair(&*vm, Some(noted(&ours[length - 2]))).is_err(), "compared");
    }

    #[test]
    fn a_vm_without_its_last_accepted_block_is_damaged() {
        let vm = TestVm::new(chain(0, 100).remove(0));
        let summary = test_summary(&test_block(Id([1; 32]), 7, 60));
        let (mode, every) = (StateSyncMode::Static, 1);
        vm.set_summaries(TestSummaries { enabled: true, every, mode, ongoing: None });
        vm.accept_summary(&summary).unwrap();
        vm.verify(&test_block(summary.id, 8, 60), None).unwrap();
        vm.reject(summary.id).unwrap();
        let error = repair(&*vm, Some((Id([2; 32]), 3))).unwrap_err();
        assert!(matches!(error, RepairError::Lost(id) if id == summary.id), "{error}");
    }
}
