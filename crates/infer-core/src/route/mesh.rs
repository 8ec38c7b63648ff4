//! Istio: from a VirtualService to the proxies that evaluate it and to its destinations, and from a
//! DestinationRule to its Service. Istio routes on the side of the client: an object that no client's
//! proxy evaluates does nothing (istio/api networking/v1/virtual_service.proto, `gateways`).

use crate::catalogue::Controller;
use crate::kind::Kind;
use crate::lens::longest_generation;
use crate::object::{self, same_namespace};
use crate::pointer::Walk;
use crate::policy::Policy;
use crate::route::backend::{self, Backend, ServiceName};
use crate::route::gateway::{HttpRoute, named, strings};
use crate::route::{self, Edge};
use crate::world::World;
use serde_json::Value;

/// The word for every sidecar, among `gateways` of a VirtualService, and its value where the field
/// is left out.
pub const EVERY_SIDECAR: &str = "mesh";

/// A VirtualService with what it leads to.
#[derive(Clone, Debug)]
pub struct VirtualService<'a> {
    /// The whole object.
    pub object: &'a Value,
    /// The Istio Gateways that it names.
    pub gateways: Vec<NamedGateway<'a>>,
    /// Whether sidecars of clients evaluate it.
    pub for_sidecars: bool,
    /// Its HTTP routes.
    pub routes: Vec<MeshRoute<'a>>,
    /// The entry by which requests for its hosts pass it by, if there is one.
    pub bypass: Option<Bypass<'a>>,
}

/// An Istio Gateway that a VirtualService names.
#[derive(Clone, Debug)]
pub struct NamedGateway<'a> {
    /// Pointer to the name.
    pub path: String,
    /// As written: `name` or `namespace/name`.
    pub name: &'a str,
    /// The Gateway, where it is in sight.
    pub gateway: Option<&'a Value>,
}

/// One HTTP route of a VirtualService.
#[derive(Clone, Debug)]
pub struct MeshRoute<'a> {
    /// Pointer to it: `/spec/http/0`.
    pub path: String,
    /// The route.
    pub object: &'a Value,
    /// Where it sends requests.
    pub backends: Vec<Backend<'a>>,
}

/// An entry through which requests come without meeting a proxy that evaluates Istio's objects.
#[derive(Clone, Debug)]
pub struct Bypass<'a> {
    /// The Ingress or HTTPRoute.
    pub entry: &'a Value,
    /// The controllers that may serve it; none of them reads Istio's objects.
    pub controllers: Vec<&'a Controller>,
}

impl Bypass<'_> {
    /// What messages call the proxy: `ingress-nginx`, or two titles with "or", or the kind of the
    /// entry where no controller is known.
    pub fn titles(&self) -> String {
        let titles: Vec<&str> = self
            .controllers
            .iter()
            .map(|it| it.title.as_str())
            .collect();
        if titles.is_empty() {
            "its controller".to_owned()
        } else {
            titles.join(" or ")
        }
    }
}

impl<'a> VirtualService<'a> {
    /// Reads a VirtualService.
    pub fn of(world: &World<'a>, object: &'a Value) -> VirtualService<'a> {
        let own = object::namespace(object);
        let mut gateways = Vec::new();
        let mut for_sidecars = object.at("/spec/gateways").is_none_or(Value::is_null);
        for (index, name) in strings(object, "/spec/gateways").enumerate() {
            if name == EVERY_SIDECAR {
                for_sidecars = true;
                continue;
            }
            let (namespace, short) = name.split_once('/').unwrap_or((own, name));
            gateways.push(NamedGateway {
                path: format!("/spec/gateways/{index}"),
                name,
                gateway: named(world, Kind::IstioGateway, namespace, short),
            });
        }
        let routes = object.at("/spec/http").and_then(Value::as_array);
        let routes = routes.into_iter().flatten().enumerate();
        let routes: Vec<MeshRoute<'_>> = routes
            .map(|(index, route)| {
                let path = format!("/spec/http/{index}");
                MeshRoute {
                    backends: destinations(world, own, &path, route),
                    path,
                    object: route,
                }
            })
            .collect();
        let bypass = if gateways.iter().any(|it| it.gateway.is_some()) {
            None
        } else {
            let hosts: Vec<&str> = strings(object, "/spec/hosts").collect();
            let services: Vec<ServiceName<'_>> = hosts
                .iter()
                .filter_map(|host| ServiceName::of_host(host, own))
                .collect();
            bypass(world, own, &hosts, &services)
        };
        VirtualService {
            object,
            gateways,
            for_sidecars,
            routes,
            bypass,
        }
    }

    /// Whether it is about inference: it leads to an inference workload, or an entry of its host
    /// does, or it names a Service that is not there beside an inference workload.
    pub fn is_subject(&self, world: &World<'a>) -> bool {
        self.backends().any(|backend| !backend.edges.is_empty())
            || self.bypass.is_some()
            || (self
                .backends()
                .any(|it| it.name.is_some() && it.service.is_none())
                && has_inference(world, object::namespace(self.object)))
    }

    /// Whether no proxy on the route evaluates it, as far as can be seen.
    pub fn is_bypassed(&self) -> bool {
        self.bypass.is_some()
    }

    /// Every destination.
    pub fn backends(&self) -> impl Iterator<Item = &Backend<'a>> {
        self.routes.iter().flat_map(|route| &route.backends)
    }

    /// Its hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &'a str> {
        strings(self.object, "/spec/hosts")
    }

    /// How long a generation behind this route may take.
    pub fn longest_generation(&self, policy: &Policy) -> u32 {
        backend::longest(self.backends(), policy)
    }
}

fn destinations<'a>(
    world: &World<'a>,
    own: &'a str,
    path: &str,
    route: &'a Value,
) -> Vec<Backend<'a>> {
    let list = route.get("route").and_then(Value::as_array);
    let each = list.into_iter().flatten().enumerate();
    each.filter_map(|(index, entry)| {
        let destination = entry.get("destination")?;
        let host = destination.get("host")?.as_str()?;
        let name = ServiceName::of_host(host, own);
        Some(Backend {
            port: destination.at("/port/number").and_then(Value::as_u64),
            weight: entry.get("weight").and_then(Value::as_u64),
            subset: destination.get("subset").and_then(Value::as_str),
            ..Backend::new(world, format!("{path}/route/{index}"), host, name)
        })
    })
    .collect()
}

/// A DestinationRule with its Service.
#[derive(Clone, Debug)]
pub struct DestinationRule<'a> {
    /// The whole object.
    pub object: &'a Value,
    /// Its host, as written.
    pub host: &'a str,
    /// The Service that the host names, if it names one.
    pub name: Option<ServiceName<'a>>,
    /// The Service, where it is in sight.
    pub service: Option<&'a Value>,
    /// The inference workloads behind it.
    pub edges: Vec<Edge<'a>>,
    /// Its subsets.
    pub subsets: Vec<Subset<'a>>,
    /// The VirtualServices that send requests to its host.
    pub routed_by: Vec<VirtualService<'a>>,
    /// The VirtualServices about inference in its namespace that send requests elsewhere only.
    pub passed_by: Vec<VirtualService<'a>>,
    /// The entry by which requests for its host pass it by, if there is one and no proxy that
    /// evaluates it is in sight.
    pub bypass: Option<Bypass<'a>>,
}

/// A subset of a DestinationRule.
#[derive(Clone, Debug)]
pub struct Subset<'a> {
    /// Pointer to it: `/spec/subsets/0`.
    pub path: String,
    /// Its name.
    pub name: &'a str,
    /// Its labels; `Null` where there are none.
    pub labels: &'a Value,
    /// The inference workloads whose pods carry them.
    pub edges: Vec<Edge<'a>>,
}

impl<'a> DestinationRule<'a> {
    /// Reads a DestinationRule; `None` without a host.
    pub fn of(world: &World<'a>, object: &'a Value) -> Option<DestinationRule<'a>> {
        let own = object::namespace(object);
        let host = object.at("/spec/host")?.as_str()?;
        let name = ServiceName::of_host(host, own);
        let here = Backend::new(world, String::new(), host, name);
        let mut routed_by = Vec::new();
        let mut passed_by = Vec::new();
        for other in world.reader.all(Kind::VirtualService) {
            let other = VirtualService::of(world, other);
            if other
                .backends()
                .any(|it| same_host(it.name, name, it.host, host))
            {
                routed_by.push(other);
            } else if same_namespace(object::namespace(other.object), own)
                && other.is_subject(world)
            {
                passed_by.push(other);
            }
        }
        let evaluated = routed_by.iter().any(|route| !route.is_bypassed());
        let bypass = match name {
            Some(name) if !evaluated => bypass(world, own, &[], &[name]),
            _ => None,
        };
        Some(DestinationRule {
            object,
            host,
            name,
            service: here.service,
            subsets: subsets(object, &here.edges),
            edges: here.edges,
            routed_by,
            passed_by,
            bypass,
        })
    }

    /// Whether it is about inference.
    pub fn is_subject(&self, world: &World<'a>) -> bool {
        !self.edges.is_empty()
            || self.routed_by.iter().any(|route| route.is_subject(world))
            || !self.passed_by.is_empty()
    }

    /// Whether no proxy on the route evaluates it, as far as can be seen.
    pub fn is_bypassed(&self) -> bool {
        self.bypass.is_some()
    }

    /// How long a generation behind this host may take.
    pub fn longest_generation(&self, policy: &Policy) -> u32 {
        let each = self.edges.iter();
        each.map(|edge| longest_generation(edge.workload, policy))
            .max()
            .unwrap_or(policy.longest_generation)
    }

    /// The traffic policies in it, each with its pointer: the rule's own, then those of subsets.
    pub fn policies(&self) -> impl Iterator<Item = (String, &'a Value)> {
        let own = self.object.at("/spec/trafficPolicy");
        let own = own.map(|policy| ("/spec/trafficPolicy".to_owned(), policy));
        let of_subsets = self.subsets.iter().filter_map(|subset| {
            let path = format!("{}/trafficPolicy", subset.path);
            Some((path.clone(), self.object.at(&path)?))
        });
        own.into_iter().chain(of_subsets.collect::<Vec<_>>())
    }
}

fn subsets<'a>(object: &'a Value, edges: &[Edge<'a>]) -> Vec<Subset<'a>> {
    let list = object.at("/spec/subsets").and_then(Value::as_array);
    let each = list.into_iter().flatten().enumerate();
    each.filter_map(|(index, subset)| {
        let labels = subset.get("labels").unwrap_or(&Value::Null);
        let carries = |edge: &&Edge<'a>| {
            let template = crate::kind::pod_kind_of(edge.workload)
                .and_then(|kind| edge.workload.at(kind.template));
            let of_template = template.and_then(|template| template.at("/metadata/labels"));
            labels.is_null() || object::selects(labels, of_template)
        };
        Some(Subset {
            path: format!("/spec/subsets/{index}"),
            name: subset.get("name")?.as_str()?,
            labels,
            edges: edges.iter().filter(carries).cloned().collect(),
        })
    })
    .collect()
}

/// The subsets that DestinationRules define for a Service: each with its rule. A test of a subset's
/// existence needs `Kind::DestinationRule` to be known.
pub fn subsets_of<'a>(
    world: &World<'a>,
    service: ServiceName<'_>,
    from: &str,
) -> Vec<(&'a Value, &'a str)> {
    let mut found = Vec::new();
    for rule in world.reader.all(Kind::DestinationRule) {
        let own = object::namespace(rule);
        let Some(host) = rule.at("/spec/host").and_then(Value::as_str) else {
            continue;
        };
        let named = ServiceName::of_host(host, own);
        let same = named.is_some_and(|it| {
            it.name == service.name && same_namespace(it.namespace, service.namespace)
        });
        // A rule counts in the client's, the service's and the root namespace
        // (istio/istio pilot/pkg/model/push_context.go, `destinationRule`).
        if !same || !(same_namespace(own, from) || same_namespace(own, service.namespace)) {
            continue;
        }
        let subsets = rule.at("/spec/subsets").and_then(Value::as_array);
        let names = subsets.into_iter().flatten();
        found.extend(names.filter_map(|it| Some((rule, it.get("name")?.as_str()?))));
    }
    found
}

fn same_host(
    left: Option<ServiceName<'_>>,
    right: Option<ServiceName<'_>>,
    left_host: &str,
    right_host: &str,
) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => {
            left.name == right.name && same_namespace(left.namespace, right.namespace)
        }
        _ => left_host == right_host,
    }
}

/// Whether a namespace has an inference workload.
fn has_inference(world: &World<'_>, namespace: &str) -> bool {
    world.reader.all(Kind::Workload).any(|workload| {
        same_namespace(object::namespace(workload), namespace)
            && crate::kind::pod_kind_of(workload)
                .and_then(|kind| Some((kind, workload.at(kind.template)?)))
                .is_some_and(|(kind, template)| {
                    !crate::server::servers(world.catalogue, template, kind.template).is_empty()
                })
    })
}

/// The entry by which requests for these hosts, or to these Services, come to inference workloads
/// without a proxy that evaluates Istio's objects.
///
/// An Ingress that hands requests to the Service's own address (`service-upstream` of
/// ingress-nginx) is made for a controller that has a sidecar, so it is none.
fn bypass<'a>(
    world: &World<'a>,
    own: &str,
    hosts: &[&str],
    services: &[ServiceName<'_>],
) -> Option<Bypass<'a>> {
    let reaches = |edge: &Edge<'_>| {
        services.iter().any(|it| {
            it.name == object::name(edge.service)
                && same_namespace(it.namespace, object::namespace(edge.service))
        })
    };
    for ingress in world.reader.all(Kind::Ingress) {
        let ways = route::from_ingress(world, ingress);
        let shares_host = same_namespace(object::namespace(ingress), own)
            && ingress_hosts(ingress).any(|host| hosts.contains(&host));
        if ways.edges.is_empty() || !(shares_host || ways.edges.iter().any(reaches)) {
            continue;
        }
        let (controllers, _) = route::controllers(world, ingress);
        if in_mesh(ingress) || controllers.iter().any(|it| it.reads_mesh) {
            continue;
        }
        return Some(Bypass {
            entry: ingress,
            controllers,
        });
    }
    for entry in world.reader.all(Kind::HttpRoute) {
        let http = HttpRoute::of(world, entry);
        let shares_host = same_namespace(object::namespace(entry), own)
            && http.hosts().any(|host| hosts.contains(&host));
        let reaches = http.backends().flat_map(|it| &it.edges).any(reaches);
        let controllers = http.controllers();
        if !http.is_subject()
            || !(shares_host || reaches)
            || controllers.is_empty()
            || controllers.iter().any(|it| it.reads_mesh)
        {
            continue;
        }
        return Some(Bypass { entry, controllers });
    }
    None
}

fn in_mesh(ingress: &Value) -> bool {
    object::annotations(ingress)
        .any(|(key, value)| key.ends_with("/service-upstream") && value == "true")
}

fn ingress_hosts(ingress: &Value) -> impl Iterator<Item = &str> {
    let rules = ingress.at("/spec/rules").and_then(Value::as_array);
    let rules = rules.into_iter().flatten();
    rules.filter_map(|rule| rule.get("host")?.as_str())
}
