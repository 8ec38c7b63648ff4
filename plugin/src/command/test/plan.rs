//! What is sent, and where to: from the flags, and for an Ingress from the cluster.

use super::send::Load;
use super::{Args, expect};
use crate::command::Session;
use crate::print::text::shell;
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::route::{Gap, Route};
use crate::smoke::Smoke;
use crate::subject::Aim;
use crate::tested::split::Wanted;
use crate::tested::{RESOLVER, Tested};
use infer_traffic::{Call, Clock, ConnectTo, Header, Target, send};
use std::net::{IpAddr, SocketAddr};

/// How many bytes of an answer are kept where it is shown.
const KEPT_SHOWN: usize = 256 * 1024;
/// The same where only counts are shown.
const KEPT_COUNTED: usize = 512;
/// The same where the model's fingerprint is looked for in it.
const KEPT_FINGERPRINT: usize = 64 * 1024;
/// How much of the list of models is read.
const KEPT_MODELS: usize = 256 * 1024;

/// What can be known from the flags and their files alone.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) subject: Aim,
    pub(super) wanted: Vec<Wanted>,
    /// How many requests.
    count: u32,
    /// What to say of that.
    note: Option<String>,
    headers: Vec<Header>,
    data: Option<Vec<u8>>,
}

/// A run that is ready to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) wanted: Vec<Wanted>,
    pub(super) tested: Tested,
    pub(super) request_line: String,
    pub(super) curl: String,
    pub(super) notes: Vec<String>,
    pub(super) gaps: Vec<Gap>,
}

/// Reads the flags and what they name.
///
/// # Errors
///
/// Everything that is wrong with them.
pub(super) fn prepare(args: &Args, session: &mut Session<'_>) -> Result<Prepared, Vec<Problem>> {
    let subject = Aim::parse(&args.target, session.program, "test");
    let headers = args.request.all_headers();
    let data = args.request.body(session.stdin);
    let wanted = expect::wanted(args).and_then(|wanted| {
        let (count, note) = expect::requests(args, &wanted)?;
        Ok((wanted, count, note))
    });
    match (subject, headers, data, wanted) {
        (Ok(subject), Ok(headers), Ok(data), Ok((wanted, count, note))) => Ok(Prepared {
            subject,
            wanted,
            count,
            note,
            headers,
            data,
        }),
        (subject, headers, data, wanted) => {
            let each = [subject.err(), headers.err(), data.err(), wanted.err()];
            Err(each.into_iter().flatten().collect())
        }
    }
}

/// The plan for a URL.
///
/// # Errors
///
/// A URL or flags that do not fit it.
pub(super) fn of_url(
    args: &Args,
    prepared: Prepared,
    url: &str,
    run: &str,
) -> Result<Plan, Problem> {
    let flags = &args.request;
    let secure = url.to_ascii_lowercase().starts_with("https:");
    let tls = secure.then(|| flags.tls()).transpose()?;
    let mut target = Target::from_url(url, tls).map_err(|error| Problem::new(error.to_string()))?;
    if let Some(path) = &flags.path {
        target.path.clone_from(path);
    }
    let mut from = match target.host.parse::<IpAddr>() {
        Ok(address) => {
            target.connect_to = ConnectTo::Address(SocketAddr::new(address, target.port));
            "URL"
        }
        Err(_) => RESOLVER,
    };
    if let Some(host) = &flags.host {
        if from == RESOLVER && flags.resolve.is_empty() {
            let problem = Problem::new("--host needs an address, and the URL has a name");
            let resolve = format!("--resolve {}:{}:ADDRESS", shell(host), target.port);
            return Err(problem.help(format!("give the URL this host, and `{resolve}`")));
        }
        target.host.clone_from(host);
    }
    if flags.pin(&mut target)? {
        from = "--resolve";
    }
    let mut notes = Vec::new();
    if prepared.data.is_none() && flags.method.is_none() {
        notes.push(
            "a URL does not say what serves there: GET, as curl does; --data FILE sends a \
             completion"
                .to_owned(),
        );
    }
    let tested = Tested {
        url: target.url(),
        host: target.host_header(),
        from,
        ..Tested::default()
    };
    Ok(assemble(args, target, prepared, tested, notes, run))
}

/// The plan for an Ingress that was read, asking its server for the model's name where the smoke
/// request wants one.
pub(super) async fn of_route(
    args: &Args,
    mut prepared: Prepared,
    route: &Route,
    run: &str,
    clock: Clock,
) -> Plan {
    let flags = &args.request;
    let mut target = route.target.clone();
    let mut notes = route.notes.clone();
    let mut smoke = route.smoke.clone();
    let wants_smoke = prepared.data.is_none() && flags.method.is_none() && flags.path.is_none();
    let mut vary = None;
    match &mut smoke {
        Some(smoke) if wants_smoke => {
            if let Some(list) = smoke.asks().map(str::to_owned) {
                let said = ask(smoke, &target, &list, flags, &prepared.headers, clock).await;
                notes.push(said);
            }
            target.path.clone_from(&smoke.path);
            prepared.data = Some(smoke.body(args.stream, None).into_bytes());
            notes.push(format!("smoke request of {}", smoke.runtime));
            if !prepared.wanted.is_empty() {
                notes.push("the prompt begins with the number of its request".to_owned());
                vary = Some((smoke.clone(), args.stream));
            }
        }
        Some(smoke) if flags.data.is_some() => target.path.clone_from(&smoke.path),
        None if wants_smoke => notes.push(
            "what serves there is not known: GET on the route's own path; --data FILE --path \
             PATH sends a completion"
                .to_owned(),
        ),
        _ => {}
    }
    if let Some(path) = &flags.path {
        target.path.clone_from(path);
    }
    let tested = Tested {
        url: target.url(),
        host: target.host_header(),
        ..route.tested.clone()
    };
    let mut plan = assemble(args, target, prepared, tested, notes, run);
    plan.gaps.clone_from(&route.gaps);
    if vary.is_some() {
        plan.load.vary = vary;
        plan.curl = curl(&plan.load, flags);
    }
    plan
}

/// Asks the server for its models, through the route. Returns what to say about it.
async fn ask(
    smoke: &mut Smoke,
    target: &Target,
    list: &str,
    flags: &RequestFlags,
    headers: &[Header],
    clock: Clock,
) -> String {
    let mut target = target.clone();
    target.path = list.to_owned();
    let call = Call {
        method: "GET".to_owned(),
        headers: headers.to_vec(),
        body: None,
        stream: false,
        limits: flags.limits(KEPT_MODELS),
    };
    let exchange = send(&target, &call, clock, clock.now()).await;
    if let Some(failure) = &exchange.failure {
        // Asked once; the request then shows the same failure, as one of a model that is not named.
        return format!(
            "the request names no model: GET {list}, which lists them, failed: {}",
            failure.message
        );
    }
    match smoke.answered(&exchange.body) {
        Some(name) => format!("model {name}, as GET {list} says (asked first, not counted)"),
        None => format!("the request names no model: the answer of GET {list} lists none"),
    }
}

/// Puts request and curl line together.
fn assemble(
    args: &Args,
    target: Target,
    prepared: Prepared,
    tested: Tested,
    mut notes: Vec<String>,
    run: &str,
) -> Plan {
    let flags = &args.request;
    let Prepared {
        wanted,
        count,
        note,
        mut headers,
        data,
        subject: _,
    } = prepared;
    let has = |headers: &[Header], name: &str| {
        let mut names = headers.iter().map(|header| &header.name);
        names.any(|known| known.eq_ignore_ascii_case(name))
    };
    if data.is_some() && !has(&headers, "content-type") {
        headers.insert(0, Header::new("content-type", "application/json"));
    }
    if has(&headers, "user-agent") {
        notes.push("the user agent is yours, so no log can be joined to these requests".to_owned());
    }
    if args.stream
        && flags.data.is_some()
        && data.as_deref().is_some_and(|body| !asks_for_stream(body))
    {
        notes.push("the data does not ask for a stream: no `\"stream\": true` in it".to_owned());
    }
    if flags.data.is_some() && !wanted.is_empty() {
        notes.push(
            "every request has the same data: a proxy that routes by prompt sends all to one \
             replica"
                .to_owned(),
        );
    }
    notes.extend(note);
    let method = flags.method.clone();
    let by_body = if data.is_some() { "POST" } else { "GET" };
    let method = method.unwrap_or_else(|| by_body.to_owned());
    let shown = (count == 1 && wanted.is_empty()) || args.verbose;
    let kept = match shown {
        true => KEPT_SHOWN,
        false if wanted.is_empty() => KEPT_COUNTED,
        false => KEPT_FINGERPRINT,
    };
    let call = Call {
        method,
        headers,
        body: data.map(Into::into),
        stream: args.stream,
        limits: flags.limits(kept),
    };
    let request_line = format!("{} {}", call.method, target.path);
    let load = Load {
        target,
        call,
        vary: None,
        run: run.to_owned(),
        count,
        rate: args.rate,
        kept: if shown { KEPT_SHOWN } else { KEPT_COUNTED },
    };
    Plan {
        curl: curl(&load, flags),
        load,
        wanted,
        tested,
        request_line,
        notes,
        gaps: Vec::new(),
    }
}

/// Whether a body asks for server-sent events, as every API of completions does.
fn asks_for_stream(body: &[u8]) -> bool {
    let body = serde_json::from_slice::<serde_json::Value>(body);
    // What is no JSON may ask in its own way.
    body.map_or(true, |body| body.get("stream") == Some(&true.into()))
}

/// The equal curl line. Files stay files in it: secrets and long bodies are not copied into a
/// terminal.
fn curl(load: &Load, flags: &RequestFlags) -> String {
    let mut call = load.call(1);
    call.headers.retain(|header| !header.secret);
    let mut more = String::new();
    for file in &flags.header_files {
        more.push_str(&format!(" -H {}", shell(&format!("@{file}"))));
    }
    if let Some(file) = &flags.data {
        call.body = None;
        // curl would wait for a `100 Continue` before a long body, and we do not.
        let body = shell(&format!("@{file}")).into_owned();
        more.push_str(&format!(" -H expect: --data-binary {body}"));
    }
    load.target.curl(&call) + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_run_is_six_digits_and_another_each_time() {
        let (first, second) = (crate::run_name::new(), crate::run_name::new());
        assert!(first.len() == 6 && first.chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(first, second);
    }

    #[test]
    fn a_body_that_asks_for_a_stream_is_told_from_one_that_does_not() {
        assert!(asks_for_stream(br#"{"stream": true}"#));
        assert!(!asks_for_stream(br#"{"stream": false}"#) && !asks_for_stream(b"{}"));
        assert!(asks_for_stream(b"not JSON"));
    }
}
