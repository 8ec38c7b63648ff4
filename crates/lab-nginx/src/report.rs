//! Tells the cluster: the address in the status of what is served, an Event on what is not.

use crate::cluster::chain;
use crate::name::Name;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde_json::json;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// For one call.
const CALL: Duration = Duration::from_secs(5);
/// Who says it.
const CONTROLLER: &str = "lab-nginx";
/// The API allows 1024 bytes of note (events.k8s.io/v1, `note`).
const NOTE: usize = 1000;

/// What was told so far.
pub(crate) struct Report {
    client: Client,
    recorder: Recorder,
    address: Option<IpAddr>,
    /// Each refusal is told once.
    told: BTreeMap<Name, String>,
}

impl Report {
    /// Writes `address`, where there is one, to the status of what is served.
    pub(crate) fn new(client: Client, address: Option<IpAddr>) -> Report {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: None,
        };
        Report {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            address,
            told: BTreeMap::new(),
        }
    }

    /// Logs each refusal and puts an Event on the Ingress, once for each reason.
    pub(crate) async fn refused(
        &mut self,
        ingresses: &[Arc<Ingress>],
        refused: &BTreeMap<Name, String>,
    ) {
        self.told.retain(|name, _| refused.contains_key(name));
        for ingress in ingresses {
            let name = Name::of(ingress);
            let Some(why) = refused.get(&name) else {
                continue;
            };
            if self.told.get(&name) == Some(why) {
                continue;
            }
            tracing::warn!(ingress = %name, why, "refused");
            let event = Event {
                type_: EventType::Warning,
                reason: "Rejected".to_owned(),
                note: Some(why.chars().filter(char::is_ascii).take(NOTE).collect()),
                action: "Sync".to_owned(),
                secondary: None,
            };
            let reference = ingress.object_ref(&());
            let publish = self.recorder.publish(&event, &reference);
            if let Err(error) = bounded(publish).await {
                tracing::warn!(ingress = %name, error, "its Event could not be written");
            }
            self.told.insert(name, why.clone());
        }
    }

    /// Writes the address to each of `ingresses` that has another; false where one could not be.
    pub(crate) async fn served(&self, ingresses: &[Arc<Ingress>]) -> bool {
        let Some(address) = self.address.map(|it| it.to_string()) else {
            return true;
        };
        let mut all = true;
        for ingress in ingresses.iter().filter(|it| !has_address(it, &address)) {
            let name = Name::of(ingress);
            let api: Api<Ingress> = Api::namespaced(self.client.clone(), &name.namespace);
            let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
            let params = PatchParams::default();
            let patch = Patch::Merge(&status);
            match bounded(api.patch_status(&name.name, &params, &patch)).await {
                Ok(_) => tracing::info!(ingress = %name, address, "served"),
                Err(error) => {
                    all = false;
                    tracing::warn!(ingress = %name, error, "its status could not be written");
                }
            }
        }
        all
    }
}

fn has_address(ingress: &Ingress, address: &str) -> bool {
    let balancer = ingress
        .status
        .as_ref()
        .and_then(|it| it.load_balancer.as_ref());
    let points = balancer
        .and_then(|it| it.ingress.as_deref())
        .unwrap_or_default();
    matches!(points, [point] if point.ip.as_deref() == Some(address))
}

async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(answer)) => Ok(answer),
        // Its own Display prints the whole `Status`.
        Ok(Err(kube::Error::Api(status))) => Err(status.message.clone()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {} s", CALL.as_secs())),
    }
}
