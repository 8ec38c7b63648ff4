//! The repaired chapter, as its files stand, on a real API server with the real CRDs: every object of
//! both variants is taken, validated strictly.

use infer_tests::crds::{self, Crds};
use infer_tests::root;
use infer_tests::space::Space;

/// The files of a variant as one manifest, without the namespace that they name: a test has its own.
fn manifest(variant: &str) -> String {
    let folder = root().join("manifests/examples/chapter").join(variant);
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let all = texts.collect::<Vec<_>>().join("\n---\n");
    let documents = all
        .split("\n---\n")
        .filter(|it| !it.contains("kind: Namespace"));
    let all = documents.collect::<Vec<_>>().join("\n---\n");
    all.replace("  namespace: inference\n", "")
}

/// Stores the variant and returns kinds and names, as kubectl says them.
fn stored(space: &Space, variant: &str) -> Vec<String> {
    let text = manifest(variant);
    let output = space.run(
        &["apply", "--validate=strict", "-o", "name", "-f", "-"],
        &text,
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{variant}: {said}");
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().map(str::to_owned).collect()
}

#[test]
fn both_repaired_variants_are_taken_strictly() {
    let Some(lab) = Space::lab() else { return };
    if !crds::install(&lab, &[Crds::Istio]) {
        return;
    }
    let space = Space::in_group(lab, "chapter-mesh", None);
    let behind_nginx = [
        "deployment.apps/llama-inference",
        "service/inference-service",
        "ingress.networking.k8s.io/inference-ingress",
    ];
    assert_eq!(stored(&space, "repaired"), behind_nginx);
    let behind_istio = [
        "deployment.apps/llama-stable",
        "deployment.apps/llama-canary",
        "service/inference-service",
        "gateway.networking.istio.io/inference",
        "virtualservice.networking.istio.io/inference-vs",
        "destinationrule.networking.istio.io/inference-dr",
    ];
    assert_eq!(stored(&space, "repaired-istio"), behind_istio);
    // The control: a field that no schema has is refused.
    let wrong = manifest("repaired-istio").replace("maxEjectionPercent", "maxEjectionPercentage");
    let dry = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    let output = space.run(&dry, &wrong);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("maxEjectionPercentage"),
        "{said}"
    );
}
