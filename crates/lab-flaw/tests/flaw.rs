//! What a client sees of each flaw, in front of a server that the test plays.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lab_flaw::{Draw, Flaw, Proxy, listen};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long the server thinks before it answers a POST.
const THINKS: Duration = Duration::from_millis(100);
/// Between two events of a stream.
const BETWEEN: Duration = Duration::from_millis(20);
const EVENTS: usize = 5;

/// A server: `/health` at once, POSTs after [`THINKS`], `/stream` as events.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    address
}

fn serve(mut stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    if head.starts_with("POST") {
        thread::sleep(THINKS);
    }
    if !head.contains("/stream") {
        // With empty lines, as a stream has them.
        let body = format!("{head}\n\n\n\n{}", String::from_utf8_lossy(&body));
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes());
        return;
    }
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
    for number in 0..EVENTS {
        let _ = stream.write_all(format!("9\r\ndata: {number}\n\n\r\n").as_bytes());
        thread::sleep(BETWEEN);
    }
    let _ = stream.write_all(b"0\r\n\r\n");
}

/// A version that listens until this is dropped or told to stop.
struct Version {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Version {
    fn start(flaw: Flaw) -> Version {
        Version::before(server(), flaw)
    }

    fn before(server: SocketAddr, flaw: Flaw) -> Version {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let proxy = Proxy {
            server,
            name: "tested".parse().unwrap(),
            flaw,
            draw: Draw::new(1),
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                listen(listener, proxy, async { drop(stopped.await) }).await;
            });
        });
        Version {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The whole of an answer, as it is on the wire; and the time until its first byte.
    fn ask(&self, method: &str, path: &str) -> (String, Duration) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = "hello";
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a.lab\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0];
        stream.read_exact(&mut answer).unwrap();
        let first = began.elapsed();
        // A cut connection may end by a reset.
        let _ = stream.read_to_end(&mut answer);
        (String::from_utf8(answer).unwrap(), first)
    }

    fn statuses(&self, method: &str, path: &str, count: usize) -> Vec<u16> {
        let status = |_| {
            let (answer, _) = self.ask(method, path);
            answer.split(' ').nth(1).unwrap().parse().unwrap()
        };
        (0..count).map(status).collect()
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn events(answer: &str) -> usize {
    answer.matches("data: ").count()
}

#[test]
fn a_good_version_passes_everything_on_and_says_its_name() {
    let version = Version::start(Flaw::None);
    let (answer, _) = version.ask("POST", "/v1/chat/completions?x=1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("x-lab-version: tested\r\n"), "{answer}");
    assert!(
        answer.contains("POST /v1/chat/completions?x=1 HTTP/1.1"),
        "{answer}"
    );
    assert!(
        answer.to_lowercase().contains("host: a.lab") && answer.ends_with("hello"),
        "{answer}"
    );
    let (answer, first) = version.ask("POST", "/stream");
    assert_eq!(events(&answer), EVENTS, "{answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    assert!(first < THINKS + BETWEEN * 3, "held back: {first:?}");
}

#[test]
fn errors_hit_posts_by_the_seed_and_no_get() {
    let version = Version::start(Flaw::Errors("50".parse().unwrap()));
    let statuses = version.statuses("POST", "/v1/completions", 12);
    let draw = Draw::new(1);
    let half = "50".parse().unwrap();
    let wanted: Vec<u16> = (0..12)
        .map(|_| if draw.hits(half) { 500 } else { 200 })
        .collect();
    assert_eq!(statuses, wanted);
    assert!(wanted.contains(&500) && wanted.contains(&200), "{wanted:?}");
    assert_eq!(version.statuses("GET", "/health", 12), [200; 12]);
    let always = Version::start(Flaw::Errors("100".parse().unwrap()));
    let (answer, _) = always.ask("POST", "/v1/completions");
    assert!(answer.contains(r#""type":"server_error""#), "{answer}");
    assert!(answer.contains("x-lab-version: tested\r\n"), "{answer}");
}

#[test]
fn slow_is_a_multiple_of_what_the_server_took() {
    let version = Version::start(Flaw::Slow(4.0));
    for path in ["/v1/completions", "/stream"] {
        let (answer, first) = version.ask("POST", path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(first >= THINKS * 4, "{path}: {first:?}");
    }
    let (_, first) = version.ask("GET", "/health");
    assert!(first < THINKS, "a probe is not slowed: {first:?}");
}

#[test]
fn a_cut_stream_begins_and_never_ends_and_other_answers_are_whole() {
    let version = Version::start(Flaw::Cut("100".parse().unwrap()));
    let (answer, _) = version.ask("POST", "/stream");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(events(&answer), 2, "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    let (answer, _) = version.ask("POST", "/v1/completions");
    assert!(answer.ends_with("hello"), "{answer}");
    let never = Version::start(Flaw::Cut("0".parse().unwrap()));
    assert_eq!(events(&never.ask("POST", "/stream").0), EVENTS);
}

#[test]
fn never_ready_is_503_and_so_is_a_server_that_does_not_listen_yet() {
    let version = Version::start(Flaw::NeverReady);
    assert_eq!(version.statuses("GET", "/health", 2), [503; 2]);
    assert_eq!(version.statuses("POST", "/v1/completions", 2), [503; 2]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let version = Version::before(nobody, Flaw::None);
    assert_eq!(version.statuses("GET", "/health", 1), [503]);
}

#[test]
fn what_is_in_flight_is_finished_and_nothing_more_is_accepted() {
    let mut version = Version::start(Flaw::None);
    let address = version.address;
    let stop = version.stop.take();
    thread::scope(|scope| {
        let asked = scope.spawn(|| version.ask("POST", "/stream"));
        // Its head is on the way; its events are not.
        thread::sleep(THINKS / 2);
        drop(stop);
        thread::sleep(THINKS / 4);
        assert!(
            TcpStream::connect(address).is_err(),
            "accepted after the stop"
        );
        let (answer, _) = asked.join().unwrap();
        assert_eq!(events(&answer), EVENTS, "{answer}");
        assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    });
}
