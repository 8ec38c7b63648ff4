//! A drill as programs read it: one document on each run, whatever happened.

use super::json;
use crate::problem::Problem;
use infer_drill::plan::Plan;
use infer_drill::report::{KIND, Report};
use serde::Serialize;

/// The document of a drill that was run, to its end or not.
pub(crate) fn render(report: &Report, problems: &[Problem]) -> String {
    json::render(KIND, report, problems)
}

/// The document of a drill that was only planned.
pub(crate) fn planned(plan: &Plan) -> String {
    json::render(KIND, NotRun::of(Some(plan)), &[])
}

/// The document of a drill that was not run.
pub(crate) fn empty(problems: &[Problem]) -> String {
    json::render(KIND, NotRun::of(None), problems)
}

/// The members of a report that programs look for first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NotRun<'a> {
    plan: Option<&'a Plan>,
    fault: Option<()>,
    lanes: [(); 0],
    events: [(); 0],
    verdict: Option<()>,
    requests: [(); 0],
    done: [(); 0],
}

impl<'a> NotRun<'a> {
    fn of(plan: Option<&'a Plan>) -> NotRun<'a> {
        NotRun {
            plan,
            fault: None,
            lanes: [],
            events: [],
            verdict: None,
            requests: [],
            done: [],
        }
    }
}
