//! The open loop: on time whatever the server does, bounded, and honest about itself.

use std::time::Duration;

use infer_traffic::schedule::{Plan, on_one_core, open_loop};
use infer_traffic::statistics::Percentiles;
use infer_traffic::{Clock, Target};

use crate::servers::{Server, Way};
use crate::{DEADLINE, get};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn plan(rate: f64, count: Option<u64>, in_flight: usize) -> Plan {
    Plan {
        begin: Duration::from_millis(20),
        rate,
        count,
        in_flight,
    }
}

#[tokio::test]
async fn a_slow_call_does_not_shift_the_next() {
    let clock = Clock::start();
    let slow = open_loop(
        clock,
        plan(50.0, Some(30), 100),
        std::future::pending(),
        |_| async move {
            let started = clock.now();
            tokio::time::sleep(Duration::from_millis(400)).await;
            started
        },
    );
    let driven = tokio::time::timeout(DEADLINE, slow).await.unwrap();
    assert_eq!((driven.results.len(), driven.skipped.len()), (30, 0));
    let late: Vec<Duration> = driven
        .results
        .iter()
        .map(|(slot, started)| started.saturating_sub(slot.intended))
        .collect();
    let late = Percentiles::of(&late);
    assert!(late.p50.unwrap() < Duration::from_millis(20), "{late:?}");
    assert_eq!(driven.lag.n(), 30);
    let indices: Vec<u64> = driven.results.iter().map(|(slot, _)| slot.index).collect();
    assert_eq!(indices, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_run_skips_and_says_so() {
    let clock = Clock::start();
    let driven = open_loop(
        clock,
        plan(100.0, Some(40), 2),
        std::future::pending(),
        |_| tokio::time::sleep(Duration::from_millis(100)),
    );
    let driven = tokio::time::timeout(DEADLINE, driven).await.unwrap();
    assert_eq!(driven.results.len() + driven.skipped.len(), 40);
    assert!(driven.skipped.len() >= 20, "{}", driven.skipped.len());
    assert!(driven.results.len() >= 4);
}

#[tokio::test]
async fn stop_lets_open_calls_end() {
    let clock = Clock::start();
    let driven = open_loop(
        clock,
        plan(50.0, None, 100),
        tokio::time::sleep(Duration::from_millis(210)),
        |slot| async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            slot.index
        },
    );
    let driven = tokio::time::timeout(DEADLINE, driven).await.unwrap();
    let started = driven.results.len();
    assert!((5..=11).contains(&started), "{started}");
}

#[test]
fn five_hundred_a_second_on_one_core() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::start(Way::Say(OK)));
    let target = Target::from_url(&server.url("/"), None).unwrap();
    let (_, driven) = on_one_core(&target, 500.0, 500, |_| get()).unwrap();
    assert_eq!(driven.results.len(), 500);
    for (slot, exchange) in &driven.results {
        assert_eq!(exchange.failure, None);
        assert_eq!(exchange.intended, slot.intended);
        assert!(exchange.started >= slot.intended);
    }
    println!("the generator's own lag: {:?}", driven.lag);
    let latency: Vec<Duration> = driven
        .results
        .iter()
        .map(|(slot, exchange)| exchange.stamps.end.unwrap() - slot.intended)
        .collect();
    println!(
        "latency from the intended start: {:?}",
        Percentiles::of(&latency)
    );
    runtime.shutdown_background();
}
