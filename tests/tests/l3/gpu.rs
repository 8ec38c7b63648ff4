//! A GPU limit is filled in only where a GPU is meant, so no CPU pod is stranded by it.

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::installed;
use infer_tests::space::{Space, poll};
use serde_json::{Value, json};

#[test]
fn a_cpu_pod_is_not_stranded_by_an_injected_limit() {
    let Some(lab) = node_lab() else { return };
    installed::install(&lab);
    let wanted = Wanted {
        model: "tiny",
        replicas: 1,
        ..Wanted::default()
    };
    let cpu = Exercise::start(Space::in_scope(lab.clone(), "cpu-pod"), &wanted);
    let limits =
        &cpu.space.template("deployment/llama")["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(limits["nvidia.com/gpu"], Value::Null);

    // The same server of an image that means a GPU: the limit comes, and the node has one.
    let space = Space::in_scope(lab, "gpu-pod");
    let patch = |count: Option<&str>| {
        let mut container =
            json!({"name": "server", "image": "docker.io/lab/llama-server:server-cuda"});
        if let Some(count) = count {
            container["resources"] = json!({"limits": {"nvidia.com/gpu": count}});
        }
        json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string()
    };
    let gpu = Exercise::apply(space, &wanted);
    gpu.space
        .ok(&["patch", "deployment/llama", "-p", &patch(None)], "");
    let limits =
        gpu.space.template("deployment/llama")["spec"]["containers"][0]["resources"]["limits"]
            .clone();
    assert_eq!(limits["nvidia.com/gpu"], "1", "{limits}");
    // Its image does not exist here, so it cannot run; what counts is that the scheduler places it.
    let scheduled = |wanted: &str| {
        gpu.pods().iter().any(|pod| {
            let limit = &pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"];
            let conditions = pod["status"]["conditions"].as_array();
            let placed = conditions
                .into_iter()
                .flatten()
                .find(|c| c["type"] == "PodScheduled");
            !limit.is_null() && placed.is_some_and(|condition| condition["status"] == wanted)
        })
    };
    poll("a pod with one GPU is placed", || scheduled("True"));
    // The control: more than the node has strands it.
    gpu.space
        .ok(&["patch", "deployment/llama", "-p", &patch(Some("3"))], "");
    poll("a pod with three GPUs is not", || scheduled("False"));
    gpu.end();
    cpu.end();
}
