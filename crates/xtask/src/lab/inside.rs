//! The keeper's side of a lab: state directory, network, servers, command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::MountFlags;

use super::routers::Router;
use super::{Level, loopback, node, servers};
use crate::contain::keeper::{self, Keeper};
use crate::say::Clock;
use crate::{Error, Result, say};

/// What xtask tells the keeper, as JSON in one argument.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Spec {
    /// The level to start.
    pub level: Level,
    /// Whether we are in namespaces of our own.
    pub contained: bool,
    /// The lab's address.
    pub address: Ipv4Addr,
    /// An empty directory that is there: what a contained lab mounts its memory on. Else the state
    /// itself.
    pub state: PathBuf,
    /// Each part's programs by name.
    pub programs: BTreeMap<String, PathBuf>,
    /// What a node needs; none where the level has no node.
    pub node: Option<node::Needs>,
    /// The directory with GGUF models.
    pub models: PathBuf,
    /// Where our own programs are.
    pub own_programs: PathBuf,
    /// Where to copy the servers' logs at the end.
    pub logs: Option<PathBuf>,
    /// Routers to start before the command.
    pub with: Vec<Router>,
    /// When xtask began, so that the times in messages count from there.
    #[serde(with = "clock")]
    pub clock: Clock,
}

mod clock {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::say::Clock;

    pub(super) fn serialize<S: Serializer>(clock: &Clock, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(clock.to_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Clock, D::Error> {
        u64::deserialize(from).map(Clock::from_millis)
    }
}

/// Our programs that a lab puts on PATH, where they are built. kubectl finds completion under the
/// last name.
const OWN: [&str; 3] = ["kubectl-infer", "infer-webhook", "kubectl_complete-infer"];

/// What would send a client of the lab's address elsewhere. Go's clients ask no proxy for
/// 127.0.0.1, but for 10.200.0.1 they would; and a person's kubectl habits are not the lab's.
const STRAY: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
];

impl Spec {
    /// The file of a part's program.
    ///
    /// # Errors
    ///
    /// When no part of this level provides it.
    pub fn program(&self, name: &str) -> Result<&Path> {
        self.programs
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| Error::Failed(format!("the lab was given no program {name}")))
    }
}

/// Runs the lab and in it the command; gives the command's exit code.
///
/// # Errors
///
/// When the lab does not come up, or the command cannot be started.
pub fn run(spec: &Spec, lifeline: i32, command: &[OsString]) -> Result<i32> {
    let (state, contained) = (spec.state.clone(), spec.contained);
    let cgroup = spec.node.as_ref().map(|needs| needs.cgroup.clone());
    // The memory file system of a contained lab dies with it. A plain lab's directory must be
    // removed, and a node's cgroups, which stand outside of every namespace.
    let remove = move || {
        if let Some(name) = &cgroup {
            keeper::kill_descendants();
            let _ = node::cgroups::remove(name);
        }
        if !contained {
            let _ = std::fs::remove_dir_all(&state);
        }
    };
    let mut keeper = Keeper::new(lifeline, contained, remove.clone())?;
    let result = run_in(spec, &mut keeper, command);
    keeper.finish();
    if let Some(logs) = &spec.logs {
        copy_logs(&spec.state.join("log"), logs);
    }
    remove();
    result
}

fn run_in(spec: &Spec, keeper: &mut Keeper, command: &[OsString]) -> Result<i32> {
    if spec.contained {
        rustix::mount::mount("infer-lab", &spec.state, "tmpfs", MountFlags::NOSUID, None).map_err(
            Error::os(format!(
                "mounting the lab's memory on {}",
                spec.state.display()
            )),
        )?;
        // A node has an interface for the address.
        if spec.node.is_none() {
            loopback::set_up(spec.address)?;
        }
    }
    for dir in ["log", "pki", "bin", "kubecache"] {
        let dir = spec.state.join(dir);
        std::fs::create_dir_all(&dir).map_err(Error::io(format!("making {}", dir.display())))?;
    }
    let bin = spec.state.join("bin");
    let own = OWN.iter().map(|name| (*name, spec.own_programs.join(name)));
    let parts = spec
        .programs
        .iter()
        .map(|(name, file)| (name.as_str(), file.clone()));
    for (name, file) in own.chain(parts).filter(|(_, file)| file.exists()) {
        symlink(&file, bin.join(name)).map_err(Error::io(format!("linking {}", file.display())))?;
    }

    let servers = if spec.level.has_api_server() {
        let (endpoint, servers) = servers::start(spec, keeper)?;
        let sizes: Vec<String> = servers
            .iter()
            .map(|s| format!("{} {} MiB", s.name, s.memory()))
            .collect();
        spec.clock.say(&format!(
            "lab {}: Kubernetes {} ready at https://{} ({})",
            spec.level.name(),
            crate::parts::KUBERNETES_VERSION,
            endpoint.address,
            sizes.join(", ")
        ));
        servers
    } else {
        spec.clock.say("lab t: a network of its own is up");
        Vec::new()
    };

    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Failed("no command to run in the lab".into()));
    };
    let others = |pid, _| {
        if let Some(server) = servers.iter().find(|server| server.pid == pid) {
            say::line(&format!(
                "lab: {} ended while the command was running. The end of its log:\n{}",
                server.name,
                server.log_tail()
            ));
        }
    };
    if !spec.with.is_empty() {
        // In a process of its own, because it is what a person in the lab may run as well.
        let mut starter = Command::new(crate::workspace::own_program()?);
        starter
            .arg("inside-router")
            .args(spec.with.iter().map(|router| router.name()))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        settle(spec, &mut starter);
        let code = keeper.run(&mut starter, others)?;
        if code != 0 {
            return Err(Error::Failed(format!(
                "the routers did not start (exit code {code}; see above)"
            )));
        }
    }
    let mut command = Command::new(program);
    command.args(arguments);
    settle(spec, &mut command);
    keeper.run(&mut command, others)
}

/// Gives a program of the lab its environment.
fn settle(spec: &Spec, command: &mut Command) {
    for name in STRAY {
        command.env_remove(name);
    }
    let mut path = spec.state.join("bin").into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    command
        .env("PATH", path)
        .env("KUBECACHEDIR", spec.state.join("kubecache"))
        .env("KUBECTL_KUBERC", "false")
        .env("INFER_LAB_LEVEL", spec.level.name())
        .env("INFER_LAB_ADDRESS", spec.address.to_string())
        .env("INFER_LAB_MODELS", &spec.models)
        .env("INFER_LAB_STATE", &spec.state);
    if spec.level.has_api_server() {
        command.env("KUBECONFIG", spec.state.join("kubeconfig"));
    } else {
        command.env_remove("KUBECONFIG");
    }
}

fn copy_logs(from: &Path, to: &Path) {
    let copied = std::fs::create_dir_all(to).and_then(|()| {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    });
    match copied {
        Ok(()) => say::line(&format!("lab: logs are in {}", to.display())),
        Err(error) => say::line(&format!(
            "lab: cannot copy the logs to {}: {error}",
            to.display()
        )),
    }
}
