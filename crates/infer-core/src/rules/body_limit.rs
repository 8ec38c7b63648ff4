use crate::catalogue;
use crate::kind::Kind;
use crate::lens::Route;
use crate::pointer;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "body-limit",
    summary: "request bodies above 1 MiB are refused: a long prompt or an image is more",
    page: include_str!("body_limit.md"),
    level: Level::Note,
    phase: Phase::Findings,
    reads: &[Kind::IngressClass, Kind::Service, Kind::Workload],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::Controller(check)],
};

/// What a chat with a few pictures takes: base64 adds a third.
const ENOUGH: u64 = 4 << 20;

fn check(_: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    let Some((controller, limit)) = route
        .controllers
        .iter()
        .find_map(|c| Some((c, c.body.as_ref()?)))
    else {
        return;
    };
    let (path, seen) = match route.annotation(&limit.annotation) {
        Some(text) => {
            let Some(bytes) = catalogue::nginx_size(text) else {
                return;
            };
            if bytes == 0 || bytes >= ENOUGH {
                return;
            }
            let path = pointer::join("/metadata/annotations", &limit.annotation);
            (path, format!("`{text}`"))
        }
        None if limit.default_bytes < ENOUGH => (
            "/metadata/annotations".to_owned(),
            format!(
                "{}'s default of {} KiB",
                controller.title,
                limit.default_bytes >> 10
            ),
        ),
        None => return,
    };
    findings
        .add(
            path,
            format!("request bodies are limited to {seen}, larger ones get 413"),
        )
        .help(
            route.setting(|controller| {
                Some((&controller.body.as_ref()?.annotation, "16m".to_owned()))
            }),
        )
        .note("16m holds a chat with a few pictures; the model's largest input decides");
}
