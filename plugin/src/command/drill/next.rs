//! What to run after a drill.

use super::Args;
use crate::duration;
use crate::print::text::shell;
use infer_drill::budget::percent;
use infer_drill::fault::Fault;
use infer_drill::lane::Load;
use infer_drill::report::{Report, State};

/// Commands, each with a word on what it shows.
pub(super) fn commands(report: &Report, args: &Args, program: &str) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    let rule = report.why.prevents.iter().find_map(|it| it.rule.as_ref());
    if let Some(rule) = rule {
        commands.push((format!("{program} explain {rule}"), String::new()));
    }
    if report.fault.state == State::NotSent {
        let mut words = vec![program.to_owned(), "test".to_owned()];
        words.extend(args.target.iter().map(|word| shell(word).into_owned()));
        words.extend(args.connection.words());
        let test = words.join(" ");
        commands.push((test, "what the route answers".to_owned()));
        return commands;
    }
    let (other, word) = match report.plan.fault {
        Fault::Crash | Fault::ForceDelete => (Fault::Delete, "the graceful path"),
        Fault::Delete => (Fault::Crash, "a server that dies"),
    };
    commands.push((again(args, program, other, false), word.to_owned()));
    commands
}

/// The same drill with another fault, to be pasted.
pub(super) fn again(args: &Args, program: &str, fault: Fault, yes: bool) -> String {
    let mut words = vec![program.to_owned(), "drill".to_owned()];
    words.extend(args.target.iter().map(|word| shell(word).into_owned()));
    words.extend(args.connection.words());
    let mut flag = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(flag.to_owned());
            words.push(shell(&value).into_owned());
        }
    };
    flag("--fault", Some(fault.as_str().to_owned()));
    flag("--data", args.request.data.clone());
    flag("--path", args.request.path.clone());
    flag("--get-path", args.get_path.clone());
    flag("--host", args.request.host.clone());
    flag(
        "--certificate-authority",
        args.request.certificate_authority.clone(),
    );
    for file in &args.request.header_files {
        flag("--header-file", Some(file.clone()));
    }
    for (name, value) in &args.request.headers {
        flag("--header", Some(format!("{name}: {value}")));
    }
    for resolve in &args.request.resolve {
        flag("--resolve", Some(resolve.to_string()));
    }
    let usual = Load::default();
    let load = args.load();
    let numbers = [
        (load.rate != usual.rate, "--rate", load.rate.to_string()),
        (
            load.streams != usual.streams,
            "--streams",
            load.streams.to_string(),
        ),
        (
            load.stream_tokens != usual.stream_tokens,
            "--stream-tokens",
            load.stream_tokens.to_string(),
        ),
        (
            load.baseline != usual.baseline,
            "--baseline",
            duration::show(load.baseline),
        ),
        (
            load.duration != usual.duration,
            "--duration",
            duration::show(load.duration),
        ),
    ];
    for (is_other, name, value) in numbers {
        flag(name, is_other.then_some(value));
    }
    flag(
        "--post-tokens",
        args.post_tokens.map(|number| number.to_string()),
    );
    flag("--max-outage", args.max_outage.map(duration::show));
    flag("--max-error-rate", args.max_error_rate.map(percent));
    flag(
        "--max-lost-streams",
        args.max_lost_streams.map(|number| number.to_string()),
    );
    if args.request.insecure_skip_tls_verify {
        words.push("--insecure-skip-tls-verify".to_owned());
    }
    if yes {
        words.push("--yes".to_owned());
    }
    words.join(" ")
}
