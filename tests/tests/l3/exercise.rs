//! The chapter's exercise: one of two model servers behind NGINX is killed under a GET, a POST and a
//! stream. Real curl and our `test` see the same, request by request, and tcpdump and NGINX's log
//! bear them out.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use infer_tests::exercise::{Exercise, Wanted, node_lab, observer_log};
use infer_tests::observer::{Answer, Body, Capture, Conversation};
use infer_tests::space::Space;
use lab_nginx::observed::Observed;
use serde_json::{Value, json};

/// Long enough to be under way when the server is killed.
const TOKENS: u32 = 900;

/// A completion that runs.
struct Asked {
    /// What tells it from the others on the wire.
    mark: String,
    stream: bool,
    /// Asked by real curl, else by our `test`.
    curl: bool,
    child: Child,
}

/// How a completion ended, by whoever asked.
#[derive(Debug, PartialEq)]
struct Ended {
    status: Option<u64>,
    bytes: u64,
    /// curl's exit code; of ours, the one that its cause stands for.
    codes: Vec<i64>,
    /// Of ours: the cause.
    cause: Option<String>,
    done: Option<bool>,
}

fn ask(exercise: &Exercise, number: usize, stream: bool, curl: bool) -> Asked {
    let mark = format!("exercise-{number}");
    let body = json!({
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "max_tokens": TOKENS, "stream": stream, "user": mark,
    })
    .to_string();
    let resolve = format!("{}:80:{}", exercise.host, exercise.nginx.ip());
    let url = format!("http://{}/v1/chat/completions", exercise.host);
    let mut command = if curl {
        let mut command = Command::new("curl");
        command
            .args([
                "-s",
                "-N",
                "-m",
                "60",
                "-H",
                "content-type: application/json",
                "-d",
                &body,
            ])
            .args([
                "-w",
                "\n%{http_code} %{size_download} %{exitcode}",
                "--resolve",
                &resolve,
                &url,
            ]);
        command
    } else {
        let file: PathBuf = exercise.space.lab.state.join(format!("{mark}.json"));
        std::fs::write(&file, &body).unwrap();
        let mut command = Command::new("kubectl");
        command.args([
            "infer",
            "test",
            &url,
            "--resolve",
            &resolve,
            "--timeout=60s",
            "-o",
            "json",
        ]);
        command.arg("--data").arg(file);
        if stream {
            command.arg("--stream");
        }
        command
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Asked {
        mark,
        stream,
        curl,
        child,
    }
}

fn ended(asked: Asked) -> Ended {
    let output = asked.child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if asked.curl {
        let (body, last) = text.rsplit_once('\n').unwrap();
        let numbers: Vec<i64> = last.split(' ').map(|word| word.parse().unwrap()).collect();
        return Ended {
            status: u64::try_from(numbers[0]).ok().filter(|status| *status > 0),
            bytes: u64::try_from(numbers[1]).unwrap(),
            codes: vec![numbers[2]],
            cause: None,
            done: asked.stream.then(|| body.contains("data: [DONE]")),
        };
    }
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let request = &report["requests"][0];
    let cause = request["error"]["cause"].as_str().map(str::to_owned);
    assert_eq!(
        output.status.code(),
        Some(if cause.is_some() { 2 } else { 0 }),
        "{request}"
    );
    // The table of the issue. `http` is curl's 22 only with --fail, and 0 as it is called here.
    let codes = match cause.as_deref() {
        None | Some("closed-without-terminator" | "http") => vec![0],
        Some("closed-before-headers") => vec![52],
        Some("reset-before-headers" | "reset-in-body") => vec![56],
        Some("closed-in-body") => vec![18],
        Some(other) => panic!("an unexpected cause {other}: {request}"),
    };
    Ended {
        status: request["status"].as_u64(),
        bytes: request["bytes"].as_u64().unwrap(),
        codes,
        cause,
        done: request["stream"]["terminated"].as_bool(),
    }
}

/// The container's server dies as by the kernel's own hand; an init above it lives on.
fn kill_the_server(exercise: &Exercise, pod: &str) {
    let script = "for p in /proc/[0-9]*; do case \"$(cat $p/cmdline 2>/dev/null | tr '\\0' ' ')\" in \
                  *catatonit*) ;; *llama-server*-m*) kill -9 ${p#/proc/} && echo killed ;; esac; done";
    let output = exercise
        .space
        .run(&["exec", pod, "--", "/bin/sh", "-c", script], "");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim(),
        "killed",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_crash_loses_what_is_in_flight_and_no_get() {
    let Some(lab) = node_lab() else { return };
    let exercise = Exercise::start(
        Space::in_group(lab.clone(), "exercise", None),
        &Wanted::default(),
    );
    let capture = Capture::start("cni0", exercise.nginx, lab.state.join("exercise.pcap"));
    let already = std::fs::read_to_string(observer_log(&lab)).unwrap().len();

    // Round robin: two after another of each kind go to either replica.
    let mut asked = Vec::new();
    for (stream, curl) in [(false, true), (false, false), (true, true), (true, false)] {
        for _ in 0..2 {
            asked.push(ask(&exercise, asked.len(), stream, curl));
            thread::sleep(Duration::from_millis(150));
        }
    }
    let victim = exercise.pods()[0].clone();
    let address = format!("{}:8080", victim["status"]["podIP"].as_str().unwrap());
    kill_the_server(&exercise, victim["metadata"]["name"].as_str().unwrap());
    let mut gets = Vec::new();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        gets.push(exercise.curl_status("/health").unwrap());
        thread::sleep(Duration::from_millis(40));
    }
    let ended: Vec<(String, bool, Ended)> = asked
        .into_iter()
        .map(|asked| (asked.mark.clone(), asked.curl, ended(asked)))
        .collect();
    let wire = capture.end();
    let log = std::fs::read_to_string(observer_log(&lab)).unwrap();
    let log: Vec<Observed> = log[already..]
        .lines()
        .map(|l| Observed::parse(l).unwrap())
        .collect();

    // Every GET is answered, and those that were sent to the victim show how.
    assert!(gets.iter().all(|status| *status == 200), "{gets:?}");
    let retried: Vec<&Observed> = log
        .iter()
        .filter(|line| line.uri == "/health" && line.upstream_addr.starts_with(&address))
        .filter(|line| line.upstream_status != "200")
        .collect();
    assert!(!retried.is_empty(), "no GET met the dead server: {log:#?}");
    for line in retried {
        assert_eq!(
            (line.upstream_status.as_str(), line.status.as_str()),
            ("502, 200", "200")
        );
    }

    // Whoever was on the victim was cut, and nobody else. Round robin mostly gives each replica one
    // of a pair; where it did not (a reload begins it anew), the log tells.
    let on_victim = |mark: &str| {
        let quoted = format!("\"{mark}\"");
        let port = wire
            .iter()
            .find(|c| String::from_utf8_lossy(&c.sent).contains(&quoted))
            .map(|c| c.client.port());
        log.iter()
            .filter(|line| Some(line.remote_port) == port && line.method == "POST")
            .any(|line| line.upstream_addr == address)
    };
    for kind in ended.chunks(4) {
        let shape = |e: &Ended| format!("{:?}", (e.status, &e.codes, e.done));
        let (cut, whole): (Vec<_>, Vec<_>) = kind.iter().partition(|(mark, _, _)| on_victim(mark));
        assert!(
            !cut.is_empty(),
            "nothing of this kind was on the victim: {kind:#?}"
        );
        assert!(
            whole
                .iter()
                .all(|(_, _, e)| e.status == Some(200) && e.codes == [0] && e.done != Some(false)),
            "{kind:#?}"
        );
        assert!(
            cut.iter().all(
                |(_, curl, e)| (e.status != Some(200) || e.done == Some(false))
                    && (*curl || e.cause.is_some())
            ),
            "{kind:#?}"
        );
        // Real curl and ours saw the same.
        let shapes: std::collections::BTreeSet<_> = cut.iter().map(|(_, _, e)| shape(e)).collect();
        assert_eq!(shapes.len(), 1, "{kind:#?}");
    }
    // And each is what was on the wire.
    for (mark, _, told) in &ended {
        let seen: Vec<&Conversation> = wire
            .iter()
            .filter(|c| String::from_utf8_lossy(&c.sent).contains(&format!("\"{mark}\"")))
            .collect();
        let [seen] = seen[..] else {
            panic!("{mark}: {} on the wire", seen.len())
        };
        assert!(!seen.missing, "{mark}: the capture has a hole");
        let answer = Answer::of(seen);
        let on_wire = answer.as_ref().map(|a| u64::from(a.status));
        assert_eq!(on_wire, told.status, "{mark}: {told:?}: {seen:?}");
        let body = answer.as_ref().map_or(0, |a| a.body.len() as u64);
        assert_eq!(body, told.bytes, "{mark}: {told:?}");
        if told.done.is_some() {
            let answer = answer.unwrap();
            assert_eq!(Some(answer.done), told.done, "{mark}");
            assert_eq!(answer.whole == Body::Whole, answer.done, "{mark}: {told:?}");
        }
    }
    // A stream that was cut says so: HTTP ended in the middle of a body.
    let cut: Vec<&Ended> = ended
        .iter()
        .map(|(_, _, e)| e)
        .filter(|e| e.done == Some(false))
        .collect();
    assert!(!cut.is_empty());
    assert!(cut.iter().all(|e| e.codes == [18]), "{cut:#?}");
    exercise.end();
}
