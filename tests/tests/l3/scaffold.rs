//! What `kubectl infer scaffold` writes serves a real completion, through each entry that the lab
//! has. Only the model comes from the lab's directory, by a patch of the base as a person makes one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use infer_tests::exercise::node_lab;
use infer_tests::routers::{self, Router};
use infer_tests::space::Space;
use serde_json::{Value, json};
use xtask::lab::exercise;
use xtask::lab::session::Lab;

/// A scaffold's base below an overlay that brings the lab's model; the overlay.
fn overlay(space: &Space, via: &[&str]) -> PathBuf {
    let directory = space.lab.state.join("scaffold").join(&space.name);
    let base = directory.join("base").display().to_string();
    let host = host(space);
    let mut words = vec![
        "infer",
        "scaffold",
        "llama",
        "--runtime",
        "llama.cpp",
        "--image",
        "docker.io/lab/llama-server:pid1",
        "--model-source",
        "path:/models/tiny.gguf",
        "--longest-generation",
        "20s",
        "--host",
        &host,
        "-n",
        &space.name,
        "--output-dir",
        &base,
    ];
    words.extend(via);
    space.lab.kubectl_ok(&words, "").unwrap();
    let overlay = directory.join("lab");
    std::fs::create_dir_all(&overlay).unwrap();
    std::fs::write(
        overlay.join("kustomization.yaml"),
        kustomization(&space.lab.models),
    )
    .unwrap();
    overlay
}

fn host(space: &Space) -> String {
    format!("{}.lab", space.name)
}

/// JSON is YAML.
fn kustomization(models: &Path) -> String {
    let patch = json!([
        {"op": "add", "path": "/spec/template/spec/volumes",
            "value": [{"name": "models", "hostPath": {"path": models}}]},
        {"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts",
            "value": [{"name": "models", "mountPath": "/models", "readOnly": true}]},
        {"op": "add", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Never"},
    ]);
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../base"],
        "patches": [{"target": {"kind": "Deployment"}, "patch": patch.to_string()}],
    })
    .to_string()
}

/// Applies the overlay, waits for the rollout, and asks `complete` until it answers 200.
fn completes(space: &Space, overlay: &Path, complete: impl Fn(&str) -> (u16, Value)) {
    space.ok(
        &[
            "apply",
            "--validate=strict",
            "-k",
            &overlay.display().to_string(),
        ],
        "",
    );
    let rollout = ["rollout", "status", "deployment/llama", "--timeout=60s"];
    let output = space.run(&rollout, "");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&space.run(&["describe", "pods"], "").stdout)
    );
    let host = host(space);
    let until = Instant::now() + Duration::from_secs(15);
    let answer = loop {
        let (status, answer) = complete(&host);
        if status == 200 {
            break answer;
        }
        assert!(Instant::now() < until, "{host} gives {status}: {answer}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(answer["usage"]["completion_tokens"], 12, "{answer}");
    // Another host leads nowhere: it was the entry that answered.
    assert_eq!(complete("nobody.lab").0, 404);
}

/// Takes it away, so that the next test has the machine to itself.
fn end(space: &Space, overlay: &Path) {
    let overlay = overlay.display().to_string();
    space.run(&["delete", "-k", &overlay, "--wait=false"], "");
    let at_once = [
        "delete",
        "pods",
        "--all",
        "--grace-period=0",
        "--force",
        "--timeout=20s",
    ];
    space.run(&at_once, "");
}

/// A completion of twelve tokens through the lab's NGINX.
fn through_nginx(lab: &Lab) -> impl Fn(&str) -> (u16, Value) {
    let nginx = exercise::nginx(lab).unwrap();
    move |host| {
        let body = json!({"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 12});
        let output = Command::new("curl")
            .args([
                "-sS",
                "-m",
                "20",
                "-w",
                "\n%{http_code}",
                "--connect-to",
                &format!("::{nginx}"),
            ])
            .args([
                "-H",
                "content-type: application/json",
                "-d",
                &body.to_string(),
            ])
            .arg(format!("http://{host}/v1/chat/completions"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = said.rsplit_once('\n').unwrap();
        let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
        (status.trim().parse().unwrap_or(0), body)
    }
}

#[test]
fn a_scaffold_for_nginx_serves_a_completion() {
    let Some(lab) = node_lab() else { return };
    let space = Space::in_group(lab.clone(), "scaffold-nginx", None);
    let overlay = overlay(
        &space,
        &["--via", "ingress-nginx", "--ingress-class", "lab-nginx"],
    );
    completes(&space, &overlay, through_nginx(&lab));
    end(&space, &overlay);
}

#[test]
fn a_scaffold_for_istio_serves_a_completion() {
    let Some(lab) = node_lab() else { return };
    let Some(istio) = routers::asked(Router::Istio) else {
        return;
    };
    let space = Space::in_group(lab, "scaffold-istio", None);
    let overlay = overlay(&space, &["--via", "istio"]);
    completes(&space, &overlay, |host| istio.complete(host, 12));
    end(&space, &overlay);
}

#[test]
fn a_scaffold_for_contour_serves_a_completion() {
    let Some(lab) = node_lab() else { return };
    let Some(contour) = routers::asked(Router::Contour) else {
        return;
    };
    let space = Space::in_group(lab, "scaffold-contour", None);
    let overlay = overlay(&space, &["--via", "contour"]);
    completes(&space, &overlay, |host| contour.complete(host, 12));
    end(&space, &overlay);
}
