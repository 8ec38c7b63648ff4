//! A canary whose command is killed, whose route somebody else writes to, whose API server stands
//! still: the weight stays what was decided, a message says what to do, and any machine goes on.
//! Every fault in every state is `crates/infer-canary/tests/machine`.

use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use infer_tests::canary::{canary, left};
use infer_tests::exercise::node_lab;
use infer_tests::flawed::{Ask, GOOD, STABLE, Versions};
use infer_tests::space::{Space, poll};
use serde_json::Value;

/// How long the commands of a Lease's other holders take to notice that it expired, at most.
const EXPIRES: Duration = Duration::from_secs(18);

fn start(versions: &Versions, more: &[&str]) -> Child {
    let image = format!("--image={}", GOOD.image());
    // A step that no test outlasts: what happens is what the test does.
    let always = [
        "--steps=10,50",
        "--step-time=30m",
        "--synthetic=20",
        "--yes",
    ];
    let mut command = Command::new("kubectl-infer");
    command.args([
        "canary",
        "start",
        "deployment/llama",
        "-n",
        &versions.space.name,
    ]);
    if more.is_empty() {
        command.arg(image).args(always);
    } else {
        command.args(more);
    }
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
    piped.stderr(Stdio::piped()).spawn().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn report(versions: &Versions) -> Value {
    let output = canary(versions, &["status", "deployment/llama", "-o", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn until_at(versions: &Versions, state: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let report = report(versions);
        if report["state"]["at"] == state {
            return;
        }
        assert!(Instant::now() < until, "not {state}: {report:#}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// The canary's weight as it is stored; none where there is no canary Ingress.
fn weight(versions: &Versions) -> Option<String> {
    let jsonpath = r"jsonpath={.metadata.annotations.nginx\.ingress\.kubernetes\.io/canary-weight}";
    let get = ["get", "ingress", "llama-canary", "-o", jsonpath];
    let output = versions.space.run(&get, "");
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

#[test]
fn whoever_comes_next_goes_on_and_nobody_is_fought() {
    let Some(lab) = node_lab() else { return };
    let versions = Versions::start(Space::in_group(lab, "canary-left", None), STABLE);
    let clients = versions.traffic(&Ask::completion(4), 1);

    // Killed before it had a share: there is none, and the same command goes on.
    let child = start(&versions, &[]);
    until_at(&versions, "preparing");
    kill(child);
    assert!(matches!(weight(&versions).as_deref(), None | Some("0")));
    let early = canary(&versions, &["start", "deployment/llama", "--yes"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(
        said(&early).contains("is being driven by kubectl-infer/"),
        "{}",
        said(&early)
    );
    thread::sleep(EXPIRES);

    // Killed with a share: it stays that of the step.
    let child = start(&versions, &["--yes"]);
    until_at(&versions, "analysing");
    assert_eq!(weight(&versions).as_deref(), Some("10"));
    // A second one of the same workload, meanwhile.
    let image = format!("--image={}", GOOD.image());
    let second = canary(&versions, &["start", "deployment/llama", &image, "--yes"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        said(&second).contains("canary abort deployment/llama"),
        "{}",
        said(&second)
    );
    kill(child);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(weight(&versions).as_deref(), Some("10"));

    // Another machine takes it back, once the Lease of the killed one has expired.
    let began = Instant::now();
    let abort = canary(&versions, &["abort", "deployment/llama"]);
    assert_eq!(abort.status.code(), Some(0), "{}", said(&abort));
    assert!(
        said(&abort).contains("requests reached the canary"),
        "{}",
        said(&abort)
    );
    println!("aborted by another after {:?}", began.elapsed());
    assert_eq!(left(&versions), ["Deployment/llama-canary 0"]);

    // A conflicting writer: what it wrote stays, the command says so and ends with 3.
    let child = start(&versions, &[]);
    until_at(&versions, "analysing");
    // And an API server that stands still for a while is waited for.
    stop_api_server(&versions, Duration::from_secs(6));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(report(&versions)["state"]["at"], "analysing");
    versions.space.ok(
        &[
            "annotate",
            "--overwrite",
            "ingress",
            "llama-canary",
            "nginx.ingress.kubernetes.io/canary-weight=60",
        ],
        "",
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(
        said(&output).contains("somebody else set the weight to 60; 10 was written"),
        "{}",
        said(&output)
    );
    assert_eq!(weight(&versions).as_deref(), Some("60"));

    // A wish that is heard by who drives.
    let child = start(&versions, &["--yes"]);
    until_at(&versions, "analysing");
    assert_eq!(weight(&versions).as_deref(), Some("10"));
    let abort = canary(&versions, &["abort", "deployment/llama"]);
    assert_eq!(abort.status.code(), Some(0), "{}", said(&abort));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("rolled back: aborted"),
        "{}",
        said(&output)
    );

    let answers = clients.end();
    let lost: Vec<_> = answers.iter().filter(|it| !it.is_good()).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    versions.end();
}

/// The lab's API server gets no time of the processor for so long.
fn stop_api_server(versions: &Versions, long: Duration) {
    // That of this lab: another may run beside it.
    let own = format!("kube-apiserver .*{}", versions.space.lab.state.display());
    let signal = |name: &str| {
        let done = Command::new("pkill").args([name, "-f", &own]).status();
        assert!(done.unwrap().success(), "pkill {name}");
    };
    signal("-STOP");
    thread::sleep(long);
    signal("-CONT");
    poll("the API server answers", || {
        let output = Command::new("kubectl")
            .args(["get", "--raw", "/readyz"])
            .output();
        output.unwrap().status.success()
    });
}
