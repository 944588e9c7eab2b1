//! Building blocks.
//!
//! Upon a build, on the preferred block, or the last accepted one if none was named yet:
//!
//! * Before `ApricotPhase4`: the inner VM's block, as it is.
//! * On the last block from before the fork: an unsigned block without an epoch; the inner VM builds
//!   without a context.
//! * Else, since Durango: a signed block if the slot is this node's, an unsigned one if there are no
//!   validators, else nothing. Before: an unsigned block once the parent is
//!   [`BUILD_DELAY_MAX`](crate::windower::BUILD_DELAY_MAX) old; until then nothing before this
//!   node's turn, and a block that is signed unless the parent is [`VERIFY_DELAY_MAX`] old. The
//!   inner VM builds with the context that the rules will give to the block.
//!
//! A block is made now, in whole seconds, but not before its parent. It refers to the
//! height of the P-Chain that the network recommends, but to none below its parent's. Nothing but
//! the signal to build waits for the configured minimum delay.

use sastrugi_types::{Id, WallTime, formatting::FUJI_ID, upgrade::Upgrade};
use sastrugi_vm::{Block, ChainContext, VmError};

use super::{Memory, Running};
use crate::{
    Epoch, OuterBlock,
    block::BlockTemplate,
    schedule::is_free_for_all,
    verify::{Kind, Parent, VerifyError, age},
    windower::{BUILD_WINDOWS_MAX, VERIFY_DELAY_MAX, slot_at},
};

/// The subnet of the primary network.
const PRIMARY_NETWORK_ID: Id = Id::EMPTY;
/// On subnets of Fuji, blocks kept the P-Chain height of their parent until this time, 17:00 UTC on
/// the 7th of March 2025,
const FUJI_OVERRIDE_UNTIL: WallTime = WallTime::from_unix_secs(1_741_366_800);
/// … as long as that was below this.
const FUJI_OVERRIDE_BELOW_HEIGHT: u64 = 200_041;

impl Running {
    pub(super) fn build(&self, memory: &mut Memory) -> Result<Block, VmError> {
        let id = match memory.preferred {
            Some(id) => id,
            None => self.last_accepted(memory)?,
        };
        let lost = || VmError::Other(format!("the preferred block {id} is not there"));
        let found = self.find(memory, id)?.ok_or_else(lost)?;
        let parent = self.as_parent(memory, &found)?;
        if !self.is_forking(&parent) {
            return self.inner.build_block(None);
        }
        let time = time_of_child(&parent, self.wall());
        let p_chain_height = child_p_chain_height(&self.context, &parent, self.wall())?;
        let (is_signed, epoch, context) = if parent.kind == Kind::PreFork {
            (false, Epoch::NONE, None)
        } else {
            let is_signed = self.is_signed(&parent, time)?;
            let epoch = parent.child_epoch(&self.context.upgrades, time);
            let context = parent.child_context(&self.context.upgrades, time, epoch, p_chain_height);
            (is_signed, epoch, Some(context))
        };
        let inner = self.inner.build_block(context)?;
        let template = BlockTemplate {
            parent: id,
            timestamp_secs: time.unix_secs(),
            p_chain_height,
            epoch,
            inner: &inner.bytes,
        };
        let block = if is_signed {
            template.signed(self.context.chain_id, &*self.config.signer)
        } else {
            template.unsigned()
        };
        let block = block.map_err(|error| VmError::Other(format!("block on {id}: {error}")))?;
        self.counters.update(|stats| {
            *(if is_signed { &mut stats.built_signed } else { &mut stats.built_unsigned }) += 1;
        });
        tracing::info!(
            chain = %self.context.chain_id,
            block = %block.id(),
            inner = %inner.id,
            height = inner.height,
            p_chain_height,
            epoch = epoch.number,
            is_signed,
            "built block"
        );
        let outer = OuterBlock::from(block);
        let built = self.to_vm(memory, &outer, &inner)?;
        self.keep_checked(memory, outer, inner);
        Ok(built)
    }

    /// Whether a block made now is to be signed.
    ///
    /// # Errors
    /// It is not this node's turn, or it is not known whose.
    fn is_signed(&self, parent: &Parent, time: WallTime) -> Result<bool, VmError> {
        let signed = self.may_sign(parent, time);
        signed.map_err(|error| {
            if !matches!(error, VerifyError::Window(_)) {
                self.counters.update(|stats| stats.builds_out_of_turn += 1);
            }
            VmError::Other(format!("no block at height {}: {error}", parent.height + 1))
        })
    }

    fn may_sign(&self, parent: &Parent, time: WallTime) -> Result<bool, VerifyError> {
        let (height, at, node) = (parent.height + 1, parent.p_chain_height, self.context.node_id);
        if self.context.upgrades.is_active(Upgrade::Durango, parent.time) {
            let slot = slot_at(parent.time, time);
            return match self.windower.expected_proposer(height, at, slot)? {
                None => Ok(false),
                Some(expected) if expected == node => Ok(true),
                Some(expected) => Err(VerifyError::WrongProposer { slot, expected }),
            };
        }
        if is_free_for_all(parent.time, time) {
            return Ok(false);
        }
        let min = self.windower.delay(height, at, Some(node), BUILD_WINDOWS_MAX)?;
        let delay = age(parent.time, time);
        if delay < min {
            return Err(VerifyError::WindowNotStarted { delay, min });
        }
        Ok(delay < VERIFY_DELAY_MAX)
    }

    /// After a build.
    pub(super) fn built(&self, is_built: bool) {
        // What was not known before the build may be known now.
        if !is_built && self.gate.plan().error.is_some() {
            self.find_turn();
        }
        self.look();
    }
}

/// When a block made now says it was made.
pub(super) fn time_of_child(parent: &Parent, now: WallTime) -> WallTime {
    WallTime::from_unix_secs(now.unix_secs()).max(parent.time)
}

/// The height of the P-Chain that a block made now refers to.
///
/// # Errors
/// It is not known.
pub(super) fn child_p_chain_height(
    context: &ChainContext,
    parent: &Parent,
    now: WallTime,
) -> Result<u64, VmError> {
    let least = match parent.kind {
        Kind::PreFork => context.upgrades.apricot_phase4_min_p_chain_height,
        Kind::Block | Kind::Option => parent.p_chain_height,
    };
    let is_overridden = context.network_id == FUJI_ID
        && context.subnet_id != PRIMARY_NETWORK_ID
        && now < FUJI_OVERRIDE_UNTIL
        && least < FUJI_OVERRIDE_BELOW_HEIGHT;
    if is_overridden { Ok(least) } else { Ok(context.validators.minimum_height()?.max(least)) }
}
