//! Ways of writing that change nothing of ours to judge, and the edges of the scope.

use crate::llama::{LLAMA, assert_filled, plain, record, server, untouched, with_args};
use infer_tests::space::{GROUP, Space, own_webhook};
use serde_json::{Value, json};
use xtask::lab::webhook::Options;

#[test]
fn without_the_webhook_nothing_is_filled() {
    let Some(space) = Space::plain("control") else {
        return;
    };
    space.apply(&plain());
    let template = space.template(LLAMA);
    assert_eq!(server(&template).get("readinessProbe"), None);
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 30);
}

#[test]
fn annotate_leaves_the_template_alone() {
    let Some(space) = Space::enrolled("annotate") else {
        return;
    };
    space.apply(&plain());
    let before = space.get(LLAMA);
    assert_filled(&before["spec"]["template"]);
    space.ok(&["annotate", LLAMA, "note=x"], "");
    let after = space.get(LLAMA);
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    assert_eq!(record(&after), record(&before));
}

/// Puts a namespace from one webhook's group into another's, and waits until the API server has
/// noticed: a dry run must show the other's grace period.
fn move_to(space: &Space, group: &str, grace: u64) {
    space
        .lab
        .kubectl_ok(
            &[
                "label",
                "ns",
                &space.name,
                &format!("{GROUP}={group}"),
                "--overwrite",
            ],
            "",
        )
        .unwrap();
    infer_tests::space::poll("the other webhook answers", || {
        let probe = plain().replace("name: llama\n", "name: probe\n");
        let output = space.run(
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            &probe,
        );
        let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == grace
    });
}

#[test]
fn annotate_and_replace_under_other_numbers_keep_the_stored_ones() {
    let Some(space) = Space::enrolled("other-numbers") else {
        return;
    };
    let policy = space.lab.state.join("other-numbers.yaml");
    std::fs::write(&policy, "apiVersion: kubectl-infer.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: other}\nspec: {drainWindow: 90s}\n").unwrap();
    let options = Options {
        with_cluster: true,
        policy: Some(policy),
        ..Options::default()
    };
    let _other = own_webhook(&space.lab, "other-numbers", &options);
    space.apply(&plain());
    let before = space.get(LLAMA);
    move_to(&space, "other-numbers", 100);
    space.ok(&["annotate", LLAMA, "note=x"], "");
    assert_eq!(space.template(LLAMA), before["spec"]["template"]);
    space.ok(&["replace", "-f", "-"], &plain());
    let after = space.get(LLAMA);
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    assert_eq!(record(&after), record(&before));
    // The control: a changed template gets the other numbers.
    space.ok(
        &[
            "set",
            "image",
            LLAMA,
            "server=ghcr.io/ggml-org/llama.cpp:server-b9000",
        ],
        "",
    );
    assert_eq!(
        space.template(LLAMA)["spec"]["terminationGracePeriodSeconds"],
        100
    );
}

#[test]
fn replace_with_the_same_file_returns_what_it_dropped() {
    let Some(space) = Space::enrolled("replace") else {
        return;
    };
    space.apply(&plain());
    let before = space.get(LLAMA);
    space.ok(&["replace", "-f", "-"], &plain());
    let after = space.get(LLAMA);
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    assert_eq!(record(&after), record(&before));
}

#[test]
fn the_same_by_server_side_apply_changes_nothing() {
    let Some(space) = Space::enrolled("server-side") else {
        return;
    };
    let apply = ["apply", "--server-side", "-f", "-"];
    space.ok(&apply, &plain());
    let before = space.get(LLAMA);
    assert_filled(&before["spec"]["template"]);
    space.ok(&apply, &plain());
    assert_eq!(space.template(LLAMA), before["spec"]["template"]);
    space.ok(&["replace", "-f", "-"], &plain());
    assert_eq!(space.template(LLAMA), before["spec"]["template"]);
}

#[test]
fn server_side_apply_over_client_side_changes_nothing() {
    let Some(space) = Space::enrolled("server-side-over") else {
        return;
    };
    space.apply(&plain());
    let before = space.template(LLAMA);
    space.ok(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &plain(),
    );
    assert_eq!(space.template(LLAMA), before);
}

#[test]
fn apply_and_replace_of_an_exported_object_change_nothing() {
    let Some(space) = Space::enrolled("exported") else {
        return;
    };
    space.apply(&plain());
    let before = space.template(LLAMA);
    let exported = String::from_utf8(space.run(&["get", LLAMA, "-o", "yaml"], "").stdout).unwrap();
    space.ok(&["replace", "-f", "-"], &exported);
    assert_eq!(space.template(LLAMA), before);
    let exported = String::from_utf8(space.run(&["get", LLAMA, "-o", "yaml"], "").stdout).unwrap();
    space.apply(&exported);
    assert_eq!(space.template(LLAMA), before);
    // From here on our values are written: a later change leaves them as they are.
    let changed = exported
        .replace("\"8080\"", "\"9000\"")
        .replace("- \"8080\"", "- \"9000\"");
    let lines: Vec<&str> = changed
        .lines()
        .filter(|line| !line.trim_start().starts_with("resourceVersion:"))
        .collect();
    space.apply(&lines.join("\n"));
    let template = space.template(LLAMA);
    assert_eq!(server(&template)["args"][3], "9000");
    assert_eq!(server(&template)["readinessProbe"]["httpGet"]["port"], 8080);
}

#[test]
fn a_dropped_or_broken_record_is_put_back() {
    let Some(space) = Space::enrolled("record") else {
        return;
    };
    space.apply(&plain());
    let before = space.get(LLAMA);
    space.ok(&["annotate", LLAMA, "kubectl-infer.dev/record-"], "");
    assert_eq!(record(&space.get(LLAMA)), record(&before));
    let said = space.ok(
        &[
            "annotate",
            LLAMA,
            "kubectl-infer.dev/record={",
            "--overwrite",
        ],
        "",
    );
    assert!(said.contains("cannot be read"), "{said}");
    let after = space.get(LLAMA);
    assert_eq!(record(&after), record(&before));
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
}

#[test]
fn a_request_for_review_enrols_an_old_object_and_a_label_does_not() {
    let Some(lab) = Space::lab() else { return };
    infer_tests::space::shared_webhook(&lab);
    let space = Space::in_group(lab, "request", None);
    space.apply(&plain());
    let before = space.template(LLAMA);
    space
        .lab
        .kubectl_ok(
            &[
                "label",
                "ns",
                "request",
                "kubectl-infer.dev/enforce=true",
                "infer-test=shared",
            ],
            "",
        )
        .unwrap();
    infer_tests::space::poll("the webhook answers", || {
        let probe = plain().replace("name: llama\n", "name: probe\n");
        let output = space.run(
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            &probe,
        );
        String::from_utf8_lossy(&output.stdout).contains("preStop")
    });
    space.ok(&["label", LLAMA, "team=a"], "");
    assert_eq!(space.template(LLAMA), before, "a label is no rollout");
    space.ok(&["annotate", LLAMA, "kubectl-infer.dev/review=now"], "");
    assert_filled(&space.template(LLAMA));
}

#[test]
fn skip_switches_one_fix_off() {
    let Some(space) = Space::enrolled("skip") else {
        return;
    };
    let file = plain().replace(
        "  name: llama\n",
        "  name: llama\n  annotations: {kubectl-infer.dev/skip: no-readiness-probe}\n",
    );
    space.apply(&file);
    let mut wanted = untouched("skip-control", &file);
    wanted["spec"]["terminationGracePeriodSeconds"] = json!(70);
    wanted["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 60}}});
    assert_eq!(space.template(LLAMA), wanted);
}

#[test]
fn with_the_webhook_down_a_changed_manifest_is_stored() {
    let Some(lab) = Space::lab() else { return };
    let mut webhook = own_webhook(
        &lab,
        "down",
        &Options {
            with_cluster: true,
            ..Options::default()
        },
    );
    let space = Space::in_group(lab, "down", Some("down"));
    space.apply(&plain());
    assert_filled(&space.template(LLAMA));
    webhook.kill();
    space.apply(&with_args(
        "",
        "",
        "ghcr.io/ggml-org/llama.cpp:server",
        "9000",
    ));
    let template = space.template(LLAMA);
    assert_eq!(server(&template)["args"][3], "9000");
    assert_eq!(
        server(&template)["readinessProbe"]["httpGet"]["port"],
        8080,
        "nobody moved it"
    );
}

#[test]
fn a_pod_and_a_daemon_set_are_filled_and_a_sidecar_is_not_touched() {
    let Some(space) = Space::enrolled("kinds") else {
        return;
    };
    let pod = r#"apiVersion: v1
kind: Pod
metadata: {name: llama}
spec:
  initContainers:
    - {name: native, image: envoy, restartPolicy: Always}
    - {name: fetch, image: "ghcr.io/ggml-org/llama.cpp:server", command: [sh, -c, "true"]}
  containers:
    - {name: proxy, image: envoy}
    - name: server
      image: ghcr.io/ggml-org/llama.cpp:server
      args: ["-m", "/m.gguf", "--port", "8080"]
"#;
    space.apply(pod);
    let plain = Space::plain("kinds-control").unwrap();
    plain.apply(pod);
    let (with, without) = (space.get("pod/llama"), plain.get("pod/llama"));
    assert_eq!(
        with["spec"]["initContainers"],
        without["spec"]["initContainers"]
    );
    assert_eq!(
        with["spec"]["containers"][0],
        without["spec"]["containers"][0]
    );
    assert_eq!(
        with["spec"]["containers"][1]["readinessProbe"]["httpGet"]["port"],
        8080
    );
    // A pod cannot be changed afterwards, and an annotation must go through.
    space.ok(&["annotate", "pod/llama", "note=x"], "");
    let set = self::plain().replace("kind: Deployment", "kind: DaemonSet");
    space.apply(&set);
    assert_filled(&space.template("daemonset/llama"));
}

#[test]
fn called_twice_in_one_request_it_answers_once() {
    let Some(lab) = Space::lab() else { return };
    let webhook = own_webhook(
        &lab,
        "twice",
        &Options {
            with_cluster: true,
            ..Options::default()
        },
    );
    // A second registration of the same webhook: between the two calls the API server fills in its
    // defaults, a Pod's requests from its limits among them.
    webhook
        .register(
            &lab,
            "infer-twice-again",
            &[xtask::lab::webhook::SCOPE_LABEL, (GROUP, "twice")],
        )
        .unwrap();
    let space = Space::in_group(lab, "twice", Some("twice"));
    let pod = r#"apiVersion: v1
kind: Pod
metadata: {name: llama}
spec:
  containers:
    - name: server
      image: ghcr.io/ggml-org/llama.cpp:server-cuda
      args: ["-m", "/m.gguf", "--port", "8080"]
"#;
    space.apply(pod);
    let stored = space.get("pod/llama");
    let one = json!({"nvidia.com/gpu": "1"});
    assert_eq!(
        stored["spec"]["containers"][0]["resources"],
        json!({"limits": one, "requests": one})
    );
    space.apply(&plain());
    assert_filled(&space.template(LLAMA));
    assert_eq!(
        record(&space.get(LLAMA)).unwrap()["added"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}
