//! A canary for people.

use super::text::{BAD, GOOD, STRONG, Sign};
use crate::canary::live::View;
use crate::canary::observe::PodSeen;
use crate::terminal::Look;
use infer_canary::gate::{Compared, Gate, Metric, Verdict};
use infer_canary::journal::Journal;
use infer_canary::machine::{End, Millis, Proof, State, proof_requests};
use std::fmt::Write;

/// What is done and with what, before it is asked for.
pub(crate) fn plan(journal: &Journal, context: Option<&str>) -> String {
    let shift = &journal.shift;
    let plan = &journal.plan;
    let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    let mut line = |title: &str, what: &str| {
        let _ = writeln!(text, "{title:<9}{what}");
    };
    line(
        "canary",
        &format!(
            "deployment/{} in {}{}",
            shift.stable.workload,
            shift.namespace,
            context.map(|it| format!(" ({it})")).unwrap_or_default()
        ),
    );
    line("version", &version(journal));
    line(
        "via",
        &format!("{} {} · {}", shift.via, shift.carrier, shift.entry),
    );
    line(
        "steps",
        &format!(
            "{} % of the requests, each for {} at least",
            steps.join(", "),
            span(plan.step_millis)
        ),
    );
    line(
        "gate",
        &format!(
            "errors at most {} points worse, ttft p95 at most {} times, no stream lost more; \
             {} requests/s of our own",
            plan.limits.errors * 100.0,
            plan.limits.first_token,
            journal.rate
        ),
    );
    for object in &shift.objects {
        let named = infer_canary::shift::Named::of(object);
        line("creates", &named.to_string());
    }
    if shift
        .objects
        .iter()
        .all(|it| infer_canary::shift::Named::of(it) != shift.carrier)
    {
        line("changes", &shift.carrier.to_string());
    }
    for note in &shift.notes {
        line("note", note);
    }
    let deployment = shift.objects.iter().find(|it| it["kind"] == "Deployment");
    if let Some(replicas) = deployment.and_then(|it| it["spec"]["replicas"].as_u64()) {
        line(
            "note",
            &format!("replicas of the canary: {replicas}; --replicas=N gives it more"),
        );
    }
    text
}

/// The second version, in words.
fn version(journal: &Journal) -> String {
    match &journal.version {
        infer_canary::version::Version::Changed(changed) => changed.to_string(),
        infer_canary::version::Version::Existing(name) => format!("deployment/{name}"),
    }
}

/// One event.
pub(crate) fn event(at: Millis, text: &str, look: Look) -> String {
    let style = if text.starts_with("rolled back") || text.starts_with("rolling back") {
        Some(BAD)
    } else if text.starts_with("promoted") || text.starts_with("proved") {
        Some(GOOD)
    } else {
        None
    };
    let text = super::text::printable(text);
    let text = match style {
        Some(style) => look.paint(style, &text),
        None => text.into_owned(),
    };
    format!("{} {text}\n", clock(at))
}

/// Time of day in UTC: the journal may have been written on another machine.
fn clock(at: Millis) -> String {
    let seconds = at / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn span(millis: Millis) -> String {
    let seconds = millis / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// The first line: where a run stands.
pub(crate) fn standing(journal: &Journal, now: Millis) -> String {
    let shift = &journal.shift;
    let steps = journal.plan.steps.len();
    let at = match &journal.state {
        State::Preparing { since } => {
            format!(
                "waiting for the canary's pods, {}",
                span(now.saturating_sub(*since))
            )
        }
        State::Shifting { step } => format!(
            "step {}/{steps} · weight → {}",
            step + 1,
            journal.plan.weight(*step)
        ),
        State::Analysing { step, since, .. } => format!(
            "step {}/{steps} · weight {} · {} of {}",
            step + 1,
            journal.plan.weight(*step),
            span(now.saturating_sub(*since)),
            span(journal.plan.step_millis)
        ),
        State::Paused { why, .. } => format!("paused: {why}"),
        State::Promoting { .. } => "promoting: the stable workload gets the new version".to_owned(),
        State::Emptying => "promoting: weight → 0".to_owned(),
        State::RollingBack { reason, .. } => format!("rolling back: {}", reason.message()),
        State::Proving { reason, .. } => {
            format!(
                "rolling back: {}; proving it from outside",
                reason.message()
            )
        }
        State::Clearing { .. } => "clearing away".to_owned(),
        State::Ended { end } => ended(end),
    };
    format!(
        "CANARY {} · {at} · via {} {}",
        shift.stable.workload, shift.via, shift.carrier
    )
}

/// How a run ended, in words.
pub(crate) fn ended(end: &End) -> String {
    match end {
        End::Promoted => "promoted".to_owned(),
        End::RolledBack { reason, proof } => {
            let proof = match proof {
                Proof::Proven { requests } => {
                    format!("0 of {requests} fresh requests reached the canary")
                }
                Proof::NotNeeded => "it never had a share".to_owned(),
                Proof::NotProven {
                    requests,
                    hits,
                    unknown,
                } => format!(
                    "NOT PROVEN: of {requests} fresh requests {hits} reached the canary, of \
                     {unknown} nobody knows"
                ),
            };
            format!("rolled back: {}; {proof}", reason.message())
        }
    }
}

/// The tree of versions and pods, and the gate.
pub(crate) fn tree(view: &View<'_>, look: Look) -> String {
    let journal = view.journal;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}",
        look.paint(STRONG, &standing(journal, crate::canary::now()))
    );
    let weight = view.look.stored.as_ref().map_or_else(
        || "<unknown>".to_owned(),
        |stored| match stored {
            infer_canary::machine::Stored::Weight(weight) => weight.to_string(),
            infer_canary::machine::Stored::Absent => "0".to_owned(),
            infer_canary::machine::Stored::Foreign(_) => "<another's>".to_owned(),
        },
    );
    let (branch, last) = if look.ascii {
        ("|-", "`-")
    } else {
        ("├─", "└─")
    };
    let (bar, blank) = if look.ascii {
        ("| ", "  ")
    } else {
        ("│ ", "  ")
    };
    let sides = [
        (
            branch,
            bar,
            "stable",
            &journal.shift.stable.workload,
            &view.look.stable_pods,
            String::new(),
        ),
        (
            last,
            blank,
            "canary",
            &journal.shift.canary.workload,
            &view.look.canary_pods,
            format!("  weight {weight}"),
        ),
    ];
    for (corner, under, title, name, pods, weight) in sides {
        let ready = pods.iter().filter(|pod| pod.is_ready).count();
        let _ = writeln!(
            text,
            "{corner}{title}  deployment/{name}  {ready}/{} ready{weight}",
            pods.len()
        );
        for (index, pod) in pods.iter().enumerate() {
            let corner = if index + 1 == pods.len() {
                last
            } else {
                branch
            };
            let PodSeen {
                name,
                is_ready,
                state,
            } = pod;
            let sign = if *is_ready {
                Sign::Good
            } else {
                Sign::Doubtful
            };
            let _ = writeln!(
                text,
                "{under} {corner}pod/{name}  {} {state}",
                sign.show(look)
            );
        }
    }
    if let Some(gate) = view.gate {
        text.push('\n');
        text.push_str(&table(gate, look));
    }
    if let State::Proving { weight, .. } = &journal.state {
        let _ = writeln!(
            text,
            "\nproof   {} of {} fresh requests known not to reach the canary",
            view.fresh.since_hit,
            proof_requests(*weight)
        );
    }
    text
}

/// The gate, metric by metric.
pub(crate) fn table(gate: &Gate, look: Look) -> String {
    let mut text = format!(
        "{:<13} {:<18} {:<18} {:<22} {:<8} VERDICT\n",
        "GATE", "STABLE", "CANARY", "DIFFERENCE (95%)", "LIMIT"
    );
    for compared in &gate.metrics {
        let is_time = compared.metric == Metric::FirstToken;
        let side = |index: usize, value: Option<f64>| {
            let (hits, of) = compared.counts[index];
            match value {
                None => format!("<unknown> (n {of})"),
                Some(seconds) if is_time => format!("{:.0}ms (n {of})", seconds * 1000.0),
                Some(share) => format!("{hits}/{of}  {:.2}%", share * 100.0),
            }
        };
        let _ = writeln!(
            text,
            "{:<13} {:<18} {:<18} {:<22} {:<8} {}",
            compared.metric.as_str(),
            side(0, compared.stable),
            side(1, compared.canary),
            difference(compared),
            limit(compared),
            verdict(compared, look)
        );
    }
    if gate.unknown.requests > 0 {
        let _ = writeln!(
            text,
            "unknown       {} replies, {} of them failures: nobody knows who answered",
            gate.unknown.requests, gate.unknown.errors
        );
    }
    text
}

fn difference(compared: &Compared) -> String {
    let (low, high) = compared.difference;
    if compared.metric == Metric::FirstToken {
        return match high {
            Some(high) => format!("{low:.2} … {high:.2} times"),
            None => "<unknown>".to_owned(),
        };
    }
    match (compared.counts[1].1, high) {
        (0, _) | (_, None) => "<unknown>".to_owned(),
        (_, Some(high)) => format!("{:+.1} … {:+.1} points", low * 100.0, high * 100.0),
    }
}

fn limit(compared: &Compared) -> String {
    if compared.metric == Metric::FirstToken {
        return format!("{} ×", compared.limit);
    }
    format!("{:.1}", compared.limit * 100.0)
}

fn verdict(compared: &Compared, look: Look) -> String {
    let sign = match compared.verdict {
        Verdict::Pass => Sign::Good,
        Verdict::Fail => Sign::Bad,
        Verdict::Inconclusive => Sign::Doubtful,
    };
    let needs = match compared.needs {
        Some(needs) if needs < 1_000_000 => format!(", about {needs} more requests to the canary"),
        _ => String::new(),
    };
    format!("{} {}{needs}", sign.show(look), compared.verdict.as_str())
}

/// The last words of a command that drove a run: its events were told while they happened.
pub(crate) fn summary(journal: &Journal, now: Millis, look: Look) -> String {
    let mut text = format!("\n{}\n", look.paint(STRONG, &standing(journal, now)));
    after(&mut text, journal);
    text
}

/// What is told of a run that is over, or that goes on elsewhere.
pub(crate) fn report(journal: &Journal, now: Millis, look: Look) -> String {
    let mut text = format!("{}\n", look.paint(STRONG, &standing(journal, now)));
    let _ = writeln!(text, "version  {}", version(journal));
    for event_ in &journal.events {
        text.push_str(&event(event_.at, &event_.text, look));
    }
    after(&mut text, journal);
    text
}

/// What the gate said last, and how the canary failed.
pub(crate) fn after(text: &mut String, journal: &Journal) {
    if let Some(gate) = &journal.gate {
        let _ = write!(text, "{}", stored_gate(gate));
    }
    if !journal.failures.is_empty() {
        let all: u64 = journal.failures.values().sum();
        let each: Vec<String> = journal
            .failures
            .iter()
            .map(|(cause, count)| format!("{count} × {cause}"))
            .collect();
        let _ = writeln!(text, "canary   {all} failures: {}", each.join(", "));
    }
}

/// The last gate as the journal keeps it: what was compared, on one line each.
fn stored_gate(gate: &serde_json::Value) -> String {
    let mut text = String::new();
    let metrics = gate.get("metrics").and_then(serde_json::Value::as_array);
    for metric in metrics.into_iter().flatten() {
        let word = |key: &str| {
            metric
                .get(key)
                .and_then(serde_json::Value::as_str)
                .unwrap_or("<unknown>")
        };
        let count = |side: usize, part: usize| {
            let counts = metric.pointer(&format!("/counts/{side}/{part}"));
            counts
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_default()
        };
        let _ = writeln!(
            text,
            "gate     {:<12} stable {}/{}  canary {}/{}  {}",
            word("metric"),
            count(0, 0),
            count(0, 1),
            count(1, 0),
            count(1, 1),
            word("verdict")
        );
    }
    let unknown = gate.pointer("/unknown/requests");
    if let Some(unknown) = unknown
        .and_then(serde_json::Value::as_u64)
        .filter(|it| *it > 0)
    {
        let _ = writeln!(
            text,
            "gate     of {unknown} replies nobody knows who answered"
        );
    }
    text
}
