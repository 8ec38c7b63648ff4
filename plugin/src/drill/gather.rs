//! What a drill stands on, read from the cluster: route, Service, pods, workload, runtime, budgets,
//! and who logs.

use super::follow::Followed;
use super::pods::Pod;
use crate::problem::Problem;
use crate::proxy;
use crate::request::RequestFlags;
use crate::route::{self, Route};
use infer_cluster::endpoints::{self, PodName};
use infer_cluster::{Access, Cluster, Selector, What, address, disruption};
use infer_core::Engine;
use infer_core::catalogue::{Catalogue, OnSigterm};
use infer_core::check::snapshot_of;
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::policy::Policy;
use infer_core::review;
use infer_core::server::servers;
use infer_core::snapshot::Reader;
use infer_core::written::{Origin, Sent};
use infer_drill::plan::{Candidate, Victim, choose};
use infer_drill::refusal::{Broken, Refusal, State};
use infer_drill::why::{AtSigterm, Finding};
use infer_traffic::ConnectTo;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of the server.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    /// As the catalogue spells it.
    pub(crate) name: String,
    /// Words that start it.
    pub(crate) markers: Vec<String>,
    /// What it does at SIGTERM.
    pub(crate) at_sigterm: AtSigterm,
    /// The same in the catalogue's words.
    pub(crate) at_sigterm_words: String,
    /// Its health path.
    pub(crate) health: Option<String>,
}

/// What a drill stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where requests go.
    pub(crate) route: Route,
    /// The Service behind it.
    pub(crate) service: String,
    /// Its selector, as kubectl's `-l` takes it.
    pub(crate) selector: String,
    /// Kind and name of the victim's workload.
    pub(crate) workload: (String, String),
    /// Whom the fault hits; its process is not looked for yet.
    pub(crate) victim: Victim,
    /// The pods behind the Service.
    pub(crate) pods: Vec<Pod>,
    /// The server.
    pub(crate) runtime: Runtime,
    /// Whether the state of the cluster forbids the drill.
    pub(crate) state: State,
    /// What is wrong with workload and route.
    pub(crate) findings: Vec<Finding>,
    /// The proxy's pods, each with the container that logs.
    pub(crate) proxies: Vec<(PodName, String)>,
    /// What could not be read, and what is unknown for it.
    pub(crate) gaps: Vec<String>,
}

impl Ground {
    /// Whether a request for this path goes to the Service of the drill.
    pub(crate) fn routes(&self, path: &str) -> bool {
        let host = Some(self.route.target.host.as_str());
        address::backend(&self.route.ingress, host, path)
            .is_some_and(|backend| backend.service == self.service)
    }

    /// What is to be followed.
    pub(crate) fn followed(&self, run: &str) -> Followed {
        let address = &self.victim.address;
        let ip = address
            .rsplit_once(':')
            .map_or(address.as_str(), |(ip, _)| ip);
        Followed {
            namespace: self.route.namespace.clone(),
            service: self.service.clone(),
            selector: self.selector.clone(),
            container: self.victim.container.clone(),
            victim: self.victim.pod.clone(),
            victim_ip: ip.trim_start_matches('[').trim_end_matches(']').to_owned(),
            proxies: self.proxies.clone(),
            run: run.to_owned(),
        }
    }
}

/// Reads all of it. `named` is the pod that the person wants as the victim.
///
/// # Errors
///
/// What keeps a drill from being planned.
pub(crate) async fn gather(
    cluster: &Cluster,
    ingress: &str,
    named: Option<&str>,
    flags: &RequestFlags,
) -> Result<Ground, Problem> {
    let route = route::read(cluster, ingress, flags).await?;
    let namespace = route.namespace.clone();
    let space = Some(namespace.as_str());
    let Some(service) = route.services.first().cloned() else {
        return Err(Problem::new(format!(
            "ingress/{ingress} leads to no Service"
        )));
    };
    let stored = cluster.get(What::Service, space, &service).await?;
    let selector = selector_of(&stored).ok_or_else(|| {
        Problem::new(format!(
            "service/{service} has no selector: nobody knows which pods are behind it"
        ))
        .help("a drill needs a Service that selects the pods of one workload")
    })?;
    let pods = cluster
        .list(What::Pod, space, &Selector::labels(selector.clone()))
        .await?;
    let slices = cluster
        .list(What::EndpointSlice, space, &Selector::slices_of(&service))
        .await?;
    let candidates: Vec<Candidate> = pods.iter().map(|pod| candidate(pod, &slices)).collect();
    let ready: Vec<String> = candidates
        .iter()
        .filter(|candidate| candidate.is_ready)
        .map(|candidate| candidate.pod.clone())
        .collect();
    let chosen = choose(&candidates, named);
    let chosen = chosen.and_then(|chosen| {
        let of_name = |pod: &&Value| object::name(pod) == chosen.pod;
        pods.iter().find(of_name)
    });
    let Some(chosen) = chosen else {
        return Err(no_victim(named, ingress, &service, ready, pods.len()));
    };
    let catalogue = Catalogue::builtin();
    let (runtime, container) = runtime_of(&catalogue, chosen);
    let mut gaps: Vec<String> = route
        .gaps
        .iter()
        .map(|gap| format!("{}: {}", gap.what, gap.why))
        .collect();
    let (workload, template) = workload_of(cluster, &namespace, chosen, &mut gaps).await;
    let breaks = breaks(cluster, &namespace, chosen).await;
    let mut objects = vec![route.ingress.clone(), stored];
    objects.extend(template);
    objects.extend(class_of(cluster, &objects[0]).await);
    let findings = findings(catalogue, objects);
    let proxies = proxies(cluster, &route, &mut gaps).await;
    let state = State {
        workload: format!("{}/{}", workload.0, workload.1),
        ready: ready.len(),
        pods: pods.len(),
        breaks,
    };
    Ok(Ground {
        victim: victim_of(chosen, &container, &slices),
        pods: pods.iter().map(|pod| Pod::of(pod, &container)).collect(),
        route,
        service,
        selector,
        workload,
        runtime,
        state,
        findings,
        proxies,
        gaps,
    })
}

/// A Service's selector, as kubectl's `-l` takes it.
fn selector_of(service: &Value) -> Option<String> {
    let selector = service.at("/spec/selector")?.as_object()?;
    let pairs: Vec<String> = selector
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

fn candidate(pod: &Value, slices: &[Value]) -> Candidate {
    let name = object::name(pod);
    let in_rotation = slices
        .iter()
        .flat_map(endpoints::of_slice)
        .any(|it| it.ready && it.pod.as_ref().is_some_and(|pod| pod.name == name));
    let is_terminating = pod.at("/metadata/deletionTimestamp").is_some();
    Candidate {
        pod: name.to_owned(),
        is_ready: in_rotation && disruption::is_ready(pod) && !is_terminating,
    }
}

fn no_victim(
    named: Option<&str>,
    ingress: &str,
    service: &str,
    ready: Vec<String>,
    pods: usize,
) -> Problem {
    let refusal = match named {
        Some(pod) => Refusal::NoVictim {
            pod: pod.to_owned(),
            route: format!("ingress/{ingress}"),
            ready,
        },
        None => Refusal::TooFewReady {
            workload: format!("Service/{service}"),
            ready: 0,
            pods,
        },
    };
    super::refused(&refusal)
}

/// The server in a pod, and its container. Where no server is known, the first container.
fn runtime_of(catalogue: &Catalogue, pod: &Value) -> (Runtime, String) {
    let servers = servers(catalogue, pod, "");
    if let Some(server) = servers.first() {
        let drain = &server.runtime.drain;
        let runtime = Runtime {
            name: server.runtime.name.clone(),
            markers: server.runtime.argv.clone(),
            at_sigterm: match drain.on_sigterm {
                OnSigterm::Abort => AtSigterm::Abort,
                OnSigterm::Hang => AtSigterm::Hang,
                OnSigterm::Finish => AtSigterm::Finish,
                OnSigterm::Unknown => AtSigterm::Unknown,
            },
            at_sigterm_words: drain.explanation.clone(),
            health: server.health_path.clone(),
        };
        return (runtime, server.name.clone());
    }
    let first = pod.at("/spec/containers/0/name").and_then(Value::as_str);
    let runtime = Runtime {
        name: "a server that is not in the catalogue".to_owned(),
        markers: Vec::new(),
        at_sigterm: AtSigterm::Unknown,
        at_sigterm_words: String::new(),
        health: None,
    };
    (runtime, first.unwrap_or_default().to_owned())
}

fn victim_of(pod: &Value, container: &str, slices: &[Value]) -> Victim {
    let name = object::name(pod);
    let pod_of = Pod::of(pod, container);
    let port = slices
        .iter()
        .flat_map(endpoints::of_slice)
        .find(|it| it.pod.as_ref().is_some_and(|pod| pod.name == name))
        .and_then(|it| it.ports.first().copied());
    let ip = &pod_of.address;
    let address = match port {
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some(port) => format!("{ip}:{port}"),
        None => ip.clone(),
    };
    Victim {
        pod: name.to_owned(),
        uid: pod_of.uid,
        address,
        container: container.to_owned(),
        node: Some(pod_of.node).filter(|node| !node.is_empty()),
        pid: None,
    }
}

/// Kind and name of the workload, and the object where it could be read.
async fn workload_of(
    cluster: &Cluster,
    namespace: &str,
    pod: &Value,
    gaps: &mut Vec<String>,
) -> ((String, String), Option<Value>) {
    let owner = |object: &Value| {
        let owners = object.at("/metadata/ownerReferences")?.as_array()?;
        let is_controller = |it: &&Value| it.get("controller") == Some(&Value::Bool(true));
        let owner = owners.iter().find(is_controller)?;
        let member = |name: &str| owner.get(name)?.as_str().map(str::to_owned);
        Some((member("kind")?, member("name")?))
    };
    let Some((mut kind, mut name)) = owner(pod) else {
        return (
            ("Pod".to_owned(), object::name(pod).to_owned()),
            Some(pod.clone()),
        );
    };
    let space = Some(namespace);
    if kind == "ReplicaSet" {
        match cluster.get(What::ReplicaSet, space, &name).await {
            Ok(set) => {
                if let Some(above) = owner(&set) {
                    (kind, name) = above;
                }
            }
            Err(error) => gaps.push(format!("whose replicaset/{name} is: {}", error.message())),
        }
    }
    let what = match kind.as_str() {
        "Deployment" => What::Deployment,
        "StatefulSet" => What::StatefulSet,
        "DaemonSet" => What::DaemonSet,
        "ReplicaSet" => What::ReplicaSet,
        _ => return ((kind, name), None),
    };
    match cluster.get(what, space, &name).await {
        Ok(object) => ((kind, name), Some(object)),
        Err(error) => {
            let text = format!("what is wrong with {kind}/{name}: {}", error.message());
            gaps.push(text);
            ((kind, name), None)
        }
    }
}

/// The PodDisruptionBudget that the loss of this pod would break.
async fn breaks(cluster: &Cluster, namespace: &str, pod: &Value) -> Result<Option<Broken>, String> {
    let all = Selector::all();
    let budgets = cluster
        .list(What::PodDisruptionBudget, Some(namespace), &all)
        .await
        .map_err(|error| error.message())?;
    Ok(match disruption::loss_of(pod, &budgets) {
        disruption::Disruption::Breaks { budget, reason } => Some(Broken {
            name: budget,
            reason,
        }),
        _ => None,
    })
}

/// The IngressClass of an Ingress, for the rules about its controller.
async fn class_of(cluster: &Cluster, ingress: &Value) -> Option<Value> {
    let name = infer_core::route::class_name(ingress)?;
    cluster.get(What::IngressClass, None, name).await.ok()
}

/// What is wrong with the live objects, each flaw once.
fn findings(catalogue: Catalogue, objects: Vec<Value>) -> Vec<Finding> {
    let engine = Engine::new(catalogue, Policy::baseline());
    let objects: Vec<Arc<Value>> = objects.into_iter().map(Arc::new).collect();
    let snapshot = snapshot_of(&objects);
    let reader = Reader::new(&snapshot);
    let mut found: Vec<Finding> = Vec::new();
    for object in &objects {
        let sent = Sent::new(object);
        let origin = Origin::ApiServer(&sent);
        let reviewed = review::review(&engine, &reader, object, origin, &[]);
        for finding in reviewed.findings {
            if found.iter().any(|known| known.rule == finding.rule.id) {
                continue;
            }
            found.push(Finding {
                rule: finding.rule.id.to_owned(),
                message: finding.message,
                help: finding.help.into_iter().next(),
            });
        }
    }
    found
}

/// The proxy's pods, each with a container that may log; none where they cannot be found or read.
async fn proxies(
    cluster: &Cluster,
    route: &Route,
    gaps: &mut Vec<String>,
) -> Vec<(PodName, String)> {
    let found = match route.target.connect_to {
        ConnectTo::Address(address) => proxy::in_front(cluster, address).await,
        ConnectTo::Resolve => {
            gaps.push(UNKNOWN.to_owned() + "the route has no address to look behind");
            return Vec::new();
        }
    };
    let logs = match found {
        Ok(found) => found.logs,
        Err(gap) => {
            gaps.push(format!("{UNKNOWN}{}", gap.why));
            return Vec::new();
        }
    };
    match may_read_logs(cluster, &logs).await {
        Ok(()) => logs,
        Err(reason) => {
            gaps.push(format!("{UNKNOWN}{reason}"));
            Vec::new()
        }
    }
}

/// What is unknown where the proxy's log cannot be read.
pub(crate) const UNKNOWN: &str = "hidden retries and who answered: ";

async fn may_read_logs(cluster: &Cluster, logs: &[(PodName, String)]) -> Result<(), String> {
    let namespaces: BTreeSet<&str> = logs.iter().map(|(pod, _)| pod.namespace.as_str()).collect();
    let of = |namespace: &str| Access::new("get", What::Pod, Some(namespace)).subresource("log");
    let rights: Vec<Access> = namespaces.into_iter().map(of).collect();
    // Where nobody answers that question, the log itself will.
    let Ok(answers) = cluster.allowed(&rights).await else {
        return Ok(());
    };
    match answers.into_iter().find(|(_, allowed)| !allowed) {
        None => Ok(()),
        Some((right, _)) => Err(format!(
            "you may not get pods/log in namespace {}; add `{}` to a Role there; `{}` asks for it",
            right.namespace.as_deref().unwrap_or_default(),
            right.rule(),
            right.can_i()
        )),
    }
}
