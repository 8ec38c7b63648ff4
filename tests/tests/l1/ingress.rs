//! Ingresses: they are reviewed by what is there when they come.

use infer_tests::space::Space;
use serde_json::Value;

const READ_TIMEOUT: &str = "nginx.ingress.kubernetes.io/proxy-read-timeout";

fn documents(namespace: &str) -> [String; 3] {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../manifests/examples/minimal/llama.yaml"
    ))
    .unwrap();
    let documents: Vec<String> = text.split("\n---\n").map(str::to_owned).collect();
    let host = format!("{namespace}.local");
    let [deployment, service, ingress] =
        <[String; 3]>::try_from(documents).expect("Deployment, Service, Ingress");
    [deployment, service, ingress.replace("llama.local", &host)]
}

fn ingress_class(space: &Space) {
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\n\
                 spec: {controller: k8s.io/ingress-nginx}\n";
    space.lab.kubectl_ok(&["apply", "-f", "-"], class).unwrap();
}

fn read_timeout(space: &Space) -> Value {
    space.get("ingress/llama")["metadata"]["annotations"][READ_TIMEOUT].clone()
}

#[test]
fn the_repaired_order_is_fixed_in_one_go() {
    let Some(space) = Space::enrolled("order") else {
        return;
    };
    ingress_class(&space);
    let said = space.apply(&documents("order").join("\n---\n"));
    assert_eq!(read_timeout(&space), "600", "{said}");
}

#[test]
fn the_chapter_s_order_is_stored_unfixed_and_the_way_out_works() {
    let Some(space) = Space::enrolled("chapter-order") else {
        return;
    };
    ingress_class(&space);
    let [deployment, service, ingress] = documents("chapter-order");
    let said = space.apply(&[ingress, service, deployment].join("\n---\n"));
    assert_eq!(read_timeout(&space), Value::Null);
    let command = said
        .lines()
        .find_map(|line| line.split_once("kubectl annotate "))
        .map(|(_, rest)| format!("annotate {rest}"))
        .unwrap_or_else(|| panic!("no way out in: {said}"));
    assert!(said.contains("stored without review"), "{said}");
    let arguments: Vec<&str> = command.split_whitespace().collect();
    space.lab.kubectl_ok(&arguments, "").unwrap();
    assert_eq!(read_timeout(&space), "600");
}

#[test]
fn an_ingress_whose_spec_stays_is_left_alone_and_replace_returns_what_it_dropped() {
    let Some(space) = Space::enrolled("ingress-replace") else {
        return;
    };
    ingress_class(&space);
    let [deployment, service, ingress] = documents("ingress-replace");
    space.apply(&[deployment, service, ingress.clone()].join("\n---\n"));
    assert_eq!(read_timeout(&space), "600");
    space.ok(
        &[
            "annotate",
            "deployment/llama",
            "kubectl-infer.dev/longest-generation=20m",
        ],
        "",
    );
    space.ok(&["annotate", "ingress/llama", "note=x"], "");
    assert_eq!(
        read_timeout(&space),
        "600",
        "an annotation of another kind reloads no proxy"
    );
    space.ok(&["replace", "-f", "-"], &ingress);
    assert_eq!(read_timeout(&space), "600");
    // Taken away by a person, it stays away.
    space.ok(
        &["annotate", "ingress/llama", &format!("{READ_TIMEOUT}-")],
        "",
    );
    assert_eq!(read_timeout(&space), Value::Null);
    // On request the numbers of today count.
    space.ok(
        &["annotate", "ingress/llama", "kubectl-infer.dev/review=now"],
        "",
    );
    infer_tests::space::poll("the store has seen the Deployment's annotation", || {
        space.ok(
            &[
                "annotate",
                "ingress/llama",
                &format!("kubectl-infer.dev/review={:?}", std::time::Instant::now()),
                "--overwrite",
            ],
            "",
        );
        read_timeout(&space) == "1200"
    });
}

#[test]
fn a_written_timeout_is_kept() {
    let Some(space) = Space::enrolled("ingress-written") else {
        return;
    };
    ingress_class(&space);
    let [deployment, service, ingress] = documents("ingress-written");
    let written = ingress.replace(
        "  annotations:\n",
        &format!("  annotations:\n    {READ_TIMEOUT}: \"120\"\n"),
    );
    let said = space.apply(&[deployment, service, written].join("\n---\n"));
    assert_eq!(read_timeout(&space), "120");
    assert!(said.contains("timeout-too-short"), "{said}");
}
