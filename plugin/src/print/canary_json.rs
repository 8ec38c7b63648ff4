//! A canary as programs read it: one document on each run, whatever happened.

use super::json;
use crate::problem::Problem;
use infer_canary::journal::{Event, Journal};
use infer_canary::machine::State;
use infer_canary::shift::{Named, Via};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

const KIND: &str = "CanaryReport";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    run: Option<&'a str>,
    namespace: Option<&'a str>,
    workload: Option<&'a str>,
    via: Option<Via>,
    route: Option<&'a Named>,
    /// Where the run stands; `at` names it.
    state: Option<&'a State>,
    /// Percent of the requests.
    weight: Option<u8>,
    steps: &'a [u8],
    gate: Option<&'a Value>,
    failures: BTreeMap<&'a str, u64>,
    /// Times are milliseconds since the epoch.
    events: &'a [Event],
}

/// The document of a run; none is known where it could not be begun.
pub(crate) fn render(journal: Option<&Journal>, problems: &[Problem]) -> String {
    let shift = journal.map(|it| &it.shift);
    let body = Body {
        run: shift.map(|it| it.run.as_str()),
        namespace: shift.map(|it| it.namespace.as_str()),
        workload: shift.map(|it| it.stable.workload.as_str()),
        via: shift.map(|it| it.via),
        route: shift.map(|it| &it.entry),
        state: journal.map(|it| &it.state),
        weight: journal.map(Journal::weight),
        steps: journal.map_or(&[], |it| &it.plan.steps),
        gate: journal.and_then(|it| it.gate.as_ref()),
        failures: journal
            .iter()
            .flat_map(|it| &it.failures)
            .map(|(cause, count)| (cause.as_str(), *count))
            .collect(),
        events: journal.map_or(&[], |it| &it.events),
    };
    json::render(KIND, body, problems)
}

/// The document of a run that could not be begun.
pub(crate) fn empty(problems: &[Problem]) -> String {
    render(None, problems)
}
