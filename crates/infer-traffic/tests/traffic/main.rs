//! The client against servers that misbehave, with real curl beside it.

#![expect(
    clippy::unwrap_used,
    reason = "a failure is a panic that names its line"
)]
#![expect(clippy::print_stdout, reason = "measured values, and what was skipped")]

mod buffered;
mod causes;
mod curl;
mod heads;
mod schedule;
mod servers;
mod streams;
mod tls;

use std::time::Duration;

use infer_traffic::{Call, Clock, Exchange, Header, Limits, Target, send};

/// No call of a test takes longer; one that does has hung.
const DEADLINE: Duration = Duration::from_secs(15);

fn get() -> Call {
    Call {
        method: "GET".to_owned(),
        headers: vec![Header::new("user-agent", "kubectl-infer/0 (test/1)")],
        body: None,
        stream: false,
        limits: Limits {
            connect: Duration::from_millis(1500),
            whole: Duration::from_secs(5),
            stall: None,
            kept_body: 1024,
        },
    }
}

fn post(body: impl Into<bytes::Bytes>) -> Call {
    let mut call = get();
    call.method = "POST".to_owned();
    call.headers
        .push(Header::new("content-type", "application/json"));
    call.body = Some(body.into());
    call
}

fn streamed() -> Call {
    Call {
        stream: true,
        ..post(r#"{"stream":true}"#)
    }
}

async fn exchange(target: &Target, call: &Call) -> Exchange {
    let clock = Clock::start();
    let began = std::time::Instant::now();
    let exchange = tokio::time::timeout(DEADLINE, send(target, call, clock, Duration::ZERO))
        .await
        .expect("the request did not hang");
    let bound = call.limits.whole + Duration::from_secs(2);
    assert!(began.elapsed() < bound, "{:?}", began.elapsed());
    exchange
}
