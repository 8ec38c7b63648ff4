//! The kinds that a survey reads, what it keeps of them, and how far it reads.

use crate::connection::Cluster;
use crate::objects::{Selector, text};
use crate::request_error::RequestError;
use kube::api::GetParams;
use serde_json::{Value, json};

/// Objects in one page: kubectl's own `--chunk-size`.
const PAGE: u32 = 500;
/// Pages of one list: 10,000 objects.
const MOST_PAGES: usize = 20;

/// A kind of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
    keep: Keep,
}

/// What of an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// All but who wrote what.
    All,
    /// The same; it is asked for as metadata only.
    Metadata,
    /// What says which pods it can hold: a Node lists every image that it ever pulled.
    Room,
}

const fn read(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    keep: Keep,
) -> Read {
    Read {
        group,
        version: "v1",
        kind,
        plural,
        namespaced,
        keep,
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
pub(super) const INGRESS_CLASS: Read = read(
    "networking.k8s.io",
    "IngressClass",
    "ingressclasses",
    false,
    Keep::All,
);
pub(super) const GATEWAY_CLASS: Read = read(
    "gateway.networking.k8s.io",
    "GatewayClass",
    "gatewayclasses",
    false,
    Keep::All,
);
pub(super) const DEFINITION: Read = read(
    "apiextensions.k8s.io",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    false,
    Keep::Metadata,
);
pub(super) const NODE: Read = read("", "Node", "nodes", false, Keep::Room);
pub(super) const NAMESPACE: Read = read("", "Namespace", "namespaces", false, Keep::Metadata);
pub(super) const MUTATING: Read = read(
    ADMISSION,
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    false,
    Keep::All,
);
pub(super) const VALIDATING: Read = read(
    ADMISSION,
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    false,
    Keep::All,
);
pub(super) const DEPLOYMENT: Read = read("apps", "Deployment", "deployments", true, Keep::All);
pub(super) const DAEMON_SET: Read = read("apps", "DaemonSet", "daemonsets", true, Keep::All);
pub(super) const STATEFUL_SET: Read = read("apps", "StatefulSet", "statefulsets", true, Keep::All);
pub(super) const SERVICE: Read = read("", "Service", "services", true, Keep::All);
pub(super) const ENDPOINT_SLICE: Read = read(
    "discovery.k8s.io",
    "EndpointSlice",
    "endpointslices",
    true,
    Keep::All,
);
/// `v1` ConfigMap.
pub const CONFIG_MAP: Read = read("", "ConfigMap", "configmaps", true, Keep::All);

/// A list, as far as it was read.
#[derive(Debug, Default)]
pub struct Listed {
    /// The objects that were seen, complete with `apiVersion` and `kind`.
    pub items: Vec<Value>,
    /// Why others were perhaps not.
    pub error: Option<RequestError>,
}

impl Cluster {
    /// A list, page by page; a kind that is not served has no object.
    pub(super) async fn read_list(
        &self,
        read: Read,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Listed {
        let asked = read.asked("list", namespace);
        let mut params = selector.params();
        params.limit = Some(PAGE);
        let mut listed = Listed::default();
        for _ in 0..MOST_PAGES {
            let requests = read.requests(namespace);
            let request = match read.keep {
                Keep::Metadata => requests.list_metadata(&params),
                Keep::All | Keep::Room => requests.list(&params),
            };
            let mut page = match self.call(asked, request).await {
                Ok(answer) => answer.body,
                Err(RequestError::NotServed { .. }) => return listed,
                Err(error) => {
                    listed.error = Some(error);
                    return listed;
                }
            };
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                listed
                    .items
                    .extend(found.into_iter().map(|it| read.kept(it)));
            }
            let token = text(&page, "/metadata/continue");
            if token.is_empty() {
                return listed;
            }
            params.continue_token = Some(token);
        }
        listed.error = Some(RequestError::Other {
            doing: asked.doing(),
            code: None,
            message: format!("only the first {} were read", PAGE as usize * MOST_PAGES),
        });
        listed
    }

    /// One object, if there is one; also none where its kind is not served.
    ///
    /// # Errors
    ///
    /// As every request.
    pub async fn read_one(
        &self,
        read: Read,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, RequestError> {
        let asked = read.asked("get", namespace).name(name);
        let request = read.requests(namespace).get(name, &GetParams::default());
        there(self.call(asked, request).await.map(|it| it.body), read)
    }

    /// `metadata` of one object of no namespace.
    pub(super) async fn read_metadata(
        &self,
        read: Read,
        name: &str,
    ) -> Result<Option<Value>, RequestError> {
        let asked = read.asked("get", None).name(name);
        let request = read
            .requests(None)
            .get_metadata(name, &GetParams::default());
        there(self.call(asked, request).await.map(|it| it.body), read)
    }
}

fn there(answer: Result<Value, RequestError>, read: Read) -> Result<Option<Value>, RequestError> {
    match answer {
        Ok(object) => Ok(Some(read.kept(object))),
        Err(RequestError::NotFound { .. } | RequestError::NotServed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Read {
    /// What is kept of an object, with its type.
    fn kept(self, mut object: Value) -> Value {
        if self.keep == Keep::Room {
            let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
            object = json!({
                "metadata": {"name": at("/metadata/name"), "labels": at("/metadata/labels")},
                "spec": {"taints": at("/spec/taints"), "unschedulable": at("/spec/unschedulable")},
                "status": {"capacity": at("/status/capacity"),
                    "allocatable": at("/status/allocatable")},
            });
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        if object.is_object() {
            let version = match self.group {
                "" => self.version.to_owned(),
                group => format!("{group}/{}", self.version),
            };
            object["apiVersion"] = Value::from(version);
            object["kind"] = Value::from(self.kind);
        }
        object
    }
}
