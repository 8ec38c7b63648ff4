use crate::lens::Workload;
use crate::object;
use crate::pointer::Walk;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::{Map, Value};

pub(super) static RULE: Rule = Rule {
    id: "labels-missing",
    summary: "the pod template lacks the labels that its selector wants",
    page: include_str!("labels_missing.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    if !workload.kind.selector_required {
        return;
    }
    let labels = workload
        .template
        .at("/metadata/labels")
        .and_then(Value::as_object);
    let wanted = workload
        .object
        .at("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let lacks = |(key, value): &(&String, &Value)| labels.and_then(|l| l.get(*key)) != Some(*value);
    let missing: Vec<String> = wanted
        .into_iter()
        .flatten()
        .filter(lacks)
        .map(|(key, value)| format!("`{key}: {}`", value.as_str().unwrap_or_default()))
        .collect();
    let template = workload.kind.template;
    if labels.is_none_or(Map::is_empty) {
        findings
            .add(
                template,
                "the pod template has no labels: no selector and no Service finds its pods",
            )
            .help(format!(
                "add `metadata.labels` to the template: `app: {}`",
                object::name(workload.object)
            ));
    } else if !missing.is_empty() {
        findings
            .add(
                format!("{template}/metadata/labels"),
                format!(
                    "the pod template lacks {}, which its selector wants",
                    missing.join(", ")
                ),
            )
            .help("write the same labels in `spec.selector.matchLabels` and in the template");
    }
}
