//! What stands in front of the Services: address, controller, entry.

use super::behind;
use crate::entry::Entry;
use crate::hop::{Hop, HopKind, How, Mark};
use crate::view::{Scene, items, text};
use infer_core::catalogue::{Controller, WithoutClass};
use infer_core::kind::Kind;
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::route::{self, Evidence, HttpRoute, Parent, VirtualService};
use serde_json::Value;

/// Whether the proxy on this way evaluates Istio's objects.
pub(super) fn reads_mesh(scene: &Scene<'_>, entry: &Entry<'_>) -> bool {
    match entry {
        Entry::Ingress(ingress) => {
            let (controllers, _) = route::controllers(scene.world, ingress);
            controllers.iter().any(|it| it.reads_mesh)
        }
        Entry::HttpRoute(route) => route.controllers().iter().any(|it| it.reads_mesh),
        Entry::VirtualService(route) => !route.is_bypassed(),
        Entry::Service(_) | Entry::Workload(_) => false,
    }
}

fn client() -> Hop {
    Hop::new(HopKind::Address, "client", "client")
}

/// Nests hops: each is behind the one before.
fn chain(hops: Vec<Hop>) -> Hop {
    let mut hops = hops.into_iter().rev();
    let last = hops.next().unwrap_or_else(client);
    hops.fold(last, |inner, mut outer| {
        outer.next.push(inner);
        outer
    })
}

/// What an entry's status says of its address.
fn address(scene: &Scene<'_>, addresses: &[&str], whose: &str) -> Hop {
    match addresses {
        _ if !scene.is_live() => client(),
        [] => client().stands(
            Mark::Doubtful,
            format!("no address in the status of its {whose}: nobody serves it yet"),
            How::Reported,
        ),
        [first, others @ ..] => {
            let hop = Hop::new(HopKind::Address, "address", *first);
            let more = match others.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            hop.stands(
                Mark::Plain,
                format!("in the status of its {whose}{more}"),
                How::Reported,
            )
        }
    }
}

/// The addresses in an Ingress' status.
pub(crate) fn ingress_addresses(ingress: &Value) -> Vec<&str> {
    let each = items(ingress, "/status/loadBalancer/ingress");
    let address = |it| match text(it, "/ip") {
        "" => text(it, "/hostname"),
        ip => ip,
    };
    each.map(address).filter(|it| !it.is_empty()).collect()
}

/// The addresses in a Gateway's status.
pub(crate) fn gateway_addresses(gateway: &Value) -> Vec<&str> {
    let each = items(gateway, "/status/addresses");
    each.map(|it| text(it, "/value"))
        .filter(|it| !it.is_empty())
        .collect()
}

pub(super) fn of_ingress<'a>(scene: &Scene<'a>, entry: &Entry<'a>, ingress: &'a Value) -> Hop {
    let addresses = ingress_addresses(ingress);
    let (controllers, evidence) = route::controllers(scene.world, ingress);
    let class = route::class_name(ingress);
    let mut own = Hop::new(HopKind::Object, "Ingress", object::name(ingress)).object(ingress);
    let ignored = class.is_none()
        && evidence != Evidence::ClassObject
        && !controllers.is_empty()
        && controllers
            .iter()
            .all(|it| it.without_class == WithoutClass::Ignored);
    own = match (class, addresses.is_empty()) {
        (None, true) if ignored => own.stands(
            Mark::Bad,
            "names no class: the controller ignores it",
            How::Declared,
        ),
        (_, false) => own.stands(Mark::Good, "has an address", How::Reported),
        (Some(class), true) => own.stands(Mark::Plain, format!("class {class}"), How::Declared),
        (None, true) => own.stands(Mark::Plain, "names no class", How::Declared),
    };
    own.next = behind(scene, entry);
    chain(vec![
        address(scene, &addresses, "Ingress"),
        controller_of_ingress(scene, &controllers, evidence, class),
        own,
    ])
}

fn controller_of_ingress(
    scene: &Scene<'_>,
    controllers: &[&Controller],
    evidence: Evidence,
    class: Option<&str>,
) -> Hop {
    let by = match evidence {
        Evidence::ClassObject => "by its IngressClass",
        Evidence::Prefix => "by the prefix of its annotations",
        Evidence::ClassName => "by the usual name of its class",
        Evidence::None => "",
    };
    let how = match evidence {
        Evidence::ClassObject => How::Declared,
        _ => How::Assumed,
    };
    match controllers {
        [] => {
            let why = match (evidence, class) {
                (Evidence::ClassObject, _) => "it is not in the catalogue".to_owned(),
                (_, Some(class)) if scene.knows(Kind::IngressClass) => {
                    format!("there is no IngressClass {class}")
                }
                (_, Some(class)) => format!("IngressClass {class} was not read"),
                (_, None) => "no class, no annotation tells".to_owned(),
            };
            Hop::new(HopKind::Controller, "controller", "unknown").stands(
                Mark::Doubtful,
                why,
                How::Assumed,
            )
        }
        [one] => of_controller(one, by, how),
        several => {
            let titles: Vec<&str> = several.iter().map(|it| it.title.as_str()).collect();
            Hop::new(HopKind::Controller, "controller", titles.join(" or ")).stands(
                Mark::Doubtful,
                format!("both {by}"),
                How::Assumed,
            )
        }
    }
}

fn of_controller(controller: &Controller, by: &str, how: How) -> Hop {
    let hop = Hop::new(HopKind::Controller, "controller", &*controller.title);
    match &controller.retired {
        Some(retired) => hop.stands(
            Mark::Doubtful,
            format!("{by}; retired, last release {}", retired.last_version),
            how,
        ),
        None => hop.stands(Mark::Plain, by, how),
    }
}

pub(super) fn of_http_route<'a>(
    scene: &Scene<'a>,
    entry: &Entry<'a>,
    route: &HttpRoute<'a>,
) -> Vec<Hop> {
    let mut own = Hop::new(HopKind::Object, "HTTPRoute", object::name(route.object));
    own = own.object(route.object);
    own = accepted(own, route.object);
    own.next = behind(scene, entry);
    let mut roots: Vec<Vec<Hop>> = route
        .parents
        .iter()
        .map(|parent| of_parent(scene, parent))
        .collect();
    match roots.last_mut() {
        Some(last) => last.push(own),
        None => roots.push(vec![
            client().stands(Mark::Bad, "it names no Gateway", How::Declared),
            own,
        ]),
    }
    roots.into_iter().map(chain).collect()
}

/// What the controllers of a route's Gateways say of it.
fn accepted(hop: Hop, route: &Value) -> Hop {
    let conditions: Vec<&Value> = items(route, "/status/parents")
        .flat_map(|parent| items(parent, "/conditions"))
        .collect();
    let refused = conditions.iter().find(|it| {
        matches!(text(it, "/type"), "Accepted" | "ResolvedRefs") && text(it, "/status") == "False"
    });
    if let Some(refused) = refused {
        let state = format!("{}: {}", text(refused, "/type"), text(refused, "/reason"));
        return hop.stands(Mark::Bad, state, How::Reported);
    }
    let is_accepted =
        |it: &&Value| text(it, "/type") == "Accepted" && text(it, "/status") == "True";
    match conditions.iter().copied().find(is_accepted) {
        Some(condition) => match text(condition, "/reason") {
            "" | "Accepted" => hop.stands(Mark::Good, "accepted", How::Reported),
            reason => hop.stands(Mark::Doubtful, format!("accepted: {reason}"), How::Reported),
        },
        None => hop.stands(Mark::Plain, "", How::Declared),
    }
}

fn of_parent(scene: &Scene<'_>, parent: &Parent<'_>) -> Vec<Hop> {
    let own = Hop::new(HopKind::Object, "Gateway", parent.name);
    let Some(gateway) = parent.gateway else {
        let own = if scene.knows(Kind::Gateway) {
            own.stands(Mark::Bad, "there is no such Gateway", How::Observed)
        } else {
            own.stands(Mark::Plain, "it was not read", How::Declared)
        };
        return vec![client(), own];
    };
    let controller = match (parent.controller, parent.class_object) {
        (Some(controller), _) => of_controller(controller, "by its GatewayClass", How::Declared),
        (None, Some(class)) => Hop::new(
            HopKind::Controller,
            "controller",
            text(class, "/spec/controllerName"),
        )
        .stands(Mark::Doubtful, "it is not in the catalogue", How::Declared),
        (None, None) => Hop::new(HopKind::Controller, "controller", "unknown").stands(
            Mark::Doubtful,
            format!(
                "GatewayClass {} {}",
                parent.class.unwrap_or("<none>"),
                if scene.knows(Kind::GatewayClass) {
                    "is not there"
                } else {
                    "was not read"
                }
            ),
            How::Assumed,
        ),
    };
    let own = own.object(gateway);
    let condition =
        |name: &str| items(gateway, "/status/conditions").find(|it| text(it, "/type") == name);
    let own = match condition("Programmed").or_else(|| condition("Accepted")) {
        Some(it) if text(it, "/status") == "True" => {
            own.stands(Mark::Good, text(it, "/type").to_lowercase(), How::Reported)
        }
        Some(it) => own.stands(
            Mark::Bad,
            format!("{}: {}", text(it, "/type"), text(it, "/reason")),
            How::Reported,
        ),
        None => own.stands(Mark::Plain, "", How::Declared),
    };
    let addresses = gateway_addresses(gateway);
    vec![address(scene, &addresses, "Gateway"), controller, own]
}

pub(super) fn of_virtual_service<'a>(
    scene: &Scene<'a>,
    entry: &Entry<'a>,
    route: &VirtualService<'a>,
) -> Vec<Hop> {
    let mut own = Hop::new(
        HopKind::Object,
        "VirtualService",
        object::name(route.object),
    )
    .object(route.object);
    own.next = behind(scene, entry);
    if let Some(bypass) = &route.bypass {
        let kind = text(bypass.entry, "/kind").to_lowercase();
        own = own.stands(
            Mark::Bad,
            format!(
                "never consulted: requests enter by {kind}/{}, through {}",
                object::name(bypass.entry),
                bypass.titles()
            ),
            How::Declared,
        );
        return vec![own];
    }
    let mut roots = Vec::new();
    for named in &route.gateways {
        let gateway = Hop::new(HopKind::Object, "Gateway", named.name);
        let gateway = match named.gateway {
            Some(object) => {
                gateway
                    .object(object)
                    .stands(Mark::Plain, selects(object), How::Declared)
            }
            None if scene.knows(Kind::IstioGateway) => {
                gateway.stands(Mark::Bad, "there is no such Gateway", How::Observed)
            }
            None => gateway.stands(Mark::Plain, "it was not read", How::Declared),
        };
        roots.push(vec![client(), gateway]);
    }
    if route.for_sidecars {
        roots.push(vec![
            Hop::new(HopKind::Address, "client", "clients in the mesh").stands(
                Mark::Plain,
                "their own sidecars route",
                How::Declared,
            ),
        ]);
    }
    match roots.last_mut() {
        Some(last) => last.push(own),
        None => roots.push(vec![own]),
    }
    roots.into_iter().map(chain).collect()
}

/// Which proxies an Istio Gateway is for.
fn selects(gateway: &Value) -> String {
    let pairs = gateway.at("/spec/selector").and_then(Value::as_object);
    let each: Vec<String> = pairs
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    match each.as_slice() {
        [] => "every proxy of the mesh".to_owned(),
        each => format!("proxies {}", each.join(",")),
    }
}
