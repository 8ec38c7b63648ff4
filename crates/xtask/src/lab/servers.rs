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
use super::{node, pki};
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
    pub(super) fn start(state: &Path, name: &'static str, command: &mut Command) -> Result<Self> {
        let log = state.join("log").join(format!("{name}.log"));
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
    pub(super) fn check_alive(&self) -> Result<()> {
        match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(None) => Ok(()),
            _ => Err(Error::Failed(format!(
                "{} ended while it was starting. The end of its log:\n{}",
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

/// Someone whom the API server knows by a token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// A kubeconfig with the token.
    pub kubeconfig: PathBuf,
}

/// Users, their groups, and the name of their kubeconfig in the lab's directory.
const IDENTITIES: [(&str, &str, &str); 5] = [
    ("admin", "system:masters", "kubeconfig"),
    (
        "system:kube-controller-manager",
        "",
        "controller-manager.kubeconfig",
    ),
    ("system:kube-scheduler", "", "scheduler.kubeconfig"),
    // kubernetes/kubernetes plugin/pkg/auth/authorizer/node: the name says which node.
    ("system:node:lab-node", "system:nodes", "kubelet.kubeconfig"),
    ("system:kube-proxy", "", "kube-proxy.kubeconfig"),
];

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

/// Starts what the level has and waits until it answers.
///
/// # Errors
///
/// When a server ends, or is not ready within a minute; with the end of its log.
pub fn start(spec: &Spec, keeper: &mut Keeper) -> Result<(Endpoint, Vec<Server>)> {
    let Some(needs) = &spec.node else {
        let (endpoint, _, mut servers) = start_api(spec)?;
        wait_until_ready(&endpoint, &mut servers, keeper)?;
        return Ok((endpoint, servers));
    };
    let containerd = node::prepare(spec, needs)?;
    let (endpoint, identities, mut servers) = start_api(spec)?;
    servers.push(containerd);
    // The images come in while the API server starts: both take seconds.
    std::thread::scope(|scope| {
        let import = scope.spawn(|| node::import(spec, needs));
        wait_until_ready(&endpoint, &mut servers, keeper)?;
        spec.clock.say("API server ready");
        node::start(spec, needs, &identities, &mut servers, keeper)?;
        import
            .join()
            .unwrap_or_else(|_| Err(Error::Failed("importing images panicked".into())))
    })?;
    Ok((endpoint, servers))
}

/// Starts etcd and kube-apiserver.
fn start_api(spec: &Spec) -> Result<(Endpoint, Vec<Identity>, Vec<Server>)> {
    // Inside a network namespace every port is free. On the machine's own loopback the kernel
    // chooses.
    let [api, client_port, peer] = if spec.contained {
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
    let kubelet = authority.leaf(node::NODE, &[node::NODE.into(), spec.address.to_string()])?;
    write_private(&pki.join("kubelet.crt"), &kubelet.certificate)?;
    write_private(&pki.join("kubelet.key"), &kubelet.key)?;
    let client = authority.client("kube-apiserver-kubelet-client", "system:masters")?;
    write_private(&pki.join("kubelet-client.crt"), &client.certificate)?;
    write_private(&pki.join("kubelet-client.key"), &client.key)?;
    let address = SocketAddr::from((spec.address, api));
    let mut tokens = String::new();
    let mut identities = Vec::new();
    for (number, (user, group, file)) in IDENTITIES.into_iter().enumerate() {
        let token = if number == 0 {
            token.clone()
        } else {
            random_token()?
        };
        tokens.push_str(&format!("{token},{user},{number},{group}\n"));
        let own = Endpoint {
            address,
            authority: authority.certificate(),
            token,
        };
        let kubeconfig = spec.state.join(file);
        write_private(&kubeconfig, &own.kubeconfig(&ca))?;
        identities.push(Identity {
            user: user.into(),
            kubeconfig,
        });
    }
    write_private(&pki.join("tokens.csv"), &tokens)?;
    let endpoint = Endpoint {
        address,
        authority: authority.certificate(),
        token,
    };

    let etcd = Server::start(&spec.state, "etcd", &mut etcd(spec, client_port, peer)?)?;
    let apiserver = Server::start(
        &spec.state,
        "kube-apiserver",
        &mut apiserver(spec, api, client_port)?,
    )?;
    spec.clock.say("etcd and kube-apiserver started");
    Ok((endpoint, identities, vec![etcd, apiserver]))
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
    flag("authorization-mode", "Node,RBAC".into());
    flag(
        "service-account-issuer",
        "https://kubernetes.default.svc".into(),
    );
    flag("service-account-key-file", file("sa.pub"));
    flag("service-account-signing-key-file", file("sa.key"));
    flag("service-cluster-ip-range", "10.96.0.0/16".into());
    if spec.node.is_some() {
        flag("client-ca-file", file("ca.crt"));
        flag("kubelet-client-certificate", file("kubelet-client.crt"));
        flag("kubelet-client-key", file("kubelet-client.key"));
        flag("kubelet-certificate-authority", file("ca.crt"));
        flag("kubelet-preferred-address-types", "InternalIP".into());
        flag("allow-privileged", "true".into());
        flag("enable-admission-plugins", "NodeRestriction".into());
    } else {
        // No controller makes the default service account: with this plugin every Pod would be
        // refused.
        flag("disable-admission-plugins", "ServiceAccount".into());
    }
    if !spec.contained {
        // A loopback address may not be an endpoint of the Service `kubernetes`; nothing in this
        // level needs it.
        flag("endpoint-reconciler-type", "none".into());
    }
    Ok(command)
}

fn wait_until_ready(
    endpoint: &Endpoint,
    servers: &mut [Server],
    keeper: &mut Keeper,
) -> Result<()> {
    let client = Client::new(&endpoint.authority, Some(&endpoint.token))?;
    let mut last = String::from("nothing");
    for _ in 0..1200 {
        keeper.pause(Duration::from_millis(50))?;
        for server in &*servers {
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

pub(super) fn free_ports<const N: usize>(address: Ipv4Addr) -> Result<[u16; N]> {
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
