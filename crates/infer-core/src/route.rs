//! The route graph: entry (Ingress, HTTPRoute, VirtualService) to controller, Service, workload and
//! server; the timers on that way; and what is declared but not on it.
//!
//! Each edge says how sure it is. Findings may rest on an assumed edge, fixes may not.

mod backend;
pub mod ejection;
mod entry;
mod gateway;
mod mesh;
pub mod timers;

pub use backend::{Backend, ServiceName};
pub use entry::Bypass;
pub use gateway::{HttpRoute, HttpRouteRule, Parent, gateway_controller};
pub use mesh::{
    DestinationRule, EVERY_SIDECAR, MeshRoute, NamedGateway, READ_FOR_DESTINATION_RULE,
    READ_FOR_MESH_OF_SERVICE, READ_FOR_VIRTUAL_SERVICE, Subset, VirtualService, has_inference,
    http2_pools, is_consulted_for, subsets_of, upgrades_to_http2,
};

use crate::catalogue::{ClassBy, Controller, Sidecar};
use crate::kind::{Kind, pod_kind_of};
use crate::object;
use crate::pointer::Walk;
use crate::server::{Server, servers};
use crate::world::World;
use serde_json::{Map, Value};

/// The way from a Service to a workload that runs an inference server.
#[derive(Clone, Debug)]
pub struct Edge<'a> {
    /// The Service.
    pub service: &'a Value,
    /// The workload.
    pub workload: &'a Value,
    /// Its inference servers.
    pub servers: Vec<Server<'a>>,
    /// Whether the Service selects nothing, and the workload is only the one it was meant for.
    pub assumed: bool,
}

/// Where the ways from an Ingress or a Service end.
#[derive(Clone, Debug, Default)]
pub struct Ways<'a> {
    /// Those that end at an inference workload.
    pub edges: Vec<Edge<'a>>,
    /// Those whose end is not in sight: Services that are not there, or that reach no workload that
    /// is. The name of each Service.
    pub open: Vec<String>,
}

/// What tells which controller serves an Ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The IngressClass object.
    ClassObject,
    /// The prefix of its annotations.
    Prefix,
    /// The usual name of a class.
    ClassName,
    /// Nothing.
    None,
}

/// The class that an Ingress names, in the field or in the annotation that came before it.
pub fn class_name(ingress: &Value) -> Option<&str> {
    let field = ingress.at("/spec/ingressClassName").and_then(Value::as_str);
    field
        .or_else(|| object::annotation(ingress, "kubernetes.io/ingress.class"))
        .filter(|name| !name.is_empty())
}

/// Whether an IngressClass is the cluster's default.
pub fn is_default_class(class: &Value) -> bool {
    object::annotation(class, "ingressclass.kubernetes.io/is-default-class") == Some("true")
}

/// The controllers that may serve an Ingress. A class name alone decides nothing: two products
/// share `nginx`.
pub fn controllers<'a>(world: &World<'a>, ingress: &Value) -> (Vec<&'a Controller>, Evidence) {
    let catalogue = &world.catalogue.controllers;
    let named = class_name(ingress);
    let class = world
        .reader
        .all(Kind::IngressClass)
        .find(|class| match named {
            Some(name) => object::name(class) == name,
            None => is_default_class(class),
        });
    if let Some(class) = class {
        let value = class
            .at("/spec/controller")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let known: Vec<&Controller> = catalogue
            .iter()
            .filter(|c| c.controllers.iter().any(|id| id == value))
            .collect();
        // What the IngressClass says of a controller that never reads one decides nothing: there its
        // name counts, as where no object is in sight.
        let by_name = |c: &&Controller| {
            let name = object::name(class);
            c.class_by == ClassBy::Name && c.class_names.iter().any(|known| known == name)
        };
        let by_name: Vec<&Controller> = catalogue.iter().filter(by_name).collect();
        if !known.is_empty() || by_name.is_empty() {
            return (known, Evidence::ClassObject);
        }
        let evidence = if by_name.iter().all(|c| has_annotations_of(ingress, c)) {
            Evidence::Prefix
        } else {
            Evidence::ClassName
        };
        return (by_name, evidence);
    }
    let by_prefix: Vec<&Controller> = catalogue
        .iter()
        .filter(|controller| has_annotations_of(ingress, controller))
        .collect();
    if by_prefix.len() == 1 {
        return (by_prefix, Evidence::Prefix);
    }
    let by_name: Vec<&Controller> = catalogue
        .iter()
        .filter(|c| named.is_some_and(|name| c.class_names.iter().any(|known| known == name)))
        .collect();
    let evidence = if by_name.is_empty() {
        Evidence::None
    } else {
        Evidence::ClassName
    };
    (by_name, evidence)
}

/// Whether an Ingress carries an annotation of this controller. Keys count whatever their value: a
/// number is a flaw of its own.
fn has_annotations_of(ingress: &Value, controller: &Controller) -> bool {
    let map = ingress
        .at("/metadata/annotations")
        .and_then(Value::as_object);
    let mut keys = map.into_iter().flat_map(Map::keys);
    keys.any(|key| {
        let mut prefixes = controller.annotation_prefixes.iter();
        prefixes.any(|prefix| key.starts_with(prefix))
    })
}

/// The Services that an Ingress names, each once, with the pointer of the backend.
pub fn backends(ingress: &Value) -> Vec<(String, &str)> {
    let mut found: Vec<(String, &str)> = Vec::new();
    let default = ingress
        .at("/spec/defaultBackend/service/name")
        .and_then(Value::as_str);
    if let Some(name) = default {
        found.push(("/spec/defaultBackend".to_owned(), name));
    }
    let rules = ingress.at("/spec/rules").and_then(Value::as_array);
    for (rule_index, rule) in rules.into_iter().flatten().enumerate() {
        let paths = rule.at("/http/paths").and_then(Value::as_array);
        for (path_index, path) in paths.into_iter().flatten().enumerate() {
            let Some(name) = path.at("/backend/service/name").and_then(Value::as_str) else {
                continue;
            };
            if !found.iter().any(|(_, known)| *known == name) {
                let pointer = format!("/spec/rules/{rule_index}/http/paths/{path_index}/backend");
                found.push((pointer, name));
            }
        }
    }
    found
}

/// The ways from an Ingress to inference workloads.
pub fn from_ingress<'a>(world: &World<'a>, ingress: &Value) -> Ways<'a> {
    let namespace = object::namespace(ingress);
    let mut ways = Ways::default();
    for (_, name) in backends(ingress) {
        match world.reader.service(namespace, name) {
            Some(service) => {
                let further = from_service(world, service);
                ways.edges.extend(further.edges);
                ways.open.extend(further.open);
            }
            None => ways.open.push(name.to_owned()),
        }
    }
    ways
}

/// The ways from a Service to inference workloads.
///
/// A Service that selects nothing is joined, as assumed, to a workload without labels whose name
/// its selector carries.
pub fn from_service<'a>(world: &World<'a>, service: &'a Value) -> Ways<'a> {
    let mut ways = Ways::default();
    let Some(selector) = service.at("/spec/selector").filter(|s| s.is_object()) else {
        // No selector: its endpoints are written by hand.
        return ways;
    };
    let namespace = object::namespace(service);
    let mut selects_any = false;
    for workload in world.reader.selected(namespace, selector) {
        selects_any = true;
        push_edge(world, &mut ways, service, workload, false);
    }
    if !selects_any {
        match meant(world, namespace, selector) {
            Some(workload) => push_edge(world, &mut ways, service, workload, true),
            None => ways.open.push(object::name(service).to_owned()),
        }
    }
    ways
}

/// The workload without labels whose name a selector carries.
fn meant<'a>(world: &World<'a>, namespace: &str, selector: &Value) -> Option<&'a Value> {
    let names = selector
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_str());
    names
        .flat_map(|name| world.reader.workloads_named(namespace, name))
        .find(|workload| {
            let template = pod_kind_of(workload).and_then(|kind| workload.at(kind.template));
            let labels = template.and_then(|template| template.at("/metadata/labels"));
            template.is_some() && labels.and_then(Value::as_object).is_none_or(Map::is_empty)
        })
}

fn push_edge<'a>(
    world: &World<'a>,
    ways: &mut Ways<'a>,
    service: &'a Value,
    workload: &'a Value,
    assumed: bool,
) {
    let Some(kind) = pod_kind_of(workload) else {
        return;
    };
    let Some(template) = workload.at(kind.template) else {
        return;
    };
    let servers = servers(world.catalogue, template, kind.template);
    if !servers.is_empty() {
        ways.edges.push(Edge {
            service,
            workload,
            servers,
            assumed,
        });
    }
}

/// Whether a workload runs an inference server.
pub fn is_inference(world: &World<'_>, workload: &Value) -> bool {
    let kind = pod_kind_of(workload);
    let template = kind.and_then(|kind| Some((kind.template, workload.at(kind.template)?)));
    template.is_some_and(|(path, template)| !servers(world.catalogue, template, path).is_empty())
}

/// The sidecars that are put beside the server at the end of a way.
pub fn sidecars_beside<'a>(world: &World<'a>, edge: &Edge<'_>) -> Vec<&'a Sidecar> {
    let kind = pod_kind_of(edge.workload);
    let Some(template) = kind.and_then(|kind| edge.workload.at(kind.template)) else {
        return Vec::new();
    };
    let namespace = world.reader.namespace(object::namespace(edge.workload));
    let catalogue: &'a [Sidecar] = &world.catalogue.sidecars;
    let beside = catalogue
        .iter()
        .filter(|it| it.is_beside(template, namespace));
    beside.collect()
}

/// Whether a port of a Service leads to a server. Where the server's own port is not known, the
/// Service's only port does.
pub fn leads_to(port: &Value, edge: &Edge<'_>, server: &Server<'_>, is_only: bool) -> bool {
    let target = port
        .get("targetPort")
        .filter(|it| !it.is_null())
        .or(port.get("port"));
    let number = match target {
        Some(Value::String(name)) => {
            let ports = edge
                .workload
                .at(&server.path)
                .and_then(|it| it.get("ports"));
            let ports = ports.and_then(Value::as_array).into_iter().flatten();
            let named = |it: &&Value| it.get("name").and_then(Value::as_str) == Some(name);
            let Some(port) = ports.into_iter().find(named) else {
                return is_only;
            };
            port.get("containerPort").and_then(Value::as_u64)
        }
        target => target.and_then(Value::as_u64),
    };
    match server.port {
        Some(known) => number == Some(u64::from(known)),
        None => is_only,
    }
}
