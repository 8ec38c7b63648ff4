//! The injected drain: an answer in flight outlives the deletion of its pod.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::installed;
use infer_tests::space::Space;
use serde_json::{Value, json};

/// The drain window that the test asks for; the default of 60 s would only make it longer.
const WINDOW: u32 = 25;

fn body(tokens: u32) -> String {
    json!({
        "messages": [{"role": "user", "content": "Count."}],
        "max_tokens": tokens, "stream": false, "temperature": 0,
    })
    .to_string()
}

/// A completion through NGINX by real curl: prints status, bytes and seconds.
fn ask(exercise: &Exercise, tokens: u32) -> Child {
    Command::new("curl")
        .args([
            "-s",
            "-m",
            "120",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download} %{time_total}",
        ])
        .args(["-H", "content-type: application/json", "-d", &body(tokens)])
        .args([
            "--resolve",
            &format!("{}:80:{}", exercise.host, exercise.nginx.ip()),
        ])
        .arg(format!("http://{}/v1/chat/completions", exercise.host))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How many tokens this server makes in so many seconds.
fn tokens_in(exercise: &Exercise, seconds: f64) -> u32 {
    let sample = 40;
    let began = Instant::now();
    let (status, _) = ended(ask(exercise, sample));
    assert_eq!(status, 200);
    let rate = f64::from(sample) / began.elapsed().as_secs_f64();
    (rate * seconds) as u32
}

/// Status (0 for none) and curl's exit code.
fn ended(curl: Child) -> (u16, i32) {
    let output = curl.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let status = said
        .split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    (status, output.status.code().unwrap_or(-1))
}

fn delete_the_pod(exercise: &Exercise) {
    let pods = exercise.pods();
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    exercise
        .space
        .ok(&["delete", "pod", name, "--wait=false"], "");
}

#[test]
fn an_answer_in_flight_survives_with_the_drain_and_dies_without_or_beyond_it() {
    let Some(lab) = node_lab() else { return };
    installed::install(&lab);
    let wanted = Wanted {
        model: "mid",
        replicas: 1,
        slots: 1,
        context: 4096,
        cpu: "400m",
        annotations: vec![("kubectl-infer.dev/drain-window", WINDOW.to_string())],
        ..Wanted::default()
    };
    let drained = Exercise::start(Space::in_scope(lab.clone(), "drained"), &wanted);
    let beyond = Exercise::start(Space::in_scope(lab.clone(), "beyond"), &wanted);
    let control = Exercise::start(Space::in_group(lab, "drain-control", None), &wanted);
    let spec = drained.space.template("deployment/llama")["spec"].clone();
    assert_eq!(
        spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"],
        WINDOW
    );
    assert_eq!(spec["terminationGracePeriodSeconds"], WINDOW + 10);
    assert_eq!(
        control.space.template("deployment/llama")["spec"]["containers"][0]["lifecycle"],
        Value::Null
    );

    let twenty = tokens_in(&drained, 20.0);
    let began = Instant::now();
    // Far more than window and grace together.
    let (kept, cut) = (ask(&drained, twenty), ask(&control, twenty));
    let too_long = ask(&beyond, twenty * 4);
    std::thread::sleep(Duration::from_secs(2));
    for exercise in [&drained, &control, &beyond] {
        delete_the_pod(exercise);
    }
    let kept = ended(kept);
    let took = began.elapsed();
    assert_eq!(
        kept,
        (200, 0),
        "the answer in flight was lost with the drain"
    );
    assert!(
        took > Duration::from_secs(10),
        "it was no long answer: {took:?}"
    );
    let cut = ended(cut);
    assert_ne!(
        cut,
        (200, 0),
        "without the drain the answer survived: the control shows nothing"
    );
    let too_long = ended(too_long);
    assert_ne!(
        too_long,
        (200, 0),
        "an answer longer than the window survived"
    );
    drained.end();
    beyond.end();
    control.end();
}
