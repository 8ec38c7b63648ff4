//! How much is asked for a route, and what becomes of what is refused.

use super::*;
use crate::fake::{self, Asked, Record, Reply, run, status};
use serde_json::json;

/// The objects that a small API server holds, by the path of their list.
#[derive(Clone, Debug, Default)]
struct Held {
    lists: Vec<(&'static str, Vec<Value>)>,
    /// Lists and objects below these are refused.
    forbidden: Vec<&'static str>,
    /// Groups that are not served.
    unserved: Vec<&'static str>,
    /// No answer comes for these.
    silent: Vec<&'static str>,
}

impl Held {
    fn answer(&self, asked: &Asked) -> Reply {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let path = path.strip_prefix("http://fake").unwrap_or(path);
        let is_in = |list: &[&str]| list.iter().any(|it| path.contains(it));
        if is_in(&self.silent) {
            return Reply::Never;
        }
        if is_in(&self.unserved) {
            let message = "the server could not find the requested resource";
            return status(404, "NotFound", message, "");
        }
        if is_in(&self.forbidden) {
            let plural = path.rsplit('/').next().unwrap_or_default();
            let message = format!(
                "{plural} is forbidden: User \"u\" cannot list resource \"{plural}\" in API group \
                 \"\" in the namespace \"default\""
            );
            return status(403, "Forbidden", &message, "");
        }
        if let Some((_, items)) = self.lists.iter().find(|(list, _)| path.ends_with(list)) {
            let wanted = query
                .split('&')
                .find_map(|it| it.strip_prefix("labelSelector="));
            let takes = |item: &&Value| wanted.is_none_or(|wanted| takes(wanted, item));
            let items: Vec<Value> = items.iter().filter(takes).cloned().collect();
            return fake::list("1", &items);
        }
        let (list, name) = path.rsplit_once('/').unwrap_or_default();
        let of_list = self.lists.iter().find(|(known, _)| list.ends_with(known));
        let found = of_list.and_then(|(_, items)| items.iter().find(|it| object::name(it) == name));
        match found {
            Some(found) => Reply::Json(200, found.clone()),
            None if of_list.is_some() => status(404, "NotFound", "not found", name),
            None => fake::list("1", &[]),
        }
    }

    fn gather(self, what: What, name: &str) -> (Result<Gathered, RequestError>, Record) {
        let (cluster, record) = fake::cluster(move |asked| self.answer(asked));
        let name = name.to_owned();
        let gathered = run(async move { gather(&cluster, what, &name).await });
        (gathered, record)
    }
}

/// Enough of a label selector for these tests: the values that it names.
fn takes(selector: &str, item: &Value) -> bool {
    let labels = item.pointer("/metadata/labels").and_then(Value::as_object);
    let mut labels = labels.into_iter().flatten();
    labels.any(|(_, value)| value.as_str().is_some_and(|value| selector.contains(value)))
}

fn meta(name: &str, labels: &Value) -> Value {
    json!({"name": name, "namespace": "default", "labels": labels})
}

fn ingress(name: &str, service: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta(name, &json!({})),
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [{"path": "/",
            "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]}})
}

fn pod(index: usize) -> Value {
    let mut metadata = meta(
        &format!("llama-6d9f-{index}"),
        &json!({"app": "llama", "pod-template-hash": "6d9f"}),
    );
    metadata["ownerReferences"] =
        json!([{"kind": "ReplicaSet", "name": "llama-6d9f", "controller": true}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": meta(name, &json!({})),
        "spec": {"selector": {"app": "llama"}}})
}

/// A route by Ingress, HTTPRoute and VirtualService to one Deployment.
fn route() -> Held {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": meta("llama", &json!({})),
        "spec": {"selector": {"matchLabels": {"app": "llama"}},
            "template": {"metadata": {"labels": {"app": "llama"}}}}});
    let http_route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": meta("route", &json!({})),
        "spec": {"parentRefs": [{"name": "gateway", "namespace": "infra"}],
            "rules": [{"backendRefs": [{"name": "back"}]}]}});
    let virtual_service = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": meta("split", &json!({})),
        "spec": {"gateways": ["infra/mesh"], "http": [{"route": [{"destination": {"host": "back"}}]}]}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": meta("back-1", &json!({"kubernetes.io/service-name": "back"}))});
    let gateway = |version: &str, name: &str| {
        json!({"apiVersion": version, "kind": "Gateway",
        "metadata": {"name": name, "namespace": "infra"}})
    };
    Held {
        lists: vec![
            (
                "/v1/namespaces/default/services",
                vec![service("back"), service("other")],
            ),
            (
                "/namespaces/default/ingresses",
                vec![ingress("front", "back")],
            ),
            ("/namespaces/default/httproutes", vec![http_route]),
            ("/namespaces/default/virtualservices", vec![virtual_service]),
            ("/namespaces/default/destinationrules", Vec::new()),
            ("/namespaces/default/endpointslices", vec![slice]),
            ("/namespaces/default/pods", (0..3).map(pod).collect()),
            ("/namespaces/default/deployments", vec![deployment]),
            ("/namespaces/default/statefulsets", Vec::new()),
            (
                "gateway.networking.k8s.io/v1/namespaces/infra/gateways",
                vec![gateway("gateway.networking.k8s.io/v1", "gateway")],
            ),
            (
                "networking.istio.io/v1/namespaces/infra/gateways",
                vec![gateway("networking.istio.io/v1", "mesh")],
            ),
            ("/ingressclasses", Vec::new()),
            ("/gatewayclasses", Vec::new()),
            (
                "/v1/namespaces",
                vec![
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}),
                ],
            ),
        ],
        ..Held::default()
    }
}

const SUBJECTS: [(What, &str); 6] = [
    (What::Ingress, "front"),
    (What::HttpRoute, "route"),
    (What::VirtualService, "split"),
    (What::Service, "back"),
    (What::Deployment, "llama"),
    (What::Pod, "llama-6d9f-0"),
];

#[test]
fn a_route_takes_twelve_scoped_calls_at_most() {
    for (what, name) in SUBJECTS {
        let (gathered, record) = route().gather(what, name);
        let gathered = gathered.unwrap_or_else(|error| panic!("{what}: {error}"));
        let asked = record.lock().unwrap();
        assert!(asked.len() <= MOST_CALLS, "{what}: {}", asked.len());
        assert_eq!(gathered.calls, asked.len(), "{what}: every call is counted");
        for it in asked.iter() {
            let scoped = it.path.contains("/namespaces/default")
                || it.path.contains("/namespaces/infra/")
                || it.path.contains("classes");
            assert!(scoped, "{what}: {}", it.path);
            let selected = it.path.contains("labelSelector=") || it.path.contains("/pods/");
            assert!(
                !it.path.contains("/pods") || selected,
                "{what}: pods without a selector: {}",
                it.path
            );
        }
    }
}

#[test]
fn what_is_gathered_is_the_route_and_no_more() {
    let (gathered, _) = route().gather(What::Ingress, "front");
    let gathered = gathered.unwrap();
    assert!(gathered.gaps.is_empty(), "{:?}", gathered.gaps);
    let other = gathered.objects.iter().any(|it| object::name(it) == "mesh");
    assert!(
        !other,
        "what stands in front of another entry is not asked for"
    );
    let has = |kind: &str, name: &str| {
        let mut all = gathered.objects.iter();
        all.any(|it| it["kind"] == kind && object::name(it) == name)
    };
    for (kind, name) in [
        ("Ingress", "front"),
        ("Service", "back"),
        ("EndpointSlice", "back-1"),
        ("Pod", "llama-6d9f-2"),
        ("Deployment", "llama"),
        ("Namespace", "default"),
    ] {
        assert!(has(kind, name), "{kind}/{name}");
    }
    for kind in [
        Kind::Workload,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::IngressClass,
    ] {
        assert!(gathered.known.contains(kind), "{kind:?}");
    }
}

#[test]
fn what_rbac_hides_is_a_gap_and_the_rest_is_read() {
    let held = Held {
        forbidden: vec!["/pods", "/endpointslices", "/ingressclasses"],
        ..route()
    };
    let (gathered, record) = held.gather(What::Ingress, "front");
    let gathered = gathered.unwrap();
    let gaps: Vec<(&str, Missing)> = gathered
        .gaps
        .iter()
        .map(|it| (it.right.resource.as_str(), it.why))
        .collect();
    assert_eq!(gaps.len(), 3, "{gaps:?}");
    assert!(gaps.contains(&("pods", Missing::Forbidden)), "{gaps:?}");
    assert!(!gathered.known.contains(Kind::EndpointSlice));
    assert!(!gathered.known.contains(Kind::IngressClass));
    // Without pods the workloads of the namespace tell what runs there.
    let has = |kind: &str| gathered.objects.iter().any(|it| it["kind"] == kind);
    assert!(has("Deployment") && has("Service"));
    assert!(record.lock().unwrap().len() <= MOST_CALLS);
}

#[test]
fn a_list_that_is_refused_leaves_the_subject_by_its_name() {
    let held = Held {
        unserved: vec!["gateway.networking.k8s.io", "networking.istio.io"],
        ..route()
    };
    let (gathered, _) = held.clone().gather(What::Ingress, "front");
    let gathered = gathered.unwrap();
    let not_served = |it: &&Gap| it.why == Missing::NotServed;
    assert_eq!(gathered.gaps.iter().filter(not_served).count(), 3);
    let known = gathered.known.contains(Kind::VirtualService);
    assert!(known, "there is none, for certain");
    // The subject's own kind is not served: there is nothing to say.
    let (failed, _) = held.gather(What::HttpRoute, "route");
    assert!(matches!(failed, Err(RequestError::NotServed { .. })));
}

#[test]
fn a_subject_that_is_not_there_is_an_error_with_what_is_near() {
    let (failed, _) = route().gather(What::Ingress, "frnt");
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("did you mean front?"), "{error}");
}

#[test]
fn what_does_not_answer_is_a_gap_within_its_deadline() {
    let held = Held {
        silent: vec!["/endpointslices"],
        ..route()
    };
    let begun = std::time::Instant::now();
    let (gathered, _) = held.gather(What::Service, "back");
    let gathered = gathered.unwrap();
    assert!(begun.elapsed() < 10 * fake::TIMEOUT);
    let late = gathered.gaps.iter().find(|it| it.why == Missing::TimedOut);
    assert_eq!(late.unwrap().right.resource, "endpointslices");
}

#[test]
fn a_namespace_too_full_to_read_is_a_gap_and_not_more_calls() {
    let mut held = route();
    for (path, items) in &mut held.lists {
        if path.ends_with("/pods") {
            // Each of a Deployment of its own.
            *items = (0..40)
                .map(|index| {
                    let mut pod = pod(index);
                    let name = format!("llama{index}-6d9f");
                    pod["metadata"]["ownerReferences"][0]["name"] = json!(name);
                    pod
                })
                .collect();
        }
    }
    let (gathered, record) = held.gather(What::Service, "back");
    assert!(gathered.is_ok());
    assert!(record.lock().unwrap().len() <= MOST_CALLS);
}
