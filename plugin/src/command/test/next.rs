//! What to run after a test: the next question that its result asks.

use super::Args;
use crate::command::Session;
use crate::print::text::shell;
use crate::tested::Report;
use crate::tested::split::Split;
use infer_traffic::Cause;
use infer_verdict::split::Settles;

/// Commands, each with a word on what it shows.
pub(super) fn commands(
    report: &Report,
    args: &Args,
    session: &Session<'_>,
) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    let failed = report.answers.iter().find(|answer| answer.failed());
    match failed {
        Some(answer) => {
            let cause = answer
                .exchange
                .failure
                .as_ref()
                .map(|failure| failure.cause);
            let checked = !args.request.insecure_skip_tls_verify;
            if cause == Some(Cause::Tls) && checked {
                let unchecked = again(args, session, &["--insecure-skip-tls-verify"]);
                commands.push((
                    unchecked,
                    "what answers, its certificate unchecked".to_owned(),
                ));
            }
            if let Some(cause) = cause {
                commands.extend(after(cause, answer.exchange.status, report, args));
            }
        }
        None if report.interrupted => {}
        None => {
            if let Some(split) = &report.split {
                return unsettled(split, args, session);
            }
            if report.wanted == 1 {
                let many = again(args, session, &["--requests 20"]);
                commands.push((many, "which replicas answer, and how fast".to_owned()));
            }
            if !args.stream && report.request_line.starts_with("POST ") {
                let stream = again(args, session, &["--stream"]);
                commands.push((stream, "first token, gaps, buffering".to_owned()));
            }
        }
    }
    commands
}

/// What would settle a share.
fn unsettled(split: &Split, args: &Args, session: &Session<'_>) -> Vec<(String, String)> {
    let open = || {
        let each = split.expectations.iter().map(|it| it.judged.settles);
        each.filter(|settles| *settles != Settles::Settled)
    };
    // One that no number settles keeps the whole open.
    if open().any(|settles| settles.requests().is_none()) {
        return Vec::new();
    }
    let Some(requests) = open().filter_map(Settles::requests).max() else {
        return Vec::new();
    };
    if i64::try_from(requests).is_ok_and(|it| it <= super::MOST_REQUESTS) {
        let more = again(args, session, &[&format!("--requests {requests}")]);
        return vec![(more, "enough to settle it".to_owned())];
    }
    Vec::new()
}

/// The same test with other flags.
fn again(args: &Args, session: &Session<'_>, flags: &[&str]) -> String {
    let mut words = vec![session.program.to_owned(), "test".to_owned()];
    words.extend(args.target.iter().map(|word| shell(word).into_owned()));
    words.extend(args.connection.words());
    let request = &args.request;
    let named = [
        ("--data", &request.data),
        ("--method", &request.method),
        ("--path", &request.path),
        ("--host", &request.host),
        ("--certificate-authority", &request.certificate_authority),
        ("--replica-header", &request.replica_header),
    ];
    for (flag, value) in named {
        // Each excludes the other.
        let excluded =
            *flag == *"--certificate-authority" && flags.contains(&"--insecure-skip-tls-verify");
        if let Some(value) = value
            && !excluded
        {
            words.push(flag.to_owned());
            words.push(shell(value).into_owned());
        }
    }
    for file in &request.header_files {
        words.push("--header-file".to_owned());
        words.push(shell(file).into_owned());
    }
    for (name, value) in &request.headers {
        words.push("--header".to_owned());
        words.push(shell(&format!("{name}: {value}")).into_owned());
    }
    for resolve in &request.resolve {
        words.push("--resolve".to_owned());
        words.push(resolve.to_string());
    }
    if request.insecure_skip_tls_verify {
        words.push("--insecure-skip-tls-verify".to_owned());
    }
    if args.stream && !flags.contains(&"--stream") {
        words.push("--stream".to_owned());
    }
    if !args.expect.is_empty() {
        let shares: Vec<String> = args.expect.iter().map(ToString::to_string).collect();
        words.push("--expect".to_owned());
        words.push(shell(&shares.join(",")).into_owned());
    }
    if let Some(points) = args.tolerance {
        words.push(format!("--tolerance {points}"));
    }
    if let Some(rate) = args.rate {
        words.push(format!("--rate {rate}"));
    }
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    words.join(" ")
}

/// Where to look after a failure.
fn after(cause: Cause, status: Option<u16>, report: &Report, args: &Args) -> Vec<(String, String)> {
    let Some(object) = &report.tested.object else {
        return Vec::new();
    };
    // The flags that reach the cluster, for kubectl too.
    let namespace = object.namespace.clone();
    let mut words = args.connection.words();
    if args.connection.namespace.is_none() {
        words.extend(["-n".to_owned(), shell(&namespace).into_owned()]);
    }
    let flags = words.join(" ");
    let kind = object.kind.to_lowercase();
    let ingress = format!("kubectl describe {kind} {} {flags}", shell(&object.name));
    let service = report.tested.service.as_deref().unwrap_or("SERVICE");
    let slices = format!(
        "kubectl get endpointslices -l kubernetes.io/service-name={} {flags}",
        shell(service)
    );
    let pods = format!("kubectl get pods -o wide {flags}");
    let events = format!("kubectl get events --sort-by=.lastTimestamp {flags}");
    let one = |command: String, word: &str| vec![(command, word.to_owned())];
    match cause {
        Cause::Resolve
        | Cause::Refused
        | Cause::Unreachable
        | Cause::ConnectTimeout
        | Cause::Tls
        | Cause::Protocol => one(ingress, "its address, class and TLS"),
        Cause::ClosedBeforeHeaders
        | Cause::ResetBeforeHeaders
        | Cause::ClosedInBody
        | Cause::ResetInBody
        | Cause::ClosedWithoutTerminator => one(events, "what ended meanwhile"),
        Cause::Stalled | Cause::Timeout => one(pods, "who is busy, or gone"),
        Cause::Http => match status {
            Some(404) => one(ingress, "hosts and paths that it serves"),
            Some(502..=504) => one(slices, "which replicas the proxy may use"),
            _ => one(pods, "what serves there"),
        },
    }
}
