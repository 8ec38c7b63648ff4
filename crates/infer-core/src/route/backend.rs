//! What a route of Gateway API or of Istio names behind itself: a Service, with weight and subset.

use crate::lens::longest_generation;
use crate::policy::Policy;
use crate::route::{Edge, from_service};
use crate::world::World;
use serde_json::Value;

/// A Service, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceName<'a> {
    /// Namespace; empty where the route names none and has none itself.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

impl<'a> ServiceName<'a> {
    /// The Service that a host of Istio's names; `None` where it names something else.
    ///
    /// A name without a dot is a Service of the route's own namespace, every other name is taken
    /// as it is (istio/istio pkg/config/resource, `ResolveShortnameToFQDN`).
    pub fn of_host(host: &'a str, namespace: &'a str) -> Option<ServiceName<'a>> {
        if host.is_empty() || host.contains(['*', ':']) {
            return None;
        }
        let mut labels = host.split('.');
        let name = labels.next()?;
        match labels.next() {
            None => Some(ServiceName { namespace, name }),
            Some(namespace) => (labels.next() == Some("svc") && !namespace.is_empty())
                .then_some(ServiceName { namespace, name }),
        }
    }
}

/// One of the places that a rule of a route sends requests to.
#[derive(Clone, Debug)]
pub struct Backend<'a> {
    /// Pointer to the reference, in the route: `/spec/rules/0/backendRefs/0`,
    /// `/spec/http/0/route/0`.
    pub path: String,
    /// The host or name, as written.
    pub host: &'a str,
    /// The Service that it names, if it names one.
    pub name: Option<ServiceName<'a>>,
    /// The port, where one is named.
    pub port: Option<u64>,
    /// Its weight, where one is written.
    pub weight: Option<u64>,
    /// The subset, where one is named.
    pub subset: Option<&'a str>,
    /// The Service, where it is in sight.
    pub service: Option<&'a Value>,
    /// The inference workloads behind it.
    pub edges: Vec<Edge<'a>>,
    /// Whether the Service is there, and no workload behind it is in sight.
    pub open: bool,
}

impl<'a> Backend<'a> {
    pub(super) fn new(
        world: &World<'a>,
        path: String,
        host: &'a str,
        name: Option<ServiceName<'a>>,
    ) -> Backend<'a> {
        let service = name.and_then(|it| world.reader.service(it.namespace, it.name));
        let ways = service.map(|service| from_service(world, service));
        let ways = ways.unwrap_or_default();
        Backend {
            path,
            host,
            name,
            port: None,
            weight: None,
            subset: None,
            service,
            open: !ways.open.is_empty(),
            edges: ways.edges,
        }
    }
}

/// How long a generation behind these backends may take.
pub(super) fn longest<'b, 'a: 'b>(
    backends: impl Iterator<Item = &'b Backend<'a>>,
    policy: &Policy,
) -> u32 {
    backends
        .flat_map(|backend| &backend.edges)
        .map(|edge| longest_generation(edge.workload, policy))
        .max()
        .unwrap_or(policy.longest_generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_a_service_by_its_first_labels() {
        let name = |host| ServiceName::of_host(host, "own").map(|it| (it.namespace, it.name));
        assert_eq!(name("llama"), Some(("own", "llama")));
        assert_eq!(name("llama.ns.svc.cluster.local"), Some(("ns", "llama")));
        assert_eq!(name("llama.ns.svc"), Some(("ns", "llama")));
        for other in [
            "example.com",
            "llama.ns",
            "*.ns.svc",
            "*",
            "",
            "10.0.0.1",
            "::1",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
