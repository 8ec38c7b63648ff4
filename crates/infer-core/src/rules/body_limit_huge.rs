use crate::catalogue;
use crate::kind::Kind;
use crate::lens::Route;
use crate::pointer;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "body-limit-huge",
    summary: "one request may fill the controller's disk",
    page: include_str!("body_limit_huge.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: &[Kind::IngressClass, Kind::Service, Kind::Workload],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::Controller(check)],
};

/// More than any prompt, picture or recording that a model takes in one request.
const HUGE: u64 = 1 << 30;

fn check(_: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    for controller in &route.controllers {
        let Some(limit) = &controller.body else {
            continue;
        };
        let Some(text) = route.annotation(&limit.annotation) else {
            continue;
        };
        let Some(spooled) = &limit.spooled_unless else {
            continue;
        };
        let Some(bytes) = catalogue::nginx_size(text) else {
            continue;
        };
        let unlimited = bytes == 0;
        if !(unlimited || bytes >= HUGE)
            || route.annotation(&spooled.annotation) == Some(spooled.value.as_str())
        {
            continue;
        }
        let seen = if unlimited {
            "without limit".to_owned()
        } else {
            format!("up to `{text}`")
        };
        findings
            .add(
                pointer::join("/metadata/annotations", &limit.annotation),
                format!("request bodies {seen} are written to the controller's disk first"),
            )
            .note("a whole request is buffered before the server sees its first byte")
            .help(format!(
                "set `{}: \"16m\"`, or what the model's largest input takes",
                limit.annotation
            ));
        return;
    }
}
