//! Upstream's count of the beacons' answers, worked out from the trace alone: it also counts blocks
//! nobody was asked about.

use std::collections::{BTreeMap, BTreeSet};

use sastrugi_conformance::Fields;
use serde_json::Value;

pub(crate) struct UpstreamMajority {
    weights: Vec<u64>,
    poll: Option<Poll>,
}

struct Poll {
    request: u64,
    outstanding: BTreeSet<u64>,
    asked: Vec<Value>,
    /// The weight behind each block, by its text.
    received: BTreeMap<String, (Value, u64)>,
}

impl UpstreamMajority {
    pub(crate) fn new(weights: Vec<u64>) -> Self {
        Self { weights, poll: None }
    }

    /// Takes an op. The blocks nobody was asked about, when it is the one that gives upstream a
    /// majority for them.
    pub(crate) fn hear(&mut self, kind: &str, op: &Fields, events: &[Value]) -> Option<Vec<Value>> {
        let foreign = match kind {
            "accepted" | "getAcceptedFailed" => self.answer(&mut op.clone()),
            "restart" => {
                self.poll = None;
                None
            }
            _ => None,
        };
        for event in events {
            if event[0] == "getAcceptedFrontier" {
                self.poll = None;
            } else if event[0] == "getAccepted" {
                let nodes = event[1].as_array().unwrap().iter();
                self.poll = Some(Poll {
                    request: event[2].as_u64().unwrap(),
                    outstanding: nodes.map(|node| node.as_u64().unwrap()).collect(),
                    asked: event[3].as_array().unwrap().clone(),
                    received: BTreeMap::new(),
                });
            }
        }
        foreign
    }

    fn answer(&mut self, op: &mut Fields) -> Option<Vec<Value>> {
        let poll = self.poll.as_mut()?;
        let (node, request): (u64, u64) = (op.take("n"), op.take("r"));
        if request != poll.request || !poll.outstanding.remove(&node) {
            return None;
        }
        for id in op.or_default::<Vec<Value>>("ids") {
            let (_, weight) = poll.received.entry(id.to_string()).or_insert((id, 0));
            *weight += self.weights[node as usize];
        }
        if !poll.outstanding.is_empty() {
            return None;
        }
        let required = self.weights.iter().sum::<u64>() / 2 + 1;
        let accepted = poll.received.values().filter(|(_, weight)| *weight >= required);
        let foreign = accepted.filter(|(id, _)| !poll.asked.contains(id));
        let foreign: Vec<_> = foreign.map(|(id, _)| id.clone()).collect();
        (!foreign.is_empty()).then_some(foreign)
    }
}
