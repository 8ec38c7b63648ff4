//! Streams: first token apart from first byte, gaps, terminators, and buffering proxies.

use std::time::Duration;

use infer_traffic::statistics::Percentiles;
use infer_traffic::{Buffered, Cause, Clock, Target, send};

use crate::causes::leaked;
use crate::servers::{DONE, LAST_CHUNK, ROLE, STREAM_HEAD, Server, Way, chunk, content, stamping};
use crate::{DEADLINE, exchange, streamed};

#[tokio::test]
async fn a_role_is_not_the_first_token() {
    let pause = Duration::from_millis(300);
    let server = Server::start(Way::SayTwice(
        leaked(STREAM_HEAD.to_owned() + &chunk(ROLE) + &chunk(&content(""))),
        pause,
        leaked(chunk(&content("a")) + &chunk(DONE) + LAST_CHUNK),
    ))
    .await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &streamed()).await;
    assert_eq!(ours.failure, None);
    let (byte, token) = (
        ours.stamps.first_byte.unwrap(),
        ours.stamps.first_token.unwrap(),
    );
    assert!(
        token - byte >= pause - Duration::from_millis(50),
        "{byte:?} {token:?}"
    );
    let stream = ours.stream.unwrap();
    assert_eq!((stream.events, stream.content_events), (4, 1));
    assert!(stream.terminated);
    assert!(stream.role_only_at.unwrap() < token);
}

#[tokio::test]
async fn a_stream_without_content_has_no_first_token() {
    let text = leaked(STREAM_HEAD.to_owned() + &chunk(ROLE) + &chunk(DONE) + LAST_CHUNK);
    let server = Server::start(Way::Say(text)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &streamed()).await;
    assert_eq!((ours.failure, ours.stamps.first_token), (None, None));
}

#[tokio::test]
async fn a_cut_stream_keeps_what_came() {
    for (way, cause) in [
        (Way::Say as fn(&'static str) -> Way, Cause::ClosedInBody),
        (Way::SayAndReset, Cause::ResetInBody),
    ] {
        let text = leaked(STREAM_HEAD.to_owned() + &chunk(ROLE) + &chunk(&content("a")));
        let server = Server::start(way(text)).await;
        let target = Target::from_url(&server.url("/"), None).unwrap();
        let ours = exchange(&target, &streamed()).await;
        assert_eq!(ours.failure.unwrap().cause, cause);
        let stream = ours.stream.unwrap();
        assert_eq!((stream.content_events, stream.terminated), (1, false));
    }
}

#[tokio::test]
async fn a_terminator_without_a_blank_line_counts() {
    let text = leaked(
        STREAM_HEAD.to_owned() + &chunk(&content("a")) + &chunk("data: [DONE]") + LAST_CHUNK,
    );
    let server = Server::start(Way::Say(text)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    assert_eq!(exchange(&target, &streamed()).await.failure, None);
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_not_read_as_one() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let server = Server::start(Way::Say(text)).await;
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let ours = exchange(&target, &streamed()).await;
    assert_eq!((ours.failure, ours.stream), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stamps_agree_with_the_server_on_the_same_clock() {
    let clock = Clock::start();
    let gap = Duration::from_millis(7);
    let (address, server) = stamping(clock, 200, gap, false);
    let target = Target::from_url(&format!("http://{address}/"), None).unwrap();
    let ours = tokio::time::timeout(DEADLINE, send(&target, &streamed(), clock, clock.now()))
        .await
        .unwrap();
    assert_eq!(ours.failure, None);
    let theirs = server.join().unwrap();
    let stream = ours.stream.unwrap();
    assert_eq!(stream.content_stamps.len(), theirs.len());
    assert_eq!(
        ours.stamps.first_token,
        stream.content_stamps.first().copied()
    );
    assert_eq!(stream.buffered, Buffered::No);

    let late: Vec<Duration> = stream
        .content_stamps
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| ours.checked_sub(*theirs).expect("not before it was sent"))
        .collect();
    let gaps = |stamps: &[Duration]| -> Vec<Duration> {
        stamps.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let gaps: Vec<Duration> = gaps(&stream.content_stamps)
        .iter()
        .zip(gaps(&theirs))
        .map(|(ours, theirs)| ours.abs_diff(theirs))
        .collect();
    for (name, samples) in [("stamps", &late), ("gaps", &gaps)] {
        let percentiles = Percentiles::of(samples);
        println!("{name} against the server's: {percentiles:?}");
        assert!(percentiles.n >= 100);
        assert!(
            percentiles.p50.unwrap() <= Duration::from_millis(5),
            "{percentiles:?}"
        );
    }
    let largest = stream.largest_gap.unwrap();
    assert!(largest >= gap, "{largest:?}");
    assert!(
        stream
            .content_stamps
            .contains(&stream.largest_gap_at.unwrap())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_goes_on_is_no_stall() {
    let clock = Clock::start();
    let (address, server) = stamping(clock, 40, Duration::from_millis(50), false);
    let target = Target::from_url(&format!("http://{address}/"), None).unwrap();
    let mut call = streamed();
    call.limits.stall = Some(Duration::from_secs(1));
    let ours = exchange(&target, &call).await;
    server.join().unwrap();
    assert_eq!(ours.failure, None);
    assert!(ours.stamps.end.unwrap() > Duration::from_secs(2));
}
