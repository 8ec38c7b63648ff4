//! The addresses behind a port of a Service, chosen as ingress-nginx chooses them
//! (`internal/ingress/controller/endpointslices.go`, `getEndpointsFromSlices`).

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::api::networking::v1::ServiceBackendPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The label that ties a slice to its Service (`discovery.k8s.io/v1`, `LabelServiceName`).
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// What an absent `protocol` means.
const DEFAULT_PROTOCOL: &str = "TCP";

/// The Service's port that an Ingress' backend names.
pub fn port_of<'s>(service: &'s Service, backend: &ServiceBackendPort) -> Option<&'s ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    ports
        .iter()
        .find(|port| match (backend.number, &backend.name) {
            (Some(number), _) => port.port == number,
            (None, name) => name.is_some() && port.name == *name,
        })
}

/// The ready addresses behind `port`, each once, in order. An absent condition `ready` counts as
/// ready, as the API says. Without topology hints. Addresses that are no IP addresses are left out.
pub fn addresses<'s>(
    service: &Service,
    port: &ServicePort,
    slices: impl IntoIterator<Item = &'s EndpointSlice>,
) -> BTreeSet<SocketAddr> {
    slices
        .into_iter()
        .filter(|slice| belongs(slice, service))
        .flat_map(|slice| addresses_of(slice, port))
        .collect()
}

fn belongs(slice: &EndpointSlice, service: &Service) -> bool {
    let labels = slice.metadata.labels.as_ref();
    slice.metadata.namespace == service.metadata.namespace
        && labels.and_then(|it| it.get(SERVICE_NAME)) == service.metadata.name.as_ref()
}

fn addresses_of(slice: &EndpointSlice, port: &ServicePort) -> Vec<SocketAddr> {
    let ports = target_ports(slice, port);
    let endpoints = slice.endpoints.iter().flatten().filter(|it| is_ready(it));
    endpoints
        .flat_map(|endpoint| &endpoint.addresses)
        .filter_map(|address| address.parse().ok())
        .flat_map(|address: IpAddr| {
            ports
                .iter()
                .map(move |port| SocketAddr::new(address, *port))
        })
        .collect()
}

fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(|it| it.ready).unwrap_or(true)
}

fn target_ports(slice: &EndpointSlice, port: &ServicePort) -> Vec<u16> {
    let target = match port.target_port {
        Some(IntOrString::Int(number)) => Some(number),
        _ => None,
    };
    let ports = slice.ports.as_deref().unwrap_or_default();
    let numbers: Vec<i32> = if ports.is_empty() {
        target.into_iter().collect()
    } else {
        let protocol = |it: &Option<String>| it.clone().unwrap_or(DEFAULT_PROTOCOL.to_owned());
        ports
            .iter()
            .filter(|it| protocol(&it.protocol) == protocol(&port.protocol))
            .filter_map(|it| {
                let named = port.name.as_deref().unwrap_or_default();
                // A Service's only port needs no name.
                let same = named.is_empty() || it.name.as_deref() == Some(named);
                it.port.filter(|_| same).or(target)
            })
            .collect()
    };
    let valid = numbers.into_iter().filter_map(|it| u16::try_from(it).ok());
    valid.filter(|it| *it > 0).collect()
}
