use crate::catalogue::Conflict;
use crate::lens::Workload;
use crate::object;
use crate::pointer::join;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "injection-conflict",
    summary: "labels ask for two kinds of sidecar at once",
    page: include_str!("injection_conflict.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Namespace(namespace), Check::Workload(workload)],
};

fn namespace(world: &World<'_>, object: &Value, findings: &mut Findings) {
    for sidecar in &world.catalogue.sidecars {
        say(&sidecar.namespace_conflicts, object, "", findings);
    }
}

fn workload(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    for sidecar in &world.catalogue.sidecars {
        let path = workload.kind.template;
        say(&sidecar.pod_conflicts, workload.template, path, findings);
    }
}

/// Speaks about the first of these conflicts that is there.
fn say(conflicts: &[Conflict], object: &Value, path: &str, findings: &mut Findings) {
    let Some(conflict) = conflicts.iter().find(|conflict| conflict.on(object)) else {
        return;
    };
    let place = |key: &str| {
        let members = ["labels", "annotations"];
        let has = |member: &&&str| match **member {
            "labels" => object::label(object, key).is_some(),
            _ => object::annotation(object, key).is_some(),
        };
        let member = members.iter().find(has).copied().unwrap_or("labels");
        join(&format!("{path}/metadata/{member}"), key)
    };
    let keys: Vec<String> = conflict
        .marks
        .iter()
        .map(|it| format!("`{}`", it.key))
        .collect();
    let Some((first, rest)) = conflict.marks.split_first() else {
        return;
    };
    let finding = findings.add(
        place(&first.key),
        format!("{} contradict each other", keys.join(" and ")),
    );
    for mark in rest {
        finding.mark(None, place(&mark.key), "beside this one");
    }
    finding
        .note(conflict.effect.clone())
        .help(format!("keep one of {}", keys.join(" and ")));
}
