//! The contracts of a [`crate::StateSyncableVm`] as tests.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_types::{NodeId, version::Application};

use super::{Setup, TestNode};
use crate::{Block, State, StateSummary, StateSyncMode, StateSyncableVm, VmError};

/// So many blocks must be enough for a summary.
const BLOCKS_MAX: usize = 1000;
/// So many rounds of messages must be enough for a jump.
const ROUNDS_MAX: usize = 10_000;

const SERVER: NodeId = NodeId([0x5e; 20]);
const CLIENT: NodeId = NodeId([0xc1; 20]);

/// Checks the ability of a VM to jump to a recent state. `issue` is as for [`super::suite()`]. The
/// setup must be one with which there are summaries within a few blocks, and a fresh node does not
/// find itself too close to skip them.
///
/// # Errors
/// What the VM answered to a call that must succeed; [`VmError::NotImplemented`] if it lacks the
/// ability.
///
/// # Panics
/// On the first thing the VM does wrong.
pub fn state_sync_suite(
    setup: &Setup,
    mut issue: impl FnMut(&TestNode) -> Result<(), VmError>,
) -> Result<(), VmError> {
    let tests: [Test; 8] = [
        nothing_to_begin_with,
        summaries_are_read_strictly,
        summaries_are_found_by_height,
        skips_what_it_has,
        jumps_and_goes_on,
        resumes_after_a_crash,
        turns_to_another_summary,
        serves_what_it_jumped_to,
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
    /// A node whose last accepted block has a summary that is not `before`.
    fn server(&mut self) -> Result<(TestNode, StateSummary), VmError> {
        let server = TestNode::start(self.setup.clone())?;
        server.vm.connected(CLIENT, &Application::default())?;
        let summary = self.next_summary(&server, None)?;
        Ok((server, summary))
    }

    /// Adds blocks until there is another summary.
    fn next_summary(
        &mut self,
        server: &TestNode,
        before: Option<&StateSummary>,
    ) -> Result<StateSummary, VmError> {
        for blocks in 0.. {
            assert!(blocks < BLOCKS_MAX, "no summary after {BLOCKS_MAX} blocks");
            self.build(server)?;
            if let Some(summary) = ability(server)?.last_summary()?
                && summary.height > 0
                && Some(&summary) != before
            {
                return Ok(summary);
            }
        }
        Err(VmError::NotFound)
    }

    fn build(&mut self, node: &TestNode) -> Result<Block, VmError> {
        (self.issue)(node)?;
        node.build_and_accept()
    }

    /// A node that begins to jump, and knows whom to ask.
    fn client(&self) -> Result<TestNode, VmError> {
        let setup = Setup { gear: State::StateSyncing, ..self.setup.clone() };
        let client = TestNode::start(setup)?;
        client.vm.connected(SERVER, &Application::default())?;
        Ok(client)
    }
}

fn ability(node: &TestNode) -> Result<&dyn StateSyncableVm, VmError> {
    node.vm.state_sync().ok_or(VmError::NotImplemented)
}

fn accept(client: &TestNode, summary: &StateSummary) -> Result<(), VmError> {
    let last = client.vm.last_accepted()?;
    let mode = ability(client)?.accept_summary(summary)?;
    assert_eq!(mode, StateSyncMode::Static, "it is far enough behind");
    assert_eq!(client.vm.last_accepted()?, last, "the jump comes at the end");
    Ok(())
}

/// One round of messages; whether the sync is done.
fn round(client: &TestNode, server: &TestNode) -> Result<bool, VmError> {
    let requests = client.exchange(CLIENT, &[(SERVER, server)])?;
    client.commit_written()?;
    let pause = if requests == 0 { Duration::from_millis(100) } else { Duration::ZERO };
    client.advance(pause)?;
    client.commit_written()?;
    Ok(client.events.take_state_sync_done())
}

fn finish(client: &TestNode, server: &TestNode, summary: &StateSummary) -> Result<Block, VmError> {
    for rounds in 0.. {
        assert!(rounds < ROUNDS_MAX, "the sync did not end within {ROUNDS_MAX} rounds");
        if round(client, server)? {
            let id = server.vm.block_id_at_height(summary.height)?.ok_or(VmError::NotFound)?;
            assert_eq!(client.vm.last_accepted()?, id, "the sync ended at the summary");
            assert_eq!(client.vm.block_id_at_height(summary.height)?, Some(id));
            assert_eq!(ability(client)?.ongoing_summary()?, None, "nothing is under way");
            assert!(!client.events.is_state_sync_done(), "it is said once");
            return server.vm.get_block(id)?.ok_or(VmError::NotFound);
        }
    }
    Err(VmError::NotFound)
}

/// Takes the blocks that the server has above the client's.
fn follow(client: &TestNode, server: &TestNode) -> Result<(), VmError> {
    client.vm.set_state(State::Bootstrapping)?;
    let last = client.vm.get_block(client.vm.last_accepted()?)?.ok_or(VmError::NotFound)?;
    let mut height = last.height;
    while let Some(id) = server.vm.block_id_at_height(height + 1)? {
        let block = server.vm.get_block(id)?.ok_or(VmError::NotFound)?;
        let block = client.vm.parse_block(block.bytes)?;
        client.vm.verify(&block, None)?;
        client.accept(id)?;
        height += 1;
    }
    assert_eq!(client.vm.last_accepted()?, server.vm.last_accepted()?);
    client.vm.set_state(State::NormalOp)
}

fn nothing_to_begin_with(case: &mut Case<'_>) -> Result<(), VmError> {
    let node = TestNode::start(case.setup.clone())?;
    let ability = ability(&node)?;
    assert_eq!(ability.ongoing_summary()?, None);
    assert_eq!(ability.last_summary()?, ability.summary_at(0)?, "none but that of genesis");
    if let Some(summary) = ability.last_summary()? {
        assert_eq!(summary.height, 0);
        assert_eq!(ability.accept_summary(&summary)?, StateSyncMode::Skipped);
    }
    ability.state_sync_enabled()?;
    assert!(!node.events.is_state_sync_done());
    Ok(())
}

fn summaries_are_read_strictly(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, summary) = case.server()?;
    let fresh = TestNode::start(case.setup.clone())?;
    for node in [&server, &fresh] {
        assert_eq!(ability(node)?.parse_summary(summary.bytes.clone())?, summary);
    }
    let ability = ability(&fresh)?;
    let refused = |bytes: Bytes| ability.parse_summary(bytes).is_err();
    for length in 0..summary.bytes.len() {
        assert!(refused(summary.bytes.slice(..length)), "cut to {length} bytes");
    }
    assert!(refused([&summary.bytes[..], &[0]].concat().into()), "nothing may follow");
    for at in 0..summary.bytes.len() {
        let mut changed = summary.bytes.to_vec();
        changed[at] ^= 1;
        if let Ok(other) = ability.parse_summary(changed.clone().into()) {
            assert_ne!(other.id, summary.id, "another summary has another ID");
            assert_eq!(other.bytes[..], changed[..], "it has the bytes it was parsed from");
        }
    }
    Ok(())
}

fn summaries_are_found_by_height(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, summary) = case.server()?;
    let check = |server: &TestNode| {
        assert_eq!(ability(server)?.summary_at(summary.height)?, Some(summary.clone()));
        assert_eq!(ability(server)?.summary_at(u64::MAX)?, None);
        assert_eq!(ability(server)?.last_summary()?, Some(summary.clone()));
        Ok::<(), VmError>(())
    };
    check(&server)?;
    // Whatever the gear, and after a restart.
    server.vm.set_state(State::Bootstrapping)?;
    check(&server)?;
    let server = server.restart()?;
    check(&server)?;
    let later = case.next_summary(&server, Some(&summary))?;
    assert!(later.height > summary.height, "summaries follow the chain");
    assert_ne!(later.id, summary.id);
    Ok(())
}

fn skips_what_it_has(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, summary) = case.server()?;
    let later = case.build(&server)?;
    assert_eq!(ability(&server)?.accept_summary(&summary)?, StateSyncMode::Skipped);
    assert_eq!(server.vm.last_accepted()?, later.id);
    assert_eq!(ability(&server)?.ongoing_summary()?, None);
    case.build(&server)?;
    Ok(())
}

fn jumps_and_goes_on(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, summary) = case.server()?;
    let client = case.client()?;
    accept(&client, &summary)?;
    let landed = finish(&client, &server, &summary)?;
    assert_eq!(client.vm.get_block(landed.id)?, Some(landed.clone()), "the block is there");
    if landed.height > 1 {
        assert_eq!(client.vm.block_id_at_height(landed.height - 1)?, None, "it was jumped over");
        assert_eq!(client.vm.get_block(landed.parent)?, None);
    }
    case.build(&server)?;
    follow(&client, &server)?;
    let client = client.restart()?;
    assert_eq!(client.vm.last_accepted()?, server.vm.last_accepted()?);
    case.build(&client)?;
    Ok(())
}

fn resumes_after_a_crash(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, summary) = case.server()?;
    for crash_after in 0.. {
        let mut client = case.client()?;
        accept(&client, &summary)?;
        client.commit_written()?;
        let mut is_done = false;
        for _ in 0..crash_after {
            is_done = is_done || round(&client, &server)?;
        }
        client = client.crash()?;
        if is_done {
            assert_eq!(ability(&client)?.ongoing_summary()?, None);
            return follow(&client, &server);
        }
        assert_eq!(ability(&client)?.ongoing_summary()?.as_ref(), Some(&summary));
        assert!(client.vm.health().is_healthy());
        client.vm.connected(SERVER, &Application::default())?;
        accept(&client, &summary)?;
        finish(&client, &server, &summary)?;
    }
    Ok(())
}

fn turns_to_another_summary(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, first) = case.server()?;
    let mut client = case.client()?;
    accept(&client, &first)?;
    round(&client, &server)?;
    let second = case.next_summary(&server, Some(&first))?;
    client = client.crash()?;
    client.vm.connected(SERVER, &Application::default())?;
    accept(&client, &second)?;
    assert_eq!(ability(&client)?.ongoing_summary()?, Some(second.clone()));
    finish(&client, &server, &second)?;
    follow(&client, &server)
}

fn serves_what_it_jumped_to(case: &mut Case<'_>) -> Result<(), VmError> {
    let (server, summary) = case.server()?;
    let client = case.client()?;
    accept(&client, &summary)?;
    finish(&client, &server, &summary)?;
    client.vm.set_state(State::Bootstrapping)?;
    client.vm.set_state(State::NormalOp)?;
    assert_eq!(ability(&client)?.summary_at(summary.height)?, Some(summary.clone()));
    client.vm.connected(CLIENT, &Application::default())?;
    let third = case.client()?;
    accept(&third, &summary)?;
    finish(&third, &client, &summary)?;
    follow(&third, &server)
}
