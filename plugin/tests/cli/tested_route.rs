//! `test` of an Ingress: the smoke request, who answered, and what is said where the cluster may not
//! be read.

use crate::cluster::Cluster;
use crate::sandbox::{Place, Run};
use crate::served::{Habit, Served};
use serde_json::Value;
use std::time::{Duration, Instant};

const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const NAMED: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\nx-pod: llama-7\r\n\r\nok";
const MODELS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 33\r\nconnection: close\r\n\r\n\
    {\"data\":[{\"id\":\"org/the-model\"}]}";
/// ingress-nginx's default line: the first replica refused, the second answered.
const RETRIED: &str = "127.0.0.1 - - [25/Nov/2026:04:00:00 +0000] \"POST /x HTTP/1.1\" 200 2 \"-\" \
    \"USER\" 200 0.010 [inference-back-8080] [] 10.0.0.8:8080, 10.0.0.9:8080 0, 2 0.001, 0.009 \
    502, 200 0123";
const BY_ITSELF: &str = "127.0.0.1 - - [25/Nov/2026:04:00:00 +0000] \"POST /x HTTP/1.1\" 404 2 \
    \"-\" \"USER\" 200 0.010 [] [] - - - - 0123";
const OTHER: &str = "level=info agent=\"USER\" status=200";
const LLAMA: &str = "ghcr.io/ggml-org/llama.cpp:server";

fn test(cluster: &Cluster, args: &[&str]) -> Run {
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    place.run(
        &[
            &["test", "ingress/front", "--kubeconfig", "kubeconfig"],
            args,
        ]
        .concat(),
    )
}

fn route(answer: &'static str, line: &'static str) -> Cluster {
    let cluster = Cluster::start();
    cluster.route(answer, line, LLAMA);
    cluster
}

fn replica(cluster: &Cluster, args: &[&str]) -> (Value, Value, i32) {
    let run = test(cluster, &[args, &["-o", "json"]].concat());
    let report = run.json();
    (report["requests"][0]["replica"].clone(), report, run.code)
}

#[test]
fn the_proxy_s_log_tells_who_answered_and_what_it_hid() {
    let cluster = route(PLAIN, RETRIED);
    let (replica, report, code) = replica(&cluster, &[]);
    assert_eq!(
        (code, &report["gaps"]),
        (0, &Value::Array(Vec::new())),
        "{report}"
    );
    assert_eq!(replica["pod"], "llama-1");
    assert_eq!(replica["address"], "10.0.0.9:8080");
    assert_eq!(replica["grade"], "A joined");
    let attempts = replica["attempts"].as_array().unwrap();
    let tried = |at: usize| (&attempts[at]["pod"], &attempts[at]["status"]);
    assert_eq!(tried(0), (&"llama-0".into(), &502.into()));
    assert_eq!(tried(1), (&"llama-1".into(), &200.into()));
    let target = &report["target"];
    assert_eq!(target["controller"], "example.com/lab");
    assert_eq!(
        (&target["service"], &target["runtime"], &target["proxies"]),
        (&"back".into(), &"llama.cpp".into(), &1.into())
    );
    let run = test(&cluster, &[]);
    for shown in [
        "(Ingress status) · Host inference.local:",
        "> POST /v1/chat/completions HTTP/1.1\n",
        "replica llama-1 (10.0.0.9:8080) · the proxy's log, 2 attempts · grade A joined",
        "llama-0 502 → llama-1 200",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    let run = test(&cluster, &["--requests", "3"]);
    for shown in [
        "known of 3/3",
        "llama-1  3     100.0%  A joined",
        "3 requests answered only at a second",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
}

#[test]
fn a_response_header_goes_before_the_log() {
    let cluster = route(NAMED, RETRIED);
    let (found, _, _) = replica(&cluster, &["--replica-header", "X-Pod"]);
    assert_eq!(
        (&found["pod"], &found["grade"]),
        (&"llama-7".into(), &"A direct".into())
    );
    assert_eq!(found["attempts"].as_array().unwrap().len(), 2, "the log's");
    // The control: without the flag nobody knows that header.
    let (found, _, _) = replica(&cluster, &[]);
    assert_eq!(found["pod"], "llama-1");
}

#[test]
fn who_answered_is_unknown_where_the_log_does_not_tell() {
    for (line, reason) in [
        (
            OTHER,
            "another format than the defaults of ingress-nginx and Envoy",
        ),
        (BY_ITSELF, "the proxy answered by itself"),
        ("nothing of ours", "no line of this request within 2 s"),
    ] {
        let cluster = route(PLAIN, line);
        let begun = Instant::now();
        let (replica, _, code) = replica(&cluster, &[]);
        assert_eq!(
            (&replica["pod"], &replica["grade"]),
            (&Value::Null, &Value::Null)
        );
        assert!(
            replica["reason"].as_str().unwrap().contains(reason),
            "{replica}"
        );
        assert_eq!(code, 0, "what is unknown is no failure");
        assert!(begun.elapsed() < Duration::from_secs(6), "{reason}");
    }
}

#[test]
fn a_log_that_may_not_be_read_is_a_gap_with_the_rule_to_add() {
    let cluster = route(PLAIN, RETRIED);
    cluster.refuse("/log");
    let begun = Instant::now();
    let (replica, report, code) = replica(&cluster, &[]);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "nothing is waited for"
    );
    assert_eq!((&replica["grade"], code), (&Value::Null, 0), "{report}");
    let gaps = report["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{report}");
    let help = gaps[0]["help"].as_str().unwrap();
    assert!(help.contains(r#"resources: ["pods/log"]"#) && help.contains("kubectl auth can-i"));
    let run = test(&cluster, &[]);
    assert!(
        run.out.contains("not known: what the proxy's log says"),
        "{}",
        run.out
    );
    assert_eq!(run.code, 0);
}

#[test]
fn pods_that_may_not_be_read_leave_the_runtime_unknown() {
    let cluster = route(PLAIN, RETRIED);
    cluster.refuse("/pods");
    let run = test(&cluster, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    for shown in [
        "> GET / HTTP/1.1\n",
        "what serves there is not known",
        "not known: what serves behind",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
}

#[test]
fn a_model_without_a_name_is_asked_for_through_the_route() {
    let cluster = Cluster::start();
    cluster.route(MODELS, RETRIED, "vllm/vllm-openai:v0.33.0");
    let (_, report, code) = replica(&cluster, &[]);
    assert_eq!(code, 0, "{report}");
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("model org/the-model, as GET /v1/models says"),
        "{notes}"
    );
    assert!(
        report["curl"]
            .as_str()
            .unwrap()
            .contains(r#""model":"org/the-model""#)
    );
    // It is no request of the run.
    assert_eq!(report["requests"].as_array().unwrap().len(), 1);
}

#[test]
fn below_a_path_the_smoke_request_goes_below_it_and_says_what_that_assumes() {
    let cluster = Cluster::start();
    cluster.route_below("/llm", PLAIN, RETRIED, LLAMA);
    let run = test(&cluster, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    for shown in [
        "> POST /llm/v1/chat/completions HTTP/1.1\n",
        "assumed: the controller takes /llm off the path",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    // The control: where the smoke request's own path is routed, nothing is assumed.
    let cluster = Cluster::start();
    cluster.route_below("/v1", PLAIN, RETRIED, LLAMA);
    let run = test(&cluster, &[]);
    assert!(!run.out.contains("assumed"), "{}", run.out);
}

#[test]
fn an_ingress_that_is_not_there_is_answered_with_what_is() {
    let cluster = route(PLAIN, RETRIED);
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    let run = place.run(&["test", "ingress/fornt", "--kubeconfig", "kubeconfig"]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.contains("did you mean front?"), "{}", run.err);
}

#[test]
fn a_cluster_that_does_not_answer_ends_in_its_time() {
    let silent = Served::with(Habit::FallsSilent(""));
    let server = format!("http://{}", silent.address);
    let place = Place::new(&[("empty", "")]);
    let args = [
        "test",
        "ingress/front",
        "--server",
        &server,
        "--request-timeout",
        "1s",
    ];
    let begun = Instant::now();
    let run = place.run(&args);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.contains("did not answer within 1 s"), "{}", run.err);
    let run = place.run(&[
        "test",
        "ingress/front",
        "--kubeconfig",
        "none",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 1);
    assert_eq!(run.json()["errors"].as_array().unwrap().len(), 1);
}

#[test]
fn an_address_of_one_s_own_replaces_the_status() {
    let cluster = route(PLAIN, RETRIED);
    let served = Served::with(Habit::Answers(PLAIN));
    let resolve = format!("inference.local:{}:127.0.0.1", served.address.port());
    let (_, report, code) = replica(&cluster, &["--resolve", &resolve]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["target"]["addressFrom"], "--resolve");
    assert!(
        served.requests()[0].contains("host: inference.local:"),
        "{:?}",
        served.requests()
    );
    let run = test(&cluster, &["--resolve", "other.local:80:127.0.0.1"]);
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("--resolve is for other.local:80"),
        "{}",
        run.err
    );
}
