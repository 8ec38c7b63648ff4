//! What was asked of a cluster, and what came back.

use infer_core::object;
use infer_core::pointer::Walk;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What was asked for: `list nodes`.
    pub asked: String,
    /// Why there is no answer.
    pub reason: String,
    /// Ways out: the RBAC rule to add, the line of kubectl that asks for it.
    pub help: Vec<String>,
}

/// What is known, or why not. A kind that the API server does not serve is known to have no object.
pub type Seen<T> = Result<T, Gap>;

/// Everything that is known of a cluster. Objects are as they are stored.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What a person types to run us: `kubectl infer`.
    pub program: String,
    /// The version of this program.
    pub client_version: String,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// The kubeconfig's context.
    pub context: Option<String>,
    /// The API server's version, such as `v1.36.3`.
    pub server_version: Seen<String>,
    /// The namespaces whose workloads are meant; empty for all of them.
    pub namespaces: Vec<String>,
    /// The groups, versions and resources that the API server serves.
    pub served: Seen<Served>,
    /// IngressClasses.
    pub ingress_classes: Seen<Vec<Value>>,
    /// GatewayClasses.
    pub gateway_classes: Seen<Vec<Value>>,
    /// `metadata` of the CustomResourceDefinition of GatewayClasses.
    pub gateway_definition: Seen<Option<Value>>,
    /// Nodes.
    pub nodes: Seen<Vec<Value>>,
    /// `metadata` of the Namespaces.
    pub namespace_objects: Seen<Vec<Value>>,
    /// Deployments, StatefulSets and DaemonSets, as far as they were seen.
    pub workloads: Vec<Value>,
    /// Of which of them something may be missing, and why.
    pub workload_gaps: Vec<Gap>,
    /// MutatingWebhookConfigurations.
    pub mutating: Seen<Vec<Value>>,
    /// ValidatingWebhookConfigurations.
    pub validating: Seen<Vec<Value>>,
    /// More about each registration of our webhook, in the order of
    /// [`crate::webhook::registrations`].
    pub webhooks: Vec<WebhookFacts>,
}

/// More about one registration of our webhook.
#[derive(Clone, Debug)]
pub struct WebhookFacts {
    /// Its Service; none where the registration names a URL, or where it is not there.
    pub service: Seen<Option<Value>>,
    /// The EndpointSlices of the Service.
    pub slices: Seen<Vec<Value>>,
    /// The certificates of its `caBundle`.
    pub bundle: Bundle,
    /// The policy that it was told to use.
    pub policy: WebhookPolicy,
    /// How a dry run went.
    pub rehearsal: Rehearsal,
}

/// What a `caBundle` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// Nothing.
    Empty,
    /// Something that is no certificate, in words.
    Broken(String),
    /// These certificates.
    Authorities(Vec<Authority>),
}

/// A certificate of a `caBundle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its subject's common name; else its whole subject.
    pub name: String,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
}

/// The policy that a webhook was told to use.
#[derive(Clone, Debug)]
pub enum WebhookPolicy {
    /// Nobody knows: its Deployment was not seen.
    Unknown,
    /// None: the built-in baseline holds.
    Baseline,
    /// A file of the pod, whose text is out of reach.
    File(String),
    /// A ConfigMap (`namespace/name`) and what was read of it, as JSON.
    ConfigMap {
        /// `namespace/name`.
        name: String,
        /// The policy's document.
        document: Seen<Value>,
    },
}

/// How a dry run of an inference workload went: a create that the API server answers and does not
/// store (`dryRun=All`).
#[derive(Clone, Debug)]
pub enum Rehearsal {
    /// It was not tried, and why.
    Skipped(String),
    /// It could not be tried.
    Unknown(Gap),
    /// The API server refused the object, in its own words.
    Refused {
        /// Where.
        namespace: String,
        /// The API server's words.
        message: String,
    },
    /// What the API server would have stored.
    Answered {
        /// Where.
        namespace: String,
        /// The object.
        object: Value,
    },
}

/// What an API server serves: group, version, resources. Of resources nothing is known where it
/// answered with groups only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    groups: BTreeMap<String, BTreeMap<String, Option<Vec<String>>>>,
}

impl Served {
    /// Reads an `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`, KEP-3352) or an `APIGroupList`.
    pub fn of(document: &Value) -> Served {
        let text = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let list = |value: &Value, member: &str| -> Vec<Value> {
            let list = value.get(member).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        let mut groups = BTreeMap::new();
        for group in list(document, "items") {
            let versions = list(&group, "versions").into_iter().map(|version| {
                let resources = list(&version, "resources");
                let resources = resources
                    .iter()
                    .map(|it| text(it.get("resource")))
                    .collect();
                (text(version.get("version")), Some(resources))
            });
            groups.insert(text(group.at("/metadata/name")), versions.collect());
        }
        for group in list(document, "groups") {
            let versions = list(&group, "versions");
            let versions = versions.iter().map(|it| (text(it.get("version")), None));
            groups.insert(text(group.get("name")), versions.collect());
        }
        Served { groups }
    }

    /// The versions of a group, oldest name first; none where it is not served.
    pub fn versions(&self, group: &str) -> Vec<&str> {
        let versions = self.groups.get(group);
        versions
            .into_iter()
            .flatten()
            .map(|(version, _)| version.as_str())
            .collect()
    }

    /// Whether a resource of a group is served; `None` where only its group is known to be.
    pub fn has(&self, group: &str, resource: &str) -> Option<bool> {
        let Some(versions) = self.groups.get(group) else {
            return Some(false);
        };
        let mut known = true;
        for resources in versions.values() {
            match resources {
                Some(resources) if resources.iter().any(|it| it == resource) => return Some(true),
                Some(_) => {}
                None => known = false,
            }
        }
        known.then_some(false)
    }
}

impl Facts {
    /// Of a cluster of which only these objects are known: recorded ones. What they do not hold is
    /// not there.
    pub fn of_objects(objects: &[Value], now: i64) -> Facts {
        let kind = |object: &Value| object::ObjectRef::of(object).kind;
        let of = |wanted: &[&str]| -> Vec<Value> {
            let is_wanted = |object: &&Value| wanted.contains(&kind(object).as_str());
            objects.iter().filter(is_wanted).cloned().collect()
        };
        let mut served = Served::default();
        for definition in of(&["CustomResourceDefinition"]) {
            let text = |pointer: &str| {
                let text = definition.at(pointer).and_then(Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            let group = served.groups.entry(text("/spec/group")).or_default();
            let versions = definition.at("/spec/versions").and_then(Value::as_array);
            for version in versions.into_iter().flatten() {
                let name = version
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let resources = group
                    .entry(name.to_owned())
                    .or_insert_with(|| Some(Vec::new()));
                resources
                    .get_or_insert_default()
                    .push(text("/spec/names/plural"));
            }
        }
        let gateway = of(&["CustomResourceDefinition"])
            .into_iter()
            .find(|it| object::name(it) == crate::gateway_api::DEFINITION);
        Facts {
            program: "kubectl infer".to_owned(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            context: None,
            server_version: Ok("v1.36.3".to_owned()),
            namespaces: Vec::new(),
            served: Ok(served),
            ingress_classes: Ok(of(&["IngressClass"])),
            gateway_classes: Ok(of(&["GatewayClass"])),
            gateway_definition: Ok(gateway),
            nodes: Ok(of(&["Node"])),
            namespace_objects: Ok(of(&["Namespace"])),
            workloads: of(&["Deployment", "StatefulSet", "DaemonSet"]),
            workload_gaps: Vec::new(),
            mutating: Ok(of(&["MutatingWebhookConfiguration"])),
            validating: Ok(of(&["ValidatingWebhookConfiguration"])),
            webhooks: Vec::new(),
        }
    }

    /// Whether a workload's namespace is meant.
    pub(crate) fn is_meant(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|it| it == namespace)
    }

    /// Everything that could not be asked.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut note = |gap: Option<&Gap>| {
            if let Some(gap) = gap.filter(|gap| !gaps.contains(gap)) {
                gaps.push(gap.clone());
            }
        };
        note(self.server_version.as_ref().err());
        note(self.served.as_ref().err());
        note(self.gateway_definition.as_ref().err());
        for list in [
            &self.ingress_classes,
            &self.gateway_classes,
            &self.nodes,
            &self.namespace_objects,
            &self.mutating,
            &self.validating,
        ] {
            note(list.as_ref().err());
        }
        self.workload_gaps.iter().for_each(|gap| note(Some(gap)));
        for webhook in &self.webhooks {
            note(webhook.service.as_ref().err());
            note(webhook.slices.as_ref().err());
            if let WebhookPolicy::ConfigMap { document, .. } = &webhook.policy {
                note(document.as_ref().err());
            }
            if let Rehearsal::Unknown(gap) = &webhook.rehearsal {
                note(Some(gap));
            }
        }
        gaps
    }
}
