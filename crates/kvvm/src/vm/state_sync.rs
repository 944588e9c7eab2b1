//! The ability to jump to a recent state, and to serve those who do.
//!
//! A summary is that of an accepted block, so any block whose state is still stored has one. The
//! last one named to others is at a multiple of the interval in the config: then many nodes name
//! the same. Where there is none yet, it is that of genesis: whoever asks hears that nobody is far
//! ahead, instead of nothing.

use bytes::Bytes;
use sastrugi_vm::{StateSummary, StateSyncMode, StateSyncableVm, VmError};

use super::{Kvvm, Running};
use crate::{state::StateError, summary::Summary, sync::Landing};

/// What the ability needs of the config.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncSettings {
    pub(super) is_enabled: bool,
    pub(super) summary_interval: u64,
    pub(super) min_blocks: u64,
}

impl StateSyncableVm for Kvvm {
    fn state_sync_enabled(&self) -> Result<bool, VmError> {
        Ok(self.running()?.sync_settings.is_enabled)
    }

    fn ongoing_summary(&self) -> Result<Option<StateSummary>, VmError> {
        Ok(self.running()?.sync.ongoing()?.map(|summary| summary.to_vm()))
    }

    fn last_summary(&self) -> Result<Option<StateSummary>, VmError> {
        let running = self.running()?;
        let chain = running.chain.lock();
        let last = chain.last_accepted().height();
        let height = last - last % running.sync_settings.summary_interval;
        let summary = match chain.summary_at(height)? {
            None => chain.summary_at(0)?,
            summary => summary,
        };
        Ok(summary.map(|summary| summary.to_vm()))
    }

    fn parse_summary(&self, bytes: Bytes) -> Result<StateSummary, VmError> {
        Ok(decode(bytes)?.to_vm())
    }

    fn summary_at(&self, height: u64) -> Result<Option<StateSummary>, VmError> {
        let summary = self.running()?.chain.lock().summary_at(height)?;
        Ok(summary.map(|summary| summary.to_vm()))
    }

    fn accept_summary(&self, summary: &StateSummary) -> Result<StateSyncMode, VmError> {
        let running = self.running()?;
        let summary = decode(summary.bytes.clone())?;
        let (last, generation) = {
            let chain = running.chain.lock();
            (chain.last_accepted().height(), chain.generation())
        };
        let ahead = summary.block().height().saturating_sub(last);
        if ahead < running.sync_settings.min_blocks.max(1) {
            return Ok(StateSyncMode::Skipped);
        }
        running.sync.begin(&summary, generation)?;
        Ok(StateSyncMode::Static)
    }
}

impl Running {
    /// Makes a full generation the current one.
    pub(super) fn land(&self, landing: Landing) -> Result<(), StateError> {
        let mut chain = self.chain.lock();
        let dropped = chain.jump(landing)?;
        self.sync.landed(dropped.is_some())?;
        let accounts = self.intake.mempool.lock().accounts();
        let nonces = accounts.into_iter().map(|account| Ok((account, chain.nonce(account)?)));
        let nonces: Vec<_> = nonces.collect::<Result<_, StateError>>()?;
        self.update_mempool(&chain, |mempool| {
            for block in dropped.iter().flatten() {
                mempool.rejected(block.transactions());
            }
            for (account, nonce) in nonces {
                mempool.advance(account, nonce);
            }
        });
        Ok(())
    }
}

fn decode(bytes: Bytes) -> Result<Summary, VmError> {
    Summary::decode(bytes).map_err(|error| VmError::invalid(error.to_string()))
}
