//! Controllers, by the classes that name them.

use crate::{all, definition, of, of_facts, one, says, workload};
use infer_doctor::{Facts, Served, Status};
use serde_json::{Value, json};

fn class(name: &str, controller: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name}, "spec": {"controller": controller},
    })
}

fn gateway_class(accepted: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": "eg"},
        "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "status": {"conditions": [{"type": "Accepted", "status": accepted, "reason": "Pending",
            "message": "Waiting for controller"}]},
    })
}

#[test]
fn a_class_is_what_its_controller_is_and_not_what_its_name_says() {
    let old = one(
        &of(&[class("nginx", "k8s.io/ingress-nginx")]),
        "controller-retired",
    );
    says(
        &old,
        Status::Warning,
        "ingress-nginx, version unknown, retired",
    );
    says(&old, Status::Warning, "not by its name");
    let other = one(
        &of(&[class("nginx", "nginx.org/ingress-controller")]),
        "class-controller",
    );
    says(&other, Status::Ok, "F5 NGINX Ingress Controller");
    let own = one(
        &of(&[class("nginx", "example.com/own")]),
        "class-controller",
    );
    says(&own, Status::Unknown, "does not know");
    says(&own, Status::Unknown, "example.com/own");
}

#[test]
fn a_version_is_that_of_the_image_that_runs() {
    let image = "registry.k8s.io/ingress-nginx/controller:v1.14.5";
    let objects = [
        class("a", "k8s.io/ingress-nginx"),
        workload("n", "c", image),
    ];
    let found = one(&of(&objects), "controller-retired");
    says(&found, Status::Warning, "ingress-nginx v1.14.5, retired");
    let strange = workload("n", "c", "registry.k8s.io/other/controller:v9.9.9");
    let found = one(&of(&[objects[0].clone(), strange]), "controller-retired");
    says(&found, Status::Warning, "version unknown");
    let mut down = objects[1].clone();
    down["status"] = json!({});
    let found = one(&of(&[objects[0].clone(), down]), "controller-retired");
    says(&found, Status::Error, "not running");
    assert!(found.next.unwrap().command.contains("get pods -l app=c"));
}

#[test]
fn a_controller_that_runs_and_that_no_class_names_is_told() {
    let envoy = workload("eg", "envoy-gateway", "docker.io/envoyproxy/gateway:v1.9.0");
    let found = one(
        &of(std::slice::from_ref(&envoy)),
        "controller-without-class",
    );
    says(
        &found,
        Status::Note,
        "Envoy Gateway v1.9.0 runs here, no class names it",
    );
    let with = of(&[envoy, gateway_class("True")]);
    assert!(all(&with, "controller-without-class").is_empty());
    says(
        &one(&with, "class-controller"),
        Status::Ok,
        "Envoy Gateway v1.9.0",
    );
}

#[test]
fn a_gateway_class_that_is_not_accepted_is_told() {
    let found = one(&of(&[gateway_class("Unknown")]), "class-controller");
    says(
        &found,
        Status::Warning,
        "reason Pending: Waiting for controller",
    );
    says(
        &one(&of(&[gateway_class("True")]), "class-controller"),
        Status::Ok,
        "Envoy Gateway",
    );
}

#[test]
fn the_default_class_is_one_none_or_too_many() {
    let default = |name: &str, is_default: bool| {
        let mut class = class(name, "traefik.io/ingress-controller");
        if is_default {
            class["metadata"]["annotations"] =
                json!({"ingressclass.kubernetes.io/is-default-class": "true"});
        }
        class
    };
    let found = |objects: &[Value]| one(&of(objects), "default-class");
    says(&found(&[default("a", true)]), Status::Ok, "gets a");
    says(
        &found(&[default("a", false)]),
        Status::Note,
        "Traefik serves an Ingress without",
    );
    let nginx = class("b", "k8s.io/ingress-nginx");
    says(
        &found(std::slice::from_ref(&nginx)),
        Status::Note,
        "served by nobody",
    );
    let two = found(&[default("a", true), default("c", true), nginx]);
    says(&two, Status::Warning, "2 default IngressClasses: a, c");
    assert!(
        all(&of(&[]), "default-class").is_empty(),
        "no class, no default"
    );
}

#[test]
fn the_gateway_api_is_served_in_a_release_or_not() {
    let mut crd = definition("gateway.networking.k8s.io", "gatewayclasses");
    says(
        &one(&of(&[]), "gateway-api-served"),
        Status::Note,
        "not installed",
    );
    says(
        &one(&of(std::slice::from_ref(&crd)), "gateway-api-served"),
        Status::Ok,
        "release unknown",
    );
    crd["metadata"]["annotations"] = json!({
        "gateway.networking.k8s.io/bundle-version": "v1.6.1",
        "gateway.networking.k8s.io/channel": "experimental",
    });
    says(
        &one(&of(std::slice::from_ref(&crd)), "gateway-api-served"),
        Status::Ok,
        "v1.6.1, experimental",
    );
    crd["spec"]["versions"] = json!([{"name": "v1beta1"}]);
    says(
        &one(&of(&[crd]), "gateway-api-served"),
        Status::Warning,
        "v1 is not served",
    );
}

#[test]
fn a_service_monitor_is_served_or_charts_that_make_one_fail() {
    let crd = definition("monitoring.coreos.com", "servicemonitors");
    says(
        &one(&of(&[crd]), "service-monitor-served"),
        Status::Ok,
        "is served",
    );
    // The group alone, of another kind of it.
    let crd = definition("monitoring.coreos.com", "podmonitors");
    let found = one(&of(&[crd]), "service-monitor-served");
    says(&found, Status::Note, "serviceMonitor.enabled=true");
    // An API server that answers with groups only.
    let mut facts = Facts::of_objects(&[], crate::NOW);
    let group =
        json!({"groups": [{"name": "monitoring.coreos.com", "versions": [{"version": "v1"}]}]});
    facts.served = Ok(Served::of(&group));
    says(
        &one(&of_facts(&facts), "service-monitor-served"),
        Status::Ok,
        "most likely",
    );
}

#[test]
fn aggregated_discovery_is_read() {
    let served = Served::of(&json!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "resources": [{"resource": "deployments"}]}]}]}));
    assert_eq!(served.versions("apps"), ["v1"]);
    assert_eq!(served.has("apps", "deployments"), Some(true));
    assert_eq!(served.has("apps", "others"), Some(false));
    assert_eq!(served.has("batch", "jobs"), Some(false));
    assert!(served.versions("batch").is_empty());
}
