//! Logs and exec, as `test` and `drill` ask for them: both need a kubelet.

use infer_cluster::{Cluster, ConnectionOptions, RequestError, Since, What};
use infer_tests::exercise::node_lab;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "infer-cluster-node";

fn kubectl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a pod that runs this script under an init, waits until it runs, and gives the cluster.
fn on_a_node<T>(pod: &str, script: &str, test: impl AsyncFnOnce(Cluster) -> T) -> Option<T> {
    node_lab()?;
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}");
    kubectl(&["apply", "-f", "-"], &namespace);
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": NAMESPACE},
        "spec": {
            "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
            "containers": [{
                "name": "c", "image": "docker.io/lab/llama-server:init",
                "imagePullPolicy": "Never",
                "command": ["/usr/bin/catatonit", "--", "sh", "-c", script],
            }],
        },
    });
    kubectl(&["apply", "-f", "-"], &manifest.to_string());
    let running = "--for=jsonpath={.status.phase}=Running";
    let name = format!("pod/{pod}");
    kubectl(
        &["wait", "-n", NAMESPACE, running, &name, "--timeout=60s"],
        "",
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = runtime.block_on(async {
        let cluster = Cluster::connect(&ConnectionOptions::default())
            .await
            .unwrap();
        tokio::time::timeout(PATIENCE, test(cluster)).await
    });
    kubectl(
        &[
            "delete",
            "-n",
            NAMESPACE,
            &name,
            "--wait=false",
            "--ignore-not-found",
        ],
        "",
    );
    Some(done.expect("a test on the node ends within a minute"))
}

#[test]
fn a_command_in_a_container_tells_its_output_and_its_end() {
    on_a_node("exec", "sleep 600", async |cluster| {
        let run = |command: Vec<&'static str>, limit: u64, bytes: usize| {
            let cluster = cluster.clone();
            async move {
                let limit = Duration::from_millis(limit);
                cluster
                    .exec(NAMESPACE, "exec", Some("c"), &command, limit, bytes)
                    .await
            }
        };
        let script = "echo out; echo err >&2; exit 7";
        let output = run(vec!["sh", "-c", script], 5000, 1000).await.unwrap();
        assert_eq!(output.code, Some(7));
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert!(!output.is_cut);
        let output = run(vec!["true"], 5000, 1000).await.unwrap();
        assert_eq!(output.code, Some(0));
        let output = run(vec!["seq", "100000"], 5000, 1000).await.unwrap();
        assert_eq!(
            (output.code, output.stdout.len(), output.is_cut),
            (Some(0), 1000, true)
        );

        let error = run(vec!["no-such-program"], 5000, 1000).await.unwrap_err();
        assert!(matches!(error, RequestError::Other { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("no-such-program"), "{text}");
        let since = Instant::now();
        let error = run(vec!["sleep", "60"], 1000, 1000).await.unwrap_err();
        assert!(matches!(error, RequestError::TimedOut { .. }), "{error:?}");
        assert!(
            since.elapsed() < Duration::from_secs(3),
            "{:?}",
            since.elapsed()
        );
        let limit = Duration::from_secs(5);
        let error = cluster
            .exec(NAMESPACE, "nobody", None, &["true"], limit, 1000)
            .await;
        assert!(
            matches!(error, Err(RequestError::NotFound { .. })),
            "{error:?}"
        );
        let error = cluster
            .exec(NAMESPACE, "exec", Some("other"), &["true"], limit, 1000)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("other"), "{error}");
    });
}

#[test]
fn a_command_that_kills_its_container_comes_back() {
    on_a_node("kill", "exec sleep 600", async |cluster| {
        let command = ["sh", "-c", "kill -9 $(pidof sleep); sleep 5"];
        let limit = Duration::from_secs(10);
        let since = Instant::now();
        let output = cluster
            .exec(NAMESPACE, "kill", None, &command, limit, 1000)
            .await;
        let output = output.unwrap();
        // The runtime kills what is left in the container; 137, or no word of it.
        assert!(matches!(output.code, Some(137) | None), "{output:?}");
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{:?}",
            since.elapsed()
        );
    });
}

#[test]
fn a_log_goes_on_over_a_restart_and_ends_with_the_pod() {
    // The first run ends by itself; the second goes on.
    let script = "n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo \"$$ line $n $(cat /proc/uptime)\"; \
                  sleep 0.1; done; exit 1";
    on_a_node("log", script, async |cluster| {
        let mut feed = cluster.follow_log(NAMESPACE, "log", Some("c"), Since::Beginning);
        let mut numbers = Vec::new();
        let mut lateness = Vec::new();
        while numbers.iter().filter(|it| **it == 1).count() < 2 || numbers.len() < 30 {
            match feed.next().await.expect("the pod lives") {
                Ok(line) => {
                    let number = line.text.split(' ').nth(2).unwrap().parse::<u32>().unwrap();
                    numbers.push(number);
                    // One machine, so one clock.
                    let age = line.at.elapsed();
                    let written = SystemTime::now().duration_since(line.written.unwrap());
                    lateness.push(written.unwrap_or_default().saturating_sub(age));
                }
                Err(error) => assert!(error.to_string().contains("log"), "{error}"),
            }
        }
        let first: Vec<u32> = (1..=20).collect();
        assert_eq!(numbers[..20], first, "each line once, none lost");
        assert_eq!(numbers[20..30], first[..10], "the second run too");
        lateness.sort_unstable();
        let median = lateness[lateness.len() / 2];
        assert!(median < Duration::from_millis(500), "{median:?} late");
        let pod = cluster
            .get(What::Pod, Some(NAMESPACE), "log")
            .await
            .unwrap();
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        cluster
            .delete_pod(NAMESPACE, "log", uid, Some(0), false)
            .await
            .unwrap();
        let since = Instant::now();
        while feed.next().await.is_some() {}
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "{:?}",
            since.elapsed()
        );
        print_late(&lateness);
    });
}

#[expect(clippy::print_stderr, reason = "a figure, for whoever looks")]
fn print_late(lateness: &[Duration]) {
    let (median, largest) = (lateness[lateness.len() / 2], lateness[lateness.len() - 1]);
    eprintln!("lines arrive late by: p50 {median:?}, largest {largest:?}");
}
