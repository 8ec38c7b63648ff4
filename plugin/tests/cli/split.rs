//! `test --expect` of a URL: what is proven of a split, and how it ends.

use crate::sandbox::{Place, Run, session};
use crate::served::{Habit, Served};
use serde_json::Value;

fn test(served: &Served, args: &[&str]) -> Run {
    let url = served.url("/");
    let fixed = ["test", url.as_str(), "--replica-header", "x-version"];
    Place::new(&[]).run(&[&fixed, args].concat())
}

fn json(served: &Served, args: &[&str]) -> (Value, i32) {
    let run = test(served, &[args, &["-o", "json"]].concat());
    assert_eq!(run.err, "", "{run:?}");
    (run.json(), run.code)
}

const STABLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-version: stable\r\n\r\nok";
const CANARY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-version: canary\r\n\r\nok";
const NOBODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A number that looks drawn: splitmix64's finalizer.
fn drawn(number: usize) -> u64 {
    let mut z = (number as u64 + 11).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % 100
}

/// One request in ten, as if drawn.
fn tenth(number: usize) -> &'static str {
    if drawn(number) < 10 { CANARY } else { STABLE }
}

#[test]
fn a_share_that_is_right_matches() {
    let served = Served::with(Habit::Numbered(tenth));
    let run = test(&served, &["--expect", "canary=10"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
    let sent = served.requests().len();
    assert!((400..=600).contains(&sent), "{sent}");
    for shown in [
        &format!("{sent} requests: settles in 9 of 10 runs"),
        &format!("0 failed; attributed {sent}/{sent} (grade A direct)\n"),
        "BACKEND  REPLICA  HITS  SHARE  95% INTERVAL  TARGET  VERDICT\n",
        "  10 ± 5  ✔ match\n",
        "\nother    stable ",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    assert!(!run.out.contains("note:"), "{}", run.out);
    for line in run.out.lines() {
        let is_wide = line.chars().count() > 100;
        assert!(line.starts_with("* curl") || !is_wide, "{line}");
    }
}

#[test]
fn the_document_has_what_a_verdict_rests_on() {
    let served = Served::with(Habit::Numbered(tenth));
    let args = ["--expect", "canary=10%,stable=90", "--requests", "600"];
    let (report, code) = json(&served, &args);
    assert_eq!(code, 0, "{}", report["expectations"]);
    let expectations = report["expectations"].as_array().unwrap();
    assert_eq!(expectations.len(), 2);
    let canary = &expectations[0];
    let hits = (0..600).filter(|it| drawn(*it) < 10).count();
    for (member, value) in [
        ("backend", Value::from("canary")),
        ("by", "header".into()),
        ("target", 0.1.into()),
        ("tolerance", 0.05.into()),
        ("sent", 600.into()),
        ("hits", hits.into()),
        ("unknown", 0.into()),
        ("verdict", "match".into()),
        ("settlesAt", Value::Null),
        ("draw", "random".into()),
        ("grade", "A direct".into()),
    ] {
        assert_eq!(canary[member], value, "{member}: {canary}");
    }
    let (low, high) = (&canary["interval"]["low"], &canary["interval"]["high"]);
    let share = hits as f64 / 600.0;
    assert!(low.as_f64().unwrap() < share && share < high.as_f64().unwrap());
    assert_eq!(expectations[1]["hits"], 600 - hits);
    assert_eq!(report["endedEarly"], Value::Null);
    // Without the flag the members are there, and empty.
    let (report, _) = json(&served, &[]);
    assert_eq!(report["expectations"], Value::Array(Vec::new()));
}

#[test]
fn a_share_that_is_wrong_ends_with_2() {
    let served = Served::with(Habit::Numbered(tenth));
    let run = test(&served, &["--expect", "canary=30"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.out.contains("30 ± 10  ✖ mismatch\n"), "{}", run.out);
    // The control: more tolerance makes it right.
    let args = [
        "--expect",
        "canary=30",
        "--tolerance",
        "29",
        "--requests",
        "400",
    ];
    let run = test(&served, &args);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("30 ± 29  ✔ match\n"), "{}", run.out);
}

#[test]
fn too_few_requests_end_with_4_and_the_command_that_settles_it() {
    let served = Served::with(Habit::Numbered(tenth));
    let args = [
        "--expect",
        "canary=10",
        "--tolerance",
        "4",
        "--requests",
        "60",
    ];
    let run = test(&served, &args);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.out.contains("10 ± 4  ? inconclusive\n"), "{}", run.out);
    assert!(run.out.contains("\n? canary: "), "{}", run.out);
    let next = run.out.lines().find_map(|it| it.strip_prefix("next  "));
    let next = next.unwrap_or_else(|| panic!("{}", run.out));
    let command = next.split("  ").next().unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    assert!(
        command.contains("--expect canary=10 --tolerance 4 --requests "),
        "{command}"
    );
    // What is advised is what settles it.
    let run = Place::new(&[]).run(&words[1..]);
    assert_eq!(run.code, 0, "{words:?} {run:?}");
}

#[test]
fn a_backend_that_nobody_reaches_ends_the_run_early() {
    let served = Served::with(Habit::Numbered(|_| STABLE));
    let many = ["--expect", "canary=10", "--requests", "50000"];
    for rate in [&[][..], &["--rate", "500"]] {
        let before = served.requests().len();
        let run = test(&served, &[&many, rate].concat());
        let sent = served.requests().len() - before;
        assert_eq!(run.code, 2, "{run:?}");
        assert!((91..20_000).contains(&sent), "{sent}");
        for shown in [
            "canary   <none>   0 ",
            "10 ± 5  ✖ mismatch\n",
            "note: ended early: none of the first ",
            "note: nothing that answered is called canary; known are stable\n",
        ] {
            assert!(run.out.contains(shown), "{shown}: {}", run.out);
        }
    }
    let (report, _) = json(&served, &many);
    assert_eq!(report["endedEarly"]["backend"], "canary");
    assert!(report["endedEarly"]["requests"].as_u64().unwrap() >= 91);
    // A band that includes zero is never silent for too long.
    let args = [
        "--expect",
        "canary=5",
        "--tolerance",
        "5",
        "--requests",
        "1500",
    ];
    let (report, code) = json(&served, &args);
    assert_eq!((&report["endedEarly"], code), (&Value::Null, 0));
    assert_eq!(report["requests"].as_array().unwrap().len(), 1500);
}

#[test]
fn a_single_hit_keeps_the_run_going() {
    let served = Served::with(Habit::Numbered(|it| if it == 20 { CANARY } else { STABLE }));
    let (report, code) = json(&served, &["--expect", "canary=10", "--requests", "1500"]);
    assert_eq!((&report["endedEarly"], code), (&Value::Null, 2));
    assert_eq!(report["expectations"][0]["sent"], 1500);
}

#[test]
fn replies_of_nobody_decide_nothing() {
    let served = Served::with(Habit::Numbered(|_| NOBODY));
    let (report, code) = json(&served, &["--expect", "canary=10", "--requests", "1000"]);
    let canary = &report["expectations"][0];
    assert_eq!((&canary["unknown"], code), (&1000.into(), 4), "{canary}");
    assert_eq!(
        (&canary["grade"], &canary["by"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(report["endedEarly"], Value::Null);
    // A tenth of them unknown, and the known ones as they should be.
    let served = Served::with(Habit::Numbered(|it| match drawn(it) {
        0..10 => NOBODY,
        10..20 => CANARY,
        _ => STABLE,
    }));
    let run = test(&served, &["--expect", "canary=10", "--requests", "500"]);
    assert_eq!(run.code, 4, "{run:?}");
    for shown in ["<unknown>", "replies nobody knows whose", "? inconclusive"] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    // Known alone, they decide.
    let served = Served::with(Habit::Numbered(tenth));
    assert_eq!(
        test(&served, &["--expect", "canary=10", "--requests", "500"]).code,
        0
    );
}

#[test]
fn a_round_robin_is_no_draw_and_clumps_are_none_either() {
    let regular = Served::with(Habit::Numbered(
        |it| if it % 10 == 3 { CANARY } else { STABLE },
    ));
    let args = ["--expect", "canary=10", "--requests", "400"];
    let run = test(&regular, &args);
    assert_eq!(run.code, 0, "{run:?}");
    let said = "note: hits of canary come at even distances: a round robin, no random draw";
    assert!(run.out.contains(said), "{}", run.out);
    assert_eq!(
        json(&regular, &args).0["expectations"][0]["draw"],
        "regular"
    );
    let sticky = Served::with(Habit::Numbered(|it| {
        if drawn(it / 20) < 20 { CANARY } else { STABLE }
    }));
    let args = ["--expect", "canary=20", "--requests", "1000"];
    let run = test(&sticky, &args);
    assert!(
        run.out.contains("hits of canary come in clumps"),
        "{}",
        run.out
    );
}

const BUILD_1: &str = "HTTP/1.1 200 OK\r\ncontent-length: 54\r\nconnection: close\r\n\r\n\
    {\"model\":\"m.gguf\",\"system_fingerprint\":\"b4790-abcdef\"}";
const BUILD_2: &str = "HTTP/1.1 200 OK\r\ncontent-length: 54\r\nconnection: close\r\n\r\n\
    {\"model\":\"m.gguf\",\"system_fingerprint\":\"b4812-012345\"}";
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    connection: close\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"system_fingerprint\":\"b4812-012345\"}\n\n\
    data: [DONE]\n\n";

#[test]
fn a_model_s_own_fingerprint_tells_versions_apart() {
    let served = Served::with(Habit::Numbered(|it| {
        if drawn(it) < 10 { BUILD_2 } else { BUILD_1 }
    }));
    let args = ["--expect", "b4812=10", "--requests", "500"];
    let (report, code) = json(&served, &args);
    let found = &report["expectations"][0];
    assert_eq!(code, 0, "{found}");
    assert_eq!(
        (&found["by"], &found["grade"], &found["unknown"]),
        (&"fingerprint".into(), &"D fingerprint".into(), &0.into())
    );
    let run = test(&served, &args);
    assert!(
        run.out.contains("attributed 500/500 (grade D fingerprint)"),
        "{}",
        run.out
    );
    // A fingerprint in which none of the names was met says nothing: both versions may have it.
    let (report, code) = json(&served, &["--expect", "canary=10", "--requests", "300"]);
    let found = &report["expectations"][0];
    assert_eq!((&found["unknown"], code), (&300.into(), 4), "{found}");
    // With the other version's name beside it a name that is not met is one that nobody reaches.
    let old = Served::with(Habit::Numbered(|_| BUILD_1));
    let args = ["--expect", "b4790=90,b4812=10", "--requests", "20000"];
    let (report, code) = json(&old, &args);
    assert_eq!(
        (&report["endedEarly"]["backend"], code),
        (&"b4812".into(), 2)
    );
    let stream = Served::with(Habit::Answers(EVENTS));
    let args = ["--expect", "b4812=100", "--requests", "150", "--stream"];
    let (report, code) = json(&stream, &args);
    assert_eq!((&report["expectations"][0]["hits"], code), (&150.into(), 0));
}

#[test]
fn a_failed_request_is_one_whatever_the_shares() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 2\r\nx-version: canary\r\n\r\nno";
    let served = Served::with(Habit::Numbered(
        |it| {
            if drawn(it) < 10 { BUSY } else { STABLE }
        },
    ));
    let (report, code) = json(&served, &["--expect", "canary=10", "--requests", "500"]);
    assert_eq!(
        (&report["expectations"][0]["verdict"], code),
        (&"match".into(), 2)
    );
}

#[test]
fn shares_that_make_no_sense_are_refused_with_the_way_out() {
    for (args, way_out) in [
        (
            &["--expect", "canary=0.1"][..],
            "`0.1%`, or as a part of one `10%`",
        ),
        (
            &["--expect", "canary"],
            "`NAME=SHARE`, in percent: `canary=10`",
        ),
        (&["--expect", "canary=10,canary=20"], "names canary twice"),
        (&["--expect", "a=60", "--expect", "b=50"], "add up to 110 %"),
        (&["--tolerance", "5"], "--expect"),
        (
            &["--expect", "canary=10", "--tolerance", "0"],
            "percentage points",
        ),
        (
            &["--expect", "canary=10", "--tolerance", "0.05"],
            "a wider `--tolerance POINTS`",
        ),
    ] {
        let run = Place::new(&[]).run(&[&["test", "http://a/"], args].concat());
        assert!(run.err.contains(way_out), "{args:?}: {}", run.err);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{args:?}");
    }
}

#[test]
fn help_says_what_a_backend_is_and_how_it_ends() {
    let run = Place::new(&[]).run(&["test", "--help"]);
    assert_eq!(run.code, 0);
    session("test-help.txt", &run.out);
}
