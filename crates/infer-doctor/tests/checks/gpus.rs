//! Accelerators that are asked for, against those that nodes offer.

use crate::{all, of, of_facts, one, says, workload};
use infer_doctor::{Facts, Status};
use serde_json::{Value, json};

fn node(name: &str, gpus: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"product": "l4"}},
        "spec": {}, "status": {"capacity": {"nvidia.com/gpu": gpus},
            "allocatable": {"nvidia.com/gpu": gpus, "cpu": "8"}},
    })
}

/// A server of so many pods that each ask for so many.
fn server(pods: u64, gpus: u64) -> Value {
    let mut server = workload("n", "llama", "ghcr.io/ggml-org/llama.cpp:server-cuda");
    server["spec"]["replicas"] = json!(pods);
    server["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"limits": {"nvidia.com/gpu": gpus}});
    server["status"] = json!({});
    server
}

#[test]
fn a_pod_must_fit_on_one_node() {
    let fits = of(&[node("a", "2"), server(1, 2)]);
    says(&one(&fits, "gpus-fit"), Status::Ok, "there is room");
    says(
        &one(&fits, "gpus-offered"),
        Status::Ok,
        "2 of nvidia.com/gpu, 2 asked for on 1 node",
    );
    // Two nodes have as many together.
    let spread = of(&[node("a", "1"), node("b", "1"), server(1, 2)]);
    let found = one(&spread, "gpus-fit");
    says(
        &found,
        Status::Error,
        "the largest node offers 1 of nvidia.com/gpu",
    );
    says(
        &one(&spread, "gpus-offered"),
        Status::Ok,
        "2 of nvidia.com/gpu",
    );
    let none = of(&[node("a", "0"), server(1, 2)]);
    says(
        &one(&none, "gpus-fit"),
        Status::Error,
        "no node offers nvidia.com/gpu",
    );
    says(
        &one(&none, "gpus-offered"),
        Status::Error,
        "no accelerator on 1 node",
    );
    let nobody = of(&[node("a", "0")]);
    says(
        &one(&nobody, "gpus-offered"),
        Status::Note,
        "no workload asks",
    );
}

#[test]
fn all_its_pods_need_room() {
    let found = of(&[node("a", "2"), node("b", "1"), server(4, 1)]);
    says(
        &one(&found, "gpus-fit"),
        Status::Warning,
        "room for 3 of 4 pods",
    );
    says(
        &one(&found, "gpus-offered"),
        Status::Warning,
        "not all pods",
    );
    let found = of(&[node("a", "2"), node("b", "1"), server(3, 1)]);
    says(&one(&found, "gpus-fit"), Status::Ok, "there is room");
    let found = of(&[node("a", "3"), server(2, 2)]);
    says(
        &one(&found, "gpus-fit"),
        Status::Warning,
        "room for 1 of 2 pods",
    );
}

#[test]
fn what_runs_is_not_doubted() {
    let mut running = server(1, 4);
    running["status"] = json!({"readyReplicas": 1});
    says(
        &one(&of(&[node("a", "1"), running]), "gpus-fit"),
        Status::Ok,
        "all pods are ready",
    );
    says(
        &one(&of(&[node("a", "1"), server(0, 4)]), "gpus-fit"),
        Status::Note,
        "no node fits",
    );
}

#[test]
fn taints_labels_and_cordons_keep_pods_away() {
    let mut tainted = node("a", "1");
    tainted["spec"]["taints"] = json!([{"key": "team", "value": "x", "effect": "NoSchedule"}]);
    let found = one(&of(&[tainted.clone(), server(1, 1)]), "gpus-fit");
    says(&found, Status::Error, "team=x:NoSchedule");
    let mut tolerant = server(1, 1);
    let spec = "/spec/template/spec";
    let tolerations = json!([{"key": "team", "operator": "Equal", "value": "x"}]);
    tolerant.pointer_mut(spec).unwrap()["tolerations"] = tolerations;
    says(
        &one(&of(&[tainted.clone(), tolerant]), "gpus-fit"),
        Status::Ok,
        "there is room",
    );
    tainted["spec"]["taints"][0]["effect"] = json!("PreferNoSchedule");
    says(
        &one(&of(&[tainted.clone(), server(1, 1)]), "gpus-fit"),
        Status::Ok,
        "there is room",
    );
    // The resource's own taint is one that an admission plugin may let through.
    tainted["spec"]["taints"] = json!([{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]);
    let found = one(&of(&[tainted, server(1, 1)]), "gpus-fit");
    says(&found, Status::Warning, "ExtendedResourceToleration");

    let mut picky = server(1, 1);
    picky.pointer_mut(spec).unwrap()["nodeSelector"] = json!({"product": "h100"});
    let found = one(&of(&[node("a", "1"), picky.clone()]), "gpus-fit");
    says(&found, Status::Error, "product=h100");
    picky.pointer_mut(spec).unwrap()["nodeSelector"] = json!({"product": "l4"});
    says(
        &one(&of(&[node("a", "1"), picky]), "gpus-fit"),
        Status::Ok,
        "there is room",
    );

    let mut cordoned = node("a", "1");
    cordoned["spec"] = json!({"unschedulable": true,
        "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]});
    says(
        &one(&of(&[cordoned, server(1, 1)]), "gpus-fit"),
        Status::Error,
        "cordoned",
    );
}

#[test]
fn sidecars_add_up_and_init_containers_do_not() {
    let ask = |gpus: u64, sidecar: bool| {
        let mut container = json!({"name": "i", "resources": {"limits": {"nvidia.com/gpu": gpus}}});
        if sidecar {
            container["restartPolicy"] = json!("Always");
        }
        let mut server = server(1, 1);
        server["spec"]["template"]["spec"]["initContainers"] = json!([container]);
        let found = one(&of(&[node("a", "1"), server]), "gpus-fit");
        found.message
    };
    assert!(ask(1, false).contains("asks for 1 of"), "{}", ask(1, false));
    assert!(ask(1, true).contains("asks for 2 of"), "{}", ask(1, true));
    assert!(ask(3, false).contains("asks for 3 of"), "{}", ask(3, false));
}

#[test]
fn an_unhealthy_device_is_told() {
    let mut node = node("a", "4");
    assert!(all(&of(std::slice::from_ref(&node)), "gpu-unhealthy").is_empty());
    node["status"]["allocatable"]["nvidia.com/gpu"] = json!("0");
    let found = one(&of(&[node]), "gpu-unhealthy");
    says(
        &found,
        Status::Warning,
        "node a has 4 of nvidia.com/gpu and offers 0",
    );
}

#[test]
fn claims_are_not_compared_and_said_so() {
    let mut server = workload("n", "llama", "ghcr.io/ggml-org/llama.cpp:server-cuda");
    server["spec"]["template"]["spec"]["resourceClaims"] = json!([{"name": "gpu"}]);
    says(
        &one(&of(&[node("a", "1"), server]), "gpus-fit"),
        Status::Unknown,
        "DRA",
    );
}

#[test]
fn only_the_namespaces_that_are_meant_count() {
    let mut facts = Facts::of_objects(&[node("a", "1"), server(1, 4)], crate::NOW);
    assert_eq!(all(&of_facts(&facts), "gpus-fit").len(), 1);
    facts.namespaces = vec!["other".to_owned()];
    assert!(all(&of_facts(&facts), "gpus-fit").is_empty());
    facts.namespaces = vec!["n".to_owned()];
    assert_eq!(all(&of_facts(&facts), "gpus-fit").len(), 1);
}
