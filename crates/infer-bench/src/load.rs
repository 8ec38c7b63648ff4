//! Load on a server: closed loop for what a review costs, open loop for how long it takes.

use crate::client::{Connection, trust};
use crate::error::{Error, Result};
use crate::process::Process;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Requests of each connection before anything is measured.
const WARM_UP: usize = 4;
/// A sleeping thread wakes up late by about this much; the rest of the wait is spun away.
const SPIN: Duration = Duration::from_micros(120);

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection sends when it has its answer.
    Closed,
    /// So many a second over all connections, whatever the answers do. Latency counts from the time
    /// at which a request was due, so that a slow answer is not hidden by the requests that waited
    /// for it.
    Open(f64),
}

/// What a load did.
#[derive(Debug)]
pub(crate) struct Load {
    /// Time of each answer.
    pub(crate) latencies: Vec<Duration>,
    /// How long it all took.
    pub(crate) elapsed: Duration,
    /// What the server's process used of the CPU meanwhile.
    pub(crate) cpu: Duration,
}

impl Load {
    /// CPU per answer.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.latencies.len().max(1) as f64
    }

    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Puts load on a server for `time`. `requests` are sent in turn, each connection from a place of
/// its own.
pub(crate) fn run(
    server: &Process,
    certificate: &Path,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    pace: Pace,
    time: Duration,
) -> Result<Load> {
    let address = server.address();
    let trust = trust(certificate)?;
    // One for "everybody is connected", one for "go".
    let (ready, go) = (
        Arc::new(Barrier::new(connections + 1)),
        Arc::new(Barrier::new(connections + 1)),
    );
    let failure = Arc::new(Mutex::new(None));
    let mut threads = Vec::with_capacity(connections);
    for index in 0..connections {
        let (trust, requests) = (Arc::clone(&trust), Arc::clone(requests));
        let (ready, go, failure) = (Arc::clone(&ready), Arc::clone(&go), Arc::clone(&failure));
        threads.push(thread::spawn(move || {
            let mut turn = requests
                .iter()
                .cycle()
                .skip(index * requests.len() / connections);
            let opened = open(address, &trust, &mut turn);
            ready.wait();
            go.wait();
            let mut latencies = Vec::new();
            let result = opened.and_then(|mut connection| {
                let mut clock = Clock::new(pace, index, connections, time);
                while let Some(due) = clock.next() {
                    if let Some(request) = turn.next() {
                        connection.send(request)?;
                        latencies.push(due.elapsed());
                    }
                }
                Ok(())
            });
            if let Err(error) = result {
                failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
            latencies
        }));
    }
    ready.wait();
    let before = server.cpu()?;
    let started = Instant::now();
    go.wait();
    let mut latencies = Vec::new();
    for thread in threads {
        let mut of_one = thread
            .join()
            .map_err(|_| Error::Failed("a thread of the load driver panicked".to_owned()))?;
        latencies.append(&mut of_one);
    }
    let elapsed = started.elapsed();
    let cpu = server.cpu()?.saturating_sub(before);
    if let Some(error) = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    {
        return Err(error);
    }
    Ok(Load {
        latencies,
        elapsed,
        cpu,
    })
}

fn open<'a>(
    address: SocketAddr,
    trust: &Arc<rustls::ClientConfig>,
    turn: &mut impl Iterator<Item = &'a Vec<u8>>,
) -> Result<Connection> {
    let mut connection = Connection::open(address, trust)?;
    for request in turn.take(WARM_UP) {
        connection.send(request)?;
    }
    Ok(connection)
}

/// Says when a connection's next request is due.
struct Clock {
    next: Instant,
    end: Instant,
    /// Between two requests of one connection; none in a closed loop.
    step: Option<Duration>,
}

impl Clock {
    fn new(pace: Pace, index: usize, connections: usize, time: Duration) -> Clock {
        let now = Instant::now();
        let each = match pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(Duration::from_secs_f64(1.0 / rate)),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Clock {
            next: now + each.map_or(Duration::ZERO, |each| each * count(index)),
            end: now + time,
            step: each.map(|each| each * count(connections)),
        }
    }

    /// Waits until the next request is due; none when the time is over.
    fn next(&mut self) -> Option<Instant> {
        let Some(step) = self.step else {
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        let due = self.next;
        if due >= self.end {
            return None;
        }
        self.next += step;
        if let Some(rest) = due.checked_duration_since(Instant::now()) {
            thread::sleep(rest.saturating_sub(SPIN));
        }
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        Some(due)
    }
}
