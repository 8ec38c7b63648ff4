use super::*;

pub(super) fn ingress() -> Value {
    let path = |path: &str, service: &str| {
        json!({"path": path, "pathType": "Prefix",
            "backend": {"service": {"name": service, "port": {"name": "http"}}}})
    };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": "llm", "namespace": "models", "uid": "u-ing", "resourceVersion": "9",
            "labels": {"app": "llama"},
            "annotations": {
                "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
                "cert-manager.io/cluster-issuer": "x",
            },
        },
        "spec": {
            "ingressClassName": "public",
            "tls": [{"hosts": ["llm.example.com"], "secretName": "llm"}],
            "rules": [
                {"host": "llm.example.com", "http": {"paths": [
                    path("/v1", "llama"), path("/docs", "docs")]}},
                {"host": "docs.example.com", "http": {"paths": [path("/", "docs")]}},
            ],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
    })
}

#[test]
fn the_canary_ingress_has_class_hosts_tls_and_the_paths_that_lead_there() {
    let shift = planned(&stable(ingress()));
    assert_eq!(shift.via.as_str(), "ingress-nginx");
    assert_eq!(shift.entry.to_string(), "ingress/llm");
    assert_eq!(shift.carrier.to_string(), "ingress/llm-canary");
    assert_eq!(
        shift.objects[2],
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {
                "name": "llm-canary", "namespace": "models",
                "labels": {
                    "app.kubernetes.io/managed-by": "kubectl-infer",
                    "kubectl-infer.dev/canary-of": "llama",
                },
                "annotations": {
                    "nginx.ingress.kubernetes.io/canary": "true",
                    "nginx.ingress.kubernetes.io/canary-weight": "0",
                    "kubectl-infer.dev/canary-run": "7f3a9c",
                },
            },
            "spec": {
                "ingressClassName": "public",
                "tls": [{"hosts": ["llm.example.com"], "secretName": "llm"}],
                "rules": [{"host": "llm.example.com", "http": {"paths": [
                    {"path": "/v1", "pathType": "Prefix", "backend": {
                        "service": {"name": "llama-canary", "port": {"name": "http"}}}}]}}],
            },
        })
    );
}

/// The canary Ingress as it is stored.
fn stored(shift: &Shift) -> Value {
    let mut carrier = shift.objects[2].clone();
    carrier["metadata"]["uid"] = json!("u-c");
    carrier["metadata"]["resourceVersion"] = json!("1");
    carrier
}

#[test]
fn its_share_is_an_annotation() {
    let shift = planned(&stable(ingress()));
    let carrier = stored(&shift);
    there_and_back(&shift, &carrier);
    let with = with_share(&shift, &carrier, 25);
    assert_eq!(
        with["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"],
        "25"
    );
}

#[test]
fn what_somebody_else_wrote_into_it_is_told() {
    let shift = planned(&stable(ingress()));
    let seen = |key: &str, value: Option<&str>| {
        let mut carrier = stored(&shift);
        let map = carrier["metadata"]["annotations"].as_object_mut().unwrap();
        let key = format!("nginx.ingress.kubernetes.io/{key}");
        match value {
            Some(value) => map.insert(key, json!(value)),
            None => map.remove(&key),
        };
        match shift.weight_of(&carrier) {
            Weight::Foreign(text) => text,
            other => panic!("{other:?}"),
        }
    };
    assert!(seen("canary", Some("false")).contains("is false, not true"));
    assert!(seen("canary", None).contains("<unset>"));
    assert!(seen("canary-weight", Some("ten")).contains("is \"ten\""));
    assert!(seen("canary-weight", Some("101")).contains("101"));
    assert!(seen("canary-weight-total", Some("1000")).contains("decides, too"));
    assert!(seen("canary-by-header", Some("x")).contains("canary-by-header"));
}

#[test]
fn a_class_in_the_annotation_is_kept_there() {
    let mut old = ingress();
    old["spec"]
        .as_object_mut()
        .unwrap()
        .remove("ingressClassName");
    old["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!("public");
    let shift = planned(&stable(old));
    let made = &shift.objects[2];
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/ingress.class"],
        "public"
    );
    assert_eq!(made["spec"]["ingressClassName"], Value::Null);
}

#[test]
fn a_controller_that_honours_no_canary_is_refused_by_its_name() {
    let mut other = stable(ingress());
    other.others[0]["spec"]["controller"] = json!("nginx.org/ingress-controller");
    let refusal = refused(&other, &wanted());
    let text = refusal.to_string();
    assert!(
        text.starts_with("ingress/llm is of class public, served by ")
            && text.contains("takes no share")
            && text.contains("ingress-nginx"),
        "{text}"
    );
    // A name that two products share decides nothing.
    let mut unseen = stable(ingress());
    unseen.others.clear();
    unseen.routes[0]["spec"]["ingressClassName"] = json!("nginx");
    unseen.routes[0]["metadata"]["annotations"] = json!({});
    assert!(matches!(
        refused(&unseen, &wanted()),
        Refusal::NoCanaryIngress { controllers, .. } if controllers.len() > 1
    ));
    unseen.routes[0]["spec"]["ingressClassName"] = json!("own");
    assert!(
        refused(&unseen, &wanted())
            .message()
            .contains("is not known")
    );
}

#[test]
fn another_canary_of_the_same_path_is_refused() {
    let mut taken = stable(ingress());
    let mut other = ingress();
    other["metadata"]["name"] = json!("by-hand");
    other["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true"});
    taken.routes.push(other.clone());
    let text = refused(&taken, &wanted()).to_string();
    assert!(
        text.starts_with("ingress/by-hand takes a share of llm.example.com/v1 already"),
        "{text}"
    );
    // Of other paths it does not matter, and it is no second route to the workload.
    taken.routes[1]["spec"]["rules"][0]["host"] = json!("other.example.com");
    planned(&taken);
}

#[test]
fn a_default_backend_alone_cannot_be_shared() {
    let mut bare = ingress();
    bare["spec"] = json!({"ingressClassName": "public",
        "defaultBackend": {"service": {"name": "llama", "port": {"number": 80}}}});
    let text = refused(&stable(bare), &wanted()).message();
    assert!(text.contains("/spec/defaultBackend"), "{text}");
    let mut both = ingress();
    both["spec"]["defaultBackend"] = json!({"service": {"name": "llama", "port": {"number": 80}}});
    let shift = planned(&stable(both));
    assert!(
        shift.notes[0].contains("default backend of ingress/llm"),
        "{:?}",
        shift.notes
    );
    assert_eq!(shift.objects[2]["spec"]["defaultBackend"], Value::Null);
}
