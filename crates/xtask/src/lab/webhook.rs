//! Our webhook inside a lab: started with a certificate of its own, registered by URL as in
//! production.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::https::Client;
use super::pki::Authority;
use super::servers::write_private;
use super::session::Lab;
use crate::{Error, Result};

/// The label that puts a namespace in the webhook's scope, and its value.
pub const SCOPE_LABEL: (&str, &str) = ("kubectl-infer.dev/enforce", "true");

/// How a webhook is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The port; 0 for any free one.
    pub port: u16,
    /// Whether it gets the lab's kubeconfig and so sees the cluster.
    pub with_cluster: bool,
    /// A policy file.
    pub policy: Option<PathBuf>,
    /// More arguments, at the end.
    pub arguments: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
}

/// A webhook that runs. Dropping it kills it; what is registered stays, see
/// [`Webhook::unregister`].
#[derive(Debug)]
pub struct Webhook {
    child: Child,
    address: SocketAddr,
    authority: String,
    log: PathBuf,
}

impl Webhook {
    /// Starts `infer-webhook` in the lab and waits until `/readyz` says 200.
    ///
    /// # Errors
    ///
    /// When it ends or is not ready within ten seconds, with its log.
    pub fn start(lab: &Lab, options: &Options) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Tests that share a lab are several processes with several webhooks each.
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let dir = lab
            .state
            .join(format!("webhook-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(Error::io(format!("making {}", dir.display())))?;
        let authority = Authority::new("infer-webhook")?;
        let leaf = authority.leaf("infer-webhook", &[lab.address.to_string()])?;
        let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
        write_private(&certificate, &leaf.certificate)?;
        write_private(&key, &leaf.key)?;

        let port = if options.port == 0 {
            free_port(lab)?
        } else {
            options.port
        };
        let address = SocketAddr::from((lab.address, port));
        let log = dir.join("log");
        let out = File::create(&log).map_err(Error::io(format!("making {}", log.display())))?;
        let err = out.try_clone().map_err(Error::io("sharing a log file"))?;
        let mut command = Command::new("infer-webhook");
        command
            .args(["--listen", &address.to_string()])
            .arg("--tls-cert-file")
            .arg(&certificate)
            .arg("--tls-private-key-file")
            .arg(&key);
        if options.with_cluster {
            command.arg("--kubeconfig").arg(&lab.kubeconfig);
        } else {
            command.env_remove("KUBECONFIG");
        }
        if let Some(policy) = &options.policy {
            command.arg("--policy").arg(policy);
        }
        let child = command
            .args(&options.arguments)
            .envs(
                options
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(Error::io(
                "starting infer-webhook (cargo build -p infer-webhook)",
            ))?;
        let mut webhook = Self {
            child,
            address,
            authority: authority.certificate(),
            log,
        };
        webhook.wait_until_ready(Duration::from_secs(10))?;
        Ok(webhook)
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    ///
    /// When it ends or takes longer than `limit`, with its log.
    pub fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        let client = self.client()?;
        let until = Instant::now() + limit;
        let mut last = String::new();
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Failed(format!(
                    "infer-webhook ended ({status}) before it was ready. Its log:\n{}",
                    self.log()
                )));
            }
            last = match client.get(self.address, "/readyz") {
                Ok((200, _)) => return Ok(()),
                Ok((_, answer)) => answer,
                Err(why) => why,
            };
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::Failed(format!(
            "infer-webhook was not ready within {}. Last answer of /readyz: {last}\nIts log:\n{}",
            crate::say::duration(limit),
            self.log()
        )))
    }

    /// A client that trusts this webhook.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn client(&self) -> Result<Client> {
        Client::new(&self.authority, None)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The authority of its certificate, PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What it has written so far, stdout and stderr.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The file of [`Webhook::log`].
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The configuration that registers it under this name, for namespaces that carry all of
    /// `labels`.
    #[must_use]
    pub fn configuration(&self, name: &str, labels: &[(&str, &str)]) -> Value {
        let labels: serde_json::Map<String, Value> = labels
            .iter()
            .map(|(key, value)| ((*key).to_string(), json!(value)))
            .collect();
        let rule = |group: &str, versions: &[&str], resources: &[&str]| {
            json!({
                "apiGroups": [group], "apiVersions": versions, "resources": resources,
                "operations": ["CREATE", "UPDATE"], "scope": "Namespaced",
            })
        };
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "mutate.kubectl-infer.dev",
                "clientConfig": {
                    "url": format!("https://{}/mutate", self.address),
                    "caBundle": base64(self.authority.as_bytes()),
                },
                "rules": [
                    rule("", &["v1"], &["pods"]),
                    rule("apps", &["v1"],
                         &["deployments", "statefulsets", "daemonsets", "replicasets"]),
                    rule("batch", &["v1"], &["jobs", "cronjobs"]),
                    rule("leaderworkerset.x-k8s.io", &["v1"], &["leaderworkersets"]),
                    rule("networking.k8s.io", &["v1"], &["ingresses"]),
                    rule("gateway.networking.k8s.io", &["v1"], &["httproutes"]),
                ],
                "failurePolicy": "Ignore",
                "reinvocationPolicy": "IfNeeded",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": 2,
                "admissionReviewVersions": ["v1"],
                "namespaceSelector": {"matchLabels": labels},
            }],
        })
    }

    /// Registers it and waits until the API server calls it: that takes a moment, and until then
    /// objects pass through untouched. The proof is a dry-run ConfigMap under a second, short-lived
    /// registration beside the first; so the webhook's own answers are never guessed from.
    ///
    /// # Errors
    ///
    /// When kubectl refuses.
    pub fn register(&self, lab: &Lab, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let configuration = self.configuration(name, labels).to_string();
        lab.kubectl_ok(&["apply", "-f", "-"], &configuration)?;
        wait_until_called(lab, name)
    }

    /// Takes the registration back. Right after it the API server may still call.
    ///
    /// # Errors
    ///
    /// When kubectl refuses.
    pub fn unregister(&self, lab: &Lab, name: &str) -> Result<()> {
        let kind = "mutatingwebhookconfiguration";
        lab.kubectl_ok(&["delete", kind, name, "--ignore-not-found"], "")
            .map(drop)
    }

    /// Kills it, as `kill -9` does; it stays registered.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the API server's admission has read its webhook configurations anew. It does so
/// through one informer: when a configuration that was made later is in force, an earlier one is.
/// The later one refuses a dry-run ConfigMap in a namespace that is not there for anyone else: its
/// URL leads nowhere, and it fails closed.
fn wait_until_called(lab: &Lab, name: &str) -> Result<()> {
    let probe = format!("{name}-in-force");
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": probe, "namespace": "default", "labels": {"infer-lab/probe": probe}},
    })
    .to_string();
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": probe},
        "webhooks": [{
            "name": "probe.infer-lab.invalid",
            "clientConfig": {"url": format!("https://{}:9/nowhere", lab.address)},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                       "operations": ["CREATE"]}],
            "objectSelector": {"matchLabels": {"infer-lab/probe": probe}},
            "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 1,
            "admissionReviewVersions": ["v1"],
        }],
    })
    .to_string();
    lab.kubectl_ok(&["apply", "-f", "-"], &configuration)?;
    let mut in_force = false;
    for _ in 0..100 {
        let output = lab.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && said.contains("probe.infer-lab.invalid") {
            in_force = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    lab.kubectl_ok(&["delete", "mutatingwebhookconfiguration", &probe], "")?;
    if in_force {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the API server did not take up the registration {name} in time"
    )))
}

fn free_port(lab: &Lab) -> Result<u16> {
    let doing = "finding a free port for the webhook";
    let listener = std::net::TcpListener::bind((lab.address, 0)).map_err(Error::io(doing))?;
    Ok(listener.local_addr().map_err(Error::io(doing))?.port())
}

/// Base64 as `caBundle` wants it (RFC 4648, padded).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let digit = (bits >> (18 - 6 * index)) & 63;
            let shown = index <= chunk.len();
            text.push(if shown {
                char::from(DIGITS[digit as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_agrees_with_the_vectors_of_rfc_4648() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
