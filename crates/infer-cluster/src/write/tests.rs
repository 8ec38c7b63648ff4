use super::*;
use crate::fake::{self, Asked as Request, Record, Reply, run, status};
use serde_json::json;

fn ingress(version: &str, weight: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": "c", "namespace": "n", "uid": "u1", "resourceVersion": version,
            "annotations": {"w": weight},
            "managedFields": [{"manager": "kubectl-infer", "time": "t0"}],
        },
        "status": {"loadBalancer": {}},
    })
}

fn patch() -> Patch {
    serde_json::from_value(json!([
        {"op": "test", "path": "/metadata/uid", "value": "u1"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "replace", "path": "/metadata/annotations/w", "value": "5"},
    ]))
    .unwrap()
}

/// Patches and deletions are refused so; what is there is this.
fn refusing(code: u16, reason: &'static str, now: Option<Value>) -> (Cluster, Record) {
    fake::cluster(move |asked: &Request| match (asked.method.as_str(), &now) {
        ("GET", Some(now)) => Reply::Json(200, now.clone()),
        ("GET", None) => status(404, "NotFound", "not found", "c"),
        _ => status(
            code,
            reason,
            "the server rejected our request due to an error in our request",
            "c",
        ),
    })
}

fn found(now: Option<Value>) -> Found {
    let (cluster, _) = refusing(422, "Invalid", now);
    match run(cluster.patch(&ingress("1", "0"), &patch(), false)) {
        Err(WriteError::Conflict { found, .. }) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_object_is_created_where_it_says_by_our_manager_and_strictly() {
    let (cluster, record) = fake::cluster(|asked| Reply::Json(201, asked.body.clone()));
    let made = run(cluster.create(&ingress("", "0"), true)).unwrap();
    assert_eq!(made["kind"], "Ingress");
    let asked = record.lock().unwrap();
    assert_eq!(asked[0].method, "POST");
    let path = &asked[0].path;
    assert!(
        path.starts_with("/apis/networking.k8s.io/v1/namespaces/n/ingresses?"),
        "{path}"
    );
    for part in [
        "dryRun=All",
        "fieldManager=kubectl-infer",
        "fieldValidation=Strict",
    ] {
        assert!(path.contains(part), "{path}");
    }
}

#[test]
fn each_refusal_of_a_creation_has_an_error_of_its_own() {
    let error = |code, reason, message: &'static str| {
        let (cluster, _) = fake::cluster(move |_| status(code, reason, message, "c"));
        run(cluster.create(&ingress("", "0"), false)).unwrap_err()
    };
    let there = error(409, "AlreadyExists", "exists").to_string();
    assert!(
        there.starts_with("ingress/c is there already in namespace n\n  = help: `kubectl get"),
        "{there}"
    );
    let unknown = error(
        400,
        "BadRequest",
        "strict decoding error: unknown field \"x\"",
    );
    assert_eq!(
        unknown.to_string(),
        "the API server refuses ingress/c: strict decoding error: unknown field \"x\""
    );
    let invalid = error(422, "Invalid", "spec.rules: required");
    assert!(matches!(invalid, WriteError::Invalid { .. }), "{invalid:?}");
    let forbidden = error(
        403,
        "Forbidden",
        "ingresses.networking.k8s.io is forbidden: User \"u\" cannot create resource \"ingresses\" \
         in API group \"networking.k8s.io\" in the namespace \"n\"",
    );
    assert!(
        forbidden.help()[0].ends_with(
            "Role in namespace n and bind it: - {apiGroups: [\"networking.k8s.io\"], resources: \
             [\"ingresses\"], verbs: [\"create\"]}"
        ),
        "{forbidden}"
    );
    let (cluster, record) = fake::cluster(|_| Reply::Never);
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let kind = run(cluster.create(&other, false)).unwrap_err();
    assert_eq!(kind.to_string(), "v1 Secret is not written");
    assert!(record.lock().unwrap().is_empty());
}

#[test]
fn a_patch_goes_as_it_is_and_one_of_tests_alone_does_not_go() {
    let (cluster, record) = fake::cluster(|_| Reply::Json(200, ingress("2", "5")));
    let before = ingress("1", "0");
    let after = run(cluster.patch(&before, &patch(), false)).unwrap();
    assert_eq!(after["metadata"]["annotations"]["w"], "5");
    let tests = Patch(patch().0[..2].to_vec());
    assert_eq!(run(cluster.patch(&before, &tests, false)).unwrap(), before);
    let asked = record.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, "PATCH");
    assert_eq!(asked[0].body, serde_json::to_value(patch()).unwrap());
    assert!(asked[0].path.contains("/ingresses/c?"), "{}", asked[0].path);
    assert!(
        asked[0]
            .path
            .contains("fieldManager=kubectl-infer&fieldValidation=Strict"),
        "{}",
        asked[0].path
    );
}

#[test]
fn a_conflict_says_what_changed_and_who_did() {
    let mut other = ingress("2", "90");
    other["metadata"]["generation"] = json!(7);
    other["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .extend([
            json!({"manager": "kubectl-edit", "time": "t1"}),
            json!({"manager": "controller", "time": "t1", "subresource": "status"}),
        ]);
    let (cluster, _) = refusing(422, "Invalid", Some(other));
    let error = run(cluster.patch(&ingress("1", "0"), &patch(), false)).unwrap_err();
    assert_eq!(
        error.message(),
        "ingress/c in namespace n was changed under us at /metadata/annotations/w by \
         kubectl-edit; nothing was written"
    );
    assert!(!error.is_passing());
    assert!(error.help()[0].contains("--show-managed-fields"));
}

#[test]
fn what_changed_is_told_apart() {
    let mut status = ingress("2", "0");
    status["status"] = json!({"x": 1});
    let only_status = found(Some(status));
    assert!(
        matches!(&only_status, Found::Changed { count: 0, .. }),
        "{only_status:?}"
    );
    let (cluster, _) = refusing(422, "Invalid", Some(ingress("2", "0")));
    let passing = run(cluster.patch(&ingress("1", "0"), &patch(), false)).unwrap_err();
    assert!(passing.is_passing(), "{passing:?}");
    let mut another = ingress("2", "0");
    another["metadata"]["uid"] = json!("u2");
    assert_eq!(found(Some(another)), Found::Another);
    assert_eq!(found(None), Found::Gone);
    let (cluster, _) = refusing(422, "Invalid", Some(ingress("1", "0")));
    let invalid = run(cluster.patch(&ingress("1", "0"), &patch(), false)).unwrap_err();
    assert!(matches!(invalid, WriteError::Invalid { .. }), "{invalid:?}");
}

#[test]
fn only_the_object_that_was_read_is_deleted() {
    let (cluster, record) =
        fake::cluster(|_| Reply::Json(200, json!({"kind": "Status", "status": "Success"})));
    assert!(run(cluster.delete(&ingress("1", "0"), Bound::Version, true)).unwrap());
    assert!(run(cluster.delete(&ingress("1", "0"), Bound::Uid, false)).unwrap());
    {
        let asked = record.lock().unwrap();
        assert_eq!(
            asked[0].body,
            json!({"dryRun": ["All"], "propagationPolicy": "Background",
                "preconditions": {"uid": "u1", "resourceVersion": "1"}})
        );
        assert_eq!(asked[1].body["preconditions"], json!({"uid": "u1"}));
    }
    let (cluster, _) = refusing(404, "NotFound", None);
    assert!(!run(cluster.delete(&ingress("1", "0"), Bound::Uid, false)).unwrap());
    let (cluster, _) = refusing(409, "Conflict", Some(ingress("2", "9")));
    let error = run(cluster.delete(&ingress("1", "0"), Bound::Version, false)).unwrap_err();
    assert!(
        error
            .message()
            .contains("changed under us at /metadata/annotations/w"),
        "{error}"
    );
}

#[test]
fn a_status_that_moves_does_not_stop_a_change_and_a_person_does() {
    let moving = |by_a_person: bool| {
        let version = std::sync::atomic::AtomicU64::new(1);
        let (cluster, record) = fake::cluster(move |asked: &Request| {
            let now = version.load(std::sync::atomic::Ordering::Relaxed);
            let mut object = ingress(&now.to_string(), "0");
            match asked.method.as_str() {
                "GET" => {
                    if by_a_person && now > 1 {
                        object["metadata"]["annotations"]["w"] = json!("9");
                    }
                    Reply::Json(200, object)
                }
                _ if now < 3 => {
                    version.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    status(422, "Invalid", "the server rejected our request", "c")
                }
                _ => Reply::Json(200, object),
            }
        });
        let change = cluster.amend(What::Ingress, "n", "c", false, |_| {
            Ok::<_, WriteError>(patch())
        });
        let done = run(change);
        let patches = record.lock().unwrap();
        let patches = patches.iter().filter(|it| it.method == "PATCH").count();
        (done, patches)
    };
    let (done, patches) = moving(false);
    done.unwrap();
    assert_eq!(patches, 3);
    let (done, patches) = moving(true);
    assert!(matches!(done, Err(WriteError::Conflict { .. })), "{done:?}");
    assert_eq!(patches, 1);
}
