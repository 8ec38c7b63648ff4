use crate::kind::Kind;
use crate::object::{self, ObjectRef};
use crate::pointer::join;
use crate::route::is_inference;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "injection-without-workload",
    summary: "a sidecar is injected in a namespace where none of the servers is",
    page: include_str!("injection_without_workload.md"),
    level: Level::Note,
    phase: Phase::Findings,
    reads: &[Kind::Namespace, Kind::Workload],
    needs: &[Kind::Workload],
    checks: &[Check::Namespace(check)],
};

fn check(world: &World<'_>, namespace: &Value, findings: &mut Findings) {
    let name = object::name(namespace);
    for sidecar in &world.catalogue.sidecars {
        let declares = sidecar.namespace_declares.iter();
        let Some(mark) = declares
            .filter(|_| sidecar.declared_by_namespace(namespace))
            .find(|mark| mark.on(namespace))
        else {
            continue;
        };
        let mut workloads = world.reader.all(Kind::Workload);
        if workloads.any(|workload| object::namespace(workload) == name) {
            continue;
        }
        // A server that has a sidecar from its own namespace is where it should be.
        let is_outside = |workload: &&Value| {
            let own = object::namespace(workload);
            let enrolled = (!own.is_empty())
                .then(|| world.reader.namespace(own))
                .flatten()
                .is_some_and(|own| sidecar.declared_by_namespace(own));
            is_inference(world, workload) && !enrolled
        };
        let Some(workload) = world.reader.all(Kind::Workload).find(is_outside) else {
            continue;
        };
        let own = object::namespace(workload);
        let workload = ObjectRef::of(workload);
        let finding = findings.add(
            join("/metadata/labels", &mark.key),
            format!(
                "`{}` asks for {}'s sidecar, and no workload in sight is in `{name}`",
                mark.key, sidecar.title
            ),
        );
        if own.is_empty() {
            finding
                .mark(Some(workload.clone()), "/metadata", "it names no namespace")
                .help(format!(
                    "set `namespace: {name}`, or say where they go: `-n {name}`"
                ));
        } else {
            finding
                .mark(
                    Some(workload.clone()),
                    "/metadata/namespace",
                    format!("it is in `{own}`"),
                )
                .help(format!(
                    "move {workload} to `{name}`, or label `{own}` instead"
                ));
        }
    }
}
