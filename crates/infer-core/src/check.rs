//! Review of many objects at once, as `check` and `diff` do it from files or from a cluster.

use crate::engine::Engine;
use crate::kind::{Kind, KindSet, pod_kind_of, stored_kind_of};
use crate::review::{self, Fixing};
use crate::rule::{Check, Finding};
use crate::rules;
use crate::snapshot::{Reader, Snapshot};
use crate::written::Origin;
use serde_json::Value;
use std::sync::Arc;

/// What a check of many objects found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Findings, in the order of the objects.
    pub findings: Vec<Found>,
    /// What could not be looked at, and why.
    pub skipped: Vec<Unseen>,
    /// How many of the objects are inference workloads, routes or Services to them.
    pub subjects: usize,
}

/// A finding, with its object.
#[derive(Debug)]
pub struct Found {
    /// Index of the object among those given.
    pub object: usize,
    /// The finding.
    pub finding: Finding,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Index of the object.
    pub object: usize,
    /// The rules that said nothing; empty where the whole object was not read.
    pub rules: Vec<&'static str>,
    /// Why.
    pub reason: String,
}

/// A snapshot of the objects themselves: a kind of which none is given is not known.
pub fn snapshot_of(objects: &[Arc<Value>]) -> Snapshot {
    let known = objects.iter().filter_map(|object| stored_kind_of(object));
    let mut snapshot = Snapshot::new(known.fold(KindSet::NONE, KindSet::with));
    for object in objects {
        snapshot.insert(Arc::clone(object));
    }
    snapshot
}

/// Checks objects against each other, as a person wrote them.
pub fn check(engine: &Engine, objects: &[Arc<Value>]) -> Checked {
    let snapshot = snapshot_of(objects);
    let reader = Reader::new(&snapshot);
    let mut checked = Checked::default();
    for (index, object) in objects.iter().enumerate() {
        if !is_read(object) {
            let kind = object
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or("an object without kind");
            checked.skipped.push(Unseen {
                object: index,
                rules: Vec::new(),
                reason: format!("{kind} is not read by any rule yet"),
            });
            continue;
        }
        let reviewed = review::review(engine, &reader, object, Origin::Manifest, &[]);
        checked.subjects += usize::from(reviewed.is_subject);
        if let Some(reason) = reviewed.no_controller {
            let of_http_route = stored_kind_of(object) == Some(Kind::HttpRoute);
            let asks = rules::ALL.iter().filter(|rule| {
                rule.checks.iter().any(|it| match it {
                    Check::Controller(_) => !of_http_route,
                    Check::HttpRouteController(_) => of_http_route,
                    _ => false,
                })
            });
            let rules = asks.map(|rule| rule.id).collect();
            checked.skipped.push(Unseen {
                object: index,
                rules,
                reason,
            });
        }
        let findings = reviewed.findings.into_iter().map(|finding| Found {
            object: index,
            finding,
        });
        checked.findings.extend(findings);
        let leads = stored_kind_of(object).filter(|kind| {
            let routes = [Kind::Ingress, Kind::HttpRoute, Kind::VirtualService];
            routes.contains(kind)
        });
        if let Some(kind) = leads.filter(|_| !reviewed.open.is_empty()) {
            let needs = rules::ALL.iter().filter(|rule| {
                rule.needs.contains(&Kind::Service)
                    && rule.checks.iter().any(|it| looks_at(it, kind))
            });
            let services = reviewed.open.join(", ");
            checked.skipped.push(Unseen {
                object: index,
                rules: needs.map(|rule| rule.id).collect(),
                reason: format!("needs the Service `{services}` and its workload, not given"),
            });
        }
    }
    checked
}

/// Whether a check looks at routes of this kind.
fn looks_at(check: &Check, kind: Kind) -> bool {
    match check {
        Check::Route(_) | Check::Controller(_) | Check::Object(_) => kind == Kind::Ingress,
        Check::HttpRoute(_) | Check::HttpRouteController(_) => kind == Kind::HttpRoute,
        Check::VirtualService(_) => kind == Kind::VirtualService,
        Check::DestinationRule(_) => kind == Kind::DestinationRule,
        Check::Workload(_) | Check::Service(_) | Check::Namespace(_) => false,
    }
}

/// Whether any rule reads this kind, as a subject or beside one.
fn is_read(object: &Value) -> bool {
    // Kinds that carry nothing a rule could miss.
    const SILENT: [&str; 6] = [
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "PersistentVolumeClaim",
        "InferencePolicy",
        "Kustomization",
    ];
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    stored_kind_of(object).is_some() || SILENT.contains(&kind)
}

/// What admission would change in one of these objects.
#[derive(Debug)]
pub struct Changed {
    /// Index of the object.
    pub object: usize,
    /// The object as it would be stored, but for the API's own defaults and our record.
    pub after: Value,
    /// Each change with its rule and reason.
    pub changes: Vec<Fixing>,
}

/// What admission would change, object by object; those that stay as they are are left out.
pub fn diff(engine: &Engine, objects: &[Arc<Value>]) -> Vec<Changed> {
    let snapshot = snapshot_of(objects);
    let reader = Reader::new(&snapshot);
    let mut all = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        if pod_kind_of(object).is_none() && stored_kind_of(object) != Some(Kind::Ingress) {
            continue;
        }
        let reviewed = review::review(engine, &reader, object, Origin::Manifest, &[]);
        let changes = review::changes(engine, object, &reviewed.findings, &[]);
        if changes.is_empty() {
            continue;
        }
        let mut after = object.as_ref().clone();
        review::apply(&mut after, &changes);
        all.push(Changed {
            object: index,
            after,
            changes,
        });
    }
    all
}
