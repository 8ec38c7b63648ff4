//! The webhook as `manifests/base` installs it: with the rights of its own service account, with
//! certificates that it makes itself, called through its Service.
//!
//! Nothing runs in pods here, so the test starts the replicas, and the Service leads to one of them
//! by name (`ExternalName`), which the API server resolves by itself.

use infer_tests::space::{Space, poll};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use xtask::lab::session::Lab;

const NAMESPACE: &str = "kubectl-infer";
const REGISTRATION: &str = "mutatingwebhookconfiguration/infer-webhook";
/// In place of the scope label: the other tests' namespaces must not be in scope.
const SCOPE: &str = "infer-test/install";

/// A server that lacks a readiness probe.
const SERVER: &str = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: server-}\nspec:\n  \
    containers:\n  - {name: server, image: 'ghcr.io/ggml-org/llama.cpp:server', \
    args: [--host, 0.0.0.0, --port, '8080', -m, /m.gguf], ports: [{containerPort: 8080}]}\n";

/// A replica, killed when dropped.
struct Replica {
    child: Child,
    log: PathBuf,
    port: u16,
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Replica {
    /// Starts one with the arguments of the Deployment, but for the address, as its service account.
    fn start(lab: &Lab, name: &str, arguments: &[String], kubeconfig: &Path) -> Replica {
        let log = lab.state.join(format!("install-{name}.log"));
        let file = File::create(&log).unwrap();
        let child = Command::new("infer-webhook")
            .arg(format!("--listen={}:0", lab.address))
            .args(arguments.iter().filter(|it| !it.starts_with("--listen=")))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut replica = Replica {
            child,
            log,
            port: 0,
        };
        replica.wait_for("listening");
        let listening = replica.said("listening").unwrap();
        let address = listening["address"].as_str().unwrap();
        replica.port = address.rsplit(':').next().unwrap().parse().unwrap();
        replica
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The last line of the log with this message.
    fn said(&self, message: &str) -> Option<Value> {
        let text = self.text();
        let lines = text
            .lines()
            .rev()
            .filter_map(|it| serde_json::from_str(it).ok());
        let mut lines = lines.filter(|line: &Value| line["message"] == message);
        lines.next()
    }

    fn wait_for(&self, message: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.said(message).is_none() {
            assert!(
                Instant::now() < until,
                "not said: {message}\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The manifests as kubectl makes them, with the test's own scope.
fn manifests(lab: &Lab) -> String {
    let base = infer_tests::root().join("manifests/base");
    let text = lab
        .kubectl_ok(&["kustomize", base.to_str().unwrap()], "")
        .unwrap();
    assert_eq!(text.matches("kubectl-infer.dev/enforce").count(), 1);
    text.replace("kubectl-infer.dev/enforce", SCOPE)
}

/// A kubeconfig with the rights of the webhook's service account, and its namespace, as in a pod.
fn kubeconfig(lab: &Lab) -> PathBuf {
    let token = ["-n", NAMESPACE, "create", "token", "infer-webhook"];
    let token = lab.kubectl_ok(&token, "").unwrap();
    let text = std::fs::read_to_string(&lab.kubeconfig).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    config["contexts"][0]["context"]["namespace"] = NAMESPACE.into();
    let path = lab.state.join("install.kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

fn get(lab: &Lab, what: &str) -> Value {
    let text = lab.kubectl_ok(&["-n", NAMESPACE, "get", what, "-o", "json"], "");
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// The names of the authorities in the Secret, and those that can issue.
fn authorities(lab: &Lab) -> (Vec<String>, Vec<String>) {
    let secret = get(lab, "secret/infer-webhook-ca");
    let names = |end: &str| {
        let names = secret["data"].as_object().unwrap().keys();
        names
            .filter_map(|name| Some(name.strip_suffix(end)?.to_owned()))
            .collect()
    };
    (names(".crt"), names(".key"))
}

fn bundle(lab: &Lab) -> String {
    let bundle = &get(lab, REGISTRATION)["webhooks"][0]["clientConfig"]["caBundle"];
    bundle.as_str().unwrap_or_default().to_owned()
}

/// Leads the Service to this replica.
fn lead_to(lab: &Lab, replica: &Replica) {
    let service = json!({"spec": {"type": "ExternalName", "externalName": lab.address.to_string(),
        "clusterIP": null, "clusterIPs": null}});
    let patch = [
        "-n",
        NAMESPACE,
        "patch",
        "service/infer-webhook",
        "--type=merge",
        "-p",
    ];
    lab.kubectl_ok(&[&patch[..], &[&service.to_string()]].concat(), "")
        .unwrap();
    let port = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/service/port",
        "value": replica.port}]);
    let patch = ["patch", REGISTRATION, "--type=json", "-p"];
    lab.kubectl_ok(&[&patch[..], &[&port.to_string()]].concat(), "")
        .unwrap();
}

/// Whether a pod is stored with the probe that the webhook fills in.
fn is_reviewed(space: &Space, pod: &str) -> bool {
    let output = space.run(
        &["create", "--dry-run=server", "-o", "json", "-f", "-"],
        pod,
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).contains("readinessProbe")
}

/// How many calls the match conditions of a webhook have spared the API server. No other webhook of
/// the lab has any.
fn excluded(lab: &Lab) -> u32 {
    let metrics = lab.kubectl_ok(&["get", "--raw", "/metrics"], "").unwrap();
    let counter = "apiserver_admission_match_condition_exclusions_total{";
    let lines = metrics.lines().filter(|line| line.starts_with(counter));
    let mut lines = lines.filter(|line| line.contains("mutate.kubectl-infer.dev"));
    let count = lines.next().and_then(|line| line.rsplit(' ').next());
    count.map_or(0, |count| count.parse().unwrap())
}

/// One test: what it installs is there once in a cluster.
#[test]
fn it_is_installed_by_its_manifests_and_keeps_its_own_certificates() {
    let Some(lab) = Space::lab() else { return };
    let manifests = manifests(&lab);
    let apply = ["apply", "--validate=strict", "-f", "-"];
    lab.kubectl_ok(&apply, &manifests).unwrap();
    assert_eq!(bundle(&lab), "", "nobody has set it yet");

    // Two replicas at once, and one authority.
    let kubeconfig = kubeconfig(&lab);
    let container =
        &get(&lab, "deployment/infer-webhook")["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter();
    let arguments: Vec<String> = arguments
        .map(|it| it.as_str().unwrap().to_owned())
        .collect();
    let start = |name: &str| Replica::start(&lab, name, &arguments, &kubeconfig);
    let (one, other) = (start("one"), start("other"));
    for replica in [&one, &other] {
        replica.wait_for("new certificate served");
    }
    poll("the bundle is set", || !bundle(&lab).is_empty());
    let (trusted, issuing) = authorities(&lab);
    assert_eq!((trusted.len(), &issuing), (1, &trusted));
    let first = bundle(&lab);
    for replica in [&one, &other] {
        let served = replica.said("new certificate served").unwrap();
        assert_eq!(served["authority"], *trusted[0]);
    }

    // The API server trusts it, and asks about what is in scope.
    let scoped = Space::in_group(lab.clone(), "install", None);
    let control = Space::in_group(lab.clone(), "install-control", None);
    lab.kubectl_ok(&["label", "ns", "install", &format!("{SCOPE}=true")], "")
        .unwrap();
    lead_to(&lab, &one);
    poll("a pod is reviewed", || is_reviewed(&scoped, SERVER));
    assert!(!is_reviewed(&control, SERVER), "not in scope");
    let owner = "{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: u, controller: CONTROLLER}";
    let owned = SERVER.replace(
        "generateName: server-",
        &format!("generateName: server-, ownerReferences: [{owner}]"),
    );
    let before = excluded(&lab);
    is_reviewed(&scoped, &owned.replace("CONTROLLER", "false"));
    assert_eq!(excluded(&lab), before, "an owner that controls nothing");
    is_reviewed(&scoped, &owned.replace("CONTROLLER", "true"));
    assert_eq!(excluded(&lab), before + 1, "asked about an owned pod");

    // Nobody takes the bundle away: not kubectl, by either kind of apply, and not a second look.
    lab.kubectl_ok(&apply, &manifests).unwrap();
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    lab.kubectl_ok(&server_side, &manifests).unwrap();
    assert_eq!(bundle(&lab), first);
    let version = |what| get(&lab, what)["metadata"]["resourceVersion"].clone();
    let before = (version(REGISTRATION), version("secret/infer-webhook-ca"));
    drop(other);
    let other = start("again");
    other.wait_for("new certificate served");
    let after = (version(REGISTRATION), version("secret/infer-webhook-ca"));
    assert_eq!(before, after, "a second look changes nothing");

    // A new authority: the old one is trusted beside it, so that `one`, which has not even heard of
    // it, is called on.
    lab.kubectl_ok(&["-n", NAMESPACE, "delete", "secret/infer-webhook-ca"], "")
        .unwrap();
    drop(other);
    let other = start("renewed");
    other.wait_for("new certificate served");
    let (trusted_after, issuing_after) = authorities(&lab);
    assert_eq!((trusted_after.len(), issuing_after.len()), (2, 1));
    assert!(trusted_after.contains(&trusted[0]) && !issuing_after.contains(&trusted[0]));
    assert_ne!(bundle(&lab), first);
    for replica in [&one, &other] {
        lead_to(&lab, replica);
        std::thread::sleep(Duration::from_millis(300));
        poll("a pod is reviewed", || is_reviewed(&scoped, SERVER));
        assert!(is_reviewed(&scoped, SERVER));
    }

    for replica in [&one, &other] {
        let log = replica.text();
        assert!(
            !log.contains("orbidden") && !log.contains("may not"),
            "{log}"
        );
        assert!(!log.contains("WARN") && !log.contains("PRIVATE"), "{log}");
    }
    lab.kubectl_ok(&["delete", REGISTRATION], "").unwrap();
}
