//! `check`: findings, exit codes, policy.

use crate::sandbox::{Place, SERVER, findings, session, with_error, without_probe};
use serde_json::Value;

#[test]
fn the_chapter_as_written_gives_exactly_these_findings() {
    let place = Place::of_example("chapter/as-written");
    let run = place.run(&["check", "-f", "chapter/as-written", "-o", "json"]);
    let report = run.json();
    let expected = [
        ("note", "send-timeout-default", 7, 3),
        ("warning", "body-limit-huge", 8, 50),
        ("warning", "ingress-no-class", 10, 1),
        ("error", "service-selects-nothing", 29, 10),
        ("error", "selector-missing", 38, 1),
        ("error", "labels-missing", 40, 3),
        ("warning", "no-delay-before-sigterm", 43, 11),
        ("note", "model-missing", 43, 11),
        ("error", "invalid-image-name", 44, 18),
        ("note", "probe-timeout-short", 45, 11),
    ];
    let of_mesh = [
        ("warning", "route-not-on-path", 6, 1),
        ("error", "host-undefined", 12, 19),
        ("error", "subset-undefined", 13, 21),
        ("error", "host-undefined", 16, 19),
        ("error", "subset-undefined", 17, 21),
        ("warning", "dr-host-unknown", 25, 9),
        ("error", "h2-to-http1-server", 31, 26),
        ("warning", "outlier-never-ejects", 34, 5),
    ];
    let all = expected.into_iter().chain(of_mesh);
    let all: Vec<_> = all
        .map(|(level, rule, line, column)| (level.to_owned(), rule.to_owned(), line, column))
        .collect();
    assert_eq!(findings(&report), all);
    for (index, finding) in report["findings"].as_array().unwrap().iter().enumerate() {
        let file = if index < expected.len() {
            "inference"
        } else {
            "mesh"
        };
        assert_eq!(finding["file"], format!("chapter/as-written/{file}.yaml"));
        assert!(!finding["help"].as_array().unwrap().is_empty(), "{finding}");
    }
    assert_eq!(report["skipped"], Value::Array(Vec::new()));
    assert_eq!((run.code, run.err.as_str()), (2, ""));
}

#[test]
fn the_chapter_as_written_as_people_read_it() {
    let place = Place::of_example("chapter/as-written");
    let run = place.run(&["check", "-f", "chapter/as-written"]);
    session("chapter-check.txt", &run.out);
    assert_eq!((run.code, run.err.as_str()), (2, ""));
}

#[test]
fn the_chapter_repaired_gives_none() {
    let place = Place::of_example("chapter/repaired");
    let run = place.run(&["check", "-f", "chapter/repaired", "-o", "json"]);
    assert_eq!(findings(&run.json()), []);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let run = place.run(&["check", "-f", "chapter/repaired", "--fail-on", "warning"]);
    assert!(
        run.out.starts_with("✔ no findings in 3 objects (1 file)\n"),
        "{run:?}"
    );
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let place = Place::of_example("chapter/repaired-istio");
    let run = place.run(&["check", "-f", "chapter/repaired-istio"]);
    assert!(
        run.out
            .starts_with("✔ no findings in 7 objects (2 files)\n"),
        "{run:?}"
    );
}

#[test]
fn a_finding_in_json_has_all_that_was_promised() {
    let place = Place::new(&[("a.yaml", &without_probe())]);
    let run = place.run(&["check", "-f", "a.yaml", "-n", "team", "-o", "json"]);
    let report = run.json();
    assert_eq!(report["apiVersion"], "kubectl-infer.dev/v1alpha1");
    assert_eq!(report["kind"], "CheckReport");
    let finding = &report["findings"][0];
    assert_eq!(finding["rule"], "no-readiness-probe");
    assert_eq!(finding["level"], "warning");
    assert_eq!(
        finding["object"],
        serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "team", "name": "llama"})
    );
    assert_eq!(finding["path"], "/spec/template/spec/containers/0");
    assert_eq!(
        (&finding["file"], &finding["line"], &finding["column"]),
        (&"a.yaml".into(), &12.into(), &11.into())
    );
    let change = &finding["fix"]["changes"][0];
    assert_eq!(
        change["path"],
        "/spec/template/spec/containers/0/readinessProbe"
    );
    assert_eq!(change["value"]["httpGet"]["path"], "/health");
    assert!(change["reason"].is_string());
}

#[test]
fn a_mark_in_another_file_is_shown_there() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: llama}\n  ports: [{port: 80}]\n";
    let server = SERVER.replace("    metadata: {labels: {app: llama}}\n", "");
    let place = Place::new(&[("a.yaml", service), ("b.yaml", &server)]);
    let run = place.run(&["check", "-f", ".", "-n", "team"]);
    assert!(run.out.contains(" --> ./a.yaml:5:19\n"), "{}", run.out);
    assert!(run.out.contains(" ::: ./b.yaml:7:3\n"), "{}", run.out);
}

#[test]
fn the_exit_code_is_what_fail_on_says() {
    let (warning, error) = (without_probe(), with_error());
    let place = Place::new(&[
        ("none.yaml", SERVER),
        ("warning.yaml", &warning),
        ("error.yaml", &error),
    ]);
    for (file, fail_on, code) in [
        ("none.yaml", "warning", 0),
        ("warning.yaml", "error", 0),
        ("warning.yaml", "warning", 2),
        ("error.yaml", "error", 2),
        ("error.yaml", "warning", 2),
        ("error.yaml", "never", 0),
    ] {
        for output in ["text", "json"] {
            let run = place.run(&["check", "-f", file, "--fail-on", fail_on, "-o", output]);
            assert_eq!(
                (run.code, run.err.as_str()),
                (code, ""),
                "{file} {fail_on} {output}"
            );
        }
    }
    let default = |file| place.run(&["check", "-f", file]).code;
    assert_eq!((default("warning.yaml"), default("error.yaml")), (0, 2));
}

#[test]
fn that_there_is_nothing_can_be_accepted() {
    let place = Place::new(&[
        ("d/readme.md", ""),
        (
            "c.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        ),
    ]);
    let run = place.run(&["check", "-f", "d", "--allow-empty"]);
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (0, "nothing of inference in 0 objects\n", "")
    );
    let run = place.run(&["check", "-f", "c.yaml", "--allow-empty"]);
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (0, "nothing of inference in 1 object\n", "")
    );
    // But not that something cannot be read.
    let run = place.run(&["check", "-f", "none.yaml", "--allow-empty"]);
    assert_eq!(run.code, 1);
}

#[test]
fn stdin_is_read() {
    let place = Place::new(&[]);
    let run = place.run_with_stdin(&["check", "-f", "-"], &with_error());
    assert!(run.out.contains(" --> <stdin>:13:18\n"), "{}", run.out);
    assert_eq!((run.code, run.err.as_str()), (2, ""));
}

#[test]
fn a_policy_decides_what_is_heard_and_fixed() {
    let policy = |rules: &str| {
        format!(
            "apiVersion: kubectl-infer.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {{name: p}}\nspec:\n  rules:\n  - {rules}\n"
        )
    };
    let place = Place::new(&[
        ("server.yaml", &without_probe()),
        (
            "off.yaml",
            &policy("{rule: no-readiness-probe, action: off}"),
        ),
        (
            "no-fix.yaml",
            &policy("{rule: no-readiness-probe, fix: false}"),
        ),
    ]);
    let check = |policy: &str| {
        place
            .run(&[
                "check",
                "-f",
                "server.yaml",
                "--policy",
                policy,
                "-o",
                "json",
            ])
            .json()
    };
    assert_eq!(findings(&check("off.yaml")), []);
    let report = check("no-fix.yaml");
    assert_eq!(report["findings"][0]["rule"], "no-readiness-probe");
    // What admission does not do is no fix, and `diff` says the same.
    assert_eq!(report["findings"][0]["fix"], Value::Null);
    let run = place.run(&["diff", "-f", "server.yaml", "--policy", "no-fix.yaml"]);
    assert!(
        run.out
            .starts_with("nothing would change in 1 object (1 file)\n"),
        "{}",
        run.out
    );
    let run = place.run(&["diff", "-f", "server.yaml", "--policy", "server.yaml"]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
}

const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
spec:
  ingressClassName: nginx
  defaultBackend:
    service: {name: back, port: {number: 80}}
";

#[test]
fn rules_that_could_not_speak_are_named_with_what_they_need() {
    let place = Place::new(&[("a.yaml", SERVER), ("b.yaml", INGRESS)]);
    let run = place.run(&["check", "-f", "a.yaml,b.yaml"]);
    let start = "✔ no findings in 2 objects (2 files)\nskipped: Ingress/front (b.yaml:1): needs the Service `back`";
    assert!(run.out.starts_with(start), "{}", run.out);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let report = place
        .run(&["check", "-f", "a.yaml", "-f", "b.yaml", "-o", "json"])
        .json();
    let skip = &report["skipped"][0];
    assert_eq!(skip["object"]["name"], "front");
    assert_eq!(
        (&skip["file"], &skip["line"]),
        (&"b.yaml".into(), &1.into())
    );
    assert!(skip["reason"].as_str().unwrap().contains("`back`"));
    let rules = skip["rules"].as_array().unwrap();
    assert!(rules.contains(&"ingress-no-class".into()), "{rules:?}");
    // Where nothing else is given, nothing was checked, and that is no success.
    let run = place.run(&["check", "-f", "b.yaml"]);
    assert!(run.out.starts_with("skipped: Ingress/front"), "{}", run.out);
    assert_eq!(run.code, 1);
}

#[test]
fn what_is_found_stands_in_the_order_of_files_and_lines() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: llama}\n---\n";
    let server = with_error().replace("    metadata: {labels: {app: llama}}\n", "");
    let place = Place::new(&[
        ("b.yaml", &(server.clone() + "---\n" + service)),
        ("a.yaml", &server.replace("name: llama", "name: other")),
    ]);
    // The order on the command line is the order of files.
    let report = place
        .run(&["check", "-f", "b.yaml", "-f", "a.yaml", "-o", "json"])
        .json();
    let places: Vec<(&str, u64)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            (
                finding["file"].as_str().unwrap(),
                finding["line"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("b.yaml", 7),
            ("b.yaml", 12),
            ("b.yaml", 21),
            ("a.yaml", 7),
            ("a.yaml", 12)
        ]
    );
}
