//! Review of one object: every rule that has it as its subject, in the order of the phases, and
//! then the changes of those fixes that the policy and the object allow.

use crate::engine::Engine;
use crate::kind::{Kind, KindSet, Mode, pod_kind_of, stored_kind_of};
use crate::lens::{Route, ServiceView, Workload};
use crate::object;
use crate::pointer;
use crate::policy::{self, Action};
use crate::record::{Declined, Entry};
use crate::route::{self, Backend, DestinationRule, Evidence, HttpRoute, VirtualService};
use crate::rule::{Change, Check, Finding, Findings, Phase, Rule};
use crate::rules;
use crate::snapshot::Reader;
use crate::world::World;
use crate::written::{Origin, Written};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a review found.
#[derive(Debug, Default)]
pub struct Reviewed {
    /// Findings, in the order of phases and names.
    pub findings: Vec<Finding>,
    /// Services that a route names, and whose end is not in sight.
    pub open: Vec<String>,
    /// Whether the object is an inference workload or a route to one.
    pub is_subject: bool,
    /// Why rules about this route's controller said nothing, if they did not.
    pub no_controller: Option<String>,
}

/// A rule that could not speak, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The rule.
    pub rule: &'static str,
    /// What it needs and does not see.
    pub needs: Kind,
}

/// The rules that have nothing to say where only these kinds are known.
pub fn skipped(known: KindSet) -> Vec<Skipped> {
    let missing = |rule: &&'static Rule| {
        let needs = rule.needs.iter().find(|kind| !known.contains(**kind))?;
        Some(Skipped {
            rule: rule.id,
            needs: *needs,
        })
    };
    rules::ALL.iter().filter_map(missing).collect()
}

/// Reviews one object. Objects that are no subject of any rule give nothing.
pub fn review(
    engine: &Engine,
    reader: &Reader<'_>,
    object: &Value,
    origin: Origin<'_>,
    declined: &[Declined],
) -> Reviewed {
    let written = Written::new(object, origin, declined);
    let world = World {
        catalogue: &engine.catalogue,
        policy: &engine.policy,
        reader,
    };
    let mut out = Findings::new();
    let mut reviewed = Reviewed::default();
    let mut carries_fixes = true;
    match (pod_kind_of(object), stored_kind_of(object)) {
        (Some(kind), _) => {
            let Some(workload) = Workload::of(&engine.catalogue, object, kind, &written) else {
                return reviewed;
            };
            reviewed.is_subject = true;
            carries_fixes = workload
                .servers
                .iter()
                .all(|it| it.runtime.tier.carries_fixes());
            for rule in in_order(engine, object) {
                let counts = kind.mode != Mode::GpuOnly
                    || matches!(rule.phase, Phase::Gpu | Phase::Findings);
                for check in rule.checks {
                    out.speaks(rule);
                    match check {
                        Check::Workload(check) if counts => check(&world, &workload, &mut out),
                        Check::Object(check) => check(&world, object, &mut out),
                        _ => {}
                    }
                }
            }
        }
        (None, Some(Kind::Ingress)) => {
            let ways = route::from_ingress(&world, object);
            reviewed.open = ways.open;
            if ways.edges.is_empty() {
                return reviewed;
            }
            reviewed.is_subject = true;
            let (controllers, evidence) = route::controllers(&world, object);
            if controllers.is_empty() {
                reviewed.no_controller = Some(no_controller(object, evidence));
            }
            let route = Route {
                object,
                controllers,
                evidence,
                edges: ways.edges,
            };
            for rule in in_order(engine, object) {
                for check in rule.checks {
                    out.speaks(rule);
                    match check {
                        Check::Route(check) => check(&world, &route, &mut out),
                        Check::Controller(check) if !route.controllers.is_empty() => {
                            check(&world, &route, &mut out);
                        }
                        Check::Object(check) => check(&world, object, &mut out),
                        _ => {}
                    }
                }
            }
        }
        (None, Some(Kind::Service)) => {
            let ways = route::from_service(&world, object);
            reviewed.open = ways.open;
            if ways.edges.is_empty() {
                return reviewed;
            }
            reviewed.is_subject = true;
            let service = ServiceView {
                object,
                edges: ways.edges,
            };
            for rule in in_order(engine, object) {
                for check in rule.checks {
                    if let Check::Service(check) = check {
                        out.speaks(rule);
                        check(&world, &service, &mut out);
                    }
                }
            }
        }
        (None, Some(kind)) => {
            let beside = beside(engine, &world, object, kind, &mut out);
            reviewed.is_subject = beside.is_subject;
            reviewed.open = beside.open;
            reviewed.no_controller = beside.no_controller;
        }
        (None, None) => {}
    }
    if !carries_fixes {
        // What is good enough to explain is not good enough to change anything (D2).
        for finding in &mut out.list {
            finding.fix.clear();
        }
    }
    reviewed.findings = out.list;
    reviewed
}

/// What a review of an object that admission does not see found beside its findings.
#[derive(Default)]
struct Beside {
    is_subject: bool,
    open: Vec<String>,
    no_controller: Option<String>,
}

/// Reviews an object of Gateway API, of Istio, or a Namespace.
///
/// An object that no proxy on the route evaluates is judged as if one did, and every finding of it
/// says so.
fn beside<'a>(
    engine: &Engine,
    world: &World<'a>,
    object: &'a Value,
    kind: Kind,
    out: &mut Findings,
) -> Beside {
    let mut beside = Beside::default();
    match kind {
        Kind::HttpRoute => {
            let route = HttpRoute::of(world, object);
            beside.open = open(world, route.backends());
            beside.is_subject = route.is_subject()
                || (route.lacks_a_service(world)
                    && route::has_inference(world, object::namespace(object)));
            if beside.is_subject {
                let has_controller = !route.controllers().is_empty();
                if !has_controller {
                    beside.no_controller = no_gateway_controller(&route);
                }
                each(engine, object, out, |check, out| match check {
                    Check::HttpRoute(check) => check(world, &route, out),
                    Check::HttpRouteController(check) if has_controller => {
                        check(world, &route, out);
                    }
                    _ => {}
                });
            }
        }
        Kind::VirtualService => {
            let route = VirtualService::of(world, object);
            beside.open = open(world, route.backends());
            beside.is_subject = route.is_subject(world);
            if beside.is_subject {
                let before = out.list.len();
                each(engine, object, out, |check, out| {
                    if let Check::VirtualService(check) = check {
                        check(world, &route, out);
                    }
                });
                if route.is_bypassed() {
                    say_bypassed(&mut out.list[before..], "VirtualService");
                }
            }
        }
        Kind::DestinationRule => {
            let Some(rule) = DestinationRule::of(world, object) else {
                return beside;
            };
            beside.is_subject = rule.is_subject(world);
            if beside.is_subject {
                let before = out.list.len();
                each(engine, object, out, |check, out| {
                    if let Check::DestinationRule(check) = check {
                        check(world, &rule, out);
                    }
                });
                if rule.is_bypassed() {
                    say_bypassed(&mut out.list[before..], "DestinationRule");
                }
            }
        }
        Kind::Namespace => each(engine, object, out, |check, out| {
            if let Check::Namespace(check) = check {
                check(world, object, out);
            }
        }),
        _ => {}
    }
    beside
}

/// Runs every rule that is heard on an object.
fn each(
    engine: &Engine,
    object: &Value,
    out: &mut Findings,
    mut run: impl FnMut(&Check, &mut Findings),
) {
    for rule in in_order(engine, object) {
        for check in rule.checks {
            out.speaks(rule);
            run(check, out);
        }
    }
}

/// Says of findings that the object is not evaluated by anybody on this route.
fn say_bypassed(findings: &mut [Finding], kind: &str) {
    for finding in findings {
        if finding.rule.id != "route-not-on-path" {
            finding.note(format!(
                "no proxy on this route evaluates this {kind}: judged as if one did"
            ));
        }
    }
}

/// The Services that backends name and whose end is not in sight: one that is not there where
/// Services were looked for is a flaw and no gap.
fn open<'b, 'a: 'b>(
    world: &World<'_>,
    backends: impl Iterator<Item = &'b Backend<'a>>,
) -> Vec<String> {
    let known = world.reader.knows(Kind::Service);
    let mut names: Vec<String> = Vec::new();
    for backend in backends {
        let is_gap =
            backend.open || (backend.service.is_none() && backend.name.is_some() && !known);
        if is_gap && !names.iter().any(|name| name == backend.host) {
            names.push(backend.host.to_owned());
        }
    }
    names
}

/// Says why no controller is known for an Ingress.
fn no_controller(ingress: &Value, evidence: Evidence) -> String {
    let class = route::class_name(ingress).unwrap_or("<none>");
    match evidence {
        Evidence::ClassObject => {
            format!("the controller of IngressClass `{class}` is not in the catalogue")
        }
        _ => format!("needs the IngressClass `{class}`, not given: it names the controller"),
    }
}

/// Says why no controller is known for an HTTPRoute; `None` where it asks for no Gateway.
fn no_gateway_controller(route: &HttpRoute<'_>) -> Option<String> {
    let parent = route.parents.first()?;
    Some(match (parent.gateway, parent.class, parent.class_object) {
        (None, ..) | (Some(_), None, _) => {
            let name = parent.name;
            format!("needs the Gateway `{name}`, not given: its class names the controller")
        }
        (Some(_), Some(class), None) => {
            format!("needs the GatewayClass `{class}`, not given: it names the controller")
        }
        (Some(_), Some(class), Some(_)) => {
            format!("the controller of GatewayClass `{class}` is not in the catalogue")
        }
    })
}

/// The rules that run on an object, phase by phase.
fn in_order<'a>(engine: &'a Engine, object: &'a Value) -> impl Iterator<Item = &'static Rule> + 'a {
    const PHASES: [Phase; 5] = [
        Phase::Probes,
        Phase::Gpu,
        Phase::Drain,
        Phase::Route,
        Phase::Findings,
    ];
    PHASES
        .into_iter()
        .flat_map(|phase| {
            rules::ALL
                .iter()
                .copied()
                .filter(move |rule| rule.phase == phase)
        })
        .filter(|rule| runs(engine, object, rule))
}

/// Whether a rule is heard: `deny` always is, the others unless off or skipped by the object.
fn runs(engine: &Engine, object: &Value, rule: &Rule) -> bool {
    match engine.policy.action(rule) {
        Action::Deny => true,
        Action::Off => false,
        Action::Audit | Action::Warn => !policy::skips(object, rule),
    }
}

/// A change that a fix makes, with the rule whose fix it is.
#[derive(Clone, Debug)]
pub struct Fixing {
    /// The rule.
    pub rule: &'static Rule,
    /// The change.
    pub change: Change,
}

/// The changes that admission makes for these findings, one for each path.
///
/// Where two fixes set one number, the greater wins; of other values the first stays.
pub fn changes(
    engine: &Engine,
    object: &Value,
    findings: &[Finding],
    declined: &[Declined],
) -> Vec<Fixing> {
    let mode = pod_kind_of(object).map_or(Mode::Full, |kind| kind.mode);
    let written = Written::new(object, Origin::Manifest, declined);
    let mut order: Vec<String> = Vec::new();
    let mut by_path: BTreeMap<String, Fixing> = BTreeMap::new();
    for finding in findings {
        let rule = finding.rule;
        let allowed = match mode {
            Mode::Full => true,
            Mode::GpuOnly => rule.phase == Phase::Gpu,
            Mode::Report => false,
        };
        let refused = finding
            .fix
            .first()
            .is_none_or(|first| written.is_declined(&first.path));
        if !allowed || refused || !engine.policy.may_fix(rule) || policy::skips(object, rule) {
            continue;
        }
        for change in finding
            .fix
            .iter()
            .filter(|change| !written.is_declined(&change.path))
        {
            let fixing = Fixing {
                rule,
                change: change.clone(),
            };
            match by_path.get_mut(&change.path) {
                None => {
                    order.push(change.path.clone());
                    by_path.insert(change.path.clone(), fixing);
                }
                Some(known) => {
                    let greater = change.value.as_u64() > known.change.value.as_u64();
                    if change.value.is_u64() && greater {
                        *known = fixing;
                    }
                }
            }
        }
    }
    order
        .iter()
        .filter_map(|path| by_path.remove(path))
        .collect()
}

/// Makes the changes and returns what the record says of each. A change whose way leads through
/// something that is no object is left out: the API server will refuse that shape anyway.
pub fn apply(object: &mut Value, changes: &[Fixing]) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(changes.len());
    for Fixing { rule, change } in changes {
        if let Some(parents) = pointer::set(object, &change.path, change.value.clone()) {
            entries.push(Entry {
                rule: rule.id.to_owned(),
                path: change.path.clone(),
                container: change.container.clone(),
                value: change.value.clone(),
                was: change.was.clone(),
                parents,
            });
        }
    }
    entries
}
