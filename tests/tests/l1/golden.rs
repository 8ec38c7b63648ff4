//! Whole stored objects against golden files. `INFER_BLESS=1 cargo xtask test` writes them anew.

use infer_tests::space::{Space, shared_webhook};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples")
}

/// Takes out what differs from run to run: uid, resourceVersion, times, managedFields, the
/// namespace, which is a test's own, and the version of the catalogue.
fn settled(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for member in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
    ] {
        metadata.remove(member);
    }
    let record = metadata["annotations"].get_mut(infer_core::record::ANNOTATION);
    if let Some((record, text)) = record.and_then(|it| Some((it.as_str()?.to_owned(), it))) {
        // A new fact of the catalogue is no other answer.
        *text = record
            .replace(infer_core::catalogue::VERSION, "CATALOGUE")
            .into();
    }
    let namespace = metadata["namespace"].take();
    metadata["namespace"] = Value::from("NAMESPACE");
    let applied = &mut metadata["annotations"][infer_core::record::LAST_APPLIED];
    let text = applied.as_str().unwrap();
    *applied = text
        .replace(
            &format!("\"namespace\":{namespace}"),
            "\"namespace\":\"NAMESPACE\"",
        )
        .into();
    object
}

fn compare(name: &str, object: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    let text = serde_json::to_string_pretty(object).unwrap() + "\n";
    if std::env::var_os("INFER_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        golden == text,
        "{} differs; INFER_BLESS=1 cargo xtask test writes it anew. Stored:\n{text}",
        file.display()
    );
}

/// Applies a folder, compares Deployment and Ingress with their golden files, and asserts that the
/// same manifests are stored otherwise where no webhook is.
fn golden(space: &Space, folder: &str, objects: &[(&str, &str)]) {
    let folder = examples().join(folder);
    space.ok(&["apply", "-f", folder.to_str().unwrap()], "");
    let control = Space::plain(&format!("{}-control", space.name)).unwrap();
    control.ok(&["apply", "-f", folder.to_str().unwrap()], "");
    for (what, file) in objects {
        let stored = settled(space.get(what));
        compare(file, &stored);
        let without = settled(control.get(what));
        assert_ne!(stored, without, "{what} is the same without the webhook");
    }
}

#[test]
fn the_repaired_chapter_is_stored_as_its_golden_files() {
    let Some(lab) = Space::lab() else { return };
    shared_webhook(&lab);
    let platform = examples().join("chapter/cluster");
    lab.kubectl_ok(&["apply", "-f", platform.to_str().unwrap()], "")
        .unwrap();
    lab.kubectl_ok(&["label", "ns", "inference", "infer-test=shared"], "")
        .unwrap();
    let space = Space {
        lab,
        name: "inference".to_owned(),
    };
    infer_tests::space::poll("the namespace is enrolled", || {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: probe}\nspec:\n  containers:\n  - name: s\n    image: llama.cpp:server\n";
        let output = space.run(
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            pod,
        );
        String::from_utf8_lossy(&output.stdout).contains("terminationDrainDuration")
    });
    golden(
        &space,
        "chapter/repaired",
        &[
            ("deployment/llama-inference", "chapter-deployment.json"),
            ("ingress/inference-ingress", "chapter-ingress.json"),
        ],
    );
}

#[test]
fn the_minimal_server_is_stored_as_its_golden_files() {
    let Some(space) = Space::enrolled("golden-minimal") else {
        return;
    };
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\n\
                 spec: {controller: k8s.io/ingress-nginx}\n";
    space.lab.kubectl_ok(&["apply", "-f", "-"], class).unwrap();
    golden(
        &space,
        "minimal",
        &[
            ("deployment/llama", "minimal-deployment.json"),
            ("ingress/llama", "minimal-ingress.json"),
        ],
    );
}
