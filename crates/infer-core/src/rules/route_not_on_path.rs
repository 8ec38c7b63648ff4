use crate::object::ObjectRef;
use crate::pointer::Walk;
use crate::route::{Bypass, DestinationRule, READ_FOR_DESTINATION_RULE, VirtualService};
use crate::rule::{Check, Finding, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "route-not-on-path",
    summary: "no proxy on the way of the requests evaluates this object",
    page: include_str!("route_not_on_path.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: READ_FOR_DESTINATION_RULE,
    needs: &[],
    checks: &[
        Check::VirtualService(virtual_service),
        Check::DestinationRule(destination_rule),
    ],
};

fn virtual_service(_: &World<'_>, route: &VirtualService<'_>, findings: &mut Findings) {
    for gateway in &route.gateways {
        let name = gateway.name;
        if gateway.is_missing {
            findings
                .add(
                    gateway.path.clone(),
                    format!("no Gateway `{name}` of the mesh is in sight: no gateway takes this route"),
                )
                .help("name a Gateway of this namespace, or `namespace/name`; `kubectl get gateways.networking.istio.io -A` lists them");
        } else if let Some(object) = gateway.gateway.filter(|_| gateway.takes_no_host) {
            let hosts: Vec<String> = route.hosts().map(|host| format!("`{host}`")).collect();
            findings
                .add(
                    "/spec/hosts",
                    format!(
                        "the servers of Gateway `{name}` take no requests for {}",
                        hosts.join(", ")
                    ),
                )
                .mark(
                    Some(ObjectRef::of(object)),
                    "/spec/servers",
                    "these hosts only",
                )
                .help(format!(
                    "add {} to `servers[].hosts` of the Gateway, or name another in `gateways`",
                    hosts.join(", ")
                ));
        }
    }
    let Some(bypass) = &route.bypass else {
        return;
    };
    let path = match route.object.at("/spec/gateways") {
        Some(_) => "/spec/gateways",
        None => "/spec",
    };
    let finding = findings.add(path, passed("VirtualService", bypass));
    if route.for_sidecars {
        finding.note("without `gateways` it is for the sidecars of clients in the mesh only");
    }
    finding
        .help("name a Gateway of the mesh in `gateways`, and send the requests through its proxy");
    ways_out(finding, bypass);
}

fn destination_rule(world: &World<'_>, rule: &DestinationRule<'_>, findings: &mut Findings) {
    // What makes the whole rule moot is said once: `dr-host-unknown`, or about the VirtualService.
    if rule.is_unknown(world) || rule.is_passed() || !rule.routed_by.is_empty() {
        return;
    }
    let Some(bypass) = &rule.bypass else {
        return;
    };
    let finding = findings.add("/spec/host", passed("DestinationRule", bypass));
    finding.note(
        "the proxy of the client applies it: the mesh's gateway, or a sidecar beside the client",
    );
    finding
        .help("send the requests through the mesh's gateway, with a VirtualService that names it");
    ways_out(finding, bypass);
}

fn passed(kind: &str, bypass: &Bypass<'_>) -> String {
    let entry = ObjectRef::of(bypass.entry);
    format!(
        "requests come through {entry}: {} evaluates no {kind}",
        bypass.titles()
    )
}

/// Marks the entry, and says what its controller can do instead.
fn ways_out(finding: &mut Finding, bypass: &Bypass<'_>) {
    let entry = ObjectRef::of(bypass.entry);
    let path = match entry.kind.as_str() {
        "Ingress" => "/spec/rules",
        _ => "/spec/parentRefs",
    };
    finding.mark(Some(entry), path, "the way of the requests");
    for controller in &bypass.controllers {
        if let Some(split) = &controller.split {
            finding.help(format!("or split at the entry: {split}"));
        }
        if let Some(setting) = &controller.to_service {
            finding.help(format!(
                "or put a sidecar beside {}, and annotate the entry: `{}: \"{}\"`",
                controller.title, setting.annotation, setting.value
            ));
        }
    }
    if !bypass.controllers.is_empty() && bypass.controllers.iter().all(|it| it.split.is_none()) {
        let kind = ObjectRef::of(bypass.entry).kind;
        if kind == "HTTPRoute" {
            finding.help("or split at the entry: `weight` of its `backendRefs`");
        }
    }
}
