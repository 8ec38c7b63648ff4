//! `test` of a URL: what is reported, in both forms, and how it ends. No cluster is asked.

use crate::sandbox::{Place, Run};
use crate::served::{BUSY, GOOD, Habit, Served, nobody};
use serde_json::Value;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A place without a kubeconfig: a URL needs none.
fn test(args: &[&str]) -> Run {
    Place::new(&[]).run(&[&["test"], args].concat())
}

fn json(args: &[&str]) -> (Value, i32) {
    let run = test(&[args, &["-o", "json"]].concat());
    assert_eq!(run.err, "", "{run:?}");
    (run.json(), run.code)
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    connection: close\r\n\r\n";
const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n";
const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const PAUSE: Duration = Duration::from_millis(60);

#[test]
fn a_good_answer_is_a_document_with_every_member() {
    let served = Served::with(Habit::Answers(GOOD));
    let (report, code) = json(&[&served.url("/v1/models")]);
    assert_eq!(code, 0);
    assert_eq!(report["apiVersion"], "kubectl-infer.dev/v1alpha1");
    assert_eq!(report["kind"], "TestReport");
    assert_eq!(report["errors"], Value::Array(Vec::new()));
    let address = served.address.to_string();
    assert_eq!(report["target"]["address"], *address);
    let request = &report["requests"][0];
    assert_eq!(
        (&request["status"], &request["error"], &request["bytes"]),
        (&200.into(), &Value::Null, &16.into())
    );
    assert_eq!(request["stream"], Value::Null);
    let stamps = &request["stamps"];
    let time = |name: &str| {
        stamps[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {stamps}"))
    };
    let order = ["resolved", "connected", "sent", "firstByte", "end"].map(time);
    assert!(order.is_sorted() && order[0] >= 0.0, "{stamps}");
    assert_eq!(
        (&stamps["tls"], &stamps["firstToken"]),
        (&Value::Null, &Value::Null)
    );
    // The header that a server sends of its own accord.
    assert_eq!(request["replica"]["pod"], "llama-0");
    assert_eq!(request["replica"]["grade"], "A direct");
}

#[test]
fn a_request_carries_the_token_that_a_log_will_show() {
    let served = Served::with(Habit::Answers(GOOD));
    let (report, _) = json(&[&served.url("/"), "--requests", "2"]);
    let run = report["run"].as_str().unwrap();
    let requests = served.requests();
    for (request, sequence) in requests.iter().zip(1..) {
        let agent = format!("({run}/{sequence})");
        assert!(request.contains(&agent), "{agent}: {request}");
    }
    assert_eq!(requests.len(), 2);
}

#[test]
fn who_answered_is_unknown_where_nothing_says_it() {
    let served = Served::with(Habit::Answers(BUSY));
    let (report, code) = json(&[&served.url("/")]);
    assert_eq!(code, 2);
    let request = &report["requests"][0];
    assert_eq!(request["status"], 503);
    assert_eq!(request["error"]["cause"], "http");
    let replica = &request["replica"];
    assert_eq!(
        (&replica["pod"], &replica["grade"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        replica["reason"]
            .as_str()
            .unwrap()
            .contains("--replica-header")
    );
}

#[test]
fn each_way_to_fail_has_its_cause_and_ends_with_2() {
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    for (habit, args, cause) in [
        (Habit::Answers(""), &[][..], "closed-before-headers"),
        (
            Habit::Resets(""),
            &["--data", "body"],
            "reset-before-headers",
        ),
        (Habit::Answers(CUT), &[], "closed-in-body"),
        (Habit::Resets(CUT), &["--data", "body"], "reset-in-body"),
        (Habit::FallsSilent(CUT), &["--stall", "300ms"], "stalled"),
        (Habit::FallsSilent(""), &["--timeout", "300ms"], "timeout"),
    ] {
        let served = Served::with(habit);
        let place = Place::new(&[("body", &"x".repeat(1000))]);
        let url = served.url("/");
        let line = [&["test", &url, "-o", "json"], args].concat();
        let begun = Instant::now();
        let run = place.run(&line);
        assert!(begun.elapsed() < Duration::from_secs(5), "{cause}");
        let report = run.json();
        let request = &report["requests"][0];
        assert_eq!(request["error"]["cause"], cause, "{habit:?}: {report}");
        assert!(!request["error"]["message"].as_str().unwrap().is_empty());
        assert_eq!((run.code, run.err.as_str()), (2, ""), "{cause}");
    }
    let url = format!("http://{}/", nobody());
    let (report, code) = json(&[&url]);
    let request = &report["requests"][0];
    assert_eq!((&request["status"], code), (&Value::Null, 2));
    assert_eq!(request["error"]["cause"], "refused");
    assert_eq!(request["stamps"]["connected"], Value::Null);
}

#[test]
fn a_stream_is_read_event_by_event() {
    let parts = &[HEAD, ROLE, WORD, WORD, WORD, DONE];
    let served = Served::with(Habit::Streams(parts, PAUSE));
    let (report, code) = json(&[&served.url("/"), "--stream"]);
    assert_eq!(code, 0, "{report}");
    let request = &report["requests"][0];
    let stream = &request["stream"];
    assert_eq!(
        (&stream["contentEvents"], &stream["terminated"]),
        (&3.into(), &true.into())
    );
    let stamp = |name: &str| request["stamps"][name].as_f64().unwrap();
    // One pause to the event that has no content, one more to the first that does.
    assert!(
        stamp("firstToken") - stamp("firstByte") >= 100.0,
        "{request}"
    );
    assert!(stream["largestGapMs"].as_f64().unwrap() >= 50.0, "{stream}");
}

#[test]
fn a_stream_without_its_end_fails_though_http_is_complete() {
    let served = Served::with(Habit::Streams(&[HEAD, WORD, WORD], PAUSE));
    let url = served.url("/");
    let (report, code) = json(&[&url, "--stream"]);
    let request = &report["requests"][0];
    assert_eq!(request["error"]["cause"], "closed-without-terminator");
    assert_eq!((&request["stream"]["terminated"], code), (&false.into(), 2));
    // The control: read as a plain answer it is one.
    let (report, code) = json(&[&url]);
    assert_eq!((&report["requests"][0]["error"], code), (&Value::Null, 0));
}

#[test]
fn people_see_the_curl_line_the_heads_and_the_times() {
    let served = Served::with(Habit::Streams(&[HEAD, ROLE, WORD, WORD, DONE], PAUSE));
    let run = test(&[&served.url("/v1/x"), "--stream", "--method", "POST"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
    let at = |text: &str| {
        run.out
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {}", run.out))
    };
    let order = [
        "* run ",
        "* curl ",
        "> POST /v1/x HTTP/1.1\n",
        "> user-agent: kubectl-infer/",
        "< HTTP/1.1 200 OK\n",
        "< content-type: text/event-stream\n",
        "data: {",
        "\ntcp ",
        "\nheaders ",
        "\nttft ",
        "not counted",
        "\nstream ",
        "2 events with content",
        "\ngaps ",
        "\nreplica unknown: ",
        "\n✔ 200 in ",
        "\nnext  kubectl infer test http://",
    ]
    .map(at);
    assert!(order.is_sorted(), "{order:?}: {}", run.out);
    // All but what is there to be copied fits the width.
    for line in run
        .out
        .lines()
        .filter(|line| !line.contains("kubectl infer test "))
    {
        assert!(
            line.starts_with("* curl") || line.chars().count() <= 100,
            "{line}"
        );
    }
}

#[test]
fn ascii_stays_ascii_and_an_answer_commands_no_terminal() {
    const HEAD: &str = "HTTP/1.1 200 O\u{7f}K\r\nx: a\tb\r\ncontent-length: 0\r\n\r\n";
    const BODY: &str = "HTTP/1.1 200 OK\r\nx: a\tb\r\ncontent-length: 9\r\n\r\n\u{1b}[2J\u{7}é!\n";
    for (evil, shown) in [(HEAD, ""), (BODY, "\\u{1b}[2J\\u{7}é!\n")] {
        let served = Served::with(Habit::Answers(evil));
        for args in [&["--ascii"][..], &[]] {
            let run = test(&[&[served.url("/").as_str()], args].concat());
            assert!(
                !run.out.contains(['\u{1b}', '\u{7}', '\u{7f}']) && run.out.contains(shown),
                "{}",
                run.out
            );
        }
    }
    let served = Served::with(Habit::Answers(GOOD));
    let run = test(&[&served.url("/"), "--ascii"]);
    assert!(run.out.is_ascii(), "{}", run.out);
}

#[test]
fn many_requests_are_counted_by_outcome_and_replica() {
    let served = Served::with(Habit::Answers(GOOD));
    let url = served.url("/");
    let run = test(&[&url, "--requests", "25"]);
    assert_eq!(run.code, 0, "{run:?}");
    for shown in [
        "25 requests",
        "0 failed",
        "known of 25/25",
        "whole answer  25  ",
        "llama-0  25    100.0%",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    assert!(!run.out.contains("< HTTP/1.1"), "{}", run.out);
    // Below twenty no percentile is said.
    let few = test(&[&url, "--requests", "19"]);
    assert!(
        few.out.contains("whole answer  19  <unknown>  <unknown>"),
        "{}",
        few.out
    );
    assert!(
        test(&[&url, "--requests", "2", "-v"])
            .out
            .contains("< HTTP/1.1")
    );
}

#[test]
fn a_rate_is_kept_whatever_the_answers_take() {
    let parts = &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "ok"];
    let served = Served::with(Habit::Streams(parts, Duration::from_millis(400)));
    let begun = Instant::now();
    let (report, code) = json(&[&served.url("/"), "--requests", "20", "--rate", "40"]);
    // One after the other they would take 8 s.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        (code, report["requests"].as_array().unwrap().len()),
        (0, 20)
    );
    let lag = &report["lag"];
    assert_eq!(
        (&lag["rate"], &lag["samples"], &lag["skipped"]),
        (&40.0.into(), &20.into(), &0.into())
    );
    assert!(lag["p99Ms"].is_f64(), "{lag}");
}

#[test]
fn what_is_wrong_with_the_command_line_is_said_with_the_way_out() {
    let place = Place::new(&[("headers", "authorization: secret\nno header\n")]);
    for (args, way_out) in [
        (
            &["--timeout", "30", "http://a/"][..],
            "a duration has a unit: `30s`, `30m`",
        ),
        (
            &["http://a/", "--data", "@x.json"],
            "without curl's `@`: `--data x.json`",
        ),
        (
            &["http://a/", "--data", "{\"a\":1}"],
            "pipe it into `--data -`",
        ),
        (&["http://a/", "--rate", "0"], "above 0"),
        (&["http://a/", "--requests", "0"], "1..=100000"),
        (
            &["http://a/", "--header-file", "headers"],
            "write `NAME: VALUE`, one on a line",
        ),
        (&["http://u:p@a/"], "--header-file"),
        (
            &["http://a/", "--resolve", "b:80:127.0.0.1"],
            "--resolve a:80:127.0.0.1",
        ),
        (&["http://a/", "--resolve", "a:80"], "`HOST:PORT:ADDRESS`"),
        (
            &["https://127.0.0.1/", "--certificate-authority", "none"],
            "none: cannot be read",
        ),
        (&["service/x"], "test the Ingress in front of it"),
        (&["a.b"], "ingress/a.b"),
        (
            &["http://a/", "--strem"],
            "a similar argument exists: '--stream'",
        ),
    ] {
        let run = place.run(&[&["test"], args].concat());
        assert!(run.err.contains(way_out), "{args:?}: {}", run.err);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{args:?}");
        let run = place.run(&[&["test", "-o", "json"], args].concat());
        let report = run.json();
        assert_eq!(
            (run.code, &report["kind"]),
            (1, &"TestReport".into()),
            "{args:?}"
        );
        assert_eq!(report["errors"].as_array().unwrap().len(), 1, "{args:?}");
        assert_eq!(report["requests"], Value::Array(Vec::new()));
    }
}

#[test]
fn a_secret_is_sent_and_shown_nowhere() {
    let served = Served::with(Habit::Answers(GOOD));
    let place = Place::new(&[("headers", "# the key\nauthorization: Bearer s3cret\n")]);
    let url = served.url("/");
    for form in ["text", "json"] {
        let run = place.run(&["test", &url, "--header-file", "headers", "-o", form]);
        assert_eq!(run.code, 0);
        assert!(
            !run.out.contains("s3cret") && !run.err.contains("s3cret"),
            "{run:?}"
        );
        assert!(run.out.contains("-H @headers"), "{}", run.out);
        // It stands there once, and not as a word to be filled in.
        assert!(!run.out.contains("@FILE"), "{}", run.out);
    }
    assert!(served.requests()[0].contains("authorization: Bearer s3cret\r\n"));
}

#[test]
fn data_from_stdin_is_a_post() {
    let served = Served::with(Habit::Answers(GOOD));
    let body = r#"{"prompt":"x"}"#;
    let run = Place::new(&[]).run_with_stdin(&["test", &served.url("/v1"), "--data", "-"], body);
    assert_eq!(run.code, 0, "{run:?}");
    let request = &served.requests()[0];
    assert!(request.starts_with("POST /v1 HTTP/1.1\r\n"), "{request}");
    assert!(
        request
            .to_lowercase()
            .contains("content-type: application/json\r\n"),
        "{request}"
    );
    assert!(request.ends_with(body), "{request}");
}

#[test]
fn ctrl_c_leaves_a_report_of_what_was_done() {
    let parts = &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "ok"];
    let served = Served::with(Habit::Streams(parts, Duration::from_millis(50)));
    let place = Place::new(&[]);
    for form in ["json", "text"] {
        let url = served.url("/");
        let mut child = place
            .command(&["test", &url, "--requests", "1000", "-o", form])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let before = served.requests().len();
        while served.requests().len() < before + 5 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut out = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{out}");
        if form == "json" {
            let report: Value = serde_json::from_str(&out).unwrap();
            let done = report["requests"].as_array().unwrap().len();
            assert!((1..1000).contains(&done), "{done}");
            assert_eq!(report["interrupted"], true);
        } else {
            assert!(out.contains("interrupted: the report is of "), "{out}");
        }
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_apart_and_the_next_step_is_sound() {
    let served = Served::with(Habit::Resets(GOOD));
    let url = format!("https://{}/", served.address);
    let place = Place::new(&[("ca.pem", CERTIFICATE)]);
    let run = place.run(&["test", &url, "--certificate-authority", "ca.pem"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.out.contains("✖ tls: "), "{}", run.out);
    let next = run
        .out
        .lines()
        .find_map(|it| it.strip_prefix("next  kubectl infer test "));
    let next = next.unwrap_or_else(|| panic!("{}", run.out));
    assert!(next.contains("--insecure-skip-tls-verify"), "{next}");
    // The two exclude each other.
    assert!(!next.contains("--certificate-authority"), "{next}");
}

/// Any certificate: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=x`.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBbjCCARWgAwIBAgIUJ17G8FS74fenPzkgFjxa/eSW+HEwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBeDAgFw0yNjExMjUwNzIxMTdaGA8yMTI2MTEwMTA3MjExN1ow
DDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNspDcWm8bB8
ys0QkRHprR9J8c7Ga/cIcgnmxP+u3GCldHD32xfVpW3/SBUMXdbpelARU3zmO9zU
v9ELxqKqOBOjUzBRMB0GA1UdDgQWBBS2ncKRkutozEFp4S/9/P0OK9Zj2DAfBgNV
HSMEGDAWgBS2ncKRkutozEFp4S/9/P0OK9Zj2DAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0cAMEQCIFze08miM+39IVlG5e942xUaqMs+IxyNCEXm8hOFP/Fp
AiAC4JYT83ZYhjBD/5MGXPQqZzJGIvhz54Xqzn1QvIE2Gw==
-----END CERTIFICATE-----
";
