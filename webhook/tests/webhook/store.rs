//! An Ingress that names a Service which the store does not have yet.

use crate::client::router_of;
use crate::replies::post;
use crate::reviews::create;
use infer_cluster::Store;
use infer_core::admission::{Answer, Request};
use infer_core::kind::{Kind, KindSet};
use infer_core::snapshot::{Reader, Snapshot};
use infer_webhook::bounds::Bounds;
use infer_webhook::reviewer::Review;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Waits for the Service `s`.
struct Waits {
    store: Store,
    asked: Arc<AtomicUsize>,
}

impl Review for Waits {
    fn mutate(&self, _: &Request<'_>) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let snapshot = self.store.read();
        let seen = Reader::new(&snapshot).service("default", "s").is_some();
        Answer {
            waits: !seen,
            warnings: if seen {
                vec![]
            } else {
                vec!["not yet".to_owned()]
            },
            ..Answer::default()
        }
    }

    fn validate(&self, request: &Request<'_>) -> Answer {
        self.mutate(request)
    }

    fn store(&self) -> Option<&Store> {
        Some(&self.store)
    }
}

fn waits(known: &[Kind]) -> (Store, Arc<AtomicUsize>, axum::Router) {
    let store = Store::of(Snapshot::new(KindSet::of(known)));
    let asked = Arc::new(AtomicUsize::new(0));
    let review = Waits {
        store: store.clone(),
        asked: Arc::clone(&asked),
    };
    (store, asked, router_of(review, &Bounds::default()))
}

fn service(name: &str) -> Arc<serde_json::Value> {
    Arc::new(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"}, "spec": {}}))
}

fn ingress() -> Vec<u8> {
    create(&json!({"kind": "Ingress"})).to_string().into_bytes()
}

#[tokio::test]
async fn the_review_is_repeated_when_the_service_comes() {
    let (store, asked, router) = waits(&[Kind::Service]);
    let start = Instant::now();
    let answer = tokio::spawn(async move { post(&router, "/mutate", ingress()).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.update(|snapshot| snapshot.insert(service("another")));
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.update(|snapshot| snapshot.insert(service("s")));
    let (code, answer) = answer.await.unwrap();
    assert_eq!(
        (code, answer["response"].get("warnings")),
        (200, None),
        "{answer}"
    );
    assert_eq!(
        asked.load(Ordering::Relaxed),
        3,
        "once, and for each change"
    );
    assert!(
        start.elapsed() < Duration::from_millis(230),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn after_a_quarter_of_a_second_the_answer_goes_out_as_it_is() {
    let (_store, _, router) = waits(&[Kind::Service]);
    let start = Instant::now();
    let (_, answer) = post(&router, "/mutate", ingress()).await;
    assert_eq!(answer["response"]["warnings"], json!(["not yet"]));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(240) && took < Duration::from_millis(600),
        "{took:?}"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_service_that_nobody_looks_for() {
    let (_store, asked, router) = waits(&[]);
    let start = Instant::now();
    post(&router, "/mutate", ingress()).await;
    assert!(
        start.elapsed() < Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
