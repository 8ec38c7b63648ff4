//! The server that both tools are pointed at: it waits a known while and answers in three chunks.
//!
//! One blocking thread a connection, because the kernel wakes a sleeping thread to 50 µs, and tokio's
//! timer to a millisecond, which would be seen as steps in every histogram.

use crate::error::{Error, Result};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The shortest wait before the answer.
const LEAST: Duration = Duration::from_millis(5);
/// Waits are spread evenly over this much more.
const SPREAD: Duration = Duration::from_millis(10);
/// One answer in fifty takes this much longer, so that the p99 is one of these.
const SLOW: Duration = Duration::from_millis(20);
const SLOW_SHARE: f64 = 0.02;
/// Between two chunks.
const PAUSE: Duration = Duration::from_millis(1);
/// A client that sends nothing is let go of.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any request of a bench.
const LARGEST_HEAD: usize = 16 * 1024;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\
                    connection: close\r\n\r\n";

/// The wait of the request of this number. The fractions of multiples of the golden ratio fill the
/// unit interval evenly over any stretch, so that every round gets the same waits, but for their
/// order.
fn wait(number: u64) -> Duration {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    // Exact to 2^53 requests.
    let place = (number as f64 * golden).fract();
    let slow = if place < SLOW_SHARE {
        SLOW
    } else {
        Duration::ZERO
    };
    LEAST + SPREAD.mul_f64(place) + slow
}

/// Serves on a free port of 127.0.0.1 until stdin ends; says on stderr where.
pub(crate) fn run() -> Result<()> {
    let doing = "listening on 127.0.0.1";
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io(doing))?;
    let address = listener.local_addr().map_err(Error::io(doing))?;
    let said = json!({ "address": address.to_string() });
    writeln!(std::io::stderr(), "{said}").map_err(Error::io("saying where we listen"))?;
    thread::spawn(move || {
        let number = AtomicU64::new(0);
        for stream in listener.incoming().flatten() {
            let wait = wait(number.fetch_add(1, Ordering::Relaxed));
            // A client that went away is its own business.
            thread::spawn(move || answer(stream, wait));
        }
    });
    // Its end is all that matters.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

fn answer(mut stream: TcpStream, wait: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 || head.len() > LARGEST_HEAD {
            return Ok(());
        }
        head.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    thread::sleep(wait);
    stream.write_all(format!("{HEAD}6\r\nfirst \r\n").as_bytes())?;
    thread::sleep(PAUSE);
    stream.write_all(b"7\r\nsecond \r\n")?;
    thread::sleep(PAUSE);
    stream.write_all(b"6\r\nthird\n\r\n0\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would be a reset.
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_of_requests_has_the_same_waits() {
        let mean = |from: u64| {
            let all: Duration = (from..from + 10_000).map(wait).sum();
            all.as_secs_f64() / 10_000.0
        };
        for from in [0, 1, 12_345, 999_999] {
            // 5 ms, half of 10 ms, and a fiftieth of 20 ms.
            assert!((mean(from) - 0.0104).abs() < 1e-5, "{}", mean(from));
        }
        let slow = (0..10_000).filter(|number| wait(*number) >= LEAST + SLOW);
        assert!((198..=202).contains(&slow.count()));
    }
}
