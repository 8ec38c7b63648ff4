//! `kubectl infer doctor` on a real API server: classes told apart by their controllers, our webhook
//! asked, distrusted and gone, and what it says where it may not look.

use infer_tests::space::{Space, own_webhook, poll};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::Duration;
use xtask::lab::session::Lab;
use xtask::lab::webhook::Options;

const REGISTRATION: &str = "mutatingwebhookconfiguration/infer-doctor";

fn run(arguments: &[&str]) -> Output {
    Command::new("kubectl-infer")
        .arg("doctor")
        .args(arguments)
        .output()
        .unwrap()
}

/// The document of a run, and its exit code.
fn report(arguments: &[&str]) -> (Value, i32) {
    let output = run(&[arguments, &["-o", "json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (document, output.status.code().unwrap())
}

/// The check of this name on this subject.
fn check(document: &Value, id: &str, subject: &str) -> Value {
    let categories = document["categories"].as_array().unwrap().iter();
    let mut checks = categories.flat_map(|it| it["checks"].as_array().unwrap());
    let found = checks.find(|it| it["id"] == id && it["subject"] == subject);
    found
        .unwrap_or_else(|| panic!("no {id} of {subject}: {document}"))
        .clone()
}

fn says(check: &Value, status: &str, text: &str) -> bool {
    check["status"] == status && check.to_string().contains(text)
}

fn class(lab: &Lab, name: &str, controller: &str, is_default: bool) {
    let annotations = match is_default {
        true => json!({"ingressclass.kubernetes.io/is-default-class": "true"}),
        false => json!({}),
    };
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"controller": controller},
    });
    lab.kubectl_ok(&["apply", "-f", "-"], &class.to_string())
        .unwrap();
}

#[test]
fn two_products_of_one_name_are_told_apart_by_their_controllers() {
    let Some(lab) = Space::lab() else { return };
    class(&lab, "nginx-a", "k8s.io/ingress-nginx", false);
    class(&lab, "nginx-b", "nginx.org/ingress-controller", false);
    // The name of a third product, and nobody's controller.
    class(&lab, "contour", "example.com/own", false);
    let (document, _) = report(&["--no-dry-run"]);
    let old = check(&document, "controller-retired", "ingressclass/nginx-a");
    assert!(says(&old, "warning", "v1.15.1"), "{old}");
    let other = check(&document, "class-controller", "ingressclass/nginx-b");
    assert!(
        says(&other, "ok", "F5 NGINX Ingress Controller, version unknown"),
        "{other}"
    );
    let own = check(&document, "class-controller", "ingressclass/contour");
    assert!(says(&own, "unknown", "does not know"), "{own}");
    assert_eq!(
        document["serverVersion"].as_str().map(|it| &it[..3]),
        Some("v1.")
    );
    for name in ["nginx-a", "nginx-b", "contour"] {
        lab.kubectl_ok(&["delete", "ingressclass", name], "")
            .unwrap();
    }
}

/// What `default-class` says of several is what the API server does.
#[test]
fn of_several_default_classes_the_last_one_made_counts() {
    let Some(space) = Space::plain("doctor-default") else {
        return;
    };
    class(&space.lab, "default-z", "example.com/z", true);
    // Their times are whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    class(&space.lab, "default-a", "example.com/a", true);
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {generateName: i-}\n\
        spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}\n";
    let mut given = Value::Null;
    poll("an Ingress gets a class", || {
        let output = space.run(
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            ingress,
        );
        let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        given = object["spec"]["ingressClassName"].clone();
        given == "default-a"
    });
    let (document, code) = report(&["--no-dry-run", "--fail-on", "warning"]);
    for name in ["default-z", "default-a"] {
        space
            .lab
            .kubectl_ok(&["delete", "ingressclass", name], "")
            .unwrap();
    }
    let several = check(&document, "default-class", "");
    assert!(says(&several, "warning", "default-a"), "{several}");
    assert_eq!(code, 2);
}

#[test]
fn a_webhook_is_asked_and_its_faults_are_named() {
    let Some(lab) = Space::lab() else { return };
    let mut webhook = own_webhook(&lab, "doctor", &Options::default());
    let space = Space::in_group(lab.clone(), "doctor", Some("doctor"));
    let answers = |arguments: &[&str]| {
        let (document, code) = report(&[&["-n", "doctor"], arguments].concat());
        (
            check(&document, "webhook-answers", REGISTRATION),
            document,
            code,
        )
    };
    let patch = |patch: &Value| {
        let patch = patch.to_string();
        lab.kubectl_ok(&["patch", REGISTRATION, "--type=json", "-p", &patch], "")
            .unwrap();
    };
    let set = |path: &str, value: &Value| {
        patch(&json!([{"op": "replace", "path": format!("/webhooks/0/{path}"), "value": value}]));
    };

    // As it should be.
    poll("it answers", || says(&answers(&[]).0, "ok", "filled in"));
    let (_, document, _) = answers(&[]);
    let bundle = check(&document, "webhook-ca", REGISTRATION);
    assert!(says(&bundle, "ok", "valid until"), "{bundle}");
    let scope = check(&document, "webhook-scope", REGISTRATION);
    assert!(says(&scope, "ok", "doctor"), "{scope}");
    assert_eq!(
        space.get("deployments")["items"],
        json!([]),
        "nothing was stored"
    );
    let (skipped, _, _) = answers(&["--no-dry-run"]);
    assert!(says(&skipped, "unknown", "--no-dry-run"), "{skipped}");

    // Another authority, valid as such.
    let good =
        webhook.configuration("infer-doctor", &[])["webhooks"][0]["clientConfig"]["caBundle"]
            .clone();
    let raw = lab
        .kubectl_ok(&["config", "view", "--raw", "-o", "json", "--flatten"], "")
        .unwrap();
    let config: Value = serde_json::from_str(&raw).unwrap();
    let other = &config["clusters"][0]["cluster"]["certificate-authority-data"];
    assert!(other.is_string() && *other != good);
    set("clientConfig/caBundle", other);
    poll("it is not trusted", || {
        says(&answers(&[]).0, "error", "untouched")
    });
    let (untouched, document, code) = answers(&[]);
    assert!(
        says(&untouched, "error", "caBundle does not hold"),
        "{untouched}"
    );
    assert_eq!(code, 2);
    assert_eq!(check(&document, "webhook-ca", REGISTRATION)["status"], "ok");
    // Where it fails closed, the API server says why.
    set("failurePolicy", &json!("Fail"));
    poll("the reason is told", || {
        says(&answers(&[]).0, "error", "x509")
    });
    let (_, document, _) = answers(&[]);
    let policy = check(&document, "webhook-failure-policy", REGISTRATION);
    assert!(says(&policy, "warning", "Fail"), "{policy}");

    // Not running.
    set("clientConfig/caBundle", &good);
    poll("it answers again", || {
        says(&answers(&[]).0, "ok", "filled in")
    });
    webhook.kill();
    poll("it is gone", || {
        says(&answers(&[]).0, "error", "connection refused")
    });
    set("failurePolicy", &json!("Ignore"));
    poll("it is gone quietly", || {
        says(&answers(&[]).0, "error", "does not run")
    });

    // In nobody's scope, and not registered.
    lab.kubectl_ok(&["label", "ns", "doctor", "infer-test-"], "")
        .unwrap();
    poll("no namespace is left", || {
        let (document, _) = report(&["-n", "doctor"]);
        let scope = check(&document, "webhook-scope", REGISTRATION);
        says(&scope, "warning", "no namespace")
    });
    webhook.unregister(&lab, "infer-doctor").unwrap();
    assert!(!report(&[]).0.to_string().contains(REGISTRATION));
    assert_eq!(
        space.get("deployments")["items"],
        json!([]),
        "nothing was stored"
    );
}

#[test]
fn what_may_not_be_seen_is_a_gap_with_the_rule_that_opens_it() {
    let Some(space) = Space::plain("doctor-rights") else {
        return;
    };
    let (document, code) = report(&["--as", "nobody", "--as-group", "system:authenticated"]);
    assert_eq!(code, 0, "{document}");
    let asked: Vec<&str> = document["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["asked"].as_str().unwrap())
        .collect();
    for list in ["list nodes", "list deployments", "list ingressclasses"] {
        assert!(asked.contains(&list), "{asked:?}");
    }
    let nodes = check(&document, "gpus-offered", "");
    let rule = "- {apiGroups: [\\\"\\\"], resources: [\\\"nodes\\\"], verbs: [\\\"list\\\"]}";
    assert!(says(&nodes, "unknown", rule), "{nodes}");
    // Discovery is everybody's: where the CRDs are, only their release cannot be seen.
    let served = check(&document, "gateway-api-served", "");
    let message = served["message"].as_str().unwrap();
    let is_known = served["status"] != "unknown" || message.starts_with("serves ");
    assert!(is_known, "{served}");
    // The control: who may see all of it.
    let (document, _) = report(&["--no-dry-run", "-n", &space.name]);
    assert_eq!(document["gaps"], json!([]), "{document}");
    let text = String::from_utf8(run(&["--as", "nobody"]).stdout).unwrap();
    assert!(text.contains("? unknown"), "{text}");
    assert!(text.contains("not seen: "), "{text}");
}
