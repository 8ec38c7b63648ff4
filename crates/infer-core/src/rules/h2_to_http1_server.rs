use crate::catalogue::Sidecar;
use crate::kind::Kind;
use crate::lens::ServiceView;
use crate::object::{self, ObjectRef};
use crate::pointer::Walk;
use crate::route::{
    DestinationRule, Edge, READ_FOR_MESH_OF_SERVICE, http2_pools, is_consulted_for, leads_to,
    sidecars_beside,
};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::server::Server;
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "h2-to-http1-server",
    summary: "a proxy sends HTTP/2 to a server that speaks HTTP/1.1",
    page: include_str!("h2_to_http1_server.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: READ_FOR_MESH_OF_SERVICE,
    needs: &[Kind::Workload],
    checks: &[
        Check::DestinationRule(destination_rule),
        Check::Service(service),
    ],
};

fn destination_rule(world: &World<'_>, rule: &DestinationRule<'_>, findings: &mut Findings) {
    let Some(service) = rule.service else {
        return;
    };
    let mut policies = vec![("/spec/trafficPolicy".to_owned(), &rule.edges)];
    let subsets = rule.subsets.iter();
    policies.extend(subsets.map(|it| (format!("{}/trafficPolicy", it.path), &it.edges)));
    for (path, edges) in policies {
        for (pool, only_port) in http2_pools(rule.object, &path) {
            let Some(((place, port), server)) = broken(world, service, edges, only_port) else {
                continue;
            };
            let name = &server.runtime.name;
            let finding = findings.add(
                format!("{pool}/h2UpgradePolicy"),
                format!("`UPGRADE` sends HTTP/2 to {name}, which speaks HTTP/1.1 only"),
            );
            let mesh = world.catalogue.sidecars.iter().find(|it| reads_ports(it));
            let is_named = mesh.is_some_and(|it| it.protocol_of(port).is_some());
            if !is_named {
                finding.mark(
                    Some(ObjectRef::of(service)),
                    place,
                    "no name that says `http`: a sidecar here would hand HTTP/2 on as it comes",
                );
            }
            finding
                .note(
                    "the server closes such a connection without an answer: clients get 502 or 503",
                )
                .help("take `h2UpgradePolicy` out");
            if !is_named {
                finding.help("name the port `http`, so that nothing has to guess");
            }
        }
    }
}

/// A port of the Service, with its pointer.
type Port<'v> = (String, &'v Value);

/// The port through which HTTP/2 comes to a server that does not speak it. A sidecar beside the
/// server speaks HTTP/1.1 to it where the port says `http` (`shouldH2Upgrade`, its comment).
fn broken<'v, 'e>(
    world: &World<'_>,
    service: &'v Value,
    edges: &'e [Edge<'_>],
    only_port: Option<u64>,
) -> Option<(Port<'v>, &'e Server<'e>)> {
    let ports = service.at("/spec/ports").and_then(Value::as_array)?;
    for (edge, server) in old_servers(edges) {
        for (index, port) in ports.iter().enumerate() {
            let number = port.get("port").and_then(Value::as_u64);
            if only_port.is_some_and(|only| number != Some(only))
                || !leads_to(port, edge, server, ports.len() == 1)
            {
                continue;
            }
            let beside = sidecars_beside(world, edge);
            let translates = |it: &&Sidecar| it.protocol_of(port) == Some("http");
            if !beside.iter().any(translates) {
                return Some(((format!("/spec/ports/{index}"), port), server));
            }
        }
    }
    None
}

/// The servers behind these edges that speak HTTP/1.1 only.
fn old_servers<'e, 'a>(
    edges: &'e [Edge<'a>],
) -> impl Iterator<Item = (&'e Edge<'a>, &'e Server<'a>)> {
    let all = edges
        .iter()
        .flat_map(|edge| edge.servers.iter().map(move |server| (edge, server)));
    all.filter(|(_, server)| server.runtime.http2 == Some(false))
}

fn reads_ports(sidecar: &Sidecar) -> bool {
    !sidecar.port_protocols.is_empty()
}

fn service(world: &World<'_>, view: &ServiceView<'_>, findings: &mut Findings) {
    let Some(mesh) = world.catalogue.sidecars.iter().find(|it| reads_ports(it)) else {
        return;
    };
    let ports = view.object.at("/spec/ports").and_then(Value::as_array);
    let ports = ports.map_or(&[][..], Vec::as_slice);
    for (index, port) in ports.iter().enumerate() {
        if !matches!(mesh.protocol_of(port), Some("http2" | "grpc" | "grpc-web")) {
            continue;
        }
        let reached = old_servers(&view.edges)
            .find(|(edge, server)| leads_to(port, edge, server, ports.len() == 1));
        let Some((edge, server)) = reached else {
            continue;
        };
        let member = if port.get("appProtocol").is_some() {
            "appProtocol"
        } else {
            // The name of a port means something to a mesh only.
            let namespace = object::namespace(view.object);
            let name = object::name(view.object);
            let in_mesh = sidecars_beside(world, edge)
                .iter()
                .any(|it| reads_ports(it));
            if !in_mesh && !is_consulted_for(world, namespace, name) {
                continue;
            }
            "name"
        };
        let value = port.get(member).and_then(Value::as_str).unwrap_or_default();
        findings
            .add(
                format!("/spec/ports/{index}/{member}"),
                format!(
                    "`{value}` asks proxies for HTTP/2 to {}, which speaks HTTP/1.1 only",
                    server.runtime.name
                ),
            )
            .note("the server closes such a connection without an answer: clients get 502 or 503")
            .help(match member {
                "name" => "name the port `http`",
                _ => "set `appProtocol: http`, or take it out",
            });
    }
}
