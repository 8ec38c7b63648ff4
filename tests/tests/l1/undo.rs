//! `kubectl rollout undo`, with the revisions that a controller would have made put there by hand:
//! L1 has no controllers.

use infer_tests::space::{Space, own_webhook, until_stored};
use serde_json::{Value, json};
use xtask::lab::webhook::{Options, SCOPE_LABEL, Webhook};

fn manifest(kind: &str, image: &str) -> String {
    let service = if kind == "StatefulSet" {
        "  serviceName: llama\n"
    } else {
        ""
    };
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: llama}}\nspec:\n{service}  selector: {{matchLabels: {{app: llama}}}}\n  template:\n    metadata: {{labels: {{app: llama}}}}\n    spec:\n      containers:\n        - name: server\n          image: ghcr.io/ggml-org/llama.cpp:{image}\n          args: [\"-m\", \"/m.gguf\", \"--port\", \"8080\"]\n"
    )
}

/// A namespace that is not enrolled yet, and the webhook that it will be under.
fn start(name: &str) -> Option<(Space, Webhook)> {
    let lab = Space::lab()?;
    let options = Options {
        with_cluster: true,
        ..Options::default()
    };
    let webhook = own_webhook(&lab, name, &options);
    Some((Space::in_group(lab, name, None), webhook))
}

fn enrol(space: &Space) {
    let scope = format!("{}={}", SCOPE_LABEL.0, SCOPE_LABEL.1);
    let group = format!("infer-test={}", space.name);
    space
        .lab
        .kubectl_ok(&["label", "ns", &space.name, &scope, &group], "")
        .unwrap();
    infer_tests::space::poll("the webhook answers", || {
        let probe = manifest("Deployment", "server").replace("{name: llama}", "{name: probe}");
        let output = space.run(
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            &probe,
        );
        String::from_utf8_lossy(&output.stdout).contains("preStop")
    });
}

fn owner(object: &Value) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}])
}

/// Does what the deployment controller does for the current template: a ReplicaSet with the
/// Deployment's annotations, and the revision on both.
fn replica_set(space: &Space, revision: u32) {
    let deployment = space.get("deployment/llama");
    let hash = format!("rev{revision}");
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let mut annotations = deployment["metadata"]["annotations"].clone();
    annotations
        .as_object_mut()
        .unwrap()
        .remove("kubectl.kubernetes.io/last-applied-configuration");
    annotations["deployment.kubernetes.io/revision"] = json!(revision.to_string());
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("llama-{hash}"), "labels": {"app": "llama", "pod-template-hash": hash},
            "annotations": annotations, "ownerReferences": owner(&deployment)},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "llama", "pod-template-hash": hash}},
            "template": template}});
    space.ok(&["create", "-f", "-"], &set.to_string());
    let revision = format!("deployment.kubernetes.io/revision={revision}");
    space.ok(
        &["annotate", "deployment/llama", &revision, "--overwrite"],
        "",
    );
}

#[test]
fn a_deployment_goes_back_to_exactly_the_revision_before_or_after_enforcement() {
    let Some((space, webhook)) = start("undo-deployment") else {
        return;
    };
    let llama = "deployment/llama";
    space.apply(&manifest("Deployment", "server"));
    replica_set(&space, 1);
    let before = space.template(llama);
    enrol(&space);
    space.apply(&manifest("Deployment", "server-b1"));
    replica_set(&space, 2);
    let enforced = space.template(llama);
    assert_ne!(enforced["spec"]["containers"][0].get("lifecycle"), None);
    space.apply(&manifest("Deployment", "server-b2"));
    replica_set(&space, 3);
    until_stored(&webhook, "revision", 3);
    let said = space.ok(&["rollout", "undo", llama, "--to-revision=1"], "");
    assert_eq!(space.template(llama), before, "{said}");
    assert!(said.contains("earlier revision"), "{said}");
    // The control: the same template by hand is a change like any other, and is filled.
    space.ok(&["rollout", "undo", llama, "--to-revision=3"], "");
    space.ok(&["replace", "-f", "-"], &manifest("Deployment", "server"));
    assert_ne!(
        space.template(llama)["spec"]["containers"][0].get("lifecycle"),
        None
    );
    space.ok(
        &[
            "annotate",
            llama,
            "deployment.kubernetes.io/revision=4",
            "--overwrite",
        ],
        "",
    );
    let said = space.ok(&["rollout", "undo", llama, "--to-revision=2"], "");
    assert_eq!(space.template(llama), enforced, "{said}");
}

/// Does what the StatefulSet controller does for the current template (kubernetes/kubernetes
/// pkg/controller/statefulset/stateful_set_utils.go `getPatch`).
fn controller_revision(space: &Space, revision: u32) {
    let set = space.get("statefulset/llama");
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    let object = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"name": format!("llama-{revision}"), "labels": {"app": "llama"},
            "ownerReferences": owner(&set)},
        "data": {"spec": {"template": template}}, "revision": revision});
    space.ok(&["create", "-f", "-"], &object.to_string());
}

#[test]
fn a_stateful_set_goes_back_to_exactly_the_revision_before_or_after_enforcement() {
    let Some((space, webhook)) = start("undo-statefulset") else {
        return;
    };
    let llama = "statefulset/llama";
    space.apply(&manifest("StatefulSet", "server"));
    controller_revision(&space, 1);
    let before = space.template(llama);
    enrol(&space);
    space.apply(&manifest("StatefulSet", "server-b1"));
    controller_revision(&space, 2);
    let enforced = space.template(llama);
    assert_ne!(enforced["spec"]["containers"][0].get("lifecycle"), None);
    space.apply(&manifest("StatefulSet", "server-b2"));
    controller_revision(&space, 3);
    until_stored(&webhook, "revision", 3);
    let said = space.ok(&["rollout", "undo", llama, "--to-revision=1"], "");
    assert_eq!(space.template(llama), before, "{said}");
    assert!(said.contains("earlier revision"), "{said}");
    let said = space.ok(&["rollout", "undo", llama, "--to-revision=2"], "");
    assert_eq!(space.template(llama), enforced, "{said}");
}
