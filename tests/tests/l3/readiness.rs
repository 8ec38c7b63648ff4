//! A pod is ready only when its weights are loaded.

use std::time::{Duration, Instant};

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::installed;
use infer_tests::space::Space;
use serde_json::Value;

/// What one look at a pod saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// The pod's condition Ready.
    ready: bool,
    /// What `/health` answered right after; 0 for nothing.
    health: u16,
}

fn look(exercise: &Exercise) -> Option<Look> {
    let pods = exercise.pods();
    let pod = pods.first()?;
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True");
    let ip = pod["status"]["podIP"].as_str()?;
    let url = format!("http://{ip}:8080/health");
    let output = std::process::Command::new("curl")
        .args([
            "-s",
            "-m",
            "2",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ])
        .output()
        .unwrap();
    let health = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap_or(0);
    Some(Look { ready, health })
}

#[test]
fn while_health_says_503_our_pod_is_not_ready_and_the_control_is() {
    let Some(lab) = node_lab() else { return };
    installed::install(&lab);
    // The big model takes seconds to load.
    let wanted = Wanted {
        model: "big",
        replicas: 1,
        slots: 1,
        context: 512,
        cpu: "1",
        readiness: false,
        ..Wanted::default()
    };
    let ours = Exercise::apply(Space::in_scope(lab.clone(), "loads"), &wanted);
    let control = Exercise::apply(Space::in_group(lab, "loads-control", None), &wanted);
    let template = ours.space.template("deployment/llama");
    let container = &template["spec"]["containers"][0];
    assert_ne!(container["readinessProbe"], Value::Null, "{template}");

    let (mut of_ours, mut of_control) = (Vec::new(), Vec::new());
    let until = Instant::now() + Duration::from_secs(90);
    let loaded = Look {
        ready: true,
        health: 200,
    };
    while of_ours.last() != Some(&loaded) || of_control.last() != Some(&loaded) {
        of_ours.extend(look(&ours));
        of_control.extend(look(&control));
        assert!(
            Instant::now() < until,
            "ours {of_ours:?}\ncontrol {of_control:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let (loading, too_early) = (
        Look {
            ready: false,
            health: 503,
        },
        Look {
            ready: true,
            health: 503,
        },
    );
    assert!(
        of_ours.contains(&loading),
        "the loading was not seen: {of_ours:?}"
    );
    assert!(
        !of_ours.contains(&too_early),
        "ready before it could answer: {of_ours:?}"
    );
    assert!(
        of_control.contains(&too_early),
        "the control shows no flaw: {of_control:?}"
    );
    ours.end();
    control.end();
}
