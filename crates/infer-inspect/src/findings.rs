//! What the rules find about the objects of the ways, and about those beside them.

use crate::facts::Source;
use crate::report::{Found, Reference, Report};
use crate::view::Scene;
use infer_core::kind::Kind;
use infer_core::object;
use infer_core::review;
use infer_core::written::{Origin, Sent};
use serde_json::Value;
use std::cmp::Reverse;

/// Findings, worst first; of equals those on a way come first.
pub(crate) fn findings(scene: &Scene<'_>, report: &Report) -> Vec<Found> {
    let on_path = report.on_path();
    let beside: Vec<&Reference> = report.not_on_path.iter().map(|it| &it.object).collect();
    let mut found = Vec::new();
    let reader = scene.world.reader;
    for object in Kind::ALL.into_iter().flat_map(|kind| reader.all(kind)) {
        let reference = Reference::of(object);
        let is_on_path = on_path.contains(&&reference) || is_home(object, &on_path);
        if !is_on_path && !beside.contains(&&reference) {
            continue;
        }
        let sent = Sent::new(object);
        let origin = match scene.facts.source {
            Source::Files => Origin::Manifest,
            Source::Cluster => Origin::ApiServer(&sent),
        };
        let reviewed = review::review(scene.engine, reader, object, origin, &[]);
        for finding in reviewed.findings {
            found.push(Found {
                rule: finding.rule.id,
                level: finding.rule.level,
                message: finding.message,
                object: reference.clone(),
                path: finding.path,
                on_path: is_on_path,
                notes: finding.notes,
                help: finding.help,
            });
        }
    }
    found.sort_by_key(|it| (Reverse(it.level), !it.on_path, it.rule));
    found
}

/// Whether it is the Namespace of something on the way.
fn is_home(object: &Value, on_path: &[&Reference]) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Namespace")
        && on_path
            .iter()
            .any(|it| it.namespace == object::name(object))
}
