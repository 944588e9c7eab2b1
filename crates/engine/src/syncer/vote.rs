//! Asking all beacons which of the summaries they have accepted, and accepting one.

use std::collections::BTreeSet;

use sastrugi_types::{Id, NodeId, RequestId};
use sastrugi_vm::{StateSummary, StateSyncMode};

use super::{RestartReason, StateSyncer, Step, frontier::too_large};
use crate::common::{AcceptedStateSummaryHandler, Cx, Fatal, Handled};

impl AcceptedStateSummaryHandler for StateSyncer {
    fn accepted_state_summary(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        summaries: BTreeSet<Id>,
    ) -> Handled {
        if !self.is_answer(Step::Voting, request) || !self.attempt.voters.answer(from) {
            tracing::debug!(node = %from, %request, "an unexpected accepted state summary");
            return Ok(());
        }
        let weight = self.config.beacons.validators.weight(self.config.subnet, &from);
        self.attempt.vote(&summaries, weight);
        self.ask_voters(cx);
        if !self.attempt.voters.pending().is_empty() {
            return Ok(());
        }
        self.count_votes(cx)
    }

    fn get_accepted_state_summary_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        if self.is_answer(Step::Voting, request) {
            self.attempt.voters.fail(from);
        }
        self.accepted_state_summary(cx, from, request, BTreeSet::new())
    }
}

impl StateSyncer {
    pub(super) fn ask_voters(&mut self, cx: &mut Cx<'_>) {
        let turn = self.attempt.voters.ask();
        if !turn.is_empty() {
            let heights = self.attempt.heights.clone();
            cx.sender.send_get_accepted_state_summary(&turn, self.request_id, heights);
        }
    }

    /// All votes are in.
    fn count_votes(&mut self, cx: &mut Cx<'_>) -> Handled {
        let alpha = self.config.beacons.alpha;
        self.attempt.candidates.retain(|_, candidate| candidate.weight >= alpha);
        if let Some(summary) = self.attempt.preferred().cloned() {
            return self.accept(cx, &summary);
        }
        let voted = self.voted_weight()?;
        if voted < alpha {
            self.pause(cx, RestartReason::FewVotes { voted, alpha });
            return Ok(());
        }
        tracing::info!("skipping state sync: no summary has enough beacons behind it");
        self.finish(cx);
        Ok(())
    }

    /// The weight of the beacons that did not fail.
    fn voted_weight(&self) -> Result<u64, Fatal> {
        let (beacons, subnet) = (&self.config.beacons.validators, self.config.subnet);
        let total = beacons.total_weight(subnet).map_err(too_large)?;
        let failed =
            beacons.subset_weight(subnet, self.attempt.voters.failed()).map_err(too_large)?;
        Ok(total.saturating_sub(failed))
    }

    fn accept(&mut self, cx: &mut Cx<'_>, summary: &StateSummary) -> Handled {
        let Some(vm) = self.vm() else { return Ok(()) };
        let mode = vm.accept_summary(summary).map_err(Fatal::vm("accept_summary"))?;
        let StateSummary { id, height, .. } = *summary;
        tracing::info!(summary = %id, height, ?mode, "accepted a state summary");
        self.stats.accepted += 1;
        match mode {
            StateSyncMode::Skipped => self.finish(cx),
            StateSyncMode::Static => {
                self.config.state_syncing.set(true);
                self.step = Step::Syncing { summary: id, height };
                self.attempt.release();
            }
            StateSyncMode::Dynamic => {
                self.config.state_syncing.set(true);
                self.finish(cx);
            }
            StateSyncMode::Unknown(number) => {
                tracing::warn!(number, "an unknown mode of state sync, proceeding to bootstrap");
                self.finish(cx);
            }
        }
        Ok(())
    }
}
