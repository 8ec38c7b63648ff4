//! `scaffold`: what is written, where, and what is refused.

use crate::sandbox::{Place, session};
use infer_traffic::attribution::parse_log_line;
use std::fs;

const ENTRIES: [&str; 7] = [
    "ingress-nginx",
    "f5-nginx",
    "gateway",
    "istio",
    "contour",
    "traefik",
    "none",
];

/// The words of one scaffold behind each entry; between them they show every runtime and source.
fn words(via: &str) -> Vec<&str> {
    let wanted = match via {
        "ingress-nginx" => {
            "--runtime llama.cpp --model-source hf:org/model:model.gguf --gpus 1 --replicas 2"
        }
        "f5-nginx" => {
            "--runtime vllm --model-source hf:org/model --gpus 2 --cache-claim cache --replicas 2"
        }
        "gateway" => {
            "--runtime vllm --model-source pvc:models/org/model --gpus 1 --host llm.example.com"
        }
        "istio" => {
            "--runtime llama.cpp --model-source pvc:models/model.gguf --replicas 3 -n inference"
        }
        "contour" => {
            "--runtime llama.cpp --model-source path:/models/model.gguf --longest-generation 90s"
        }
        "traefik" => {
            "--runtime vllm --model-source path:/models/model --image registry.local/team/assistant:7"
        }
        _ => "--runtime llama.cpp --model-source hf:org/model --startup-budget 1h",
    };
    let mut words = vec!["scaffold", "llama", "--via", via];
    words.extend(wanted.split(' '));
    words
}

#[test]
fn each_entry_is_written_as_its_session_shows() {
    for via in ENTRIES {
        let place = Place::new(&[]);
        let run = place.run(&words(via));
        assert_eq!(run.code, 0, "{via}: {}", run.err);
        session(
            &format!("scaffold-{via}.txt"),
            &format!("{}\n{}", run.err, run.out),
        );
        // What stdout has is a manifest, and nothing is found in it.
        let check = place.run_with_stdin(
            &["check", "-f", "-", "--fail-on", "warning", "-o", "json"],
            &run.out,
        );
        let report = check.json();
        assert_eq!(
            (check.code, report["findings"].as_array().unwrap().len()),
            (0, 0),
            "{report:#}"
        );
        let diff = place
            .run_with_stdin(&["diff", "-f", "-", "-o", "json"], &run.out)
            .json();
        assert_eq!(diff["changed"].as_array().unwrap().len(), 0, "{diff:#}");
    }
}

#[test]
fn a_directory_is_a_kustomize_base_with_values_below_it() {
    let place = Place::new(&[]);
    let mut istio = words("istio");
    istio.extend(["--output-dir", "base"]);
    let run = place.run(&istio);
    assert_eq!(run.code, 0, "{}", run.err);
    session(
        "scaffold-output-dir.txt",
        &format!("{}\n{}", run.err, run.out),
    );
    let read = |name: &str| fs::read_to_string(place.path().join("base").join(name)).unwrap();
    for name in [
        "kustomization.yaml",
        "helm/helm-values-istiod.yaml",
        "helm/helm-values-istio-gateway.yaml",
    ] {
        session(
            &format!("scaffold-{}", name.replace('/', "-").replace("yaml", "txt")),
            &read(name),
        );
    }
    // Each object has a file of its own, and together they are what stdout has.
    let whole = place.run(&words("istio")).out;
    let documents: Vec<&str> = whole.split("---\n").collect();
    for document in &documents {
        let kind = document
            .lines()
            .find_map(|line| line.strip_prefix("kind: "))
            .unwrap();
        assert_eq!(read(&format!("{}.yaml", kind.to_lowercase())), *document);
    }
    assert_eq!(documents.len(), 7);
    // The command that is named next works on it as it is.
    let check = place.run(&["check", "-f", "base", "--fail-on", "warning"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
}

#[test]
fn every_entry_s_values_are_written() {
    for via in ENTRIES {
        let place = Place::new(&[]);
        let mut words = words(via);
        words.extend(["--output-dir", "."]);
        let run = place.run(&words);
        assert_eq!(run.code, 0, "{}", run.err);
        let mut text = String::new();
        let mut files: Vec<_> = fs::read_dir(place.path().join("helm"))
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            text.push_str(&format!("# {}\n", file.file_name().to_string_lossy()));
            text.push_str(&fs::read_to_string(file.path()).unwrap());
        }
        if via == "none" {
            assert_eq!(text, "");
        } else {
            session(&format!("scaffold-helm-{via}.txt"), &text);
        }
    }
}

#[test]
fn what_is_there_is_not_overwritten_unless_asked() {
    let place = Place::new(&[
        ("base/deployment.yaml", "mine\n"),
        ("base/service.yaml", "mine, too\n"),
        ("base/extra.yaml", "other\n"),
    ]);
    let mut words = words("none");
    words.extend(["--output-dir", "base"]);
    let run = place.run(&words);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    for word in [
        "base/deployment.yaml",
        "base/service.yaml",
        "is there already",
        "--force",
    ] {
        assert!(run.err.contains(word), "{}", run.err);
    }
    let read =
        |name: &str| fs::read_to_string(place.path().join("base").join(name)).unwrap_or_default();
    assert_eq!(
        (
            read("deployment.yaml").as_str(),
            read("kustomization.yaml").as_str()
        ),
        ("mine\n", "")
    );
    words.push("--force");
    let run = place.run(&words);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(read("deployment.yaml").contains("kind: Deployment"));
    assert_eq!(read("extra.yaml"), "other\n");
    assert!(
        run.err.contains("no part of this base") && run.err.contains("base/extra.yaml"),
        "{}",
        run.err
    );
}

#[test]
fn what_cannot_be_written_is_refused_with_the_way_out() {
    let place = Place::new(&[]);
    let base = [
        "scaffold",
        "llama",
        "--runtime",
        "llama.cpp",
        "--via",
        "ingress-nginx",
    ];
    let refused = |words: &[&str], expected: &[&str]| {
        let run = place.run(&[&base, words].concat());
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{words:?}");
        for word in expected {
            assert!(run.err.contains(word), "{words:?}: {}", run.err);
        }
    };
    refused(
        &[],
        &[
            "no model is named",
            "hf:OWNER/REPO",
            "pvc:CLAIM/PATH",
            "path:/PATH",
        ],
    );
    refused(
        &["--model-source", "s3://x"],
        &["`s3://x` is no source", "hf:OWNER/REPO"],
    );
    let model = ["--model-source", "path:/m.gguf"];
    let with = |words: &[&'static str]| -> Vec<&str> { [&model, words].concat() };
    refused(&with(&["--gateway-class", "eg"]), &["--via gateway"]);
    refused(&with(&["--force"]), &["--output-dir"]);
    refused(&with(&["--replicas", "0"]), &["at least 1"]);
    refused(&with(&["--longest-generation", "300"]), &["300s"]);
    let run = place.run(&[
        "scaffold",
        "llama",
        "--runtime",
        "sglang",
        "--via",
        "none",
        "--model-source",
        "path:/m",
    ]);
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("`sglang`") && run.err.contains("`llama.cpp`, `vllm`"),
        "{}",
        run.err
    );
    let run = place.run(&[
        "scaffold",
        "llama",
        "--runtime",
        "vllm",
        "--via",
        "nginx",
        "--model-source",
        "path:/m",
    ]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("ingress-nginx"), "{}", run.err);
}

#[test]
fn what_a_check_will_say_is_said_at_once() {
    let place = Place::new(&[]);
    let mut words = words("contour");
    words.extend(["--longest-generation", "20m"]);
    words.retain(|word| *word != "90s");
    let at = words
        .iter()
        .position(|word| *word == "--longest-generation")
        .unwrap();
    words.remove(at);
    let run = place.run(&words);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.err.contains("`drain-window-short` is found in this"),
        "{}",
        run.err
    );
    assert!(run.out.contains("the platform caps it"), "{}", run.out);
    // An image for GPUs, and none asked for.
    let run = place.run(&[
        "scaffold",
        "llama",
        "--runtime",
        "llama.cpp",
        "--via",
        "none",
        "--model-source",
        "path:/m.gguf",
        "--image",
        "ghcr.io/ggml-org/llama.cpp:server-cuda",
    ]);
    assert!(run.err.contains("`gpu-limit-missing`"), "{}", run.err);
}

#[test]
fn help_starts_with_examples() {
    let place = Place::new(&[]);
    let short = place.run(&["scaffold", "-h"]);
    let long = place.run(&["scaffold", "--help"]);
    session("scaffold-help.txt", &long.out);
    for run in [&short, &long] {
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        let usage = run.out.find("Usage: kubectl infer scaffold").unwrap();
        assert!(run.out.find("Examples:").unwrap() < usage, "{}", run.out);
    }
    assert!(short.out.len() < long.out.len());
}

/// The format that values set, under this key.
fn log_format(via: &str, key: &str) -> String {
    let place = Place::new(&[]);
    let mut words = words(via);
    words.extend(["--output-dir", "."]);
    assert_eq!(place.run(&words).code, 0);
    let file = fs::read_dir(place.path().join("helm"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let text = fs::read_to_string(file.path()).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    serde_json::from_str(line.unwrap()).unwrap()
}

#[test]
fn a_line_in_the_format_of_the_values_names_the_replica_and_the_request() {
    let said = [
        ("$proxy_alternative_upstream_name", ""),
        ("$proxy_upstream_name", "inference-llama-http"),
        ("$resource_namespace", "inference"),
        ("$service", "llama"),
        ("$upstream_response_length", "12"),
        ("$upstream_response_time", "0.500"),
        ("$upstream_status", "200"),
        ("$upstream_addr", "10.0.0.7:8080"),
        ("$http_user_agent", "kubectl-infer/0.1 (7f3a9c/4)"),
        ("$http_referer", "-"),
        ("$request_length", "300"),
        ("$request_time", "0.501"),
        ("$request_id", "r1"),
        ("$req_id", "r1"),
        ("$request", "POST /v1/chat/completions HTTP/1.1"),
        ("$body_bytes_sent", "12"),
        ("$remote_addr", "10.0.0.1"),
        ("$remote_user", "-"),
        ("$time_local", "25/Nov/2026:11:00:00 +0000"),
        ("$status", "200"),
    ];
    for (via, key) in [
        ("ingress-nginx", "log-format-upstream"),
        ("f5-nginx", "log-format"),
    ] {
        let format = log_format(via, key);
        let line = said
            .iter()
            .fold(format, |line, (name, value)| line.replace(name, value));
        assert!(!line.contains('$'), "{line}");
        let entry = parse_log_line(&line).unwrap_or_else(|| panic!("{via}: {line}"));
        assert_eq!(entry.token.unwrap().sequence, 4);
        assert_eq!(entry.attempts[0].address, "10.0.0.7:8080");
        assert_eq!((entry.attempts[0].status, entry.status), (Some(200), 200));
    }
}
