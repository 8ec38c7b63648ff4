//! Our answer beside curl's: the printed line is run as it stands, and both must have seen the same.

use crate::sandbox::Place;
use crate::served::{BUSY, GOOD, Habit, Served, nobody};
use infer_traffic::Cause;
use std::process::Command;
use std::time::Duration;

const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    connection: close\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

/// What curl saw: status (0 for none), bytes of body, and how it ended.
fn curl(place: &Place, line: &str) -> (u64, u64, i32) {
    // `--fail-with-body` gives 400 and above an exit code; the rest is how curl reports.
    let line = format!(
        "{line} -sS -o /dev/null --fail-with-body -w '%{{http_code}} %{{size_download}}' 2>/dev/null"
    );
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(place.path())
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, bytes) = text
        .split_once(' ')
        .unwrap_or_else(|| panic!("{line}: {text}"));
    (
        status.parse().unwrap(),
        bytes.parse().unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn curl_sees_the_same_status_bytes_and_end() {
    let pause = Duration::from_millis(20);
    for (habit, args, cause) in [
        (Habit::Answers(GOOD), &[][..], None),
        (Habit::Answers(GOOD), &["--data", "body"], None),
        (Habit::Answers(BUSY), &[], Some(Cause::Http)),
        (Habit::Answers(""), &[], Some(Cause::ClosedBeforeHeaders)),
        (
            Habit::Resets(""),
            &["--data", "body"],
            Some(Cause::ResetBeforeHeaders),
        ),
        (Habit::Answers(CUT), &[], Some(Cause::ClosedInBody)),
        (
            Habit::Resets(CUT),
            &["--data", "body"],
            Some(Cause::ResetInBody),
        ),
        (
            Habit::FallsSilent(CUT),
            &["--stall", "1s"],
            Some(Cause::Stalled),
        ),
        (
            Habit::FallsSilent(CUT),
            &["--timeout", "1s"],
            Some(Cause::Timeout),
        ),
        (
            Habit::Streams(&[STREAM], pause),
            &["--stream"],
            Some(Cause::ClosedWithoutTerminator),
        ),
    ] {
        let served = Served::with(habit);
        let place = Place::new(&[("body", &"x".repeat(2000))]);
        compare(&place, &served.url("/a?b={c}&d=[1]"), args, cause, habit);
    }
    let place = Place::new(&[]);
    let url = format!("http://{}/", nobody());
    compare(&place, &url, &[], Some(Cause::Refused), Habit::Answers(""));
}

fn compare(place: &Place, url: &str, args: &[&str], cause: Option<Cause>, habit: Habit) {
    let run = place.run(&[&["test", url, "-o", "json"], args].concat());
    let report = run.json();
    let request = &report["requests"][0];
    let ours = request["error"]["cause"].as_str();
    assert_eq!(ours, cause.map(Cause::as_str), "{habit:?}: {report}");
    let (status, bytes, exit) = curl(place, report["curl"].as_str().unwrap());
    assert_eq!(request["status"].as_u64().unwrap_or(0), status, "{habit:?}");
    assert_eq!(request["bytes"].as_u64(), Some(bytes), "{habit:?}");
    let expected = cause.map_or(&[0][..], Cause::curl_exit);
    assert!(
        expected.contains(&exit),
        "{habit:?}: curl ended with {exit}, want {expected:?}"
    );
}
