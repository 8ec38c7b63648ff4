//! A rolling update of the webhook's own pods loses no review.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use infer_tests::exercise::node_lab;
use infer_tests::installed;
use infer_tests::space::Space;
use serde_json::{Value, json};

fn server(name: &str) -> String {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
    "replicas": 0, "selector": {"matchLabels": {"app": name}},
    "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{
        "name": "server", "image": "ghcr.io/ggml-org/llama.cpp:server",
        "args": ["-m", "/models/m.gguf", "--host", "0.0.0.0", "--port", "8080"],
    }]}}}})
    .to_string()
}

#[test]
fn every_object_is_stored_with_its_fixes_while_the_webhook_rolls() {
    let Some(lab) = node_lab() else { return };
    installed::install(&lab);
    let space = Space::in_scope(lab.clone(), "under-load");
    let rolling = AtomicBool::new(true);
    let made: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (space, rolling) = (&space, &rolling);
                scope.spawn(move || {
                    let mut made = 0;
                    while rolling.load(Ordering::SeqCst) {
                        let name = format!("server-{worker}-{made}");
                        space.ok(&["create", "-f", "-"], &server(&name));
                        made += 1;
                    }
                    made
                })
            })
            .collect();
        for _ in 0..2 {
            let deployment = "deployment/infer-webhook";
            let webhook = |arguments: &[&str]| {
                let arguments = [&["-n", installed::NAMESPACE], arguments].concat();
                lab.kubectl_ok(&arguments, "").unwrap();
            };
            webhook(&["rollout", "restart", deployment]);
            webhook(&["rollout", "status", deployment, "--timeout=90s"]);
            // The old pods are still going: their last reviews count too.
            let until = Instant::now() + Duration::from_secs(5);
            while Instant::now() < until {
                thread::sleep(Duration::from_millis(200));
            }
        }
        rolling.store(false, Ordering::SeqCst);
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    assert!(made >= 50, "only {made} objects were made meanwhile");
    let output = space.run(&["get", "deployments", "-o", "json"], "");
    let stored: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stored = stored["items"].as_array().unwrap();
    assert_eq!(stored.len(), made);
    let bare: Vec<&str> = stored
        .iter()
        .filter(|object| {
            object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"].is_null()
        })
        .filter_map(|object| object["metadata"]["name"].as_str())
        .collect();
    assert!(
        bare.is_empty(),
        "{} of {made} were stored without fixes: {bare:?}",
        bare.len()
    );
}
