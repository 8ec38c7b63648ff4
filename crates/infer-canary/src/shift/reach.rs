//! Which routes lead to the workload, and by which of its Services.

use super::{Named, Refusal, Stable, Via, Wanted, http_route, ingress_nginx, virtual_service};
use infer_core::catalogue::Catalogue;
use infer_core::object::{name, namespace, same_namespace};
use infer_core::route::backends;
use serde_json::Value;

/// A route that leads to the workload.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    pub(super) via: Via,
    pub(super) route: &'a Value,
    /// The Service that it leads to.
    pub(super) service: &'a Value,
}

/// What an object of this kind shares by, if it is a route.
fn via_of(object: &Value) -> Option<Via> {
    let group = object["apiVersion"].as_str()?.split('/').next()?;
    match (group, object["kind"].as_str()?) {
        ("networking.k8s.io", "Ingress") => Some(Via::IngressNginx),
        ("gateway.networking.k8s.io", "HTTPRoute") => Some(Via::HttpRoute),
        ("networking.istio.io", "VirtualService") => Some(Via::VirtualService),
        _ => None,
    }
}

fn leads_to(via: Via, route: &Value, service: &str) -> bool {
    match via {
        Via::IngressNginx => backends(route).iter().any(|(_, it)| *it == service),
        Via::HttpRoute => http_route::FORM.leads_to(route, service),
        Via::VirtualService => virtual_service::leads_to(route, service),
    }
}

/// The one route that leads to the workload, or the one that was asked for.
pub(super) fn the_route<'a>(
    catalogue: &Catalogue,
    stable: &'a Stable,
    services: &[&'a Value],
    wanted: &Wanted,
) -> Result<Reached<'a>, Refusal> {
    let own = namespace(&stable.workload);
    let mut found: Vec<(Via, &Value, Vec<&Value>)> = Vec::new();
    for route in &stable.routes {
        let Some(via) = via_of(route) else { continue };
        let is_shadow = via == Via::IngressNginx && ingress_nginx::is_canary(catalogue, route);
        if is_shadow || !same_namespace(namespace(route), own) || !is_asked(route, wanted) {
            continue;
        }
        let leading = services.iter().copied();
        let leading: Vec<&Value> = leading
            .filter(|it| leads_to(via, route, name(it)))
            .collect();
        if !leading.is_empty() {
            found.push((via, route, leading));
        }
    }
    match &found[..] {
        [] => Err(Refusal::NoRoute {
            workload: Named::of(&stable.workload),
            services: services.iter().map(|it| name(it).to_owned()).collect(),
            asked: wanted.route.clone(),
        }),
        [(via, route, leading)] => match &leading[..] {
            [service] => Ok(Reached {
                via: *via,
                route,
                service,
            }),
            several => Err(Refusal::SeveralServices {
                route: Named::of(route),
                services: several.iter().map(|it| name(it).to_owned()).collect(),
            }),
        },
        several => Err(Refusal::SeveralRoutes {
            routes: several.iter().map(|(_, it, _)| Named::of(it)).collect(),
        }),
    }
}

/// Whether it is the route that was asked for; any is where none was.
fn is_asked(route: &Value, wanted: &Wanted) -> bool {
    wanted.route.as_ref().is_none_or(|asked| {
        let kind = route["kind"].as_str().unwrap_or_default();
        asked.kind.eq_ignore_ascii_case(kind) && asked.name == name(route)
    })
}
