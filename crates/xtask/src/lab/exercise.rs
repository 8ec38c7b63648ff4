//! The chapter's exercise on the lab's node: model servers behind the lab's NGINX.
//!
//! Tests and the demo deploy it; `tests/lab/exercise.yaml` and `tests/lab/nginx.yaml` are its
//! manifests.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::session::Lab;
use crate::{Error, Result, workspace};

/// The namespace of the lab's NGINX.
pub const NGINX_NAMESPACE: &str = "lab-nginx";

/// What is deployed.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The model, by the name of its file.
    pub model: &'static str,
    /// How many replicas.
    pub replicas: u32,
    /// Whether the server has an init above it; else it is PID 1.
    pub init: bool,
    /// How many requests a server takes at a time.
    pub slots: u32,
    /// The context of all slots together, in tokens.
    pub context: u32,
    /// CPUs that a server may use.
    pub cpu: &'static str,
    /// The pods' grace period in seconds, where one is written.
    pub grace: Option<u32>,
    /// Whether a readiness probe is written.
    pub readiness: bool,
    /// Annotations of the Deployment.
    pub annotations: Vec<(&'static str, String)>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            model: "small",
            replicas: 2,
            init: true,
            slots: 8,
            context: 8192,
            cpu: "400m",
            grace: None,
            readiness: true,
            annotations: Vec::new(),
        }
    }
}

/// What was deployed.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// The lab.
    pub lab: Lab,
    /// Its namespace.
    pub namespace: String,
    /// The host of its Ingress.
    pub host: String,
    /// Where NGINX listens.
    pub nginx: SocketAddrV4,
}

/// Where NGINX's second access log is.
#[must_use]
pub fn observer_log(lab: &Lab) -> PathBuf {
    lab.state.join("observer").join("access.jsonl")
}

/// Starts the lab's NGINX where it does not run yet; where it listens.
///
/// # Errors
///
/// When it is not ready within 30 seconds, with its log.
pub fn nginx(lab: &Lab) -> Result<SocketAddrV4> {
    let observer = lab.state.join("observer");
    std::fs::create_dir_all(&observer)
        // NGINX is nobody in particular, and writes its second log there.
        .and_then(|()| std::fs::set_permissions(&observer, std::fs::Permissions::from_mode(0o777)))
        .map_err(Error::io(format!("making {}", observer.display())))?;
    let manifest =
        read("tests/lab/nginx.yaml")?.replace("@STATE@", &lab.state.display().to_string());
    lab.kubectl_ok(&["apply", "-f", "-"], &manifest)?;
    let of_nginx =
        |arguments: &[&str]| lab.kubectl_ok(&[&["-n", NGINX_NAMESPACE], arguments].concat(), "");
    if let Err(why) = of_nginx(&["rollout", "status", "deployment", "--timeout=30s"]) {
        let log = of_nginx(&["logs", "deployment/nginx", "--tail=20"]);
        let pods = of_nginx(&["describe", "pods"]).unwrap_or_default();
        return Err(Error::Failed(format!(
            "the lab's NGINX is not ready: {why}\n{log:?}\n{pods}"
        )));
    }
    let address = "jsonpath={.items[0].status.podIP}";
    let said = of_nginx(&["get", "pods", "-o", address])?;
    let address: Ipv4Addr = said
        .parse()
        .map_err(|_| Error::Failed(format!("NGINX's pod has no address: {said:?}")))?;
    Ok(SocketAddrV4::new(address, 80))
}

impl Exercise {
    /// Deploys it into a namespace that is there, and waits for nothing but NGINX itself.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub fn apply(lab: &Lab, namespace: &str, wanted: &Wanted) -> Result<Self> {
        let nginx = nginx(lab)?;
        let host = format!("{namespace}.lab");
        let manifest = manifest(lab, wanted, &host)?;
        lab.kubectl_ok(&["-n", namespace, "apply", "-f", "-"], &manifest)?;
        Ok(Self {
            lab: lab.clone(),
            namespace: namespace.into(),
            host,
            nginx,
        })
    }

    /// Waits until every replica is ready and NGINX serves the Ingress.
    ///
    /// # Errors
    ///
    /// When it takes longer, with what the pods say.
    pub fn until_ready(&self, limit: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", limit.as_secs());
        let of_ours = |arguments: &[&str]| {
            self.lab
                .kubectl_ok(&[&["-n", &self.namespace], arguments].concat(), "")
        };
        if let Err(why) = of_ours(&["rollout", "status", "deployment/llama", &timeout]) {
            let pods = of_ours(&["describe", "pods"]).unwrap_or_default();
            return Err(Error::Failed(format!("{why}\n{pods}")));
        }
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let address = "jsonpath={.status.loadBalancer.ingress[0].ip}";
            let address = of_ours(&["get", "ingress", "llama", "-o", address])?;
            if !address.is_empty() && self.curl_status("/health")? == 200 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Error::Failed(format!(
                    "NGINX does not serve {} within ten seconds; the Ingress' address: {address:?}",
                    self.host
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The status that real curl gets for a path; 0 where there is none.
    ///
    /// # Errors
    ///
    /// When there is no curl.
    pub fn curl_status(&self, path: &str) -> Result<u16> {
        let output = self.curl(
            &["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"],
            path,
        )?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.trim().parse().unwrap_or(0))
    }

    /// The arguments that lead curl to a path of the Ingress.
    #[must_use]
    pub fn curl_target(&self, path: &str) -> Vec<String> {
        vec![
            "--resolve".into(),
            format!("{}:80:{}", self.host, self.nginx.ip()),
            format!("http://{}{path}", self.host),
        ]
    }

    /// Runs real curl against a path of the Ingress.
    ///
    /// # Errors
    ///
    /// When there is no curl.
    pub fn curl(&self, arguments: &[&str], path: &str) -> Result<Output> {
        Command::new("curl")
            .args(arguments)
            .args(self.curl_target(path))
            .output()
            .map_err(Error::io("starting curl"))
    }

    /// Its pods.
    ///
    /// # Errors
    ///
    /// When kubectl does not answer.
    pub fn pods(&self) -> Result<Vec<Value>> {
        let arguments = [
            "-n",
            &self.namespace,
            "get",
            "pods",
            "-l",
            "app=llama",
            "-o",
            "json",
        ];
        let text = self.lab.kubectl_ok(&arguments, "")?;
        let pods: Value = serde_json::from_str(&text)
            .map_err(|error| Error::Failed(format!("kubectl get pods gave no JSON: {error}")))?;
        Ok(pods["items"].as_array().cloned().unwrap_or_default())
    }
}

/// The manifests.
fn manifest(lab: &Lab, wanted: &Wanted, host: &str) -> Result<String> {
    let annotations: serde_json::Map<String, Value> = wanted
        .annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(value.clone())))
        .collect();
    let readiness = if wanted.readiness {
        "readinessProbe: { httpGet: { path: /health, port: http }, periodSeconds: 1 }"
    } else {
        ""
    };
    let grace = wanted
        .grace
        .map(|seconds| format!("terminationGracePeriodSeconds: {seconds}"))
        .unwrap_or_default();
    Ok(read("tests/lab/exercise.yaml")?
        .replace("@ANNOTATIONS@", &Value::from(annotations).to_string())
        .replace("@REPLICAS@", &wanted.replicas.to_string())
        .replace("@GRACE@", &grace)
        .replace("@INIT@", if wanted.init { "init" } else { "pid1" })
        .replace("@MODEL@", wanted.model)
        .replace("@MODELS@", &lab.models.display().to_string())
        .replace("@CONTEXT@", &wanted.context.to_string())
        .replace("@SLOTS@", &wanted.slots.to_string())
        .replace("@PROBES@", readiness)
        .replace("@CPU@", wanted.cpu)
        .replace("@HOST@", host))
}

fn read(path: &str) -> Result<String> {
    let path = workspace::root().join(path);
    std::fs::read_to_string(&path).map_err(Error::io(format!("reading {}", path.display())))
}
