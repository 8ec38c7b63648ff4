//! More than the server takes on.

use crate::client::{head, start};
use crate::replies::{Stub, held};
use crate::reviews::{create, deployment, long};
use infer_core::admission::{Answer, Request};
use infer_webhook::bounds::Bounds;
use std::time::Duration;

fn nothing() -> Stub<impl Fn(&Request<'_>) -> Answer + Send + Sync + 'static> {
    Stub(|_: &Request<'_>| Answer::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn above_the_limit_of_reviews_it_is_503_with_retry_after() {
    let (review, mut holder) = held();
    let server = start(
        review,
        Bounds {
            reviews: 1,
            ..Bounds::default()
        },
    )
    .await;
    let body = create(&deployment(1)).to_string();
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    let slow = long();
    first
        .send(head("/mutate", "application/json", slow.len()).as_bytes())
        .await
        .unwrap();
    first.send(slow.as_bytes()).await.unwrap();
    holder.begun().await;
    holder.end_at_last();
    let reply = second.post("/mutate", body.as_bytes()).await;
    holder.end();
    assert_eq!(
        (reply.code, reply.head.contains("retry-after: 1")),
        (503, true)
    );
    assert_eq!(reply.json()["message"], "too many reviews are at work");
    assert_eq!(first.reply().await.unwrap().code, 200);
    holder.end();
    // Shed, not broken.
    assert_eq!(second.post("/mutate", body.as_bytes()).await.code, 200);
}

#[tokio::test]
async fn long_bodies_share_a_memory_and_short_ones_do_not_need_it() {
    let bounds = Bounds {
        buffered_bytes: 1_000_000,
        ..Bounds::default()
    };
    let server = start(nothing(), bounds).await;
    let mut hoarder = server.connect().await;
    hoarder
        .send(head("/mutate", "application/json", 900_000).as_bytes())
        .await
        .unwrap();
    hoarder.send(b"{").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let long = long();
    let mut client = server.connect().await;
    assert_eq!(client.post("/mutate", long.as_bytes()).await.code, 503);
    let short = create(&deployment(1)).to_string();
    assert_eq!(client.post("/mutate", short.as_bytes()).await.code, 200);
    drop(hoarder);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.post("/mutate", long.as_bytes()).await.code, 200);
}

#[tokio::test]
async fn above_the_limit_of_connections_the_newest_is_closed() {
    let server = start(
        nothing(),
        Bounds {
            connections: 2,
            ..Bounds::default()
        },
    )
    .await;
    let (mut first, second) = (server.connect().await, server.connect().await);
    let third = crate::client::connect(server.address, &server.pair.certificate()).await;
    assert!(third.is_err(), "no place");
    assert_eq!(first.get("/healthz").await.code, 200);
    drop(second);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.connect().await.get("/healthz").await.code, 200);
}
