use crate::catalogue::Unreadable;
use crate::kind::Kind;
use crate::lens::Route;
use crate::pointer;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "timeout-wrong-unit",
    summary: "the controller cannot read this timeout",
    page: include_str!("timeout_wrong_unit.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[Kind::IngressClass, Kind::Service, Kind::Workload],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::Controller(check)],
};

fn check(_: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    for controller in &route.controllers {
        let Some(unreadable) = controller.unreadable else {
            continue;
        };
        for timer in &controller.timers {
            let Some((key, text)) = timer.annotated(route.object) else {
                continue;
            };
            if timer.reads(text) {
                continue;
            }
            let effect = match unreadable {
                Unreadable::FallsBack => match timer.default_seconds {
                    Some(seconds) => format!("in silence it uses its default of {seconds} s"),
                    None => "in silence it sets no limit, which is its default".to_owned(),
                },
                Unreadable::Rejected => "it refuses the whole Ingress".to_owned(),
            };
            let finding = findings.add(
                pointer::join("/metadata/annotations", key),
                format!("{} cannot read `{text}`: {effect}", controller.title),
            );
            let meant = crate::duration::parse_nginx(text).and_then(|s| u32::try_from(s).ok());
            finding.help(match meant {
                Some(seconds) => format!(
                    "write `\"{}\"`: {}",
                    timer.unit.write(seconds),
                    timer.unit.hint()
                ),
                None => format!("write {}", timer.unit.hint()),
            });
        }
    }
}
