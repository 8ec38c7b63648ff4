//! The steps of an UPDATE, without an API server: what each way of changing a Deployment leaves.
//! The same is tried on a real API server in `tests/tests/l1/`; here it takes
//! milliseconds, and odd cases are cheap.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_core::Engine;
use infer_core::admission::{Answer, Operation, Request, mutate};
use infer_core::kind::{Kind, KindSet};
use infer_core::record::{ANNOTATION, LAST_APPLIED, REVIEW, digest};
use infer_core::snapshot::Snapshot;
use serde_json::{Value, json};

const CONTAINER: &str = "/spec/template/spec/containers/0";

/// A Deployment as the API server presents it after `kubectl apply` of `written`.
fn applied(written: &Value) -> Value {
    let mut object = written.clone();
    let spec = object["spec"]["template"]["spec"].as_object_mut().unwrap();
    spec.entry("terminationGracePeriodSeconds")
        .or_insert(json!(30));
    object["metadata"]["annotations"][LAST_APPLIED] = json!(written.to_string());
    object
}

fn manifest() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "llama", "namespace": "default", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "llama"}}, "template": {
            "metadata": {"labels": {"app": "llama"}},
            "spec": {"containers": [{"name": "server", "resources": {},
                "image": "ghcr.io/ggml-org/llama.cpp:server",
                "args": ["-m", "m", "--port", "8080"]}]}}}})
}

fn ask(operation: Operation, object: &Value, old: Option<&Value>, snapshot: &Snapshot) -> Answer {
    let request = Request {
        operation,
        namespace: "default",
        object,
        old,
    };
    mutate(&Engine::builtin(), snapshot, &request)
}

fn store(object: &Value, answer: &Answer) -> Value {
    let mut stored = object.clone();
    if let Some(patch) = &answer.patch {
        json_patch::patch(&mut stored, patch).unwrap();
    }
    stored
}

fn create(object: &Value) -> Value {
    store(
        object,
        &ask(Operation::Create, object, None, &Snapshot::default()),
    )
}

fn update(old: &Value, new: &Value) -> Value {
    store(
        new,
        &ask(Operation::Update, new, Some(old), &Snapshot::default()),
    )
}

/// What `kubectl apply` of `written` makes of a stored object: a three-way merge, for the fields
/// that these tests change.
fn apply(stored: &Value, written: &Value) -> Value {
    let mut merged = stored.clone();
    json_patch::merge(&mut merged, &json!({"spec": written["spec"]}));
    let container = &written["spec"]["template"]["spec"]["containers"][0];
    let mut kept = stored.pointer(CONTAINER).unwrap().clone();
    json_patch::merge(&mut kept, container);
    *merged.pointer_mut(CONTAINER).unwrap() = kept;
    merged["metadata"]["annotations"][LAST_APPLIED] = json!(written.to_string());
    merged
}

fn container<'a>(object: &'a Value, member: &str) -> &'a Value {
    object
        .pointer(&format!("{CONTAINER}/{member}"))
        .unwrap_or(&Value::Null)
}

fn grace(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
}

fn record(object: &Value) -> Value {
    let text = object["metadata"]["annotations"][ANNOTATION].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn declined(object: &Value) -> Vec<String> {
    let list = record(object)["declined"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    list.iter()
        .map(|it| it["rule"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn create_fills_and_records() {
    let stored = create(&applied(&manifest()));
    assert_eq!(
        container(&stored, "readinessProbe")["httpGet"]["port"],
        8080
    );
    assert_eq!(
        container(&stored, "lifecycle")["preStop"]["sleep"]["seconds"],
        60
    );
    assert_eq!(grace(&stored), 70);
    assert_eq!(
        record(&stored)["template"],
        digest(&stored["spec"]["template"])
    );
    assert_eq!(record(&stored)["added"].as_array().unwrap().len(), 3);
}

#[test]
fn a_second_call_on_our_own_answer_changes_nothing() {
    let stored = create(&applied(&manifest()));
    let again = ask(Operation::Create, &stored, None, &Snapshot::default());
    assert_eq!(again.patch, None);
}

#[test]
fn an_unchanged_template_is_left_alone_and_a_dropped_record_returns() {
    let stored = create(&applied(&manifest()));
    let mut annotated = stored.clone();
    annotated["metadata"]["annotations"]["note"] = json!("x");
    let answer = ask(
        Operation::Update,
        &annotated,
        Some(&stored),
        &Snapshot::default(),
    );
    assert_eq!(answer.patch, None);
    for broken in [json!("{"), Value::Null] {
        let mut dropped = annotated.clone();
        dropped["metadata"]["annotations"][ANNOTATION] = broken.clone();
        if broken.is_null() {
            dropped["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove(ANNOTATION);
        }
        assert_eq!(update(&stored, &dropped), annotated);
    }
}

#[test]
fn an_old_object_is_not_rolled_by_a_label() {
    let old = applied(&manifest());
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"team": "a"});
    assert_eq!(update(&old, &new), new);
}

#[test]
fn replace_with_the_same_file_returns_what_it_dropped() {
    let stored = create(&applied(&manifest()));
    let mut replaced = applied(&manifest());
    replaced["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(LAST_APPLIED);
    let again = update(&stored, &replaced);
    assert_eq!(again["spec"], stored["spec"]);
    assert_eq!(record(&again), record(&stored));
}

#[test]
fn replace_with_a_changed_file_is_reviewed_afresh_and_nothing_counts_as_declined() {
    let stored = create(&applied(&manifest()));
    let mut replaced = applied(&manifest());
    replaced["spec"]["template"]["spec"]["containers"][0]["args"][3] = json!("9000");
    let again = update(&stored, &replaced);
    assert_eq!(container(&again, "readinessProbe")["httpGet"]["port"], 9000);
    assert_eq!((grace(&again), declined(&again)), (&json!(70), Vec::new()));
}

#[test]
fn what_a_person_takes_away_stays_away() {
    let stored = create(&applied(&manifest()));
    let mut edited = stored.clone();
    edited
        .pointer_mut(CONTAINER)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove("readinessProbe");
    let after = update(&stored, &edited);
    assert_eq!(container(&after, "readinessProbe"), &Value::Null);
    assert_eq!(declined(&after), ["no-readiness-probe"]);
    let mut again = after.clone();
    again["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("ghcr.io/ggml-org/llama.cpp:server-b9000");
    let after = update(&after, &again);
    assert_eq!(container(&after, "readinessProbe"), &Value::Null);
    assert_eq!(grace(&after), 70);
    let mut asked = after.clone();
    asked["metadata"]["annotations"][REVIEW] = json!("now");
    let after = update(&after, &asked);
    assert_eq!(container(&after, "readinessProbe")["httpGet"]["port"], 8080);
    assert_eq!(declined(&after), Vec::<String>::new());
}

#[test]
fn a_written_grace_bounds_the_sleep() {
    let stored = create(&applied(&manifest()));
    for (written, sleep) in [(30, json!({"seconds": 20})), (10, Value::Null)] {
        let mut file = manifest();
        file["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(written);
        let after = update(&stored, &apply(&stored, &file));
        assert_eq!(grace(&after), written);
        assert_eq!(
            container(&after, "lifecycle/preStop/sleep"),
            &sleep,
            "{written}"
        );
        if sleep.is_null() {
            assert_eq!(
                container(&after, "lifecycle"),
                &Value::Null,
                "no empty parent is left"
            );
        }
    }
}

#[test]
fn a_second_handler_beside_ours_takes_ours_out() {
    let stored = create(&applied(&manifest()));
    let mut file = manifest();
    file["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] =
        json!({"tcpSocket": {"port": 8080}});
    file["spec"]["template"]["spec"]["containers"][0]["lifecycle"] =
        json!({"preStop": {"exec": {"command": ["sleep", "5"]}}});
    let after = update(&stored, &apply(&stored, &file));
    assert_eq!(
        container(&after, "readinessProbe"),
        &json!({"tcpSocket": {"port": 8080}})
    );
    assert_eq!(
        container(&after, "lifecycle/preStop"),
        &json!({"exec": {"command": ["sleep", "5"]}})
    );
    assert_eq!(
        grace(&after),
        30,
        "5 s of preStop need no more than the default"
    );
}

#[test]
fn our_probe_follows_a_changed_port_and_leaves_with_the_server() {
    let stored = create(&applied(&manifest()));
    let mut file = manifest();
    file["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!(["-m", "m", "--port", "9000"]);
    let moved = update(&stored, &apply(&stored, &file));
    assert_eq!(container(&moved, "readinessProbe")["httpGet"]["port"], 9000);
    let mut file = manifest();
    file["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx");
    let left = update(&stored, &apply(&stored, &file));
    let mut wanted = applied(&file);
    wanted["metadata"]["annotations"] = json!({LAST_APPLIED: file.to_string()});
    assert_eq!(left, wanted);
}

#[test]
fn values_that_a_person_has_come_to_write_are_theirs() {
    let stored = create(&applied(&manifest()));
    let mut file = manifest();
    file["spec"] = stored["spec"].clone();
    file["spec"]["template"]["spec"]["containers"][0]["args"][3] = json!("9000");
    let after = update(&stored, &apply(&stored, &file));
    assert_eq!(
        container(&after, "readinessProbe")["httpGet"]["port"],
        8080,
        "written, so kept"
    );
    assert_eq!(record(&after), Value::Null);
}

#[test]
fn an_undo_is_left_exactly_as_it_is() {
    let before = applied(&manifest());
    let mut stored = create(&before);
    stored["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("2");
    let mut snapshot = Snapshot::new(KindSet::of(&[Kind::Revision]));
    snapshot.insert_revision("u", "rs", digest(&before["spec"]["template"]));
    let mut undone = before.clone();
    undone["spec"]["template"]["spec"]["containers"][0]["image"] =
        before["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    undone["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("2");
    let mut newer = stored.clone();
    newer["spec"]["template"]["spec"]["containers"][0]["args"][3] = json!("9000");
    let newer = update(&stored, &newer);
    let answer = ask(Operation::Update, &undone, Some(&newer), &snapshot);
    assert_eq!(answer.patch, None);
    assert!(
        answer.warnings[0].contains("earlier revision"),
        "{:?}",
        answer.warnings
    );
    // To one after enforcement, its record comes back with it.
    let answer = ask(
        Operation::Update,
        &stored,
        Some(&newer),
        &Snapshot::default(),
    );
    assert_eq!(answer.patch, None);
    // The control: without the revision's digest and without a record it is an ordinary change.
    undone["spec"]["template"]["spec"]["containers"][0]["args"][3] = json!("7000");
    let answer = ask(Operation::Update, &undone, Some(&newer), &snapshot);
    assert!(answer.patch.is_some());
}

#[test]
fn the_second_call_of_one_update_changes_nothing() {
    let stored = create(&applied(&manifest()));
    let mut file = manifest();
    file["spec"]["template"]["spec"]["containers"][0]["args"][3] = json!("9000");
    let once = update(&stored, &apply(&stored, &file));
    let answer = ask(
        Operation::Update,
        &once,
        Some(&stored),
        &Snapshot::new(KindSet::of(&[Kind::Revision])),
    );
    assert_eq!(
        (answer.patch, answer.warnings),
        (None, Vec::<String>::new())
    );
}

#[test]
fn skip_switches_a_fix_off() {
    let mut file = manifest();
    file["metadata"]["annotations"] = json!({"kubectl-infer.dev/skip": "no-readiness-probe, x"});
    let stored = create(&applied(&file));
    assert_eq!(container(&stored, "readinessProbe"), &Value::Null);
    assert_eq!(grace(&stored), 70);
}

#[test]
fn a_server_side_apply_over_a_client_side_one_drops_nothing_of_ours() {
    let manager =
        |fields: Value| json!([{"manager": "kubectl", "operation": "Apply", "fieldsV1": fields}]);
    let mut stored = create(&applied(&manifest()));
    stored["metadata"]["managedFields"] = manager(json!({"f:spec": {"f:template": {"f:spec": {
        "f:terminationGracePeriodSeconds": {}}}}}));
    let mut new = stored.clone();
    new["metadata"]["managedFields"] = manager(json!({"f:spec": {"f:selector": {}}}));
    new["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(30);
    let after = update(&stored, &new);
    assert_eq!(after["spec"], stored["spec"]);
    assert_eq!(record(&after), record(&stored));
    // The control: a person who puts it back to 30 by other means is heeded.
    new["metadata"]["managedFields"] = stored["metadata"]["managedFields"].clone();
    assert_eq!(grace(&update(&stored, &new)), 30);
}

#[test]
fn facts_that_only_explain_change_nothing() {
    let mut engine = Engine::builtin();
    for runtime in &mut engine.catalogue.runtimes {
        runtime.tier = infer_core::catalogue::Tier::ExplainOnly;
    }
    let object = applied(&manifest());
    let request = Request {
        operation: Operation::Create,
        namespace: "default",
        object: &object,
        old: None,
    };
    let answer = mutate(&engine, &Snapshot::default(), &request);
    assert_eq!(answer.patch, None);
    assert!(
        answer.found.contains(&"no-delay-before-sigterm"),
        "it is still said"
    );
}

#[test]
fn a_route_whose_end_is_not_in_sight_waits_only_where_somebody_looks() {
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "front", "namespace": "default"},
        "spec": {"defaultBackend": {"service": {"name": "back", "port": {"number": 80}}}}});
    let looking = Snapshot::new(KindSet::of(&[Kind::Service, Kind::Workload]));
    let answer = ask(Operation::Create, &ingress, None, &looking);
    assert!(
        answer.waits && answer.warnings[1].contains("kubectl annotate -n default ingress/front")
    );
    let answer = ask(Operation::Create, &ingress, None, &Snapshot::default());
    assert_eq!((answer.waits, answer.warnings), (false, Vec::new()));
}
