//! Gateway API: from an HTTPRoute to its Gateways with their controllers, and to its backends.

use crate::catalogue::Controller;
use crate::kind::Kind;
use crate::object::{self, same_namespace};
use crate::pointer::Walk;
use crate::policy::Policy;
use crate::route::backend::{self, Backend, ServiceName};
use crate::world::World;
use serde_json::Value;

/// An HTTPRoute with what it leads to.
#[derive(Clone, Debug)]
pub struct HttpRoute<'a> {
    /// The whole object.
    pub object: &'a Value,
    /// The Gateways that it asks for.
    pub parents: Vec<Parent<'a>>,
    /// Its rules.
    pub rules: Vec<HttpRouteRule<'a>>,
}

/// A Gateway that a route asks for.
#[derive(Clone, Debug)]
pub struct Parent<'a> {
    /// Pointer to the reference.
    pub path: String,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The Gateway, where it is in sight.
    pub gateway: Option<&'a Value>,
    /// The name of its class.
    pub class: Option<&'a str>,
    /// The GatewayClass, where it is in sight.
    pub class_object: Option<&'a Value>,
    /// The controller that the class names, where the catalogue knows it.
    pub controller: Option<&'a Controller>,
}

/// One rule of an HTTPRoute.
#[derive(Clone, Debug)]
pub struct HttpRouteRule<'a> {
    /// Pointer to it: `/spec/rules/0`.
    pub path: String,
    /// The rule.
    pub object: &'a Value,
    /// Where it sends requests.
    pub backends: Vec<Backend<'a>>,
}

impl<'a> HttpRoute<'a> {
    /// Reads an HTTPRoute.
    pub fn of(world: &World<'a>, object: &'a Value) -> HttpRoute<'a> {
        let own = object::namespace(object);
        let list = |pointer: &str| object.at(pointer).and_then(Value::as_array);
        let parents = list("/spec/parentRefs").into_iter().flatten().enumerate();
        let parents = parents.filter_map(|(index, reference)| {
            parent(world, own, format!("/spec/parentRefs/{index}"), reference)
        });
        let rules = list("/spec/rules").into_iter().flatten().enumerate();
        let rules = rules.map(|(index, rule)| {
            let path = format!("/spec/rules/{index}");
            HttpRouteRule {
                backends: backends(world, own, &path, rule),
                path,
                object: rule,
            }
        });
        HttpRoute {
            object,
            parents: parents.collect(),
            rules: rules.collect(),
        }
    }

    /// Every backend of every rule.
    pub fn backends(&self) -> impl Iterator<Item = &Backend<'a>> {
        self.rules.iter().flat_map(|rule| &rule.backends)
    }

    /// The controllers that serve it, each once.
    pub fn controllers(&self) -> Vec<&'a Controller> {
        let mut found: Vec<&Controller> = Vec::new();
        for controller in self.parents.iter().filter_map(|parent| parent.controller) {
            if !found.iter().any(|known| known.name == controller.name) {
                found.push(controller);
            }
        }
        found
    }

    /// Whether it leads to an inference workload.
    pub fn is_subject(&self) -> bool {
        self.backends().any(|backend| !backend.edges.is_empty())
    }

    /// Whether it names a Service that is not there, where Services were looked for.
    pub fn lacks_a_service(&self, world: &World<'_>) -> bool {
        let lacks = |it: &Backend<'_>| it.name.is_some() && it.service.is_none();
        world.reader.knows(Kind::Service) && self.backends().any(lacks)
    }

    /// How long a generation behind this route may take.
    pub fn longest_generation(&self, policy: &Policy) -> u32 {
        backend::longest(self.backends(), policy)
    }

    /// Its host names; none means every host of the listener.
    pub fn hosts(&self) -> impl Iterator<Item = &'a str> {
        strings(self.object, "/spec/hostnames")
    }
}

/// The strings of a list.
pub(super) fn strings<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = object.at(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn parent<'a>(
    world: &World<'a>,
    own: &'a str,
    path: String,
    reference: &'a Value,
) -> Option<Parent<'a>> {
    let text = |member: &str| reference.get(member).and_then(Value::as_str);
    // Other kinds of parent (a Service, for GAMMA) are no Gateway.
    if text("kind").is_some_and(|kind| kind != "Gateway") {
        return None;
    }
    let name = text("name")?;
    let namespace = text("namespace").unwrap_or(own);
    let gateway = named(world, Kind::Gateway, namespace, name);
    let class = gateway
        .and_then(|gateway| gateway.at("/spec/gatewayClassName"))
        .and_then(Value::as_str);
    let class_object = class.and_then(|class| named(world, Kind::GatewayClass, "", class));
    let controller = class_object.and_then(|class| {
        let id = class.at("/spec/controllerName")?.as_str()?;
        gateway_controller(world, id)
    });
    Some(Parent {
        path,
        namespace,
        name,
        gateway,
        class,
        class_object,
        controller,
    })
}

/// The controller of a `GatewayClass.spec.controllerName`.
pub fn gateway_controller<'a>(world: &World<'a>, name: &str) -> Option<&'a Controller> {
    let catalogue: &'a [Controller] = &world.catalogue.controllers;
    catalogue
        .iter()
        .find(|controller| controller.gateway_controllers.iter().any(|id| id == name))
}

/// The object of this kind and name in a namespace; an empty namespace joins with any.
pub(super) fn named<'a>(
    world: &World<'a>,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Option<&'a Value> {
    let matches = |object: &&'a Value| {
        object::name(object) == name && same_namespace(object::namespace(object), namespace)
    };
    world.reader.all(kind).find(matches)
}

fn backends<'a>(world: &World<'a>, own: &'a str, path: &str, rule: &'a Value) -> Vec<Backend<'a>> {
    let list = rule.get("backendRefs").and_then(Value::as_array);
    let each = list.into_iter().flatten().enumerate();
    each.filter_map(|(index, reference)| {
        let text = |member: &str| reference.get(member).and_then(Value::as_str);
        let host = text("name")?;
        let is_service = text("kind").is_none_or(|kind| kind == "Service")
            && text("group").is_none_or(str::is_empty);
        let name = is_service.then_some(ServiceName {
            namespace: text("namespace").unwrap_or(own),
            name: host,
        });
        Some(Backend {
            port: reference.get("port").and_then(Value::as_u64),
            weight: reference.get("weight").and_then(Value::as_u64),
            ..Backend::new(world, format!("{path}/backendRefs/{index}"), host, name)
        })
    })
    .collect()
}
