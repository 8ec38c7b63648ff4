//! Our webhook, in each state that it can be in.

use crate::{NOW, all, namespace, of, of_facts, one, says, workload};
use infer_doctor::webhook::{PolicySource, policy_source, registrations, rehearsal};
use infer_doctor::{
    Authority, Bundle, Checkup, Facts, Gap, Rehearsal, Status, WebhookFacts, WebhookPolicy,
};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

fn registration() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "infer-webhook"},
        "webhooks": [{
            "name": "mutate.kubectl-infer.dev",
            "clientConfig": {"service": {"namespace": "kubectl-infer", "name": "infer-webhook",
                "path": "/mutate", "port": 443}},
            "failurePolicy": "Ignore", "timeoutSeconds": 2,
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubectl-infer.dev/enforce", "operator": "In", "values": ["true"]}]},
        }],
    })
}

fn validating() -> Value {
    let mut object = registration();
    object["kind"] = json!("ValidatingWebhookConfiguration");
    object["webhooks"][0]["name"] = json!("validate.kubectl-infer.dev");
    object
}

/// The webhook's own Deployment.
fn deployment(args: &[&str], tag: &str) -> Value {
    let image = format!("ghcr.io/kubectl-infer/infer-webhook:{tag}");
    let mut object = workload("kubectl-infer", "infer-webhook", &image);
    object["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
    object
}

fn service() -> Value {
    json!({"kind": "Service", "metadata": {"name": "infer-webhook", "namespace": "kubectl-infer"},
        "spec": {"selector": {"app": "infer-webhook"}, "ports": [{"port": 443}]}})
}

fn slice(ready: &[bool]) -> Value {
    let endpoints: Vec<Value> = ready
        .iter()
        .map(|it| json!({"conditions": {"ready": it}}))
        .collect();
    json!({"endpoints": endpoints})
}

fn authority(name: &str, days: i64) -> Authority {
    Authority {
        name: name.to_owned(),
        not_before: NOW - DAY,
        not_after: NOW + days * DAY,
    }
}

fn gap() -> Gap {
    Gap {
        asked: "get something".into(),
        reason: "not allowed (RBAC)".into(),
        help: vec!["add this rule".into()],
    }
}

/// As it should be.
fn good() -> WebhookFacts {
    let record = json!({"catalogue": "c", "added": [{"rule": "no-readiness-probe", "path": "/x",
        "value": 1}]});
    WebhookFacts {
        service: Ok(Some(service())),
        slices: Ok(vec![slice(&[true, true])]),
        bundle: Bundle::Authorities(vec![authority("infer-webhook ca-1", 300)]),
        policy: WebhookPolicy::Baseline,
        rehearsal: Rehearsal::Answered {
            namespace: "n".into(),
            object: json!({"metadata": {"annotations":
                {"kubectl-infer.dev/record": record.to_string()}}}),
        },
    }
}

fn facts(objects: &[Value], more: WebhookFacts) -> Facts {
    let mut all = vec![
        registration(),
        deployment(&["--certificate-secret=infer-webhook-ca"], "0.1.0"),
        namespace("n", &json!({"kubectl-infer.dev/enforce": "true"})),
        namespace("other", &json!({})),
    ];
    all.extend_from_slice(objects);
    let mut facts = Facts::of_objects(&all, NOW);
    facts.client_version = "0.1.0".to_owned();
    facts.webhooks = vec![more];
    facts
}

fn with(change: impl Fn(&mut WebhookFacts)) -> Checkup {
    let mut more = good();
    change(&mut more);
    of_facts(&facts(&[], more))
}

#[test]
fn one_that_is_well_has_nothing_but_ok() {
    let checkup = with(|_| ());
    let webhook = checkup
        .categories
        .iter()
        .find(|it| it.id == "webhook")
        .unwrap();
    assert!(
        webhook.checks.iter().all(|it| it.status == Status::Ok),
        "{webhook:#?}"
    );
    assert_eq!(webhook.checks.len(), 8);
    says(
        &one(&checkup, "webhook-scope"),
        Status::Ok,
        "1 namespace in scope: n",
    );
    assert!(checkup.gaps.is_empty());
}

#[test]
fn one_that_is_not_registered_is_no_fault() {
    let found = one(&of(&[]), "webhook-registered");
    says(&found, Status::Note, "not registered");
    // Another product's registration is none of ours.
    let mut other = registration();
    other["webhooks"][0]["name"] = json!("mutate.example.com");
    says(
        &one(&of(&[other]), "webhook-registered"),
        Status::Note,
        "not registered",
    );
    let mut facts = Facts::of_objects(&[], NOW);
    facts.mutating = Err(gap());
    says(
        &one(&of_facts(&facts), "webhook-registered"),
        Status::Unknown,
        "not allowed (RBAC)",
    );
}

#[test]
fn what_the_api_server_trusts_is_there_valid_and_its_own() {
    let ca = |bundle: Bundle| {
        let checkup = with(|it| it.bundle = bundle.clone());
        one(&checkup, "webhook-ca")
    };
    says(&ca(Bundle::Empty), Status::Error, "caBundle is empty");
    says(
        &ca(Bundle::Broken("it is no PEM".into())),
        Status::Error,
        "it is no PEM",
    );
    let of = |list: Vec<Authority>| ca(Bundle::Authorities(list));
    let expired = of(vec![authority("infer-webhook ca-1", -1)]);
    says(
        &expired,
        Status::Error,
        "has expired: valid until 2026-11-24",
    );
    let mut early = authority("infer-webhook ca-1", 300);
    early.not_before = NOW + DAY;
    says(&of(vec![early]), Status::Error, "not valid yet");
    let soon = of(vec![authority("infer-webhook ca-1", 13)]);
    says(&soon, Status::Warning, "valid until 2026-12-08");
    let two = of(vec![
        authority("infer-webhook ca-1", -1),
        authority("infer-webhook ca-2", 300),
    ]);
    says(&two, Status::Ok, "2 certificates");
    let strange = of(vec![authority("kubernetes", 300)]);
    says(
        &strange,
        Status::Error,
        "another authority than the webhook's",
    );
    assert!(
        strange
            .next
            .unwrap()
            .command
            .contains("logs deployment/infer-webhook")
    );
    // With certificates of somebody else any authority may be the right one.
    let mut facts = facts(&[], good());
    facts.workloads = vec![deployment(&["--tls-cert-file=/tls/tls.crt"], "0.1.0")];
    facts.webhooks[0].bundle = Bundle::Authorities(vec![authority("company", 300)]);
    says(
        &one(&of_facts(&facts), "webhook-ca"),
        Status::Ok,
        "1 certificate",
    );
}

#[test]
fn somebody_must_be_there_to_answer() {
    let found = |change: &dyn Fn(&mut WebhookFacts)| one(&with(change), "webhook-endpoints");
    says(&found(&|_| ()), Status::Ok, "2 of 2 endpoints ready");
    let none = found(&|it| it.slices = Ok(vec![slice(&[])]));
    says(&none, Status::Error, "no endpoint: nobody answers");
    let unready = found(&|it| it.slices = Ok(vec![slice(&[false, false])]));
    says(&unready, Status::Error, "none of 2 endpoints is ready");
    let one_of_two = found(&|it| it.slices = Ok(vec![slice(&[true, false])]));
    says(&one_of_two, Status::Ok, "1 of 2 endpoints ready");
    says(
        &found(&|it| it.service = Ok(None)),
        Status::Error,
        "does not exist",
    );
    let port = found(&|it| {
        let mut service = service();
        service["spec"]["ports"] = json!([{"port": 8443}]);
        it.service = Ok(Some(service));
    });
    says(&port, Status::Error, "has no port 443");
    says(
        &found(&|it| it.slices = Err(gap())),
        Status::Unknown,
        "add this rule",
    );
    says(
        &found(&|it| it.service = Err(gap())),
        Status::Unknown,
        "add this rule",
    );
}

#[test]
fn a_dry_run_is_the_proof() {
    let found = |rehearsal: Rehearsal| {
        let checkup = with(|it| it.rehearsal = rehearsal.clone());
        one(&checkup, "webhook-answers")
    };
    let untouched = found(Rehearsal::Answered {
        namespace: "n".into(),
        object: json!({"metadata": {}}),
    });
    says(
        &untouched,
        Status::Error,
        "came back untouched: not reviewed",
    );
    says(
        &untouched,
        Status::Error,
        "caBundle does not hold the authority",
    );
    // What is known to fix is not suspected.
    assert!(
        !untouched.details[0].contains("its policy"),
        "{untouched:#?}"
    );
    let refused = |message: &str| {
        found(Rehearsal::Refused {
            namespace: "n".into(),
            message: message.into(),
        })
    };
    let ours = refused(
        "Internal error occurred: failed calling webhook \"mutate.kubectl-infer.dev\": x509: unknown",
    );
    says(&ours, Status::Error, "cannot call it");
    let other = refused("failed calling webhook \"mutate.example.com\": connection refused");
    says(&other, Status::Unknown, "refused by somebody else");
    says(
        &found(Rehearsal::Skipped("why".into())),
        Status::Unknown,
        "why",
    );
    says(
        &found(Rehearsal::Unknown(gap())),
        Status::Unknown,
        "add this rule",
    );
}

#[test]
fn what_is_rehearsed_is_something_that_the_webhook_fills_in() {
    use infer_core::Engine;
    let object = rehearsal("n");
    assert_eq!(object["spec"]["replicas"], 0, "no pod is wanted");
    assert!(object["metadata"]["name"].is_null(), "it replaces nobody's");
    let engine = Engine::builtin();
    let changed = infer_core::check::diff(&engine, &[std::sync::Arc::new(object)]);
    assert!(
        !changed.is_empty(),
        "an untouched answer would prove nothing"
    );
}

#[test]
fn failing_closed_is_told() {
    let mut facts = facts(&[], good());
    facts.mutating.as_mut().unwrap()[0]["webhooks"][0]["failurePolicy"] = json!("Fail");
    says(
        &one(&of_facts(&facts), "webhook-failure-policy"),
        Status::Warning,
        "Fail",
    );
    // Fail is what nothing written means.
    let entry = &mut facts.mutating.as_mut().unwrap()[0]["webhooks"][0];
    entry.as_object_mut().unwrap().remove("failurePolicy");
    says(
        &one(&of_facts(&facts), "webhook-failure-policy"),
        Status::Warning,
        "Fail",
    );
    says(
        &one(&with(|_| ()), "webhook-failure-policy"),
        Status::Ok,
        "Ignore",
    );
}

#[test]
fn namespaces_in_scope_are_named_and_inference_outside_of_it() {
    let server = workload("other", "llama", "ghcr.io/ggml-org/llama.cpp:server");
    let found = all(&of_facts(&facts(&[server], good())), "webhook-scope");
    says(
        &found[1],
        Status::Note,
        "inference outside of its scope in 1 namespace: other",
    );
    let next = &found[1].next.as_ref().unwrap().command;
    assert_eq!(
        next,
        "kubectl label namespace other kubectl-infer.dev/enforce=true"
    );
    let mut facts = facts(&[], good());
    facts.namespace_objects = Ok(vec![namespace("other", &json!({}))]);
    says(
        &one(&of_facts(&facts), "webhook-scope"),
        Status::Warning,
        "no namespace",
    );
}

#[test]
fn a_version_that_differs_is_told() {
    let version = |tag: &str| {
        let mut facts = facts(&[], good());
        facts.workloads = vec![deployment(&[], tag)];
        one(&of_facts(&facts), "webhook-version")
    };
    says(&version("0.1.0"), Status::Ok, "0.1.0");
    says(
        &version("v0.2.0"),
        Status::Warning,
        "version v0.2.0, this plugin is 0.1.0",
    );
    says(&version("lab"), Status::Unknown, "tag is `lab`");
}

fn policy(action: &str) -> WebhookPolicy {
    WebhookPolicy::ConfigMap {
        name: "kubectl-infer/policy".into(),
        document: Ok(json!({
            "apiVersion": "kubectl-infer.dev/v1alpha1", "kind": "InferencePolicy",
            "spec": {"rules": [{"rule": "no-readiness-probe", "action": action}]},
        })),
    }
}

#[test]
fn a_policy_that_denies_must_be_asked_for() {
    let check = |action: &str, objects: &[Value]| {
        let more = WebhookFacts {
            policy: policy(action),
            ..good()
        };
        all(&of_facts(&facts(objects, more)), "webhook-deny")
    };
    says(&check("deny", &[])[0], Status::Error, "nobody asks");
    says(
        &check("deny", &[validating()])[0],
        Status::Ok,
        "asked for by infer-webhook",
    );
    assert!(check("warn", &[]).is_empty());
    says(
        &check("warn", &[validating()])[0],
        Status::Note,
        "denies nothing",
    );
    // Whether somebody asks is not known.
    let blind = |action: &str| {
        let more = WebhookFacts {
            policy: policy(action),
            ..good()
        };
        let mut facts = facts(&[], more);
        facts.validating = Err(gap());
        all(&of_facts(&facts), "webhook-deny")
    };
    says(&blind("deny")[0], Status::Unknown, "add this rule");
    assert!(blind("warn").is_empty());
}

#[test]
fn the_policy_that_holds_is_named() {
    let found = |policy: WebhookPolicy| {
        let checkup = with(|it| it.policy = policy.clone());
        one(&checkup, "webhook-policy")
    };
    says(
        &found(policy("warn")),
        Status::Ok,
        "ConfigMap kubectl-infer/policy",
    );
    says(
        &found(WebhookPolicy::File("/etc/p.yaml".into())),
        Status::Unknown,
        "/etc/p.yaml",
    );
    says(&found(WebhookPolicy::Unknown), Status::Unknown, "not known");
    says(&found(policy("refuse")), Status::Error, "cannot be read");
    let unseen = WebhookPolicy::ConfigMap {
        name: "a/b".into(),
        document: Err(gap()),
    };
    says(&found(unseen), Status::Unknown, "add this rule");
}

#[test]
fn where_a_policy_comes_from_is_read_off_the_deployment() {
    let registration = &registrations(&[registration()])[0];
    let source = |args: &[&str], mount: &Value, volume: &Value| {
        let mut workload = deployment(args, "0.1.0");
        let spec = &mut workload["spec"]["template"]["spec"];
        spec["containers"][0]["volumeMounts"] = json!([mount]);
        spec["volumes"] = json!([volume]);
        policy_source(registration, Some(&service()), &[workload])
    };
    let mount = json!({"name": "policy", "mountPath": "/etc/policy"});
    let volume = json!({"name": "policy", "configMap": {"name": "own"}});
    let of = |key: &str| PolicySource::ConfigMap {
        namespace: "kubectl-infer".into(),
        name: "own".into(),
        key: key.into(),
    };
    assert_eq!(
        source(&["--policy=/etc/policy/p.yaml"], &mount, &volume),
        of("p.yaml")
    );
    assert_eq!(
        source(&["--policy", "/etc/policy/p.yaml"], &mount, &volume),
        of("p.yaml")
    );
    assert_eq!(source(&[], &mount, &volume), PolicySource::Baseline);
    let items = json!({"name": "policy", "configMap": {"name": "own",
        "items": [{"key": "text", "path": "p.yaml"}]}});
    assert_eq!(
        source(&["--policy=/etc/policy/p.yaml"], &mount, &items),
        of("text")
    );
    let sub = json!({"name": "policy", "mountPath": "/etc/p.yaml", "subPath": "text"});
    assert_eq!(source(&["--policy=/etc/p.yaml"], &sub, &volume), of("text"));
    let elsewhere = "/etc/policy-other/p.yaml";
    assert_eq!(
        source(&["--policy", elsewhere], &mount, &volume),
        PolicySource::File(elsewhere.into())
    );
    assert_eq!(
        policy_source(registration, Some(&service()), &[]),
        PolicySource::Unknown
    );
}
