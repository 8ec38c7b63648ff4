use crate::kind::Kind;
use crate::lens::ServiceView;
use crate::object::ObjectRef;
use crate::pointer::Walk;
use crate::pointer::join;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "service-selects-nothing",
    summary: "the Service selects no pods",
    page: include_str!("service_selects_nothing.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[Kind::Workload],
    needs: &[Kind::Workload],
    checks: &[Check::Service(check)],
};

fn check(_: &World<'_>, service: &ServiceView<'_>, findings: &mut Findings) {
    for edge in service.edges.iter().filter(|edge| edge.assumed) {
        let workload = ObjectRef::of(edge.workload);
        let selector = service
            .object
            .at("/spec/selector")
            .and_then(Value::as_object);
        let carries = |(_, value): &(&String, &Value)| value.as_str() == Some(&workload.name);
        let pair = selector.into_iter().flatten().find(carries);
        findings
            .add(
                pair.map_or("/spec/selector".to_owned(), |(key, _)| {
                    join("/spec/selector", key)
                }),
                "the Service selects no pods: no pod template carries these labels",
            )
            .mark(
                Some(workload.clone()),
                "/spec/template",
                format!("{workload}: its template has no labels"),
            )
            .note(format!(
                "assumed to be meant for {workload}, whose name the selector carries"
            ))
            .help(format!(
                "give the template of {workload} the labels of this selector"
            ));
    }
}
