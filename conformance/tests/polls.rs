//! Replays the traces of the poll set.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::snowman::{ParentView, poll::Set};
use sastrugi_types::{Bag, Id, Instant, NodeId, RequestId};
use serde_json::{Value, json};

/// A block tree that the trace changes.
struct Blocks {
    ids: Vec<Id>,
    parents: Vec<i64>,
    version: u64,
}

impl ParentView for Blocks {
    fn parent_of(&self, block: &Id) -> Option<Id> {
        let number = self.ids.iter().position(|id| id == block)?;
        let parent = usize::try_from(self.parents[number]).ok()?;
        Some(self.ids[parent])
    }

    fn version(&self) -> u64 {
        self.version
    }
}

struct Replay {
    blocks: Blocks,
    set: Set,
    reasons: Value,
}

#[test]
fn polls() {
    let exceptions = exceptions();
    for mut trace in traces("polls") {
        assert!(!exceptions.contains_key(trace.name.as_str()), "{}", trace.name);
        trace.take::<String>("name");
        let set = Set::new(trace.take("alphaPreference"), trace.take("alphaConfidence"), 3);
        let hex: Vec<String> = trace.take("ids");
        let ids = hex.iter().map(|hex| Id(const_hex::decode_to_array(hex).unwrap())).collect();
        let blocks = Blocks { ids, parents: trace.take("parents"), version: 0 };
        let steps = trace.list("ops");
        trace.finish();
        let mut replay = Replay { blocks, set, reasons: json!([0, 0, 0]) };
        for step in steps {
            replay.step(step);
        }
    }
}

fn node(number: u16) -> NodeId {
    let mut id = NodeId::EMPTY;
    id.0[18..].copy_from_slice(&(number + 1).to_be_bytes());
    id
}

/// The text with the lines of each bag sorted.
fn with_sorted_bags(text: &str) -> String {
    const ELEMENT: &str = "            ";
    let lines: Vec<_> = text.lines().collect();
    let runs = lines.chunk_by(|a, b| a.starts_with(ELEMENT) && b.starts_with(ELEMENT));
    let sorted = runs.flat_map(|run| {
        let mut run = run.to_vec();
        run.sort_unstable();
        run
    });
    sorted.collect::<Vec<_>>().join("\n")
}

impl Replay {
    fn step(&mut self, mut step: Fields) {
        let name = step.name.clone();
        let now = Instant(1);
        let mut results = Vec::new();
        let request = RequestId(step.maybe("req").unwrap_or_default());
        match step.take::<String>("op").as_str() {
            "add" => {
                let mut voters = Bag::new();
                for (voter, count) in step.take::<Vec<(u16, usize)>>("vdrs") {
                    voters.add_count(node(voter), count);
                }
                assert_eq!(self.set.add(request, voters, now), step.take::<bool>("ok"), "{name}");
            }
            "vote" => {
                let voter = node(step.take("vdr"));
                let vote = self.blocks.ids[step.take::<usize>("id")];
                results = self.set.vote(request, &voter, vote, &self.blocks, now);
            }
            "drop" => {
                let voter = node(step.take("vdr"));
                results = self.set.drop_vote(request, &voter, &self.blocks, now);
            }
            "parent" => {
                self.blocks.parents[step.take::<usize>("id")] = step.take("p");
                self.blocks.version += 1;
            }
            "string" => {
                let text = with_sorted_bags(&self.set.to_string());
                assert_eq!(text, step.take::<String>("str"), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
        let results: Vec<_> = results.iter().map(|votes| self.bag(votes)).collect();
        assert_eq!(results, step.or_default::<Vec<Vec<(usize, usize)>>>("results"), "{name}");
        assert_eq!(self.set.len(), step.take::<usize>("len"), "{name}");
        self.check_reasons(&mut step);
        step.finish();
    }

    fn bag(&self, votes: &Bag<Id>) -> Vec<(usize, usize)> {
        let index = |id| self.blocks.ids.iter().position(|other| other == id).unwrap();
        let mut bag: Vec<_> = votes.iter().map(|(id, count)| (index(id), count)).collect();
        bag.sort_unstable();
        bag
    }

    /// The ends of polls are written when there is a new one.
    fn check_reasons(&mut self, step: &mut Fields) {
        let stats = self.set.stats();
        let reasons =
            json!([stats.exhausted.count, stats.early_fail.count, stats.early_alpha.count]);
        let expected = (reasons != self.reasons).then(|| reasons.clone());
        assert_eq!(expected, step.maybe::<Value>("reasons"), "{}", step.name);
        self.reasons = reasons;
    }
}
