//! The proxy in front of a route: its pods, found by the address alone, whatever product it is.

use crate::route::Gap;
use infer_cluster::endpoints::{Behind, PodName, behind};
use infer_cluster::{Cluster, Selector, What};
use infer_core::pointer::Walk;
use serde_json::Value;
use std::net::SocketAddr;

/// Pods of a proxy whose logs are read at most; more make a cluster's API server work for us.
const MOST_PODS: usize = 20;
/// What is unknown where the proxy is not found.
const WHO: &str = "who answered";

/// The proxy's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    /// How many pods there are.
    pub(crate) pods: usize,
    /// Pod and container of each log that may hold access lines.
    pub(crate) logs: Vec<(PodName, String)>,
    /// How they were found, in words.
    pub(crate) how: String,
}

/// The pods that answer at an address.
///
/// # Errors
///
/// What is unknown for that, and what would make it known.
pub(crate) async fn in_front(cluster: &Cluster, at: SocketAddr) -> Result<Proxies, Gap> {
    let all = Selector::all();
    // Whose address it is can be in any namespace.
    let (services, slices) = tokio::join!(
        cluster.list(What::Service, None, &all),
        cluster.list(What::EndpointSlice, None, &all),
    );
    let services = services.map_err(|error| Gap::of(WHO, &error))?;
    let slices = slices.map_err(|error| Gap::of(WHO, &error))?;
    let address = at.ip().to_string();
    let mut found = behind(&address, at.port(), &services, &slices, &[]);
    // The list of all pods is long: only where no Service tells.
    if matches!(found, Behind::Unknown { .. }) {
        let pods = cluster.list(What::Pod, None, &all).await;
        let pods = pods.map_err(|error| Gap::of(WHO, &error))?;
        found = behind(&address, at.port(), &services, &slices, &pods);
    }
    let (pods, how) = match found {
        Behind::Pods { pods, how } => (pods, how),
        Behind::Unknown { reason } => {
            return Err(Gap {
                what: WHO.to_owned(),
                why: format!("the proxy's pods are not found: {reason}"),
                help: Some(
                    "a response header that names the pod does as well: `--replica-header NAME`"
                        .to_owned(),
                ),
            });
        }
    };
    let mut logs = Vec::new();
    for pod in pods.iter().take(MOST_PODS) {
        let object = cluster
            .get(What::Pod, Some(&pod.namespace), &pod.name)
            .await;
        let object = object.map_err(|error| Gap::of(WHO, &error))?;
        logs.extend(containers(&object).map(|container| (pod.clone(), container)));
    }
    Ok(Proxies {
        pods: pods.len(),
        logs,
        how,
    })
}

fn containers(pod: &Value) -> impl Iterator<Item = String> {
    let containers = pod.at("/spec/containers").and_then(Value::as_array);
    let names = containers.into_iter().flatten();
    names.filter_map(|container| Some(container.get("name")?.as_str()?.to_owned()))
}
