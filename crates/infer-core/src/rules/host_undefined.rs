use crate::kind::Kind;
use crate::object;
use crate::route::{Backend, HttpRoute, READ_FOR_VIRTUAL_SERVICE, VirtualService};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "host-undefined",
    summary: "the route names a Service that is not there",
    page: include_str!("host_undefined.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: READ_FOR_VIRTUAL_SERVICE,
    needs: &[Kind::Service],
    checks: &[
        Check::HttpRoute(http_route),
        Check::VirtualService(virtual_service),
    ],
};

fn http_route(world: &World<'_>, route: &HttpRoute<'_>, findings: &mut Findings) {
    let found = undefined(world, route.backends());
    for backend in found {
        let finding = findings.add(
            format!("{}/name", backend.path),
            message(backend.host, "500"),
        );
        finding.help(match elsewhere(world, backend) {
            Some(namespace) => format!(
                "there is one in `{namespace}`: set `namespace: {namespace}`, and a ReferenceGrant there"
            ),
            None => "name a Service of this namespace; `kubectl get services` lists them".to_owned(),
        });
    }
}

fn virtual_service(world: &World<'_>, route: &VirtualService<'_>, findings: &mut Findings) {
    let found = undefined(world, route.backends());
    for backend in found {
        let finding = findings.add(
            format!("{}/destination/host", backend.path),
            message(backend.host, "503"),
        );
        finding.help(match elsewhere(world, backend) {
            Some(namespace) => format!(
                "there is one in `{namespace}`: write `{}.{namespace}.svc.cluster.local`",
                backend.host
            ),
            None => {
                "name a Service of this namespace; `kubectl get services` lists them".to_owned()
            }
        });
    }
}

fn message(host: &str, status: &str) -> String {
    format!("no Service `{host}` is in sight: what is sent there gets {status}")
}

/// The backends whose Service is not there, each host once.
fn undefined<'b, 'a: 'b>(
    world: &World<'_>,
    backends: impl Iterator<Item = &'b Backend<'a>>,
) -> Vec<&'b Backend<'a>> {
    let mut found: Vec<&Backend<'_>> = Vec::new();
    if !world.reader.knows(Kind::Service) {
        return found;
    }
    for backend in backends {
        let is_undefined = backend.name.is_some() && backend.service.is_none();
        if is_undefined && !found.iter().any(|it| it.name == backend.name) {
            found.push(backend);
        }
    }
    found
}

/// The namespace in which a Service of this name is, where the route means another.
fn elsewhere<'a>(world: &World<'a>, backend: &Backend<'_>) -> Option<&'a str> {
    let name = backend.name?.name;
    let mut services = world.reader.all(Kind::Service);
    services
        .find(|service| object::name(service) == name)
        .map(object::namespace)
}
