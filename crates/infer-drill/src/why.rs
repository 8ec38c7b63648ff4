//! Why it went as it did, and what would have prevented it.
//!
//! Each sentence rests on something that was seen in this drill; what was not seen is not claimed.
//! What would have prevented a loss is named only where there was that loss: by the finding of
//! `check` on the live workload where there is one, else in words.

mod seen;

use crate::account::Account;
use crate::fault::Fault;
use crate::lane::Lane;
use crate::moment::Moment;
use crate::sample::Sample;
use crate::timeline::count;
use seen::Seen;
use serde::Serialize;

/// What a server does at SIGTERM with requests in flight, as the catalogue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtSigterm {
    /// It cuts them.
    Abort,
    /// It neither ends nor serves them until SIGKILL.
    Hang,
    /// It finishes them.
    Finish,
    /// Nobody knows.
    Unknown,
}

/// A finding of `check` on the live workload or route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

/// What is known of what was hit, and what was seen.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The fault.
    pub fault: Fault,
    /// The runtime, as the catalogue spells it.
    pub runtime: &'a str,
    /// What it does at SIGTERM.
    pub at_sigterm: AtSigterm,
    /// The same in the catalogue's words, without a subject.
    pub at_sigterm_words: &'a str,
    /// What is wrong with workload and route.
    pub findings: &'a [Finding],
    /// What clients saw.
    pub accounts: &'a [Account],
    /// Every request.
    pub samples: &'a [Sample],
    /// When the victim was ready again after it had left rotation.
    pub back: Option<Moment>,
}

/// Why, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// What happened.
    pub said: Vec<String>,
    /// What would have prevented it.
    pub prevents: Vec<Prevention>,
}

/// What would have prevented a loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prevention {
    /// The finding's rule, where one says it.
    pub rule: Option<String>,
    /// What is wrong, or what is missing.
    pub what: String,
    /// The fix.
    pub fix: Option<String>,
}

/// Rules about what a pod does when it is told to go.
const DRAIN_RULES: [&str; 4] = [
    "no-delay-before-sigterm",
    "grace-too-short",
    "sidecar-drains-first",
    "drain-window-short",
];
/// Rules about what keeps a server out of rotation while it is loading.
const READINESS_RULES: [&str; 1] = ["no-readiness-probe"];

/// Says why.
pub fn why(scene: &Scene<'_>) -> Why {
    let seen = Seen::of(scene.samples, scene.back);
    let mut why = Why::default();
    let total = |lane: Lane| {
        let account = scene.accounts.iter().find(|account| account.lane == lane);
        account.map(Account::total).unwrap_or_default()
    };
    let failed: u64 = Lane::ALL.iter().map(|lane| total(*lane).failed).sum();
    let sent: u64 = Lane::ALL.iter().map(|lane| total(*lane).sent).sum();
    if sent == 0 {
        return why;
    }
    say_new(&mut why, seen);
    say_in_flight(&mut why, seen, scene);
    if failed == 0 && why.said.is_empty() {
        why.said.push(
            "No client lost anything, and the proxy's log shows no retry that would explain it."
                .to_owned(),
        );
        if scene
            .accounts
            .iter()
            .any(|account| account.hidden.is_none())
        {
            why.said.clear();
            why.said.push(
                "No client lost anything. Whether a proxy hid retries is unknown: its log could not be read."
                    .to_owned(),
            );
        }
    }
    if failed > 0 {
        prevent(&mut why, seen, scene);
    }
    why
}

fn say_new(why: &mut Why, seen: Seen) {
    if seen.moved > 0 {
        let safe = if seen.after_on_victim + seen.after_unknown + seen.after_elsewhere == 0 {
            "New requests were safe: the"
        } else {
            "The"
        };
        why.said.push(format!(
            "{safe} proxy could not use the victim and took another replica, {}.",
            times(seen.moved)
        ));
    }
    if seen.after_loading > 0 {
        why.said.push(format!(
            "{} got 503 from the restarted server itself: it listens before it can serve, and a 503 is an answer, so it was passed on.",
            count(seen.after_loading, "new request")
        ));
    }
    let cut = seen.after_on_victim - seen.after_loading - seen.after_back;
    if cut > 0 {
        why.said.push(format!(
            "{} went to the victim after the fault, before the proxy had taken it out, and failed there.",
            count(cut, "new request")
        ));
    }
    if seen.after_back > 0 {
        why.said.push(format!(
            "{} failed on the victim when it was ready again: the fault does not explain {}.",
            count(seen.after_back, "new request"),
            if seen.after_back == 1 { "it" } else { "them" }
        ));
    }
    if seen.after_elsewhere > 0 {
        why.said.push(format!(
            "{} failed without the victim in any attempt: the fault does not explain {}.",
            count(seen.after_elsewhere, "new request"),
            if seen.after_elsewhere == 1 {
                "it"
            } else {
                "them"
            }
        ));
    }
    if seen.after_unknown > 0 {
        why.said.push(format!(
            "{} failed; which replica had {} is unknown.",
            count(seen.after_unknown, "new request"),
            if seen.after_unknown == 1 {
                "it"
            } else {
                "them"
            }
        ));
    }
}

fn say_in_flight(why: &mut Why, seen: Seen, scene: &Scene<'_>) {
    if seen.moved_in_flight > 0 {
        why.said.push(format!(
            "{} in flight on the victim {} repeated on another replica.",
            count(seen.moved_in_flight, "request"),
            was(seen.moved_in_flight)
        ));
    }
    if seen.posts_lost_once > 0 {
        why.said.push(format!(
            "{} in flight on the victim {} not repeated: once sent, a proxy repeats only methods that are idempotent, and POST is none.",
            count(seen.posts_lost_once, "POST"),
            was(seen.posts_lost_once)
        ));
    }
    if seen.posts_lost_unknown > 0 {
        why.said.push(format!(
            "{} in flight failed; whether a proxy tried again is unknown.",
            count(seen.posts_lost_unknown, "POST")
        ));
    }
    if seen.gets_lost > 0 {
        why.said.push(format!(
            "{} in flight failed.",
            count(seen.gets_lost, "GET")
        ));
    }
    if seen.streams_lost > 0 {
        let delivered = scene
            .accounts
            .iter()
            .find(|account| account.lane == Lane::STREAMS)
            .map_or(0, |account| account.content_before_loss);
        why.said.push(format!(
            "{} in flight {} lost after {delivered} content events in all: no proxy can resume a stream, clients must ask again.",
            count(seen.streams_lost, "stream"),
            was(seen.streams_lost)
        ));
    }
    let lost = seen.posts_lost_once + seen.posts_lost_unknown + seen.gets_lost + seen.streams_lost;
    if lost > 0 && scene.fault == Fault::Delete {
        let Scene {
            runtime,
            at_sigterm_words,
            ..
        } = scene;
        match scene.at_sigterm {
            AtSigterm::Abort | AtSigterm::Hang => {
                why.said.push(format!("{runtime} {at_sigterm_words}."));
            }
            AtSigterm::Finish => why.said.push(format!(
                "{runtime} {at_sigterm_words}; they were lost all the same, so its time was too short or something else ended them."
            )),
            AtSigterm::Unknown => why.said.push(format!(
                "What {runtime} does with requests in flight at SIGTERM is not known."
            )),
        }
    }
}

fn prevent(why: &mut Why, seen: Seen, scene: &Scene<'_>) {
    let lost_in_flight =
        seen.posts_lost_once + seen.posts_lost_unknown + seen.gets_lost + seen.streams_lost;
    let after = seen.after_on_victim - seen.after_back + seen.after_unknown;
    if scene.fault == Fault::Delete && lost_in_flight + after > 0 {
        let found = findings(scene, &DRAIN_RULES);
        if found.is_empty() {
            why.prevents.push(Prevention {
                rule: None,
                what: "`check` finds nothing wrong with how the pod is told to go: the requests took longer than it served".to_owned(),
                fix: Some("a preStop that outlasts the longest answer, and a terminationGracePeriodSeconds to match".to_owned()),
            });
        }
        why.prevents.extend(found);
    }
    if scene.fault != Fault::Delete && lost_in_flight > 0 {
        why.prevents.push(Prevention {
            rule: None,
            what: "nothing in the cluster saves what a killed server was answering".to_owned(),
            fix: Some("clients that ask again".to_owned()),
        });
    }
    if seen.posts_lost_once > 0 {
        why.prevents.push(Prevention {
            rule: None,
            what: "a proxy may be told to repeat sent POSTs, and then an answer may be generated twice".to_owned(),
            fix: None,
        });
    }
    if seen.after_loading > 0 {
        why.prevents.extend(findings(scene, &READINESS_RULES));
    }
}

/// The findings of these rules.
fn findings<'a>(scene: &'a Scene<'_>, rules: &'a [&str]) -> Vec<Prevention> {
    let of = |rule: &&str| {
        let finding = scene.findings.iter().find(|it| it.rule == **rule)?;
        Some(Prevention {
            rule: Some(finding.rule.clone()),
            what: finding.message.clone(),
            fix: finding.help.clone(),
        })
    };
    rules.iter().filter_map(of).collect()
}

fn times(number: usize) -> String {
    match number {
        1 => "once".to_owned(),
        number => format!("{number} times"),
    }
}

fn was(number: usize) -> &'static str {
    if number == 1 { "was" } else { "were" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Attempt;
    use crate::sample::tests::{VICTIM, answered, attempt, failed};

    const OTHER: &str = "10.0.0.2:8080";

    fn with(sample: Sample, attempts: &[(&str, u16)]) -> Sample {
        let attempts: Vec<Attempt> = attempts
            .iter()
            .map(|(address, status)| attempt(address, *status))
            .collect();
        Sample {
            attempts: Some(attempts),
            ..sample
        }
    }

    /// A new request that was moved.
    fn moved(lane: Lane, start: i64) -> Sample {
        with(answered(lane, 0, start), &[(VICTIM, 502), (OTHER, 200)])
    }

    fn cut_stream() -> Sample {
        Sample {
            status: Some(200),
            content_events: 65,
            ..failed(Lane::STREAMS, 0, -10)
        }
    }

    fn unknown(sample: Sample) -> Sample {
        Sample {
            attempts: None,
            ..sample
        }
    }

    fn finding(rule: &str) -> Finding {
        Finding {
            rule: rule.to_owned(),
            message: format!("{rule} it is"),
            help: Some("fix it".to_owned()),
        }
    }

    fn scene(fault: Fault, samples: &[Sample], findings: &[Finding], is_log_read: bool) -> Why {
        let accounts: Vec<Account> = Lane::ALL
            .iter()
            .map(|lane| Account::of(*lane, samples, is_log_read))
            .collect();
        why(&Scene {
            fault,
            runtime: "llama.cpp",
            at_sigterm: AtSigterm::Hang,
            at_sigterm_words: "closes its socket at SIGTERM and finishes nothing",
            findings,
            accounts: &accounts,
            samples,
            back: Some(Moment(30_000_000_000)),
        })
    }

    fn rules(why: &Why) -> Vec<&str> {
        let rules = why.prevents.iter().filter_map(|it| it.rule.as_deref());
        rules.collect()
    }

    /// What each case says, and what it does not.
    #[test]
    fn what_is_said_was_seen() {
        struct Case {
            name: &'static str,
            fault: Fault,
            samples: Vec<Sample>,
            says: &'static [&'static str],
            silent: &'static [&'static str],
        }
        let cases = [
            Case {
                name: "the chapter's crash",
                fault: Fault::Crash,
                samples: vec![
                    moved(Lane::GET, 10),
                    moved(Lane::POST, 110),
                    failed(Lane::POST, 1, -10),
                    cut_stream(),
                ],
                says: &[
                    "New requests were safe: the proxy could not use the victim and took another replica, 2 times.",
                    "1 POST in flight on the victim was not repeated",
                    "1 stream in flight was lost after 65 content events",
                ],
                silent: &["SIGTERM", "503", "GET in flight failed"],
            },
            Case {
                name: "a graceful deletion of a server that finishes nothing",
                fault: Fault::Delete,
                samples: vec![failed(Lane::POST, 0, -10), answered(Lane::GET, 0, 10)],
                says: &["llama.cpp closes its socket at SIGTERM and finishes nothing."],
                silent: &["New requests were safe", "stream"],
            },
            Case {
                name: "a server that listens while it loads",
                fault: Fault::Crash,
                samples: vec![Sample {
                    status: Some(503),
                    ..with(failed(Lane::GET, 0, 2000), &[(VICTIM, 503)])
                }],
                says: &["1 new request got 503 from the restarted server itself"],
                silent: &["before the proxy", "safe"],
            },
            Case {
                name: "a new POST that was cut",
                fault: Fault::ForceDelete,
                samples: vec![failed(Lane::POST, 0, 5), moved(Lane::GET, 10)],
                says: &[
                    "The proxy could not use the victim and took another replica, once.",
                    "1 new request went to the victim after the fault",
                ],
                silent: &["New requests were safe", "in flight"],
            },
            Case {
                name: "a failure long after",
                fault: Fault::Crash,
                samples: vec![failed(Lane::POST, 0, 31_000)],
                says: &["1 new request failed on the victim when it was ready again"],
                silent: &["before the proxy", "safe"],
            },
            Case {
                name: "failures that the victim had no part in",
                fault: Fault::Crash,
                samples: vec![with(failed(Lane::GET, 0, 5), &[(OTHER, 500)])],
                says: &["the fault does not explain it"],
                silent: &["went to the victim"],
            },
            Case {
                name: "nothing lost",
                fault: Fault::Delete,
                samples: vec![answered(Lane::GET, 0, 5)],
                says: &["No client lost anything, and the proxy's log shows no retry"],
                silent: &["SIGTERM", "moved"],
            },
        ];
        for case in cases {
            let why = scene(case.fault, &case.samples, &[], true);
            let said = why.said.join("\n");
            for text in case.says {
                assert!(said.contains(text), "{}: {text:?} in {said}", case.name);
            }
            for text in case.silent {
                assert!(!said.contains(text), "{}: {text:?} in {said}", case.name);
            }
        }
    }

    #[test]
    fn without_a_log_no_attempt_is_claimed() {
        let samples = [
            unknown(failed(Lane::POST, 0, -10)),
            unknown(failed(Lane::GET, 1, 10)),
            unknown(answered(Lane::GET, 2, 20)),
        ];
        let said = scene(Fault::Crash, &samples, &[], false).said.join("\n");
        assert!(
            said.contains("whether a proxy tried again is unknown"),
            "{said}"
        );
        assert!(said.contains("which replica had it is unknown"), "{said}");
        assert!(
            !said.contains("not repeated") && !said.contains("safe"),
            "{said}"
        );
        let quiet = scene(Fault::Crash, &samples[2..], &[], false);
        assert_eq!(quiet.said.len(), 1);
        assert!(quiet.said[0].contains("unknown: its log could not be read"));
    }

    #[test]
    fn a_finding_prevents_the_loss_that_it_is_about() {
        let all = [
            finding("drain-window-short"),
            finding("no-delay-before-sigterm"),
            finding("no-readiness-probe"),
            finding("body-limit"),
        ];
        let lost = [failed(Lane::POST, 0, -10)];
        let deleted = scene(Fault::Delete, &lost, &all, true);
        assert_eq!(
            rules(&deleted),
            ["no-delay-before-sigterm", "drain-window-short"]
        );
        assert_eq!(deleted.prevents[0].fix.as_deref(), Some("fix it"));
        let killed = scene(Fault::Crash, &lost, &all, true);
        assert_eq!(rules(&killed), [""; 0], "no drain helps against SIGKILL");
        assert!(killed.prevents[0].what.contains("nothing in the cluster"));
        let loading = with(failed(Lane::GET, 0, 10), &[(VICTIM, 503)]);
        let loading = scene(Fault::Crash, &[loading], &all, true);
        assert_eq!(rules(&loading), ["no-readiness-probe"]);
        let cut = scene(Fault::Crash, &[failed(Lane::GET, 0, 10)], &all, true);
        assert_eq!(rules(&cut), [""; 0], "no probe is that fast");
        let nothing = scene(Fault::Delete, &[answered(Lane::GET, 0, 5)], &all, true);
        assert_eq!(nothing.prevents, [], "nothing was lost");
        let clean = scene(Fault::Delete, &lost, &[], true);
        assert!(clean.prevents[0].what.starts_with("`check` finds nothing"));
    }

    #[test]
    fn of_no_traffic_nothing_is_said() {
        assert_eq!(scene(Fault::Crash, &[], &[], true), Why::default());
    }
}
