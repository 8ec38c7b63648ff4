//! The servers of a lab: their flags, their start, their end.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions};

use super::https::Client;
use super::inside::Spec;
use super::pki;
use crate::contain::keeper::Keeper;
use crate::{Error, Result};

/// A server that was started.
#[derive(Debug)]
pub struct Server {
    /// What it is called in messages; also the name of its log file.
    pub name: &'static str,
    /// Its process.
    pub pid: Pid,
    /// Where it writes.
    pub log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in `STATE/log/NAME.log`, in a process group of its own:
    /// Ctrl-C is for the command that runs in the lab, not for its servers.
    fn start(spec: &Spec, name: &'static str, command: &mut Command) -> Result<Self> {
        let log = spec.state.join("log").join(format!("{name}.log"));
        let file = File::create(&log).map_err(Error::io(format!("making {}", log.display())))?;
        let again = file.try_clone().map_err(Error::io("sharing a log file"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!(
                "starting {}",
                command.get_program().display()
            )))?;
        Ok(Self {
            name,
            pid: Pid::from_child(&child),
            log,
        })
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// An error if it has ended already.
    fn check_alive(&self) -> Result<()> {
        match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(None) => Ok(()),
            _ => Err(Error::Failed(format!(
                "{} ended while the lab was starting. The end of its log:\n{}",
                self.name,
                self.log_tail()
            ))),
        }
    }

    /// Resident memory in MiB, for the line that says "ready".
    #[must_use]
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_pid());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        kib / 1024
    }
}

/// The API server, as others reach it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom to trust, PEM.
    pub authority: String,
    /// The token of a member of `system:masters`.
    pub token: String,
}

impl Endpoint {
    /// A kubeconfig for it. JSON, which is YAML.
    #[must_use]
    pub fn kubeconfig(&self, authority_file: &Path) -> String {
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority": authority_file,
            }}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
        })
        .to_string()
    }
}

/// Writes a file that only its owner reads.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let doing = || format!("writing {}", path.display());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io(doing()))?;
    file.write_all(text.as_bytes()).map_err(Error::io(doing()))
}

/// Starts etcd and kube-apiserver and waits until the API answers.
///
/// # Errors
///
/// When one of them ends, or the API is not ready within a minute; with the end of its log.
pub fn start(spec: &Spec, keeper: &mut Keeper) -> Result<(Endpoint, Vec<Server>)> {
    // Inside a network namespace every port is free. On the machine's own loopback the kernel
    // chooses.
    let [api, client, peer] = if spec.contained {
        [6443, 2379, 2380]
    } else {
        free_ports(spec.address)?
    };
    let pki = spec.state.join("pki");
    let authority = pki::Authority::new("infer-lab")?;
    let mut names: Vec<String> = ["localhost", "kubernetes", "kubernetes.default", "127.0.0.1"]
        .map(String::from)
        .to_vec();
    names.extend([
        "kubernetes.default.svc".into(),
        "10.96.0.1".into(),
        super::ADDRESS.to_string(),
    ]);
    let leaf = authority.leaf("kube-apiserver", &names)?;
    let (private, public) = pki::service_account_keys()?;
    let token = random_token()?;
    let ca = pki.join("ca.crt");
    write_private(&ca, &authority.certificate())?;
    write_private(&pki.join("apiserver.crt"), &leaf.certificate)?;
    write_private(&pki.join("apiserver.key"), &leaf.key)?;
    write_private(&pki.join("sa.key"), &private)?;
    write_private(&pki.join("sa.pub"), &public)?;
    write_private(
        &pki.join("tokens.csv"),
        &format!("{token},admin,1,system:masters\n"),
    )?;
    let endpoint = Endpoint {
        address: SocketAddr::from((spec.address, api)),
        authority: authority.certificate(),
        token,
    };
    write_private(&spec.state.join("kubeconfig"), &endpoint.kubeconfig(&ca))?;

    let etcd = Server::start(spec, "etcd", &mut etcd(spec, client, peer)?)?;
    let apiserver = Server::start(spec, "kube-apiserver", &mut apiserver(spec, api, client)?)?;
    spec.clock.say("etcd and kube-apiserver started");
    let servers = vec![etcd, apiserver];
    wait_until_ready(&endpoint, &servers, keeper)?;
    Ok((endpoint, servers))
}

fn etcd(spec: &Spec, client: u16, peer: u16) -> Result<Command> {
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let mut command = Command::new(spec.program("etcd")?);
    command
        .arg("--data-dir")
        .arg(spec.state.join("etcd"))
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args([
            "--initial-cluster",
            &format!("default={peer}"),
            "--unsafe-no-fsync",
        ]);
    Ok(command)
}

fn apiserver(spec: &Spec, port: u16, etcd: u16) -> Result<Command> {
    let pki = spec.state.join("pki");
    let mut command = Command::new(spec.program("kube-apiserver")?);
    let mut flag = |name: &str, value: String| {
        command.arg(format!("--{name}={value}"));
    };
    let file = |name: &str| pki.join(name).display().to_string();
    flag("etcd-servers", format!("http://127.0.0.1:{etcd}"));
    flag(
        "bind-address",
        if spec.contained {
            "0.0.0.0".into()
        } else {
            spec.address.to_string()
        },
    );
    // Without it: "no default routes found", and it exits.
    flag("advertise-address", spec.address.to_string());
    flag("secure-port", port.to_string());
    flag("tls-cert-file", file("apiserver.crt"));
    flag("tls-private-key-file", file("apiserver.key"));
    flag("cert-dir", file("apiserver"));
    flag("token-auth-file", file("tokens.csv"));
    flag("authorization-mode", "RBAC".into());
    flag(
        "service-account-issuer",
        "https://kubernetes.default.svc".into(),
    );
    flag("service-account-key-file", file("sa.pub"));
    flag("service-account-signing-key-file", file("sa.key"));
    flag("service-cluster-ip-range", "10.96.0.0/16".into());
    // No controller makes the default service account: with this plugin every Pod would be refused.
    flag("disable-admission-plugins", "ServiceAccount".into());
    if !spec.contained {
        // A loopback address may not be an endpoint of the Service `kubernetes`; nothing in this
        // level needs it.
        flag("endpoint-reconciler-type", "none".into());
    }
    Ok(command)
}

fn wait_until_ready(endpoint: &Endpoint, servers: &[Server], keeper: &mut Keeper) -> Result<()> {
    let client = Client::new(&endpoint.authority, Some(&endpoint.token))?;
    let mut last = String::from("nothing");
    for _ in 0..1200 {
        keeper.pause(Duration::from_millis(50))?;
        for server in servers {
            server.check_alive()?;
        }
        // The namespace `default` comes a moment after "ready", and tests begin with it.
        let ready = client
            .get(endpoint.address, "/readyz")
            .and_then(|(status, answer)| {
                if status != 200 {
                    return Ok((status, answer));
                }
                client.get(endpoint.address, "/api/v1/namespaces/default")
            });
        last = match ready {
            Ok((200, _)) => return Ok(()),
            Ok((status, answer)) => format!("{status}: {answer}"),
            Err(why) => why,
        };
    }
    let tails: String = servers
        .iter()
        .map(|s| format!("\n--- {}\n{}", s.name, s.log_tail()))
        .collect();
    Err(Error::Failed(format!(
        "the API server was not ready within a minute. Last answer: {last}{tails}"
    )))
}

fn free_ports<const N: usize>(address: Ipv4Addr) -> Result<[u16; N]> {
    let doing = "finding free ports";
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((address, 0)).map_err(Error::io(doing))?;
        *port = listener.local_addr().map_err(Error::io(doing))?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn random_token() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("reading /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
