//! Who will undo what we write: tools that hold a cluster to what is written elsewhere.

use infer_core::kind::group;
use infer_core::object::{annotation, label, name, namespace};
use infer_core::pointer::Walk;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// A tool that owns an object.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool {
    /// Argo CD.
    ArgoCd,
    /// Flux.
    Flux,
    /// Argo Rollouts.
    ArgoRollouts,
    /// Flagger.
    Flagger,
    /// Helm: it undoes nothing until somebody runs it again.
    Helm,
}

impl Tool {
    /// As its makers spell it.
    pub fn title(self) -> &'static str {
        match self {
            Tool::ArgoCd => "Argo CD",
            Tool::Flux => "Flux",
            Tool::ArgoRollouts => "Argo Rollouts",
            Tool::Flagger => "Flagger",
            Tool::Helm => "Helm",
        }
    }

    /// Whether it undoes a change by itself. Argo CD does with `selfHeal` alone, and Flux's Helm
    /// releases with drift detection alone; neither can be seen in the object, so both count.
    pub fn undoes(self) -> bool {
        self != Tool::Helm
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// That a tool owns an object, and what shows it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The tool.
    pub tool: Tool,
    /// What shows it, as it stands in the object.
    pub evidence: String,
}

impl Owner {
    fn new(tool: Tool, evidence: String) -> Owner {
        Owner { tool, evidence }
    }
}

/// argoproj/argo-cd docs/user-guide/resource_tracking.md.
const ARGO_TRACKING: &str = "argocd.argoproj.io/tracking-id";
/// The same, where Argo CD is told to track by a label of its own.
const ARGO_INSTANCE: &str = "argocd.argoproj.io/instance";
/// The label that Argo CD tracks by before 3.0. Charts set it, too: alone it shows nothing.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// How Argo CD's field managers begin (argoproj/argo-cd common/common.go `ArgoCDSSAManager`).
const ARGO_MANAGER: &str = "argocd-";
/// fluxcd/kustomize-controller and fluxcd/helm-controller label all that they apply (helm-controller
/// #238).
const FLUX_LABELS: &[&str] = &[
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
];
/// With the value `disabled` Flux leaves the object alone (fluxcd/kustomize-controller CHANGELOG.md,
/// 0.17.0).
const FLUX_RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
/// argoproj/argo-rollouts pkg/apis/rollouts/v1alpha1/types.go `ManagedByRolloutsKey`: in Services,
/// DestinationRules and other objects that a Rollout changes and does not own.
const ROLLOUTS_MANAGED: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// argoproj/argo-rollouts utils/annotations/annotations.go.
const ROLLOUTS_PREFIX: &str = "rollout.argoproj.io/";
/// helm/helm pkg/action/validate.go `helmReleaseNameAnnotation`.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";
/// A Rollout's group, and Argo CD's.
const ARGO_GROUP: &str = "argoproj.io";
/// A Canary's group (fluxcd/flagger pkg/apis/flagger/v1beta1). Flagger makes itself the controller of
/// what it creates: `NAME-primary`, its Services, its routes (pkg/canary/deployment_controller.go
/// `createPrimaryDeployment`).
const FLAGGER_GROUP: &str = "flagger.app";

/// The tool that owns an object; none where nothing in it shows one.
pub fn owner_of(object: &Value) -> Option<Owner> {
    rollouts(object)
        .or_else(|| flagger(object))
        .or_else(|| argo_cd(object))
        .or_else(|| flux(object))
        .or_else(|| helm(object))
}

/// The tool that drives a workload which it does not mark: a Rollout that names it in `workloadRef`
/// (argoproj/argo-rollouts docs/migrating.md), a Canary that names it in `targetRef` (fluxcd/flagger
/// docs/gitbook/usage/how-it-works.md). `others` are the objects of the namespace.
pub fn driver_of(workload: &Value, others: &[Value]) -> Option<Owner> {
    let names = |reference: Option<&Value>| {
        reference.is_some_and(|it| {
            it["kind"] == workload["kind"] && it["name"].as_str() == Some(name(workload))
        })
    };
    others.iter().find_map(|object| {
        let (tool, pointer) = match (group_of(object), object["kind"].as_str()?) {
            (ARGO_GROUP, "Rollout") => (Tool::ArgoRollouts, "/spec/workloadRef"),
            (FLAGGER_GROUP, "Canary") => (Tool::Flagger, "/spec/targetRef"),
            _ => return None,
        };
        names(object.at(pointer)).then(|| {
            let kind = object["kind"]
                .as_str()
                .unwrap_or_default()
                .to_ascii_lowercase();
            Owner::new(tool, format!("{pointer} of {kind}/{}", name(object)))
        })
    })
}

fn group_of(object: &Value) -> &str {
    group(object["apiVersion"].as_str().unwrap_or_default())
}

/// The owner reference of this group and kind, as `kind/name`.
fn reference(object: &Value, wanted: &str, kind: &str) -> Option<String> {
    let list = object
        .at("/metadata/ownerReferences")
        .and_then(Value::as_array);
    let mut list = list.into_iter().flatten();
    let is = |it: &&Value| group_of(it) == wanted && it["kind"] == kind;
    let found = list.find(is)?;
    let name = found["name"].as_str().unwrap_or_default();
    Some(format!("owner {}/{name}", kind.to_ascii_lowercase()))
}

fn rollouts(object: &Value) -> Option<Owner> {
    let is_rollout = group_of(object) == ARGO_GROUP && object["kind"] == "Rollout";
    let evidence = is_rollout
        .then(|| format!("rollout/{}", name(object)))
        .or_else(|| reference(object, ARGO_GROUP, "Rollout"))
        .or_else(|| annotated(object, |key| key == ROLLOUTS_MANAGED))
        .or_else(|| annotated(object, |key| key.starts_with(ROLLOUTS_PREFIX)));
    evidence.map(|it| Owner::new(Tool::ArgoRollouts, it))
}

fn flagger(object: &Value) -> Option<Owner> {
    let evidence = reference(object, FLAGGER_GROUP, "Canary");
    evidence.map(|it| Owner::new(Tool::Flagger, it))
}

fn argo_cd(object: &Value) -> Option<Owner> {
    let tracked = annotation(object, ARGO_TRACKING).filter(|id| is_about(id, object));
    let tracked = tracked.map(|id| format!("{ARGO_TRACKING}: {id}"));
    let labelled = || label(object, ARGO_INSTANCE).map(|it| format!("{ARGO_INSTANCE}: {it}"));
    let managed = || {
        let instance = label(object, INSTANCE)?;
        let list = object.at("/metadata/managedFields")?.as_array()?;
        let mut managers = list.iter().filter_map(|it| it["manager"].as_str());
        let manager = managers.find(|it| it.starts_with(ARGO_MANAGER))?;
        Some(format!("{INSTANCE}: {instance}, written by {manager}"))
    };
    let evidence = tracked.or_else(labelled).or_else(managed);
    evidence.map(|it| Owner::new(Tool::ArgoCd, it))
}

/// Whether a tracking id `APP:GROUP/KIND:NAMESPACE/NAME` is about the object that carries it. Argo CD
/// leaves an object alone whose id is about another one (docs/user-guide/resource_tracking.md, "Non
/// self-referencing annotations"). One of another shape counts.
fn is_about(id: &str, object: &Value) -> bool {
    let mut parts = id.rsplitn(3, ':');
    let (Some(place), Some(kind), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return true;
    };
    let same_kind = kind.rsplit('/').next() == object["kind"].as_str();
    let own = namespace(object);
    let same_place = match place.split_once('/') {
        Some((space, it)) => it == name(object) && (own.is_empty() || space == own),
        None => place == name(object),
    };
    same_kind && same_place
}

fn flux(object: &Value) -> Option<Owner> {
    if annotation(object, FLUX_RECONCILE) == Some("disabled") {
        return None;
    }
    let evidence = FLUX_LABELS
        .iter()
        .find_map(|key| Some(format!("{key}: {}", label(object, key)?)));
    evidence.map(|it| Owner::new(Tool::Flux, it))
}

fn helm(object: &Value) -> Option<Owner> {
    let evidence = annotated(object, |key| key == HELM_RELEASE);
    evidence.map(|it| Owner::new(Tool::Helm, it))
}

/// The first annotation of such a key, as it stands.
fn annotated(object: &Value, is: impl Fn(&str) -> bool) -> Option<String> {
    let mut all = infer_core::object::annotations(object);
    let (key, value) = all.find(|(key, _)| is(key))?;
    Some(format!("{key}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(metadata: &Value) -> Value {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "llama", "namespace": "models"}});
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        object
    }

    fn tool(metadata: &Value) -> Option<Tool> {
        owner_of(&deployment(metadata)).map(|it| it.tool)
    }

    #[test]
    fn each_tool_is_known_by_its_own_marks() {
        let cases = [
            (
                Tool::ArgoCd,
                json!({"annotations": {ARGO_TRACKING: "app:apps/Deployment:models/llama"}}),
            ),
            (Tool::ArgoCd, json!({"annotations": {ARGO_TRACKING: "id"}})),
            (Tool::ArgoCd, json!({"labels": {ARGO_INSTANCE: "app"}})),
            (
                Tool::ArgoCd,
                json!({"labels": {INSTANCE: "app"},
                    "managedFields": [{"manager": "argocd-controller"}]}),
            ),
            (
                Tool::Flux,
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}),
            ),
            (
                Tool::Flux,
                json!({"labels": {"helm.toolkit.fluxcd.io/name": "llama"},
                    "annotations": {HELM_RELEASE: "llama"}}),
            ),
            (
                Tool::ArgoRollouts,
                json!({"ownerReferences": [{"apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Rollout", "name": "llama"}]}),
            ),
            (
                Tool::ArgoRollouts,
                json!({"annotations": {"rollout.argoproj.io/revision": "3"}}),
            ),
            (
                Tool::ArgoRollouts,
                json!({"annotations": {ROLLOUTS_MANAGED: "llama"}}),
            ),
            (
                Tool::Flagger,
                json!({"ownerReferences": [{"apiVersion": "flagger.app/v1beta1",
                    "kind": "Canary", "name": "llama"}]}),
            ),
            (Tool::Helm, json!({"annotations": {HELM_RELEASE: "llama"}})),
        ];
        for (wanted, metadata) in cases {
            assert_eq!(tool(&metadata), Some(wanted), "{metadata}");
        }
    }

    #[test]
    fn what_only_looks_like_a_mark_is_none() {
        for metadata in [
            json!({}),
            // Charts set it, too.
            json!({"labels": {INSTANCE: "llama"}}),
            json!({"labels": {INSTANCE: "llama"}, "managedFields": [{"manager": "helm"}]}),
            json!({"managedFields": [{"manager": "argocd-controller"}]}),
            // A copy of what Argo CD owns.
            json!({"annotations": {ARGO_TRACKING: "app:apps/Deployment:models/other"}}),
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"},
                "annotations": {FLUX_RECONCILE: "disabled"}}),
            json!({"ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Canary"}]}),
        ] {
            assert_eq!(tool(&metadata), None, "{metadata}");
        }
    }

    #[test]
    fn a_tool_may_drive_what_it_does_not_mark() {
        let workload = deployment(&json!({}));
        let other = |group: &str, kind: &str, field: &str, name: &str| {
            json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "x"},
                "spec": {field: {"kind": "Deployment", "name": name}}})
        };
        let rollout = other(ARGO_GROUP, "Rollout", "workloadRef", "llama");
        let canary = other(FLAGGER_GROUP, "Canary", "targetRef", "llama");
        let of = |others: &[Value]| driver_of(&workload, others).map(|it| it.tool);
        assert_eq!(of(&[rollout]), Some(Tool::ArgoRollouts));
        assert_eq!(of(&[canary]), Some(Tool::Flagger));
        let elsewhere = other(ARGO_GROUP, "Rollout", "workloadRef", "else");
        assert_eq!(of(&[elsewhere]), None);
    }
}
