//! Finding out what the network has accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sastrugi_consensus::bootstrap::{Majority, Minority, WeightOverflow, sample};
use sastrugi_types::{Id, NodeId, RequestId, sampler::uniform_inclusive};

use super::{Bootstrapper, Wait};
use crate::common::{AcceptedFrontierHandler, AcceptedHandler, Cx, Fatal, Handled};

/// How many nodes are asked at the same time.
const OUTSTANDING_MAX: usize = 50;
/// The longest pause after the first round without a result.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause after any.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The poll of a round that was begun last, which may be over.
#[derive(Debug)]
pub(super) enum Poll {
    /// What a few beacons accepted last. Beside it, the weights of all beacons in this round.
    Frontier(Minority, BTreeMap<NodeId, u64>),
    /// Which of these blocks all beacons have accepted.
    Accepted(Majority),
}

impl AcceptedFrontierHandler for Bootstrapper {
    fn accepted_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
    ) -> Handled {
        self.hear_frontier(cx, from, request, Some(container))
    }

    fn get_accepted_frontier_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        self.hear_frontier(cx, from, request, None)
    }
}

impl AcceptedHandler for Bootstrapper {
    fn accepted(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: BTreeSet<Id>,
    ) -> Handled {
        self.hear_accepted(cx, from, request, &containers)
    }

    fn get_accepted_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        self.hear_accepted(cx, from, request, &BTreeSet::new())
    }
}

impl Bootstrapper {
    fn hear_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        opinion: Option<Id>,
    ) -> Handled {
        if !self.is_current(from, request) {
            return Ok(());
        }
        if let Some(Poll::Frontier(minority, _)) = &mut self.poll
            && !minority.record(&from, opinion)
        {
            tracing::debug!(node = %from, reason = "not asked", "dropping accepted_frontier");
        }
        self.advance(cx)
    }

    fn hear_accepted(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        opinion: &BTreeSet<Id>,
    ) -> Handled {
        if !self.is_current(from, request) {
            return Ok(());
        }
        if let Some(Poll::Accepted(majority)) = &mut self.poll
            && !majority.record(&from, opinion)
        {
            tracing::debug!(node = %from, reason = "not asked", "dropping accepted");
        }
        self.advance(cx)
    }

    /// Whether answers with this number belong to the polls of this round. None do while blocks
    /// are executed, and during a pause.
    fn is_current(&self, from: NodeId, request: RequestId) -> bool {
        let is_current = request == self.request_id
            && self.execution.is_none()
            && self.waiting != Some(Wait::NextRound);
        if !is_current {
            let expected = self.request_id;
            tracing::debug!(node = %from, %request, %expected, "dropping an answer out of sync");
        }
        is_current
    }

    /// Begins a round.
    pub(super) fn start_round(&mut self, cx: &mut Cx<'_>) -> Handled {
        let outputs = self.config.beacons.outputs(self.config.subnet);
        let weights: BTreeMap<_, _> =
            outputs.into_iter().map(|(node, output)| (node, output.weight)).collect();
        self.stats.rounds += 1;
        if weights.is_empty() {
            tracing::info!(reason = "no beacons", "bootstrapping skipped");
            self.poll = None;
            return self.start_fetching(cx, &BTreeSet::new());
        }
        let nodes =
            sample(&weights, self.config.sample_size, &mut self.config.source).map_err(broken)?;
        tracing::debug!(beacons = weights.len(), ?nodes, "asking for the frontier");
        self.poll = Some(Poll::Frontier(Minority::new(nodes, OUTSTANDING_MAX), weights));
        self.next_request();
        self.advance(cx)
    }

    /// Asks whom the poll names; when nobody is left, takes the next step of the round.
    fn advance(&mut self, cx: &mut Cx<'_>) -> Handled {
        if let Some(Poll::Frontier(minority, weights)) = &mut self.poll {
            let nodes = minority.next_nodes();
            if !nodes.is_empty() {
                cx.sender.send_get_accepted_frontier(&nodes, self.request_id);
                return Ok(());
            }
            let Some(blocks) = minority.result() else { return Ok(()) };
            tracing::debug!(?blocks, "asking which blocks of the frontier are accepted");
            let majority = Majority::new(std::mem::take(weights), blocks, OUTSTANDING_MAX);
            self.poll = Some(Poll::Accepted(majority.map_err(broken)?));
        }
        let Some(Poll::Accepted(majority)) = &mut self.poll else { return Ok(()) };
        let nodes = majority.next_nodes();
        if !nodes.is_empty() {
            cx.sender.send_get_accepted(&nodes, self.request_id, majority.blocks().collect());
            return Ok(());
        }
        match majority.result() {
            None => Ok(()),
            Some(accepted) if accepted.is_empty() => {
                self.pause(cx);
                Ok(())
            }
            Some(accepted) => {
                self.empty_rounds = 0;
                self.start_fetching(cx, &accepted)
            }
        }
    }

    /// No block has a majority: waits, longer each time, and by chance, so that a network that
    /// starts as a whole does not ask in step.
    fn pause(&mut self, cx: &mut Cx<'_>) {
        let longest = PAUSE_FIRST.saturating_mul(1 << self.empty_rounds.min(16)).min(PAUSE_MAX);
        self.empty_rounds = self.empty_rounds.saturating_add(1);
        let half = longest / 2;
        let more = uniform_inclusive(&mut self.config.source, half.as_nanos() as u64);
        tracing::debug!(rounds = self.empty_rounds, "the beacons agree on no accepted block");
        self.waiting = Some(Wait::NextRound);
        cx.timer.register_timeout(cx.now, half + Duration::from_nanos(more));
    }
}

fn broken(overflow: WeightOverflow) -> Fatal {
    Fatal::Broken(overflow.to_string())
}
