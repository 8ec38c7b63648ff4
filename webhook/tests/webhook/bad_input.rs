//! Input that no API server sends, over TLS.

use crate::client::{head, start};
use crate::reviews::{create, deployment, patch_of};
use infer_cluster::Store;
use infer_core::Engine;
use infer_webhook::bounds::Bounds;
use infer_webhook::reviewer::EngineReview;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn engine() -> EngineReview {
    EngineReview::new(Engine::builtin(), Store::offline())
}

/// A review whose object holds arrays `depth` levels deep.
pub(crate) fn deep(depth: usize) -> Vec<u8> {
    let review = create(&json!({"kind": "Deployment", "x": "DEEP"})).to_string();
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    review.replace("\"DEEP\"", &deep).into_bytes()
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_413_and_the_connection_goes_on() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    let reply = client.post("/mutate", &vec![b' '; 10_000_000]).await;
    assert_eq!(reply.code, 413);
    let message = &reply.json()["message"];
    assert_eq!(
        *message,
        "the body has more than 7340032 bytes, the most that a review may have"
    );
    // Announced by nobody, in chunks.
    let mut chunked = server.connect().await;
    chunked
        .send(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )
        .await
        .unwrap();
    for _ in 0..10 {
        chunked.send(b"f4240\r\n").await.unwrap();
        chunked.send(&vec![b' '; 1_000_000]).await.unwrap();
        chunked.send(b"\r\n").await.unwrap();
    }
    chunked.send(b"0\r\n\r\n").await.unwrap();
    assert_eq!(chunked.reply().await.unwrap().code, 413);
    // What is legal is taken: 6.5 MB in one annotation.
    let mut object = deployment(1);
    object["metadata"]["annotations"] = json!({"a": "x".repeat(6_500_000)});
    assert_eq!(
        client
            .post("/mutate", create(&object).to_string().as_bytes())
            .await
            .code,
        200
    );
}

#[tokio::test]
async fn who_asks_first_is_told_at_once() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    let head = head("/mutate", "application/json", 10_000_000)
        .replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    client.send(head.as_bytes()).await.unwrap();
    let reply = client.reply().await.unwrap();
    assert_eq!(
        (reply.code, reply.head.contains("connection: close")),
        (413, true)
    );
}

#[tokio::test]
async fn nesting_a_hundred_thousand_deep_is_400() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    let reply = client.post("/mutate", &deep(100_000)).await;
    assert_eq!(reply.code, 400);
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("the body is nested more than 127 levels deep"),
        "{message}"
    );
    assert_eq!(
        client.post("/mutate", &deep(100)).await.code,
        200,
        "deep, but legal"
    );
}

#[tokio::test]
async fn what_is_no_review_is_400_with_a_reason() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    let review = create(&deployment(1));
    let without = |member: &str| {
        let mut review = review.clone();
        review["request"].as_object_mut().unwrap().remove(member);
        review.to_string()
    };
    for (body, wanted) in [
        (
            "hello".to_owned(),
            "the body is no AdmissionReview: expected value",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#.to_owned(),
            "`request` is missing",
        ),
        (without("uid"), "`request.uid` is missing"),
        (without("object"), "`request.object` is missing"),
        (
            review
                .to_string()
                .replace("admission.k8s.io/v1", "admission.k8s.io/v2"),
            "`apiVersion` is \"admission.k8s.io/v2\", wanted `admission.k8s.io/v1`",
        ),
    ] {
        let reply = client.post("/mutate", body.as_bytes()).await;
        let status = reply.json();
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with(wanted), "{message}");
        assert_eq!(
            (reply.code, &status["kind"]),
            (400, &Value::from("Status")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn another_content_type_is_415() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    client
        .send(head("/mutate", "text/yaml", 5).as_bytes())
        .await
        .unwrap();
    client.send(b"a: 1\n").await.unwrap();
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.code, 415);
    assert_eq!(
        reply.json()["message"],
        "the content type is \"text/yaml\", wanted `application/json`"
    );
    assert_eq!(client.get("/mutate").await.code, 405);
    assert_eq!(client.get("/nowhere").await.code, 404);
}

#[tokio::test]
async fn bytes_that_are_no_tls_end_their_connection_only() {
    let server = start(engine(), Bounds::default()).await;
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(),
        &[0xff; 4096],
        // The head of a TLS record that is longer than TLS allows.
        &[0x16, 0x03, 0x01, 0xff, 0xff, 0x01],
    ] {
        let mut plain = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        plain.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        // An alert and the end, or a reset.
        let _ = plain.read_to_end(&mut rest).await;
        assert!(rest.len() < 32, "{rest:?}");
    }
    // And no HTTP inside of TLS.
    let mut client = server.connect().await;
    client.send(b"\x00\x01\x02 hello \r\n\r\n").await.unwrap();
    assert!(client.reply().await.map_or(true, |reply| reply.code == 400));
    let text = server.connect().await.get("/metrics").await.text();
    assert!(
        text.contains("connections_closed_total{reason=\"handshake-failed\"} 3"),
        "{text}"
    );
}

#[tokio::test]
async fn objects_of_odd_shape_are_answered() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    let spec = "/spec/template/spec";
    for (pointer, value) in [
        (format!("{spec}/containers"), json!("a string")),
        (format!("{spec}/containers/0"), json!(7)),
        (format!("{spec}/containers/0/args"), json!("--model m")),
        (format!("{spec}/containers/0/args/0"), json!({})),
        (
            format!("{spec}/containers/0/ports"),
            json!({"containerPort": 1}),
        ),
        (
            format!("{spec}/containers/0/ports/0/containerPort"),
            json!(-1),
        ),
        (format!("{spec}/terminationGracePeriodSeconds"), json!("30")),
        ("/metadata".to_owned(), json!([])),
        ("/spec".to_owned(), json!(null)),
    ] {
        let mut object = deployment(1);
        *object.pointer_mut(&pointer).unwrap() = value.clone();
        let reply = client
            .post("/mutate", create(&object).to_string().as_bytes())
            .await;
        assert_eq!(reply.code, 200, "{pointer} = {value}: {}", reply.text());
        assert_eq!(reply.json()["response"]["allowed"], true);
    }
}

#[tokio::test]
async fn a_thousand_containers_are_reviewed() {
    let server = start(engine(), Bounds::default()).await;
    let mut client = server.connect().await;
    let mut object = deployment(1000);
    let reply = client
        .post("/mutate", create(&object).to_string().as_bytes())
        .await;
    assert_eq!(reply.code, 200);
    let answer = reply.json();
    if answer["response"].get("patch").is_some() {
        let patch: json_patch::Patch = serde_json::from_value(patch_of(&answer)).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        assert!(object["metadata"]["annotations"].to_string().len() < 256 * 1024);
    } else {
        assert!(answer["response"]["warnings"][0].is_string(), "{answer}");
    }
}
