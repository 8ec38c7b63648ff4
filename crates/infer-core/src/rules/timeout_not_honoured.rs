use crate::catalogue::{Controller, HttpRouteSupport, IgnoredHow, TimerRole};
use crate::kind::Kind;
use crate::route::timers::{self, TimerSet};
use crate::route::{HttpRoute, HttpRouteRule};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "timeout-not-honoured",
    summary: "the controller of this HTTPRoute ignores its `timeouts` or `retry`",
    page: include_str!("timeout_not_honoured.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: &[
        Kind::Workload,
        Kind::Service,
        Kind::GatewayClass,
        Kind::Gateway,
    ],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::HttpRouteController(check)],
};

fn check(_: &World<'_>, route: &HttpRoute<'_>, findings: &mut Findings) {
    for rule in &route.rules {
        if rule.backends.iter().all(|it| it.edges.is_empty()) {
            continue;
        }
        for controller in route.controllers() {
            let Some(support) = controller.http_route else {
                continue;
            };
            if !support.timeouts && is_set(rule, "timeouts") {
                let finding = findings.add(
                    format!("{}/timeouts", rule.path),
                    format!("`timeouts` does nothing: {} ignores it", controller.title),
                );
                finding.note(how(support));
                for set in timers::of_http_route(controller, route.object, rule) {
                    if let Some(text) = counts(&set) {
                        finding.note(text);
                    }
                }
                finding.help(remedy(controller));
            }
            if !support.retry && is_set(rule, "retry") {
                let finding = findings.add(
                    format!("{}/retry", rule.path),
                    format!("`retry` does nothing: {} ignores it", controller.title),
                );
                finding.note(how(support));
                if let Some(retries) = &controller.retries {
                    finding.note(format!("what it repeats: {}", retries.default));
                }
                finding.help("take `retry` out of this rule, so that nobody relies on it");
            }
        }
    }
}

fn is_set(rule: &HttpRouteRule<'_>, member: &str) -> bool {
    let object = rule.object.get(member).and_then(Value::as_object);
    object.is_some_and(|object| !object.is_empty())
}

fn how(support: HttpRouteSupport) -> &'static str {
    match support.ignored_how {
        Some(IgnoredHow::UnsupportedField) => {
            "the route's status says `Accepted: True` with reason `UnsupportedField`"
        }
        _ => "in silence: the route's status says `Accepted: True`",
    }
}

/// What counts in place of the field, where that ends answers.
fn counts(set: &TimerSet<'_>) -> Option<String> {
    let what = match set.role {
        TimerRole::Whole => "the whole answer",
        TimerRole::Read => "silence of the server",
        TimerRole::FirstByte => "the head of the answer",
        TimerRole::Connect | TimerRole::Send | TimerRole::Drain => return None,
    };
    let elsewhere = set.timer.elsewhere.as_ref()?;
    let value = match set.seconds {
        Some(seconds) => format!("{seconds} s"),
        None => "no limit".to_owned(),
    };
    Some(format!(
        "what counts for {what}: {elsewhere}, {value} by default"
    ))
}

/// Where this controller lets a person set what the field would.
fn remedy(controller: &Controller) -> String {
    let ends = [TimerRole::Whole, TimerRole::FirstByte, TimerRole::Read];
    let mut timers = controller.timers.iter();
    let place = timers.find_map(|timer| {
        let elsewhere = timer.elsewhere.as_ref()?;
        ends.contains(&timer.role).then_some(elsewhere)
    });
    match place {
        Some(place) => format!("set {place} and take `timeouts` out of this rule"),
        None => "take `timeouts` out of this rule, so that nobody relies on it".to_owned(),
    }
}
