//! What is answered, by the router alone.

use crate::client::router_of;
use crate::reviews::{create, deployment, patch_of, with};
use axum::Router;
use axum::body::Body;
use axum::http::Request as HttpRequest;
use http_body_util::BodyExt;
use infer_cluster::Store;
use infer_core::Engine;
use infer_core::admission::{Answer, Request};
use infer_webhook::bounds::Bounds;
use infer_webhook::reviewer::{ConstantPatch, EngineReview, Review};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use tower::ServiceExt;

/// Answers what its function says.
pub(crate) struct Stub<F>(pub(crate) F);

impl<F: Fn(&Request<'_>) -> Answer + Send + Sync + 'static> Review for Stub<F> {
    fn mutate(&self, request: &Request<'_>) -> Answer {
        (self.0)(request)
    }

    fn validate(&self, request: &Request<'_>) -> Answer {
        (self.0)(request)
    }
}

/// A reviewer that says when it has begun, and ends when it is told. Send it [`long`] bodies: their
/// reviews do not hold up the threads on which the rest of the test runs.
pub(crate) struct Held {
    begun: Mutex<Sender<()>>,
    end: Mutex<Receiver<()>>,
}

/// The other side of [`Held`].
pub(crate) struct Holder {
    begun: Option<Receiver<()>>,
    end: Sender<()>,
}

pub(crate) fn held() -> (Held, Holder) {
    let ((begun, has_begun), (end, may_end)) = (channel(), channel());
    let review = Held {
        begun: Mutex::new(begun),
        end: Mutex::new(may_end),
    };
    (
        review,
        Holder {
            begun: Some(has_begun),
            end,
        },
    )
}

impl Holder {
    /// Waits until a review has begun.
    pub(crate) async fn begun(&mut self) {
        let begun = self.begun.take().unwrap();
        let wait = move || {
            begun.recv().unwrap();
            begun
        };
        self.begun = Some(tokio::task::spawn_blocking(wait).await.unwrap());
    }

    /// Lets every review end in five seconds, so that a test which fails does not hang: a review
    /// that it did not expect holds up a thread of the runtime.
    pub(crate) fn end_at_last(&self) {
        let end = self.end.clone();
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs(5));
            while end.send(()).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
    }

    /// Lets one review end.
    pub(crate) fn end(&self) {
        self.end.send(()).unwrap();
    }
}

impl Review for Held {
    fn mutate(&self, _: &Request<'_>) -> Answer {
        self.begun.lock().unwrap().send(()).unwrap();
        self.end.lock().unwrap().recv().unwrap();
        Answer::default()
    }

    fn validate(&self, request: &Request<'_>) -> Answer {
        self.mutate(request)
    }
}

pub(crate) async fn post(router: &Router, path: &str, body: Vec<u8>) -> (u16, Value) {
    let request = HttpRequest::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

pub(crate) async fn get(router: &Router, path: &str) -> (u16, String) {
    let request = HttpRequest::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(bytes.to_vec()).unwrap())
}

fn engine() -> Router {
    let review = EngineReview::new(Engine::builtin(), Store::offline());
    router_of(review, &Bounds::default())
}

#[tokio::test]
async fn the_engine_s_patch_applies_to_the_object_that_came() {
    let mut object = deployment(1);
    let (code, answer) = post(
        &engine(),
        "/mutate?timeout=2s",
        create(&object).to_string().into_bytes(),
    )
    .await;
    assert_eq!((code, &answer["response"]["uid"]), (200, &json!("u-1")));
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    let patch: json_patch::Patch = serde_json::from_value(patch_of(&answer)).unwrap();
    json_patch::patch(&mut object, &patch).unwrap();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["readinessProbe"]["httpGet"]["port"], 8000,
        "{object:#}"
    );
}

#[tokio::test]
async fn what_stores_no_object_passes_untouched() {
    let never = |_: &Request<'_>| -> Answer { panic!("reviewed") };
    let router = router_of(Stub(never), &Bounds::default());
    let review = create(&deployment(1));
    for (member, value) in [
        ("subResource", json!("scale")),
        ("subResource", json!("status")),
        ("operation", json!("DELETE")),
        ("operation", json!("CONNECT")),
    ] {
        let body = with(review.clone(), member, &value)
            .to_string()
            .into_bytes();
        for path in ["/mutate", "/validate"] {
            let (code, answer) = post(&router, path, body.clone()).await;
            assert_eq!(
                (code, &answer["response"]),
                (200, &json!({"uid": "u-1", "allowed": true})),
                "{member} {value} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_denial_is_an_answer_and_an_audit_annotation_is_passed_on() {
    let deny = |request: &Request<'_>| Answer {
        denied: Some(format!(
            "no {} in {}",
            request.object["kind"], request.namespace
        )),
        audit: [("found".to_owned(), "r".to_owned())].into(),
        ..Answer::default()
    };
    let router = router_of(Stub(deny), &Bounds::default());
    let (code, answer) = post(
        &router,
        "/validate",
        create(&deployment(1)).to_string().into_bytes(),
    )
    .await;
    assert_eq!(code, 200);
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(
        answer["response"]["status"]["message"],
        "no \"Deployment\" in default"
    );
    assert_eq!(
        answer["response"]["auditAnnotations"],
        json!({"found": "r"})
    );
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_request() {
    let sometimes = |request: &Request<'_>| -> Answer {
        assert!(request.object["kind"] != "Deployment", "broken");
        Answer::default()
    };
    let router = router_of(Stub(sometimes), &Bounds::default());
    let (code, status) = post(
        &router,
        "/mutate",
        create(&deployment(1)).to_string().into_bytes(),
    )
    .await;
    assert_eq!(
        (code, &status["kind"]),
        (500, &json!("Status")),
        "failurePolicy decides"
    );
    let other = create(&json!({"kind": "Ingress"})).to_string().into_bytes();
    assert_eq!(post(&router, "/mutate", other).await.0, 200);
    let metrics = get(&router, "/metrics").await.1;
    assert!(
        metrics.contains("infer_webhook_panics_total 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains(
        "infer_webhook_reviews_total{path=\"mutate\",kind=\"Deployment\",outcome=\"failed\"} 1\n"
    ));
}

#[tokio::test]
async fn metrics_count_reviews_and_rules_but_not_dry_runs() {
    let router = engine();
    let review = create(&deployment(1));
    let dry = with(review.clone(), "dryRun", &json!(true))
        .to_string()
        .into_bytes();
    assert_eq!(post(&router, "/mutate", dry).await.0, 200);
    let text = get(&router, "/metrics").await.1;
    assert!(!text.contains("infer_webhook_reviews_total{"), "{text}");
    assert!(!text.contains("infer_webhook_fixes_total{"), "{text}");
    assert_eq!(
        post(&router, "/mutate", review.to_string().into_bytes())
            .await
            .0,
        200
    );
    let odd = create(&json!({"kind": "Deployment\"} 1\n"}))
        .to_string()
        .into_bytes();
    assert_eq!(post(&router, "/mutate", odd).await.0, 200);
    let text = get(&router, "/metrics").await.1;
    for line in [
        "infer_webhook_reviews_total{path=\"mutate\",kind=\"Deployment\",outcome=\"patched\"} 1",
        "infer_webhook_reviews_total{path=\"mutate\",kind=\"other\",outcome=\"untouched\"} 1",
        "infer_webhook_dry_run_reviews_total{path=\"mutate\",kind=\"Deployment\",outcome=\"patched\"} 1",
        "infer_webhook_fixes_total{rule=\"no-readiness-probe\"} 1",
        "infer_webhook_review_duration_seconds_bucket{le=\"0.00005\",path=\"mutate\"} ",
        "infer_webhook_review_duration_seconds_count{path=\"mutate\"} 2",
        "infer_webhook_store_objects{kind=\"Service\"} 0",
        "infer_webhook_store_synced{kind=\"Service\"} 0",
    ] {
        assert!(
            text.lines().any(|it| it.starts_with(line)),
            "{line}\n{text}"
        );
    }
}

#[tokio::test]
async fn without_a_cluster_it_is_ready_and_names_the_rules_that_it_skips() {
    let router = engine();
    assert_eq!(get(&router, "/healthz").await, (200, "ok\n".to_owned()));
    let (code, text) = get(&router, "/readyz").await;
    assert_eq!(code, 200);
    assert!(text.starts_with("ready\n"), "{text}");
    assert!(
        text.contains("skipped timeout-too-short: needs a Service\n"),
        "{text}"
    );
}

#[tokio::test]
async fn the_floor_of_the_bench_answers_one_patch() {
    let operations = json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]);
    let review = ConstantPatch(serde_json::from_value(operations.clone()).unwrap());
    let router = router_of(review, &Bounds::default());
    let body = create(&deployment(1)).to_string().into_bytes();
    assert_eq!(
        patch_of(&post(&router, "/mutate", body).await.1),
        operations
    );
}
