//! Replays the traces of `Topological`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::time::Duration;

use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::{
    snowball::{Factory, Parameters},
    snowman::{AddError, Block, Decision, Observations, ParentView, Topological, Unhealthy},
};
use sastrugi_types::{Bag, Id, WallTime};
use serde_json::{Value, json};

const SECOND_NANOS: i64 = 1_000_000_000;
/// Some moment; the traces count from it.
const START: WallTime = WallTime(1_700_000_000 * SECOND_NANOS);

struct Replay {
    consensus: Topological,
    ids: Vec<Id>,
    blocks: Vec<Option<(usize, u64, i64)>>,
    /// The call that fails, and for which block.
    failing: Option<(String, usize)>,
    now: WallTime,
    state: [u64; 4],
    /// Blocks that could not be added: upstream's gauge counts them as processing for ever, since
    /// it is raised before the block is looked at. Ours is not; after this error a chain stops.
    not_added: i64,
}

#[test]
fn snowman() {
    let exceptions = exceptions();
    for mut trace in traces("snowman") {
        assert!(!exceptions.contains_key(trace.name.as_str()), "{}", trace.name);
        let mut replay = Replay::begin(&mut trace);
        let steps = trace.list("ops");
        trace.finish();
        for step in steps {
            replay.step(step);
        }
    }
}

fn at(offset: i64) -> WallTime {
    WallTime(START.0 + offset)
}

impl Replay {
    fn begin(trace: &mut Fields) -> Self {
        trace.take::<String>("name");
        let factory = match trace.take::<String>("factory").as_str() {
            "snowflake" => Factory::Snowflake,
            "snowball" => Factory::Snowball,
            other => panic!("{}: factory {other}", trace.name),
        };
        let mut params = trace.nested("params");
        let parameters = Parameters {
            k: params.take("k"),
            alpha_preference: params.take("alphaPreference"),
            alpha_confidence: params.take("alphaConfidence"),
            beta: params.take("beta"),
            concurrent_repolls: 1,
            optimal_processing: 1,
            max_outstanding_items: params.take("maxOutstandingItems"),
            max_item_processing_time: Duration::from_nanos(params.take("maxItemProcessingTime")),
        };
        params.finish();
        let hex: Vec<String> = trace.take("ids");
        let ids: Vec<_> =
            hex.iter().map(|hex| Id(const_hex::decode_to_array(hex).unwrap())).collect();
        let blocks: Vec<Option<(usize, u64, i64)>> = trace.take("blocks");
        let (_, height, timestamp) = blocks[0].unwrap();
        let failing: Option<serde_json::Map<String, Value>> = trace.maybe("fail");
        let failing = failing.and_then(|calls| {
            assert_eq!(calls.len(), 1);
            calls.into_iter().next()
        });
        let consensus =
            Topological::new(factory, parameters, ids[0], height, at(timestamp), 7).unwrap();
        Self {
            consensus,
            ids,
            blocks,
            failing: failing.map(|(call, block)| (call, block.as_u64().unwrap() as usize)),
            now: START,
            state: [u64::MAX; 4],
            not_added: 0,
        }
    }

    fn index(&self, id: Id) -> usize {
        self.ids.iter().position(|other| *other == id).unwrap()
    }

    fn index_or_none(&self, id: Option<Id>) -> Value {
        id.map_or(json!(-1), |id| json!(self.index(id)))
    }

    fn step(&mut self, mut step: Fields) {
        let name = step.name.clone();
        let mut out = None;
        let mut error = None;
        match step.take::<String>("op").as_str() {
            "begin" => {}
            "add" => error = self.add(step.take("b")),
            "poll" => {
                let decisions;
                (decisions, error) = self.poll(&step.or_default::<Vec<_>>("votes"));
                let expected: Vec<Value> = step.or_default("dec");
                assert_eq!(decisions, expected, "{name}");
            }
            "sleep" => self.now = self.now + Duration::from_nanos(step.take("ns")),
            "health" => out = Some(self.health()),
            "look" => out = Some(self.look(step.take("b"))),
            "at" => {
                let block = self.consensus.preference_at_height(step.take("h"));
                out = Some(json!({ "b": self.index_or_none(block) }));
            }
            "dump" => out = Some(self.dump()),
            other => panic!("{name}: {other}"),
        }
        assert_eq!(error, step.maybe::<String>("err").as_deref(), "{name}");
        assert_eq!(out, step.maybe::<Value>("out"), "{name}");
        self.check_state(&mut step);
        step.finish();
    }

    fn add(&mut self, number: usize) -> Option<&'static str> {
        let (parent, height, timestamp) = self.blocks[number].unwrap();
        let block = Block {
            id: self.ids[number],
            parent: self.ids[parent],
            height,
            timestamp: at(timestamp),
            size_bytes: format!("blk-{number}").len() as u64,
        };
        match self.consensus.add(&block, self.now) {
            Ok(()) => None,
            Err(AddError::Duplicate) => Some("duplicate"),
            Err(AddError::UnknownParent) => {
                self.not_added += 1;
                Some("unknown_parent")
            }
        }
    }

    /// Returns the decisions as the trace writes them, and the error word.
    fn poll(&mut self, votes: &[(usize, usize)]) -> (Vec<Value>, Option<&'static str>) {
        let mut bag = Bag::new();
        for (block, count) in votes {
            bag.add_count(self.ids[*block], *count);
        }
        let (ids, failing) = (&self.ids, &self.failing);
        let index = |id| ids.iter().position(|other| *other == id).unwrap();
        let mut decisions: Vec<(&str, Vec<usize>)> = Vec::new();
        let mut decide = |decision: Decision| {
            let (call, block) = match decision {
                Decision::Accepting(id) => ("acceptor", index(id)),
                Decision::Accept(id) => ("accept", index(id)),
                Decision::Reject(id) => ("reject", index(id)),
            };
            match decisions.last_mut() {
                Some(("reject", rejected)) if call == "reject" => rejected.push(block),
                _ => decisions.push((call, vec![block])),
            }
            let fails = failing.as_ref().is_some_and(|(name, at)| name == call && *at == block);
            if fails { Err("injected") } else { Ok(()) }
        };
        let result = self.consensus.record_poll(&bag, self.now, &mut decide);
        let decisions = decisions.into_iter().map(|(call, mut blocks)| {
            blocks.sort_unstable();
            if call == "reject" { json!([call, blocks]) } else { json!([call, blocks[0]]) }
        });
        (decisions.collect(), result.err())
    }

    fn look(&self, number: usize) -> Value {
        let id = &self.ids[number];
        json!({
            "processing": self.consensus.processing(id),
            "preferred": self.consensus.is_preferred(id),
            "parent": self.index_or_none(self.consensus.parent_of(id)),
        })
    }

    fn health(&self) -> Value {
        let health = self.consensus.health(self.now);
        let mut errors: Vec<_> = health
            .problems
            .iter()
            .map(|problem| match problem {
                Unhealthy::TooManyProcessing { .. } => "too_many_processing",
                Unhealthy::ProcessingTooLong { .. } => "processing_too_long",
                Unhealthy::AcceptanceTimeTooHigh { .. } => "acceptance_time_too_high",
            })
            .collect();
        errors.sort_unstable();
        let longest = i64::try_from(health.longest_processing_block.as_nanos()).unwrap();
        json!({
            "errs": errors,
            "details": {
                "processingBlocks": health.processing_blocks,
                "longestProcessingBlock": go_duration(longest),
                "avgAcceptanceTime": go_duration(health.average_acceptance_nanos),
                "lastAccepted": self.index(health.last_accepted),
                "lastAcceptedHeight": health.last_accepted_height,
            },
        })
    }

    fn dump(&self) -> Value {
        let dump = self.consensus.dump();
        let mut nodes: Vec<_> = dump
            .blocks
            .iter()
            .map(|block| (self.index(block.id), block.should_falter, &block.drawing))
            .collect();
        nodes.sort_unstable();
        nodes.truncate(40);
        let mut preferred: Vec<_> = dump.preferred.iter().map(|(id, _)| self.index(*id)).collect();
        preferred.sort_unstable();
        let heights: Vec<_> =
            dump.preferred.iter().map(|(id, height)| (*height, self.index(*id))).collect();
        json!({
            "nodes": nodes,
            "preferred": preferred,
            "heights": heights,
            "metrics": self.metrics(),
        })
    }

    fn metrics(&self) -> Value {
        let stats = self.consensus.stats();
        let mut metrics = serde_json::Map::new();
        let mut set = |name: &str, value: i64| metrics.insert(name.to_owned(), json!(value));
        set("blks_accepted_container_size_sum", stats.accepted_bytes.cast_signed());
        set("blks_rejected_container_size_sum", stats.rejected_bytes.cast_signed());
        set("blks_build_accept_latency", stats.build_accept_latency);
        set("blks_processing", self.consensus.num_processing() as i64 + self.not_added);
        set("last_accepted_height", stats.last_accepted_height.cast_signed());
        set(
            "last_accepted_timestamp",
            stats.last_accepted_timestamp.unix_secs() - START.unix_secs(),
        );
        set("max_verified_height", stats.max_verified_height.cast_signed());
        set("polls_failed", stats.polls_failed.cast_signed());
        set("polls_successful", stats.polls_successful.cast_signed());
        for (name, Observations { count, sum }) in [
            ("blks_accepted", stats.accepted),
            ("blks_rejected", stats.rejected),
            ("blks_polls_accepted", stats.polls_accepted),
            ("blks_polls_rejected", stats.polls_rejected),
        ] {
            set(&format!("{name}_count"), count.cast_signed());
            set(&format!("{name}_sum"), sum);
        }
        Value::Object(metrics)
    }

    /// The state is written when it changed.
    fn check_state(&mut self, step: &mut Fields) {
        let (last_accepted, height) = self.consensus.last_accepted();
        let state = [
            self.index(self.consensus.preference()) as u64,
            self.index(last_accepted) as u64,
            height,
            self.consensus.num_processing() as u64,
        ];
        let changed = state != self.state;
        assert_eq!(changed.then_some(state), step.maybe::<[u64; 4]>("st"), "{}", step.name);
        self.state = state;
    }
}

/// A duration as Go writes it.
fn go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let fraction = |whole: u64, rest: u64, digits: usize| {
        let rest = format!("{rest:0digits$}");
        let rest = rest.trim_end_matches('0');
        if rest.is_empty() { whole.to_string() } else { format!("{whole}.{rest}") }
    };
    let text = match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(nanos / 1_000, nanos % 1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{}ms", fraction(nanos / 1_000_000, nanos % 1_000_000, 6))
        }
        _ => {
            let seconds = nanos / 1_000_000_000;
            let last = fraction(seconds % 60, nanos % 1_000_000_000, 9);
            let minutes = seconds / 60;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{last}s"),
                (0, minutes) => format!("{minutes}m{last}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{last}s"),
            }
        }
    };
    format!("{sign}{text}")
}
