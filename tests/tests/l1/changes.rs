//! A person changes the manifest: what is theirs stays, what is ours follows or leaves.

use crate::llama::{LLAMA, assert_filled, manifest, plain, record, server, untouched, with_args};
use infer_tests::space::Space;
use serde_json::json;

#[test]
fn a_changed_port_moves_our_probe_under_server_side_apply_too() {
    let Some(space) = Space::enrolled("server-side-port") else {
        return;
    };
    let apply = ["apply", "--server-side", "-f", "-"];
    space.ok(&apply, &plain());
    space.ok(
        &apply,
        &with_args("", "", "ghcr.io/ggml-org/llama.cpp:server", "9000"),
    );
    let template = space.template(LLAMA);
    assert_eq!(server(&template)["readinessProbe"]["httpGet"]["port"], 9000);
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 70);
}

/// `kubectl edit` with a program in the editor's place that runs this jq-less change: sed.
fn edit(space: &Space, script: &str) {
    let output = space
        .lab
        .kubectl(&["-n", &space.name, "edit", LLAMA, "-o", "json"])
        .env("KUBE_EDITOR", format!("python3 -c '{script}'"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn edit_that_takes_our_probe_away_keeps_it_away() {
    let Some(space) = Space::enrolled("edit") else {
        return;
    };
    space.apply(&plain());
    edit(
        &space,
        "import json,sys; f=sys.argv[1]; o=json.load(open(f)); \
         del o[\"spec\"][\"template\"][\"spec\"][\"containers\"][0][\"readinessProbe\"]; \
         json.dump(o,open(f,\"w\"))",
    );
    let mut wanted = untouched("edit-control", &plain());
    wanted["spec"]["terminationGracePeriodSeconds"] = json!(70);
    wanted["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 60}}});
    assert_eq!(space.template(LLAMA), wanted);
    // It stays away at the next change, and comes back on request.
    space.ok(
        &[
            "set",
            "image",
            LLAMA,
            "server=ghcr.io/ggml-org/llama.cpp:server-b9000",
        ],
        "",
    );
    assert_eq!(server(&space.template(LLAMA)).get("readinessProbe"), None);
    space.ok(&["annotate", LLAMA, "kubectl-infer.dev/review=now"], "");
    assert_filled(&space.template(LLAMA));
}

#[test]
fn a_written_grace_of_30_is_kept_and_bounds_the_sleep() {
    let Some(space) = Space::enrolled("grace-30") else {
        return;
    };
    let file = manifest("terminationGracePeriodSeconds: 30", "");
    space.apply(&plain());
    space.apply(&file);
    let mut wanted = untouched("grace-30-control", &plain());
    wanted["spec"]["containers"][0]["readinessProbe"] =
        server(&space.template(LLAMA))["readinessProbe"].clone();
    wanted["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 20}}});
    assert_eq!(space.template(LLAMA), wanted);
    // Written from the start, by either apply, it is told from the default.
    for (name, apply) in [
        ("grace-30-created", vec!["apply", "-f", "-"]),
        (
            "grace-30-server-side",
            vec!["apply", "--server-side", "-f", "-"],
        ),
    ] {
        let space = Space::enrolled(name).unwrap();
        space.ok(&apply, &file);
        assert_eq!(space.template(LLAMA), wanted, "{name}");
    }
}

#[test]
fn a_written_grace_of_10_is_accepted_without_a_sleep() {
    let Some(space) = Space::enrolled("grace-10") else {
        return;
    };
    space.apply(&plain());
    space.apply(&manifest("terminationGracePeriodSeconds: 10", ""));
    let mut wanted = untouched("grace-10-control", &plain());
    wanted["spec"]["terminationGracePeriodSeconds"] = json!(10);
    wanted["spec"]["containers"][0]["readinessProbe"] =
        server(&space.template(LLAMA))["readinessProbe"].clone();
    assert_eq!(space.template(LLAMA), wanted);
}

#[test]
fn a_person_s_tcp_socket_beside_ours_takes_ours_out() {
    let Some(space) = Space::enrolled("tcp-socket") else {
        return;
    };
    let file = manifest("", "readinessProbe: {tcpSocket: {port: 8080}}");
    for apply in [
        vec!["apply", "-f", "-"],
        vec!["apply", "--server-side", "--force-conflicts", "-f", "-"],
    ] {
        space.run(&["delete", LLAMA, "--ignore-not-found"], "");
        space.ok(&apply, &plain());
        assert_filled(&space.template(LLAMA));
        space.ok(&apply, &file);
        let mut wanted = untouched("tcp-socket-control", &file);
        wanted["spec"]["terminationGracePeriodSeconds"] = json!(70);
        wanted["spec"]["containers"][0]["lifecycle"] =
            json!({"preStop": {"sleep": {"seconds": 60}}});
        assert_eq!(space.template(LLAMA), wanted, "{apply:?}");
    }
}

#[test]
fn a_person_s_exec_beside_our_sleep_takes_ours_out() {
    let Some(space) = Space::enrolled("exec-hook") else {
        return;
    };
    let file = manifest(
        "",
        "lifecycle: {preStop: {exec: {command: [sleep, \"5\"]}}}",
    );
    space.apply(&plain());
    space.apply(&file);
    let mut wanted = untouched("exec-hook-control", &file);
    wanted["spec"]["containers"][0]["readinessProbe"] =
        server(&space.template(LLAMA))["readinessProbe"].clone();
    assert_eq!(space.template(LLAMA), wanted);
    assert!(!wanted["spec"]["containers"][0]["readinessProbe"].is_null());
}

#[test]
fn set_image_changes_the_image_only() {
    let Some(space) = Space::enrolled("set-image") else {
        return;
    };
    space.apply(&plain());
    let mut wanted = space.template(LLAMA);
    space.ok(
        &[
            "set",
            "image",
            LLAMA,
            "server=ghcr.io/ggml-org/llama.cpp:server-b9000",
        ],
        "",
    );
    wanted["spec"]["containers"][0]["image"] = json!("ghcr.io/ggml-org/llama.cpp:server-b9000");
    assert_eq!(space.template(LLAMA), wanted);
}

#[test]
fn a_changed_port_moves_our_probe() {
    let Some(space) = Space::enrolled("port") else {
        return;
    };
    space.apply(&plain());
    let mut wanted = space.template(LLAMA);
    space.apply(&with_args(
        "",
        "",
        "ghcr.io/ggml-org/llama.cpp:server",
        "9000",
    ));
    wanted["spec"]["containers"][0]["args"][3] = json!("9000");
    wanted["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] = json!(9000);
    assert_eq!(space.template(LLAMA), wanted);
}

#[test]
fn an_image_that_is_no_server_loses_all_of_ours() {
    let Some(space) = Space::enrolled("no-server") else {
        return;
    };
    space.apply(&plain());
    let file = with_args("", "", "nginx:1.28", "8080");
    space.apply(&file);
    let after = space.get(LLAMA);
    assert_eq!(
        after["spec"]["template"],
        untouched("no-server-control", &file)
    );
    assert_eq!(record(&after), None);
}
