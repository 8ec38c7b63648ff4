//! Where ways begin: the subject itself, or every entry that leads to it.

use crate::report::Reference;
use crate::subject::SubjectKind;
use crate::view::{Scene, items, text};
use infer_core::kind::{Kind, pod_kind_of};
use infer_core::object::{self, same_namespace};
use infer_core::pointer::Walk;
use infer_core::route::{self, HttpRoute, ServiceName, VirtualService};
use serde_json::Value;
use std::sync::Arc;

/// The beginning of a way.
pub(crate) enum Entry<'a> {
    /// An Ingress.
    Ingress(&'a Value),
    /// An HTTPRoute.
    HttpRoute(HttpRoute<'a>),
    /// A VirtualService.
    VirtualService(VirtualService<'a>),
    /// A Service that no entry in sight leads to.
    Service(&'a Value),
    /// A workload or a bare pod that no Service in sight selects.
    Workload(&'a Value),
}

impl<'a> Entry<'a> {
    /// The object.
    pub(crate) fn object(&self) -> &'a Value {
        match self {
            Entry::Ingress(object) | Entry::Service(object) | Entry::Workload(object) => object,
            Entry::HttpRoute(route) => route.object,
            Entry::VirtualService(route) => route.object,
        }
    }

    /// Its identity, where it is one that clients come in by.
    pub(crate) fn reference(&self) -> Option<Reference> {
        match self {
            Entry::Service(_) | Entry::Workload(_) => None,
            _ => Some(Reference::of(self.object())),
        }
    }

    /// What a client asks for.
    pub(crate) fn url(&self) -> String {
        match self {
            Entry::Ingress(ingress) => {
                let rule = items(ingress, "/spec/rules").next();
                let host = rule.map(|rule| text(rule, "/host")).unwrap_or_default();
                let path = rule
                    .and_then(|rule| items(rule, "/http/paths").next())
                    .map(|path| text(path, "/path"))
                    .unwrap_or_default();
                let tls = items(ingress, "/spec/tls").next().is_some();
                url(if tls { "https" } else { "http" }, host, path)
            }
            Entry::HttpRoute(route) => {
                let path = items(route.object, "/spec/rules")
                    .flat_map(|rule| items(rule, "/matches"))
                    .map(|it| text(it, "/path/value"))
                    .next()
                    .unwrap_or_default();
                let tls = route.parents.iter().filter_map(|it| it.gateway);
                let tls = tls
                    .flat_map(|gateway| items(gateway, "/spec/listeners"))
                    .any(|listener| text(listener, "/protocol") == "HTTPS");
                let host = route.hosts().next().unwrap_or_default();
                url(if tls { "https" } else { "http" }, host, path)
            }
            Entry::VirtualService(route) => {
                url("http", route.hosts().next().unwrap_or_default(), "")
            }
            Entry::Service(service) => {
                let port = items(service, "/spec/ports").next();
                let port = port.and_then(|it| it.get("port")?.as_u64());
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let namespace = match object::namespace(service) {
                    "" => String::new(),
                    namespace => format!(".{namespace}"),
                };
                format!("http://{}{namespace}{port}/", object::name(service))
            }
            Entry::Workload(_) => "no Service leads here".to_owned(),
        }
    }

    /// The Services that it sends requests to, as it names them.
    pub(crate) fn targets(&self, scene: &Scene<'a>) -> Vec<Target<'a>> {
        let reader = scene.world.reader;
        match self {
            Entry::Ingress(ingress) => ingress_targets(scene, ingress),
            Entry::HttpRoute(route) => {
                let each = route.rules.iter().flat_map(|rule| {
                    let total: u64 = rule.backends.iter().map(|it| it.weight.unwrap_or(1)).sum();
                    let split = rule.backends.len() > 1;
                    rule.backends.iter().map(move |backend| Target {
                        name: backend.host,
                        port: backend.port.map(|port| port.to_string()),
                        share: split.then(|| percent(backend.weight.unwrap_or(1), total)),
                        subset: None,
                        at: items(rule.object, "/matches")
                            .map(|it| text(it, "/path/value").to_owned())
                            .next()
                            .unwrap_or_default(),
                        service_name: backend.name,
                        service: backend.service,
                    })
                });
                each.collect()
            }
            Entry::VirtualService(route) => {
                let each = route.routes.iter().flat_map(|rule| {
                    let split = rule.backends.len() > 1;
                    let total: u64 = rule.backends.iter().map(|it| it.weight.unwrap_or(0)).sum();
                    rule.backends.iter().map(move |backend| Target {
                        name: backend.host,
                        port: backend.port.map(|port| port.to_string()),
                        share: split.then(|| percent(backend.weight.unwrap_or(0), total)),
                        subset: backend.subset,
                        at: String::new(),
                        service_name: backend.name,
                        service: backend.service,
                    })
                });
                each.collect()
            }
            Entry::Service(service) => vec![Target {
                name: object::name(service),
                port: None,
                share: None,
                subset: None,
                at: String::new(),
                service_name: None,
                service: reader.service(object::namespace(service), object::name(service)),
            }],
            Entry::Workload(_) => Vec::new(),
        }
    }

    /// The workloads behind it, each once.
    pub(crate) fn workloads(&self, scene: &Scene<'a>) -> Vec<&'a Value> {
        let mut found: Vec<&Value> = Vec::new();
        if let Entry::Workload(workload) = self {
            found.push(workload);
        }
        for service in self.targets(scene).iter().filter_map(|it| it.service) {
            for (workload, _) in workloads_of(scene, service) {
                if !found.iter().any(|known| std::ptr::eq(*known, workload)) {
                    found.push(workload);
                }
            }
        }
        found
    }
}

fn url(scheme: &str, host: &str, path: &str) -> String {
    let host = if host.is_empty() { "*" } else { host };
    let path = if path.is_empty() { "/" } else { path };
    format!("{scheme}://{host}{path}")
}

fn percent(weight: u64, total: u64) -> u64 {
    (weight * 100 + total / 2).checked_div(total).unwrap_or(0)
}

/// A Service that an entry sends requests to.
pub(crate) struct Target<'a> {
    /// As written.
    pub(crate) name: &'a str,
    /// The port.
    pub(crate) port: Option<String>,
    /// Its share of the requests in percent, where they are split.
    pub(crate) share: Option<u64>,
    /// The subset.
    pub(crate) subset: Option<&'a str>,
    /// The path that leads there; empty where all do.
    pub(crate) at: String,
    /// The Service that the name means.
    pub(crate) service_name: Option<ServiceName<'a>>,
    /// The Service, where it is in sight.
    pub(crate) service: Option<&'a Value>,
}

fn ingress_targets<'a>(scene: &Scene<'a>, ingress: &'a Value) -> Vec<Target<'a>> {
    let namespace = object::namespace(ingress);
    let mut found: Vec<Target<'a>> = Vec::new();
    let mut push = |backend: &'a Value, at: &'a str| {
        let name = text(backend, "/service/name");
        if name.is_empty() {
            return;
        }
        let port = match backend.at("/service/port/number") {
            Some(number) => Some(number.to_string()),
            None => {
                Some(text(backend, "/service/port/name").to_owned()).filter(|it| !it.is_empty())
            }
        };
        if !found.iter().any(|it| it.name == name && it.port == port) {
            found.push(Target {
                name,
                port,
                share: None,
                subset: None,
                at: at.to_owned(),
                service_name: Some(ServiceName { namespace, name }),
                service: scene.world.reader.service(namespace, name),
            });
        }
    };
    for rule in items(ingress, "/spec/rules") {
        for path in items(rule, "/http/paths") {
            if let Some(backend) = path.get("backend") {
                push(backend, text(path, "/path"));
            }
        }
    }
    if let Some(backend) = ingress.at("/spec/defaultBackend") {
        push(backend, "");
    }
    found
}

/// The workloads of a Service, each with whether that is only assumed.
pub(crate) fn workloads_of<'a>(scene: &Scene<'a>, service: &'a Value) -> Vec<(&'a Value, bool)> {
    let mut found: Vec<(&Value, bool)> = Vec::new();
    if let Some(selector) = service.at("/spec/selector").filter(|it| it.is_object()) {
        let namespace = object::namespace(service);
        let selected = scene.world.reader.selected(namespace, selector);
        found.extend(selected.map(|workload| (workload, false)));
    }
    for edge in route::from_service(scene.world, service).edges {
        if !found
            .iter()
            .any(|(known, _)| std::ptr::eq(*known, edge.workload))
        {
            found.push((edge.workload, edge.assumed));
        }
    }
    found
}

/// Where the ways begin that the subject is on.
pub(crate) fn entries<'a>(scene: &Scene<'a>) -> Vec<Entry<'a>> {
    let Some(subject) = scene.subject() else {
        return Vec::new();
    };
    match scene.facts.subject.kind {
        SubjectKind::Ingress => return vec![Entry::Ingress(subject)],
        SubjectKind::HttpRoute => {
            return vec![Entry::HttpRoute(HttpRoute::of(scene.world, subject))];
        }
        SubjectKind::VirtualService => {
            return vec![Entry::VirtualService(VirtualService::of(
                scene.world,
                subject,
            ))];
        }
        _ => {}
    }
    let services = services_to(scene, subject);
    let leads = |name: &str, namespace: &str| {
        services.iter().any(|service| {
            object::name(service) == name && same_namespace(object::namespace(service), namespace)
        })
    };
    let mut found = Vec::new();
    for ingress in scene.world.reader.all(Kind::Ingress) {
        let namespace = object::namespace(ingress);
        if route::backends(ingress)
            .iter()
            .any(|(_, name)| leads(name, namespace))
        {
            found.push(Entry::Ingress(ingress));
        }
    }
    for route in scene.world.reader.all(Kind::HttpRoute) {
        let route = HttpRoute::of(scene.world, route);
        let reaches = route
            .backends()
            .filter_map(|it| it.name)
            .any(|it| leads(it.name, it.namespace));
        if reaches {
            found.push(Entry::HttpRoute(route));
        }
    }
    for route in scene.world.reader.all(Kind::VirtualService) {
        let route = VirtualService::of(scene.world, route);
        let reaches = route
            .backends()
            .filter_map(|it| it.name)
            .any(|it| leads(it.name, it.namespace));
        if reaches && !route.is_bypassed() {
            found.push(Entry::VirtualService(route));
        }
    }
    if found.is_empty() {
        found.extend(services.into_iter().map(Entry::Service));
    }
    if found.is_empty() {
        let whole = top_owner(&scene.facts.objects, subject).unwrap_or(subject);
        found.push(Entry::Workload(whole));
    }
    found
}

/// The Services that lead to a subject which is none of the entries.
fn services_to<'a>(scene: &Scene<'a>, subject: &'a Value) -> Vec<&'a Value> {
    let namespace = object::namespace(subject);
    let services = scene.world.reader.all(Kind::Service);
    let here = services.filter(|it| same_namespace(object::namespace(it), namespace));
    if scene.facts.subject.kind == SubjectKind::Service {
        return here
            .filter(|it| object::name(it) == object::name(subject))
            .collect();
    }
    let labels = pod_kind_of(subject)
        .and_then(|kind| subject.at(kind.template))
        .and_then(|template| template.at("/metadata/labels"));
    let leads = |service: &&'a Value| {
        let selector = service.at("/spec/selector").unwrap_or(&Value::Null);
        object::selects(selector, labels)
            || route::from_service(scene.world, service)
                .edges
                .iter()
                .any(|edge| std::ptr::eq(edge.workload, subject))
    };
    here.filter(leads).collect()
}

/// Kind and name of the controller of an object, as its owner references say.
pub(crate) fn controller_of(object: &Value) -> Option<(&str, &str)> {
    let owners = object.at("/metadata/ownerReferences")?.as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    Some((owner.get("kind")?.as_str()?, owner.get("name")?.as_str()?))
}

/// The workload that a pod, or a workload, in the end belongs to; itself where it belongs to
/// nothing, none where its owner is not among the objects.
///
/// A ReplicaSet that was not read is known by its name: that of its Deployment, a hyphen, and the
/// pod's label `pod-template-hash` (kubernetes/kubernetes pkg/controller/deployment/sync.go,
/// `getNewReplicaSet`).
pub(crate) fn top_owner<'a>(objects: &'a [Arc<Value>], object: &'a Value) -> Option<&'a Value> {
    let Some((kind, name)) = controller_of(object) else {
        return Some(object);
    };
    let namespace = object::namespace(object);
    let named = |kind: &str, name: &str| {
        let is = |it: &&Arc<Value>| {
            it.get("kind").and_then(Value::as_str) == Some(kind)
                && object::name(it) == name
                && object::namespace(it) == namespace
        };
        objects.iter().find(is).map(Arc::as_ref)
    };
    match named(kind, name) {
        Some(owner) if std::ptr::eq(owner, object) => Some(object),
        Some(owner) if kind == "ReplicaSet" => match controller_of(owner) {
            Some((kind, name)) => named(kind, name),
            None => Some(owner),
        },
        Some(owner) => Some(owner),
        None if kind == "ReplicaSet" => named("Deployment", deployment_of(object, name)?),
        None => None,
    }
}

/// The Deployment's name in that of a pod's ReplicaSet.
fn deployment_of<'a>(pod: &Value, replica_set: &'a str) -> Option<&'a str> {
    let hash = object::label(pod, "pod-template-hash")?;
    replica_set.strip_suffix(hash)?.strip_suffix('-')
}
