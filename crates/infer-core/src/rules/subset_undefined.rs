use crate::kind::Kind;
use crate::object::{self, ObjectRef};
use crate::route::{VirtualService, subsets_of};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "subset-undefined",
    summary: "the route names a subset that no DestinationRule defines",
    page: include_str!("subset_undefined.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[
        Kind::Workload,
        Kind::Service,
        Kind::Ingress,
        Kind::IngressClass,
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::HttpRoute,
        Kind::IstioGateway,
        Kind::DestinationRule,
    ],
    needs: &[Kind::DestinationRule],
    checks: &[Check::VirtualService(check)],
};

fn check(world: &World<'_>, route: &VirtualService<'_>, findings: &mut Findings) {
    if !world.reader.knows(Kind::DestinationRule) {
        return;
    }
    let own = object::namespace(route.object);
    let mut said = Vec::new();
    for backend in route.backends() {
        let (Some(subset), Some(name)) = (backend.subset, backend.name) else {
            continue;
        };
        let defined = subsets_of(world, name, own);
        if defined.iter().any(|(_, it)| *it == subset) || said.contains(&(name, subset)) {
            continue;
        }
        said.push((name, subset));
        let finding = findings.add(
            format!("{}/destination/subset", backend.path),
            format!(
                "no DestinationRule defines subset `{subset}` of `{}`: what is sent there gets 503",
                backend.host
            ),
        );
        if let Some((rule, _)) = defined.first() {
            let names: Vec<String> = defined.iter().map(|(_, it)| format!("`{it}`")).collect();
            finding.mark(
                Some(ObjectRef::of(rule)),
                "/spec/subsets",
                format!("defines {}", names.join(", ")),
            );
        }
        finding.help(format!(
            "define it under `subsets` of a DestinationRule for `{}`, or drop `subset`",
            backend.host
        ));
    }
}
