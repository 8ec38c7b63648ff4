//! The program as a process.

use crate::bad_input::deep;
use crate::client::{Pair, connect, head};
use crate::reviews::{create, deployment, patch_of};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A running webhook, killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
    pair: Pair,
    log: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(pair: &Pair) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infer-webhook"));
    command
        .args(["--listen", "127.0.0.1:0", "--tls-cert-file"])
        .arg(pair.certificate())
        .arg("--tls-private-key-file")
        .arg(pair.key())
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start() -> Process {
    let pair = Pair::new();
    let mut child = command(&pair).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let log = Arc::new(Mutex::new(String::new()));
    let mut address = None;
    while address.is_none() {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        if line["message"] == "listening" {
            address = Some(line["address"].as_str().unwrap().parse().unwrap());
        }
    }
    let writer = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in lines {
            writer.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    Process {
        child,
        address: address.unwrap(),
        pair,
        log,
    }
}

impl Process {
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

#[tokio::test]
async fn no_input_kills_it_or_makes_it_grow() {
    let process = start();
    let certificate = process.pair.certificate();
    let connect = || connect(process.address, &certificate);
    let mut good = connect().await.unwrap();
    let review = create(&deployment(1)).to_string();
    for _ in 0..20 {
        assert_eq!(good.post("/mutate", review.as_bytes()).await.code, 200);
    }
    let before = process.resident_kib();

    let mut odd = deployment(1);
    odd["spec"]["template"]["spec"]["containers"] = json!("a string where a list belongs");
    let many = create(&deployment(1000)).to_string();
    for _ in 0..5 {
        let mut client = connect().await.unwrap();
        assert_eq!(
            client.post("/mutate", &vec![b' '; 10_000_000]).await.code,
            413
        );
        assert_eq!(client.post("/mutate", &deep(100_000)).await.code, 400);
        let empty = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
        assert_eq!(
            client
                .post("/mutate", empty.to_string().as_bytes())
                .await
                .code,
            400
        );
        client
            .send(head("/mutate", "text/plain", 2).as_bytes())
            .await
            .unwrap();
        client.send(b"{}").await.unwrap();
        assert_eq!(client.reply().await.unwrap().code, 415);
        assert_eq!(
            client
                .post("/mutate", create(&odd).to_string().as_bytes())
                .await
                .code,
            200
        );
        assert_eq!(client.post("/mutate", many.as_bytes()).await.code, 200);
        let mut plain = tokio::net::TcpStream::connect(process.address)
            .await
            .unwrap();
        plain.write_all(&[0xff; 100_000]).await.unwrap_or_default();
    }
    let grown = process.resident_kib().saturating_sub(before);
    eprintln!("resident before {before} KiB, grown by {grown} KiB");
    assert!(grown < 40 * 1024, "grown by {grown} KiB");
    assert_eq!(
        good.post("/mutate", review.as_bytes()).await.code,
        200,
        "alive"
    );
    let log = process.log.lock().unwrap().clone();
    assert!(!log.contains("panic") && !log.contains("vllm"), "{log}");
}

#[tokio::test]
async fn it_reviews_and_stops_on_sigterm_with_code_0() {
    let mut process = start();
    let mut client = connect(process.address, &process.pair.certificate())
        .await
        .unwrap();
    let reply = client
        .post(
            "/mutate?timeout=2s",
            create(&deployment(1)).to_string().as_bytes(),
        )
        .await;
    assert!(
        patch_of(&reply.json())
            .to_string()
            .contains("readinessProbe")
    );
    process.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reply = client.get("/readyz").await;
    assert_eq!(
        (reply.code, reply.head.contains("connection: close")),
        (503, true)
    );
    let code = tokio::task::spawn_blocking(move || process.child.wait().unwrap().code());
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(8), code)
            .await
            .unwrap()
            .unwrap(),
        Some(0)
    );
}

#[test]
fn sigint_ends_it_at_once_with_code_0() {
    let mut process = start();
    let started = std::time::Instant::now();
    process.signal(Signal::INT);
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
}

fn fails(command: &mut Command) -> String {
    let Output {
        status,
        stderr,
        stdout,
    } = command.output().unwrap();
    assert_eq!((status.code(), stdout.len()), (Some(1), 0));
    String::from_utf8(stderr).unwrap()
}

#[test]
fn it_does_not_start_on_what_is_wrong_and_says_what() {
    let pair = Pair::new();
    let home = pair.directory.path();
    let usage = fails(Command::new(env!("CARGO_BIN_EXE_infer-webhook")).stdin(Stdio::null()));
    assert!(usage.contains("--tls-cert-file <FILE>"), "{usage}");
    let kubeconfig = home.join("kubeconfig");
    let text = fails(command(&pair).arg("--kubeconfig").arg(&kubeconfig));
    assert!(
        text.contains("kubeconfig: the kubeconfig cannot be used: "),
        "{text}"
    );
    let policy = home.join("policy.yaml");
    std::fs::write(
        &policy,
        "apiVersion: v1\nkind: InferencePolicy\nspec: {drainWindows: 1}\n",
    )
    .unwrap();
    let text = fails(command(&pair).arg("--policy").arg(&policy));
    assert!(
        text.contains("policy.yaml:1:1: `apiVersion` is `v1`"),
        "{text}"
    );
    assert!(text.contains("policy.yaml:3:8: "), "{text}");
    let text = fails(command(&pair).args(["--policy", "nope.yaml"]));
    assert!(
        text.contains("nope.yaml: cannot read the policy: No such file"),
        "{text}"
    );
    let text = fails(command(&pair).args(["--listen", "127.0.0.1:notaport"]));
    assert!(
        text.contains("error: the argument '--listen"),
        "given twice: {text}"
    );
}

#[test]
fn certificates_come_from_files_or_from_a_secret() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_infer-webhook"));
        fails(
            command
                .args(["--listen", "127.0.0.1:0"])
                .args(arguments)
                .env_remove("KUBERNETES_SERVICE_HOST")
                .stdin(Stdio::null()),
        )
    };
    let text = run(&[]);
    assert!(
        text.contains("<--tls-cert-file <FILE>|--certificate-secret <[NAMESPACE/]NAME>>"),
        "{text}"
    );
    let text = run(&["--tls-cert-file", "a"]);
    assert!(text.contains("--tls-private-key-file <FILE>"), "{text}");
    let text = run(&["--certificate-secret", "a/b"]);
    assert!(text.contains("--service <NAME>"), "{text}");
    let secret = ["--certificate-secret", "a/b", "--service", "s"];
    let files = ["--tls-cert-file", "a", "--tls-private-key-file", "b"];
    let text = run(&[secret, files].concat());
    assert!(text.contains("cannot be used with"), "{text}");
    let text = run(&["--certificate-secret", "a/b/c", "--service", "s"]);
    assert!(text.contains("wanted NAME or NAMESPACE/NAME"), "{text}");
    let text = run(&[&files[..], &["--register", "r"]].concat());
    assert!(text.contains("--certificate-secret"), "{text}");
    let text = run(&secret);
    assert!(
        text.contains("this is no pod\n  = help: give --kubeconfig FILE"),
        "{text}"
    );
    let text = run(&["--certificate-secret", "a/b", "--service", "no name"]);
    assert!(text.contains("wanted the name of a Service"), "{text}");
}
