//! A canary of the plugin's own on a real node, behind each router of the lab, and what is left of it.

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::flawed::{Answer, STABLE, STABLE_NAME, Version, Versions};
use crate::routers::{Asked, Router};

/// The way that clients come by.
#[derive(Debug)]
pub enum Way {
    /// The lab's NGINX, by an Ingress; the canary by a second one.
    Nginx,
    /// Istio's gateway, by a VirtualService.
    Istio(Asked),
    /// Contour, by an HTTPRoute.
    Contour(Asked),
}

impl Way {
    /// Its name in tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Way::Nginx => "NGINX, canary Ingress",
            Way::Istio(_) => "Istio gateway, VirtualService",
            Way::Contour(_) => "Contour, HTTPRoute",
        }
    }

    /// The router; none for NGINX.
    #[must_use]
    pub fn router(&self) -> Option<Router> {
        match self {
            Way::Nginx => None,
            Way::Istio(_) => Some(Router::Istio),
            Way::Contour(_) => Some(Router::Contour),
        }
    }

    /// Where its Envoy listens.
    fn envoy(&self) -> Option<SocketAddr> {
        match self {
            Way::Nginx => None,
            Way::Istio(asked) | Way::Contour(asked) => Some(SocketAddr::from(asked.http)),
        }
    }

    /// Makes it lead to the stable version.
    ///
    /// # Panics
    ///
    /// When the API server refuses.
    pub fn open(&self, versions: &Versions) {
        let host = &versions.host;
        let items = match self {
            Way::Nginx => return,
            Way::Istio(_) => vec![
                json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
                    "metadata": {"name": "models"},
                    "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{"port":
                        {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}]}}),
                json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                    "metadata": {"name": STABLE_NAME},
                    "spec": {"hosts": [host], "gateways": ["models"], "http": [{"route": [
                        {"destination": {"host": STABLE_NAME, "port": {"number": 80}}}]}]}}),
            ],
            Way::Contour(_) => vec![
                json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                    "metadata": {"name": STABLE_NAME},
                    "spec": {"parentRefs": [{"name": "contour", "namespace": "projectcontour"}],
                        "hostnames": [host],
                        "rules": [{"backendRefs": [{"name": STABLE_NAME, "port": 80}]}]}}),
            ],
        };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        versions.space.apply(&list.to_string());
    }

    /// The flags that lead the plugin through it.
    #[must_use]
    pub fn flags(&self, versions: &Versions) -> Vec<String> {
        let route = match self {
            Way::Nginx => return Vec::new(),
            Way::Istio(_) => "virtualservice",
            Way::Contour(_) => "httproute",
        };
        let mut flags = vec![format!("--route={route}/{STABLE_NAME}")];
        if let Some(envoy) = self.envoy() {
            // A router of the lab is no pod, so its address is in no status.
            // Nor is its log one of a pod's: who answered says the server itself.
            flags.push("--replica-header=x-lab-pod".to_owned());
            flags.push(format!(
                "--resolve={}:{}:{}",
                versions.host,
                envoy.port(),
                envoy.ip()
            ));
        }
        flags
    }
}

/// How a canary ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// The document.
    pub report: Value,
    /// What was told meanwhile.
    pub told: String,
    /// From start to end.
    pub took: Duration,
}

impl Ran {
    /// Whether it was promoted.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        self.code == 0 && self.report["state"]["end"]["as"] == "promoted"
    }

    /// Whether it was rolled back, and that was proven where it ever had a share.
    #[must_use]
    pub fn is_taken_back(&self) -> bool {
        let proof = &self.report["state"]["end"]["proof"]["is"];
        self.code == 2
            && self.report["state"]["end"]["as"] == "rolledBack"
            && (*proof == "proven" || *proof == "notNeeded")
    }

    /// How many requests the canary answered in the last step.
    #[must_use]
    pub fn canary_requests(&self) -> u64 {
        let metrics = self.report["gate"]["metrics"].as_array();
        let errors = metrics.and_then(|it| it.iter().find(|it| it["metric"] == "errors"));
        errors
            .and_then(|it| it["counts"][1][1].as_u64())
            .unwrap_or_default()
    }
}

/// Runs a command of `kubectl infer canary` in the namespace of these versions.
///
/// # Panics
///
/// When kubectl does not run.
pub fn canary(versions: &Versions, arguments: &[&str]) -> Output {
    let namespace = ["-n", versions.space.name.as_str()];
    let all = [&["infer", "canary"], arguments, &namespace[..]].concat();
    let output = versions.space.lab.kubectl_with(&all, "");
    output.expect("kubectl runs")
}

/// Starts a canary of this version with steps of a few seconds, and waits for its end.
///
/// # Panics
///
/// When it prints no document.
#[must_use]
pub fn run(versions: &Versions, way: &Way, version: Version, steps: &str) -> Ran {
    let image = format!("--image={}", version.image());
    let flags = way.flags(versions);
    let mut arguments = vec![
        "start",
        "deployment/llama",
        &image,
        "--steps",
        steps,
        // As many as the stable version has: at 50 % each pod then gets as much.
        "--replicas=2",
        "--step-time=5s",
        "--synthetic=40/s",
        "--hold=4m",
        "--ready-timeout=30s",
        "--yes",
        "-o",
        "json",
    ];
    arguments.extend(flags.iter().map(String::as_str));
    let began = Instant::now();
    let output = canary(versions, &arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    Ran {
        code: output.status.code().unwrap_or(-1),
        report: report.unwrap_or_else(|error| panic!("{error}: {told}")),
        told,
        took: began.elapsed(),
    }
}

/// Runs a canary of this version in the cluster, by `manifests/canary` with this image and these
/// words only, and waits for its Job's end.
///
/// # Panics
///
/// When kubectl does not take it, or it does not end within four minutes; with what its pod said.
pub fn run_as_a_job(versions: &Versions, version: Version) {
    let space = &versions.space;
    let directory = space.lab.state.join("canary-job").join(&space.name);
    let base = directory.join("base");
    std::fs::create_dir_all(&base).expect("a directory in the lab");
    for file in ["kustomization.yaml", "rbac.yaml", "job.yaml"] {
        let from = crate::root().join("manifests/canary").join(file);
        std::fs::copy(from, base.join(file)).expect("the manifest is there");
    }
    let bin = directory.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory in the lab");
    // In the lab it is a link to where cargo puts it.
    std::fs::copy(
        space.lab.state.join("bin/kubectl-infer"),
        bin.join("kubectl-infer"),
    )
    .expect("the plugin is built");
    let image = format!("--image={}", version.image());
    let container = |field: &str, value: Value| {
        let path = format!("/spec/template/spec/containers/0/{field}");
        json!({"op": "add", "path": path, "value": value})
    };
    // The program of this build, in an image that has a C library.
    let patch = json!([
        container("image", json!(STABLE.image())),
        container("imagePullPolicy", json!("Never")),
        container("command", json!(["/infer/kubectl-infer"])),
        container("args", json!(["canary", "start", "deployment/llama", image, "--steps=50", "--replicas=2",
            "--step-time=5s", "--synthetic=40/s", "--yes"])),
        container("volumeMounts", json!([{"name": "infer", "mountPath": "/infer", "readOnly": true}])),
        {"op": "add", "path": "/spec/template/spec/volumes",
            "value": [{"name": "infer", "hostPath": {"path": bin}}]},
    ]);
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": space.name,
        "resources": ["base"],
        "patches": [{"target": {"kind": "Job"}, "patch": patch.to_string()}],
    });
    std::fs::write(directory.join("kustomization.yaml"), overlay.to_string())
        .expect("a file in the lab");
    let directory = directory.display().to_string();
    space.ok(&["apply", "--validate=strict", "-k", &directory], "");
    let until = Instant::now() + Duration::from_secs(240);
    loop {
        let job = space.get("job/infer-canary");
        if job["status"]["succeeded"] == 1 {
            return;
        }
        if Instant::now() > until || job["status"]["failed"].as_u64() > Some(0) {
            let log = space.run(&["logs", "job/infer-canary", "--all-pods"], "");
            let pods = space.run(&["describe", "pods", "-l", "job-name=infer-canary"], "");
            panic!(
                "{}\n{}\n{}",
                job["status"],
                String::from_utf8_lossy(&log.stdout),
                String::from_utf8_lossy(&pods.stdout)
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What there is in the namespace beside the stable version: kind, name, and replicas of Deployments.
///
/// # Panics
///
/// When kubectl does not answer.
#[must_use]
pub fn left(versions: &Versions) -> Vec<String> {
    let kinds = ["get", "ingress,service,deployment", "-o", "json"];
    let output = versions.space.run(&kinds, "");
    let list: Value = serde_json::from_slice(&output.stdout).expect("kubectl lists objects");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let of = |item: &Value| {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        let kind = item["kind"].as_str().unwrap_or_default();
        let replicas = match item["spec"]["replicas"].as_u64() {
            Some(replicas) => format!(" {replicas}"),
            None => String::new(),
        };
        (name != STABLE_NAME).then(|| format!("{kind}/{name}{replicas}"))
    };
    items.iter().filter_map(of).collect()
}

/// The image of the stable workload.
#[must_use]
pub fn image_of_stable(versions: &Versions) -> String {
    let deployment = versions.space.get("deployment/llama");
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().unwrap_or_default().to_owned()
}

/// What clients of these versions lost, and what nobody answered: nothing, if all is well.
#[must_use]
pub fn lost<'a>(answers: &'a [Answer], of: &[Version]) -> Vec<&'a Answer> {
    let is_theirs = |it: &&Answer| it.version.is_none() || of.iter().any(|one| it.is_of(*one));
    let theirs = answers.iter().filter(is_theirs);
    theirs.filter(|it| !it.is_good()).collect()
}
