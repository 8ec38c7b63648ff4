use crate::drain_plan;
use crate::kind::Kind;
use crate::lens::Workload;
use crate::object;
use crate::pointer::{self, Walk};
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "sidecar-drains-first",
    summary: "an injected sidecar goes before the server has drained",
    page: include_str!("sidecar_drains_first.md"),
    level: Level::Warning,
    phase: Phase::Drain,
    reads: &[Kind::Namespace],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    let namespace = world.reader.namespace(object::namespace(workload.object));
    for sidecar in &world.catalogue.sidecars {
        if sidecar.declared(workload.template, namespace).is_none() {
            continue;
        }
        let drains = |server| drain_plan::drain_seconds(world.policy, workload, server);
        let Some(wanted) = workload.servers.iter().filter_map(drains).max() else {
            continue;
        };
        // By itself it waits for this long: no fix may shorten that.
        if wanted <= sidecar.default_seconds {
            continue;
        }
        let path = pointer::join(
            &format!("{}/metadata/annotations", workload.kind.template),
            &sidecar.annotation,
        );
        let key = &sidecar.annotation;
        match object::annotation(workload.template, key) {
            Some(own) => {
                if sidecar
                    .waits(own)
                    .is_some_and(|seconds| seconds >= u64::from(wanted))
                {
                    continue;
                }
                findings
                    .add(
                        path,
                        format!(
                            "the {} sidecar goes before the server has drained for {wanted} s",
                            sidecar.title
                        ),
                    )
                    .help(format!("say in `{key}`: `{}`", sidecar.wait(wanted)));
            }
            // What is no string is for the API server to refuse.
            None if workload.object.at(&path).is_some_and(|it| !it.is_null()) => {}
            None => {
                findings
                    .add(
                        format!("{}/metadata", workload.kind.template),
                        format!(
                            "the {} sidecar goes before the server has drained for {wanted} s",
                            sidecar.title
                        ),
                    )
                    .help(format!(
                        "annotate the template: `{key}: '{}'`",
                        sidecar.wait(wanted)
                    ))
                    .change(Change {
                        path,
                        container: None,
                        value: Value::from(sidecar.wait(wanted)),
                        was: None,
                        reason: format!(
                            "the {} sidecar stays for the {wanted} s of the drain",
                            sidecar.title
                        ),
                    });
            }
        }
    }
}
