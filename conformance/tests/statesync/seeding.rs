//! The rule by which the gear differs from upstream on purpose, worked out from the trace alone.

use std::collections::{BTreeMap, BTreeSet};

use sastrugi_conformance::Fields;
use serde_json::{Value, json};

/// What the replayer makes of the answers of an attempt's seeders, so that either rule decides the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// All answer; failures become answers that do not parse.
    Answer,
    /// All fail.
    Fail,
}

/// By the number of the attempt.
pub(crate) type Forced = BTreeMap<usize, Force>;

impl Force {
    pub(crate) fn apply(self, op: &mut Value) {
        let (from, to) = match self {
            Self::Answer => ("getStateSummaryFrontierFailed", "stateSummaryFrontier"),
            Self::Fail => ("stateSummaryFrontier", "getStateSummaryFrontierFailed"),
        };
        if op["op"] == from {
            op["op"] = json!(to);
            let op = op.as_object_mut().unwrap();
            op.remove("s");
            op.remove("x");
        }
    }

    /// What of the state is then not upstream's.
    pub(crate) fn hides(self, key: &str) -> bool {
        key == "failedSeeders" || (self == Self::Fail && key == "weights")
    }
}

/// The attempt under way, in the words of the trace.
pub(crate) struct Seeding {
    /// Number of the attempt; 0 before the first.
    pub(crate) attempt: usize,
    /// Beacons and their weights.
    weights: BTreeMap<u64, u64>,
    alpha: u64,
    /// Heights of the summaries of the trace.
    summaries: Vec<u64>,
    /// The summary of an interrupted sync, -1 for none.
    ongoing: i64,
    /// The seeders, each as often as it was drawn.
    drawn: Vec<u64>,
    /// The heights seen in this attempt.
    heights: Vec<u64>,
}

fn list(value: &Value) -> BTreeSet<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn event<'a>(op: &'a Value, kind: &str) -> Option<&'a Value> {
    op["ev"].as_array()?.iter().find(|event| event[0] == kind)
}

impl Seeding {
    pub(crate) fn new(mut header: Fields) -> Self {
        let listed: Vec<u64> = header.or_default("stateSyncers");
        let is_listed = !listed.is_empty();
        let weights: Vec<u64> = header.take("weights");
        let stakes = weights.into_iter().enumerate().map(|(node, weight)| (node as u64, weight));
        let weights: BTreeMap<u64, u64> = if is_listed {
            listed.into_iter().map(|node| (node, 1)).collect()
        } else {
            stakes.filter(|(_, weight)| *weight > 0).collect()
        };
        let heights = header.list("summaries").into_iter().map(|mut summary| summary.take("h"));
        let alpha: u64 = header.take("alpha");
        Self {
            attempt: 0,
            alpha: if is_listed { weights.len() as u64 / 2 + 1 } else { alpha },
            weights,
            summaries: heights.collect(),
            ongoing: header.take("ongoing"),
            drawn: Vec::new(),
            heights: Vec::new(),
        }
    }

    /// Follows an op of the trace. `state` is upstream's before the op. If the rule decides
    /// otherwise than upstream: what the gear must do instead, and what makes both do the same.
    pub(crate) fn follow(
        &mut self,
        state: &BTreeMap<String, Value>,
        op: &Value,
    ) -> Option<(Value, Force)> {
        let is_asked = list(&state["pendingSeeders"]).contains(&op["n"].as_u64().unwrap_or(0));
        let seen = op["s"].as_u64().and_then(|index| self.summaries.get(index as usize));
        if op["op"] == "stateSummaryFrontier"
            && is_asked
            && op["r"].as_u64().unwrap_or(0) == state["rid"].as_u64().unwrap()
            && let Some(height) = seen
            && !self.heights.contains(height)
        {
            self.heights.push(*height);
        }
        let difference = self.difference(state, op);
        if let Some(index) = op["s"].as_i64().filter(|_| op["op"] == "ongoing") {
            self.ongoing = index;
        }
        if let Some(sample) = event(op, "sample") {
            self.attempt += 1;
            self.drawn = sample[2].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            let ongoing = usize::try_from(self.ongoing).ok();
            self.heights = ongoing.map(|index| self.summaries[index]).into_iter().collect();
        }
        difference
    }

    fn difference(&self, state: &BTreeMap<String, Value>, op: &Value) -> Option<(Value, Force)> {
        let has_failed = op["op"] == "getStateSummaryFrontierFailed";
        if !has_failed && op["op"] != "stateSummaryFrontier" {
            return None;
        }
        let votes = event(op, "getAcceptedStateSummary").is_some();
        if !votes && event(op, "sample").is_none() {
            return None;
        }
        let mut failed = list(&state["failedSeeders"]);
        failed.extend(op["n"].as_u64().filter(|_| has_failed));
        let (drawn, total) = (self.drawn.len() as u64, self.weights.values().sum::<u64>());
        let stake: u64 = failed.iter().filter_map(|node| self.weights.get(node)).sum();
        let upstream = drawn.wrapping_sub(stake) as f64;
        let alpha = drawn.wrapping_mul(self.alpha) as f64 / total as f64;
        assert_eq!(votes, upstream >= alpha, "upstream's rule is another one: {op}");
        let answered = self.drawn.iter().filter(|node| !failed.contains(node)).count() as u64;
        let ours = answered * total >= drawn * self.alpha;
        (ours != votes)
            .then(|| (self.instead(state, ours), if votes { Force::Answer } else { Force::Fail }))
    }

    /// What the gear does by its own rule.
    fn instead(&self, state: &BTreeMap<String, Value>, votes: bool) -> Value {
        let request = state["rid"].as_u64().unwrap() as u32;
        let request = request.wrapping_add(1);
        if votes {
            let voters: Vec<_> = self.weights.keys().collect();
            return json!([["getAcceptedStateSummary", voters, request, self.heights]]);
        }
        let seeders: BTreeSet<_> = self.drawn.iter().collect();
        json!([
            ["sample", self.drawn.len(), self.drawn],
            ["getStateSummaryFrontier", seeders, request],
        ])
    }
}
