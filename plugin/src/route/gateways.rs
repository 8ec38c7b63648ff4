//! Reads routes of Gateway API and of Istio, with what stands in front of them.

use super::{Found, Gap, shape};
use crate::problem::Problem;
use infer_cluster::{Cluster, Selector, What};
use infer_core::object::ObjectRef;
use infer_core::pointer::Walk;
use infer_core::route::EVERY_SIDECAR;
use serde_json::Value;

/// An HTTPRoute with the Gateways that it asks for.
pub(super) async fn http_route(cluster: &Cluster, name: &str) -> Result<Found, Problem> {
    let namespace = cluster.namespace().to_owned();
    let route = cluster.get(What::HttpRoute, Some(&namespace), name).await?;
    let (mut gateways, mut gaps) = (Vec::new(), Vec::new());
    let parents = route.at("/spec/parentRefs").and_then(Value::as_array);
    for parent in parents.into_iter().flatten().take(MOST_GATEWAYS) {
        let text = |member: &str| parent.get(member).and_then(Value::as_str);
        let of = text("namespace").unwrap_or(&namespace);
        let gateway = cluster
            .get(What::Gateway, Some(of), text("name").unwrap_or_default())
            .await;
        match gateway {
            Ok(gateway) => gateways.push(gateway),
            Err(error) => gaps.push(Gap::of("the Gateways of the route", &error)),
        }
    }
    let class = gateways
        .first()
        .and_then(|it| it.at("/spec/gatewayClassName"));
    let class = match class.and_then(Value::as_str) {
        Some(class) => cluster.get(What::GatewayClass, None, class).await.ok(),
        None => None,
    };
    let controller = class.and_then(|it| Some(it.at("/spec/controllerName")?.as_str()?.to_owned()));
    Ok(Found {
        object: ObjectRef::of(&route),
        from: "Gateway status",
        controller,
        classes: None,
        canaries: Vec::new(),
        ingress: shape::of_http_route(&route, &gateways),
        gaps,
    })
}

/// A VirtualService with the Gateways that it names, and the Services that lead to their pods.
pub(super) async fn virtual_service(cluster: &Cluster, name: &str) -> Result<Found, Problem> {
    let namespace = cluster.namespace().to_owned();
    let route = cluster
        .get(What::VirtualService, Some(&namespace), name)
        .await?;
    let (mut gateways, mut gaps) = (Vec::new(), Vec::new());
    let named = route.at("/spec/gateways").and_then(Value::as_array);
    let named = named.into_iter().flatten().filter_map(Value::as_str);
    for gateway in named.filter(|it| *it != EVERY_SIDECAR).take(MOST_GATEWAYS) {
        let (of, short) = gateway.split_once('/').unwrap_or((&namespace, gateway));
        match cluster.get(What::IstioGateway, Some(of), short).await {
            Ok(gateway) => gateways.push(gateway),
            Err(error) => gaps.push(Gap::of("the Gateways of the route", &error)),
        }
    }
    // The gateway's pods and their Service can be in any namespace.
    let services = cluster.list(What::Service, None, &Selector::all()).await;
    let services = services
        .map_err(|error| gaps.push(Gap::of("the address of the Gateway", &error)))
        .unwrap_or_default();
    Ok(Found {
        object: ObjectRef::of(&route),
        from: "gateway Service's status",
        controller: None,
        classes: None,
        canaries: Vec::new(),
        ingress: shape::of_virtual_service(&route, &gateways, &services),
        gaps,
    })
}

/// So many Gateways of one route are read.
const MOST_GATEWAYS: usize = 4;
