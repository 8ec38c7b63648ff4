//! Routes of Gateway API and of Istio, written as the Ingress that says the same: hosts, paths and
//! Services, with the address of the Gateway in front as its status. One reader then finds the way in.

use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::route::ServiceName;
use serde_json::{Value, json};

/// An HTTPRoute as an Ingress. `gateways` are those that it asks for, as far as they were read.
pub(super) fn of_http_route(route: &Value, gateways: &[Value]) -> Value {
    let own = object::namespace(route);
    let listener = gateways
        .iter()
        .zip(items(route, "/spec/parentRefs"))
        .find_map(|(gateway, parent)| listener(gateway, parent));
    let hosts = strings(route, "/spec/hostnames");
    let hosts = if hosts.is_empty() {
        vec![listener.map_or("", |it| text(it, "/hostname"))]
    } else {
        hosts
    };
    let mut paths = Vec::new();
    for rule in items(route, "/spec/rules") {
        let mut at: Vec<(&str, &str)> = items(rule, "/matches")
            .iter()
            .map(|it| match text(it, "/path/type") {
                "Exact" => (text(it, "/path/value"), "Exact"),
                "RegularExpression" => (text(it, "/path/value"), "ImplementationSpecific"),
                _ => (text(it, "/path/value"), "Prefix"),
            })
            .collect();
        if at.is_empty() {
            at.push(("/", "Prefix"));
        }
        let services = items(rule, "/backendRefs")
            .iter()
            .filter(|it| matches!(text(it, "/kind"), "" | "Service"))
            .filter(|it| matches!(text(it, "/namespace"), "") || text(it, "/namespace") == own)
            .map(|it| (text(it, "/name"), it.at("/port").cloned()));
        push(&mut paths, &at, services);
    }
    let secure = listener.is_some_and(|it| text(it, "/protocol") == "HTTPS");
    let port = listener.and_then(|it| it.at("/port")?.as_u64());
    let addresses = gateways
        .iter()
        .flat_map(|gateway| items(gateway, "/status/addresses"))
        .map(|it| match text(it, "/type") {
            "Hostname" => json!({"hostname": text(it, "/value")}),
            _ => json!({"ip": text(it, "/value")}),
        });
    ingress(route, &hosts, &paths, secure, port, addresses.collect())
}

/// The listener that a parentRef leads to: the named one, else the first that speaks HTTP.
fn listener<'a>(gateway: &'a Value, parent: &Value) -> Option<&'a Value> {
    let named = text(parent, "/sectionName");
    let port = parent.at("/port");
    items(gateway, "/spec/listeners").iter().find(|it| {
        matches!(text(it, "/protocol"), "HTTP" | "HTTPS")
            && (named.is_empty() || text(it, "/name") == named)
            && (port.is_none() || it.at("/port") == port)
    })
}

/// A VirtualService as an Ingress. `gateways` are the Istio Gateways that it names, as far as they
/// were read; `services` those of the cluster, for the address of the gateway's pods.
pub(super) fn of_virtual_service(route: &Value, gateways: &[Value], services: &[Value]) -> Value {
    let own = object::namespace(route);
    let hosts = strings(route, "/spec/hosts");
    let server = gateways.iter().find_map(|gateway| {
        let servers = items(gateway, "/spec/servers").iter();
        let mut http = servers.filter(|it| {
            let protocol = text(it, "/port/protocol");
            matches!(protocol, "HTTP" | "HTTPS" | "HTTP2")
        });
        http.next().map(|server| (gateway, server))
    });
    let mut paths = Vec::new();
    for http in items(route, "/spec/http") {
        let mut at: Vec<(&str, &str)> = items(http, "/match")
            .iter()
            .filter_map(|it| {
                let exact = (text(it, "/uri/exact"), "Exact");
                let prefix = (text(it, "/uri/prefix"), "Prefix");
                let regex = (text(it, "/uri/regex"), "ImplementationSpecific");
                [exact, prefix, regex]
                    .into_iter()
                    .find(|it| !it.0.is_empty())
            })
            .collect();
        if at.is_empty() {
            at.push(("/", "Prefix"));
        }
        let destinations = items(http, "/route").iter().filter_map(|it| {
            let host = it.at("/destination/host")?.as_str()?;
            let service = ServiceName::of_host(host, own).filter(|it| it.namespace == own)?;
            Some((service.name, it.at("/destination/port/number").cloned()))
        });
        push(&mut paths, &at, destinations);
    }
    let secure = server.is_some_and(|(_, server)| text(server, "/port/protocol") == "HTTPS");
    let port = server.and_then(|(_, server)| server.at("/port/number")?.as_u64());
    // The selector is of pods; a Service that selects by all of it leads to them.
    let selector = server.and_then(|(gateway, _)| gateway.at("/spec/selector")?.as_object());
    let leads = |service: &&Value| {
        let selects = service.at("/spec/selector").and_then(Value::as_object);
        selector.is_some_and(|wanted| {
            !wanted.is_empty()
                && wanted
                    .iter()
                    .all(|(key, value)| selects.is_some_and(|it| it.get(key) == Some(value)))
        })
    };
    let addresses = services
        .iter()
        .filter(leads)
        .flat_map(|service| items(service, "/status/loadBalancer/ingress"))
        .map(|it| json!({"ip": text(it, "/ip"), "hostname": text(it, "/hostname")}));
    ingress(route, &hosts, &paths, secure, port, addresses.collect())
}

fn push<'a>(
    paths: &mut Vec<Value>,
    at: &[(&str, &str)],
    services: impl Iterator<Item = (&'a str, Option<Value>)>,
) {
    for (service, port) in services {
        for (path, kind) in at {
            let path = if path.is_empty() { "/" } else { path };
            let port = json!({"number": port});
            paths.push(json!({"path": path, "pathType": kind,
                "backend": {"service": {"name": service, "port": port}}}));
        }
    }
}

fn ingress(
    route: &Value,
    hosts: &[&str],
    paths: &[Value],
    secure: bool,
    port: Option<u64>,
    addresses: Vec<Value>,
) -> Value {
    let rules: Vec<Value> = hosts
        .iter()
        .map(|host| match *host {
            "" | "*" => json!({"http": {"paths": paths}}),
            host => json!({"host": host, "http": {"paths": paths}}),
        })
        .collect();
    let ports: Vec<Value> = port
        .map(|port| json!({"port": port, "protocol": "TCP"}))
        .into_iter()
        .collect();
    let status: Vec<Value> = addresses
        .into_iter()
        .map(|mut address| {
            address["ports"] = json!(ports);
            address
        })
        .collect();
    let tls = if secure {
        json!([{"hosts": hosts}])
    } else {
        json!([])
    };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": object::name(route), "namespace": object::namespace(route)},
        "spec": {"rules": rules, "tls": tls},
        "status": {"loadBalancer": {"ingress": status}},
    })
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let items = value.at(pointer).and_then(Value::as_array);
    items.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .at(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn strings<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let items = items(value, pointer).iter();
    items.filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_cluster::address::{backend, entrance};
    use infer_core::route::backends;

    fn services(ingress: &Value) -> Vec<&str> {
        backends(ingress)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn an_http_route_by_the_address_of_its_gateway() {
        let route = json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "n"},
            "spec": {"hostnames": ["a.local"], "parentRefs": [{"name": "g", "sectionName": "web"}],
                "rules": [
                    {"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
                     "backendRefs": [{"name": "stable", "port": 80, "weight": 90},
                                     {"name": "canary", "port": 80, "weight": 10},
                                     {"name": "other", "namespace": "m", "port": 80},
                                     {"kind": "InferencePool", "name": "pool"}]},
                    {"backendRefs": [{"name": "site", "port": 80}]}]}});
        let gateway = json!({"spec": {"listeners": [
                {"name": "tls", "protocol": "TLS", "port": 8443},
                {"name": "web", "protocol": "HTTP", "port": 8080}]},
            "status": {"addresses": [{"type": "IPAddress", "value": "10.0.0.1"}]}});
        let ingress = of_http_route(&route, &[gateway]);
        assert_eq!(services(&ingress), ["stable", "canary", "site"]);
        let found = entrance(&ingress, None, None).unwrap();
        assert_eq!(
            (
                found.address.as_str(),
                found.port,
                found.tls,
                found.path.as_str()
            ),
            ("10.0.0.1", 8080, false, "/v1")
        );
        let reached = backend(&ingress, Some("a.local"), "/v1/models").unwrap();
        assert_eq!(reached.service, "stable");
        assert_eq!(
            backend(&ingress, Some("a.local"), "/").unwrap().service,
            "site"
        );
        assert!(entrance(&of_http_route(&route, &[]), None, None).is_err());
    }

    #[test]
    fn a_virtual_service_by_the_service_of_its_gateway_s_pods() {
        let route = json!({"kind": "VirtualService", "metadata": {"name": "v", "namespace": "n"},
            "spec": {"hosts": ["a.local"], "gateways": ["g"], "http": [
                {"match": [{"uri": {"prefix": "/v1"}}], "route": [
                    {"destination": {"host": "llama", "subset": "stable"}, "weight": 90},
                    {"destination": {"host": "llama.n.svc.cluster.local"}, "weight": 10},
                    {"destination": {"host": "else.m.svc.cluster.local"}}]}]}});
        let gateway = json!({"spec": {"selector": {"istio": "ingressgateway"}, "servers": [
            {"port": {"number": 443, "protocol": "HTTPS"}, "hosts": ["*"]}]}});
        let service = |name: &str, selector: Value, ip: &str| {
            json!({"metadata": {"name": name}, "spec": {"selector": selector},
                "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}})
        };
        let known = [
            service("other", json!({"app": "x"}), "10.0.0.9"),
            service(
                "gateway",
                json!({"app": "i", "istio": "ingressgateway"}),
                "10.0.0.2",
            ),
        ];
        let ingress = of_virtual_service(&route, &[gateway], &known);
        assert_eq!(services(&ingress), ["llama"]);
        let found = entrance(&ingress, None, None).unwrap();
        assert_eq!(
            (found.address.as_str(), found.port, found.tls),
            ("10.0.0.2", 443, true)
        );
    }
}
