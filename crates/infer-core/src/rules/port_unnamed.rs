use crate::catalogue::Sidecar;
use crate::lens::ServiceView;
use crate::object;
use crate::pointer::Walk;
use crate::route::{
    READ_FOR_MESH_OF_SERVICE, ServiceName, is_consulted_for, sidecars_beside, upgrades_to_http2,
};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "port-unnamed",
    summary: "a port's name does not say its protocol, so the mesh guesses",
    page: include_str!("port_unnamed.md"),
    level: Level::Note,
    phase: Phase::Findings,
    reads: READ_FOR_MESH_OF_SERVICE,
    needs: &[],
    checks: &[Check::Service(check)],
};

fn check(world: &World<'_>, view: &ServiceView<'_>, findings: &mut Findings) {
    let reads_ports = |it: &&Sidecar| !it.port_protocols.is_empty();
    let Some(mesh) = world.catalogue.sidecars.iter().find(reads_ports) else {
        return;
    };
    let (namespace, name) = (object::namespace(view.object), object::name(view.object));
    let ports = view.object.at("/spec/ports").and_then(Value::as_array);
    let guessed: Vec<(usize, &Value)> = ports
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, port)| {
            port.get("protocol").and_then(Value::as_str) != Some("UDP")
                && mesh.protocol_of(port).is_none()
        })
        .collect();
    if guessed.is_empty() {
        return;
    }
    let beside = |edge| sidecars_beside(world, edge);
    let has_sidecar = view
        .edges
        .iter()
        .any(|edge| beside(edge).iter().any(reads_ports));
    if !has_sidecar && !is_consulted_for(world, namespace, name) {
        return;
    }
    // Then `h2-to-http1-server` says it.
    let speaks_http1 = |edge: &crate::route::Edge<'_>| {
        let mut servers = edge.servers.iter();
        servers.any(|it| it.runtime.http2 == Some(false))
    };
    let service = ServiceName { namespace, name };
    if view.edges.iter().any(speaks_http1) && upgrades_to_http2(world, service) {
        return;
    }
    for (index, port) in guessed {
        let number = port.get("port").and_then(Value::as_u64).unwrap_or_default();
        findings
            .add(
                format!("/spec/ports/{index}"),
                format!(
                    "port {number} does not say its protocol: {} guesses it from the first bytes",
                    mesh.title
                ),
            )
            .note(
                "what is not recognised is passed on as TCP, without routes, timeouts and retries",
            )
            .help("name it `http` or `http-…`, or set `appProtocol: http`");
    }
}
