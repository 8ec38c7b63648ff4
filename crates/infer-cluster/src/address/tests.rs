use super::*;
use serde_json::json;

fn ingress(spec: impl Into<Value>, status: impl Into<Value>) -> Value {
    let (spec, status) = (spec.into(), status.into());
    json!({
        "metadata": {"name": "i", "namespace": "n"}, "spec": spec,
        "status": {"loadBalancer": {"ingress": status}},
    })
}

fn rule(host: &str, paths: &[(&str, &str, &str)]) -> Value {
    let paths: Vec<Value> = paths
        .iter()
        .map(|(path, kind, service)| {
            let backend = json!({"service": {"name": service, "port": {"number": 80}}});
            json!({"path": path, "pathType": kind, "backend": backend})
        })
        .collect();
    json!({"host": host, "http": {"paths": paths}})
}

fn served() -> Value {
    json!([{"ip": "203.0.113.9"}, {"hostname": "lb.example"}])
}

#[test]
fn the_first_rule_with_a_host_is_the_way_in() {
    let rules = json!([
        rule("", &[("/any", "Prefix", "a")]),
        rule(
            "infer.local",
            &[("/v1", "Prefix", "a"), ("/", "Prefix", "b")]
        ),
    ]);
    let found = entrance(&ingress(json!({"rules": rules}), served()), None, None).unwrap();
    let wanted = Entrance {
        address: "203.0.113.9".to_owned(),
        others: vec!["lb.example".to_owned()],
        port: 80,
        tls: false,
        host: Some("infer.local".to_owned()),
        wildcard: None,
        path: "/v1".to_owned(),
        path_is_pattern: false,
    };
    assert_eq!(found, wanted);
    assert!(!found.is_hostname());
    assert_eq!((found.scheme(), found.authority()), ("http", "infer.local"));
}

#[test]
fn without_a_host_the_address_is_the_host() {
    let spec = json!({"rules": [rule("", &[])]});
    let found = entrance(
        &ingress(spec, json!([{"hostname": "lb.example"}])),
        None,
        None,
    )
    .unwrap();
    assert_eq!(
        (found.authority(), found.path.as_str()),
        ("lb.example", "/")
    );
    assert!(found.is_hostname());
    let spec = json!({"defaultBackend": {"service": {"name": "a"}}});
    let found = entrance(&ingress(spec, served()), None, None).unwrap();
    assert_eq!(found.authority(), "203.0.113.9");
}

#[test]
fn tls_is_where_the_spec_covers_the_host() {
    let tls = |hosts: Value, host: &str| {
        let spec = json!({"rules": [rule(host, &[])], "tls": [{"hosts": hosts}]});
        let found = entrance(&ingress(spec, served()), None, None).unwrap();
        (found.tls, found.port)
    };
    assert_eq!(tls(json!(["a.example"]), "a.example"), (true, 443));
    assert_eq!(tls(json!(["b.example"]), "a.example"), (false, 80));
    assert_eq!(tls(json!(["*.example"]), "a.example"), (true, 443));
    assert_eq!(
        tls(json!(["*.example"]), "a.b.example"),
        (false, 80),
        "one label"
    );
    assert_eq!(
        tls(json!([]), "a.example"),
        (true, 443),
        "an entry without hosts"
    );
}

#[test]
fn the_status_may_name_other_ports() {
    let at = |ports: Value| {
        let spec = json!({"rules": [rule("a.example", &[])]});
        let status = json!([{"ip": "203.0.113.9", "ports": ports}]);
        entrance(&ingress(spec, status), None, None).unwrap().port
    };
    assert_eq!(at(json!([{"port": 8080, "protocol": "TCP"}])), 8080);
    assert_eq!(at(json!([{"port": 8080}, {"port": 80}])), 80);
    assert_eq!(at(json!([{"port": 53, "protocol": "UDP"}])), 80);
    assert_eq!(
        at(json!([{"port": 8080, "protocol": "TCP", "error": "x/Down"}])),
        80
    );
}

#[test]
fn a_host_is_asked_for_or_made_up_for_a_wildcard() {
    let rules = json!([rule("*.infer.local", &[]), rule("other.local", &[])]);
    let object = ingress(json!({"rules": rules}), served());
    let found = entrance(&object, None, None).unwrap();
    assert_eq!(found.host.as_deref(), Some("kubectl-infer.infer.local"));
    assert_eq!(found.wildcard.as_deref(), Some("*.infer.local"));
    let found = entrance(&object, None, Some("x.infer.local")).unwrap();
    assert_eq!(found.host.as_deref(), Some("x.infer.local"));
    let error = entrance(&object, None, Some("othr.local")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ingress/i has no rule for host \"othr.local\"\n  = help: did you mean other.local?\n  \
         = help: it has rules for *.infer.local, other.local"
    );
}

fn no_address(class: Value, classes: Option<&[Value]>) -> String {
    let mut spec = json!({"rules": [rule("infer.local", &[])]});
    spec["ingressClassName"] = class;
    entrance(&ingress(spec, json!([])), classes, None)
        .unwrap_err()
        .to_string()
}

#[test]
fn an_ingress_without_address_says_who_should_give_it_one() {
    let classes = [json!({
        "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"},
    })];
    let text = no_address(json!("nginx"), Some(&classes));
    assert!(text.starts_with("ingress/i has no address yet"), "{text}");
    assert!(
        text.contains("controller \"k8s.io/ingress-nginx\" of class \"nginx\""),
        "{text}"
    );
    assert!(text.contains("kubectl get events -n n"), "{text}");
    assert!(
        text.contains("`--resolve infer.local:80:ADDRESS`"),
        "{text}"
    );
    let text = no_address(json!("ngnix"), Some(&classes));
    assert!(
        text.contains("there is no IngressClass \"ngnix\""),
        "{text}"
    );
    let text = no_address(Value::Null, Some(&classes));
    assert!(text.contains("no IngressClass is the default"), "{text}");
    let mut default = classes.clone();
    default[0]["metadata"]["annotations"] =
        json!({"ingressclass.kubernetes.io/is-default-class": "true"});
    let text = no_address(Value::Null, Some(&default));
    assert!(text.contains("of class \"nginx\""), "{text}");
    let text = no_address(Value::Null, None);
    assert!(text.contains("marks the default"), "{text}");
}

#[test]
fn an_ingress_that_routes_nothing_is_none() {
    let error = entrance(&ingress(json!({}), served()), None, None).unwrap_err();
    assert!(matches!(error, NoEntrance::NoRule { .. }), "{error}");
}

#[test]
fn the_service_behind_a_path_is_the_one_that_fits_best() {
    let rules = json!([
        rule(
            "a.example",
            &[
                ("/", "Prefix", "root"),
                ("/v1", "Prefix", "v1"),
                ("/v1/models", "Exact", "models"),
                ("/old(/|$)(.*)", "ImplementationSpecific", "old"),
            ],
        ),
        rule("*.example", &[("/v1", "Prefix", "wild")]),
    ]);
    let spec = json!({"rules": rules, "defaultBackend": {
        "service": {"name": "fallback", "port": {"name": "http"}},
    }});
    let object = ingress(spec, served());
    let service = |host: &str, path: &str| {
        let found = backend(&object, Some(host), path);
        found.map(|it| format!("{}:{}", it.service, it.port))
    };
    for (host, path, wanted) in [
        ("a.example", "/", "root:80"),
        ("a.example", "/v1/chat/completions", "v1:80"),
        ("a.example", "/v1", "v1:80"),
        ("a.example", "/v11", "root:80"),
        ("a.example", "/v1/models", "models:80"),
        ("a.example", "/old/x", "old:80"),
        ("b.example", "/v1/models", "wild:80"),
        ("b.example", "/other", "fallback:http"),
        ("elsewhere", "/", "fallback:http"),
    ] {
        assert_eq!(service(host, path).as_deref(), Some(wanted), "{host}{path}");
    }
    assert_eq!(literal("/api(/|$)(.*)"), "/api");
    assert_eq!(literal("/api/.*"), "/api/");
    assert_eq!(literal("/v1.2"), "/v1.2");
}
