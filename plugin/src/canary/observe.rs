//! What is seen of the cluster at one look.

use infer_canary::journal::Journal;
use infer_canary::machine::{Canary, StableSeen, Stored};
use infer_canary::shift::{self, Named, Shift, Weight};
use infer_canary::version::Version;
use infer_cluster::{Cluster, RequestError, Selector, What};
use infer_core::catalogue::Catalogue;
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::Value;

/// One pod, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodSeen {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is ready.
    pub(crate) is_ready: bool,
    /// Why it is not, or what it waits for.
    pub(crate) state: String,
}

/// The cluster at one look. What could not be read is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) stored: Option<Stored>,
    pub(crate) canary: Option<Canary>,
    pub(crate) stable: Option<StableSeen>,
    pub(crate) is_clear: bool,
    pub(crate) stable_pods: Vec<PodSeen>,
    pub(crate) canary_pods: Vec<PodSeen>,
    /// The first thing that could not be read, in words.
    pub(crate) error: Option<String>,
}

/// Looks at everything that a decision rests on.
pub(crate) async fn look(cluster: &Cluster, catalogue: &Catalogue, journal: &Journal) -> Look {
    let shift = &journal.shift;
    let namespace = Some(shift.namespace.as_str());
    let canary_pods = Selector::labels(shift.canary.pods.clone());
    let stable_pods = Selector::labels(shift.stable.pods.clone());
    let (carrier, canary, service, stable, canary_pods, stable_pods) = tokio::join!(
        get(cluster, &shift.carrier, namespace),
        cluster.get(What::Deployment, namespace, &shift.canary.workload),
        cluster.get(What::Service, namespace, &shift.canary.service),
        cluster.get(What::Deployment, namespace, &shift.stable.workload),
        cluster.list(What::Pod, namespace, &canary_pods),
        cluster.list(What::Pod, namespace, &stable_pods),
    );
    let mut error = None;
    let mut note = |it: &RequestError| {
        error.get_or_insert_with(|| it.message());
    };
    let carrier = there(carrier, &mut note);
    let canary = there(canary, &mut note);
    let service = there(service, &mut note);
    let stable = there(stable, &mut note);
    let canary_pods = canary_pods.map_err(|it| note(&it)).ok();
    let stable_pods = stable_pods.map_err(|it| note(&it)).ok();
    let stored = carrier
        .as_ref()
        .map(|carrier| stored(shift, carrier.as_ref()));
    let seen = match (&carrier, &canary, &service, &canary_pods) {
        (Some(carrier), Some(canary), Some(service), Some(pods)) => Some(canary_of(
            carrier.is_some(),
            canary.as_ref(),
            service.is_some(),
            pods,
        )),
        _ => None,
    };
    let scaled = |deployment: &Value| deployment.at("/spec/replicas") == Some(&Value::from(0));
    let is_gone = |deployment: &Option<Value>| deployment.is_none();
    let is_workload_clear = !shift.creates_workload()
        || canary
            .as_ref()
            .is_some_and(|it| it.as_ref().is_some_and(scaled) || is_gone(it));
    let is_service_clear = !shift.creates_workload() || matches!(service, Some(None));
    Look {
        is_clear: stored == Some(Stored::Absent) && is_workload_clear && is_service_clear,
        stored,
        canary: seen,
        stable: stable
            .flatten()
            .map(|stable| stable_of(catalogue, &journal.version, &stable)),
        stable_pods: stable_pods.iter().flatten().map(pod).collect(),
        canary_pods: canary_pods.iter().flatten().map(pod).collect(),
        error,
    }
}

/// The share as this carrier holds it.
pub(crate) fn stored(shift: &Shift, carrier: Option<&Value>) -> Stored {
    let Some(carrier) = carrier else {
        return Stored::Absent;
    };
    match shift.weight_of(carrier) {
        Weight::Share(share) => Stored::Weight(share),
        Weight::Absent => Stored::Absent,
        // Another's writing that sends nothing to the canary is as good as none.
        Weight::Foreign(_) if shift.is_idle(carrier) => Stored::Weight(0),
        Weight::Foreign(what) => Stored::Foreign(what),
    }
}

/// The object of this kind and name.
pub(crate) async fn get(
    cluster: &Cluster,
    named: &Named,
    namespace: Option<&str>,
) -> Result<Value, RequestError> {
    let what = match named.kind.as_str() {
        "Ingress" => What::Ingress,
        "HTTPRoute" => What::HttpRoute,
        "VirtualService" => What::VirtualService,
        "Service" => What::Service,
        _ => What::Deployment,
    };
    cluster.get(what, namespace, &named.name).await
}

/// Whether it is there; `None` where that is not known.
fn there(
    answer: Result<Value, RequestError>,
    note: &mut impl FnMut(&RequestError),
) -> Option<Option<Value>> {
    match answer {
        Ok(object) => Some(Some(object)),
        Err(RequestError::NotFound { .. }) => Some(None),
        Err(error) => {
            note(&error);
            None
        }
    }
}

fn number(object: &Value, place: &str) -> u32 {
    let number = object.at(place).and_then(Value::as_u64);
    number.map_or(0, |it| u32::try_from(it).unwrap_or(u32::MAX))
}

fn canary_of(carrier: bool, deployment: Option<&Value>, service: bool, pods: &[Value]) -> Canary {
    let wanted = deployment.and_then(|it| it.at("/spec/replicas")?.as_u64());
    let ready = pods
        .iter()
        .filter(|pod| infer_cluster::disruption::is_ready(pod));
    let containers = || {
        let each = pods
            .iter()
            .filter_map(|pod| pod.at("/status/containerStatuses"));
        each.filter_map(Value::as_array).flatten()
    };
    let restarts = containers().map(|it| number(it, "/restartCount")).sum();
    let mut last_death = containers().filter_map(|it| {
        let ended = it
            .at("/lastState/terminated")
            .or_else(|| it.at("/state/terminated"))?;
        let reason = ended
            .at("/reason")
            .and_then(Value::as_str)
            .unwrap_or("ended");
        let code = ended.at("/exitCode").and_then(Value::as_i64)?;
        let name = it.at("/name").and_then(Value::as_str).unwrap_or_default();
        Some(format!("container {name}: {reason}, exit code {code}"))
    });
    Canary {
        exists: deployment.is_some() && service && carrier,
        ready: u32::try_from(ready.count()).unwrap_or(u32::MAX),
        wanted: wanted.map_or(1, |it| u32::try_from(it).unwrap_or(u32::MAX)),
        restarts,
        last_death: last_death.next_back(),
    }
}

fn stable_of(catalogue: &Catalogue, version: &Version, stable: &Value) -> StableSeen {
    let patch = shift::promote(catalogue, stable, version, None);
    let is_new = matches!(patch, Err(shift::Refusal::SameVersion { .. }));
    let wanted = stable.at("/spec/replicas").and_then(Value::as_u64);
    let wanted = wanted.map_or(1, |it| u32::try_from(it).unwrap_or(u32::MAX));
    let status = |place: &str| number(stable, place);
    let updated = status("/status/updatedReplicas").min(status("/status/readyReplicas"));
    let is_seen =
        number(stable, "/status/observedGeneration") >= number(stable, "/metadata/generation");
    // As `kubectl rollout status` counts (kubernetes/kubectl, pkg/polymorphichelpers/rollout_status.go).
    let is_rolled_out = is_seen
        && status("/status/updatedReplicas") >= wanted
        && status("/status/replicas") <= status("/status/updatedReplicas")
        && status("/status/availableReplicas") >= status("/status/updatedReplicas");
    StableSeen {
        is_new,
        is_rolled_out,
        updated,
    }
}

fn pod(pod: &Value) -> PodSeen {
    let is_ready = infer_cluster::disruption::is_ready(pod);
    let statuses = pod
        .at("/status/containerStatuses")
        .and_then(Value::as_array);
    let mut reasons = statuses.into_iter().flatten().filter_map(|status| {
        let waiting = status.at("/state/waiting/reason");
        waiting
            .or_else(|| status.at("/state/terminated/reason"))?
            .as_str()
    });
    let state = match (is_ready, reasons.next()) {
        (true, _) => "ready".to_owned(),
        (false, Some(reason)) => reason.to_owned(),
        (false, None) => "not ready".to_owned(),
    };
    PodSeen {
        name: object::name(pod).to_owned(),
        is_ready,
        state,
    }
}
