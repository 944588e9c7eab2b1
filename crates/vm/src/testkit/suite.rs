//! The contracts of a [`crate::ChainVm`] as tests.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_types::{Id, Instant, NodeId, RequestId, version::Application};

use super::{Setup, TestNode};
use crate::{AppError, Block, State, VmError};

/// Checks a VM. `issue` gives it a transaction that it can build a block from at once, another one
/// each time, as if a client of this node had.
///
/// # Errors
/// What the VM answered to a call that must succeed.
///
/// # Panics
/// On the first thing the VM does wrong.
pub fn suite(
    setup: &Setup,
    mut issue: impl FnMut(&TestNode) -> Result<(), VmError>,
) -> Result<(), VmError> {
    let tests: [Test; 14] = [
        begins_with_genesis,
        parses_what_it_made,
        refuses_garbage,
        builds_on_the_preferred_block,
        builds_nothing_without_cause,
        building_and_parsing_change_nothing,
        accepts_in_order,
        siblings_do_not_see_each_other,
        rejects_a_whole_branch,
        tells_the_engine_about_transactions,
        restarts_where_it_was,
        loses_what_was_not_committed,
        survives_hostile_messages,
        changes_gears_and_stops,
    ];
    for test in tests {
        test(&mut Case { setup, issue: &mut issue })?;
    }
    Ok(())
}

type Test = fn(&mut Case<'_>) -> Result<(), VmError>;

struct Case<'a> {
    setup: &'a Setup,
    issue: &'a mut dyn FnMut(&TestNode) -> Result<(), VmError>,
}

impl Case<'_> {
    fn start(&self) -> Result<TestNode, VmError> {
        TestNode::start(self.setup.clone())
    }

    fn build(&mut self, node: &TestNode) -> Result<Block, VmError> {
        (self.issue)(node)?;
        node.build()
    }

    fn build_and_accept(&mut self, node: &TestNode) -> Result<Block, VmError> {
        let block = self.build(node)?;
        node.accept(block.id)?;
        Ok(block)
    }
}

fn assert_accepted(node: &TestNode, block: &Block) -> Result<(), VmError> {
    assert_eq!(node.vm.get_block(block.id)?.as_ref(), Some(block), "an accepted block is found");
    let at_height = node.vm.block_id_at_height(block.height)?;
    assert_eq!(at_height, Some(block.id), "an accepted block is found by height");
    Ok(())
}

fn last(node: &TestNode) -> Result<Block, VmError> {
    node.vm.get_block(node.vm.last_accepted()?)?.ok_or(VmError::NotFound)
}

fn begins_with_genesis(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let genesis = last(&node)?;
    assert_eq!(genesis.height, 0, "genesis has height 0");
    assert_accepted(&node, &genesis)?;
    assert_eq!(node.vm.block_id_at_height(1)?, None, "nothing above the last accepted block");
    assert_eq!(node.vm.get_block(Id([0xee; 32]))?, None, "an unknown block is no error");
    let other = case.start()?;
    assert_eq!(last(&other)?, genesis, "genesis depends on its bytes only");
    assert!(node.vm.health().is_healthy());
    assert!(!node.vm.version()?.is_empty());
    Ok(())
}

fn parses_what_it_made(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let genesis = last(&node)?;
    let block = case.build(&node)?;
    let fresh = case.start()?;
    for block in [genesis, block] {
        assert_eq!(node.vm.parse_block(block.bytes.clone())?, block, "where it was made");
        assert_eq!(fresh.vm.parse_block(block.bytes.clone())?, block, "where it is new");
        assert_eq!(fresh.vm.parse_block(block.bytes.clone())?, block, "and once more");
    }
    Ok(())
}

fn refuses_garbage(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let block = case.build(&node)?;
    assert!(node.vm.parse_block(Bytes::new()).is_err(), "no bytes are no block");
    for length in 0..block.bytes.len() {
        let parsed = node.vm.parse_block(block.bytes.slice(..length));
        assert!(parsed.is_err(), "a block cut to {length} bytes is no block");
    }
    let longer = [&block.bytes[..], &[0]].concat();
    assert!(node.vm.parse_block(longer.into()).is_err(), "nothing may follow a block");
    for at in 0..block.bytes.len() {
        let mut changed = block.bytes.to_vec();
        changed[at] ^= 1;
        if let Ok(other) = node.vm.parse_block(changed.clone().into()) {
            assert_ne!(other.id, block.id, "another block has another ID");
            assert_eq!(other.bytes[..], changed[..], "a block has the bytes it was parsed from");
            // It may be valid, but must not do harm.
            if node.vm.verify(&other, None).is_ok() {
                node.vm.reject(other.id)?;
            }
        }
    }
    node.accept(block.id)
}

fn builds_on_the_preferred_block(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let mut parent = last(&node)?;
    for _ in 0..3 {
        (case.issue)(&node)?;
        let block = node.vm.build_block(None)?;
        assert_eq!(block.parent, parent.id);
        assert_eq!(block.height, parent.height + 1);
        assert!(block.timestamp >= parent.timestamp, "time does not run backwards");
        node.vm.verify(&block, None)?;
        assert_eq!(
            node.vm.get_block(block.id)?.as_ref(),
            Some(&block),
            "processing blocks are found"
        );
        node.vm.set_preference(block.id)?;
        parent = block;
    }
    assert_eq!(last(&node)?.height, 0, "nothing was accepted");
    Ok(())
}

fn builds_nothing_without_cause(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    assert!(node.vm.build_block(None).is_err());
    assert!(!node.events.pending_txs());
    Ok(())
}

fn building_and_parsing_change_nothing(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let genesis = last(&node)?;
    (case.issue)(&node)?;
    let first = node.vm.build_block(None)?;
    node.vm.parse_block(first.bytes.clone())?;
    assert_eq!(last(&node)?, genesis);
    assert_eq!(node.vm.block_id_at_height(1)?, None);
    node.clock.advance(Duration::from_secs(1));
    let second = node.vm.build_block(None)?;
    assert_eq!(second.parent, genesis.id, "what was built is not preferred");
    node.vm.verify(&second, None)?;
    node.accept(second.id)
}

fn accepts_in_order(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let blocks = [case.build(&node)?, case.build(&node)?, case.build(&node)?];
    for block in &blocks {
        node.accept(block.id)?;
        assert_eq!(node.vm.last_accepted()?, block.id);
        assert_accepted(&node, block)?;
    }
    let next = case.build_and_accept(&node)?;
    assert_eq!(next.height, 4);
    for block in &blocks {
        assert_accepted(&node, block)?;
    }
    Ok(())
}

/// Two blocks on the last accepted one, neither built in sight of the other.
fn siblings(case: &mut Case<'_>, node: &TestNode) -> Result<[Block; 2], VmError> {
    (case.issue)(node)?;
    let one = node.vm.build_block(None)?;
    node.clock.advance(Duration::from_secs(1));
    (case.issue)(node)?;
    let two = node.vm.build_block(None)?;
    assert_eq!(one.parent, two.parent);
    assert_ne!(one.id, two.id);
    Ok([one, two])
}

fn siblings_do_not_see_each_other(case: &mut Case<'_>) -> Result<(), VmError> {
    for (accepted, rejected) in [(0, 1), (1, 0)] {
        let node = case.start()?;
        let blocks = siblings(case, &node)?;
        for block in &blocks {
            node.vm.verify(block, None)?;
        }
        node.vm.set_preference(blocks[rejected].id)?;
        node.accept(blocks[accepted].id)?;
        node.vm.reject(blocks[rejected].id)?;
        node.vm.set_preference(blocks[accepted].id)?;
        assert_eq!(last(&node)?, blocks[accepted]);
        assert_accepted(&node, &blocks[accepted])?;
        let next = case.build_and_accept(&node)?;
        assert_eq!(next.parent, blocks[accepted].id);
    }
    Ok(())
}

fn rejects_a_whole_branch(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let [one, two] = siblings(case, &node)?;
    node.vm.verify(&one, None)?;
    node.vm.set_preference(one.id)?;
    let child = case.build(&node)?;
    let grandchild = case.build(&node)?;
    assert_eq!((child.parent, grandchild.parent), (one.id, child.id));
    node.vm.verify(&two, None)?;
    node.accept(two.id)?;
    for block in [&one, &child, &grandchild] {
        node.vm.reject(block.id)?;
    }
    node.vm.set_preference(two.id)?;
    assert_eq!(last(&node)?, two);
    assert_eq!(case.build_and_accept(&node)?.parent, two.id);
    Ok(())
}

fn tells_the_engine_about_transactions(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    (case.issue)(&node)?;
    assert!(node.events.pending_txs(), "a transaction waits");
    let block = node.vm.build_block(None)?;
    assert!(node.events.pending_txs(), "it waits until its block is preferred");
    node.vm.verify(&block, None)?;
    node.vm.set_preference(block.id)?;
    assert!(!node.events.pending_txs(), "the preferred block has it");
    node.vm.reject(block.id)?;
    node.vm.set_preference(block.parent)?;
    node.advance(Duration::from_mins(1))?;
    assert!(node.events.pending_txs(), "it waits again");
    node.build_and_accept()?;
    assert!(!node.events.pending_txs());
    Ok(())
}

fn restarts_where_it_was(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let mut blocks = vec![last(&node)?];
    for _ in 0..3 {
        blocks.push(case.build_and_accept(&node)?);
    }
    let undecided = case.build(&node)?;
    let node = node.restart()?;
    assert_eq!(Some(&last(&node)?), blocks.last());
    for block in &blocks {
        assert_accepted(&node, block)?;
    }
    assert_eq!(node.vm.get_block(undecided.id)?, None, "undecided blocks are forgotten");
    node.vm.set_preference(undecided.parent)?;
    node.vm.verify(&undecided, None)?;
    node.accept(undecided.id)?;
    let node = node.restart()?;
    assert_eq!(last(&node)?, undecided);
    Ok(())
}

fn loses_what_was_not_committed(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let first = case.build_and_accept(&node)?;
    let second = case.build(&node)?;
    node.vm.accept(second.id)?;
    let node = node.crash()?;
    assert_eq!(last(&node)?, first, "what was not committed did not happen");
    assert_eq!(node.vm.block_id_at_height(2)?, None);
    node.vm.verify(&second, None)?;
    node.disk().fail_writes_after(0);
    node.vm.accept(second.id)?;
    assert!(node.commit().is_err());
    let node = node.crash()?;
    assert_eq!(last(&node)?, first);
    node.vm.verify(&second, None)?;
    node.accept(second.id)?;
    assert_accepted(&node, &second)
}

fn survives_hostile_messages(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    let (peer, vm) = (NodeId([7; 20]), &node.vm);
    vm.connected(peer, &Application::default())?;
    let garbage = [vec![], vec![0], vec![0; 64], vec![0xff; 64], vec![0xff; 1 << 20]];
    for (bytes, number) in garbage.into_iter().zip(0..) {
        let (bytes, request) = (Bytes::from(bytes), RequestId(number));
        vm.app_gossip(peer, bytes.clone())?;
        vm.app_request(peer, request, Instant::MAX, bytes.clone())?;
        vm.app_response(peer, request, bytes)?;
        vm.app_request_failed(peer, request, &AppError::TIMEOUT)?;
    }
    vm.disconnected(peer)?;
    vm.app_gossip(peer, Bytes::new())?;
    case.build_and_accept(&node)?;
    assert!(vm.health().is_healthy());
    Ok(())
}

fn changes_gears_and_stops(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = case.start()?;
    node.vm.set_state(State::StateSyncing)?;
    node.vm.set_state(State::Bootstrapping)?;
    let peer_block = {
        let peer = case.start()?;
        case.build(&peer)?
    };
    node.vm.verify(&peer_block, None)?;
    node.accept(peer_block.id)?;
    node.vm.set_state(State::NormalOp)?;
    case.build_and_accept(&node)?;
    node.vm.shutdown()
}
