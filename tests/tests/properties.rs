//! What holds for every object, also for those that no person would write: a patch applies to
//! exactly the object that came, a second call changes nothing, and nobody else's values move.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generated;

use generated::{Edit, edit, ingress, route, workload};
use infer_core::Engine;
use infer_core::admission::{Answer, Operation, Request, mutate};
use infer_core::kind::pod_kind_of;
use infer_core::pointer;
use infer_core::record::{ANNOTATION, Carried, Record, relocate};
use infer_core::rules::ALL;
use infer_core::server::servers;
use infer_core::snapshot::Snapshot;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::builtin);

fn ask(snapshot: &Snapshot, object: &Value, old: Option<&Value>) -> Answer {
    let operation = if old.is_some() {
        Operation::Update
    } else {
        Operation::Create
    };
    let request = Request {
        operation,
        namespace: "models",
        object,
        old,
    };
    mutate(&ENGINE, snapshot, &request)
}

/// The object as the API server has it after the answer. `json_patch` is the oracle: it applies the
/// patch or fails.
fn patched(object: &Value, answer: &Answer) -> Value {
    let mut after = object.clone();
    if let Some(patch) = &answer.patch {
        json_patch::patch(&mut after, patch).expect("the patch applies");
    }
    after
}

fn created(snapshot: &Snapshot, object: &Value) -> Value {
    patched(object, &ask(snapshot, object, None))
}

/// What the API server fills in before the first webhook and after each: a Pod's requests follow its
/// limits.
fn defaulted(mut object: Value) -> Value {
    if object["kind"] != "Pod" {
        return object;
    }
    let containers = object.pointer_mut("/spec/containers");
    for container in containers
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let limits = container.pointer("/resources/limits").cloned();
        for (name, limit) in limits.iter().filter_map(Value::as_object).flatten() {
            let path = pointer::join("/resources/requests", name);
            if container.pointer(&path).is_none() {
                pointer::set(container, &path, limit.clone());
            }
        }
    }
    object
}

fn record(object: &Value) -> Record {
    match Carried::of(object) {
        Carried::Readable(record) => record,
        Carried::Absent | Carried::Broken => Record::new(),
    }
}

/// The value without members that are null or empty: to fill in below those is no change of theirs.
fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(key, value)| (key, without_nothing(value)));
            let is_nothing = |value: &Value| value.is_null() || *value == json!({});
            Value::Object(
                kept.filter(|(_, value)| !is_nothing(value))
                    .map(|(key, value)| (key.clone(), value))
                    .collect::<Map<String, Value>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nothing).collect()),
        other => other.clone(),
    }
}

/// Takes out of `after` what its record says that we added.
fn without_ours(before: &Value, after: &Value) -> Value {
    let mut rest = after.clone();
    for entry in record(after).added {
        let path = relocate(&rest, &entry.path, entry.container.as_deref()).unwrap();
        assert_eq!(rest.pointer(&path), Some(&entry.value), "recorded, not set");
        match before.pointer(&path) {
            Some(was) => {
                assert!(
                    was.is_null() || Some(was) == entry.was.as_ref(),
                    "{path} was written"
                );
                pointer::set(&mut rest, &path, was.clone());
            }
            None => {
                pointer::remove(&mut rest, &path, 0);
            }
        }
    }
    let own = pointer::join("/metadata/annotations", ANNOTATION);
    pointer::remove(&mut rest, &own, 0);
    if let Some(was) = before.pointer(&own) {
        pointer::set(&mut rest, &own, was.clone());
    }
    without_nothing(&rest)
}

/// The containers of a workload, of both lists, that no rule may touch.
fn bystanders(object: &Value) -> Vec<(String, Value)> {
    let Some(kind) = pod_kind_of(object) else {
        return Vec::new();
    };
    let Some(template) = object.pointer(kind.template) else {
        return Vec::new();
    };
    let served: BTreeSet<String> = servers(&ENGINE.catalogue, template, kind.template)
        .into_iter()
        .map(|server| server.path)
        .collect();
    let mut found = Vec::new();
    for list in ["initContainers", "containers"] {
        let path = format!("{}/spec/{list}", kind.template);
        let items = object.pointer(&path).and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            let path = format!("{path}/{index}");
            if !served.contains(&path) {
                found.push((path, item.clone()));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_created_workload_keeps_all_that_is_not_ours((snapshot, object) in workload()) {
        let after = created(&snapshot, &object);
        prop_assert_eq!(without_ours(&object, &after), without_nothing(&object));
        for (path, before) in bystanders(&object) {
            prop_assert_eq!(after.pointer(&path), Some(&before), "{}", path);
        }
    }

    #[test]
    fn a_second_call_changes_nothing((snapshot, object) in workload()) {
        let after = defaulted(created(&snapshot, &defaulted(object)));
        prop_assert_eq!(ask(&snapshot, &after, None).patch, None);
    }

    #[test]
    fn an_update_that_changes_no_template_is_never_patched(
        (snapshot, object) in workload(),
        label in "[a-z]{1,8}",
    ) {
        let stored = created(&snapshot, &object);
        prop_assert_eq!(ask(&snapshot, &stored, Some(&stored)).patch, None);
        // A bare Pod is its own template.
        if pod_kind_of(&object).is_some_and(|kind| !kind.template.is_empty()) {
            let mut touched = stored.clone();
            pointer::set(&mut touched, "/metadata/labels", json!({"touched": label}));
            pointer::set(&mut touched, "/metadata/annotations/example.com~1touched", json!(label));
            pointer::set(&mut touched, "/spec/replicas", json!(label.len()));
            prop_assert_eq!(ask(&snapshot, &touched, Some(&stored)).patch, None);
        }
    }

    #[test]
    fn an_update_of_the_template_converges(
        (snapshot, object) in workload(),
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let stored = created(&snapshot, &object);
        let mut new = stored.clone();
        edits.iter().for_each(|edit: &Edit| edit.make(&mut new));
        let after = patched(&new, &ask(&snapshot, &new, Some(&stored)));
        let again = ask(&snapshot, &after, Some(&stored));
        prop_assert_eq!(again.patch, None, "{}", after);
        for (path, before) in bystanders(&new) {
            let was_ours = record(&stored).added.iter().any(|entry| {
                relocate(&new, &entry.path, entry.container.as_deref())
                    .is_some_and(|at| at.starts_with(&format!("{path}/")))
            });
            if !was_ours {
                prop_assert_eq!(after.pointer(&path), Some(&before), "{}", path);
            }
        }
    }

    #[test]
    fn an_update_of_the_update_converges_too(
        (snapshot, object) in workload(),
        first in edit(),
        second in edit(),
    ) {
        let stored = created(&snapshot, &object);
        let mut new = stored.clone();
        first.make(&mut new);
        let once = patched(&new, &ask(&snapshot, &new, Some(&stored)));
        let mut newer = once.clone();
        second.make(&mut newer);
        let twice = patched(&newer, &ask(&snapshot, &newer, Some(&once)));
        prop_assert_eq!(ask(&snapshot, &twice, Some(&once)).patch, None);
        prop_assert_eq!(ask(&snapshot, &twice, Some(&twice)).patch, None);
    }

    #[test]
    fn an_ingress_converges_and_keeps_all_that_is_not_ours((snapshot, object) in ingress()) {
        let after = created(&snapshot, &object);
        prop_assert_eq!(without_ours(&object, &after), without_nothing(&object));
        prop_assert_eq!(ask(&snapshot, &after, None).patch, None);
        prop_assert_eq!(ask(&snapshot, &after, Some(&after)).patch, None);
        let mut touched = after.clone();
        pointer::set(&mut touched, "/metadata/annotations/example.com~1touched", json!("x"));
        prop_assert_eq!(ask(&snapshot, &touched, Some(&after)).patch, None);
        pointer::set(&mut touched, "/spec/rules", json!([]));
        let updated = patched(&touched, &ask(&snapshot, &touched, Some(&after)));
        prop_assert_eq!(ask(&snapshot, &updated, Some(&after)).patch, None);
    }
}

#[test]
fn the_generators_reach_what_they_are_for() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut rules = BTreeSet::new();
    for _ in 0..400 {
        for strategy in [workload().boxed(), ingress().boxed()] {
            let (snapshot, object) = strategy.new_tree(&mut runner).unwrap().current();
            rules.extend(ask(&snapshot, &object, None).fixed);
        }
    }
    let (snapshot, object) = route();
    rules.extend(ask(&snapshot, &object, None).fixed);
    // A page begins so where its rule fixes nothing.
    let nothing = "\n## What admission does\n\nNothing";
    let fixing = ALL.iter().filter(|rule| !rule.page.contains(nothing));
    let fixing: BTreeSet<&str> = fixing.map(|rule| rule.id).collect();
    assert_eq!(rules, fixing);
}
