//! What `doctor` asks of a cluster: a bounded number of calls, each answer bounded, and what may
//! not be read said as such.
//!
//! A kind that the API server does not serve has no object: its list is empty.

mod authority;
mod read;

pub use authority::{Authority, Unreadable, authorities};
pub use read::{CONFIG_MAP, Listed, Read};

use crate::call::Asked;
use crate::connection::Cluster;
use crate::objects::{Selector, text};
use crate::request_error::RequestError;
use kube::api::PostParams;
use kube::core::Request;
use serde_json::Value;

/// Aggregated discovery, and group names alone where an API server has none (KEP-3352, on by
/// default since 1.27).
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// The CustomResourceDefinition that carries the Gateway API's release.
const GATEWAY_DEFINITION: &str = "gatewayclasses.gateway.networking.k8s.io";
/// Where lists over all namespaces are refused, so many namespaces are asked instead.
const MOST_NAMESPACES: usize = 8;
/// Who is named in `managedFields` of a dry run.
const MANAGER: &str = "kubectl-infer";

/// What the first round of questions brought.
#[derive(Debug)]
pub struct Survey {
    /// The API server's version, such as `v1.36.3`.
    pub version: Result<String, RequestError>,
    /// What it serves: an `APIGroupDiscoveryList` or an `APIGroupList`.
    pub served: Result<Value, RequestError>,
    /// IngressClasses.
    pub ingress_classes: Listed,
    /// GatewayClasses.
    pub gateway_classes: Listed,
    /// `metadata` of the CustomResourceDefinition of GatewayClasses.
    pub gateway_definition: Result<Option<Value>, RequestError>,
    /// Nodes: name, labels, taints, cordon, capacity and allocatable.
    pub nodes: Listed,
    /// Namespaces: `metadata`.
    pub namespaces: Listed,
    /// Deployments, DaemonSets and StatefulSets.
    pub workloads: [Listed; 3],
    /// MutatingWebhookConfigurations.
    pub mutating: Listed,
    /// ValidatingWebhookConfigurations.
    pub validating: Listed,
}

impl Cluster {
    /// Asks the first round, all at once. Workloads are listed over all namespaces; where that is
    /// refused, in `namespaces`, or in the cluster's own where these are empty.
    pub async fn survey(&self, namespaces: &[String]) -> Survey {
        let all = Selector::all();
        let workloads = |read| self.list_where_allowed(read, namespaces);
        let (version, served, ingress_classes, gateway_classes, gateway_definition) = futures::join!(
            self.version(),
            self.discovery(),
            self.read_list(read::INGRESS_CLASS, None, &all),
            self.read_list(read::GATEWAY_CLASS, None, &all),
            self.read_metadata(read::DEFINITION, GATEWAY_DEFINITION),
        );
        let (nodes, known, mutating, validating, deployments, daemon_sets, stateful_sets) = futures::join!(
            self.read_list(read::NODE, None, &all),
            self.read_list(read::NAMESPACE, None, &all),
            self.read_list(read::MUTATING, None, &all),
            self.read_list(read::VALIDATING, None, &all),
            workloads(read::DEPLOYMENT),
            workloads(read::DAEMON_SET),
            workloads(read::STATEFUL_SET),
        );
        Survey {
            version,
            served,
            ingress_classes,
            gateway_classes,
            gateway_definition,
            nodes,
            namespaces: known,
            workloads: [deployments, daemon_sets, stateful_sets],
            mutating,
            validating,
        }
    }

    /// A Service, if there is one, and its EndpointSlices.
    pub async fn service_and_slices(
        &self,
        namespace: &str,
        name: &str,
    ) -> (Result<Option<Value>, RequestError>, Listed) {
        let slices = Selector::slices_of(name);
        futures::join!(
            self.read_one(read::SERVICE, Some(namespace), name),
            self.read_list(read::ENDPOINT_SLICE, Some(namespace), &slices),
        )
    }

    /// What the API server would store of a new Deployment. Nothing is stored (`dryRun=All`).
    ///
    /// # Errors
    ///
    /// As every request; what admission says against the object is one, too.
    pub async fn rehearse(
        &self,
        namespace: &str,
        deployment: &Value,
    ) -> Result<Value, RequestError> {
        let read = read::DEPLOYMENT;
        let parameters = PostParams {
            dry_run: true,
            field_manager: Some(MANAGER.to_owned()),
        };
        let requests = read.requests(Some(namespace));
        let request = requests.create(&parameters, deployment.to_string().into_bytes());
        let asked = read.asked("create", Some(namespace));
        Ok(self.call(asked, request).await?.body)
    }

    async fn version(&self) -> Result<String, RequestError> {
        let request = http::Request::get("/version").body(Vec::new());
        let answer = self.call(of_path("/version"), request).await?;
        Ok(text(&answer.body, "/gitVersion"))
    }

    async fn discovery(&self) -> Result<Value, RequestError> {
        let request = http::Request::get("/apis").header("accept", DISCOVERY);
        let answer = self
            .call(of_path("/apis"), request.body(Vec::new()))
            .await?;
        Ok(answer.body)
    }

    /// A list over all namespaces; where RBAC refuses that, of a few.
    async fn list_where_allowed(&self, read: Read, namespaces: &[String]) -> Listed {
        let mut listed = self.read_list(read, None, &Selector::all()).await;
        if !matches!(
            listed.error,
            Some(RequestError::Forbidden { by_rbac: true, .. })
        ) {
            return listed;
        }
        let own = [self.namespace().to_owned()];
        let namespaces = if namespaces.is_empty() {
            &own[..]
        } else {
            namespaces
        };
        for namespace in namespaces.iter().take(MOST_NAMESPACES) {
            let of_one = self
                .read_list(read, Some(namespace), &Selector::all())
                .await;
            listed.items.extend(of_one.items);
        }
        listed
    }
}

/// Of a path that is no resource.
fn of_path(path: &'static str) -> Asked<'static> {
    Asked {
        verb: "get",
        resource: path,
        group: "",
        subresource: None,
        namespace: None,
        name: None,
    }
}

impl Read {
    fn requests(self, namespace: Option<&str>) -> Request {
        let root = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let place = namespace.filter(|_| self.namespaced);
        let place = place.map_or(String::new(), |namespace| {
            format!("/namespaces/{namespace}")
        });
        Request::new(format!("{root}{place}/{}", self.plural))
    }

    fn asked<'a>(self, verb: &'static str, namespace: Option<&'a str>) -> Asked<'a> {
        Asked {
            verb,
            resource: self.plural,
            group: self.group,
            subresource: None,
            namespace: namespace.filter(|_| self.namespaced),
            name: None,
        }
    }
}

#[cfg(test)]
mod tests;
