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
pub trait StateSyncableVm: Send + Sync {
    /// Whether the VM wants to sync. An error stops the chain.
    fn state_sync_enabled(&self) -> Result<bool, VmError>;
    /// The summary an interrupted sync was working on.
    fn ongoing_summary(&self) -> Result<Option<StateSummary>, VmError>;
    /// The most recent summary of the accepted chain.
    fn last_summary(&self) -> Result<Option<StateSummary>, VmError>;
    /// Reads a summary; pure.
    fn parse_summary(&self, bytes: Bytes) -> Result<StateSummary, VmError>;
    /// The summary at a height.
    fn summary_at(&self, height: u64) -> Result<Option<StateSummary>, VmError>;
    /// Starts to sync to a summary; must not wait for the sync itself, and must tolerate summaries
    /// older than the VM's state. An error stops the chain.
    fn accept_summary(&self, summary: &StateSummary) -> Result<StateSyncMode, VmError>;
}
