//! The Deployment: what the engine would fill in is written at once.

use crate::container::{self, SERVER, Server};
use crate::document::Document;
use crate::entry;
use crate::intent::Wanted;
use crate::refusal::Refusal;
use crate::service;
use infer_core::Engine;
use infer_core::drain::{EXIT, Plan};
use infer_core::drain_plan;
use infer_core::kind::pod_kind_of;
use infer_core::lens::Workload;
use infer_core::pointer::join;
use infer_core::policy;
use infer_core::probe;
use infer_core::written::{Origin, Written};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec, SleepAction, Toleration,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TEMPLATE: &str = "/spec/template";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// What the engine says of a server.
struct Filled {
    plan: Plan,
    serves: u32,
    budget: u32,
    startup: Value,
    readiness: Value,
    liveness: Value,
    /// Annotations that make injected sidecars wait for the drain.
    waits: Vec<(String, String)>,
}

pub(crate) fn build(engine: &Engine, wanted: &Wanted<'_>) -> Result<Document, Refusal> {
    let server = Server::of(wanted);
    let mut deployment = bare(wanted, &server);
    let filled = ask(engine, wanted, &deployment)?;
    fill(&mut deployment, &filled);
    let mut document = Document::of(&deployment);
    explain(&mut document, wanted, &server, &filled);
    if filled.plan.grace >= engine.policy.max_grace_period {
        document.comment(
            &format!("{TEMPLATE}/spec/terminationGracePeriodSeconds"),
            "More is not honoured: the platform caps it, Cluster Autoscaler at 600 s.",
        );
    }
    Ok(document)
}

/// The Deployment without what the engine is asked for.
fn bare(wanted: &Wanted<'_>, server: &Server) -> Deployment {
    let intent = wanted.intent;
    let selector = service::selector(intent);
    let mut metadata = service::metadata(intent);
    let mut annotations = BTreeMap::from([
        (
            policy::LONGEST_GENERATION.to_owned(),
            duration(intent.longest_generation),
        ),
        (policy::DRAIN_WINDOW.to_owned(), duration(wanted.window)),
    ]);
    if let Some(budget) = intent.startup_budget {
        annotations.insert(policy::STARTUP_BUDGET.to_owned(), duration(budget));
    }
    metadata.annotations = Some(annotations);
    let mut labels = selector.clone();
    labels.extend(entry::pod_labels(intent));
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(to_i32(intent.replicas)),
            selector: LabelSelector {
                match_labels: Some(selector.clone()),
                ..LabelSelector::default()
            },
            strategy: Some(strategy(wanted)),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    containers: vec![server.container.clone()],
                    volumes: (!server.volumes.is_empty()).then(|| server.volumes.clone()),
                    tolerations: tolerations(wanted, server),
                    topology_spread_constraints: (intent.replicas > 1).then(|| spread(&selector)),
                    ..PodSpec::default()
                }),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// With GPUs, a replica goes before its successor comes: a spare GPU is rare.
fn gives_way(wanted: &Wanted<'_>) -> bool {
    wanted.intent.gpus > 0 && wanted.intent.replicas > 1
}

fn strategy(wanted: &Wanted<'_>) -> DeploymentStrategy {
    let (surge, unavailable) = if gives_way(wanted) { (0, 1) } else { (1, 0) };
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(surge)),
            max_unavailable: Some(IntOrString::Int(unavailable)),
        }),
    }
}

fn tolerations(wanted: &Wanted<'_>, server: &Server) -> Option<Vec<Toleration>> {
    let image = server.container.image.as_deref().unwrap_or_default();
    (wanted.intent.gpus > 0).then(|| {
        vec![Toleration {
            key: Some(container::resource(wanted.runtime, image)),
            operator: Some("Exists".to_owned()),
            effect: Some("NoSchedule".to_owned()),
            ..Toleration::default()
        }]
    })
}

fn spread(selector: &BTreeMap<String, String>) -> Vec<TopologySpreadConstraint> {
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(selector.clone()),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }]
}

/// Asks the engine what it would fill in.
fn ask(engine: &Engine, wanted: &Wanted<'_>, deployment: &Deployment) -> Result<Filled, Refusal> {
    let object = Document::of(deployment).object;
    let written = Written::new(&object, Origin::Manifest, &[]);
    let unknown = || {
        Refusal::new(format!(
            "where {} listens with the image `{}` cannot be known",
            wanted.runtime.name,
            wanted
                .intent
                .image
                .as_deref()
                .unwrap_or(&wanted.facts.image),
        ))
        .help("leave the image out, or name one that starts the server")
    };
    let kind = pod_kind_of(&object).ok_or_else(unknown)?;
    let workload = Workload::of(&engine.catalogue, &object, kind, &written).ok_or_else(unknown)?;
    let server = workload.servers.first().ok_or_else(unknown)?;
    let endpoint = server.endpoint().ok_or_else(unknown)?;
    let timeout = wanted.runtime.health.timeout_seconds;
    let budget = workload.startup_budget(&engine.policy, server);
    let liveness = json!({
        "httpGet": {"path": endpoint.path, "port": endpoint.port, "scheme": endpoint.scheme},
        "timeoutSeconds": timeout,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 6,
    });
    let namespace = service::namespace(wanted).map(|document| document.object);
    let drains = drain_plan::drain_seconds(&engine.policy, &workload, server).unwrap_or(0);
    let declared = engine.catalogue.sidecars.iter().filter(|sidecar| {
        let declared = sidecar.declared(workload.template, namespace.as_ref());
        declared.is_some() && sidecar.default_seconds < drains
    });
    Ok(Filled {
        plan: drain_plan::plan(&engine.policy, &workload, server),
        serves: server.serves_after_sigterm(),
        budget,
        startup: probe::startup(&liveness, budget, timeout),
        readiness: probe::readiness(&endpoint, timeout),
        liveness,
        waits: declared
            .map(|sidecar| (sidecar.annotation.clone(), sidecar.wait(drains)))
            .collect(),
    })
}

/// How long a rollout of one pod may take: the old one drains, the new one loads, and a minute.
fn progress_deadline(filled: &Filled) -> u32 {
    filled.plan.grace + filled.budget + 60
}

fn fill(deployment: &mut Deployment, filled: &Filled) {
    let Some(spec) = &mut deployment.spec else {
        return;
    };
    spec.progress_deadline_seconds = Some(to_i32(progress_deadline(filled)));
    if let Some(metadata) = &mut spec.template.metadata
        && !filled.waits.is_empty()
    {
        metadata.annotations = Some(filled.waits.iter().cloned().collect());
    }
    let Some(pod) = &mut spec.template.spec else {
        return;
    };
    pod.termination_grace_period_seconds = Some(i64::from(filled.plan.grace));
    for container in pod.containers.iter_mut().filter(|it| it.name == SERVER) {
        container.startup_probe = Some(typed(&filled.startup));
        container.readiness_probe = Some(typed(&filled.readiness));
        container.liveness_probe = Some(typed(&filled.liveness));
        container.lifecycle = filled.plan.sleep.map(|seconds| Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: i64::from(seconds),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        });
    }
}

/// What the engine writes as JSON, in the API's own type.
fn typed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the engine writes the API's own fields")
}

fn explain(document: &mut Document, wanted: &Wanted<'_>, server: &Server, filled: &Filled) {
    let intent = wanted.intent;
    let (runtime, drain) = (&wanted.runtime.name, &wanted.runtime.drain);
    document.comment(
        "",
        format!(
            "Model servers: {runtime}. Written by `kubectl infer scaffold`, yours from here on."
        ),
    );
    let annotation = |key: &str| join("/metadata/annotations", key);
    document.comment(
        &annotation(policy::LONGEST_GENERATION),
        "How long clients wait for an answer at most. Timers of the route and the drain follow from it.",
    );
    document.comment(
        &annotation(policy::DRAIN_WINDOW),
        "How long a pod goes on serving after it was told to go.",
    );
    document.comment(
        "/spec/progressDeadlineSeconds",
        format!("Draining takes up to {} s, loading up to {} s: the default of 600 s would call that failed.", filled.plan.grace, filled.budget),
    );
    document.comment(
        "/spec/strategy/rollingUpdate",
        if gives_way(wanted) {
            "One goes before the next one comes: a rollout needs no spare GPU, and has one replica less."
        } else if intent.gpus > 0 {
            "The new pod is ready before the old one goes: a rollout needs a spare GPU."
        } else {
            "The new pod is ready before the old one goes."
        },
    );
    for (key, _) in &filled.waits {
        document.comment(
            &join(&format!("{TEMPLATE}/metadata/annotations"), key),
            "The injected sidecar stays for the drain; by itself it goes first and cuts every answer.",
        );
    }
    let spec = format!("{TEMPLATE}/spec");
    let sleep = filled.plan.sleep.unwrap_or(0);
    document.comment(
        &format!("{spec}/terminationGracePeriodSeconds"),
        format!(
            "{sleep} s of preStop, {} s in which the server serves on, {EXIT} s to exit.",
            filled.serves
        ),
    );
    document.comment(
        &format!("{spec}/automountServiceAccountToken"),
        "The server asks nothing of the Kubernetes API.",
    );
    document.comment(
        &format!("{spec}/enableServiceLinks"),
        "Variables that Kubernetes makes of Services (VLLM_PORT=tcp://…) are read by some servers.",
    );
    if intent.gpus > 0 {
        document.comment(
            &format!("{spec}/tolerations"),
            "Nodes with GPUs are often tainted, so that nothing else runs there.",
        );
    }
    if intent.replicas > 1 {
        document.comment(
            &format!("{spec}/topologySpreadConstraints"),
            "Where there are several nodes, the end of one takes one replica.",
        );
    }
    server.comment(document, CONTAINER, &format!("{spec}/volumes"));
    let probes = [
        (
            "startupProbe",
            format!(
                "{} s for loading; until it succeeds, the liveness probe waits.",
                filled.budget
            ),
        ),
        (
            "readinessProbe",
            "Answers 200 with a loaded model only; out of rotation within 15 s of its death."
                .to_owned(),
        ),
        (
            "livenessProbe",
            "Restarts a server that hangs for a minute; a busy one answers late, not never."
                .to_owned(),
        ),
    ];
    for (name, text) in probes {
        document.comment(&format!("{CONTAINER}/{name}"), text);
    }
    if filled.plan.sleep.is_some() {
        document.comment(
            &format!("{CONTAINER}/lifecycle/preStop"),
            if filled.serves >= wanted.window {
                "Proxies need a moment to hear that the pod goes; SIGTERM comes after.".to_owned()
            } else {
                format!(
                    "Keeps SIGTERM away while answers end: the server {}.",
                    drain.explanation
                )
            },
        );
    }
}

/// Seconds as people write them.
pub(crate) fn duration(seconds: u32) -> String {
    match seconds {
        hours if hours.is_multiple_of(3600) => format!("{}h", hours / 3600),
        minutes if minutes.is_multiple_of(60) => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
