//! The facts of a checkup: what the cluster answers, and what it does not.

use infer_cluster::survey::{self, CONFIG_MAP, Listed, Survey};
use infer_cluster::{Cluster, RequestError};
use infer_doctor::webhook::{PolicySource, Registration, policy_source, registrations, rehearsal};
use infer_doctor::{
    Authority, Bundle, Facts, Gap, Rehearsal, Seen, Served, WebhookFacts, WebhookPolicy,
};
use serde_json::Value;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What a person types to run us.
    pub(crate) program: String,
    /// The namespaces whose workloads are meant; empty for all of them.
    pub(crate) namespaces: Vec<String>,
    /// Whether the webhook may be tried with a dry run.
    pub(crate) rehearse: bool,
    /// Now, in seconds since 1970.
    pub(crate) now: i64,
}

/// Asks the cluster.
///
/// # Errors
///
/// When there is nobody to ask: no connection, or an API server that does not know who asks.
pub(crate) async fn gather(cluster: &Cluster, wanted: &Wanted) -> Result<Facts, RequestError> {
    let survey = cluster.survey(&wanted.namespaces).await;
    let mut facts = of_survey(cluster, wanted, survey)?;
    let mutating = facts.mutating.clone().unwrap_or_default();
    for registration in registrations(&mutating) {
        let more = about(cluster, wanted, &facts, &registration).await;
        facts.webhooks.push(more);
    }
    Ok(facts)
}

fn of_survey(cluster: &Cluster, wanted: &Wanted, survey: Survey) -> Result<Facts, RequestError> {
    // Everybody may ask for these two; where nobody answers, nothing else is worth a line.
    if let Err(error @ (RequestError::Unreachable { .. } | RequestError::Unauthorized { .. })) =
        &survey.served
    {
        return Err(error.clone());
    }
    if let (Err(served), Err(_)) = (&survey.served, &survey.version) {
        return Err(served.clone());
    }
    let (mut workloads, mut workload_gaps) = (Vec::new(), Vec::new());
    for (listed, asked) in survey.workloads.into_iter().zip([
        "list deployments",
        "list daemonsets",
        "list statefulsets",
    ]) {
        workloads.extend(listed.items);
        workload_gaps.extend(listed.error.map(|error| gap(asked, &error)));
    }
    Ok(Facts {
        program: wanted.program.clone(),
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
        now: wanted.now,
        context: cluster.context().map(str::to_owned),
        server_version: survey.version.map_err(|it| gap("get /version", &it)),
        namespaces: wanted.namespaces.clone(),
        served: seen(survey.served, "get /apis").map(|it| Served::of(&it)),
        ingress_classes: list(survey.ingress_classes, "list ingressclasses"),
        gateway_classes: list(survey.gateway_classes, "list gatewayclasses"),
        gateway_definition: seen(survey.gateway_definition, "get customresourcedefinitions"),
        nodes: list(survey.nodes, "list nodes"),
        namespace_objects: list(survey.namespaces, "list namespaces"),
        workloads,
        workload_gaps,
        mutating: list(survey.mutating, "list mutatingwebhookconfigurations"),
        validating: list(survey.validating, "list validatingwebhookconfigurations"),
        webhooks: Vec::new(),
    })
}

fn seen<T>(answer: Result<T, RequestError>, asked: &str) -> Seen<T> {
    answer.map_err(|error| gap(asked, &error))
}

fn list(listed: Listed, asked: &str) -> Seen<Vec<Value>> {
    match listed.error {
        Some(error) => Err(gap(asked, &error)),
        None => Ok(listed.items),
    }
}

fn gap(asked: &str, error: &RequestError) -> Gap {
    let reason = match error {
        RequestError::Forbidden { by_rbac: true, .. } => "not allowed (RBAC)".to_owned(),
        other => other.message(),
    };
    Gap {
        asked: asked.to_owned(),
        reason,
        help: error.help(),
    }
}

/// More about one registration.
async fn about(
    cluster: &Cluster,
    wanted: &Wanted,
    facts: &Facts,
    registration: &Registration,
) -> WebhookFacts {
    let (service, slices) = match &registration.service {
        Some((namespace, name, _)) => {
            let (service, slices) = cluster.service_and_slices(namespace, name).await;
            (
                seen(service, "get services"),
                list(slices, "list endpointslices"),
            )
        }
        None => (Ok(None), Ok(Vec::new())),
    };
    let source = {
        let service = service.as_ref().ok().and_then(Option::as_ref);
        policy_source(registration, service, &facts.workloads)
    };
    let policy = policy(cluster, source).await;
    WebhookFacts {
        service,
        slices,
        bundle: bundle(registration),
        policy,
        rehearsal: rehearse(cluster, wanted, facts, registration).await,
    }
}

fn bundle(registration: &Registration) -> Bundle {
    match survey::authorities(registration.bundle()) {
        Ok(authorities) if authorities.is_empty() => Bundle::Empty,
        Ok(authorities) => Bundle::Authorities(
            authorities
                .into_iter()
                .map(|it| Authority {
                    name: it.name,
                    not_before: it.not_before,
                    not_after: it.not_after,
                })
                .collect(),
        ),
        Err(why) => Bundle::Broken(why.to_string()),
    }
}

async fn policy(cluster: &Cluster, source: PolicySource) -> WebhookPolicy {
    let (namespace, name, key) = match source {
        PolicySource::Unknown => return WebhookPolicy::Unknown,
        PolicySource::Baseline => return WebhookPolicy::Baseline,
        PolicySource::File(file) => return WebhookPolicy::File(file),
        PolicySource::ConfigMap {
            namespace,
            name,
            key,
        } => (namespace, name, key),
    };
    let read = cluster.read_one(CONFIG_MAP, Some(&namespace), &name).await;
    let name = format!("{namespace}/{name}");
    let missing = |reason: String| Gap {
        asked: format!("get configmaps {name}"),
        reason,
        help: Vec::new(),
    };
    let document = match read {
        Err(error) => Err(gap("get configmaps", &error)),
        Ok(None) => Err(missing("there is none".to_owned())),
        Ok(Some(map)) => match map["data"][&key].as_str() {
            None => Err(missing(format!("it has no key `{key}`"))),
            Some(text) => document(text).map_err(missing),
        },
    };
    WebhookPolicy::ConfigMap { name, document }
}

/// The one document of a policy's text.
fn document(text: &str) -> Result<Value, String> {
    let parsed = infer_manifest::parse(text);
    if let Some(error) = parsed.errors.first() {
        return Err(format!("line {}: {}", error.line, error.message));
    }
    match <[_; 1]>::try_from(parsed.documents) {
        Ok([one]) => Ok(one.object),
        Err(several) => Err(format!("it has {} documents, wanted one", several.len())),
    }
}

/// A dry run in a namespace of its scope; nothing is stored.
async fn rehearse(
    cluster: &Cluster,
    wanted: &Wanted,
    facts: &Facts,
    registration: &Registration,
) -> Rehearsal {
    if !wanted.rehearse {
        return Rehearsal::Skipped("--no-dry-run was given".to_owned());
    }
    let namespaces = match &facts.namespace_objects {
        Ok(namespaces) => namespaces,
        Err(gap) => return Rehearsal::Unknown(gap.clone()),
    };
    let enforced = registration.enforced(namespaces);
    let is_meant = |it: &&&str| wanted.namespaces.iter().any(|name| name == **it);
    let meant = enforced.iter().find(is_meant).or(enforced.first());
    let Some(namespace) = meant.map(|it| (*it).to_owned()) else {
        return Rehearsal::Skipped("no namespace is in its scope".to_owned());
    };
    match cluster.rehearse(&namespace, &rehearsal(&namespace)).await {
        Ok(object) => Rehearsal::Answered { namespace, object },
        Err(error @ RequestError::Forbidden { by_rbac: true, .. }) => {
            Rehearsal::Unknown(gap("create deployments (dry run)", &error))
        }
        Err(
            RequestError::Forbidden { message, .. }
            | RequestError::Conflict { message, .. }
            | RequestError::Other { message, .. },
        ) => Rehearsal::Refused { namespace, message },
        Err(error) => Rehearsal::Unknown(gap("create deployments (dry run)", &error)),
    }
}
