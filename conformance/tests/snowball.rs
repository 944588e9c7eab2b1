//! Replays the traces of the snowball family: instances, flat ones and trees.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::fmt::Display;

use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::snowball::{
    Binary, Consensus, Factory, Flat, Nnary, Parameters, TerminationCondition, Thresholds, Tree,
    Unary,
};
use sastrugi_types::{Bag, Id};

/// The header of a trace, apart from its kind and operations.
struct Header {
    factory: Factory,
    k: usize,
    alpha_preference: usize,
    conditions: Vec<[u32; 2]>,
    ids: Vec<Id>,
    first: usize,
}

impl Header {
    fn take(trace: &mut Fields) -> Self {
        let factory = match trace.take::<String>("factory").as_str() {
            "snowflake" => Factory::Snowflake,
            "snowball" => Factory::Snowball,
            other => panic!("{}: factory {other}", trace.name),
        };
        Self {
            factory,
            k: trace.take("k"),
            alpha_preference: trace.take("alphaPreference"),
            conditions: trace.take("conditions"),
            ids: ids(trace),
            first: trace.take("first"),
        }
    }

    fn parameters(&self) -> Parameters {
        let [[alpha_confidence, beta]] = self.conditions[..] else { panic!("one condition") };
        Parameters {
            k: self.k,
            alpha_preference: self.alpha_preference,
            alpha_confidence: alpha_confidence as usize,
            beta: beta as usize,
            ..Parameters::DEFAULT
        }
    }

    fn thresholds<const N: usize>(&self) -> Thresholds<N> {
        let conditions: [[u32; 2]; N] = self.conditions.clone().try_into().unwrap();
        Thresholds {
            alpha_preference: self.alpha_preference as u32,
            conditions: conditions
                .map(|[alpha_confidence, beta]| TerminationCondition { alpha_confidence, beta }),
        }
    }

    fn index(&self, id: Id) -> usize {
        self.ids.iter().position(|other| *other == id).unwrap()
    }
}

fn ids(trace: &mut Fields) -> Vec<Id> {
    let hex: Vec<String> = trace.or_default("ids");
    hex.iter().map(|hex| Id(const_hex::decode_to_array(hex).unwrap())).collect()
}

/// What every look shows: text and finality.
fn check_common(step: &mut Fields, finalized: bool, text: &dyn Display) {
    assert_eq!(finalized, step.take::<bool>("fin"), "{}", step.name);
    if let Some(expected) = step.maybe::<String>("str") {
        assert_eq!(text.to_string(), expected, "{}", step.name);
    }
}

#[test]
fn snowball() {
    let exceptions = exceptions();
    for mut trace in traces("snowball") {
        assert!(!exceptions.contains_key(trace.name.as_str()), "{}", trace.name);
        trace.take::<String>("name");
        let kind: String = trace.take("kind");
        let header = Header::take(&mut trace);
        let mut steps = vec![trace.nested("init")];
        steps.extend(trace.list("ops"));
        trace.finish();
        match kind.as_str() {
            "tree" => {
                let first = header.ids[header.first];
                choose(&header, Tree::new(header.factory, &header.parameters(), first), steps);
            }
            "flat" => {
                let first = header.ids[header.first];
                choose(&header, Flat::new(header.factory, &header.parameters(), first), steps);
            }
            _ => match header.conditions.len() {
                1 => instance::<1>(&kind, &header, steps),
                2 => instance::<2>(&kind, &header, steps),
                3 => instance::<3>(&kind, &header, steps),
                4 => instance::<4>(&kind, &header, steps),
                5 => instance::<5>(&kind, &header, steps),
                other => panic!("{other} conditions"),
            },
        }
    }
}

fn choose<C: Consensus + Display>(header: &Header, mut consensus: C, steps: Vec<Fields>) {
    for mut step in steps {
        let was_finalized = consensus.finalized();
        match step.take::<String>("op").as_str() {
            "" => {}
            "add" => consensus.add(header.ids[step.take::<usize>("id")]),
            "poll" => {
                let mut bag = Bag::new();
                for (choice, count) in step.or_default::<Vec<(usize, usize)>>("votes") {
                    bag.add_count(header.ids[choice], count);
                }
                let successful = consensus.record_poll(&bag);
                let expected: Option<bool> = step.maybe("ok");
                assert_eq!(expected.is_none(), was_finalized, "{}", step.name);
                assert_eq!(expected.unwrap_or(successful), successful, "{}", step.name);
            }
            "fail" => consensus.record_unsuccessful_poll(),
            other => panic!("{}: {other}", step.name),
        }
        let preference = header.index(consensus.preference());
        assert_eq!(preference, step.take::<usize>("pref"), "{}", step.name);
        check_common(&mut step, consensus.finalized(), &consensus);
        step.finish();
    }
}

fn instance<const N: usize>(kind: &str, header: &Header, steps: Vec<Fields>) {
    let thresholds = header.thresholds::<N>();
    let steps = steps.into_iter();
    match kind {
        "unary" => unary(header.factory.unary(), &thresholds, steps),
        "binary" => binary(header.factory.binary(header.first as u8), &thresholds, steps),
        "nnary" => {
            nnary(header.factory.nnary(header.ids[header.first]), header, &thresholds, steps);
        }
        other => panic!("kind {other}"),
    }
}

fn unary<const N: usize>(
    mut instance: Unary<N>,
    thresholds: &Thresholds<N>,
    mut steps: impl Iterator<Item = Fields>,
) {
    while let Some(mut step) = steps.next() {
        match step.take::<String>("op").as_str() {
            "" => {}
            "poll" => instance.record_poll(thresholds, step.take("n")),
            "fail" => instance.record_unsuccessful_poll(),
            "clone" => {
                let mut clone = instance;
                clone.record_poll(thresholds, step.take("n"));
                assert_eq!(instance.to_string(), step.take::<String>("old"), "{}", step.name);
                instance = clone;
            }
            "extend" => {
                let extended = instance.extend(step.take("c"));
                assert_eq!(extended.preference(), step.take::<u8>("pref"), "{}", step.name);
                check_common(&mut step, extended.finalized(), &extended);
                step.finish();
                return binary(extended, thresholds, steps);
            }
            other => panic!("{}: {other}", step.name),
        }
        check_common(&mut step, instance.finalized(), &instance);
        step.finish();
    }
}

fn binary<const N: usize>(
    mut instance: Binary<N>,
    thresholds: &Thresholds<N>,
    steps: impl Iterator<Item = Fields>,
) {
    for mut step in steps {
        match step.take::<String>("op").as_str() {
            "" => {}
            "poll" => instance.record_poll(thresholds, step.take("n"), step.take("c")),
            "fail" => instance.record_unsuccessful_poll(),
            other => panic!("{}: {other}", step.name),
        }
        assert_eq!(instance.preference(), step.take::<u8>("pref"), "{}", step.name);
        check_common(&mut step, instance.finalized(), &instance);
        step.finish();
    }
}

fn nnary<const N: usize>(
    mut instance: Nnary<N>,
    header: &Header,
    thresholds: &Thresholds<N>,
    steps: impl Iterator<Item = Fields>,
) {
    for mut step in steps {
        match step.take::<String>("op").as_str() {
            "" => {}
            "add" => instance.add(header.ids[step.take::<usize>("id")]),
            "poll" => {
                let choice = header.ids[step.take::<usize>("id")];
                instance.record_poll(thresholds, step.take("n"), choice);
            }
            "fail" => instance.record_unsuccessful_poll(),
            other => panic!("{}: {other}", step.name),
        }
        let preference = header.index(instance.preference());
        assert_eq!(preference, step.take::<usize>("pref"), "{}", step.name);
        check_common(&mut step, instance.finalized(), &instance);
        step.finish();
    }
}
