//! oha, the tool that our histograms stand beside: how it is started, and what it writes.
//!
//! Read in oha 1.16.0. `src/printer.rs`, `print_csv`: one line for each request that succeeded, times
//! in seconds; `request-duration` is `RequestResult::duration` of `src/client.rs`, which is from the
//! corrected start where there is one. `work_with_qps_latency_correction`: that start is when the timer of
//! the schedule **woke**, not the place in the schedule. So the two tools are compared from the
//! moment at which their generators woke.

use crate::error::{Error, Result};
use std::path::Path;
use std::process::Command;

/// As many connections as may be open at once: far more than ever are, so that none waits for one.
const CONNECTIONS: &str = "200";
/// In seconds, for each request.
const PATIENCE: &str = "10s";

/// The command: a connection for each request, a fixed rate, a line for each request.
pub(crate) fn command(program: &Path, url: &str, rate: f64, count: u64, to: &Path) -> Command {
    let mut command = Command::new("taskset");
    command
        .args(["-c", super::GENERATOR_CORE])
        .arg(program)
        .args(["-n", &count.to_string(), "-q", &rate.to_string()])
        .args(["-c", CONNECTIONS, "-t", PATIENCE, "-r", "0"])
        .args(["--disable-keepalive", "--latency-correction", "--no-tui"])
        .args(["--output-format", "csv", "-o"])
        .arg(to)
        .arg(url);
    command
}

/// The latencies of a file that oha wrote, in nanoseconds.
pub(crate) fn latencies(csv: &str) -> Result<Vec<i64>> {
    let broken = |what: &str| Error::Failed(format!("oha's CSV is not as expected: {what}"));
    let mut lines = csv.lines();
    let head = lines.next().unwrap_or_default();
    let column = |name: &str| {
        let place = head.split(',').position(|column| column == name);
        place.ok_or_else(|| broken(&format!("no column {name} in {head:?}")))
    };
    let (duration, status) = (column("request-duration")?, column("status")?);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let cell = |place: usize| cells.get(place).copied().unwrap_or_default();
            if cell(status) != "200" {
                return Err(broken(&format!("status {:?}, want 200", cell(status))));
            }
            let seconds: f64 = cell(duration)
                .parse()
                .map_err(|_| broken(&format!("the duration in {line:?}")))?;
            Ok((seconds * 1e9).round() as i64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::latencies;

    const HEAD: &str = "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status";

    #[test]
    fn durations_are_found_by_their_column() {
        let csv = format!(
            "{HEAD}\n0.001,0,0.0002,0.006,0.0085,19,200\n0.003,0,0.0002,0.01,0.012,19,200\n"
        );
        assert_eq!(latencies(&csv).unwrap(), [8_500_000, 12_000_000]);
        assert!(latencies(&format!("{HEAD}\n0.001,0,0,0,0.1,0,503\n")).is_err());
        assert!(latencies("start,duration\n1,2\n").is_err());
    }
}
