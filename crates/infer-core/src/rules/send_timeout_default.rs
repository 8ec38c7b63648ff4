use crate::catalogue::TimerRole;
use crate::kind::Kind;
use crate::lens::Route;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "send-timeout-default",
    summary: "the send timeout is left at its default",
    page: include_str!("send_timeout_default.md"),
    level: Level::Note,
    phase: Phase::Findings,
    reads: &[Kind::IngressClass, Kind::Service, Kind::Workload],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::Controller(check)],
};

fn check(world: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    let longest = route.longest_generation(world.policy);
    for controller in &route.controllers {
        let Some((timer, key)) = controller.annotated_timer(TimerRole::Send) else {
            continue;
        };
        let Some(default_seconds) = timer.default_seconds else {
            continue;
        };
        if route.annotation(key).is_some() || default_seconds >= longest {
            continue;
        }
        findings
            .add(
                "/metadata/annotations",
                format!("the send timeout is {}'s default of {default_seconds} s", controller.title),
            )
            .note("it bounds the silence between two writes of the request to the server: it cuts a slow upload, not a slow answer")
            .help(route.setting(|controller| {
                let (timer, key) = controller.annotated_timer(TimerRole::Send)?;
                Some((key, timer.unit.write(longest)))
            }));
        return;
    }
}
