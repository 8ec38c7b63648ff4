//! Keeps the snapshot equal to one watched resource.

use crate::resource::Resource;
use crate::store::{State, Store};
use infer_core::kind::Kind;
use infer_core::snapshot::{self, Reader, Revision};
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Namespace and name.
type Key = (String, String);
/// uid of the owner, and the revision's name.
type RevisionKey = (String, String);

/// The part of the snapshot that one watch keeps.
#[derive(Debug)]
pub(crate) struct Mirror {
    store: Store,
    resource: &'static Resource,
    /// During a list: what it held so far.
    listed: Option<Listed>,
    /// The revisions that this watch put into the snapshot, which cannot be asked for them.
    revisions: HashSet<RevisionKey>,
}

#[derive(Debug, Default)]
struct Listed {
    objects: HashSet<Key>,
    revisions: HashSet<RevisionKey>,
}

impl Mirror {
    pub(crate) fn new(store: Store, resource: &'static Resource) -> Mirror {
        Mirror {
            store,
            resource,
            listed: None,
            revisions: HashSet::new(),
        }
    }

    /// Follows one event.
    pub(crate) fn apply(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => self.listed = Some(Listed::default()),
            Event::InitApply(object) | Event::Apply(object) => self.insert(object),
            Event::Delete(object) => self.remove(object),
            Event::InitDone => self.listed(),
        }
    }

    fn insert(&mut self, object: DynamicObject) {
        let object = self.value_of(object);
        if let Some(revision) = self.revision_of(&object) {
            let Revision {
                owner_uid,
                name,
                digest,
            } = revision;
            let key = (owner_uid, name);
            if let Some(listed) = &mut self.listed {
                listed.revisions.insert(key.clone());
            }
            self.store.update(|snapshot| {
                // It may have been without an owner a moment ago.
                snapshot.remove(&object);
                snapshot.insert_revision(&key.0, &key.1, digest);
            });
            self.revisions.insert(key);
            return;
        }
        let trimmed = snapshot::trim(&object);
        // A ControllerRevision without an owner is nothing that a rule reads.
        if trimmed.is_null() {
            return;
        }
        if let Some(listed) = &mut self.listed {
            listed.objects.insert(key_of(&trimmed));
        }
        self.store
            .update(|snapshot| snapshot.insert(Arc::new(trimmed)));
    }

    fn remove(&mut self, object: DynamicObject) {
        let object = self.value_of(object);
        let revision = self.revision_of(&object);
        self.store.update(|snapshot| {
            snapshot.remove(&object);
            if let Some(revision) = &revision {
                snapshot.remove_revision(&revision.owner_uid, &revision.name);
            }
        });
        if let Some(revision) = revision {
            self.revisions.remove(&(revision.owner_uid, revision.name));
        }
    }

    /// The list is complete: what it did not hold is gone, and the kinds may be known.
    fn listed(&mut self) {
        let Some(listed) = self.listed.take() else {
            return;
        };
        let api_version = self.resource.api_version();
        let gone: Vec<RevisionKey> = self
            .revisions
            .difference(&listed.revisions)
            .cloned()
            .collect();
        let before = self.store.set_state(self.resource, State::Synced);
        let known: Vec<Kind> = self
            .resource
            .serves
            .iter()
            .filter(|kind| self.store.is_synced(*kind))
            .collect();
        let resource = self.resource;
        self.store.update(|snapshot| {
            for (owner, name) in &gone {
                snapshot.remove_revision(owner, name);
            }
            for vanished in vanished(snapshot, resource, &api_version, &listed.objects) {
                snapshot.remove(&vanished);
            }
            for kind in known {
                snapshot.set_known(kind);
            }
        });
        for key in gone {
            self.revisions.remove(&key);
        }
        let objects = listed.objects.len() + listed.revisions.len();
        if before == State::Synced {
            tracing::debug!(resource = %resource.name(), objects, "listed again");
        } else {
            tracing::info!(resource = %resource.name(), objects, "synced");
        }
    }

    fn value_of(&self, object: DynamicObject) -> Value {
        let DynamicObject {
            mut metadata, data, ..
        } = object;
        // The bulk of most objects; nothing in the store reads it.
        metadata.managed_fields = None;
        let mut value = match data {
            Value::Object(_) => data,
            _ => json!({}),
        };
        // Items of a list come without these two.
        value["apiVersion"] = Value::from(self.resource.api_version());
        value["kind"] = Value::from(self.resource.kind);
        value["metadata"] = serde_json::to_value(metadata).unwrap_or_default();
        value
    }

    fn revision_of(&self, object: &Value) -> Option<Revision> {
        self.resource
            .serves
            .contains(Kind::Revision)
            .then(|| snapshot::revision(object))
            .flatten()
    }
}

/// Objects of this resource in the snapshot that a complete list did not hold.
fn vanished(
    snapshot: &snapshot::Snapshot,
    resource: &Resource,
    api_version: &str,
    listed: &HashSet<Key>,
) -> Vec<Value> {
    let reader = Reader::new(snapshot);
    resource
        .serves
        .iter()
        .flat_map(|kind| reader.all(kind))
        .filter(|object| {
            object["kind"] == resource.kind
                && object["apiVersion"] == api_version
                && !listed.contains(&key_of(object))
        })
        .map(|object| {
            json!({
                "apiVersion": object["apiVersion"],
                "kind": object["kind"],
                "metadata": {
                    "namespace": object["metadata"]["namespace"],
                    "name": object["metadata"]["name"],
                },
            })
        })
        .collect()
}

fn key_of(object: &Value) -> Key {
    let member = |name| {
        object["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (member("namespace"), member("name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::RESOURCES;
    use infer_core::kind::KindSet;

    fn store() -> Store {
        Store::with(snapshot::Snapshot::default(), KindSet::of(&Kind::ALL))
    }

    fn mirror(store: &Store, kind: &str) -> Mirror {
        let resource = RESOURCES.iter().find(|it| it.kind == kind).unwrap();
        Mirror::new(store.clone(), resource)
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn named(name: &str) -> DynamicObject {
        object(json!({
            "metadata": {"name": name, "namespace": "ns", "managedFields": [{"manager": "m"}]},
            "spec": {"selector": {"app": name}},
            "status": {"loadBalancer": {}},
        }))
    }

    #[test]
    fn a_list_again_removes_what_vanished_meanwhile() {
        let store = store();
        let mut mirror = mirror(&store, "Service");
        assert!(!store.read().known().contains(Kind::Service));
        for event in [
            Event::Init,
            Event::InitApply(named("a")),
            Event::InitApply(named("b")),
            Event::InitDone,
            Event::Apply(named("c")),
            Event::Delete(named("a")),
        ] {
            mirror.apply(event);
        }
        assert!(store.read().known().contains(Kind::Service));
        assert_eq!(store.read().count(Kind::Service), 2, "b and c");
        // The watch broke; b was deleted unseen.
        for event in [Event::Init, Event::InitApply(named("c")), Event::InitDone] {
            mirror.apply(event);
        }
        let snapshot = store.read();
        let reader = Reader::new(&snapshot);
        assert!(reader.service("ns", "b").is_none());
        let kept = reader.service("ns", "c").unwrap();
        assert_eq!(
            (&kept["kind"], &kept["apiVersion"]),
            (&json!("Service"), &json!("v1"))
        );
        assert!(kept.get("status").is_none() && kept["metadata"].get("managedFields").is_none());
    }

    #[test]
    fn a_list_of_one_resource_leaves_the_others_of_its_kind_alone() {
        let store = store();
        let mut deployments = mirror(&store, "Deployment");
        deployments.apply(Event::Init);
        deployments.apply(Event::InitApply(named("x")));
        deployments.apply(Event::InitDone);
        for kind in ["StatefulSet", "DaemonSet", "ReplicaSet"] {
            assert!(
                !store.read().known().contains(Kind::Workload),
                "before {kind}"
            );
            let mut mirror = mirror(&store, kind);
            mirror.apply(Event::Init);
            mirror.apply(Event::InitDone);
        }
        assert!(store.read().known().contains(Kind::Workload));
        assert!(
            !store.read().known().contains(Kind::Revision),
            "no ControllerRevisions yet"
        );
        assert_eq!(store.read().count(Kind::Workload), 1);
    }

    fn replica_set(name: &str, owner: Option<&str>) -> DynamicObject {
        let owners: Vec<Value> = owner
            .map(|uid| {
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": uid,
                    "controller": true})
            })
            .into_iter()
            .collect();
        object(json!({
            "metadata": {"name": name, "namespace": "ns", "ownerReferences": owners},
            "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {}}},
        }))
    }

    #[test]
    fn an_owned_replica_set_is_a_revision_and_one_without_owner_a_workload() {
        let store = store();
        let mut mirror = mirror(&store, "ReplicaSet");
        let counts = |store: &Store| {
            let snapshot = store.read();
            (
                snapshot.count(Kind::Workload),
                snapshot.count(Kind::Revision),
            )
        };
        mirror.apply(Event::Init);
        mirror.apply(Event::InitApply(replica_set("x-1", Some("u"))));
        mirror.apply(Event::InitApply(replica_set("bare", None)));
        mirror.apply(Event::InitDone);
        assert_eq!(counts(&store), (1, 1));
        mirror.apply(Event::Apply(replica_set("bare", Some("u"))));
        assert_eq!(counts(&store), (0, 2), "adopted");
        mirror.apply(Event::Delete(replica_set("x-1", Some("u"))));
        assert_eq!(counts(&store), (0, 1));
        mirror.apply(Event::Init);
        mirror.apply(Event::InitDone);
        assert_eq!(counts(&store), (0, 0), "gone while nobody watched");
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_change() {
        let store = store();
        let mut changes = store.changes();
        mirror(&store, "Service").apply(Event::Apply(named("a")));
        tokio::time::timeout(std::time::Duration::from_secs(1), changes.next())
            .await
            .unwrap();
    }
}
