//! `canary` up to the cluster: flags and words. What happens after it is run on a real node
//! (`tests/tests/l3/canary.rs`, `canary_left.rs`).

use crate::cluster::Cluster;
use crate::sandbox::{Place, Run};
use serde_json::Value;

fn canary(args: &[&str]) -> Run {
    let cluster = Cluster::start();
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    let always = ["--kubeconfig", "kubeconfig", "-n", "inference"];
    place.run(&[&["canary"], args, &always].concat())
}

#[test]
fn flags_that_cannot_be_meant() {
    for (args, words) in [
        (
            &["start", "statefulset/llama", "--image=a"][..],
            "a canary is of a Deployment",
        ),
        (
            &["start", "deployment/", "--image=a"],
            "names no Deployment",
        ),
        (
            &["start", "deployment/llama", "--image=a", "--steps=50,25"],
            "--steps must rise",
        ),
        (
            &["start", "deployment/llama", "--image=a", "--steps=0"],
            "0 is not in 1..=99",
        ),
        (
            &["start", "deployment/llama", "--image=a", "--synthetic=0"],
            "requests a second, above 0",
        ),
        (
            &["start", "deployment/llama", "--image=a", "--max-errors=0"],
            "percentage points, above 0",
        ),
        (
            &[
                "start",
                "deployment/llama",
                "--image=a",
                "--to=deployment/b",
            ],
            "cannot be used with",
        ),
        (
            &["start", "deployment/llama", "--to=statefulset/b"],
            "a Deployment is wanted",
        ),
        (
            &["start", "deployment/llama", "--set-arg=ctx-size"],
            "write it with its dashes",
        ),
    ] {
        let run = canary(args);
        assert_eq!(run.code, 1, "{args:?}: {}", run.err);
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
    }
}

#[test]
fn nothing_to_tell_of_is_said_and_how_one_begins() {
    for verb in ["status", "report", "abort"] {
        let run = canary(&[verb, "deployment/llama"]);
        assert_eq!(run.code, 1, "{verb}: {}", run.err);
        assert!(
            run.err
                .contains("there is no canary of deployment/llama in inference"),
            "{verb}: {}",
            run.err
        );
    }
    let run = canary(&["start", "deployment/llama", "--yes"]);
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("no second version is given"),
        "{}",
        run.err
    );
}

#[test]
fn programs_get_their_one_document_on_failure_too() {
    let run = canary(&["status", "deployment/llama", "-o", "json"]);
    let document: Value = serde_json::from_str(&run.out).expect("one document");
    assert_eq!(document["kind"], "CanaryReport");
    assert!(document["state"].is_null());
    assert!(document["errors"][0]["message"].is_string());
}

#[test]
fn nobody_is_there_to_be_asked() {
    let run = canary(&["promote", "deployment/llama"]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("`--yes` goes on without"), "{}", run.err);
}
