//! `manifests/base` against what the program and the rules need: no more, no less.

use infer_cluster::{Resource, Store};
use infer_core::kind::{Kind, KindSet, POD_KINDS};
use infer_core::rules::ALL;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base")
}

/// Every object of the folder; `kustomization.yaml` must list each file.
fn objects() -> Vec<Value> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(base().join(name)).unwrap();
        let parsed = infer_manifest::parse(&text);
        assert_eq!(parsed.errors, [], "{name}");
        let documents = parsed.documents.into_iter();
        documents
            .map(|document| document.object)
            .collect::<Vec<_>>()
    };
    let listed: BTreeSet<String> = read("kustomization.yaml")[0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    let present: BTreeSet<String> = std::fs::read_dir(base())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    assert_eq!(listed, present);
    listed.iter().flat_map(|name| read(name)).collect()
}

fn object(kind: &str, name: &str) -> Value {
    let mut all = objects().into_iter();
    let found = all.find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn texts(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.map(|it| it.as_str().unwrap()).collect()
}

/// Group, resource, verb and name of everything that a role allows.
fn allowed(role: &Value) -> BTreeSet<(String, String, String, String)> {
    let mut allowed = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = match texts(&rule["resourceNames"]) {
            names if names.is_empty() => vec!["any"],
            names => names,
        };
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    for name in &names {
                        let it = [group, resource, verb, name].map(str::to_owned);
                        assert!(allowed.insert(it.into()), "twice: {rule}");
                    }
                }
            }
        }
    }
    allowed
}

fn four(items: &[[&str; 4]]) -> BTreeSet<(String, String, String, String)> {
    let items = items.iter();
    items.map(|it| it.map(str::to_owned).into()).collect()
}

/// The resources that the store watches for these kinds. The store says so itself; nobody listens
/// behind this client.
async fn watched(kinds: KindSet) -> Vec<&'static Resource> {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        users: [{name: u, user: {token: t}}]\n\
        contexts: [{name: c, context: {cluster: c, user: u}}]\n";
    std::fs::write(&kubeconfig, text).unwrap();
    let client = infer_cluster::connect(Some(&kubeconfig)).await.unwrap();
    let watches = Store::start(&client, kinds).watches();
    watches.into_iter().map(|(resource, _)| resource).collect()
}

#[tokio::test]
async fn the_cluster_role_allows_what_rules_read_and_nothing_else() {
    let mut kinds = KindSet::NONE;
    for rule in ALL {
        kinds = kinds.union(rule.reads().both(Kind::AT_ADMISSION));
    }
    // Admission itself tells an undo by the revisions (`admission.rs`, step 2).
    kinds = kinds.with(Kind::Revision);
    let mut needed = BTreeSet::new();
    for resource in watched(kinds).await {
        for verb in ["get", "list", "watch"] {
            let it = [resource.group, resource.plural, verb, "any"].map(str::to_owned);
            needed.insert(it.into());
        }
    }
    assert!(needed.len() > 10, "{needed:?}");
    assert_eq!(allowed(&object("ClusterRole", "infer-webhook")), needed);
}

#[test]
fn what_it_may_write_is_its_secret_and_its_registration() {
    let group = "admissionregistration.k8s.io";
    let (mutating, validating) = (
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    );
    let name = "infer-webhook";
    assert_eq!(
        allowed(&object("ClusterRole", "infer-webhook-registration")),
        four(&[
            [group, mutating, "get", name],
            [group, mutating, "patch", name],
            [group, validating, "get", name],
            [group, validating, "patch", name],
        ])
    );
    assert_eq!(
        allowed(&object("Role", "infer-webhook")),
        four(&[
            ["", "secrets", "create", "any"],
            ["", "secrets", "get", "infer-webhook-ca"],
            ["", "secrets", "patch", "infer-webhook-ca"],
        ])
    );
    let roles: Vec<Value> = objects()
        .into_iter()
        .filter(|it| it["kind"].as_str().unwrap().ends_with("Role"))
        .collect();
    assert_eq!(roles.len(), 3);
    for binding in objects() {
        let kind = binding["kind"].as_str().unwrap();
        let Some(role) = kind.strip_suffix("Binding") else {
            continue;
        };
        assert_eq!(
            (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]),
            (&json!(role), &binding["metadata"]["name"])
        );
        assert_eq!(
            binding["subjects"],
            json!([{"kind": "ServiceAccount", "name": "infer-webhook", "namespace": "kubectl-infer"}])
        );
    }
}

#[test]
fn the_registration_asks_about_every_kind_that_review_knows() {
    let registration = object("MutatingWebhookConfiguration", "infer-webhook");
    let webhooks = registration["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 1, "each entry costs a round trip");
    let webhook = &webhooks[0];
    let mut asked = BTreeSet::new();
    for rule in webhook["rules"].as_array().unwrap() {
        assert_eq!(rule["scope"], "Namespaced");
        assert_eq!(texts(&rule["operations"]), ["CREATE", "UPDATE"]);
        for resource in texts(&rule["resources"]) {
            assert!(!resource.contains('/'), "no subresource: {resource}");
            let group = texts(&rule["apiGroups"])[0];
            asked.insert((group.to_owned(), resource.to_owned()));
        }
    }
    for kind in POD_KINDS {
        let resource = format!("{}s", kind.kind.to_lowercase());
        // The others are read where rules look at a cluster, and never changed.
        let is_ours = kind.mode != infer_core::kind::Mode::Report;
        let it = (kind.group.to_owned(), resource);
        assert_eq!(asked.contains(&it), is_ours, "{it:?}");
    }
    let ingresses = ("networking.k8s.io".to_owned(), "ingresses".to_owned());
    assert!(asked.contains(&ingresses));
    let expected = json!({
        "failurePolicy": "Ignore", "reinvocationPolicy": "IfNeeded", "matchPolicy": "Equivalent",
        "sideEffects": "None", "timeoutSeconds": 2, "admissionReviewVersions": ["v1"],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&webhook[field], value, "{field}");
    }
}

#[test]
fn the_webhook_never_judges_itself_or_the_control_plane() {
    let registration = object("MutatingWebhookConfiguration", "infer-webhook");
    let expected = json!([
        {"key": "kubectl-infer.dev/enforce", "operator": "In", "values": ["true"]},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn",
         "values": ["kube-system", "kubectl-infer"]},
    ]);
    let webhook = &registration["webhooks"][0];
    assert_eq!(webhook["namespaceSelector"]["matchExpressions"], expected);
    for object in objects() {
        let metadata = &object["metadata"];
        let is_ours =
            metadata["namespace"] == "kubectl-infer" || metadata["name"] == "kubectl-infer";
        let is_cluster = object["kind"].as_str().unwrap().starts_with("Cluster")
            || object["kind"] == "MutatingWebhookConfiguration";
        assert!(is_ours || is_cluster, "{metadata}");
    }
}

/// The names that the program is told, and the objects of these names.
#[test]
fn the_arguments_name_what_is_there() {
    let deployment = object("Deployment", "infer-webhook");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments = texts(&container["args"]);
    let argument = |name: &str| {
        let mut values = arguments.iter().filter_map(|it| it.strip_prefix(name));
        values.next().unwrap_or_else(|| panic!("no {name}"))
    };
    object("MutatingWebhookConfiguration", argument("--register="));
    let service = object("Service", argument("--service="));
    let port = &container["ports"][0];
    assert!(argument("--listen=").ends_with(&format!(":{}", port["containerPort"])));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    assert_eq!(
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"]
    );
    let secret = &object("Role", "infer-webhook")["rules"][0]["resourceNames"][0];
    assert_eq!(secret, argument("--certificate-secret="));
    let version = format!(":{}", env!("CARGO_PKG_VERSION"));
    assert!(container["image"].as_str().unwrap().ends_with(&version));
    use clap::Parser;
    infer_webhook::args::Args::try_parse_from([vec!["infer-webhook"], arguments].concat()).unwrap();
}

/// The grace period must hold the hook, then what the program takes at SIGTERM at most.
#[test]
fn the_grace_period_holds_the_whole_end() {
    let deployment = object("Deployment", "infer-webhook");
    let pod = &deployment["spec"]["template"]["spec"];
    let hook = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let bounds = infer_webhook::bounds::Bounds::default();
    let end = (bounds.lame_duck + bounds.drain).as_secs();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > hook.as_u64().unwrap() + end, "{grace}");
}
