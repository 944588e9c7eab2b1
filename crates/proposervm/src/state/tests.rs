use std::sync::Arc;

use sastrugi_types::hash::sha256;
use sastrugi_vm::db::MemoryDb;

use super::*;
use crate::{Epoch, PostForkOption, block::BlockTemplate};

fn block(number: u64) -> OuterBlock {
    let inner = number.to_be_bytes();
    let template = BlockTemplate {
        parent: Id::EMPTY,
        timestamp_secs: 1,
        p_chain_height: number,
        epoch: Epoch::NONE,
        inner: &inner,
    };
    template.unsigned().unwrap().into()
}

fn state() -> (MemoryDb, SharedDatabase, State) {
    let memory = MemoryDb::new();
    let db: SharedDatabase = Arc::new(memory.clone());
    let state = State::new(&db, 1);
    (memory, db, state)
}

#[test]
fn the_layout_below_the_chain_is_upstreams() {
    let mut chain = Id::EMPTY;
    chain.0[0] = 1;
    let node: SharedDatabase = Arc::new(MemoryDb::new());
    let vm = PrefixDb::new(node, &chain.0).child(b"vm");
    let part = vm.child(PART);
    assert_eq!(
        const_hex::encode(part.prefix()),
        "4dc81eae7b368f3ff6a37805da9f770619dbadac4405d3ae61e665513f6944ce"
    );
    let heights = PrefixDb::new(Arc::new(part), b"height");
    assert_eq!(
        const_hex::encode(heights.child(b"height").prefix()),
        "4b604dc2f8fd0cf2ae80e71493ef0804b70dc8fcf578fce779aec4b7ed3bb34d"
    );
}

#[test]
fn what_is_written_is_there_after_a_restart() {
    let (_, db, state) = state();
    let option = OuterBlock::from(PostForkOption::new(block(1).id(), b"option").unwrap());
    for block in [&block(1), &option] {
        state.put_block(block).unwrap();
    }
    state.set_last_accepted(option.id()).unwrap();
    state.set_fork_height(7).unwrap();
    for (height, block) in [(7, &block(1)), (8, &option)] {
        state.set_block_id_at_height(height, block.id()).unwrap();
    }
    for state in [state, State::new(&db, 2)] {
        assert_eq!(state.last_accepted(), Ok(Some(option.id())));
        assert_eq!(state.fork_height(), Ok(Some(7)));
        assert_eq!(state.minimum_height(), Ok(Some(7)));
        assert_eq!(state.block_id_at_height(8), Ok(Some(option.id())));
        assert_eq!(state.block(option.id()), Ok(Some(option.clone())));
        assert_eq!(state.block(block(1).id()), Ok(Some(block(1))));
        assert_eq!(state.block(Id::EMPTY), Ok(None));
    }
}

#[test]
fn what_is_deleted_is_gone() {
    let (_, _, state) = state();
    state.put_block(&block(1)).unwrap();
    state.set_block_id_at_height(1, block(1).id()).unwrap();
    state.set_last_accepted(block(1).id()).unwrap();
    state.delete_block(block(1).id()).unwrap();
    state.delete_block_id_at_height(1).unwrap();
    state.delete_last_accepted().unwrap();
    assert_eq!(state.block(block(1).id()), Ok(None));
    assert_eq!(state.block_id_at_height(1), Ok(None));
    assert_eq!(state.minimum_height(), Ok(None));
    assert_eq!(state.last_accepted(), Ok(None));
}

#[test]
fn absence_is_remembered_until_the_block_comes() {
    let (_, _, state) = state();
    assert_eq!(state.block(block(1).id()), Ok(None));
    assert_eq!(state.block(block(1).id()), Ok(None));
    let stats = state.stats();
    assert_eq!((stats.block_hits, stats.block_misses, stats.cached_bytes), (1, 1, 40));
    state.put_block(&block(1)).unwrap();
    assert_eq!(state.block(block(1).id()), Ok(Some(block(1))));
    let stats = state.stats();
    assert_eq!((stats.block_hits, stats.block_misses, stats.cached_blocks), (2, 1, 1));
    assert_eq!(stats.cached_bytes, 32 + block(1).bytes().len() + 4 + 16);
}

#[test]
fn what_could_not_be_written_is_not_in_the_caches_either() {
    let (memory, _, state) = state();
    memory.fail_writes_after(0);
    state.put_block(&block(1)).unwrap_err();
    state.set_block_id_at_height(1, block(1).id()).unwrap_err();
    memory.heal();
    assert_eq!(state.block(block(1).id()), Ok(None));
    assert_eq!(state.block_id_at_height(1), Ok(None));
}

#[test]
fn damage_is_named() {
    let (_, db, state) = state();
    let part = |name: &[u8]| PrefixDb::new(db.clone(), name);
    let id = Id(sha256(b"block"));
    for (record, error) in [
        (&[0, 0, 0, 0, 0, 9, 1][..], StateError::DamagedRecord(id, CodecError::InsufficientLength)),
        (&[0, 1], StateError::DamagedRecord(id, CodecError::UnknownVersion)),
        (
            &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 3],
            StateError::DamagedBlock(id, BlockError::Codec(CodecError::NoVersion)),
        ),
    ] {
        part(b"block").put(&id.0, record).unwrap();
        assert_eq!(state.block(id), Err(error));
    }
    part(CHAIN_PART).put(LAST_ACCEPTED_KEY, b"short").unwrap();
    assert_eq!(state.last_accepted(), Err(StateError::DamagedId(5)));
    let heights = part(b"height");
    heights.child(b"metadata").put(b"fork", b"seven").unwrap();
    assert_eq!(state.fork_height(), Err(StateError::DamagedHeight(5)));
    heights.child(b"height").put(&1u64.to_be_bytes(), b"").unwrap();
    assert_eq!(state.block_id_at_height(1), Err(StateError::DamagedId(0)));
    heights.child(b"height").put(b"", b"").unwrap();
    assert_eq!(state.minimum_height(), Err(StateError::DamagedHeight(0)));
}
