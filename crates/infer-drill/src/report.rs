//! The whole of a drill as one document. The text printer reads the same numbers.

use crate::account::{Account, lag};
use crate::fault::Fault;
use crate::lane::Lane;
use crate::moment::Moment;
use crate::plan::Plan;
use crate::quantile::Quantiles;
use crate::sample::Sample;
use crate::timeline::{self, Event, Known};
use crate::verdict::{Basis, FaultState, Verdict};
use crate::verify::Verified;
use crate::why::{AtSigterm, Finding, Scene, Why, why};
use serde::Serialize;
use std::time::Duration;

/// Kind of the document.
pub const KIND: &str = "DrillReport";

/// How far the fault came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was not sent.
    NotSent,
    /// It was sent, and not seen to have happened.
    Sent,
    /// It was seen to have happened.
    Verified,
}

/// The fault, and how far it came.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultReport {
    /// The fault.
    pub fault: Fault,
    /// How far it came.
    pub state: State,
    /// When it was seen to have happened. It was sent at 0.
    #[serde(rename = "verifiedAtMs")]
    pub verified_at: Option<Moment>,
    /// What was seen.
    pub verified: Option<Verified>,
    /// Why it came no further.
    pub reason: Option<String>,
}

/// A drill that has ended, one way or the other.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was to do.
    pub plan: Plan,
    /// How far the fault came.
    pub fault: FaultState,
    /// When and how it was seen to have happened.
    pub verified: Option<(Moment, Verified)>,
    /// Every request.
    pub samples: Vec<Sample>,
    /// What the cluster did.
    pub cluster: Vec<Event>,
    /// The pods behind the route at T0.
    pub pods: Vec<String>,
    /// Whether the proxy's log was read.
    pub is_log_read: bool,
    /// What the runtime does at SIGTERM.
    pub at_sigterm: AtSigterm,
    /// The same in the catalogue's words.
    pub at_sigterm_words: String,
    /// What is wrong with workload and route.
    pub findings: Vec<Finding>,
    /// Whether it was interrupted.
    pub is_interrupted: bool,
    /// Requests that the generator left out because too many were open.
    pub skipped: u64,
    /// What was done to the cluster, and what was undone.
    pub done: Vec<String>,
}

/// The document of a drill.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it was to do.
    pub plan: Plan,
    /// The fault.
    pub fault: FaultReport,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// What clients saw, lane by lane.
    pub lanes: Vec<Account>,
    /// How far the generator was behind its schedule.
    pub lag: Quantiles,
    /// Requests that the generator left out because too many were open.
    pub skipped: u64,
    /// Cluster and clients on one clock.
    pub events: Vec<Event>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it went as it did.
    pub why: Why,
    /// What is wrong with workload and route.
    pub findings: Vec<Finding>,
    /// The requests that failed, were cut, were left open or were sent more than once; `--record`
    /// has all of them.
    pub requests: Vec<Sample>,
    /// What was done to the cluster, and what was undone.
    pub done: Vec<String>,
}

impl Report {
    /// Of a drill that has ended.
    pub fn of(run: Run) -> Report {
        let accounts: Vec<Account> = Lane::ALL
            .into_iter()
            .map(|lane| Account::of(lane, &run.samples, run.is_log_read))
            .filter(|account| account.baseline.sent + account.total().sent > 0)
            .collect();
        let lag = lag(&run.samples);
        let verdict = Verdict::of(&Basis {
            budgets: run.plan.budgets,
            accounts: &accounts,
            fault: run.fault.clone(),
            precision: run.plan.load.precision(),
            is_interrupted: run.is_interrupted,
            lag: lag.max.map_or(Duration::ZERO, |most| most.0),
        });
        let is_sent = !matches!(run.fault, FaultState::NotSent(_));
        let said = if is_sent {
            why(&Scene {
                fault: run.plan.fault,
                runtime: &run.plan.runtime,
                at_sigterm: run.at_sigterm,
                at_sigterm_words: &run.at_sigterm_words,
                findings: &run.findings,
                accounts: &accounts,
                samples: &run.samples,
                back: back(&run.cluster),
            })
        } else {
            Why::default()
        };
        let known = Known {
            pods: &run.pods,
            restarts: run.plan.fault == Fault::Crash,
            verified: run.verified.as_ref().map(|(at, _)| *at),
        };
        let clients = if is_sent {
            timeline::clients(&run.samples, known)
        } else {
            Vec::new()
        };
        let events = timeline::merge(&run.cluster, clients);
        let (state, reason) = match run.fault {
            FaultState::NotSent(reason) => (State::NotSent, Some(reason)),
            FaultState::NotVerified(reason) => (State::Sent, Some(reason)),
            FaultState::Verified => (State::Verified, None),
        };
        let (verified_at, verified) = run.verified.unzip();
        let mut requests = run.samples;
        requests.retain(Sample::is_notable);
        requests.sort_by_key(|sample| (sample.started, sample.sequence));
        Report {
            fault: FaultReport {
                fault: run.plan.fault,
                state,
                verified_at,
                verified,
                reason,
            },
            plan: run.plan,
            interrupted: run.is_interrupted,
            lanes: accounts,
            lag,
            skipped: run.skipped,
            events,
            verdict,
            why: said,
            findings: run.findings,
            requests,
            done: run.done,
        }
    }
}

/// When the victim was ready again after it had left rotation.
fn back(cluster: &[Event]) -> Option<Moment> {
    let left = |event: &&Event| event.what == "endpoint-left" && event.at >= Moment::T0;
    let left = cluster.iter().find(left)?.at;
    let joined = |event: &&Event| event.what == "endpoint-joined" && event.at > left;
    Some(cluster.iter().find(joined)?.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budgets;
    use crate::lane::Load;
    use crate::plan::Victim;
    use crate::sample::tests::{VICTIM, answered, failed};
    use crate::timeline::Mood;
    use serde_json::json;

    fn run(fault: FaultState) -> Run {
        Run {
            plan: Plan {
                run: "7f3a9c".to_owned(),
                context: Some("kind-lab".to_owned()),
                namespace: "inference".to_owned(),
                route: "ingress/inference-ingress".to_owned(),
                address: "172.18.0.240:80".to_owned(),
                host: "inference.local".to_owned(),
                workload: "Deployment/llama".to_owned(),
                runtime: "llama.cpp".to_owned(),
                victim: Victim {
                    pod: "llama-a".to_owned(),
                    uid: "u".to_owned(),
                    address: VICTIM.to_owned(),
                    container: "server".to_owned(),
                    node: None,
                    pid: Some(7),
                },
                ready: 2,
                pods: 2,
                fault: Fault::Crash,
                load: Load::default(),
                budgets: Budgets::default(),
                gaps: Vec::new(),
            },
            verified: None,
            fault,
            samples: vec![
                answered(Lane::GET, 0, 10),
                failed(Lane::POST, 0, -10),
                answered(Lane::GET, 1, -100),
            ],
            cluster: vec![Event::cluster(
                Moment::T0,
                "fault-sent",
                Mood::Plain,
                "fault sent",
            )],
            pods: vec!["llama-a".to_owned()],
            is_log_read: true,
            at_sigterm: AtSigterm::Hang,
            at_sigterm_words: String::new(),
            findings: Vec::new(),
            is_interrupted: false,
            skipped: 0,
            done: Vec::new(),
        }
    }

    #[test]
    fn a_document_has_what_programs_read() {
        let report = Report::of(run(FaultState::Verified));
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(document["fault"]["fault"], "crash");
        assert_eq!(document["fault"]["state"], "verified");
        assert_eq!(document["plan"]["load"]["durationMs"], 60_000.0);
        assert_eq!(document["plan"]["victim"]["pid"], 7);
        let post = &document["lanes"][1];
        assert_eq!(post["lane"], json!({"kind": "post", "connection": "new"}));
        assert_eq!(post["inFlight"]["failed"], 1);
        assert_eq!(post["inFlight"]["lostOn"]["victim"], 1);
        assert_eq!(post["outage"]["totalMs"], 0.0);
        assert_eq!(post["latency"]["p99Ms"], json!(null));
        assert_eq!(post["hidden"]["retries"], 0);
        assert_eq!(document["verdict"]["outcome"], "told");
        let requests = document["requests"].as_array().unwrap();
        assert_eq!(requests.len(), 1, "only the one that failed");
        assert_eq!(requests[0]["end"]["how"], "failed");
        assert_eq!(requests[0]["end"]["cause"], "http");
        assert_eq!(requests[0]["startedMs"], -10.0);
        assert_eq!(document["events"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn of_a_fault_that_was_not_sent_nothing_is_explained() {
        let report = Report::of(run(FaultState::NotSent("interrupted".to_owned())));
        assert_eq!(report.why, Why::default());
        assert_eq!(report.verdict.exit(), 4);
        assert_eq!(report.events.len(), 1);
        assert_eq!(report.fault.state, State::NotSent);
    }
}
