use crate::kind::{Kind, pod_kind_of};
use crate::object::{self, ObjectRef};
use crate::pointer::Walk;
use crate::route::{DestinationRule, READ_FOR_DESTINATION_RULE};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "subset-selects-nothing",
    summary: "no pod carries the labels of a subset",
    page: include_str!("subset_selects_nothing.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: READ_FOR_DESTINATION_RULE,
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::DestinationRule(check)],
};

/// Beginnings of labels that the mesh adds to a pod's own: the page has the source.
const ADDED: [&str; 2] = ["topology.", "kubernetes.io/hostname"];

fn check(world: &World<'_>, rule: &DestinationRule<'_>, findings: &mut Findings) {
    let Some(service) = rule.service else {
        return;
    };
    let Some(selector) = service.at("/spec/selector") else {
        return;
    };
    let namespace = object::namespace(service);
    let workloads: Vec<&Value> = world.reader.selected(namespace, selector).collect();
    let Some(first) = workloads.first() else {
        return;
    };
    for subset in &rule.subsets {
        let Some(labels) = subset.labels.as_object() else {
            continue;
        };
        let is_added = |key: &String| ADDED.iter().any(|start| key.starts_with(start));
        let selects = |workload: &&Value| object::selects(subset.labels, labels_of(workload));
        if labels.is_empty() || labels.keys().any(is_added) || workloads.iter().any(selects) {
            continue;
        }
        let pairs = labels.iter().filter_map(|(key, value)| {
            let value = value.as_str()?;
            Some(format!("`{key}: {value}`"))
        });
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        let kind = pod_kind_of(first).map_or("", |kind| kind.template);
        let workload = ObjectRef::of(first);
        findings
            .add(
                format!("{}/labels", subset.path),
                format!(
                    "no pod of `{}` carries the labels of subset `{}`: what is sent there gets 503",
                    rule.host, subset.name
                ),
            )
            .mark(
                Some(workload.clone()),
                format!("{kind}/metadata/labels"),
                format!("{workload} has other labels"),
            )
            .help(format!(
                "give the pod template of this version {pairs}, or the subset the labels that it has"
            ));
    }
}

fn labels_of(workload: &Value) -> Option<&Value> {
    let template = workload.at(pod_kind_of(workload)?.template)?;
    template.at("/metadata/labels")
}
