//! Registrations at an API server made of one function.

use super::*;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

type Seen = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// Registrations of an API server that always answers the same, and what it was asked.
fn registrations(code: u16, answer: Value) -> (Registrations, Seen) {
    let seen = Seen::default();
    let server = {
        let seen = Arc::clone(&seen);
        tower::service_fn(move |request: Request<Body>| {
            let (seen, answer) = (Arc::clone(&seen), answer.to_string());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let asked = (parts.method, parts.uri.path().to_owned(), body);
                seen.lock().unwrap().push(asked);
                let response = Response::builder().status(code);
                let response = response.body(Body::from(answer.into_bytes()));
                Ok::<_, Infallible>(response.unwrap())
            }
        })
    };
    let client = Client::new(server, "default");
    let [namespace, secret, service] = ["ns", "ca", "svc"].map(str::to_owned);
    let names = vec!["w".to_owned()];
    let registrations = Registrations::new(client, namespace, secret, service, names);
    (registrations, seen)
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": reason, "message": message})
}

fn configuration() -> Value {
    let entry = |name: &str, service: &str, bundle: Value| {
        json!({"name": name, "clientConfig": {"caBundle": bundle,
            "service": {"namespace": "ns", "name": service, "port": 443}}})
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "w", "resourceVersion": "7"},
        "webhooks": [
            entry("a", "svc", Value::Null),
            entry("b", "another", json!("Yg==")),
            entry("c", "svc", json!("Yg==")),
            {"name": "d", "clientConfig": {"url": "https://svc.ns.svc"}},
            {"name": "e", "clientConfig": {"service": {"namespace": "other", "name": "svc"}}},
        ],
    })
}

#[tokio::test]
async fn a_bundle_is_set_where_our_service_is_called_and_nowhere_else() {
    let (registrations, seen) = registrations(200, configuration());
    let mut found = registrations.registrations().await.unwrap();
    assert_eq!(found.len(), 2, "one of each kind");
    let bundles: Vec<&[u8]> = found[0].bundles().collect();
    assert_eq!(bundles, [b"".as_slice(), b"b"]);
    let set = registrations.set_bundle(&mut found[1], b"new").await;
    assert_eq!(set, Ok(Written::Done));
    let (method, path, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (method, path.as_str()),
        (
            Method::PATCH,
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w"
        )
    );
    let entry = |name: &str| json!({"name": name, "clientConfig": {"caBundle": "bmV3"}});
    assert_eq!(
        body,
        json!({"metadata": {"resourceVersion": "7"}, "webhooks": [entry("a"), entry("c")]})
    );
}

#[tokio::test]
async fn whoever_is_slower_is_told_so_and_has_written_nothing() {
    let read = SecretData {
        entries: BTreeMap::new(),
        version: "7".to_owned(),
    };
    let one = || BTreeMap::from([("a".to_owned(), b"b".to_vec())]);
    let (registrations, seen) = registrations(409, status(409, "Conflict", "modified"));
    let created = registrations.create_secret(one()).await;
    assert_eq!(created, Ok(Written::Outrun));
    let gone = ["old".to_owned()];
    let changed = registrations.change_secret(&read, one(), &gone).await;
    assert_eq!(changed, Ok(Written::Outrun));
    let (_, path, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(path, "/api/v1/namespaces/ns/secrets/ca");
    assert_eq!(
        body,
        json!({"metadata": {"resourceVersion": "7"}, "data": {"a": "Yg==", "old": null}})
    );
}

#[tokio::test]
async fn what_is_not_there_is_no_error() {
    let (registrations, _) = registrations(404, status(404, "NotFound", "not found"));
    assert!(registrations.secret().await.unwrap().is_none());
    assert_eq!(registrations.registrations().await, Ok(vec![]));
}

#[tokio::test]
async fn a_missing_permission_names_the_rule_that_is_missing() {
    let message = "secrets \"ca\" is forbidden: User \"u\" cannot get resource \"secrets\"";
    let (registrations, _) = registrations(403, status(403, "Forbidden", message));
    let error = registrations.secret().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("may not get secrets \"ca\" in the namespace \"ns\": {message}")
    );
    let RegistrationError::Forbidden { rule, role, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(role, "Role");
    assert_eq!(
        rule,
        "- apiGroups: [\"\"]\n  resources: [\"secrets\"]\n  resourceNames: [\"ca\"]\n  \
         verbs: [\"get\"]"
    );
    let error = registrations
        .create_secret(BTreeMap::new())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RegistrationError::Forbidden { rule, .. } if !rule.contains("Names")),
        "{error:?}"
    );
    let error = registrations.registrations().await.unwrap_err();
    assert!(
        matches!(&error, RegistrationError::Forbidden { role, .. } if *role == "ClusterRole"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_403_that_is_not_rbac_s_asks_for_no_rule() {
    let message = "secrets \"ca\" is forbidden: unable to create new content in namespace ns \
        because it is being terminated";
    let (registrations, _) = registrations(403, status(403, "Forbidden", message));
    let error = registrations
        .create_secret(BTreeMap::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistrationError::Failed { .. }),
        "{error:?}"
    );
    assert!(error.to_string().ends_with(message));
}
