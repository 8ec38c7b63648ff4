//! What stands behind a Service or an address, and what stood there a moment ago.

mod behind;
mod history;

pub use behind::{Behind, behind};
pub use history::{Count, History};

use crate::objects::text;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// A pod by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One address of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, without a port.
    pub address: String,
    /// The ports that the slice has for it; none when it names none.
    pub ports: Vec<u16>,
    /// The pod that has the address; none for other targets.
    pub pod: Option<PodName>,
    /// Whether new connections should go to it. False while it terminates.
    pub ready: bool,
    /// Whether it answers its readiness probe, terminating or not.
    pub serving: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// The endpoints of a slice. A condition that is not there is read as the API says
/// (kubernetes/api discovery/v1 `EndpointConditions`): ready as true, serving as ready,
/// terminating as false.
pub fn of_slice(slice: &Value) -> Vec<Endpoint> {
    let namespace = text(slice, "/metadata/namespace");
    let items = |value: &Value, field: &str| {
        let items = value.get(field).and_then(Value::as_array);
        items.cloned().unwrap_or_default()
    };
    let ports: Vec<u16> = items(slice, "ports")
        .iter()
        .filter_map(|it| u16::try_from(it.get("port")?.as_u64()?).ok())
        .collect();
    let mut found = Vec::new();
    for it in items(slice, "endpoints") {
        let condition = |name: &str| it.get("conditions")?.get(name)?.as_bool();
        let ready = condition("ready").unwrap_or(true);
        let pod = (text(&it, "/targetRef/kind") == "Pod").then(|| PodName {
            namespace: match text(&it, "/targetRef/namespace") {
                own if own.is_empty() => namespace.clone(),
                own => own,
            },
            name: text(&it, "/targetRef/name"),
        });
        for address in items(&it, "addresses").iter().filter_map(Value::as_str) {
            found.push(Endpoint {
                address: address.to_owned(),
                ports: ports.clone(),
                pod: pod.clone(),
                ready,
                serving: condition("serving").unwrap_or(ready),
                terminating: condition("terminating").unwrap_or(false),
            });
        }
    }
    found
}

/// The endpoints of a Service, from the slices that carry its name.
pub fn of_service(service: &Value, slices: &[Value]) -> Vec<Endpoint> {
    let namespace = text(service, "/metadata/namespace");
    let name = text(service, "/metadata/name");
    slices
        .iter()
        .filter(|it| text(it, "/metadata/namespace") == namespace)
        .filter(|it| text(it, "/metadata/labels/kubernetes.io~1service-name") == name)
        .flat_map(of_slice)
        .collect()
}

/// Address and port of `10.244.0.7:8080`, `[fd00::7]:8080`, or an address alone.
fn split(address: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let plain = address.trim_start_matches('[').trim_end_matches(']');
    Some((plain.parse().ok()?, None))
}
