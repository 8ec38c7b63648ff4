//! Clients that stop half-way: each is closed in its time, and the others are served.

use crate::client::{Client, head, start};
use crate::reviews::{create, deployment};
use infer_webhook::bounds::Bounds;
use infer_webhook::reviewer::ConstantPatch;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

fn floor() -> ConstantPatch {
    ConstantPatch(json_patch::Patch(Vec::new()))
}

fn bounds() -> Bounds {
    Bounds {
        handshake: LONG,
        header: LONG,
        body: LONG,
        write: LONG,
        idle: LONG,
        ..Bounds::default()
    }
}

/// In its time, neither before nor long after.
fn in_time(took: Duration) {
    assert!(
        took >= SHORT - Duration::from_millis(30) && took < SHORT * 5,
        "{took:?}"
    );
}

#[tokio::test]
async fn half_a_tls_hello_is_closed() {
    let server = start(
        floor(),
        Bounds {
            handshake: SHORT,
            ..bounds()
        },
    )
    .await;
    for half in [b"".as_slice(), &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(half).await.unwrap();
        in_time(
            Client {
                stream,
                seen: Vec::new(),
            }
            .closed()
            .await,
        );
    }
}

#[tokio::test]
async fn half_a_head_is_closed_whether_first_or_later() {
    let server = start(
        floor(),
        Bounds {
            header: SHORT,
            ..bounds()
        },
    )
    .await;
    let mut silent = server.connect().await;
    in_time(silent.closed().await);

    let mut first = server.connect().await;
    first.send(b"POST /mutate HTTP/1.1\r\nHost:").await.unwrap();
    in_time(first.closed().await);

    let mut later = server.connect().await;
    assert_eq!(later.get("/healthz").await.code, 200);
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(
        later.get("/healthz").await.code,
        200,
        "idle is not half a head"
    );
    later.send(b"POST /mutate HTTP/1.1\r\n").await.unwrap();
    in_time(later.closed().await);

    let mut dripping = server.connect().await;
    let started = Instant::now();
    for byte in b"POST /mutate HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if dripping.send(&[*byte]).await.is_err() {
            break;
        }
    }
    dripping.closed().await;
    assert!(started.elapsed() < SHORT * 5, "each byte must not win time");
}

#[tokio::test]
async fn half_a_body_is_told_and_closed() {
    let server = start(
        floor(),
        Bounds {
            body: SHORT,
            ..bounds()
        },
    )
    .await;
    let body = create(&deployment(1)).to_string();
    let mut client = server.connect().await;
    client
        .send(head("/mutate", "application/json", body.len()).as_bytes())
        .await
        .unwrap();
    client.send(&body.as_bytes()[..100]).await.unwrap();
    let started = Instant::now();
    assert_eq!(client.reply().await.unwrap().code, 408);
    client.closed().await;
    in_time(started.elapsed());

    // The API server's own patience is shorter.
    let mut client = server.connect().await;
    client
        .send(head("/mutate?timeout=1s", "text/plain", 100).as_bytes())
        .await
        .unwrap();
    client.send(b"x").await.unwrap();
    let started = Instant::now();
    assert_eq!(client.reply().await.unwrap().code, 415);
    client.closed().await;
    in_time(started.elapsed());
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let server = start(
        floor(),
        Bounds {
            idle: SHORT,
            ..bounds()
        },
    )
    .await;
    let mut client = server.connect().await;
    assert_eq!(client.get("/healthz").await.code, 200);
    in_time(client.closed().await);
    assert!(
        Bounds::default().idle >= Duration::from_secs(90),
        "the API server keeps 90 s"
    );
    assert!(Bounds::default().idle <= Duration::from_secs(120));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_cut() {
    let server = start(
        floor(),
        Bounds {
            write: SHORT,
            ..bounds()
        },
    )
    .await;
    let mut client = server.connect().await;
    // More requests than socket buffers hold answers for, and not one answer read.
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let until_cut = async { while client.send(&request).await.is_ok() {} };
    tokio::time::timeout(LONG, until_cut)
        .await
        .expect("still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_clients_are_served_among_many_slow_ones() {
    let half = Duration::from_secs(3);
    let server = start(
        floor(),
        Bounds {
            handshake: half,
            header: half,
            body: half,
            ..bounds()
        },
    )
    .await;
    let body = create(&deployment(1)).to_string();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut hello = TcpStream::connect(server.address).await.unwrap();
        hello.write_all(&[0x16, 0x03]).await.unwrap();
        let mut header = server.connect().await;
        header.send(b"POST /mu").await.unwrap();
        let mut content = server.connect().await;
        content
            .send(head("/mutate", "application/json", 7_000_000).as_bytes())
            .await
            .unwrap();
        content.send(b"{").await.unwrap();
        slow.push((hello, header, content));
    }
    let mut good = server.connect().await;
    let mut worst = Duration::ZERO;
    for _ in 0..50 {
        let started = Instant::now();
        assert_eq!(good.post("/mutate", body.as_bytes()).await.code, 200);
        worst = worst.max(started.elapsed());
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}
