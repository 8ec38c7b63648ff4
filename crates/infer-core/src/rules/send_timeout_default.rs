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
    check: Check::Controller(check),
};

fn check(world: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    let longest = route.longest_generation(world.policy);
    for controller in &route.controllers {
        let Some(timer) = controller.timer(TimerRole::Send) else {
            continue;
        };
        if route.annotation(&timer.annotation).is_some() || timer.default_seconds >= longest {
            continue;
        }
        findings
            .add(
                "/metadata/annotations",
                format!("the send timeout is {}'s default of {} s", controller.title, timer.default_seconds),
            )
            .note("it bounds the silence between two writes of the request to the server: it cuts a slow upload, not a slow answer")
            .help(route.setting(|controller| {
                let timer = controller.timer(TimerRole::Send)?;
                Some((&timer.annotation, timer.unit.write(longest)))
            }));
        return;
    }
}
