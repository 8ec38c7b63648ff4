use crate::catalogue::TimerRole;
use crate::kind::Kind;
use crate::lens::Route;
use crate::pointer::{self, Walk};
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "timeout-too-short",
    summary: "this hop gives up before the model has answered",
    page: include_str!("timeout_too_short.md"),
    level: Level::Warning,
    phase: Phase::Route,
    reads: &[Kind::IngressClass, Kind::Service, Kind::Workload],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::Controller(check)],
};

fn check(world: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    let longest = route.longest_generation(world.policy);
    for controller in &route.controllers {
        let Some((timer, key)) = controller.annotated_timer(TimerRole::Read) else {
            continue;
        };
        let Some(default_seconds) = timer.default_seconds else {
            continue;
        };
        let path = pointer::join("/metadata/annotations", key);
        let value = timer.unit.write(longest);
        let help = route.setting(|controller| {
            let (timer, key) = controller.annotated_timer(TimerRole::Read)?;
            Some((key, timer.unit.write(longest)))
        });
        match route.annotation(key) {
            // A value that cannot be read is `timeout-wrong-unit`.
            Some(text) => match timer.unit.read(text) {
                Some(seconds) if seconds < u64::from(longest) => {
                    findings
                        .add(path, format!("{seconds} s of silence end a request, the longest generation may take {longest} s"))
                        .note("an answer that is not streamed is silent until it is complete")
                        .help(help);
                }
                _ => {}
            },
            // Nor is one that is no string: that is `annotation-not-a-string`.
            None if route.object.at(&path).is_some_and(|it| !it.is_null()) => {}
            None if default_seconds < longest => {
                let finding = findings.add(
                    "/metadata/annotations",
                    format!(
                        "{} s of silence end a request (the default), the longest generation may take {longest} s",
                        default_seconds
                    ),
                );
                finding.note(format!(
                    "that is the default of {}",
                    route.controller_titles()
                ));
                finding.note("an answer that is not streamed is silent until it is complete");
                finding.help(help);
                if route.is_certain() && route.certain_controller().is_some() {
                    finding.change(Change {
                        path,
                        container: None,
                        value: Value::from(value),
                        was: None,
                        reason: format!(
                            "the longest generation may take {longest} s, {} gives up after {} s of silence",
                            controller.title, default_seconds
                        ),
                    });
                }
            }
            None => {}
        }
        // Two products that share a class name have the same flaw: it is said once.
        return;
    }
}
