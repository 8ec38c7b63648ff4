//! The end of a server.

use crate::client::start;
use crate::replies::{Stub, held};
use crate::reviews::{create, deployment, long};
use infer_core::admission::{Answer, Request};
use infer_webhook::bounds::Bounds;
use infer_webhook::server::Stop;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gentle_stop_goes_on_serving_for_a_moment_and_closes_each_connection() {
    let lame_duck = Duration::from_millis(500);
    let quick = Stub(|_: &Request<'_>| Answer::default());
    let mut server = start(
        quick,
        Bounds {
            lame_duck,
            ..Bounds::default()
        },
    )
    .await;
    let mut kept = server.connect().await;
    assert_eq!(kept.get("/readyz").await.code, 200);
    server.stop.take().unwrap().send(Stop::Gently).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let body = create(&deployment(1)).to_string();
    let reply = kept.post("/mutate", body.as_bytes()).await;
    assert_eq!(
        (reply.code, reply.head.contains("connection: close")),
        (200, true)
    );
    assert!(kept.closed().await < Duration::from_secs(2));
    // Whoever has not heard yet is served too, but told.
    let mut fresh = server.connect().await;
    let reply = fresh.get("/readyz").await;
    assert_eq!((reply.code, reply.text().as_str()), (503, "draining\n"));
    tokio::time::timeout(Duration::from_secs(3), server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(
        tokio::net::TcpStream::connect(server.address)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_in_flight_is_finished_and_what_is_idle_is_closed() {
    let (review, mut holder) = held();
    let mut server = start(review, Bounds::default()).await;
    let mut idle = server.connect().await;
    assert_eq!(idle.get("/healthz").await.code, 200);
    let mut busy = server.connect().await;
    let body = long();
    let review = tokio::spawn(async move { busy.post("/mutate", body.as_bytes()).await });
    holder.begun().await;
    server.stop.take().unwrap().send(Stop::Now).unwrap();
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.end();
    let reply = review.await.unwrap();
    assert_eq!(
        (reply.code, reply.head.contains("connection: close")),
        (200, true)
    );
    assert!(idle.closed().await < Duration::from_secs(2));
    tokio::time::timeout(Duration::from_secs(2), server.task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn what_does_not_end_is_cut_after_its_time() {
    let drain = Duration::from_millis(300);
    let quick = Stub(|_: &Request<'_>| Answer::default());
    let mut server = start(
        quick,
        Bounds {
            drain,
            ..Bounds::default()
        },
    )
    .await;
    let mut half = server.connect().await;
    half.send(crate::client::head("/mutate", "application/json", 100).as_bytes())
        .await
        .unwrap();
    half.send(b"{").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    server.stop.take().unwrap().send(Stop::Now).unwrap();
    tokio::time::timeout(Duration::from_secs(3), server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(started.elapsed() >= drain);
}
