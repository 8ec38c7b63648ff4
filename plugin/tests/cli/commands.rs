//! `diff`, `explain`, `version` and help.

use crate::sandbox::{Place, session};

#[test]
fn a_diff_shows_each_change_with_its_rule_and_reason() {
    let place = Place::of_example("minimal");
    let run = place.run(&["diff", "-f", "minimal"]);
    session("minimal-diff.txt", &run.out);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let report = place.run(&["diff", "-f", "minimal", "-o", "json"]).json();
    assert_eq!(report["kind"], "DiffReport");
    for changed in report["changed"].as_array().unwrap() {
        assert_eq!(changed["file"], "minimal/llama.yaml");
        for change in changed["changes"].as_array().unwrap() {
            for member in ["rule", "path", "reason"] {
                assert!(change[member].is_string(), "{change}");
            }
        }
    }
}

#[test]
fn every_rule_is_listed_and_explained() {
    let place = Place::new(&[]);
    let list = place.run(&["explain"]);
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    let mut lines = list.out.lines();
    let titles: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(titles, ["RULE", "LEVEL", "FIX", "SUMMARY"]);
    let rules: Vec<&str> = lines
        .take_while(|line| !line.is_empty())
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    assert_eq!(rules.len(), infer_core::rules::ALL.len());
    for rule in rules {
        let run = place.run(&["explain", rule]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{rule}");
        assert!(run.out.starts_with(&format!("{rule}  ")), "{}", run.out);
        assert!(run.out.contains("\nlooks at  "), "{}", run.out);
        let title = format!(
            "# {rule}
"
        );
        assert!(
            !run.out.contains(&title),
            "the title is said once: {}",
            run.out
        );
    }
}

#[test]
fn versions_are_printed() {
    let place = Place::new(&[]);
    let run = place.run(&["version"]);
    let rules = infer_core::rules::ALL.len();
    let catalogue = infer_core::catalogue::VERSION;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        run.out,
        format!("client     {version}\ncatalogue  {catalogue}\nrules      {rules}\n")
    );
    let report = place.run(&["version", "-o", "json"]).json();
    assert_eq!(
        (&report["clientVersion"], &report["rules"]),
        (&version.into(), &rules.into())
    );
    let run = place.run(&["version", "-o", "json", "--bad"]);
    assert_eq!(
        (run.code, &run.json()["kind"]),
        (1, &"VersionReport".into())
    );
}

#[test]
fn help_starts_with_what_a_person_types() {
    let place = Place::new(&[]);
    let run = place.run(&[]);
    session("help.txt", &run.out);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    for command in ["check", "diff", "drill", "explain", "test", "version"] {
        let short = place.run(&[command, "-h"]);
        let long = place.run(&[command, "--help"]);
        let usage = format!("Usage: kubectl infer {command}");
        for run in [&short, &long] {
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{command}");
            assert!(
                run.out.find("Examples:").unwrap() < run.out.find(&usage).unwrap(),
                "{}",
                run.out
            );
        }
        assert!(short.out.len() < long.out.len(), "{command}");
        let first = short.out.lines().next().unwrap();
        assert!(
            first.starts_with(char::is_uppercase) && !first.ends_with('.'),
            "{first}"
        );
    }
}
