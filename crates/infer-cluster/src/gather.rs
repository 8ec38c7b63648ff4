//! What is on one route, and nothing else: a bounded number of calls, each in one namespace and by
//! name or selector, so that what is read does not grow with the cluster. Only classes are read
//! over the whole cluster; there are few of them.
//!
//! What may not be read, or is not served, is a [`Gap`], never a failure.

mod names;
mod read;

use crate::access::Access;
use crate::connection::Cluster;
use crate::objects::{Selector, text};
use crate::request_error::RequestError;
use crate::what::What;
use infer_core::kind::{Kind, KindSet};
use infer_core::object;
use names::{Labels, Owner, ServiceKey};
use read::Reading;
use serde_json::Value;
use std::sync::Arc;

/// So many calls are made for one route at most. What is left out then is a gap.
pub const MOST_CALLS: usize = 12;
/// So many owners of pods are read by name; of more, the whole kind is read in the namespace.
const MOST_OWNERS: usize = 2;
/// So many Gateways of one route are read.
const MOST_GATEWAYS: usize = 2;

/// What was gathered.
#[derive(Debug)]
pub struct Gathered {
    /// The subject's namespace.
    pub namespace: String,
    /// The objects, whole; the subject is among them.
    pub objects: Vec<Arc<Value>>,
    /// The kinds of which everything that the route needs was read.
    pub known: KindSet,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// How many calls were made.
    pub calls: usize,
}

/// A fact that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What is unknown for it.
    pub what: String,
    /// Why.
    pub why: Missing,
    /// The right that reading it takes.
    pub right: Access,
    /// What the API server said.
    pub message: String,
}

/// Why a fact is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// RBAC refuses.
    Forbidden,
    /// The kind is not served: its CRD is not installed.
    NotServed,
    /// No answer in time.
    TimedOut,
    /// Not asked, to stay below [`MOST_CALLS`], or only the first page was read.
    NotAsked,
    /// Anything else.
    Failed,
}

/// Gathers what is on the route of one object, in the cluster's own namespace.
///
/// # Errors
///
/// When the object itself cannot be read.
pub async fn gather(cluster: &Cluster, what: What, name: &str) -> Result<Gathered, RequestError> {
    let reading = Reading::new(cluster);
    let namespace = cluster.namespace();
    let own = reading.subject(what, name);
    let (subject, ()) = futures::join!(own, stage_of_lists(&reading, namespace));
    let subject = match subject {
        Some(subject) => subject?,
        None => listed(&reading, what, name).await?,
    };
    let services = services(&reading, what, &subject);
    // What serves comes before what stands in front of other entries: calls are few.
    stage_of_servers(&reading, what, &subject, &services).await;
    stage_of_fronts(&reading, what, &subject, &services).await;
    Ok(reading.gathered(namespace))
}

/// The kinds of the namespace that may lead to the subject, or away from it.
async fn stage_of_lists(reading: &Reading<'_>, namespace: &str) {
    let all = Selector::all();
    let list = |what, kind, about| reading.list(what, namespace, &all, kind, about);
    futures::join!(
        list(
            What::Service,
            Some(Kind::Service),
            "which Services there are"
        ),
        list(
            What::Ingress,
            Some(Kind::Ingress),
            "which Ingresses there are"
        ),
        list(
            What::HttpRoute,
            Some(Kind::HttpRoute),
            "which HTTPRoutes there are"
        ),
        list(
            What::VirtualService,
            Some(Kind::VirtualService),
            "which VirtualServices there are"
        ),
        list(
            What::DestinationRule,
            Some(Kind::DestinationRule),
            "which DestinationRules there are"
        ),
    );
}

/// The subject among what was listed; where the list was refused, by its name.
async fn listed(reading: &Reading<'_>, what: What, name: &str) -> Result<Arc<Value>, RequestError> {
    let found = reading.find(what, reading.cluster().namespace(), name);
    match found {
        Some(found) => Ok(found),
        None => reading.must(what, name).await,
    }
}

/// The Services that the subject leads through.
fn services(reading: &Reading<'_>, what: What, subject: &Value) -> Vec<ServiceKey> {
    let own = object::namespace(subject);
    match what {
        What::Ingress => names::of_ingress(subject),
        What::HttpRoute => names::of_http_route(subject),
        What::VirtualService => names::of_virtual_service(subject),
        What::Service => vec![ServiceKey::new(own, object::name(subject))],
        _ => {
            let labels = match what {
                What::Pod => subject.pointer("/metadata/labels"),
                _ => subject.pointer("/spec/template/metadata/labels"),
            };
            let services = reading.of(What::Service);
            let selects = |service: &&Arc<Value>| {
                let selector = service.pointer("/spec/selector").unwrap_or(&Value::Null);
                object::selects(selector, labels) && object::namespace(service) == own
            };
            let each = services.iter().filter(selects);
            each.map(|it| ServiceKey::new(own, object::name(it)))
                .collect()
        }
    }
}

/// What is behind the Services, and the workloads that it belongs to.
async fn stage_of_servers(
    reading: &Reading<'_>,
    what: What,
    subject: &Arc<Value>,
    services: &[ServiceKey],
) {
    let namespace = object::namespace(subject);
    // Services of other namespaces come one by one: what they select must be known first.
    let about = "a Service of another namespace";
    for key in services.iter().filter(|it| it.namespace != namespace) {
        reading
            .get(What::Service, &key.namespace, &key.name, about)
            .await;
    }
    behind(reading, what, subject, services).await;
    owners(reading, what, subject, services).await;
}

/// What stands in front of the Services: classes and Gateways. Of an entry that a person pointed at
/// its own, else those of every entry that leads to the Services.
async fn stage_of_fronts(
    reading: &Reading<'_>,
    what: What,
    subject: &Arc<Value>,
    services: &[ServiceKey],
) {
    let namespace = object::namespace(subject);
    let home = async {
        let about = "the labels of the Namespace, which declare sidecars";
        let read = reading.get(What::Namespace, "", namespace, about).await;
        if read.is_some() {
            reading.know(Kind::Namespace);
        }
    };
    let leads = |targets: Vec<ServiceKey>| targets.iter().any(|it| services.contains(it));
    let is_entry = matches!(what, What::Ingress | What::HttpRoute | What::VirtualService);
    let concerns = |it: &Arc<Value>, targets: Vec<ServiceKey>| {
        Arc::ptr_eq(it, subject) || (!is_entry && leads(targets))
    };
    // An Ingress may be what passes a mesh by.
    let with_ingress = reading
        .of(What::Ingress)
        .iter()
        .any(|it| Arc::ptr_eq(it, subject) || leads(names::of_ingress(it)));
    let routes = reading.of(What::HttpRoute);
    let parents: Vec<(String, String)> = routes
        .iter()
        .filter(|it| concerns(it, names::of_http_route(it)))
        .flat_map(|it| names::parents(it))
        .collect();
    let virtual_services = reading.of(What::VirtualService);
    let mesh_gateways: Vec<(String, String)> = virtual_services
        .iter()
        .filter(|it| concerns(it, names::of_virtual_service(it)))
        .flat_map(|it| names::mesh_gateways(it))
        .collect();
    let classes = async {
        if with_ingress {
            let about = "which controller serves an Ingress";
            reading
                .list_classes(What::IngressClass, Kind::IngressClass, about)
                .await;
        }
    };
    let gateways = async {
        if parents.is_empty() {
            return;
        }
        let about = "which controller serves a Gateway";
        reading
            .list_classes(What::GatewayClass, Kind::GatewayClass, about)
            .await;
        let about = "the Gateways of a route";
        reading
            .get_each(What::Gateway, parents, MOST_GATEWAYS, Kind::Gateway, about)
            .await;
    };
    let mesh = async {
        if mesh_gateways.is_empty() {
            return;
        }
        let about = "the Gateways of a VirtualService";
        let (what, kind) = (What::IstioGateway, Kind::IstioGateway);
        reading
            .get_each(what, mesh_gateways, MOST_GATEWAYS, kind, about)
            .await;
    };
    futures::join!(home, classes, gateways, mesh);
}

/// EndpointSlices and pods of Services, namespace by namespace.
async fn behind(reading: &Reading<'_>, what: What, subject: &Value, services: &[ServiceKey]) {
    let mut namespaces: Vec<&str> = services.iter().map(|it| it.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        let there: Vec<&ServiceKey> = services
            .iter()
            .filter(|it| it.namespace == namespace)
            .collect();
        let names: Vec<&str> = there.iter().map(|it| it.name.as_str()).collect();
        let slices = names::service_names(&names);
        let selectors: Vec<Labels> = there
            .iter()
            .filter_map(|it| reading.find(What::Service, namespace, &it.name))
            .filter_map(|service| names::labels(service.pointer("/spec/selector")))
            .collect();
        let slices = reading.list(
            What::EndpointSlice,
            namespace,
            &slices,
            Some(Kind::EndpointSlice),
            "which endpoints are ready",
        );
        futures::join!(slices, pods(reading, namespace, &selectors));
    }
    // A workload that no Service selects has pods all the same.
    if services.is_empty() && names::is_workload(what) {
        let labels = names::labels(subject.pointer("/spec/selector/matchLabels"));
        let labels: Vec<Labels> = labels.into_iter().collect();
        pods(reading, object::namespace(subject), &labels).await;
    }
}

async fn pods(reading: &Reading<'_>, namespace: &str, selectors: &[Labels]) {
    for selector in names::merged(selectors) {
        let about = "which pods serve";
        reading
            .list(
                What::Pod,
                namespace,
                &Selector::labels(selector),
                None,
                about,
            )
            .await;
    }
}

/// The workloads that the pods belong to; where there are no pods, those that would make them.
async fn owners(reading: &Reading<'_>, what: What, subject: &Arc<Value>, services: &[ServiceKey]) {
    let is_there = |kind: &str, namespace: &str, name: &str| {
        reading.objects().iter().any(|it| {
            text(it, "/kind") == kind
                && object::namespace(it) == namespace
                && object::name(it) == name
        })
    };
    let mut owners: Vec<Owner> = Vec::new();
    for pod in reading.of(What::Pod) {
        if let Some(owner) = names::owner(&pod)
            && !owners.contains(&owner)
            && !is_there(owner.what.kind(), &owner.namespace, &owner.name)
        {
            owners.push(owner);
        }
    }
    let about = "the workload that makes the pods";
    let mut complete = true;
    let by_name = owners.len() <= MOST_OWNERS;
    let mut listed: Vec<(What, String)> = Vec::new();
    for owner in owners {
        let read = if by_name {
            reading
                .get(owner.what, &owner.namespace, &owner.name, about)
                .await
                .is_some()
        } else {
            let key = (owner.what, owner.namespace.clone());
            if listed.contains(&key) {
                continue;
            }
            listed.push(key);
            reading
                .list(owner.what, &owner.namespace, &Selector::all(), None, about)
                .await
        };
        complete &= read;
    }
    let has_pods = !reading.of(What::Pod).is_empty();
    let is_workload = names::is_workload(what);
    if !has_pods && !is_workload {
        let namespace = services
            .first()
            .map_or(object::namespace(subject), |it| it.namespace.as_str());
        let all = Selector::all();
        for what in [What::Deployment, What::StatefulSet] {
            complete &= reading
                .list(
                    what,
                    namespace,
                    &all,
                    None,
                    "which workload the Service is for",
                )
                .await;
        }
    }
    if complete {
        reading.know(Kind::Workload);
    }
}

#[cfg(test)]
mod tests;
