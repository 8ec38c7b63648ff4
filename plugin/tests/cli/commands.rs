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

#[test]
fn every_runtime_and_controller_is_listed_and_explained_in_80_columns() {
    let place = Place::new(&[]);
    let list = place.run(&["explain"]).out;
    let catalogue = infer_core::catalogue::Catalogue::builtin();
    let runtimes = catalogue
        .runtimes
        .iter()
        .map(|it| format!("runtime/{}", it.name));
    let controllers = catalogue
        .controllers
        .iter()
        .map(|it| format!("controller/{}", it.name));
    for subject in runtimes.chain(controllers) {
        assert!(
            list.lines().any(|it| it.starts_with(&subject)),
            "{subject}: {list}"
        );
        let run = place.run(&["explain", &subject]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{subject}");
        assert!(
            run.out.starts_with(&subject) && run.out.contains("\nsources"),
            "{}",
            run.out
        );
        let document = place.run(&["explain", &subject, "-o", "json"]).json();
        assert_eq!(document["kind"], "ExplainReport");
        let (kind, name) = subject.split_once('/').unwrap();
        assert_eq!(document[kind]["name"], name);
        // All that the file says, sources and tier among it.
        assert!(document[kind]["sources"].is_array() && document[kind]["tier"].is_string());
    }
    let shown = place.run(&["explain", "controller/ingress-nginx"]).out;
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );
    session("explain-controller-ingress-nginx.txt", &shown);
    session(
        "explain-runtime-llama.cpp.txt",
        &place.run(&["explain", "runtime/llama.cpp"]).out,
    );
    let document = place.run(&["explain", "-o", "json"]).json();
    assert_eq!(
        document["rules"].as_array().unwrap().len(),
        infer_core::rules::ALL.len()
    );
    let rule = place
        .run(&["explain", "no-readiness-probe", "-o", "json"])
        .json();
    assert_eq!(rule["rule"]["name"], "no-readiness-probe");
}

#[test]
fn a_runtime_or_controller_that_nobody_knows_is_answered_with_those_that_are() {
    let place = Place::new(&[]);
    let run = place.run(&["explain", "controller/ingress-ngnix"]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(
        run.err.contains("there is no controller `ingress-ngnix`"),
        "{}",
        run.err
    );
    assert!(
        run.err.contains("did you mean `ingress-nginx`?"),
        "{}",
        run.err
    );
    assert!(run.err.contains("traefik"), "{}", run.err);
    let run = place.run(&["explain", "runtime/ollama"]);
    assert!(
        run.err.contains("the catalogue has") && run.err.contains("vllm"),
        "{}",
        run.err
    );
    // Without its kind.
    let run = place.run(&["explain", "vllm"]);
    assert!(
        run.err.contains("did you mean `runtime/vllm`?"),
        "{}",
        run.err
    );
    let document = place.run(&["explain", "runtime/x", "-o", "json"]).json();
    assert_eq!(document["errors"][0]["message"], "there is no runtime `x`");
}
