//! Collecting a block's ancestors.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_types::Id;
use sastrugi_vm::{ChainVm, Clock, VmError};

use super::ANCESTOR_OVERHEAD_BYTES;

/// The block and its ancestors, youngest first; empty if the VM does not have the block. A VM that
/// handles many blocks at once is asked once.
pub(super) fn collect(
    vm: &dyn ChainVm,
    clock: &dyn Clock,
    container: Id,
    count_max: usize,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Vec<Bytes>, VmError> {
    if let Some(batched) = vm.batched() {
        match batched.ancestors(container, count_max, bytes_max, time_max) {
            Err(VmError::NotImplemented) => {}
            result => return result,
        }
    }
    let started = clock.now();
    let Some(mut block) = found(vm, container)? else { return Ok(Vec::new()) };
    let mut size = block.bytes.len() + ANCESTOR_OVERHEAD_BYTES;
    let mut blocks = vec![block.bytes];
    while blocks.len() < count_max && clock.now() - started < time_max {
        block = match found(vm, block.parent) {
            Ok(Some(parent)) => parent,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(block = %block.parent, %error, "could not get an ancestor");
                break;
            }
        };
        size += block.bytes.len() + ANCESTOR_OVERHEAD_BYTES;
        if size > bytes_max {
            break;
        }
        blocks.push(block.bytes);
    }
    Ok(blocks)
}

/// A block, where "not found" is no error.
fn found(vm: &dyn ChainVm, id: Id) -> Result<Option<sastrugi_vm::Block>, VmError> {
    match vm.get_block(id) {
        Err(VmError::NotFound) => Ok(None),
        result => result,
    }
}
