//! Replays the traces of the getter, on a scripted VM.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trace that is not as expected must fail the test"
)]

mod chain;

use std::time::Duration;

use chain::{Op, Stage, node};
use sastrugi_conformance::{exceptions, traces};
use sastrugi_engine::{
    common::{
        GetAcceptedFrontierHandler, GetAcceptedHandler, GetAcceptedStateSummaryHandler,
        GetAncestorsHandler, GetHandler, GetStateSummaryFrontierHandler, Handled,
    },
    getter::{Getter, GetterConfig},
};
use sastrugi_types::RequestId;

fn apply(getter: &mut Getter, stage: &mut Stage, op: &mut Op) -> Handled {
    let Stage { around, table, .. } = stage;
    let Op { kind, fields, .. } = op;
    let from = node(fields.take("n"));
    let request = RequestId(fields.take("r"));
    let cx = &mut around.cx();
    match kind.as_str() {
        "get" => getter.get(cx, from, request, table.id(&fields.take("b"))),
        "getAncestors" => getter.get_ancestors(cx, from, request, table.id(&fields.take("b"))),
        "getAccepted" => {
            let ids: Vec<_> = fields.or_default("ids");
            getter.get_accepted(cx, from, request, table.ids(&ids))
        }
        "getAcceptedFrontier" => getter.get_accepted_frontier(cx, from, request),
        "getStateSummaryFrontier" => getter.get_state_summary_frontier(cx, from, request),
        "getAcceptedStateSummary" => {
            getter.get_accepted_state_summary(cx, from, request, fields.or_default("heights"))
        }
        other => panic!("unknown op {other}"),
    }
}

#[test]
fn getter() {
    let exceptions = exceptions();
    for mut trace in traces("getter") {
        assert!(!exceptions.contains_key(&*trace.name), "{} has no exception", trace.name);
        let mut stage = Stage::new(&mut trace);
        let config = GetterConfig {
            ancestors_max: trace.take("maxContainersGetAncestors"),
            ancestors_time_max: Duration::from_nanos(trace.take("maxTimeGetAncestors")),
        };
        let mut getter = Getter::new(stage.vm.clone(), stage.clock.clone(), config);
        for (number, fields) in trace.list("ops").into_iter().enumerate() {
            let mut op = stage.begin(number, fields);
            let result = apply(&mut getter, &mut stage, &mut op);
            stage.end(&mut op, result);
            op.fields.finish();
        }
        trace.finish();
    }
}
