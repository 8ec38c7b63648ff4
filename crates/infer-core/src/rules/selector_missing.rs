use crate::lens::Workload;
use crate::object;
use crate::pointer::Walk;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::{Map, Value};

pub(super) static RULE: Rule = Rule {
    id: "selector-missing",
    summary: "the workload has no selector, and the API server refuses it",
    page: include_str!("selector_missing.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    let selector = workload
        .object
        .at("/spec/selector")
        .and_then(Value::as_object);
    if workload.kind.selector_required && selector.is_none_or(Map::is_empty) {
        findings
            .add(
                "/spec",
                "no `spec.selector`: the API server refuses the object",
            )
            .help(format!(
                "add `selector.matchLabels` with the template's labels: `app: {}`",
                object::name(workload.object)
            ));
    }
}
