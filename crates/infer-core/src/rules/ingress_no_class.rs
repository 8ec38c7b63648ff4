use crate::catalogue::WithoutClass;
use crate::kind::Kind;
use crate::lens::Route;
use crate::route;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "ingress-no-class",
    summary: "the Ingress names no class, so its controller leaves it alone",
    page: include_str!("ingress_no_class.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: &[Kind::IngressClass, Kind::Service, Kind::Workload],
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::Route(check)],
};

fn check(world: &World<'_>, route: &Route<'_>, findings: &mut Findings) {
    let has_default = world
        .reader
        .all(Kind::IngressClass)
        .any(route::is_default_class);
    let served = route
        .controllers
        .iter()
        .any(|c| c.without_class == WithoutClass::Served);
    if route::class_name(route.object).is_some() || has_default || served {
        return;
    }
    let finding = findings.add(
        "/spec",
        "no `ingressClassName`: controllers ignore an Ingress without a class",
    );
    if world.reader.knows(Kind::IngressClass) {
        finding.note("no IngressClass of the cluster is marked as its default");
    } else {
        finding
            .note("unless an IngressClass of the cluster is marked as its default: none was given");
    }
    let usual = route.controllers.iter().flat_map(|c| &c.class_names).next();
    finding.help(match usual {
        Some(name) => format!(
            "set `spec.ingressClassName`, usually `{name}` for {}",
            route.controller_titles()
        ),
        None => "set `spec.ingressClassName`; `kubectl get ingressclass` lists them".to_owned(),
    });
}
