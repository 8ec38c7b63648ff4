//! A real node (level `l3`): controller-manager, scheduler, containerd, kubelet and kube-proxy beside
//! the API server, all in namespaces of the lab's own.
//!
//! It needs root: containers need cgroups, and the kernel gives those to nobody else here. What a
//! node writes outside of the lab's state goes to memory or to private mounts ([`mounts`]), its
//! network is a namespace ([`network`]), its cgroups are one directory per hierarchy ([`cgroups`]),
//! which the lab removes in the end.

pub mod cgroups;
mod configs;
mod mounts;
mod network;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::inside::Spec;
use super::servers::{Identity, Server, write_private};
use crate::contain::keeper::Keeper;
use crate::{Error, Result};

/// The node's name.
pub const NODE: &str = "lab-node";

/// How many `nvidia.com/gpu` the node offers. It has none; nothing that runs here asks for more than
/// the number.
const GPUS: &str = "2";

/// What a node needs beside the programs.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Needs {
    /// A tree whose `usr` is laid over the machine's: programs and libraries that it lacks.
    pub tree: PathBuf,
    /// Image archives to import.
    pub images: Vec<PathBuf>,
    /// The name of the lab's directory in each cgroup hierarchy.
    pub cgroup: String,
}

/// Prepares mounts, network and cgroups, and starts the container runtime, which needs no API
/// server.
///
/// # Errors
///
/// When the kernel refuses.
pub fn prepare(spec: &Spec, needs: &Needs) -> Result<Server> {
    mounts::set_up(&spec.state, &needs.tree)?;
    network::set_up(spec.address)?;
    cgroups::make(&needs.cgroup)?;
    let write = |name: &str, text: String| {
        let path = spec.state.join(name);
        std::fs::write(&path, text).map_err(Error::io(format!("writing {}", path.display())))
    };
    let made = |name: &str| {
        let path = spec.state.join(name);
        std::fs::create_dir_all(&path).map_err(Error::io(format!("making {}", path.display())))
    };
    made("cni")?;
    write("cni/10-lab.conflist", configs::network(&spec.state))?;
    write("containerd.toml", configs::containerd(&spec.state))?;
    write("resolv.conf", String::new())?;
    let mut command = Command::new(spec.program("containerd")?);
    command.arg("-c").arg(spec.state.join("containerd.toml"));
    // It finds its shim beside itself or on PATH, and calls runc by its full name.
    if let Some(directory) = spec.program("containerd-shim-runc-v2")?.parent() {
        command.env("PATH", path_with(directory));
    }
    Server::start(&spec.state, "containerd", &mut command)
}

/// Imports the lab's images. May run while the API server starts.
///
/// # Errors
///
/// When containerd does not answer within ten seconds, or refuses an archive.
pub fn import(spec: &Spec, needs: &Needs) -> Result<()> {
    let ctr = spec.program("ctr")?;
    let socket = configs::socket(&spec.state);
    let run = |arguments: &[&std::ffi::OsStr]| {
        Command::new(ctr)
            .arg("--address")
            .arg(&socket)
            .args(["--namespace", "k8s.io"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("starting ctr"))
    };
    let mut answered = false;
    for _ in 0..200 {
        if run(&["version".as_ref()])?.status.success() {
            answered = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if !answered {
        return Err(Error::Failed(
            "containerd did not answer within ten seconds".into(),
        ));
    }
    for archive in &needs.images {
        let output = run(&["images".as_ref(), "import".as_ref(), archive.as_os_str()])?;
        if !output.status.success() {
            return Err(Error::Failed(format!(
                "importing {} failed: {}",
                archive.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
    }
    Ok(())
}

/// Starts what needs the API server, and waits until the node is Ready and pods can be made.
///
/// # Errors
///
/// When one of them ends, or the node is not Ready within a minute, with the end of the kubelet's
/// log.
pub fn start(
    spec: &Spec,
    needs: &Needs,
    identities: &[Identity],
    servers: &mut Vec<Server>,
    keeper: &mut Keeper,
) -> Result<()> {
    let kubeconfig = |user: &str| -> Result<PathBuf> {
        identities
            .iter()
            .find(|identity| identity.user == user)
            .map(|identity| identity.kubeconfig.clone())
            .ok_or_else(|| Error::Failed(format!("the lab has no identity {user}")))
    };
    let kcm = controller_manager(spec, &kubeconfig("system:kube-controller-manager")?)?;
    let scheduler = scheduler(spec, &kubeconfig("system:kube-scheduler")?)?;
    let kubelet = kubelet(spec, needs, &kubeconfig("system:node:lab-node")?)?;
    let proxy = proxy(spec, &kubeconfig("system:kube-proxy")?)?;
    for (name, mut command) in [
        ("kube-controller-manager", kcm),
        ("kube-scheduler", scheduler),
        ("kubelet", kubelet),
        ("kube-proxy", proxy),
    ] {
        servers.push(Server::start(&spec.state, name, &mut command)?);
    }
    wait(spec, servers, keeper)
}

fn controller_manager(spec: &Spec, kubeconfig: &Path) -> Result<Command> {
    let pki = spec.state.join("pki");
    let mut command = Command::new(spec.program("kube-controller-manager")?);
    for flag in [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--cert-dir={}", spec.state.join("kcm").display()))
        .arg(format!(
            "--service-account-private-key-file={}",
            pki.join("sa.key").display()
        ))
        .arg(format!("--root-ca-file={}", pki.join("ca.crt").display()))
        // Without it its controllers lack RBAC and nothing rolls out.
        .arg("--use-service-account-credentials=true")
        // The default of 20 a second doubles the lab's start.
        .args([
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--leader-elect=false",
        ])
        .arg(format!(
            "--flex-volume-plugin-dir={}",
            spec.state.join("volplugins").display()
        ))
        .args([
            "--allocate-node-cidrs=false",
            "--cluster-cidr=10.244.0.0/16",
        ]);
    Ok(command)
}

fn scheduler(spec: &Spec, kubeconfig: &Path) -> Result<Command> {
    let mut command = Command::new(spec.program("kube-scheduler")?);
    for flag in [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command
        .args(["--bind-address=127.0.0.1", "--leader-elect=false"])
        .arg(format!(
            "--cert-dir={}",
            spec.state.join("scheduler").display()
        ));
    Ok(command)
}

fn kubelet(spec: &Spec, needs: &Needs, kubeconfig: &Path) -> Result<Command> {
    let config = spec.state.join("kubelet.yaml");
    write_private(&config, &configs::kubelet(&spec.state, &needs.cgroup))?;
    let mut command = Command::new(spec.program("kubelet")?);
    command
        .arg(format!("--config={}", config.display()))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!(
            "--root-dir={}",
            spec.state.join("kubelet").display()
        ))
        .arg(format!(
            "--cert-dir={}",
            spec.state.join("kubelet-pki").display()
        ))
        .arg(format!("--hostname-override={NODE}"))
        .arg(format!("--node-ip={}", spec.address));
    Ok(command)
}

fn proxy(spec: &Spec, kubeconfig: &Path) -> Result<Command> {
    let config = spec.state.join("kube-proxy.yaml");
    write_private(&config, &configs::proxy(kubeconfig))?;
    let mut command = Command::new(spec.program("kube-proxy")?);
    command.arg(format!("--config={}", config.display()));
    Ok(command)
}

/// `kubectl ARGUMENTS` as the lab's administrator: whether it succeeded, and what it said.
fn kubectl(spec: &Spec, arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new(spec.program("kubectl")?)
        .arg("--kubeconfig")
        .arg(spec.state.join("kubeconfig"))
        .args(arguments)
        .env("KUBECACHEDIR", spec.state.join("kubecache"))
        .env("KUBECTL_KUBERC", "false")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("starting kubectl"))?;
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).trim().to_string(),
    ))
}

fn wait(spec: &Spec, servers: &[Server], keeper: &mut Keeper) -> Result<()> {
    let until = |keeper: &mut Keeper, what: &str, arguments: &[&str], wanted: &str| {
        let mut last = String::new();
        for _ in 0..600 {
            for server in servers {
                server.check_alive()?;
            }
            let (done, said) = kubectl(spec, arguments)?;
            if done && said.contains(wanted) {
                return Ok(());
            }
            last = said;
            keeper.pause(Duration::from_millis(100))?;
        }
        let logs: String = servers
            .iter()
            .filter(|server| ["kubelet", "containerd"].contains(&server.name))
            .map(|server| format!("\n--- {}\n{}", server.name, server.log_tail()))
            .collect();
        Err(Error::Failed(format!(
            "not within a minute: {what}. Last answer: {last}{logs}"
        )))
    };
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    until(
        keeper,
        "the node is Ready",
        &["get", "node", NODE, "-o", ready],
        "True",
    )?;
    // Kubernetes' documented way to advertise an extended resource
    // (kubernetes/website content/en/docs/tasks/administer-cluster/extended-resource-node.md). The
    // kubelet takes the capacity over as allocatable at its next report; the scheduler need not wait.
    let add = |field: &str| serde_json::json!({"op": "add", "path": format!("/status/{field}/nvidia.com~1gpu"), "value": GPUS});
    let patch = serde_json::json!([add("capacity"), add("allocatable")]).to_string();
    let patch = [
        "patch",
        "node",
        NODE,
        "--subresource=status",
        "--type=json",
        "-p",
        &patch,
    ];
    until(keeper, "the node offers GPUs", &patch, "")?;
    let account = [
        "get",
        "serviceaccount",
        "default",
        "-n",
        "default",
        "-o",
        "name",
    ];
    until(
        keeper,
        "the default service account is there",
        &account,
        "serviceaccount",
    )
}

/// PATH with a directory in front.
fn path_with(directory: &Path) -> std::ffi::OsString {
    let mut path = directory.as_os_str().to_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
