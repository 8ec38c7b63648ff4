use crate::kind::Kind;
use crate::lens::ServiceView;
use crate::object::ObjectRef;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "service-selects-nothing",
    summary: "the Service selects no pods",
    page: include_str!("service_selects_nothing.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[Kind::Workload],
    needs: &[Kind::Workload],
    check: Check::Service(check),
};

fn check(_: &World<'_>, service: &ServiceView<'_>, findings: &mut Findings) {
    for edge in service.edges.iter().filter(|edge| edge.assumed) {
        let workload = ObjectRef::of(edge.workload);
        findings
            .add(
                "/spec/selector",
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
