//! What cannot be read: a clear answer, one document, exit 1.

use crate::sandbox::{BROKEN, Place, SERVER, errors, findings, with_error, without_probe};
use serde_json::Value;

#[test]
fn a_broken_file_is_named_and_the_others_are_checked() {
    let place = Place::new(&[
        ("d/a.yaml", &with_error()),
        ("d/b.yaml", BROKEN),
        ("d/c.yaml", &without_probe()),
    ]);
    let run = place.run(&["check", "-f", "d"]);
    assert!(run.err.contains(" --> d/b.yaml:5:2\n"), "{}", run.err);
    for shown in [
        "d/a.yaml:13:18",
        "d/c.yaml:12:11",
        "not read in full: d/b.yaml",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    assert_eq!(run.code, 1);
    let run = place.run(&["check", "-f", "d", "-o", "json"]);
    let report = run.json();
    let errors = errors(&report);
    assert_eq!(
        (errors[0].0, errors[0].1, errors.len()),
        (Some("d/b.yaml"), Some(5), 1)
    );
    assert_eq!(findings(&report).len(), 2);
    assert_eq!(run.code, 1);
}

#[test]
fn what_is_legal_is_read() {
    let crlf = with_error().replace('\n', "\r\n");
    let tab = with_error().replace("name: server\n", "name: server\t\t# the server\n");
    let place = Place::new(&[("crlf.yaml", &crlf), ("tab.yaml", &tab)]);
    for file in ["crlf.yaml", "tab.yaml"] {
        let run = place.run(&["check", "-f", file]);
        assert_eq!((run.code, run.err.as_str()), (2, ""), "{file}");
        assert!(run.out.contains(&format!("{file}:13:18")), "{}", run.out);
        assert!(
            run.out
                .contains("          image: ghcr.io/GGML-org/llama.cpp:server\n"),
            "{}",
            run.out
        );
    }
}

#[test]
fn what_cannot_be_read_is_one_document_and_exit_1() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let place = Place::new(&[
        ("empty/readme.md", "not a manifest"),
        ("deep.json", &deep),
        (
            "helm.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Values.name }}\n",
        ),
        ("odd.yaml", "kind: Foo\n---\n- a\n---\nhello\n"),
        ("values.yaml", "replicas: 3\n"),
        ("broken.yaml", BROKEN),
        (
            "other.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        ),
        (
            "policy.yaml",
            "apiVersion: v1\nkind: InferencePolicy\nspec:\n  drainWindow: soon\n",
        ),
        ("many.yaml", "a: 1\n---\nb: 1\n"),
        ("server.yaml", SERVER),
    ]);
    // Arguments, and of each error its file, its line and a part of what is said.
    type Told<'a> = (Option<&'a str>, Option<u64>, &'a str);
    let cases: &[(&[&str], &[Told<'_>])] = &[
        (&["-f", "empty"], &[(None, None, "no manifest in empty")]),
        (
            &["-f", "none.yaml"],
            &[(Some("none.yaml"), None, "cannot be read: No such file")],
        ),
        (
            &["-f", "deep.json"],
            &[(Some("deep.json"), Some(1), "nested deeper than")],
        ),
        (&["-f", "helm.yaml"], &[(Some("helm.yaml"), Some(4), "")]),
        (
            &["-f", "broken.yaml"],
            &[(Some("broken.yaml"), Some(5), "")],
        ),
        (
            &["-f", "odd.yaml"],
            &[
                (
                    Some("odd.yaml"),
                    Some(1),
                    "no Kubernetes object: it has no `apiVersion`",
                ),
                (Some("odd.yaml"), Some(3), "not a list"),
                (Some("odd.yaml"), Some(5), "not a text"),
            ],
        ),
        (
            &["-f", "values.yaml"],
            &[(Some("values.yaml"), Some(1), "no Kubernetes object")],
        ),
        (&["-f", "other.yaml"], &[(None, None, "nothing to check")]),
        (
            &["-f", "server.yaml", "--policy", "policy.yaml"],
            &[
                (
                    Some("policy.yaml"),
                    Some(1),
                    "a policy has `kubectl-infer.dev/v1alpha1`",
                ),
                (Some("policy.yaml"), Some(4), "no duration"),
            ],
        ),
        (
            &["-f", "server.yaml", "--policy", "none.yaml"],
            &[(Some("none.yaml"), None, "cannot be read")],
        ),
        (
            &["-f", "server.yaml", "--policy", "many.yaml"],
            &[(Some("many.yaml"), None, "2 objects")],
        ),
        (
            &["-f", "server.yaml", "--policy", "broken.yaml"],
            &[(Some("broken.yaml"), Some(5), "")],
        ),
        (
            &["-f", "server.yaml", "--policy", "-"],
            &[(None, None, "not read from stdin")],
        ),
        (
            &["-f", "server.yaml", "--failon", "x"],
            &[(None, None, "unexpected argument '--failon' found")],
        ),
        (
            &["server.yaml"],
            &[(None, None, "unexpected argument 'server.yaml' found")],
        ),
        (
            &[],
            &[(None, None, "arguments were not provided: --filename")],
        ),
    ];
    for (args, told) in cases {
        let line: Vec<&str> = [&["check"], *args, &["-o", "json"]].concat();
        let run = place.run(&line);
        let report = run.json();
        assert_eq!(run.code, 1, "{line:?}: {run:?}");
        assert_eq!(report["kind"], "CheckReport");
        let errors = errors(&report);
        assert_eq!(errors.len(), told.len(), "{line:?}: {errors:?}");
        for (error, told) in errors.iter().zip(*told) {
            assert_eq!((error.0, error.1), (told.0, told.1), "{line:?}");
            assert!(error.2.contains(told.2), "{line:?}: {}", error.2);
        }
        let run = place.run(&[&["check"], *args].concat());
        assert_eq!(run.code, 1, "{line:?}: {run:?}");
        assert!(run.err.starts_with("error: "), "{line:?}: {}", run.err);
        assert!(!run.err.contains("panicked"), "{}", run.err);
    }
}

#[test]
fn each_failure_names_the_way_out() {
    let place = Place::new(&[
        (
            "helm.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Values.name }}\n",
        ),
        ("values.yaml", "replicas: 3\n"),
        ("kustomization.yaml", "resources: [a.yaml]\n"),
        (
            "policy.yaml",
            "apiVersion: kubectl-infer.dev/v1alpha1\nkind: InferencePolicy\nspec:\n  drainWindows: 1\n",
        ),
    ]);
    for (args, way_out) in [
        (
            &["check", "-f", "helm.yaml"][..],
            "`helm template NAME CHART | kubectl infer check -f -`",
        ),
        (
            &["check", "-f", "values.yaml"],
            "`helm template NAME CHART | kubectl infer check -f -`",
        ),
        (
            &["check", "-f", "kustomization.yaml"],
            "`kubectl kustomize DIR | kubectl infer check -f -`",
        ),
        (
            &["check", "-f", ".", "--policy", "policy.yaml"],
            "did you mean `drainWindow`?",
        ),
        (
            &["check", "values.yaml"],
            "manifests are passed with '-f values.yaml'",
        ),
        (
            &["check", "-f", "values.yaml", "--fail-in", "error"],
            "a similar argument exists: '--fail-on'",
        ),
        (&["chek"], "a similar subcommand exists: 'check'"),
        (
            &["explain", "no-readines-probe"],
            "did you mean `no-readiness-probe`? `kubectl infer explain` lists them all",
        ),
        (
            &["explain", "xyz"],
            "`kubectl infer explain` lists them all",
        ),
    ] {
        let run = place.run(args);
        assert!(run.err.contains(way_out), "{args:?}: {}", run.err);
        assert_eq!(
            (run.code, run.out.is_empty()),
            (
                1,
                !args.contains(&"-f") || args.contains(&"--policy") || args.contains(&"--fail-in")
            ),
            "{args:?}"
        );
    }
}

#[test]
fn a_diff_of_what_cannot_be_read_fails() {
    let place = Place::new(&[("b.yaml", BROKEN), ("d/readme.md", "")]);
    for args in [
        &["-f", "b.yaml"][..],
        &["-f", "d"],
        &["-f", "none.yaml"],
        &["-x"],
    ] {
        let run = place.run(&[&["diff"], args, &["-o", "json"]].concat());
        assert_eq!(
            (run.code, &run.json()["kind"]),
            (1, &Value::from("DiffReport")),
            "{args:?}"
        );
        assert_eq!(errors(&run.json()).len(), 1, "{args:?}");
    }
}
