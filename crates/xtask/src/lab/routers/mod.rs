//! Routers of the lab: real control planes with real Envoys, as processes beside the API server.
//!
//! A lab has none until someone asks ([`start`]): a test, or `cargo xtask lab … --with`. Each runs
//! once and stays until the lab ends. It is described in `STATE/routers/NAME.json`. They run in the
//! lab's own network, where they reach pods as a node does.

mod contour;
pub mod crds;
mod istio;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::servers::{self, Server};
use super::session::Lab;
use crate::parts::{self, Part};
use crate::{Error, Result, workspace};

/// How long a process of a router may take to be ready. Idle cores need two seconds, busy ones twenty.
const PATIENCE: Duration = Duration::from_secs(90);

/// A router that a lab can have.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Router {
    /// istiod, and an Envoy as the gateway that a `Gateway` with the selector
    /// `istio: ingressgateway` names. No sidecars.
    Istio,
    /// Contour and its Envoy: Ingresses of class `contour`, HTTPProxies, and the HTTPRoutes of the
    /// Gateway `projectcontour/contour`.
    Contour,
}

impl Router {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Istio, Self::Contour];

    /// The name that people type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Contour => "contour",
        }
    }

    /// The parts that it is made of.
    #[must_use]
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Istio => &["crds", "envoy", "istio"],
            Self::Contour => &["crds", "envoy", "contour"],
        }
    }
}

impl Router {
    /// The same as data, for [`parts::ensure`].
    ///
    /// # Errors
    ///
    /// None that a test of this crate does not find.
    pub fn all_parts(self) -> Result<Vec<&'static Part>> {
        self.parts().iter().map(|name| parts::named(name)).collect()
    }
}

/// A router that runs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Running {
    /// Which.
    pub router: Router,
    /// Where clients connect, with HTTP/1.1 or HTTP/2 in the clear.
    pub http: SocketAddrV4,
    /// Where its Envoy answers `/stats`, `/clusters`, `/config_dump`.
    pub admin: SocketAddrV4,
    /// Its access log, a JSON object a line, written within 100 ms.
    pub access_log: PathBuf,
    /// The control plane and the Envoy.
    pub processes: Vec<Process>,
}

/// A process of a router.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// What it is called; also the name of its log.
    pub name: String,
    /// Its number in the lab's PID namespace.
    pub pid: i32,
    /// Where it writes.
    pub log: PathBuf,
}

impl Running {
    /// An error if one of its processes has ended.
    fn check_alive(&self) -> Result<()> {
        for process in &self.processes {
            if !is_alive(process.pid) {
                let log = fs::read_to_string(&process.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                return Err(Error::Failed(format!(
                    "{} has ended. The end of its log:\n{}",
                    process.name,
                    lines[lines.len().saturating_sub(8)..].join("\n")
                )));
            }
        }
        Ok(())
    }
}

/// Starts a router where it does not run yet, in the lab that this process is in; waits until it
/// is ready. Who asks at the same time waits for the same one.
///
/// # Errors
///
/// [`Error::PartMissing`] when a part of it is not in the cache: a lab has no network to get it
/// from. Others when a process of it ends or is not ready in time, with the end of its log.
pub fn start(lab: &Lab, router: Router) -> Result<Running> {
    if lab.level == "t" {
        return Err(Error::Failed(format!(
            "{} needs an API server, and this lab has none.\nThen: cargo xtask lab l1|l3",
            router.name()
        )));
    }
    let directory = lab.state.join("routers");
    let work = directory.join(router.name());
    fs::create_dir_all(&work).map_err(Error::io(format!("making {}", work.display())))?;
    let lock = directory.join(format!("{}.lock", router.name()));
    let doing = || format!("locking {}", lock.display());
    let lock = File::create(&lock).map_err(Error::io(doing()))?;
    lock.lock().map_err(Error::io(doing()))?;
    let description = directory.join(format!("{}.json", router.name()));
    if let Ok(text) = fs::read_to_string(&description) {
        let running: Running = serde_json::from_str(&text).map_err(|error| {
            Error::Failed(format!("{} is not ours: {error}", description.display()))
        })?;
        running.check_alive()?;
        return Ok(running);
    }
    let mut start = Start {
        lab,
        work,
        programs: programs(router)?,
        servers: Vec::new(),
    };
    let started = match router {
        Router::Istio => istio::start(&mut start),
        Router::Contour => contour::start(&mut start),
    };
    let running = started.inspect_err(|_| {
        for server in &start.servers {
            let _ = rustix::process::kill_process(server.pid, Signal::KILL);
        }
    })?;
    let text = serde_json::to_string_pretty(&running)
        .map_err(|error| Error::Failed(format!("describing {}: {error}", router.name())))?;
    write(&description, &text)?;
    Ok(running)
}

/// A router that is being started.
struct Start<'a> {
    lab: &'a Lab,
    /// A directory of its own.
    work: PathBuf,
    programs: BTreeMap<String, PathBuf>,
    servers: Vec<Server>,
}

impl Start<'_> {
    /// Ports on which it may listen: these, which nothing else in a lab's own network has, or free
    /// ones on a machine's.
    fn ports<const N: usize>(&self, usual: [u16; N]) -> Result<[u16; N]> {
        if self.lab.address == Ipv4Addr::LOCALHOST {
            return servers::free_ports(Ipv4Addr::LOCALHOST);
        }
        Ok(usual)
    }

    fn program(&self, name: &str) -> Result<Command> {
        let file = self
            .programs
            .get(name)
            .ok_or_else(|| Error::Failed(format!("no part of this router provides {name}")))?;
        let mut command = Command::new(file);
        command.current_dir(&self.work);
        Ok(command)
    }

    /// The Envoy of this router, with its bootstrap in `file`.
    fn envoy(&self, file: &str) -> Result<Command> {
        let mut command = self.program("envoy")?;
        command
            .args(["-c", file])
            // One worker: its counters and its round robin are then the whole proxy's.
            .args(["--concurrency", "1", "--disable-hot-restart"])
            // Ten seconds is the default, and a test reads the access log at once.
            .args(["--file-flush-interval-msec", "50"])
            .args(["--log-level", "warning"]);
        Ok(command)
    }

    fn start(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        let server = Server::start(&self.lab.state, name, &mut command)?;
        self.servers.push(server);
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write(&self.work.join(name), text)
    }

    /// Applies a manifest of `tests/lab`, with these words replaced.
    fn apply(&self, path: &str, words: &[(&str, String)]) -> Result<()> {
        let text = template(path, words)?;
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.lab.kubectl_ok(&arguments, &text).map(drop)
    }

    /// Waits until something answers a GET with 200.
    fn until_ok(&self, what: &str, server: SocketAddrV4, path: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            for server in &self.servers {
                server.check_alive()?;
            }
            let last = match super::http::get(server, path) {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(why) => why,
            };
            if Instant::now() > until {
                let logs: String = self
                    .servers
                    .iter()
                    .map(|server| format!("\n--- {}\n{}", server.name, server.log_tail()))
                    .collect();
                return Err(Error::Failed(format!(
                    "{what} was not ready at http://{server}{path} within {} s. Last answer: {last}{logs}",
                    PATIENCE.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn running(&self, router: Router, http: SocketAddrV4, admin: SocketAddrV4) -> Running {
        let processes = self.servers.iter().map(|server| Process {
            name: server.name.into(),
            pid: server.pid.as_raw_pid(),
            log: server.log.clone(),
        });
        Running {
            router,
            http,
            admin,
            access_log: access_log(self.lab, router),
            processes: processes.collect(),
        }
    }
}

fn access_log(lab: &Lab, router: Router) -> PathBuf {
    let name = format!("{}-access.jsonl", router.name());
    lab.state.join("log").join(name)
}

/// The programs and files of a router's parts.
fn programs(router: Router) -> Result<BTreeMap<String, PathBuf>> {
    let mut programs = BTreeMap::new();
    for name in router.parts() {
        let found = parts::find(parts::named(name)?)?.ok_or_else(|| {
            Error::PartMissing(format!(
                "{} needs the part {name}, which is not in the cache, and a lab has no network to get it from.\n\
                 Then: cargo xtask setup --part {name}",
                router.name()
            ))
        })?;
        programs.extend(found);
    }
    Ok(programs)
}

/// A file of `tests/lab` with these words replaced.
fn template(path: &str, words: &[(&str, String)]) -> Result<String> {
    let path = workspace::root().join("tests/lab").join(path);
    let mut text =
        fs::read_to_string(&path).map_err(Error::io(format!("reading {}", path.display())))?;
    for (word, value) in words {
        text = text.replace(word, value);
    }
    Ok(text)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))
}

/// Whether a process runs; one that waits to be reaped does not.
fn is_alive(pid: i32) -> bool {
    let runs =
        Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    runs && state != Some("Z")
}
