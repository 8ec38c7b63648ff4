use crate::catalogue::Replay;
use crate::kind::Kind;
use crate::lens::Route;
use crate::pointer::{self, Walk};
use crate::route::{Backend, HttpRoute, READ_FOR_VIRTUAL_SERVICE, VirtualService};
use crate::rule::{Check, Finding, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "retry-replays-post",
    summary: "a POST that has reached a server is sent again",
    page: include_str!("retry_replays_post.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: READ_FOR_VIRTUAL_SERVICE,
    needs: &[Kind::Service, Kind::Workload],
    checks: &[
        Check::Controller(ingress),
        Check::HttpRouteController(http_route),
        Check::VirtualService(virtual_service),
    ],
};

/// The conditions under which nothing has reached a server yet (envoyproxy/envoy
/// docs/root/configuration/http/http_filters/router_filter.rst, `x-envoy-retry-on`).
const BEFORE_SENT: &str = "connect-failure,refused-stream";

fn ingress(_: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    for controller in &route.controllers {
        let retries = controller.retries.iter();
        for replay in retries.flat_map(|retries| &retries.replays_post) {
            let key = &replay.annotation;
            let Some(value) = route.annotation(key) else {
                continue;
            };
            let words = replay.words_in(value);
            if words.is_empty() || is_off(replay, route) {
                continue;
            }
            let finding = findings.add(
                pointer::join("/metadata/annotations", key),
                message(&words, &controller.title),
            );
            explain(finding);
            let rest: Vec<&str> = value
                .split([' ', ','])
                .filter(|word| !word.is_empty() && !words.contains(word))
                .collect();
            finding.help(if rest.is_empty() {
                format!("take `{key}` out")
            } else {
                let apart = if value.contains(',') { "," } else { " " };
                format!("set `{key}: \"{}\"`", rest.join(apart))
            });
        }
    }
}

fn is_off(replay: &Replay, route: &Route<'_>) -> bool {
    let unless = replay.unless.as_ref();
    unless.is_some_and(|it| route.annotation(&it.annotation) == Some(it.value.as_str()))
}

fn http_route(_: &World<'_>, route: &HttpRoute<'_>, findings: &mut Findings) {
    for rule in route.rules.iter().filter(|it| is_inference(&it.backends)) {
        let codes = rule.object.at("/retry/codes").and_then(Value::as_array);
        let codes: Vec<String> = codes
            .into_iter()
            .flatten()
            .filter_map(|code| Some(code.as_u64()?.to_string()))
            .collect();
        let attempts = rule.object.at("/retry/attempts").and_then(Value::as_u64);
        if codes.is_empty() || attempts == Some(0) {
            continue;
        }
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        for controller in route.controllers() {
            if controller.http_route.is_some_and(|it| it.retry) {
                let path = format!("{}/retry/codes", rule.path);
                explain(findings.add(path, message(&codes, &controller.title))).help(
                    "take `retry` out of this rule: a client that repeats knows what it has got",
                );
            }
        }
    }
}

fn virtual_service(world: &World<'_>, route: &VirtualService<'_>, findings: &mut Findings) {
    let mut readers = world.catalogue.controllers.iter();
    let Some(reader) = readers.find(|controller| controller.reads_mesh) else {
        return;
    };
    let Some(retries) = &reader.retries else {
        return;
    };
    for one in route.routes.iter().filter(|it| is_inference(&it.backends)) {
        // Without a number of attempts nothing is repeated: the rule's page says where that is read.
        let attempts = one.object.at("/retries/attempts").and_then(Value::as_u64);
        let list = one.object.at("/retries/retryOn").and_then(Value::as_str);
        let (Some(1..), Some(list)) = (attempts, list) else {
            continue;
        };
        let conditions = list.split(',').map(str::trim);
        let replays = |word: &&str| {
            retries.retry_on.iter().any(|it| it == word) || word.parse::<u16>().is_ok()
        };
        let words: Vec<&str> = conditions.filter(replays).collect();
        if words.is_empty() {
            continue;
        }
        let path = format!("{}/retries/retryOn", one.path);
        explain(findings.add(path, message(&words, "the proxy"))).help(format!(
            "set `retryOn: {BEFORE_SENT}`, or `attempts: 0` for none"
        ));
    }
}

/// Whether any of these backends leads to an inference workload.
fn is_inference(backends: &[Backend<'_>]) -> bool {
    backends.iter().any(|backend| !backend.edges.is_empty())
}

fn message(words: &[&str], who: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!(
        "{} makes {who} send a POST again that a server has had",
        words.join(", ")
    )
}

fn explain(finding: &mut Finding) -> &mut Finding {
    finding
        .note("the first server goes on computing: the same answer costs twice, when load is worst")
}
