//! Issuing blocks.

use sastrugi_consensus::snowman;
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::Block;

use super::{
    IssueSource, Snowman,
    jobs::Outcome,
    requests::Wanted,
    work::{Issue, Job, Step},
};
use crate::common::{Cx, Fatal, Handled, Request};

impl Snowman {
    /// Whether the block's height says that it is accepted or rejected. Only a rejected parent is
    /// recognised; a block on a rejected grandparent is given up later.
    pub(super) fn is_decided(&self, block: &Block) -> bool {
        let (last_accepted, last_height) = self.consensus.last_accepted();
        block.height <= last_height
            || (block.height - 1 == last_height && block.parent != last_accepted)
    }

    /// Whether the block should be issued: it is neither decided, nor pending, nor processing.
    pub(super) fn should_issue(&self, block: &Block) -> bool {
        !self.is_decided(block)
            && !self.pending.contains(&block.id)
            && !self.consensus.processing(&block.id)
    }

    /// Whether a child of this block can be verified and added to consensus.
    pub(super) fn can_issue_child_on(&self, parent: &Id) -> bool {
        *parent == self.consensus.last_accepted().0 || self.consensus.processing(parent)
    }

    /// Whether this block will certainly be issued or abandoned some day.
    pub(super) fn can_depend_on(&self, block: &Id) -> bool {
        self.pending.contains(block) || self.requests.is_wanted(block)
    }

    /// A block this node has. Any failure of the VM means that it does not.
    fn block(&mut self, id: Id) -> Option<Block> {
        if let Some(block) = self.pending.get(&id) {
            return Some(block.clone());
        }
        if let Some(block) = self.unverified_blocks.get(&id) {
            return Some(block.clone());
        }
        self.config.vm.get_block(id).ok().flatten()
    }

    /// Issues the branch that ends with a block; asks `node` for what is missing.
    pub(super) fn issue_from_by_id(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        id: Id,
        source: IssueSource,
    ) -> Handled {
        if self.can_issue_child_on(&id) {
            return self.settle(cx, id);
        }
        if let Some(block) = self.block(id) {
            return self.issue_from(cx, node, block, source);
        }
        self.request(cx, node, id, source);
        Ok(())
    }

    /// Issues the branch that ends with the block; asks `node` for the first missing ancestor.
    pub(super) fn issue_from(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        mut block: Block,
        source: IssueSource,
    ) -> Handled {
        let mut id = block.id;
        while self.should_issue(&block) && self.has_room_for(&block) {
            id = block.parent;
            self.issue(cx, Issue { node, block, push: false, source })?;
            if self.can_issue_child_on(&id) {
                break;
            }
            let Some(parent) = self.block(id) else {
                self.request(cx, node, id, source);
                return Ok(());
            };
            block = parent;
        }
        self.settle(cx, id)
    }

    /// Issues the branch that ends with a block built here. Nothing is asked for: when an ancestor
    /// is missing, the branch is given up, unless that one is asked for already.
    pub(super) fn issue_with_ancestors(&mut self, cx: &mut Cx<'_>, mut block: Block) -> Handled {
        let node = self.config.node;
        let mut id = block.id;
        while self.should_issue(&block) {
            id = block.parent;
            let issue = Issue { node, block, push: true, source: IssueSource::Built };
            self.issue(cx, issue)?;
            if self.can_issue_child_on(&id) {
                break;
            }
            let Some(parent) = self.block(id) else { break };
            block = parent;
        }
        if self.requests.is_wanted(&id) { Ok(()) } else { self.abandon(cx, id) }
    }

    /// This block needs no request, and, unless it is pending, nobody should wait for it.
    fn settle(&mut self, cx: &mut Cx<'_>, id: Id) -> Handled {
        self.requests.remove_block(&id);
        if self.pending.contains(&id) { Ok(()) } else { self.abandon(cx, id) }
    }

    /// Whether the block need not wait, or may.
    fn has_room_for(&self, block: &Block) -> bool {
        !self.pending.is_full() || self.can_issue_child_on(&block.parent)
    }

    /// Issues the block once its parent is.
    fn issue(&mut self, cx: &mut Cx<'_>, issue: Issue) -> Handled {
        let Block { id, parent, .. } = issue.block;
        self.pending.insert(issue.block.clone());
        self.requests.remove_block(&id);
        if self.can_issue_child_on(&parent) {
            self.deliver(cx, issue)?;
            return self.work_off(cx);
        }
        self.jobs.schedule(Job::Issue(issue), &[parent]);
        Ok(())
    }

    /// Asks `node` for a block, unless somebody was asked.
    fn request(&mut self, cx: &mut Cx<'_>, node: NodeId, block: Id, source: IssueSource) {
        if self.requests.is_wanted(&block) {
            return;
        }
        let request = self.next_request();
        self.requests.insert(Request { node, request }, Wanted { block, source });
        cx.sender.send_get(node, request, block);
    }

    /// Verifies a block whose parent is issued, adds it to consensus and asks validators about it.
    pub(super) fn deliver(&mut self, cx: &mut Cx<'_>, issue: Issue) -> Handled {
        let Issue { node, block, push, source } = issue;
        let id = block.id;
        self.pending.remove(&id);
        let is_wanted = self.can_issue_child_on(&block.parent) && !self.consensus.processing(&id);
        if !is_wanted || !self.add_to_consensus(cx, node, &block, source)? {
            self.resolve(id, Outcome::Abandoned);
            return Ok(());
        }
        self.work.push(Step::Repoll);
        self.deliver_options(cx, node, &block, push, source)?;
        self.prefer()?;
        if self.consensus.is_preferred(&id) {
            self.query(cx, id, push.then_some(block.bytes));
        }
        self.resolve(id, Outcome::Fulfilled);
        Ok(())
    }

    /// Adds the options of an oracle block. All are added before anything that waits for one runs.
    fn deliver_options(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        oracle: &Block,
        push: bool,
        source: IssueSource,
    ) -> Handled {
        let options = self.config.vm.options(oracle).map_err(Fatal::vm("options"))?;
        let Some(options) = options else { return Ok(()) };
        let (mut added, mut dropped) = (Vec::new(), Vec::new());
        for block in options {
            if self.add_to_consensus(cx, node, &block, source)? {
                added.push(Step::OptionAdded { block, push });
            } else {
                dropped.push(Step::OptionDropped(block.id));
            }
        }
        // The work list is a stack: the added ones first, in their order.
        self.work.extend(dropped.into_iter().rev());
        self.work.extend(added.into_iter().rev());
        Ok(())
    }

    /// An option stands in consensus, and the turn of what waits for it has come.
    pub(super) fn option_added(&mut self, cx: &mut Cx<'_>, block: Block, push: bool) {
        let id = block.id;
        if self.consensus.is_preferred(&id) {
            self.query(cx, id, push.then_some(block.bytes));
        }
        self.pending.remove(&id);
        self.requests.remove_block(&id);
        self.resolve(id, Outcome::Fulfilled);
    }

    /// An option did not verify.
    pub(super) fn option_dropped(&mut self, id: Id) {
        self.pending.remove(&id);
        self.requests.remove_block(&id);
        self.resolve(id, Outcome::Abandoned);
    }

    /// Verifies a block and adds it to consensus. False if it does not verify.
    fn add_to_consensus(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        block: &Block,
        source: IssueSource,
    ) -> Result<bool, Fatal> {
        if let Err(error) = self.config.vm.verify(block, None) {
            tracing::debug!(%node, block = %block.id, block.height, %error, "block does not verify");
            self.mark_as_unverified(block.clone());
            return Ok(false);
        }
        self.unverified.remove(&block.id);
        self.unverified_blocks.evict(&block.id);
        self.stats.issued[source as usize] += 1;
        let weight = self.config.validators.weight(self.config.subnet, &node);
        self.stats.issuer_stake.observe(weight);
        let Block { id, parent, height, timestamp, .. } = *block;
        let size_bytes = block.bytes.len() as u64;
        self.consensus
            .add(&snowman::Block { id, parent, height, timestamp, size_bytes }, cx.wall)
            .map_err(|error| Fatal::Broken(format!("consensus, add: {error}")))?;
        self.processing.insert(id, block.clone());
        Ok(true)
    }

    /// An ancestor was abandoned, so the block is.
    pub(super) fn give_up(&mut self, block: Block) {
        let id = block.id;
        self.pending.remove(&id);
        self.mark_as_unverified(block);
        self.resolve(id, Outcome::Abandoned);
    }

    /// Keeps a block that cannot be issued, so that votes for it find their way to its ancestors.
    /// Its parent is undecided, or the block is of no use.
    fn mark_as_unverified(&mut self, block: Block) {
        if self.consensus.processing(&block.id) {
            return;
        }
        if self.unverified.contains(&block.parent) || self.consensus.processing(&block.parent) {
            self.unverified.add(block.id, block.parent);
            self.unverified_blocks.put(block);
        }
    }

    /// Tells the VM what is preferred.
    pub(super) fn prefer(&self) -> Handled {
        let preference = self.consensus.preference();
        self.config.vm.set_preference(preference).map_err(Fatal::vm("set_preference"))
    }
}
