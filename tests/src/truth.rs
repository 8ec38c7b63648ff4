//! Whether `drill` told the truth: what its client wrote down, request by request, against what
//! tcpdump and NGINX's second access log saw.
//!
//! A request of the record is found in the capture by the user agent that it sent, and from there in
//! the log by its client's port.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use lab_nginx::observed::Observed;
use serde_json::Value;

use crate::exercise::{Exercise, observer_log};
use crate::observer::{Answer, Body, Capture, Close, Conversation};

/// The interface through which the node talks to its pods.
const BRIDGE: &str = "cni0";

/// How much traffic a run has.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Traffic before the fault.
    pub baseline: Duration,
    /// Traffic after the fault.
    pub duration: Duration,
}

/// What came of one run.
#[derive(Debug)]
pub struct Run {
    /// The drill's exit code.
    pub code: i32,
    /// Its document.
    pub report: Value,
    /// What was compared.
    pub compared: Compared,
    /// How long it took, all in all.
    pub took: Duration,
}

/// The comparison.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Requests of the record.
    pub requests: usize,
    /// Requests that failed.
    pub lost: usize,
    /// Requests with more than one attempt.
    pub retried: usize,
    /// Requests whose answer began and was cut.
    pub truncated: usize,
    /// Requests that the drill let go of at its end.
    pub open: usize,
    /// Where record and observer disagree, in words.
    pub disagreements: Vec<String>,
}

/// Runs one drill under the observer's eyes.
///
/// # Panics
///
/// When the drill writes no document, or the observer misses packets.
pub fn run(exercise: &Exercise, fault: &str, load: Load) -> Run {
    let began = Instant::now();
    let state = &exercise.space.lab.state;
    let (record, capture) = (state.join("drill.jsonl"), state.join("drill.pcap"));
    let _ = std::fs::remove_file(&record);
    let log = observer_log(&exercise.space.lab);
    let already = read(&log).len();
    let watching = Capture::start(BRIDGE, exercise.nginx, capture);
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    // The namespace comes after the plugin's name: kubectl takes no flag before it.
    let output = exercise
        .space
        .lab
        .kubectl_with(
            &[
                "infer",
                "drill",
                "ingress/llama",
                "-n",
                &exercise.space.name,
                "--fault",
                fault,
                "--yes",
                "--baseline",
                &seconds(load.baseline),
                "--duration",
                &seconds(load.duration),
                "--record",
                &record.display().to_string(),
                "-o",
                "json",
            ],
            "",
        )
        .expect("kubectl runs");
    let conversations = watching.end();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "drill wrote no document: {error}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let observed: Vec<Observed> = read(&log)[already..]
        .lines()
        .map(|line| serde_json::from_str(line).expect("NGINX writes one document a line"))
        .collect();
    Run {
        code: output.status.code().unwrap_or(-1),
        compared: compare(&samples(&read(&record)), &conversations, &observed),
        report,
        took: began.elapsed(),
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The requests of a record.
///
/// # Panics
///
/// When a line is no JSON.
#[must_use]
pub fn samples(record: &str) -> Vec<Value> {
    record
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record is one document a line"))
        .filter_map(|line| line.get("request").cloned())
        .collect()
}

/// Compares them, request by request.
#[must_use]
pub fn compare(samples: &[Value], wire: &[Conversation], log: &[Observed]) -> Compared {
    let mut compared = Compared {
        requests: samples.len(),
        ..Compared::default()
    };
    let mut by_token: BTreeMap<String, Vec<&Conversation>> = BTreeMap::new();
    for conversation in wire {
        if let Some(token) = token(&conversation.sent) {
            by_token.entry(token).or_default().push(conversation);
        }
    }
    for sample in samples {
        let token = sample["token"].as_str().unwrap_or_default();
        let found = by_token.remove(token).unwrap_or_default();
        let [conversation] = found[..] else {
            let never_sent = sample["status"].is_null() && sample["bytes"] == 0;
            if !found.is_empty() || !never_sent {
                compared.disagreements.push(format!(
                    "{token}: {} conversations on the wire, in the record {sample}",
                    found.len()
                ));
            }
            continue;
        };
        let line = log.iter().find(|line| {
            line.remote_port == conversation.client.port() && line.user_agent.contains(token)
        });
        one(&mut compared, token, sample, conversation, line);
    }
    for (token, _) in by_token {
        compared
            .disagreements
            .push(format!("{token}: on the wire, but not in the record"));
    }
    compared
}

fn one(
    compared: &mut Compared,
    token: &str,
    sample: &Value,
    seen: &Conversation,
    line: Option<&Observed>,
) {
    let mut differ = |what: &str| {
        compared.disagreements.push(format!(
            "{token}: {what}; record {sample}; wire {:?} {:?}",
            seen.close, line
        ));
    };
    if seen.missing {
        differ("the capture has a hole");
        return;
    }
    let answer = Answer::of(seen);
    let how = sample["end"]["how"].as_str().unwrap_or_default();
    let status = sample["status"].as_u64();
    // The drill keeps nothing of a request that it lets go of but that it was open.
    if how != "open" && status != answer.as_ref().map(|answer| u64::from(answer.status)) {
        differ("another status");
    }
    let whole = answer.as_ref().is_some_and(|answer| {
        answer.whole == Body::Whole && answer.status < 400 && (!answer.stream || answer.done)
    });
    match how {
        "answered" if !whole => differ("answered in the record, not on the wire"),
        "failed" if whole => differ("failed in the record, whole on the wire"),
        "open" if seen.close == Close::Fin || seen.close == Close::Reset => {
            differ("open in the record, ended by the server on the wire");
        }
        _ => {}
    }
    let bytes = answer.as_ref().map_or(0, |answer| answer.body.len() as u64);
    // What is on its way when the drill lets go is nobody's loss.
    if how != "open" && sample["bytes"].as_u64() != Some(bytes) {
        differ(&format!("{bytes} bytes on the wire"));
    }
    let attempts = sample["attempts"].as_array();
    if how != "open" {
        let statuses = |list: Vec<Option<u64>>| format!("{list:?}");
        let recorded = attempts.map(|list| {
            statuses(
                list.iter()
                    .map(|attempt| attempt["status"].as_u64())
                    .collect(),
            )
        });
        let logged = line.map(|line| {
            let attempts = line.attempts();
            statuses(
                attempts
                    .iter()
                    .map(|attempt| attempt.status.parse().ok())
                    .collect(),
            )
        });
        if recorded != logged {
            differ(&format!(
                "attempts {recorded:?} in the record, {logged:?} in the log"
            ));
        }
    }
    match how {
        "open" => compared.open += 1,
        "failed" => {
            compared.lost += 1;
            if answer.is_some_and(|answer| answer.status < 400) {
                compared.truncated += 1;
            }
        }
        _ => {}
    }
    if line.is_some_and(|line| line.attempts().len() > 1) {
        compared.retried += 1;
    }
}

/// `RUN/NUMBER` of our user agent in the head of a request.
fn token(sent: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(sent);
    let head = text.split("\r\n\r\n").next()?;
    let agent = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("user-agent")
            .then(|| value.trim())
    })?;
    let (_, rest) = agent.split_once('(')?;
    Some(rest.split(')').next()?.to_owned())
}
