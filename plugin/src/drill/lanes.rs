//! What each lane sends, from the runtime's smoke request and the flags.

use super::gather::Ground;
use super::traffic::Template;
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::smoke::Smoke;
use infer_drill::lane::{Lane, Load};
use infer_traffic::{Call, Clock, Header, Target, send};
use serde_json::Value;
use std::time::Duration;

/// How much of the list of models is read.
const KEPT_MODELS: usize = 256 * 1024;
/// How long a question before the drill may take.
const ASK: Duration = Duration::from_secs(10);
/// Path that OpenAI's servers list their models at, where no health path is routed.
const MODELS: &str = "/v1/models";

/// What the lanes are made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The flags about requests.
    pub(crate) flags: &'a RequestFlags,
    /// The headers of all flags and files.
    pub(crate) headers: &'a [Header],
    /// The body of `--data`.
    pub(crate) data: Option<&'a [u8]>,
    /// Path of the GET lane.
    pub(crate) get_path: Option<&'a str>,
    /// Tokens that a POST asks for.
    pub(crate) post_tokens: Option<u32>,
    /// The traffic.
    pub(crate) load: &'a Load,
}

/// The lanes, and what could not be found out.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Each lane's request.
    pub(crate) templates: Vec<Template>,
    /// Lanes that are missing, and why.
    pub(crate) gaps: Vec<String>,
}

/// Makes the lanes. It asks the route for the model's name and for a path that answers GET; these
/// requests are not counted.
///
/// # Errors
///
/// Where nothing is known to send.
pub(crate) async fn lanes(
    ground: &Ground,
    wanted: &Wanted<'_>,
    clock: Clock,
) -> Result<Lanes, Problem> {
    let mut gaps = Vec::new();
    let mut templates = Vec::new();
    match get_path(ground, wanted, clock).await {
        Ok(path) => templates.push(Template {
            lane: Lane::GET,
            target: at(&ground.route.target, path),
            call: call(wanted, "GET", None, false),
        }),
        Err(reason) => gaps.push(format!("what GETs see: {reason}")),
    }
    let mut smoke = ground.route.smoke.clone();
    if let (Some(smoke), None) = (&mut smoke, wanted.data)
        && let Some(list) = smoke.asks().map(str::to_owned)
    {
        let answer = ask(ground, wanted, &list, clock, KEPT_MODELS).await;
        if answer.is_none_or(|body| smoke.answered(&body).is_none()) {
            gaps.push(format!("the model's name: GET {list} lists none"));
        }
    }
    let path = match (&wanted.flags.path, &smoke) {
        (Some(path), _) => path.clone(),
        (None, Some(smoke)) => smoke.path.clone(),
        (None, None) => return Err(nothing_to_send()),
    };
    let target = at(&ground.route.target, path);
    let bodies = match (wanted.data, &smoke) {
        (Some(data), _) => (data.to_vec(), as_stream(data)),
        (None, Some(smoke)) => bodies(smoke, wanted),
        (None, None) => return Err(nothing_to_send()),
    };
    templates.push(Template {
        lane: Lane::POST,
        target: target.clone(),
        call: call(wanted, "POST", Some(bodies.0), false),
    });
    if wanted.load.streams > 0 {
        templates.push(Template {
            lane: Lane::STREAMS,
            target,
            call: call(wanted, "POST", Some(bodies.1), true),
        });
    }
    Ok(Lanes { templates, gaps })
}

fn nothing_to_send() -> Problem {
    Problem::new("what serves behind this route is not known, so there is no request to send")
        .help("`--data FILE --path PATH` says what to POST")
}

fn at(target: &Target, path: String) -> Target {
    Target {
        path,
        ..target.clone()
    }
}

fn bodies(smoke: &Smoke, wanted: &Wanted<'_>) -> (Vec<u8>, Vec<u8>) {
    let post = smoke.body(false, wanted.post_tokens);
    let stream = smoke.body(true, Some(wanted.load.stream_tokens));
    (post.into_bytes(), stream.into_bytes())
}

/// The same body asking for server-sent events, where it is an object.
fn as_stream(data: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(data) {
        Ok(Value::Object(mut body)) => {
            body.insert("stream".to_owned(), Value::Bool(true));
            Value::Object(body).to_string().into_bytes()
        }
        _ => data.to_vec(),
    }
}

fn call(wanted: &Wanted<'_>, method: &str, body: Option<Vec<u8>>, stream: bool) -> Call {
    let mut headers = wanted.headers.to_vec();
    let has_type = |header: &Header| header.name.eq_ignore_ascii_case("content-type");
    if body.is_some() && !headers.iter().any(has_type) {
        headers.insert(0, Header::new("content-type", "application/json"));
    }
    // Ours is what joins a request to the proxy's log.
    headers.retain(|header| !header.name.eq_ignore_ascii_case("user-agent"));
    Call {
        method: method.to_owned(),
        headers,
        body: body.map(Into::into),
        stream,
        limits: wanted.flags.limits(0),
    }
}

/// The path of the GET lane: the flag's, else the first that answers below 400.
async fn get_path(ground: &Ground, wanted: &Wanted<'_>, clock: Clock) -> Result<String, String> {
    if let Some(path) = wanted.get_path {
        return Ok(path.to_owned());
    }
    let prefix = ground.route.target.path.trim_end_matches('/');
    let mut paths: Vec<String> = Vec::new();
    for path in ground
        .runtime
        .health
        .iter()
        .map(String::as_str)
        .chain([MODELS])
    {
        for path in [path.to_owned(), format!("{prefix}{path}")] {
            // Another Service's answer says nothing about these pods.
            if ground.routes(&path) && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    for path in &paths {
        if ask(ground, wanted, path, clock, 0).await.is_some() {
            return Ok(path.clone());
        }
    }
    if paths.is_empty() {
        return Err(
            "no path that is known to answer GET is routed; `--get-path PATH` names one".to_owned(),
        );
    }
    Err(format!(
        "none of {} answers below 400 through this route; `--get-path PATH` names one",
        paths.join(", ")
    ))
}

/// The beginning of the answer to a GET; `None` where it failed.
async fn ask(
    ground: &Ground,
    wanted: &Wanted<'_>,
    path: &str,
    clock: Clock,
    kept: usize,
) -> Option<Vec<u8>> {
    let target = at(&ground.route.target, path.to_owned());
    let mut call = call(wanted, "GET", None, false);
    call.limits = wanted.flags.limits(kept);
    call.limits.whole = call.limits.whole.min(ASK);
    let exchange = send(&target, &call, clock, clock.now()).await;
    exchange.failure.is_none().then_some(exchange.body)
}
