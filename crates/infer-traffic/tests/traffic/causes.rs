//! Each cause, provoked; curl's exit code is the one listed, and status and bytes agree.

use std::time::Duration;

use infer_traffic::{Call, Cause, ConnectTo, Exchange, Target};

use crate::curl::curl;
use crate::servers::{LAST_CHUNK, STREAM_HEAD, Server, Way, content, full_queue, refusing};
use crate::{exchange, get, post, streamed};

/// Sends it with both and compares them.
async fn both(target: &Target, call: &Call, cause: Option<Cause>) -> Exchange {
    let ours = exchange(target, call).await;
    let seen = ours.failure.as_ref().map(|failure| failure.cause);
    assert_eq!(seen, cause, "{ours:#?}");
    if let Some(failure) = &ours.failure {
        println!("{}: {}", failure.cause, failure.message);
    }
    if let Some(curl) = curl(target, call).await {
        let codes = cause.map_or(&[0][..], Cause::curl_exit);
        assert!(codes.contains(&curl.exit), "{cause:?} {codes:?} {curl:#?}");
        assert_eq!(curl.status, ours.status, "{curl:#?}");
        // With `--fail` curl does not read the body of a failure.
        if cause != Some(Cause::Http) {
            assert_eq!(curl.bytes, ours.bytes, "{curl:#?}");
        }
    }
    ours
}

async fn provoke(way: Way, call: &Call, cause: Cause) -> Exchange {
    let server = Server::start(way).await;
    let target = Target::from_url(&server.url("/v1/models?x=1"), None).unwrap();
    both(&target, call, Some(cause)).await
}

#[tokio::test]
async fn nothing_is_wrong() {
    let server = Server::start(Way::Say(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    ))
    .await;
    let target = Target::from_url(&server.url("/a?b=c"), None).unwrap();
    let ours = both(&target, &get(), None).await;
    assert_eq!((ours.status, ours.bytes), (Some(200), 5));
    assert_eq!(ours.body, b"hello");
    assert_eq!(ours.version.as_deref(), Some("HTTP/1.1"));
    assert_eq!(ours.reason.as_deref(), Some("OK"));
    assert!(ours.headers.contains(&("X-A".to_owned(), "b".to_owned())));
    assert_eq!(ours.peer, Some(server.address));
    let stamps = ours.stamps;
    let order = [
        stamps.resolved.unwrap(),
        stamps.connected.unwrap(),
        stamps.sent.unwrap(),
        stamps.first_byte.unwrap(),
        stamps.end.unwrap(),
    ];
    assert!(order.is_sorted(), "{stamps:?}");
    assert_eq!((stamps.tls, stamps.first_token), (None, None));
}

#[tokio::test]
async fn resolve() {
    // RFC 6761, 6.4: no resolver has an address below .invalid.
    let target = Target::from_url("http://nobody.invalid/", None).unwrap();
    let ours = both(&target, &get(), Some(Cause::Resolve)).await;
    assert_eq!(ours.stamps.resolved, None);
}

#[tokio::test]
async fn refused() {
    let url = format!("http://{}/", refusing().await);
    let target = Target::from_url(&url, None).unwrap();
    let ours = both(&target, &get(), Some(Cause::Refused)).await;
    assert_eq!(ours.stamps.connected, None);
}

#[tokio::test]
async fn unreachable() {
    // RFC 6890: broadcast; no TCP connection can be opened to it.
    let target = Target::from_url("http://255.255.255.255/", None).unwrap();
    both(&target, &get(), Some(Cause::Unreachable)).await;
}

#[tokio::test]
async fn connect_timeout() {
    let (address, _waiting, _listener) = full_queue().await;
    let target = Target::from_url(&format!("http://{address}/"), None).unwrap();
    let ours = both(&target, &get(), Some(Cause::ConnectTimeout)).await;
    assert_eq!(ours.stamps.connected, None);
    assert!(ours.stamps.end.unwrap() < Duration::from_secs(2));
}

#[tokio::test]
async fn closed_before_headers() {
    provoke(Way::Say(""), &get(), Cause::ClosedBeforeHeaders).await;
    let ours = provoke(Way::Say(""), &post("{}"), Cause::ClosedBeforeHeaders).await;
    assert!(ours.stamps.sent.is_some());
    assert_eq!(ours.stamps.first_byte, None);
}

#[tokio::test]
async fn closed_inside_the_head() {
    for (text, status) in [
        ("HTTP/1.1 200", None),
        ("HTTP/1.1 103 Early Hints\r\nLink", None),
        ("HTTP/1.1 503 No\r\nContent-Length: 5\r\nA", Some(503)),
    ] {
        let server = Server::start(Way::Say(text)).await;
        let target = Target::from_url(&server.url("/"), None).unwrap();
        let ours = exchange(&target, &get()).await;
        assert_eq!(ours.failure.unwrap().cause, Cause::ClosedBeforeHeaders);
        assert_eq!(ours.status, status);
        assert_eq!(ours.headers.len(), usize::from(status.is_some()));
        assert!(ours.stamps.first_byte.is_some());
        // The exit code is a corner of curl's own, see `Cause::curl_exit`: curl 7.88.1 even takes
        // an interim head that was cut for a whole answer.
        if let Some(curl) = curl(&target, &get()).await {
            assert!([0, 18, 22, 52].contains(&curl.exit), "{curl:#?}");
        }
    }
}

#[tokio::test]
async fn closed_after_an_interim_answer() {
    let way = Way::Say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    let server = Server::start(way).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &get()).await;
    assert_eq!(ours.failure.unwrap().cause, Cause::ClosedBeforeHeaders);
    assert_eq!(ours.stamps.first_byte, None);
    assert_eq!(ours.status, None);
}

#[tokio::test]
async fn reset_before_headers() {
    let ours = provoke(Way::SayAndReset(""), &get(), Cause::ResetBeforeHeaders).await;
    assert!(ours.failure.unwrap().message.contains("reset"));
}

#[tokio::test]
async fn reset_while_we_write() {
    let body = vec![0xFF; 8 * 1024 * 1024];
    let way = Way::ResetAfter(100_000);
    let ours = provoke(way, &post(body), Cause::ResetBeforeHeaders).await;
    assert_eq!(
        ours.failure.as_ref().unwrap().cause,
        Cause::ResetBeforeHeaders
    );
    assert_eq!(ours.stamps.sent, None, "{:?}", ours.failure);
}

#[tokio::test]
async fn an_early_answer_is_read_though_writing_failed() {
    let body = vec![0xFF; 8 * 1024 * 1024];
    let text =
        "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
    let ours = provoke(Way::SayAfter(1000, text), &post(body), Cause::Http).await;
    assert_eq!(ours.status, Some(413), "{:?}", ours.failure);
    assert_eq!(ours.failure.unwrap().cause, Cause::Http);
    assert_eq!(ours.body, b"big");
}

#[tokio::test]
async fn closed_in_body() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello",
    ] {
        let ours = provoke(Way::Say(text), &get(), Cause::ClosedInBody).await;
        assert_eq!((ours.status, ours.bytes), (Some(200), 5));
    }
}

#[tokio::test]
async fn reset_in_body() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ] {
        let ours = provoke(Way::SayAndReset(text), &get(), Cause::ResetInBody).await;
        assert_eq!((ours.status, ours.bytes), (Some(200), 5));
    }
}

#[tokio::test]
async fn a_body_without_length_ends_with_the_connection() {
    let server = Server::start(Way::Say("HTTP/1.1 200 OK\r\n\r\nhello")).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    assert_eq!(both(&target, &get(), None).await.bytes, 5);
}

#[tokio::test]
async fn closed_without_terminator() {
    let text = leaked(STREAM_HEAD.to_owned() + &crate::servers::chunk(&content("a")) + LAST_CHUNK);
    let ours = provoke(Way::Say(text), &streamed(), Cause::ClosedWithoutTerminator).await;
    let stream = ours.stream.unwrap();
    assert_eq!((stream.events, stream.content_events), (1, 1));
    assert!(!stream.terminated);
}

#[tokio::test]
async fn stalled() {
    let mut call = get();
    call.limits.stall = Some(Duration::from_secs(1));
    let way = Way::SayAndWait("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    let ours = provoke(way, &call, Cause::Stalled).await;
    assert_eq!((ours.status, ours.bytes), (Some(200), 5));
    let end = ours.stamps.end.unwrap();
    assert!(
        end >= Duration::from_secs(1) && end < Duration::from_secs(2),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_slow_head_is_no_stall() {
    let mut call = get();
    call.limits.stall = Some(Duration::from_millis(100));
    let server = Server::start(Way::SayTwice(
        "HTTP/1.1 200 OK\r\n",
        Duration::from_millis(400),
        "Content-Length: 1\r\n\r\na",
    ))
    .await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &call).await;
    assert_eq!(ours.failure, None);
}

#[tokio::test]
async fn timeout_without_an_answer() {
    let mut call = get();
    call.limits.whole = Duration::from_secs(1);
    let ours = provoke(Way::SayAndWait(""), &call, Cause::Timeout).await;
    assert!(
        ours.failure
            .unwrap()
            .message
            .contains("answer was waited for")
    );
}

#[tokio::test]
async fn timeout_inside_the_head() {
    let mut call = get();
    call.limits.whole = Duration::from_secs(1);
    let server = Server::start(Way::SayAndWait("HTTP/1.1 200 OK\r\nA: ")).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &call).await;
    assert_eq!(ours.failure.unwrap().cause, Cause::Timeout);
    assert_eq!((ours.status, ours.headers), (Some(200), Vec::new()));
}

#[tokio::test]
async fn timeout_while_a_server_never_reads() {
    let mut call = post(vec![0xFF; 16 * 1024 * 1024]);
    call.limits.whole = Duration::from_secs(1);
    let ours = provoke(Way::NeverRead, &call, Cause::Timeout).await;
    let failure = ours.failure.unwrap();
    assert_eq!(failure.cause, Cause::Timeout);
    assert!(
        failure.message.contains("was written"),
        "{}",
        failure.message
    );
    assert_eq!(ours.stamps.sent, None);
}

#[tokio::test]
async fn timeout_of_an_endless_body() {
    let mut call = get();
    call.limits.whole = Duration::from_secs(1);
    let server = Server::start(Way::Endless("HTTP/1.1 200 OK\r\n\r\n", "0123456789")).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &call).await;
    assert_eq!(ours.failure.unwrap().cause, Cause::Timeout);
    assert_eq!(ours.body.len(), call.limits.kept_body);
    assert!(ours.bytes > 1024);
}

#[tokio::test]
async fn http() {
    let text = "HTTP/1.1 503 Service Unavailable\r\nServer: nginx\r\nContent-Length: 2\r\n\r\nno";
    let ours = provoke(Way::Say(text), &post("{}"), Cause::Http).await;
    assert_eq!((ours.status, ours.bytes), (Some(503), 2));
    assert_eq!(
        ours.failure.unwrap().message,
        "answered 503 Service Unavailable, from nginx"
    );
}

#[tokio::test]
async fn protocol() {
    provoke(Way::Say("SSH-2.0-OpenSSH_9.2\r\n"), &get(), Cause::Protocol).await;
}

#[tokio::test]
async fn a_head_without_end_is_bounded() {
    let way = Way::Endless(
        "HTTP/1.1 200 OK\r\n",
        "A: 0123456789012345678901234567890\r\n",
    );
    provoke(way, &get(), Cause::Protocol).await;
    let way = Way::Endless("HTTP/1.1 200 OK\r\nA: ", "0123456789012345678901234567890");
    provoke(way, &get(), Cause::Protocol).await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let text =
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(Way::Say(text)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    assert_eq!(both(&target, &get(), None).await.status, Some(308));
    let requests = server.heads().len();
    assert!(requests <= 2, "{requests}");
}

#[tokio::test]
async fn an_address_instead_of_a_name() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(Way::Say(text)).await;
    let port = server.address.port();
    for (url, host) in [
        (
            "http://inference.local/",
            "host: inference.local".to_owned(),
        ),
        (
            &*format!("http://inference.local:{port}/"),
            format!("host: inference.local:{port}"),
        ),
    ] {
        let mut target = Target::from_url(url, None).unwrap();
        target.connect_to = ConnectTo::Address(server.address);
        let before = server.heads().len();
        both(&target, &get(), None).await;
        for head in server.heads().split_off(before) {
            let head = head.to_ascii_lowercase();
            assert!(head.lines().any(|line| line == host), "{host}: {head}");
        }
    }
}

/// Behaviours hold static text; a test's own text lives as long as the test.
pub(crate) fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
