//! Looks at an API server that has one Secret and two registrations, and forbids what a test says.

use super::*;
use crate::authority::{DAY, of_secret};
use crate::readiness::ready_text;
use crate::rotation::SETTLING;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use base64::Engine;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::net::TcpListener;

const SECRET: &str = "/api/v1/namespaces/ns/secrets/ca";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/w";

#[derive(Default)]
struct Cluster {
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Method and path of each write that was done.
    writes: Vec<String>,
    /// Requests that are refused, by the same text.
    forbidden: Vec<String>,
}

type Shared = Arc<Mutex<Cluster>>;

impl Cluster {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn register(&mut self, service: &str, bundle: &str) {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "w"},
            "webhooks": [{"name": "m", "timeoutSeconds": 2, "clientConfig": {"caBundle": bundle,
                "service": {"namespace": "ns", "name": service}}}],
        });
        self.store(MUTATING, object);
    }

    fn keep(&mut self, authorities: &[&Authority]) {
        let entries = authorities.iter().flat_map(|it| it.entries());
        let data: BTreeMap<String, String> = entries
            .map(|(name, bytes)| (name, base64(&bytes)))
            .collect();
        self.store(SECRET, json!({"metadata": {"name": "ca"}, "data": data}));
    }

    fn kept(&self) -> Vec<Authority> {
        let data = self.objects[SECRET]["data"].as_object().unwrap();
        let entries = data.iter().map(|(name, text)| (name.clone(), bytes(text)));
        let (authorities, broken) = of_secret(&entries.collect());
        assert_eq!(broken, Vec::<String>::new());
        authorities
    }

    fn bundle(&self) -> String {
        let bundle = &self.objects[MUTATING]["webhooks"][0]["clientConfig"]["caBundle"];
        String::from_utf8(bytes(bundle)).unwrap()
    }

    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let asked = format!("{method} {path}");
        if self.forbidden.contains(&asked) {
            return (403, status(403, &format!("u cannot {asked}")));
        }
        let name = if *method == Method::POST {
            format!("{path}/ca")
        } else {
            path.to_owned()
        };
        let known = self.objects.get(&name).cloned();
        match (method, known) {
            (&Method::GET, Some(object)) => (200, object),
            (&Method::POST, Some(_)) => (409, status(409, "exists")),
            (&Method::POST, None) => {
                self.writes.push(asked);
                (201, self.store(&name, body.clone()))
            }
            (&Method::PATCH, Some(mut object)) => {
                if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return (409, status(409, "modified"));
                }
                if path == MUTATING {
                    object["webhooks"][0]["clientConfig"]["caBundle"] =
                        body["webhooks"][0]["clientConfig"]["caBundle"].clone();
                }
                for (name, value) in body["data"].as_object().into_iter().flatten() {
                    let data = object["data"].as_object_mut().unwrap();
                    if value.is_null() {
                        data.remove(name);
                    } else {
                        data.insert(name.clone(), value.clone());
                    }
                }
                self.writes.push(asked);
                (200, self.store(path, object))
            }
            _ => (404, status(404, "not found")),
        }
    }
}

fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        _ => "Conflict",
    };
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": reason, "message": message})
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap_or_default();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

async fn cluster() -> (Shared, infer_cluster::Client) {
    let cluster = Shared::default();
    let answer = |State(cluster): State<Shared>, method: Method, uri: Uri, body: Bytes| async move {
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (code, answer) = cluster.lock().unwrap().answer(&method, uri.path(), &body);
        let code = StatusCode::from_u16(code).unwrap();
        (
            code,
            [("content-type", "application/json")],
            answer.to_string(),
        )
    };
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&cluster));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let client = infer_cluster::connect(Some(&kubeconfig)).await.unwrap();
    (cluster, client)
}

fn replica(client: &infer_cluster::Client) -> Registrar {
    let [namespace, secret, service] = ["ns", "ca", "svc"].map(str::to_owned);
    let names = vec!["w".to_owned()];
    let registrations = Registrations::new(client.clone(), namespace, secret, service, names);
    let names = vec!["svc.ns.svc".to_owned()];
    let placeholder = authority::placeholder(&names, now()).unwrap();
    let served = Arc::new(Served::new(placeholder));
    Registrar::new(registrations, names, served, Arc::default())
}

fn ready(replica: &Registrar) -> String {
    ready_text(&replica.readiness, None).1
}

fn issued_by(replica: &Registrar, authority: &Authority) -> bool {
    authority.issued(replica.held.as_ref().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_start_together_make_one_authority_and_one_bundle() {
    for _ in 0..10 {
        let (cluster, client) = cluster().await;
        cluster.lock().unwrap().register("svc", "");
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let mut replica = replica(&client);
                tokio::spawn(async move {
                    replica.look().await.unwrap();
                    replica
                })
            })
            .collect();
        let mut replicas = Vec::new();
        for task in tasks {
            replicas.push(task.await.unwrap());
        }
        let cluster = cluster.lock().unwrap();
        let kept = cluster.kept();
        assert_eq!((kept.len(), cluster.bundle().as_str()), (1, kept[0].pem()));
        for replica in &replicas {
            assert!(issued_by(replica, &kept[0]));
            assert_eq!(ready(replica), "ready\n");
        }
        assert_eq!(cluster.writes.len(), 2, "{:?}", cluster.writes);
    }
}

#[tokio::test]
async fn a_second_look_writes_nothing_and_a_bundle_that_was_taken_away_comes_back() {
    let (cluster, client) = cluster().await;
    cluster.lock().unwrap().register("svc", "");
    let mut replica = replica(&client);
    replica.look().await.unwrap();
    let bundle = cluster.lock().unwrap().bundle();
    cluster.lock().unwrap().writes.clear();
    replica.look().await.unwrap();
    assert_eq!(cluster.lock().unwrap().writes, Vec::<String>::new());
    cluster.lock().unwrap().register("svc", "");
    replica.look().await.unwrap();
    let cluster = cluster.lock().unwrap();
    assert_eq!(cluster.bundle(), bundle);
    assert_eq!(cluster.writes, [format!("PATCH {MUTATING}")]);
    let stored = &cluster.objects[MUTATING]["webhooks"][0];
    assert_eq!(stored["timeoutSeconds"], 2, "no other field is touched");
}

#[tokio::test]
async fn nobody_is_ready_whom_the_api_server_would_not_trust() {
    let (cluster, client) = cluster().await;
    let mut replica = replica(&client);
    assert_eq!(ready(&replica), "waiting: no certificate yet\n");
    replica.look().await.unwrap();
    let text = ready(&replica);
    assert!(
        text.starts_with("waiting: there is no MutatingWebhookConfiguration"),
        "{text}"
    );
    cluster.lock().unwrap().register("another", "");
    replica.look().await.unwrap();
    let text = ready(&replica);
    assert!(
        text.contains("no entry of MutatingWebhookConfiguration w calls"),
        "{text}"
    );
    cluster.lock().unwrap().register("svc", "");
    let forbidden = format!("PATCH {MUTATING}");
    cluster.lock().unwrap().forbidden.push(forbidden);
    let error = replica.look().await.unwrap_err().to_string();
    assert!(
        error.starts_with("may not patch mutatingwebhookconfigurations \"w\""),
        "{error}"
    );
    let text = ready(&replica);
    assert!(
        text.contains("`caBundle` of MutatingWebhookConfiguration w does not"),
        "{text}"
    );
    cluster.lock().unwrap().forbidden.clear();
    replica.look().await.unwrap();
    assert_eq!(ready(&replica), "ready\n");
}

#[tokio::test]
async fn an_authority_is_renewed_while_both_are_trusted() {
    let (cluster, client) = cluster().await;
    let old = Authority::make(now() - 300 * DAY).unwrap();
    cluster.lock().unwrap().register("svc", "");
    cluster.lock().unwrap().keep(&[&old]);
    let mut replica = replica(&client);
    replica.look().await.unwrap();
    {
        let cluster = cluster.lock().unwrap();
        let kept = cluster.kept();
        assert_eq!((kept.len(), kept[0].pem()), (2, old.pem()));
        assert_eq!(cluster.bundle(), old.pem().to_owned() + kept[1].pem());
        assert!(
            issued_by(&replica, &old),
            "nobody has heard of the new one yet"
        );
    }
    let new = Authority::make(now() - SETTLING - 1).unwrap();
    cluster.lock().unwrap().keep(&[&old, &new]);
    replica.look().await.unwrap();
    {
        let cluster = cluster.lock().unwrap();
        assert_eq!(cluster.bundle(), old.pem().to_owned() + new.pem());
        assert!(issued_by(&replica, &new));
    }
    let new = Authority::make(now() - SETTLING - authority::LEAF_LIFE - 1).unwrap();
    cluster.lock().unwrap().keep(&[&old, &new]);
    replica.look().await.unwrap();
    let cluster = cluster.lock().unwrap();
    assert_eq!(cluster.kept().len(), 1);
    assert_eq!(cluster.bundle(), new.pem());
    assert!(issued_by(&replica, &new));
    assert_eq!(ready(&replica), "ready\n");
}

#[tokio::test]
async fn after_a_deleted_secret_what_is_served_stays_trusted() {
    for is_found_by_who_serves in [true, false] {
        let (cluster, client) = cluster().await;
        cluster.lock().unwrap().register("svc", "");
        let old = Authority::make(now() - DAY).unwrap();
        cluster.lock().unwrap().keep(&[&old]);
        let (mut serving, mut fresh) = (replica(&client), replica(&client));
        serving.look().await.unwrap();
        cluster.lock().unwrap().objects.remove(SECRET);
        if is_found_by_who_serves {
            serving.look().await.unwrap();
            fresh.look().await.unwrap();
        } else {
            fresh.look().await.unwrap();
            serving.look().await.unwrap();
        }
        let cluster = cluster.lock().unwrap();
        let kept = cluster.kept();
        assert_eq!(kept.len(), 2);
        assert_eq!((kept[0].pem(), kept[0].has_key()), (old.pem(), false));
        assert_eq!(cluster.bundle(), old.pem().to_owned() + kept[1].pem());
        assert!(issued_by(&serving, &old), "until the new one has settled");
        assert!(issued_by(&fresh, &kept[1]));
    }
}

#[tokio::test]
async fn what_is_refused_is_said_and_a_certificate_that_is_due_is_taken_all_the_same() {
    let (cluster, client) = cluster().await;
    cluster.lock().unwrap().register("svc", "");
    let create = "POST /api/v1/namespaces/ns/secrets".to_owned();
    cluster.lock().unwrap().forbidden = vec![create];
    let mut replica = replica(&client);
    let error = replica.look().await.unwrap_err();
    let LookError::Cluster(RegistrationError::Forbidden { rule, role, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!((*role, rule.contains("create")), ("Role", true));
    cluster.lock().unwrap().forbidden.clear();
    replica.look().await.unwrap();
    // The bundle cannot be written, and a week has nearly passed.
    cluster.lock().unwrap().register("svc", "");
    cluster.lock().unwrap().forbidden = vec![format!("PATCH {MUTATING}")];
    let before = replica.held.clone().unwrap();
    replica.held.as_mut().unwrap().renew_at = now();
    assert!(replica.look().await.is_err());
    assert!(replica.held.as_ref().unwrap().renew_at > now() + DAY);
    assert!(replica.held.as_ref().unwrap().not_after >= before.not_after);
}
