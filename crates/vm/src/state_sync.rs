//! The optional ability to jump to a recent state. Upstream:
//! `snow/engine/snowman/block/state_syncable_vm.go`.

use bytes::Bytes;
use sastrugi_types::Id;

use crate::VmError;

/// Names a state the VM can jump to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSummary {
    /// Names the summary; a function of its bytes.
    pub id: Id,
    /// The height of the block whose state it is.
    pub height: u64,
    /// The bytes the summary was parsed from.
    pub bytes: Bytes,
}

/// What a VM does with a summary it was told to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateSyncMode {
    /// Nothing: the engine bootstraps as usual.
    Skipped,
    /// It syncs; the engine waits for [`crate::Message::StateSyncDone`] and then bootstraps.
    Static,
    /// It syncs beside the engine, which bootstraps at once.
    Dynamic,
    /// A number this version does not know: the engine bootstraps as usual.
    Unknown(u32),
}

/// A VM that can jump to a recent state.
///
/// # What the engine does
///
/// If the VM wants to sync, the state syncer asks validators for their last summaries, and all of
/// them which of these they hold too. It accepts one that enough weight stands behind: the
/// [ongoing](Self::ongoing_summary) one if it is among them, else the highest. The calls come one
/// at a time on the chain's thread.
///
/// # What the VM promises
///
/// * [`Self::last_summary`], [`Self::summary_at`] and [`Self::parse_summary`] answer other nodes. They
///   work whether or not this VM syncs itself, and in every state of the chain.
/// * A summary of an accepted block is the same on every node: its bytes, and with them its ID,
///   depend on the block alone.
/// * [`Self::accept_summary`] returns at once. The work is done in app messages and in
///   [`Vm::handle_timeout`](crate::Vm::handle_timeout). Each step of it is one batch, followed by
///   [`Events::set_written`](crate::Events::set_written), so that any prefix of the steps can be
///   continued after a crash.
/// * After [`StateSyncMode::Static`], [`Events::set_state_sync_done`](crate::Events::set_state_sync_done)
///   is called exactly once, however the sync ends. Until then
///   [`last_accepted`](crate::ChainVm::last_accepted) is the old block, from then on the summary's;
///   or still the old one, with nothing left of the attempt, if the VM gave up.
/// * After the jump the summary's block is found by ID and by height, and the blocks above can be
///   verified. The blocks between the old last accepted one and it are not there:
///   [`block_id_at_height`](crate::ChainVm::block_id_at_height) gives `None`.
/// * What other nodes send is never an error of these calls or of the app handlers.
pub trait StateSyncableVm: Send + Sync {
    /// Whether the VM wants to sync. Asked once, before the first gear. An error stops the chain.
    fn state_sync_enabled(&self) -> Result<bool, VmError>;

    /// The summary that an interrupted sync was working on, `None` if there is none. An error stops
    /// the chain.
    fn ongoing_summary(&self) -> Result<Option<StateSummary>, VmError>;

    /// The most recent summary of the accepted chain whose state can be served, `None` if there is
    /// none. A node whose peers are all silent about this keeps asking, so a VM whose chain is
    /// still short better has a summary of genesis, which is [skipped](StateSyncMode::Skipped).
    fn last_summary(&self) -> Result<Option<StateSummary>, VmError>;

    /// Reads a summary. A pure function of the bytes, which are exactly one summary and untrusted.
    fn parse_summary(&self, bytes: Bytes) -> Result<StateSummary, VmError>;

    /// The summary at a height of the accepted chain, if its state can be served, else `None`.
    fn summary_at(&self, height: u64) -> Result<Option<StateSummary>, VmError>;

    /// Starts to sync to a summary, or goes on with it. Must tolerate summaries older than the VM's
    /// own state. What is left of an attempt at another summary is dropped. An error stops the
    /// chain.
    fn accept_summary(&self, summary: &StateSummary) -> Result<StateSyncMode, VmError>;
}
