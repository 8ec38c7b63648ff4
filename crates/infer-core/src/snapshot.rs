//! What rules may see beside the object under review: objects of the kinds in [`Kind`], trimmed to
//! what rules read.
//!
//! The same shape is filled from files, from one list or from watches. Which kinds are *known* is
//! part of it: no Node in the snapshot means something else where Nodes were never read.

use crate::kind::{Kind, KindSet, POD_KINDS, pod_kind_of, stored_kind_of};
use crate::object;
use crate::pointer::Walk;
use crate::record;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The objects that rules may see.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    known: KindSet,
    /// By kind and namespace.
    spaces: BTreeMap<Kind, BTreeMap<String, Space>>,
    /// Digest and revision object's key, by the owner's uid.
    revisions: BTreeMap<String, BTreeMap<String, String>>,
}

/// Objects of one kind in one namespace.
#[derive(Clone, Debug, Default)]
struct Space {
    /// By `Kind/name`: workloads are of several kinds.
    objects: BTreeMap<String, Arc<Value>>,
    /// Keys of workloads by each label of their pod template, so that a selector need not look at
    /// every workload.
    by_label: HashMap<String, BTreeSet<String>>,
}

impl Space {
    fn insert(&mut self, object: Arc<Value>) {
        let key = key(&object);
        self.remove(&key);
        for label in template_labels(&object) {
            self.by_label.entry(label).or_default().insert(key.clone());
        }
        self.objects.insert(key, object);
    }

    fn remove(&mut self, key: &str) {
        let Some(object) = self.objects.remove(key) else {
            return;
        };
        for label in template_labels(&object) {
            if let Some(keys) = self.by_label.get_mut(&label) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_label.remove(&label);
                }
            }
        }
    }
}

/// The labels of a workload's pod template, each as the index holds it.
fn template_labels(object: &Value) -> Vec<String> {
    let template = pod_kind_of(object).and_then(|kind| object.at(kind.template));
    let labels = template.and_then(|template| template.at("/metadata/labels"));
    labels
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(label_key(key, value.as_str()?)))
        .collect()
}

/// No label's key or value has an equals sign (kubernetes/kubernetes
/// staging/src/k8s.io/apimachinery/pkg/util/validation).
fn label_key(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

impl Snapshot {
    /// An empty snapshot in which the kinds of `known` were looked for.
    pub fn new(known: KindSet) -> Snapshot {
        Snapshot {
            known,
            ..Snapshot::default()
        }
    }

    /// The kinds that were looked for.
    pub fn known(&self) -> KindSet {
        self.known
    }

    /// Says that objects of this kind were looked for (a watch has synced, a file holds some).
    pub fn set_known(&mut self, kind: Kind) {
        self.known = self.known.with(kind);
    }

    /// Adds or replaces an object. An object of a kind that no rule reads is ignored.
    pub fn insert(&mut self, object: Arc<Value>) {
        if let Some(kind) = stored_kind_of(&object) {
            let namespace = object::namespace(&object).to_owned();
            let spaces = self.spaces.entry(kind).or_default();
            spaces.entry(namespace).or_default().insert(object);
        }
    }

    /// Takes an object out.
    pub fn remove(&mut self, object: &Value) {
        let Some(kind) = stored_kind_of(object) else {
            return;
        };
        let Some(spaces) = self.spaces.get_mut(&kind) else {
            return;
        };
        let namespace = object::namespace(object);
        if let Some(space) = spaces.get_mut(namespace) {
            space.remove(&key(object));
            if space.objects.is_empty() {
                spaces.remove(namespace);
            }
        }
    }

    /// Keeps the digest of a revision's template under its owner's uid.
    pub fn insert_revision(&mut self, owner_uid: &str, revision: &str, digest: String) {
        self.revisions
            .entry(owner_uid.to_owned())
            .or_default()
            .insert(revision.to_owned(), digest);
    }

    /// Takes a revision out.
    pub fn remove_revision(&mut self, owner_uid: &str, revision: &str) {
        if let Some(revisions) = self.revisions.get_mut(owner_uid) {
            revisions.remove(revision);
            if revisions.is_empty() {
                self.revisions.remove(owner_uid);
            }
        }
    }

    /// How many objects of a kind are kept.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Revision => self.revisions.values().map(BTreeMap::len).sum(),
            _ => self.spaces.get(&kind).map_or(0, |spaces| {
                spaces.values().map(|space| space.objects.len()).sum()
            }),
        }
    }
}

fn key(object: &Value) -> String {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    format!("{kind}/{}", object::name(object))
}

/// A revision (ReplicaSet or ControllerRevision) as the snapshot keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// uid of the workload that owns it.
    pub owner_uid: String,
    /// What names it among its owner's revisions.
    pub name: String,
    /// Digest of the pod template that it holds.
    pub digest: String,
}

/// Reads a ReplicaSet or ControllerRevision; `None` without an owner or a template.
///
/// The template of a ReplicaSet carries the label `pod-template-hash`, that of a ControllerRevision
/// the member `$patch` (kubernetes/kubernetes pkg/controller/deployment/util,
/// pkg/controller/statefulset/stateful_set_utils.go `getPatch`); both are left out.
pub fn revision(object: &Value) -> Option<Revision> {
    let owners = object.at("/metadata/ownerReferences")?.as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let template = object
        .at("/data/spec/template")
        .or_else(|| object.at("/spec/template"))?;
    let mut template = template.clone();
    template.as_object_mut()?.remove("$patch");
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove("pod-template-hash");
    }
    Some(Revision {
        owner_uid: owner.get("uid")?.as_str()?.to_owned(),
        name: key(object),
        digest: record::digest(&template),
    })
}

/// Trims an object to what rules read, and drops what grows (status, managed fields, big
/// annotations). Review of the trimmed object and of the whole one see the same route.
pub fn trim(object: &Value) -> Value {
    let Some(kind) = stored_kind_of(object) else {
        return Value::Null;
    };
    let mut kept = Map::new();
    for member in ["apiVersion", "kind"] {
        copy(object, &mut kept, member);
    }
    let mut metadata = Map::new();
    if let Some(from) = object.get("metadata") {
        for member in ["name", "namespace", "uid", "labels"] {
            copy(from, &mut metadata, member);
        }
        let annotations: Map<String, Value> = object::annotations(object)
            .filter(|(key, _)| *key != record::LAST_APPLIED && *key != record::ANNOTATION)
            .filter(|(_, value)| value.len() <= 1024)
            .map(|(key, value)| (key.to_owned(), Value::from(value)))
            .collect();
        if !annotations.is_empty() && kind != Kind::Node {
            metadata.insert("annotations".to_owned(), Value::Object(annotations));
        }
    }
    kept.insert("metadata".to_owned(), Value::Object(metadata));
    match kind {
        Kind::Node => {
            if let Some(allocatable) = object.at("/status/allocatable") {
                kept.insert(
                    "status".to_owned(),
                    serde_json::json!({ "allocatable": allocatable }),
                );
            }
        }
        Kind::Namespace => {}
        _ => copy(object, &mut kept, "spec"),
    }
    Value::Object(kept)
}

fn copy(from: &Value, into: &mut Map<String, Value>, member: &str) {
    if let Some(value) = from.get(member) {
        into.insert(member.to_owned(), value.clone());
    }
}

/// A snapshot under the eyes of one review. It remembers which kinds were asked for, so that a
/// test can hold a rule to what it declares.
#[derive(Debug)]
pub struct Reader<'a> {
    snapshot: &'a Snapshot,
    asked: Cell<KindSet>,
}

impl<'a> Reader<'a> {
    /// Reads `snapshot`.
    pub fn new(snapshot: &'a Snapshot) -> Reader<'a> {
        Reader {
            snapshot,
            asked: Cell::new(KindSet::NONE),
        }
    }

    /// The kinds that were asked for so far.
    pub fn asked(&self) -> KindSet {
        self.asked.get()
    }

    /// Whether objects of this kind were looked for.
    pub fn knows(&self, kind: Kind) -> bool {
        self.ask(kind);
        self.snapshot.known.contains(kind)
    }

    fn ask(&self, kind: Kind) {
        self.asked.set(self.asked.get().with(kind));
    }

    /// The spaces of a kind that may be `namespace`: offline, either side may leave it out.
    fn spaces(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a Space> {
        self.ask(kind);
        let spaces = self.snapshot.spaces.get(&kind);
        let of = |name: &str| spaces.and_then(|spaces| spaces.get(name));
        let exact = of(namespace);
        let unnamed = if namespace.is_empty() { None } else { of("") };
        let others = spaces
            .filter(|_| namespace.is_empty())
            .into_iter()
            .flatten();
        let others = others
            .filter(|(name, _)| !name.is_empty())
            .map(|(_, space)| space);
        exact.into_iter().chain(unnamed).chain(others)
    }

    /// Every object of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &'a Value> {
        let spaces = self.spaces(kind, "");
        spaces
            .flat_map(|space| space.objects.values())
            .map(Arc::as_ref)
    }

    /// The Service of this name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&'a Value> {
        let key = format!("Service/{name}");
        self.spaces(Kind::Service, namespace)
            .find_map(|space| space.objects.get(&key))
            .map(Arc::as_ref)
    }

    /// The Namespace of this name.
    pub fn namespace(&self, name: &str) -> Option<&'a Value> {
        let key = format!("Namespace/{name}");
        self.spaces(Kind::Namespace, "")
            .find_map(|space| space.objects.get(&key))
            .map(Arc::as_ref)
    }

    /// The workloads whose pod template carries every label of a selector.
    pub fn selected(
        &self,
        namespace: &str,
        selector: &'a Value,
    ) -> impl Iterator<Item = &'a Value> {
        let first = selector.as_object().and_then(|pairs| pairs.iter().next());
        let label = first.and_then(|(key, value)| Some(label_key(key, value.as_str()?)));
        self.spaces(Kind::Workload, namespace)
            .flat_map(move |space| {
                let keys = label.as_ref().and_then(|label| space.by_label.get(label));
                keys.into_iter()
                    .flatten()
                    .filter_map(|key| space.objects.get(key))
            })
            .map(Arc::as_ref)
            .filter(|workload| {
                let template = pod_kind_of(workload).and_then(|kind| workload.at(kind.template));
                let labels = template.and_then(|template| template.at("/metadata/labels"));
                object::selects(selector, labels)
            })
    }

    /// The workloads of this name, of whatever kind.
    pub fn workloads_named(&self, namespace: &str, name: &str) -> impl Iterator<Item = &'a Value> {
        let keys: Vec<String> = POD_KINDS
            .iter()
            .map(|kind| format!("{}/{name}", kind.kind))
            .collect();
        self.spaces(Kind::Workload, namespace)
            .flat_map(move |space| {
                keys.iter()
                    .filter_map(|key| space.objects.get(key))
                    .collect::<Vec<_>>()
            })
            .map(Arc::as_ref)
    }

    /// Whether a revision that this owner has holds a template of this digest.
    pub fn has_revision(&self, owner_uid: &str, digest: &str) -> bool {
        self.ask(Kind::Revision);
        let revisions = self.snapshot.revisions.get(owner_uid);
        revisions.is_some_and(|revisions| revisions.values().any(|known| known == digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_that_is_left_out_joins() {
        let mut snapshot = Snapshot::new(KindSet::of(&[Kind::Service]));
        let service = |namespace: &str| {
            Arc::new(json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "s", "namespace": namespace}}))
        };
        snapshot.insert(service("a"));
        snapshot.insert(service(""));
        let reader = Reader::new(&snapshot);
        assert_eq!(reader.spaces(Kind::Service, "a").count(), 2);
        assert!(
            reader.service("b", "s").is_some(),
            "the one that names no namespace"
        );
        assert!(reader.service("", "s").is_some());
        assert_eq!(reader.asked(), KindSet::of(&[Kind::Service]));
        snapshot.remove(&service("a"));
        assert_eq!(snapshot.count(Kind::Service), 1);
    }

    #[test]
    fn a_selector_finds_what_it_selects_also_after_a_change() {
        let pod = |labels: Value| {
            Arc::new(json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "namespace": "a", "labels": labels}}))
        };
        let selector = json!({"app": "x", "tier": "y"});
        let mut snapshot = Snapshot::default();
        let found = |snapshot: &Snapshot| Reader::new(snapshot).selected("a", &selector).count();
        snapshot.insert(pod(json!({"app": "x", "tier": "y", "more": "z"})));
        assert_eq!(found(&snapshot), 1);
        snapshot.insert(pod(json!({"app": "x"})));
        assert_eq!(found(&snapshot), 0);
        snapshot.insert(pod(json!({"app": "x", "tier": "y"})));
        snapshot.remove(&pod(json!({})));
        assert_eq!(found(&snapshot), 0);
    }

    #[test]
    fn a_revision_s_digest_is_that_of_the_owner_s_template() {
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}});
        let owned = json!([{"uid": "u", "controller": true}]);
        let set = json!({"kind": "ReplicaSet", "metadata": {"name": "x-1", "ownerReferences": owned},
            "spec": {"template": {"metadata": {"labels": {"app": "x", "pod-template-hash": "1"}},
            "spec": {"containers": []}}}});
        let controller_revision = json!({"kind": "ControllerRevision",
            "metadata": {"name": "x-1", "ownerReferences": owned},
            "data": {"spec": {"template": {"$patch": "replace",
                "metadata": {"creationTimestamp": null, "labels": {"app": "x"}},
                "spec": {"containers": []}}}}});
        for object in [set, controller_revision] {
            assert_eq!(
                revision(&object).unwrap().digest,
                record::digest(&template),
                "{object}"
            );
        }
    }
}
