//! The engine's calls.

use bytes::Bytes;
use sastrugi_types::{Id, upgrade::Upgrade};
use sastrugi_vm::{
    BatchedChainVm, Block, BlockContext, ChainVm, State as ChainState, StateSyncableVm, VmError,
};

use super::{
    Memory, ProposerVm, Running, Verified,
    resolve::{Found, Known},
};
use crate::{
    OuterBlock, PostForkOption,
    verify::{Child, Kind, Parent, Rules, Verdict, VerifyError},
};

impl ChainVm for ProposerVm {
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError> {
        let running = self.running()?;
        running.parse(&mut running.memory.lock(), &bytes, false)
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        let running = self.running()?;
        let memory = &mut running.memory.lock();
        match running.find(memory, id)? {
            Some(Found { outer: Some(outer), inner }) => {
                running.to_vm(memory, &outer, &inner).map(Some)
            }
            Some(Found { outer: None, inner }) => Ok(Some(inner)),
            None => Ok(None),
        }
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        let running = self.running()?;
        running.accepted_at(&running.memory.lock(), height)
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        let running = self.running()?;
        running.last_accepted(&running.memory.lock())
    }

    fn build_block(&self, _context: Option<BlockContext>) -> Result<Block, VmError> {
        let running = self.running()?;
        let built = running.build(&mut running.memory.lock());
        running.built(built.is_ok());
        built
    }

    fn verify(&self, block: &Block, _context: Option<BlockContext>) -> Result<(), VmError> {
        let running = self.running()?;
        let verified = running.verify(&mut running.memory.lock(), block);
        running.look();
        verified
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        let running = self.running()?;
        running.accept(&mut running.memory.lock(), id)?;
        running.look();
        Ok(())
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        let running = self.running()?;
        running.reject(&mut running.memory.lock(), id)?;
        running.look();
        Ok(())
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        let running = self.running()?;
        running.set_preference(&mut running.memory.lock(), id)?;
        running.look();
        Ok(())
    }

    fn options(&self, block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        let running = self.running()?;
        running.options(&mut running.memory.lock(), block)
    }

    fn state_sync(&self) -> Option<&dyn StateSyncableVm> {
        self.inner.state_sync()?;
        Some(self)
    }

    fn batched(&self) -> Option<&dyn BatchedChainVm> {
        Some(self)
    }
}

impl Running {
    pub(super) fn set_state(&self, state: ChainState) -> Result<(), VmError> {
        self.inner.set_state(state)?;
        {
            let memory = &mut self.memory.lock();
            let before = std::mem::replace(&mut memory.chain_state, state);
            if before == ChainState::StateSyncing {
                self.settle(memory)?;
                // The preferred block may have been jumped over.
                memory.preferred = None;
                self.gate.update(|plan| plan.preferred = None);
            }
        }
        self.gate.update(|plan| plan.is_normal_op = state == ChainState::NormalOp);
        self.find_turn();
        Ok(())
    }

    fn verify(&self, memory: &mut Memory, block: &Block) -> Result<(), VmError> {
        let Ok(known) = self.read_again(memory, block) else {
            return self.verify_pre_fork(memory, block);
        };
        let parent_id = known.outer.parent();
        let parent = self.find(memory, parent_id)?.ok_or_else(|| missing_parent(parent_id))?;
        let (is_oracle, parent) = self.look_at(memory, &parent)?;
        let (inner_parent, height) = (known.inner.parent, known.inner.height);
        let child = match &known.outer {
            OuterBlock::Block(block) => Child::Block { block, inner_parent, height },
            OuterBlock::Option(_) => Child::Option { inner_parent },
        };
        let verdict = self.check(memory, block.id, &parent, is_oracle, &child)?;
        self.verify_inner(memory, known, verdict)
    }

    /// A block from before the fork. Its parent is one, or it is refused.
    fn verify_pre_fork(&self, memory: &mut Memory, block: &Block) -> Result<(), VmError> {
        let parent = self.inner.get_block(block.parent)?;
        let parent = parent.ok_or_else(|| missing_parent(block.parent))?;
        let (is_oracle, parent) = self.look_at(memory, &Found { outer: None, inner: parent })?;
        self.check(memory, block.id, &parent, is_oracle, &Child::PreFork)?;
        self.inner.verify(block, None)
    }

    /// What a block means for its children.
    fn look_at(&self, memory: &Memory, found: &Found) -> Result<(bool, Parent), VmError> {
        let is_oracle = self.inner.options(&found.inner)?.is_some();
        Ok((is_oracle, self.as_parent(memory, found)?))
    }

    fn check(
        &self,
        memory: &Memory,
        id: Id,
        parent: &Parent,
        is_oracle: bool,
        child: &Child<'_>,
    ) -> Result<Verdict, VmError> {
        let rules = Rules {
            upgrades: &self.context.upgrades,
            validators: &*self.context.validators,
            windower: &self.windower,
            now: self.wall(),
            is_normal_op: memory.chain_state == ChainState::NormalOp,
        };
        rules.verify(parent, is_oracle, child).map_err(|error: VerifyError| {
            self.counters.update(|stats| stats.refused += 1);
            VmError::invalid(format!("block {id}: {error}"))
        })
    }

    /// If this returns `Ok` the inner VM owes a verdict on the inner block, and so do we.
    fn verify_inner(
        &self,
        memory: &mut Memory,
        known: Known,
        verdict: Verdict,
    ) -> Result<(), VmError> {
        let Known { outer, inner, .. } = known;
        let is_verified = memory.tree.contains(&inner);
        if verdict.context.is_some() && self.inner.verifies_with_context(&inner)? {
            self.inner.verify(&inner, verdict.context)?;
        } else if !is_verified {
            self.inner.verify(&inner, None)?;
        }
        if !is_verified {
            memory.tree.add(&inner);
        }
        let slot = verdict.slot;
        memory.verified.insert(outer.id(), Verified { outer, inner, slot });
        Ok(())
    }

    fn set_preference(&self, memory: &mut Memory, id: Id) -> Result<(), VmError> {
        if memory.preferred == Some(id) {
            return Ok(());
        }
        memory.preferred = Some(id);
        let Some(found) = self.find_outer(memory, id)? else {
            self.inner.set_preference(id)?;
            let inner = self.inner.get_block(id)?;
            let found = inner.map(|inner| Found { outer: None, inner });
            let parent = found.map(|found| self.as_parent(memory, &found)).transpose()?;
            self.prefer(id, parent);
            return Ok(());
        };
        let parent = self.as_parent(memory, &found)?;
        if parent.epoch.is_none() {
            self.inner.set_preference(parent.inner)?;
        } else {
            // A child is of an epoch too, whenever it is made.
            let epoch = parent.child_epoch(&self.context.upgrades, parent.time);
            let context = BlockContext { p_chain_height: epoch.p_chain_height };
            self.inner.set_preference_with_context(parent.inner, context)?;
        }
        self.prefer(id, Some(parent));
        Ok(())
    }

    fn options(&self, memory: &mut Memory, block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        let Ok(known) = self.read_again(memory, block) else {
            // Options of a block from before the fork are from before the fork.
            return self.inner.options(block);
        };
        if matches!(known.outer, OuterBlock::Option(_)) {
            return Ok(None);
        }
        let Some(options) = self.inner.options(&known.inner)? else { return Ok(None) };
        let [one, two] = options.map(|inner| self.wrap_option(memory, block, inner));
        Ok(Some([one?, two?]))
    }

    fn wrap_option(
        &self,
        memory: &mut Memory,
        oracle: &Block,
        inner: Block,
    ) -> Result<Block, VmError> {
        let option = PostForkOption::new(oracle.id, &inner.bytes)
            .map_err(|error| VmError::Other(format!("option of {}: {error}", oracle.id)))?;
        let outer = OuterBlock::from(option);
        let block = Block {
            id: outer.id(),
            parent: oracle.id,
            height: inner.height,
            timestamp: oracle.timestamp,
            bytes: outer.bytes().clone(),
        };
        self.keep_checked(memory, outer, inner);
        Ok(block)
    }

    /// Whether blocks after the fork may follow this parent.
    pub(super) fn is_forking(&self, parent: &Parent) -> bool {
        parent.kind != Kind::PreFork
            || self.context.upgrades.is_active(Upgrade::ApricotPhase4, parent.time)
    }
}

fn missing_parent(id: Id) -> VmError {
    VmError::invalid(format!("the parent {id} is not there"))
}
