//! `drill` up to the fault: flags, refusals and the plan. What happens after it is run on a real
//! node (`tests/tests/l3`), because only there is something to break.

use crate::cluster::Cluster;
use crate::sandbox::{Place, Run, session};
use serde_json::{Value, json};

const LLAMA: &str = "ghcr.io/ggml-org/llama.cpp:server";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const LINE: &str = "-";

/// A route with this many ready replicas; the one that `Cluster::route` adds is not ready.
fn route(ready: usize) -> Cluster {
    let cluster = Cluster::start();
    for index in 0..2 {
        let state = if index < ready { "True" } else { "False" };
        cluster.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("llama-{index}"), "namespace": "inference",
                    "uid": format!("u{index}"), "labels": {"app": "llama"}},
                "spec": {"nodeName": "n", "containers": [{"name": "server", "image": LLAMA}]},
                "status": {"phase": "Running", "podIP": format!("10.0.0.{}", 8 + index),
                    "conditions": [{"type": "Ready", "status": state}]},
            }),
        );
    }
    cluster.route(OK, LINE, LLAMA);
    cluster.put("poddisruptionbudgets", budget("other", "other", 0));
    cluster
}

fn budget(name: &str, app: &str, allowed: i64) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "inference"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2},
    })
}

fn drill(cluster: &Cluster, args: &[&str]) -> Run {
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    let always = ["drill", "ingress/front", "--kubeconfig", "kubeconfig"];
    place.run(&[&always, args].concat())
}

#[test]
fn a_dry_run_shows_the_plan_and_does_nothing() {
    let cluster = route(2);
    let run = drill(&cluster, &["--fault", "delete", "--dry-run"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.starts_with("PLAN\n"), "{}", run.out);
    for words in [
        "context c, namespace inference, ingress/front",
        "victim  pod/llama-1 on n (2 of 3 ready in Pod/llama-1, llama.cpp)",
        "fault   delete: delete the pod with its own grace period",
        "2 lanes × 10 req/s for 10s + 60s after the fault, 8 open streams",
        "dry run: nothing was done",
        "drill ingress/front --kubeconfig kubeconfig --fault delete",
    ] {
        assert!(run.out.contains(words), "{words:?} in {}", run.out);
    }
    let other = [
        "--duration",
        "90s",
        "--max-outage",
        "2s",
        "--max-error-rate",
        "0.01",
    ];
    let run = drill(
        &cluster,
        &[&["--fault", "delete", "--dry-run"], &other[..]].concat(),
    );
    let again = "--fault delete --duration 1m30s --max-outage 2s --max-error-rate 1%";
    assert!(run.out.contains(again), "{}", run.out);
    let args = [
        "--fault",
        "delete",
        "--dry-run",
        "-o",
        "json",
        "--pod",
        "pod/llama-0",
    ];
    let report = drill(&cluster, &args).json();
    assert_eq!(report["kind"], "DrillReport");
    assert_eq!(report["plan"]["victim"]["pod"], "llama-0");
    assert_eq!(report["plan"]["victim"]["address"], "10.0.0.8:8080");
    assert_eq!(
        (&report["fault"], &report["errors"]),
        (&json!(null), &json!([]))
    );
}

#[test]
fn a_refusal_says_why_and_what_to_do_and_ends_with_1() {
    let breaking = route(2);
    breaking.put("poddisruptionbudgets", budget("llama", "llama", 0));
    let unknown = route(2);
    unknown.refuse("/poddisruptionbudgets");
    let cases: [(&Cluster, &[&str], [&str; 2]); 6] = [
        (
            &route(1),
            &["--yes"],
            [
                "1 ready of 3 pods, a drill needs two",
                "`kubectl get pods` says",
            ],
        ),
        (
            &route(2),
            &[],
            [
                "asks first, but stdin is no terminal",
                "`--dry-run` shows the plan",
            ],
        ),
        (
            &route(2),
            &["--yes", "--pod", "llama-7"],
            [
                "pod/llama-7 is no ready pod behind ingress/front",
                "ready are llama-0, llama-1",
            ],
        ),
        (
            &breaking,
            &["--yes"],
            [
                "PodDisruptionBudget/llama would break",
                "kubectl describe pdb llama",
            ],
        ),
        (
            &unknown,
            &["--yes"],
            [
                "whether a PodDisruptionBudget forbids it is unknown",
                "poddisruptionbudgets",
            ],
        ),
        (
            &route(2),
            &["--yes", "--fault", "crash"],
            ["has no shell with `cat`", "--fault force-delete"],
        ),
    ];
    for (cluster, args, [what, help]) in cases {
        let fault: &[&str] = if args.contains(&"--fault") {
            &[]
        } else {
            &["--fault", "delete"]
        };
        let args = [fault, args].concat();
        let run = drill(cluster, &args);
        assert_eq!(run.code, 1, "{args:?} {run:?}");
        let err = run.err.replace("\n          ", " ");
        assert!(err.contains(what) && err.contains(help), "{args:?} {err}");
        let report = drill(cluster, &[&args[..], &["-o", "json"]].concat()).json();
        let message = report["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(what), "{report}");
        assert_eq!(report["kind"], "DrillReport");
    }
}

#[test]
fn what_is_wrong_with_the_command_line_is_said_without_a_cluster() {
    let place = Place::new(&[]);
    for (args, what) in [
        (&["ingress/a"][..], "--fault"),
        (
            &["ingress/a", "--fault", "hang"],
            "one of delete, force-delete, crash",
        ),
        (
            &["http://a/", "--fault", "crash"],
            "a drill needs the pods behind it",
        ),
        (&["service/a", "--fault", "crash"], "inside the cluster"),
        (
            &["ingress/a", "--fault", "crash", "--rate", "500"],
            "a drill is no load test",
        ),
        (
            &["ingress/a", "--fault", "crash", "--streams", "65"],
            "a drill is no load test",
        ),
        (
            &["ingress/a", "--fault", "crash", "--method", "PUT"],
            "--method has no place",
        ),
        (
            &["ingress/a", "--fault", "crash", "--max-error-rate", "2"],
            "a share such as",
        ),
        (
            &["ingress/a", "--fault", "crash", "--data", "-"],
            "stdin is no terminal",
        ),
    ] {
        let args = [&["drill"], args].concat();
        let run = place.run(&args);
        assert_eq!(run.code, 1, "{args:?} {run:?}");
        assert!(run.err.contains(what), "{args:?} {}", run.err);
        let json = place.run(&[&args[..], &["-o", "json"]].concat());
        assert_eq!(json.json()["kind"], "DrillReport", "{args:?}");
    }
}

#[test]
fn an_ingress_that_is_not_there_is_answered_with_what_is() {
    let cluster = route(2);
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    let args = ["drill", "ingress/fornt", "--kubeconfig", "kubeconfig"];
    let run = place.run(&[&args[..], &["--fault", "delete", "--yes"]].concat());
    assert_eq!(run.code, 1);
    assert!(run.err.contains("front"), "{}", run.err);
}

#[test]
fn a_cluster_that_does_not_answer_ends_in_its_time() {
    let place = Place::new(&[]);
    let args = ["drill", "ingress/a", "--fault", "delete", "--yes"];
    let server = ["--server", "http://127.0.0.1:9", "--request-timeout", "1s"];
    let run = place.run(&[&args[..], &server].concat());
    assert_eq!(run.code, 1);
    assert!(run.err.contains("cannot be reached"), "{}", run.err);
}

#[test]
fn help_says_what_is_counted_and_how_it_ends() {
    let place = Place::new(&[]);
    let run = place.run(&["drill", "--help"]);
    assert_eq!(run.code, 0);
    session("drill-help.txt", &run.out);
}
