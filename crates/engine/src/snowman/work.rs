//! The work list: what is set free by a block runs depth first, without recursion.

use sastrugi_types::{Id, NodeId, RequestId};
use sastrugi_vm::Block;
use smallvec::SmallVec;

use super::{
    IssueSource, Snowman,
    jobs::{Outcome, Ready, Resolution},
};
use crate::common::{Cx, Handled};

/// Something that waits for blocks.
#[derive(Debug)]
pub(super) enum Job {
    /// Issue a block once its parent is.
    Issue(Issue),
    /// Vote once the blocks of an answer are issued.
    Vote(Vote),
}

/// A block to be issued.
#[derive(Debug)]
pub(super) struct Issue {
    /// Whom it came from.
    pub(super) node: NodeId,
    pub(super) block: Block,
    /// Whether queries about it bring its bytes.
    pub(super) push: bool,
    pub(super) source: IssueSource,
}

/// An answer to a query of this node.
#[derive(Debug)]
pub(super) struct Vote {
    pub(super) node: NodeId,
    pub(super) request: RequestId,
    /// What it names, by falling height: the first usable one counts.
    pub(super) options: SmallVec<[Id; 2]>,
}

/// A step of the work list.
#[derive(Debug)]
pub(super) enum Step {
    /// Run the jobs that waited for a block, one after the other.
    Resolve(Resolution),
    /// An option of an oracle block was added to consensus.
    OptionAdded {
        /// The option.
        block: Block,
        /// Whether queries about it bring its bytes.
        push: bool,
    },
    /// An option of an oracle block does not verify.
    OptionDropped(Id),
    /// Poll again if something processes.
    Repoll,
}

impl Snowman {
    /// Tells what waits for the block that it will not be issued.
    pub(super) fn abandon(&mut self, cx: &mut Cx<'_>, block: Id) -> Handled {
        self.resolve(block, Outcome::Abandoned);
        self.work_off(cx)
    }

    /// Does all that is left to do, and what follows from it. Only handlers call this; what runs
    /// meanwhile adds steps. An error leaves the rest undone: the chain stops.
    pub(super) fn work_off(&mut self, cx: &mut Cx<'_>) -> Handled {
        while let Some(step) = self.work.pop() {
            self.step(cx, step)?;
        }
        Ok(())
    }

    fn step(&mut self, cx: &mut Cx<'_>, step: Step) -> Handled {
        match step {
            Step::Resolve(mut resolution) => {
                let Some(ready) = self.jobs.next(&mut resolution) else { return Ok(()) };
                self.work.push(Step::Resolve(resolution));
                self.run(cx, ready)
            }
            Step::OptionAdded { block, push } => {
                self.option_added(cx, block, push);
                Ok(())
            }
            Step::OptionDropped(block) => {
                self.option_dropped(block);
                Ok(())
            }
            Step::Repoll => {
                self.repoll_if_processing(cx);
                Ok(())
            }
        }
    }

    fn run(&mut self, cx: &mut Cx<'_>, ready: Ready<Job>) -> Handled {
        match ready.job {
            Job::Vote(vote) => self.vote(cx, &vote),
            Job::Issue(issue) if ready.any_abandoned => {
                self.give_up(issue.block);
                Ok(())
            }
            Job::Issue(issue) => self.deliver(cx, issue),
        }
    }

    /// The jobs that wait for the block run next.
    pub(super) fn resolve(&mut self, block: Id, outcome: Outcome) {
        if let Some(resolution) = self.jobs.resolve(block, outcome) {
            self.work.push(Step::Resolve(resolution));
        }
    }
}
