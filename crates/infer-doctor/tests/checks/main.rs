//! Each check with its cause, and with a control without it.

mod classes;
mod gaps;
mod gpus;
mod mesh;
mod webhook;

use infer_core::catalogue::Catalogue;
use infer_doctor::{Check, Checkup, Facts, Status, checkup};
use serde_json::{Value, json};

/// 2026-11-25, in seconds since 1970.
const NOW: i64 = 1_795_564_800;

fn of(objects: &[Value]) -> Checkup {
    of_facts(&Facts::of_objects(objects, NOW))
}

fn of_facts(facts: &Facts) -> Checkup {
    checkup(&Catalogue::builtin(), facts)
}

/// The checks of this name.
fn all(checkup: &Checkup, id: &str) -> Vec<Check> {
    checkup.checks().filter(|it| it.id == id).cloned().collect()
}

/// The one check of this name.
fn one(checkup: &Checkup, id: &str) -> Check {
    let mut found = all(checkup, id);
    assert_eq!(found.len(), 1, "{id}: {found:#?}");
    found.remove(0)
}

/// Its status, message and details in one text.
fn text(check: &Check) -> String {
    format!(
        "{}: {}\n{}",
        check.status.word(),
        check.message,
        check.details.join("\n")
    )
}

#[track_caller]
fn says(check: &Check, status: Status, words: &str) {
    assert!(
        check.status == status && text(check).contains(words),
        "{check:#?}"
    );
}

fn workload(namespace: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
        "status": {"readyReplicas": 1},
    })
}

fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn definition(group: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "names": {"plural": plural}, "versions": [{"name": "v1"}]},
    })
}
