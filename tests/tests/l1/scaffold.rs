//! What `kubectl infer scaffold` writes, on a real API server with the real CRDs: it is accepted
//! strictly, and it is stored as if there were no webhook.

use infer_tests::crds::{self, Crds};
use infer_tests::space::{Space, poll};
use serde_json::Value;
use std::path::PathBuf;

/// An entry, what a scaffold for it is told besides, and the class that its objects name.
struct Entry {
    via: &'static str,
    words: &'static str,
    /// IngressClass and its controller.
    class: Option<(&'static str, &'static str)>,
    crds: Option<Crds>,
}

const LLAMA: &str = "--runtime llama.cpp --model-source hf:org/model:model.gguf --gpus 1";
const VLLM: &str = "--runtime vllm --model-source pvc:models/org/model --gpus 2";

const ENTRIES: [Entry; 7] = [
    Entry {
        via: "ingress-nginx",
        words: "--ingress-class scaffold-nginx",
        class: Some(("scaffold-nginx", "k8s.io/ingress-nginx")),
        crds: None,
    },
    Entry {
        via: "f5-nginx",
        words: "--ingress-class scaffold-f5",
        class: Some(("scaffold-f5", "nginx.org/ingress-controller")),
        crds: None,
    },
    Entry {
        via: "gateway",
        words: "",
        class: None,
        crds: Some(Crds::GatewayApi),
    },
    Entry {
        via: "istio",
        words: "",
        class: None,
        crds: Some(Crds::Istio),
    },
    Entry {
        via: "contour",
        words: "--ingress-class scaffold-contour",
        class: Some(("scaffold-contour", "projectcontour.io/ingress-controller")),
        crds: None,
    },
    Entry {
        via: "traefik",
        words: "--ingress-class scaffold-traefik",
        class: Some(("scaffold-traefik", "traefik.io/ingress-controller")),
        crds: None,
    },
    Entry {
        via: "none",
        words: "",
        class: None,
        crds: None,
    },
];

/// Writes the kustomize base of an entry for this namespace; where it is.
fn base(space: &Space, entry: &Entry, words: &str) -> PathBuf {
    let directory = space.lab.state.join("scaffold").join(&space.name);
    let text = directory.display().to_string();
    let mut all = vec![
        "infer",
        "scaffold",
        "llama",
        "--via",
        entry.via,
        "--replicas",
        "3",
    ];
    all.extend(
        entry
            .words
            .split_whitespace()
            .chain(words.split_whitespace()),
    );
    all.extend(["-n", &space.name, "--output-dir", &text, "--force"]);
    space.lab.kubectl_ok(&all, "").unwrap();
    directory
}

/// The objects of a base, as files; the Namespace is not among them: applied, it would lose the
/// label that puts it under the webhook.
fn files(base: &PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(base)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.is_file()
                && !path.ends_with("kustomization.yaml")
                && !path.ends_with("namespace.yaml")
        })
        .collect();
    files.sort();
    files
}

/// Applies a base and gives what is stored of each object, and what kubectl said.
fn stored(space: &Space, base: &PathBuf) -> (Vec<Value>, String) {
    let mut said = String::new();
    let mut objects = Vec::new();
    if base.join("namespace.yaml").exists() {
        let label = ["label", "ns", &space.name, "istio-injection=enabled"];
        space.lab.kubectl_ok(&label, "").unwrap();
    }
    // The Ingress is reviewed by what is there when it comes.
    let (entry, rest): (Vec<_>, Vec<_>) = files(base)
        .into_iter()
        .partition(|path| path.ends_with("ingress.yaml"));
    for path in rest.iter().chain(&entry) {
        let file = path.display().to_string();
        said.push_str(&space.ok(&["apply", "--validate=strict", "-f", &file], ""));
        let output = space.run(&["get", "-f", &file, "-o", "json"], "");
        objects.push(settled(space, &output.stdout));
    }
    (objects, said)
}

/// A stored object without what differs from run to run.
fn settled(space: &Space, json: &[u8]) -> Value {
    let text = String::from_utf8_lossy(json).replace(&space.name, "NAMESPACE");
    let mut object: Value = serde_json::from_str(&text).unwrap();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for member in ["uid", "resourceVersion", "creationTimestamp"] {
        metadata.remove(member);
    }
    for member in ["clusterIP", "clusterIPs"] {
        object["spec"].as_object_mut().unwrap().remove(member);
    }
    object
}

/// Whether the CRDs of an entry are there.
fn has_crds(space: &Space, entry: &Entry) -> bool {
    entry
        .crds
        .is_none_or(|wanted| crds::install(&space.lab, &[wanted]))
}

fn class(space: &Space, entry: &Entry) {
    if let Some((name, controller)) = entry.class {
        let class = format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\n\
             spec: {{controller: {controller}}}\n"
        );
        space.lab.kubectl_ok(&["apply", "-f", "-"], &class).unwrap();
    }
}

#[test]
fn every_entry_is_accepted_strictly() {
    for (index, entry) in ENTRIES.iter().enumerate() {
        let Some(space) = Space::plain(&format!("scaffold-strict-{}", entry.via)) else {
            return;
        };
        if !has_crds(&space, entry) {
            continue;
        }
        let words = if index % 2 == 0 { VLLM } else { LLAMA };
        let base = base(&space, entry, words);
        let directory = base.display().to_string();
        let dry = ["apply", "--dry-run=server", "--validate=strict"];
        let said = space.ok(&[&dry[..], &["-k", &directory]].concat(), "");
        assert!(!said.contains("Warning"), "{}: {said}", entry.via);
        if index == 0 {
            // A field that the API server does not know is refused: the validation is what it says.
            let text = std::fs::read_to_string(base.join("service.yaml")).unwrap();
            let text = text.replace("targetPort", "targetport");
            let output = space.run(&[&dry[..], &["-f", "-"]].concat(), &text);
            assert!(!output.status.success());
        }
    }
}

#[test]
fn every_entry_is_stored_as_if_there_were_no_webhook() {
    for entry in &ENTRIES {
        let Some(space) = Space::enrolled(&format!("scaffold-under-{}", entry.via)) else {
            return;
        };
        let control = Space::plain(&format!("scaffold-plain-{}", entry.via)).unwrap();
        if !has_crds(&space, entry) {
            continue;
        }
        class(&space, entry);
        under_the_webhook(&space);
        let bases = [&space, &control].map(|space| base(space, entry, LLAMA));
        let (ours, said) = stored(&space, &bases[0]);
        let (plain, _) = stored(&control, &bases[1]);
        assert!(ours.len() >= 3, "{}", entry.via);
        for (ours, plain) in ours.iter().zip(&plain) {
            assert_eq!(ours, plain, "{}", entry.via);
            assert_eq!(
                ours["metadata"]["annotations"][infer_core::record::ANNOTATION],
                Value::Null
            );
        }
        assert!(!said.contains("Warning"), "{}: {said}", entry.via);
    }
}

/// Waits until a server without a probe gets one here.
fn under_the_webhook(space: &Space) {
    poll("the namespace is enrolled", || {
        let dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let output = space.run(&dry, &crate::llama::plain());
        String::from_utf8_lossy(&output.stdout).contains("readinessProbe")
    });
}
