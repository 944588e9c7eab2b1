//! Beginning an attempt, and asking seeders for their most recent summary.

use bytes::Bytes;
use sastrugi_types::{NodeId, RequestId};
use sastrugi_vm::StateSyncableVm;

use super::{Attempt, PAUSE_MAX, PAUSE_MIN, RestartReason, StateSyncer, Step};
use crate::{
    common::{Cx, Fatal, Handled, StateSummaryFrontierHandler},
    validators::ValidatorsError,
};

impl StateSummaryFrontierHandler for StateSyncer {
    fn state_summary_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        summary: Bytes,
    ) -> Handled {
        if !self.is_answer(Step::Frontier, request) || !self.attempt.seeders.answer(from) {
            tracing::debug!(node = %from, %request, "an unexpected state summary frontier");
            return Ok(());
        }
        self.see(from, summary);
        self.ask_seeders(cx)
    }

    fn get_state_summary_frontier_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        if !self.is_answer(Step::Frontier, request) {
            tracing::debug!(node = %from, %request, "an unexpected failure of a summary frontier");
            return Ok(());
        }
        self.attempt.seeders.fail(from);
        self.attempt.seeders.answer(from);
        self.ask_seeders(cx)
    }
}

impl StateSyncer {
    /// Begins, once enough beacon weight was connected.
    pub(super) fn begin_if_ready(&mut self, cx: &mut Cx<'_>) -> Handled {
        if self.has_begun() || !self.config.startup.should_start() {
            return Ok(());
        }
        self.begin_attempt(cx)
    }

    /// The attempt was in vain. The next one begins after a pause, as the network may recover.
    pub(super) fn pause(&mut self, cx: &mut Cx<'_>, reason: RestartReason) {
        let doublings = u32::try_from(self.stats.restarts).unwrap_or(u32::MAX);
        let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(doublings)).min(PAUSE_MAX);
        tracing::debug!(%reason, ?pause, "restarting state sync");
        self.stats.restarts += 1;
        self.restarted = Some(reason);
        self.step = Step::Pausing;
        self.attempt.release();
        cx.timer.register_timeout(cx.now, pause);
    }

    /// The pause is over.
    pub(super) fn end_pause(&mut self, cx: &mut Cx<'_>) -> Handled {
        if self.step == Step::Pausing { self.begin_attempt(cx) } else { Ok(()) }
    }

    /// Whether something was heard that may answer what is asked now.
    pub(super) fn is_answer(&self, step: Step, request: RequestId) -> bool {
        self.step == step && self.request_id == request
    }

    fn begin_attempt(&mut self, cx: &mut Cx<'_>) -> Handled {
        tracing::info!("starting state sync");
        self.stats.attempts += 1;
        self.step = Step::Frontier;
        let drawn = self.draw_seeders()?;
        let voters = self.config.beacons.validators.validator_ids(self.config.subnet);
        self.attempt = Attempt::new(&drawn, voters);
        let ongoing =
            self.vm().map(|vm| vm.ongoing_summary().map_err(Fatal::vm("ongoing_summary")));
        if let Some(summary) = ongoing.transpose()?.flatten() {
            self.attempt.ongoing = Some(summary.id);
            self.attempt.see(summary);
        }
        if drawn.is_empty() || self.vm().is_none() {
            tracing::info!("skipping state sync: there is nobody to ask");
            self.finish(cx);
            return Ok(());
        }
        let request = self.next_request();
        let turn = self.attempt.seeders.ask();
        cx.sender.send_get_state_summary_frontier(&turn, request);
        Ok(())
    }

    fn draw_seeders(&mut self) -> Result<Vec<NodeId>, Fatal> {
        let beacons = &self.config.beacons;
        let total = beacons.validators.total_weight(self.config.subnet).map_err(too_large)?;
        let all = usize::try_from(total).unwrap_or(usize::MAX);
        let drawn = self.config.sampler.sample(beacons.sample_size.min(all));
        drawn.map_err(|error| Fatal::Broken(format!("drawing state sync beacons: {error}")))
    }

    fn see(&mut self, from: NodeId, bytes: Bytes) {
        if !self.attempt.has_room(bytes.len()) {
            tracing::debug!(node = %from, bytes = bytes.len(), "no room for a state summary");
            self.stats.oversized += 1;
            return;
        }
        match self.vm().map(|vm| vm.parse_summary(bytes)) {
            Some(Ok(summary)) => {
                self.stats.summaries += 1;
                self.attempt.see(summary);
            }
            Some(Err(error)) => {
                tracing::debug!(node = %from, %error, "a state summary does not parse");
                self.stats.malformed += 1;
            }
            None => {}
        }
    }

    fn ask_seeders(&mut self, cx: &mut Cx<'_>) -> Handled {
        let turn = self.attempt.seeders.ask();
        if !turn.is_empty() {
            cx.sender.send_get_state_summary_frontier(&turn, self.request_id);
        }
        if !self.attempt.seeders.pending().is_empty() {
            return Ok(());
        }
        let (drawn, failed) = self.attempt.drawn_and_failed();
        let answered = drawn.saturating_sub(failed);
        let beacons = &self.config.beacons;
        let total = beacons.validators.total_weight(self.config.subnet).map_err(too_large)?;
        // answered / drawn < alpha / total, without a remainder.
        let (has, needs) = (
            u128::from(answered) * u128::from(total),
            u128::from(drawn) * u128::from(beacons.alpha),
        );
        if has < needs {
            self.pause(cx, RestartReason::FewFrontiers { answered, drawn });
            return Ok(());
        }
        self.step = Step::Voting;
        self.next_request();
        self.ask_voters(cx);
        Ok(())
    }

    pub(super) fn vm(&self) -> Option<&dyn StateSyncableVm> {
        self.config.vm.state_sync()
    }

    /// Hands over to the next gear.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        self.step = Step::Finished;
        self.attempt.release();
        cx.finish(self.request_id);
    }
}

/// The beacons' weights do not fit.
pub(super) fn too_large(error: ValidatorsError) -> Fatal {
    Fatal::Broken(format!("state sync beacons: {error}"))
}
