//! What is written and read of heads, and that the curl line is the same request.

use std::time::Duration;

use infer_traffic::{Call, Header, Target};

use crate::curl::curl;
use crate::servers::{Server, Way};
use crate::{exchange, get, post};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn an_interim_answer_is_not_the_first_byte() {
    let pause = Duration::from_millis(300);
    let server = Server::start(Way::SayTwice("HTTP/1.1 100 Continue\r\n\r\n", pause, OK)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &post("{}")).await;
    assert_eq!((ours.status, ours.failure), (Some(200), None));
    let waited = ours.stamps.first_byte.unwrap() - ours.stamps.sent.unwrap();
    assert!(waited >= pause - Duration::from_millis(50), "{waited:?}");
}

#[tokio::test]
async fn answers_without_a_body() {
    let text = "HTTP/1.1 204 No Content\r\n\r\n";
    let server = Server::start(Way::SayAndWait(text)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &get()).await;
    assert_eq!(
        (ours.status, ours.bytes, ours.failure),
        (Some(204), 0, None)
    );

    let text = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let server = Server::start(Way::SayAndWait(text)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let mut call = get();
    call.method = "HEAD".to_owned();
    let ours = exchange(&target, &call).await;
    assert_eq!(
        (ours.status, ours.bytes, ours.failure),
        (Some(200), 0, None)
    );
    if let Some(curl) = curl(&target, &call).await {
        assert_eq!((curl.exit, curl.status), (0, Some(200)));
    }
}

#[tokio::test]
async fn a_secret_is_sent_and_not_shown() {
    let server = Server::start(Way::Say(OK)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let mut call = get();
    call.headers.push(Header {
        name: "Authorization".to_owned(),
        value: "Bearer hunter2".to_owned(),
        secret: true,
    });
    let ours = exchange(&target, &call).await;
    assert!(server.heads()[0].contains("Bearer hunter2"));
    assert!(!format!("{ours:?}").contains("hunter2"));
    assert!(
        ours.request_head
            .contains(&("authorization".to_owned(), "***".to_owned()))
    );
    let line = target.curl(&call);
    assert!(
        line.contains("-H @FILE") && !line.contains("hunter2"),
        "{line}"
    );
}

#[tokio::test]
async fn curl_sends_the_same_request() {
    let mut patch = post("it's \"quoted\" $HOME `x`\n");
    patch.method = "PATCH".to_owned();
    let mut bare = post(r#"{"prompt":"@file"}"#);
    bare.headers.clear();
    let mut at = post("@/etc/hostname");
    at.headers.push(Header::new("accept", "text/event-stream"));
    let large = post("x".repeat(1024 * 1024 + 1));
    let mut get_with_body = get();
    get_with_body.body = Some("{}".into());
    for call in [get(), post("{}"), patch, bare, at, get_with_body] {
        same(&call, "/v1/chat/../completions?a=[1]&b={x,y}").await;
    }
    // The shell takes no argument of a megabyte; the line is only looked at.
    let target = Target::from_url("http://a/", None).unwrap();
    assert!(target.curl(&large).contains("-H expect:"));
}

async fn same(call: &Call, path: &str) {
    let server = Server::start(Way::Say(OK)).await;
    let mut target = Target::from_url(&server.url("/"), None).unwrap();
    path.clone_into(&mut target.path);
    let ours = exchange(&target, call).await;
    assert_eq!(ours.failure, None);
    let Some(curl) = curl(&target, call).await else {
        return;
    };
    assert_eq!(curl.exit, 0, "{}\n{}", target.curl(call), curl.stderr);
    let heads = server.heads();
    let [ours, curls] = [&heads[0], &heads[1]].map(|head| {
        let (request, headers) = head.split_once("\r\n").unwrap();
        let mut lines: Vec<String> = headers
            .lines()
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                format!("{}: {}", name.to_ascii_lowercase(), value.trim())
            })
            .collect();
        lines.sort();
        (request.to_owned(), lines)
    });
    assert_eq!(ours, curls, "{}", target.curl(call));
}

#[test]
fn the_curl_line() {
    let mut call = get();
    call.limits.stall = Some(Duration::from_millis(1500));
    let target = Target::from_url("http://inference.local/v1/models", None).unwrap();
    assert_eq!(
        target.curl(&call),
        "curl -v --noproxy '*' -H 'user-agent: kubectl-infer/0 (test/1)' --connect-timeout 1.5 \
         --max-time 5 --speed-limit 1 --speed-time 2 http://inference.local/v1/models"
    );
    let connected = |url: &str, address: &str| {
        let mut target = Target::from_url(url, None).unwrap();
        target.connect_to = infer_traffic::ConnectTo::Address(address.parse().unwrap());
        target.curl(&get())
    };
    assert!(connected("http://a.b/", "1.2.3.4:80").contains(" --resolve a.b:80:1.2.3.4 "));
    assert!(connected("http://a.b/", "1.2.3.4:81").contains(" --connect-to a.b:80:1.2.3.4:81 "));
    assert!(connected("http://a.b:8/", "[::1]:8").contains(" --resolve 'a.b:8:[::1]' "));
    assert!(!connected("http://1.2.3.4/", "1.2.3.4:80").contains("--resolve"));
    let six = Target::from_url("http://[::1]:8080", None).unwrap();
    assert_eq!((six.host.as_str(), six.port), ("::1", 8080));
    assert_eq!(six.url(), "http://[::1]:8080/");
}

#[test]
fn what_is_no_target() {
    let message = |url: &str| Target::from_url(url, None).unwrap_err().to_string();
    assert!(message("inference.local").contains("no scheme"));
    assert!(message("/v1/models").contains("no scheme"));
    assert!(message("ftp://a/").contains("want http or https"));
    assert!(message("http://a b/").contains("not a URL"));
    let credentials = message("http://user:hunter2@a/");
    assert!(credentials.contains("--header-file") && !credentials.contains("hunter2"));
    assert!(!message("user:hunter2@a").contains("hunter2"));
}
