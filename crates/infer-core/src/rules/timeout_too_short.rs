use crate::catalogue::{Controller, TimerField, TimerRole};
use crate::kind::Kind;
use crate::lens::{Route, longest_generation};
use crate::pointer::{self, Walk};
use crate::policy::Policy;
use crate::route::timers::{self, Source, TimerSet};
use crate::route::{Backend, HttpRoute, READ_FOR_VIRTUAL_SERVICE, VirtualService};
use crate::rule::{Change, Check, Finding, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "timeout-too-short",
    summary: "this hop gives up before the model has answered",
    page: include_str!("timeout_too_short.md"),
    level: Level::Warning,
    phase: Phase::Route,
    reads: READ_FOR_VIRTUAL_SERVICE,
    needs: &[Kind::Service, Kind::Workload],
    checks: &[
        Check::Controller(ingress),
        Check::HttpRouteController(http_route),
        Check::VirtualService(virtual_service),
    ],
};

/// How long a generation behind these backends may take; `None` where no inference workload is.
fn longest(backends: &[Backend<'_>], policy: &Policy) -> Option<u32> {
    let edges = backends.iter().flat_map(|backend| &backend.edges);
    edges
        .map(|edge| longest_generation(edge.workload, policy))
        .max()
}

/// The timers that end an answer under way, or one that has not begun.
fn ends_answers(role: TimerRole) -> bool {
    matches!(
        role,
        TimerRole::Read | TimerRole::FirstByte | TimerRole::Whole
    )
}

fn ingress(world: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    let longest = route.longest_generation(world.policy);
    for controller in &route.controllers {
        let all = timers::of_ingress(controller, route.object);
        let is_judged =
            |set: &&TimerSet<'_>| ends_answers(set.role) && set.timer.annotation.is_some();
        for set in all.iter().filter(is_judged) {
            if let Some(finding) = judge_annotation(route, controller, set, longest, findings) {
                say_next(finding, &all, set.role, longest);
            }
        }
        if all.iter().any(|set| is_judged(&set)) {
            // Two products that share a class name have the same flaw: it is said once.
            return;
        }
    }
}

fn judge_annotation<'f>(
    route: &Route<'_>,
    controller: &Controller,
    set: &TimerSet<'_>,
    longest: u32,
    findings: &'f mut Findings,
) -> Option<&'f mut Finding> {
    let role = set.role;
    let seconds = set.seconds.filter(|it| *it < u64::from(longest))?;
    let annotation = set.timer.annotation.as_ref()?;
    let help = route.setting(|controller| {
        let (timer, key) = controller.annotated_timer(role)?;
        Some((key, timer.unit.write(longest)))
    });
    match &set.source {
        Source::Annotation(key, text) => {
            let path = pointer::join("/metadata/annotations", key);
            let finding = findings.add(path, message(role, seconds, "", longest));
            if set.timer.zero_is_default && set.timer.unit.read(text) == Some(0) {
                finding.note(format!("`{text}` means the default there"));
            }
            explain(finding, role);
            Some(finding.help(help))
        }
        Source::Default => {
            // One that is no string is `annotation-not-a-string`.
            let is_odd = |key: &String| {
                let path = pointer::join("/metadata/annotations", key);
                route.object.at(&path).is_some_and(|it| !it.is_null())
            };
            if set.timer.alias.iter().chain([annotation]).any(is_odd) {
                return None;
            }
            let finding = findings.add(
                "/metadata/annotations",
                message(role, seconds, " (the default)", longest),
            );
            finding.note(format!(
                "that is the default of {}",
                route.controller_titles()
            ));
            explain(finding, role);
            finding.help(help);
            if route.is_certain() && route.certain_controller().is_some() {
                finding.change(Change {
                    path: pointer::join("/metadata/annotations", annotation),
                    container: None,
                    value: Value::from(set.timer.unit.write(longest)),
                    was: None,
                    reason: format!(
                        "the longest generation may take {longest} s, {} gives up after {seconds} s{}",
                        controller.title,
                        match role {
                            TimerRole::Read => " of silence",
                            _ => "",
                        }
                    ),
                });
            }
            Some(finding)
        }
        // A value that cannot be read is `timeout-wrong-unit`. An Ingress has no such fields.
        Source::Unreadable(..) | Source::Field(..) => None,
    }
}

fn http_route(world: &World<'_>, route: &HttpRoute<'_>, findings: &mut Findings) {
    for rule in &route.rules {
        let Some(longest) = longest(&rule.backends, world.policy) else {
            continue;
        };
        for controller in route.controllers() {
            let all = timers::of_http_route(controller, route.object, rule).into_iter();
            let judged: Vec<TimerSet<'_>> = all.filter(|set| ends_answers(set.role)).collect();
            // Of timers that nothing sets, the one that ends an answer first: the others matter once
            // that one is longer.
            let by_default = |set: &&TimerSet<'_>| set.timer.default_seconds.unwrap_or(u32::MAX);
            let first = judged.iter().min_by_key(by_default).map(|set| set.role);
            for set in &judged {
                let Some(seconds) = set.seconds.filter(|it| *it < u64::from(longest)) else {
                    continue;
                };
                match &set.source {
                    Source::Field(_, path, _) => {
                        let finding =
                            findings.add(path.clone(), message(set.role, seconds, "", longest));
                        explain(finding, set.role);
                        finding.help(set_field(path, longest));
                    }
                    Source::Default if first == Some(set.role) => {
                        let finding = findings.add(
                            rule.path.clone(),
                            message(set.role, seconds, " (the default)", longest),
                        );
                        finding.note(format!("that is the default of {}", controller.title));
                        explain(finding, set.role);
                        if let Some(elsewhere) = &set.timer.elsewhere {
                            finding.note(format!("{elsewhere} is not read here"));
                        }
                        finding.help(set_somewhere(controller, set, longest));
                        say_next(finding, &judged, set.role, longest);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn virtual_service(world: &World<'_>, route: &VirtualService<'_>, findings: &mut Findings) {
    let mut readers = world.catalogue.controllers.iter();
    let Some(reader) = readers.find(|controller| controller.reads_mesh) else {
        return;
    };
    for one in &route.routes {
        let Some(longest) = longest(&one.backends, world.policy) else {
            continue;
        };
        for set in timers::of_virtual_service(reader, route.object, one, None) {
            let (Some(seconds), Source::Field(_, path, _)) = (set.seconds, &set.source) else {
                continue;
            };
            if !ends_answers(set.role) || seconds >= u64::from(longest) {
                continue;
            }
            let finding = findings.add(path.clone(), message(set.role, seconds, "", longest));
            explain(finding, set.role);
            finding.help(format!(
                "{}, or leave it out: then there is no limit",
                set_field(path, longest)
            ));
        }
    }
}

fn message(role: TimerRole, seconds: u64, by: &str, longest: u32) -> String {
    let what = match role {
        TimerRole::Whole => format!("every answer is cut after {seconds} s{by}"),
        TimerRole::FirstByte => format!("an answer that has not begun ends after {seconds} s{by}"),
        _ => format!("{seconds} s of silence end a request{by}"),
    };
    format!("{what}, the longest generation may take {longest} s")
}

/// Says which answers the timer cuts.
fn explain(finding: &mut Finding, role: TimerRole) {
    finding.note(match role {
        TimerRole::Whole => {
            "it counts the whole answer: a stream is cut as well, however fast its tokens come"
        }
        _ => "an answer that is not streamed is silent until it is complete",
    });
}

/// Says which timers, set nowhere in sight, end a silent answer once this one is long enough.
fn say_next(finding: &mut Finding, all: &[TimerSet<'_>], role: TimerRole, longest: u32) {
    for set in all {
        let Some(seconds) = set.seconds.filter(|it| *it < u64::from(longest)) else {
            continue;
        };
        let is_next = set.role != role
            && ends_answers(set.role)
            && set.source == Source::Default
            && set.timer.default_beside_whole.is_none();
        if let (true, Some(elsewhere)) = (is_next, &set.timer.elsewhere) {
            finding.note(format!(
                "{seconds} s of silence end a request as well, by default: {elsewhere} is not read here"
            ));
        }
    }
}

fn set_field(path: &str, seconds: u32) -> String {
    let mut names = path.rsplit('/');
    let field = names.next().unwrap_or_default();
    match names.next() {
        Some("timeouts") => format!("set `timeouts.{field}: {seconds}s`"),
        _ => format!("set `{field}: {seconds}s`"),
    }
}

/// How to set a timer that nothing sets: in the route where its controller honours that, else by
/// what is not read here.
fn set_somewhere(controller: &Controller, set: &TimerSet<'_>, seconds: u32) -> String {
    let honours = controller.http_route.is_none_or(|it| it.timeouts);
    let timer = set.timer;
    match &timer.elsewhere {
        _ if honours && timer.fields.contains(&TimerField::HttpRouteRequest) => {
            format!("set `timeouts.request: {seconds}s` in this rule")
        }
        Some(elsewhere) => format!("set {elsewhere} to `{}`", timer.unit.write(seconds)),
        None => format!(
            "see what {} offers: no field of the route sets it",
            controller.title
        ),
    }
}
