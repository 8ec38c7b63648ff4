//! Entries beside a mesh: by which host names they lead to a Service, and whether requests that come
//! through one meet a proxy that evaluates Istio's objects.

use crate::catalogue::Controller;
use crate::kind::Kind;
use crate::object::{self, same_namespace};
use crate::pointer::Walk;
use crate::route;
use crate::route::backend::ServiceName;
use crate::route::gateway::{HttpRoute, strings};
use crate::world::World;
use serde_json::Value;

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

/// The entry by which requests for these hosts, or to these Services, come to inference workloads
/// without a proxy that evaluates Istio's objects.
///
/// An Ingress that hands requests to the Service's own address is made for a controller that has a
/// sidecar, so it is none. Nor is an entry of which no controller is known.
pub(super) fn bypass<'a>(
    world: &World<'a>,
    own: &str,
    hosts: &[&str],
    services: &[ServiceName<'_>],
) -> Option<Bypass<'a>> {
    let blind = |controllers: &[&Controller]| {
        !controllers.is_empty() && !controllers.iter().any(|it| it.reads_mesh)
    };
    for ingress in world.reader.all(Kind::Ingress) {
        let namespace = object::namespace(ingress);
        let shares_host = same_namespace(namespace, own)
            && ingress_hosts(ingress).any(|host| hosts.contains(&host));
        let names = |(_, name): &(String, &str)| {
            let mut near = services.iter();
            near.any(|it| it.name == *name && same_namespace(it.namespace, namespace))
        };
        if !(shares_host || route::backends(ingress).iter().any(names)) {
            continue;
        }
        let (controllers, _) = route::controllers(world, ingress);
        let is_blind = blind(&controllers) && !is_for_sidecar(ingress, &controllers);
        if is_blind && !route::from_ingress(world, ingress).edges.is_empty() {
            return Some(Bypass {
                entry: ingress,
                controllers,
            });
        }
    }
    for entry in world.reader.all(Kind::HttpRoute) {
        let shares_host = same_namespace(object::namespace(entry), own)
            && strings(entry, "/spec/hostnames").any(|host| hosts.contains(&host));
        if !(shares_host || http_names(entry, services)) {
            continue;
        }
        let http = HttpRoute::of(world, entry);
        let controllers = http.controllers();
        if http.is_subject() && blind(&controllers) {
            return Some(Bypass { entry, controllers });
        }
    }
    None
}

/// The host names by which entries lead to a Service.
pub(super) fn entry_hosts<'a>(world: &World<'a>, service: ServiceName<'_>) -> Vec<&'a str> {
    let mut hosts = Vec::new();
    for ingress in world.reader.all(Kind::Ingress) {
        let is_near = same_namespace(object::namespace(ingress), service.namespace);
        if is_near
            && route::backends(ingress)
                .iter()
                .any(|(_, name)| *name == service.name)
        {
            hosts.extend(ingress_hosts(ingress));
        }
    }
    for http in world.reader.all(Kind::HttpRoute) {
        if http_names(http, &[service]) {
            hosts.extend(strings(http, "/spec/hostnames"));
        }
    }
    hosts
}

/// Whether an HTTPRoute names one of these Services.
fn http_names(http: &Value, services: &[ServiceName<'_>]) -> bool {
    let own = object::namespace(http);
    let rules = http.at("/spec/rules").and_then(Value::as_array);
    let references = rules.into_iter().flatten().flat_map(|rule| {
        let list = rule.get("backendRefs").and_then(Value::as_array);
        list.into_iter().flatten()
    });
    let mut names = references.filter_map(|reference| {
        let text = |member: &str| reference.get(member).and_then(Value::as_str);
        Some((text("namespace").unwrap_or(own), text("name")?))
    });
    names.any(|(namespace, name)| {
        services
            .iter()
            .any(|it| it.name == name && same_namespace(it.namespace, namespace))
    })
}

/// Whether an Ingress says what its controller needs to hand requests to a sidecar of its own.
fn is_for_sidecar(ingress: &Value, controllers: &[&Controller]) -> bool {
    let settings = controllers.iter().filter_map(|it| it.to_service.as_ref());
    settings.into_iter().any(|it| {
        object::annotation(ingress, &it.annotation)
            .is_some_and(|value| value.eq_ignore_ascii_case(&it.value))
    })
}

fn ingress_hosts(ingress: &Value) -> impl Iterator<Item = &str> {
    let rules = ingress.at("/spec/rules").and_then(Value::as_array);
    let rules = rules.into_iter().flatten();
    rules.filter_map(|rule| rule.get("host")?.as_str())
}
