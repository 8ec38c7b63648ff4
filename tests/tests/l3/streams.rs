//! A stream through the route whose server is killed: `test ingress/NAME --stream` and real curl end
//! alike, and both as tcpdump and NGINX's log say.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use infer_tests::exercise::{Exercise, Wanted, node_lab, observer_log};
use infer_tests::observer::{Answer, Body, Capture, Conversation};
use infer_tests::space::Space;
use lab_nginx::observed::Observed;
use serde_json::{Value, json};

/// Long enough to be under way when the server is killed.
const TOKENS: u32 = 600;
/// Streams of each client: round robin gives either replica one at least.
const EACH: usize = 3;

/// A stream that runs.
struct Asked {
    /// What tells it from the others on the wire.
    mark: String,
    is_curl: bool,
    child: Child,
}

/// How it ended, by whoever asked.
#[derive(Debug)]
struct Told {
    mark: String,
    is_curl: bool,
    status: u64,
    bytes: u64,
    /// curl's exit code; of ours, the one that its cause stands for.
    code: i64,
    /// Of ours: its document.
    report: Value,
    done: bool,
}

fn ask(exercise: &Exercise, number: usize, is_curl: bool) -> Asked {
    let mark = format!("stream-{number}");
    let body = json!({
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "max_tokens": TOKENS, "stream": true, "user": mark,
    });
    let file = exercise.space.lab.state.join(format!("{mark}.json"));
    std::fs::write(&file, body.to_string()).unwrap();
    let file = file.display();
    let mut command;
    if is_curl {
        command = Command::new("curl");
        command.args([
            "-s",
            "-N",
            "-m",
            "60",
            "-H",
            "content-type: application/json",
        ]);
        command.args(["--data-binary", &format!("@{file}")]);
        command.args(["-w", "\n%{http_code} %{size_download} %{exitcode}"]);
        command.args(exercise.curl_target("/v1/chat/completions"));
    } else {
        command = Command::new("kubectl-infer");
        command.args([
            "test",
            "ingress/llama",
            "--stream",
            "--timeout=60s",
            "-o",
            "json",
        ]);
        command.args(["-n", &exercise.space.name, "--data", &file.to_string()]);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Asked {
        mark,
        is_curl,
        child,
    }
}

fn told(asked: Asked) -> Told {
    let Asked {
        mark,
        is_curl,
        child,
    } = asked;
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if is_curl {
        let (body, last) = text.rsplit_once('\n').unwrap();
        let numbers: Vec<i64> = last.split(' ').map(|word| word.parse().unwrap()).collect();
        return Told {
            mark,
            is_curl,
            status: numbers[0].try_into().unwrap(),
            bytes: numbers[1].try_into().unwrap(),
            code: numbers[2],
            report: Value::Null,
            done: body.contains("data: [DONE]"),
        };
    }
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let request = &report["requests"][0];
    let cause = request["error"]["cause"].as_str();
    assert_eq!(
        output.status.code(),
        Some(if cause.is_some() { 2 } else { 0 }),
        "{report}"
    );
    // The table, as far as a stream that has begun can end.
    let code = match cause {
        None | Some("closed-without-terminator") => 0,
        Some("closed-in-body") => 18,
        Some("reset-in-body") => 56,
        Some(other) => panic!("an unexpected cause {other}: {report}"),
    };
    Told {
        mark,
        is_curl,
        status: request["status"].as_u64().unwrap(),
        bytes: request["bytes"].as_u64().unwrap(),
        code,
        done: request["stream"]["terminated"].as_bool().unwrap(),
        report,
    }
}

#[test]
fn a_killed_server_cuts_our_stream_through_the_route_as_it_cuts_curl_s() {
    let Some(lab) = node_lab() else { return };
    let space = Space::in_group(lab.clone(), "streams", None);
    let exercise = Exercise::start(space, &Wanted::default());
    let capture = Capture::start("cni0", exercise.nginx, lab.state.join("streams.pcap"));
    let already = std::fs::read_to_string(observer_log(&lab)).unwrap().len();

    let mut asked = Vec::new();
    for is_curl in [false, true] {
        for _ in 0..EACH {
            asked.push(ask(&exercise, asked.len(), is_curl));
            thread::sleep(Duration::from_millis(100));
        }
        // Ours reads the cluster first: curl's come when all of ours have begun.
        thread::sleep(Duration::from_millis(500));
    }
    let victim = exercise.pods()[0].clone();
    let name = victim["metadata"]["name"].as_str().unwrap();
    let address = format!("{}:8080", victim["status"]["podIP"].as_str().unwrap());
    exercise.kill_server(name);
    let told: Vec<Told> = asked.into_iter().map(told).collect();
    let wire = capture.end();
    let log = std::fs::read_to_string(observer_log(&lab)).unwrap();
    let log: Vec<Observed> = log[already..]
        .lines()
        .map(|line| Observed::parse(line).unwrap())
        .collect();

    // By its mark each stream is found on the wire, and by its client's port in NGINX's log.
    let mut cut = Vec::new();
    for told in &told {
        let quoted = format!("\"{}\"", told.mark);
        let seen: Vec<&Conversation> = wire
            .iter()
            .filter(|c| String::from_utf8_lossy(&c.sent).contains(&quoted))
            .collect();
        let [seen] = seen[..] else {
            panic!("{told:?}: {} on the wire", seen.len())
        };
        assert!(!seen.missing, "{told:?}: the capture has a hole");
        let answer = Answer::of(seen).unwrap();
        assert_eq!(u64::from(answer.status), told.status, "{told:?}");
        assert_eq!(answer.body.len() as u64, told.bytes, "{told:?}");
        assert_eq!(answer.done, told.done, "{told:?}");
        let lines: Vec<&Observed> = log
            .iter()
            .filter(|line| line.remote_port == seen.client.port() && line.method == "POST")
            .collect();
        let [line] = lines[..] else {
            panic!("{told:?}: {lines:?}")
        };
        let was_on_it = line.upstream_addr == address;
        if !told.is_curl {
            // Who answered is told by the log, also of a stream that was cut.
            let replica = &told.report["requests"][0]["replica"];
            assert_eq!(replica["address"], line.upstream_addr.as_str(), "{told:?}");
            assert_eq!(replica["grade"], "A joined", "{told:?}");
            assert_eq!(replica["pod"] == name, was_on_it, "{told:?}");
        }
        if was_on_it {
            assert_eq!(answer.whole, Body::Cut, "{told:?}");
            assert!(told.bytes > 0, "it had begun: {told:?}");
            cut.push(told);
        } else {
            // The control: what was on the other replica came whole.
            let end = (told.status, told.code, told.done);
            assert_eq!(end, (200, 0, true), "{told:?}");
        }
    }
    for is_curl in [false, true] {
        let of_it = cut.iter().filter(|it| it.is_curl == is_curl).count();
        assert!(
            (1..EACH).contains(&of_it),
            "each client had streams on either replica: {told:?}"
        );
    }
    let ends: BTreeSet<_> = cut.iter().map(|it| (it.status, it.code, it.done)).collect();
    assert_eq!(ends, BTreeSet::from([(200, 18, false)]), "{cut:#?}");
    exercise.end();
}
