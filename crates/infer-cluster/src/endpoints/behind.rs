//! Which pods answer at an address: how a proxy's pods are found without knowing the proxy.

use super::{PodName, of_service};
use crate::objects::text;
use serde_json::Value;

/// The pods behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// These, sorted by name.
    Pods {
        /// The pods.
        pods: Vec<PodName>,
        /// How they were found, in words.
        how: String,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Which pods stand behind `address`, an IP address or the hostname of a load balancer, at `port`.
/// In this order: a Service that has the address; a pod that has it; a Service of type NodePort, or
/// a pod with a host port, where it is a node's.
pub fn behind(
    address: &str,
    port: u16,
    services: &[Value],
    slices: &[Value],
    pods: &[Value],
) -> Behind {
    if let Some(found) = by_service(address, port, services, slices) {
        return found;
    }
    let own: Vec<&Value> = pods
        .iter()
        .filter(|it| !uses_host_network(it) && lists(it, "/status/podIPs", "ip", address))
        .filter(|it| is_running(it))
        .collect();
    if !own.is_empty() {
        return Behind::Pods {
            pods: names(&own),
            how: format!("the pod has the address {address}"),
        };
    }
    let on_node: Vec<&Value> = pods
        .iter()
        .filter(|it| {
            text(it, "/status/hostIP") == address || lists(it, "/status/hostIPs", "ip", address)
        })
        .filter(|it| is_running(it))
        .collect();
    if on_node.is_empty() {
        return Behind::Unknown {
            reason: format!("no Service, pod or node has the address {address}"),
        };
    }
    if let Some(found) = by_node_port(address, port, services, slices) {
        return found;
    }
    let listening: Vec<&Value> = on_node
        .into_iter()
        .filter(|it| has_host_port(it, port))
        .collect();
    match listening[..] {
        [] => Behind::Unknown {
            reason: format!(
                "{address} is a node's, and none of its pods declares host port {port}"
            ),
        },
        _ => Behind::Pods {
            pods: names(&listening),
            how: format!("the pod has port {port} of the node {address}"),
        },
    }
}

fn by_service(address: &str, port: u16, services: &[Value], slices: &[Value]) -> Option<Behind> {
    let owning: Vec<&Value> = services
        .iter()
        .filter(|it| has_address(it, address))
        .collect();
    // Several Services may share an address, each with ports of its own.
    let with_port = owning.iter().find(|it| has_port(it, "port", port));
    let service = with_port.or(owning.first())?;
    Some(through(
        service,
        slices,
        &format!("has the address {address}"),
    ))
}

fn by_node_port(address: &str, port: u16, services: &[Value], slices: &[Value]) -> Option<Behind> {
    let service = services.iter().find(|it| has_port(it, "nodePort", port))?;
    let why = format!("has port {port} of the node {address}");
    Some(through(service, slices, &why))
}

fn through(service: &Value, slices: &[Value], why: &str) -> Behind {
    let name = text(service, "/metadata/name");
    let namespace = text(service, "/metadata/namespace");
    let mut pods: Vec<PodName> = of_service(service, slices)
        .into_iter()
        .filter_map(|it| it.pod)
        .collect();
    pods.sort();
    pods.dedup();
    if pods.is_empty() {
        return Behind::Unknown {
            reason: format!(
                "service/{name} in namespace {namespace} {why}, but no pod is among its endpoints"
            ),
        };
    }
    Behind::Pods {
        pods,
        how: format!("service/{name} in namespace {namespace} {why}"),
    }
}

fn has_address(service: &Value, address: &str) -> bool {
    let is = |it: Option<&Value>| it.and_then(Value::as_str) == Some(address);
    let any = |pointer: &str| {
        let listed = service.pointer(pointer).and_then(Value::as_array);
        listed.is_some_and(|listed| listed.iter().any(|it| is(Some(it))))
    };
    let status = service
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    status.is_some_and(|status| {
        status
            .iter()
            .any(|it| is(it.get("ip")) || is(it.get("hostname")))
    }) || any("/spec/externalIPs")
        || any("/spec/clusterIPs")
        || is(service.pointer("/spec/clusterIP"))
        // Where the cloud has not confirmed it yet.
        || is(service.pointer("/spec/loadBalancerIP"))
}

fn has_port(service: &Value, field: &str, port: u16) -> bool {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let number = Some(u64::from(port));
    ports.is_some_and(|ports| {
        ports
            .iter()
            .any(|it| it.get(field).and_then(Value::as_u64) == number)
    })
}

fn has_host_port(pod: &Value, port: u16) -> bool {
    let number = Some(u64::from(port));
    // With the host's network the API server sets hostPort to containerPort
    // (kubernetes/kubernetes pkg/apis/core/v1/defaults.go `defaultHostNetworkPorts`).
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| {
        let ports = container.get("ports").and_then(Value::as_array);
        ports
            .into_iter()
            .flatten()
            .any(|it| it.get("hostPort").and_then(Value::as_u64) == number)
    })
}

fn uses_host_network(pod: &Value) -> bool {
    pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true))
}

fn is_running(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running"
}

fn lists(value: &Value, pointer: &str, field: &str, wanted: &str) -> bool {
    let listed = value.pointer(pointer).and_then(Value::as_array);
    let is_wanted = |it: &Value| it.get(field).and_then(Value::as_str) == Some(wanted);
    listed.is_some_and(|listed| listed.iter().any(is_wanted))
}

fn names(pods: &[&Value]) -> Vec<PodName> {
    let mut names: Vec<PodName> = pods
        .iter()
        .map(|it| PodName {
            namespace: text(it, "/metadata/namespace"),
            name: text(it, "/metadata/name"),
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(service: &str, pods: &[&str]) -> Value {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|it| json!({"addresses": ["10.0.0.9"], "targetRef": {"kind": "Pod", "name": it}}))
            .collect();
        json!({
            "metadata": {"namespace": "proxy", "labels": {"kubernetes.io/service-name": service}},
            "endpoints": endpoints,
        })
    }

    fn service(name: &str, port: u16, more: &Value) -> Value {
        let mut service = json!({
            "metadata": {"name": name, "namespace": "proxy"},
            "spec": {"ports": [{"port": port, "nodePort": 30080}]},
        });
        for (field, value) in more.as_object().unwrap() {
            service[field.as_str()] = match field.as_str() {
                "spec" => {
                    let mut spec = service["spec"].clone();
                    spec.as_object_mut()
                        .unwrap()
                        .extend(value.as_object().unwrap().clone());
                    spec
                }
                _ => value.clone(),
            };
        }
        service
    }

    fn pod(name: &str, ip: &str, host_network: bool, host_port: Option<u16>) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "proxy"},
            "spec": {
                "hostNetwork": host_network,
                "containers": [{"ports": [{"containerPort": 80, "hostPort": host_port}]}],
            },
            "status": {
                "phase": "Running", "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1",
            },
        })
    }

    fn found(behind: &Behind) -> String {
        match behind {
            Behind::Pods { pods, how } => {
                let names: Vec<&str> = pods.iter().map(|it| it.name.as_str()).collect();
                format!("{}: {how}", names.join(","))
            }
            Behind::Unknown { reason } => format!("unknown: {reason}"),
        }
    }

    #[test]
    fn a_service_that_has_the_address_comes_first() {
        let slices = [slice("lb", &["b", "a", "a"]), slice("other", &["x"])];
        for (address, more) in [
            (
                "203.0.113.9",
                json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}),
            ),
            (
                "lb.example",
                json!({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}}),
            ),
            (
                "198.51.100.7",
                json!({"spec": {"externalIPs": ["198.51.100.7"]}}),
            ),
            ("10.96.0.5", json!({"spec": {"clusterIP": "10.96.0.5"}})),
            (
                "fd00::5",
                json!({"spec": {"clusterIPs": ["10.96.0.5", "fd00::5"]}}),
            ),
        ] {
            let services = [service("other", 80, &json!({})), service("lb", 80, &more)];
            let behind = behind(address, 80, &services, &slices, &[]);
            assert_eq!(
                found(&behind),
                format!("a,b: service/lb in namespace proxy has the address {address}")
            );
        }
    }

    #[test]
    fn of_services_that_share_an_address_the_port_decides() {
        let shared = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}});
        let services = [service("other", 5432, &shared), service("lb", 443, &shared)];
        let slices = [slice("lb", &["a"]), slice("other", &["x"])];
        let behind = behind("203.0.113.9", 443, &services, &slices, &[]);
        assert!(found(&behind).starts_with("a: "), "{behind:?}");
    }

    #[test]
    fn a_pod_that_has_the_address_itself() {
        let pods = [
            pod("a", "10.0.0.7", false, None),
            pod("b", "10.0.0.8", false, None),
        ];
        let behind = behind("10.0.0.7", 80, &[], &[], &pods);
        assert_eq!(found(&behind), "a: the pod has the address 10.0.0.7");
    }

    #[test]
    fn of_the_pods_on_a_node_the_one_with_the_port() {
        let pods = [
            pod("kube-proxy", "192.0.2.1", true, Some(10256)),
            pod("proxy", "192.0.2.1", true, Some(80)),
            pod("app", "10.0.0.8", false, None),
        ];
        let at = |port, services: &[Value], slices: &[Value]| {
            found(&behind("192.0.2.1", port, services, slices, &pods))
        };
        assert_eq!(
            at(80, &[], &[]),
            "proxy: the pod has port 80 of the node 192.0.2.1"
        );
        assert!(at(443, &[], &[]).contains("none of its pods declares host port 443"));
        let services = [service("np", 80, &json!({}))];
        assert_eq!(
            at(30080, &services, &[slice("np", &["a"])]),
            "a: service/np in namespace proxy has port 30080 of the node 192.0.2.1"
        );
    }

    #[test]
    fn what_nobody_has_is_unknown_with_the_reason() {
        let unknown = behind(
            "203.0.113.1",
            80,
            &[],
            &[],
            &[pod("a", "10.0.0.7", false, None)],
        );
        assert_eq!(
            found(&unknown),
            "unknown: no Service, pod or node has the address 203.0.113.1"
        );
        let empty = [service(
            "lb",
            80,
            &json!({"spec": {"externalIPs": ["203.0.113.1"]}}),
        )];
        let unknown = behind("203.0.113.1", 80, &empty, &[], &[]);
        assert!(
            found(&unknown).contains("no pod is among its endpoints"),
            "{unknown:?}"
        );
    }
}
