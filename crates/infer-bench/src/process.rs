//! A server under test as a child process, and what the kernel says of it.

use crate::error::{Error, Result};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Our own `serve` with the engine over a populated snapshot.
    Engine,
    /// Our own `serve` with the constant patch.
    Floor,
    /// The program `infer-webhook`, without a cluster.
    Webhook,
}

/// A server that runs. It is killed when dropped; ours also end when their stdin does, so that not
/// even `kill -9` of the bench leaves one behind.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts one on a free port of 127.0.0.1 and waits until it listens.
    pub(crate) fn start(which: Which, certificate: &Path, key: &Path) -> Result<Process> {
        let own = std::env::current_exe().map_err(Error::io("finding the bench's own program"))?;
        let mut command = match which {
            Which::Webhook => {
                let mut command = Command::new(own.with_file_name("infer-webhook"));
                command.args(["--listen", "127.0.0.1:0"]);
                command
            }
            Which::Engine | Which::Floor => {
                let mut command = Command::new(own);
                command.arg("serve");
                if which == Which::Floor {
                    command.arg("--floor");
                }
                command
            }
        };
        command
            .arg("--tls-cert-file")
            .arg(certificate)
            .arg("--tls-private-key-file")
            .arg(key);
        Process::launch(command, &format!("{which:?}"))
    }

    /// Starts a server that says as JSON on stderr where it listens, and waits until it does.
    pub(crate) fn launch(mut command: Command, name: &str) -> Result<Process> {
        let started = Instant::now();
        let mut child = command
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env_remove("KUBECONFIG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(format!("starting {name} ({command:?})")))?;
        let address = child.stderr.take().and_then(listening);
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Failed(format!("{name} ended before it listened")));
        };
        Ok(Process {
            child,
            address,
            started,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What all its threads, ended ones too, used of the CPU: user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = self.proc("stat")?;
        // The name of the program stands in parentheses and may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        // Fields 14 and 15 of proc(5), counted from the third.
        let spent: Option<u64> = fields
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(|it| it.parse::<u64>().ok())
            .sum();
        let spent = spent.ok_or_else(|| Error::Failed(format!("cannot read `{stat}`")))?;
        Ok(Duration::from_secs_f64(spent as f64 / ticks as f64))
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    /// The most that was resident so far, in bytes.
    pub(crate) fn peak(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Result<f64> {
        memory(&self.proc("status")?, field)
            .ok_or_else(|| Error::Failed(format!("/proc/PID/status has no {field}")))
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).map_err(Error::io(format!("reading {path}")))
    }
}

/// A field of `/proc/PID/status` that counts kB, in bytes.
pub(crate) fn memory(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// Reads the log until it says where the server listens; what comes after is read and thrown away,
/// so that no full pipe stops the server.
fn listening(log: std::process::ChildStderr) -> Option<SocketAddr> {
    let mut lines = BufReader::new(log).lines().map_while(std::io::Result::ok);
    let address = lines.find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).ok()?;
        line.get("address")?.as_str()?.parse().ok()
    });
    std::thread::spawn(move || lines.for_each(drop));
    address
}
