//! Generators of workloads and routes: fields in any combination, present, null, empty and of odd
//! shape.

use infer_core::kind::{Kind, KindSet, pod_kind_of};
use infer_core::pointer;
use infer_core::record::{ANNOTATION, LAST_APPLIED, REVIEW};
use infer_core::snapshot::Snapshot;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Member = Option<Value>;

/// One of these, or a value of odd shape, or nothing at all.
fn any_of(values: Vec<Value>) -> BoxedStrategy<Member> {
    let given = prop::sample::select(values).prop_map(Some);
    prop_oneof![
        5 => Just(None),
        10 => given,
        1 => odd().prop_map(Some),
    ]
    .boxed()
}

/// What stands where something else belongs.
fn odd() -> BoxedStrategy<Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("text"),
        json!([]),
        json!([null, "x", {"name": "x"}]),
        json!({}),
        json!({"~": {"/": null}}),
    ])
    .boxed()
}

/// An object of those members that are there.
fn assemble(members: Vec<(&'static str, BoxedStrategy<Member>)>) -> BoxedStrategy<Value> {
    let (names, strategies): (Vec<&str>, Vec<_>) = members.into_iter().unzip();
    strategies
        .prop_map(move |values| {
            let there = names.iter().zip(values);
            let map: Map<String, Value> = there
                .filter_map(|(name, value)| Some(((*name).to_owned(), value?)))
                .collect();
            Value::Object(map)
        })
        .boxed()
}

fn always(values: Vec<Value>) -> BoxedStrategy<Member> {
    prop::sample::select(values).prop_map(Some).boxed()
}

fn probes() -> Vec<Value> {
    vec![
        json!({"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}),
        json!({"httpGet": {"path": "/health", "port": "http"}}),
        json!({"httpGet": {"path": "/", "port": 1}, "timeoutSeconds": 9}),
        json!({"httpGet": "odd", "timeoutSeconds": "odd"}),
        json!({"tcpSocket": {"port": 8080}, "failureThreshold": 600}),
        json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 3}),
        json!({"grpc": {"port": 9}, "timeoutSeconds": null}),
        json!({}),
    ]
}

fn container(name: &'static str) -> BoxedStrategy<Value> {
    let images = [
        "ghcr.io/ggml-org/llama.cpp:server",
        "ghcr.io/ggml-org/llama.cpp:server-cuda",
        "vllm/vllm-openai:v0.33.0",
        "registry:5000/Odd/vllm-openai@sha256:00",
        "nginx",
        "${IMAGE}",
    ];
    assemble(vec![
        ("name", always(vec![json!(name)])),
        (
            "image",
            any_of(images.iter().map(|image| json!(image)).collect()),
        ),
        (
            "command",
            prop_oneof![
                9 => Just(None),
                1 => always(vec![
                    json!(["llama-server", "--port", "80"]),
                    json!(["sh", "-c", "exec vllm serve org/name --port 81"]),
                    json!(["sleep", "1"]),
                    json!([null]),
                ]),
            ]
            .boxed(),
        ),
        (
            "args",
            any_of(vec![
                json!(["-m", "m", "--host", "0.0.0.0", "--port", "8080"]),
                json!(["--model=org/name", "-tp", "2", "--shutdown-timeout", "90"]),
                json!(["--port", "$(PORT)"]),
                json!(["--device", "cpu"]),
                json!([1, true, null]),
            ]),
        ),
        (
            "env",
            any_of(vec![
                json!([{"name": "LLAMA_ARG_PORT", "value": "8080"}]),
                json!([{"name": "PORT", "valueFrom": {}}]),
                json!([{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]),
            ]),
        ),
        (
            "ports",
            any_of(vec![json!([{"containerPort": 8080, "name": "http"}])]),
        ),
        (
            "resources",
            any_of(vec![
                json!({}),
                json!({"limits": null}),
                json!({"limits": {}, "requests": {}}),
                json!({"limits": {"memory": "1Gi"}}),
                json!({"limits": {"nvidia.com/gpu": 1}}),
                json!({"limits": "odd"}),
            ]),
        ),
        ("startupProbe", any_of(probes())),
        ("readinessProbe", any_of(probes())),
        ("livenessProbe", any_of(probes())),
        (
            "lifecycle",
            any_of(vec![
                json!({}),
                json!({"preStop": null}),
                json!({"postStart": {"exec": {"command": ["true"]}}}),
                json!({"preStop": {"sleep": {"seconds": 40}}}),
                json!({"preStop": {"exec": {"command": ["sleep", "90"]}}}),
                json!({"preStop": "odd"}),
            ]),
        ),
        (
            "x~/y",
            any_of(vec![json!({"a/b~c": [{"~1": "/"}], "": null})]),
        ),
    ])
}

fn template() -> BoxedStrategy<Value> {
    let containers = prop_oneof![
        4 => container("server").prop_map(|one| json!([one])),
        2 => (container("proxy"), container("server")).prop_map(|(a, b)| json!([a, b])),
        2 => (container("server"), container("metrics")).prop_map(|(a, b)| json!([a, b])),
        1 => odd(),
    ];
    let sidecar = container("sidecar").prop_map(|mut sidecar| {
        sidecar["restartPolicy"] = json!("Always");
        Some(json!([sidecar]))
    });
    let spec = assemble(vec![
        ("containers", containers.prop_map(Some).boxed()),
        (
            "initContainers",
            prop_oneof![2 => Just(None), 1 => sidecar].boxed(),
        ),
        (
            "terminationGracePeriodSeconds",
            any_of([0, 5, 10, 30, 45, 300, 9999].map(Value::from).to_vec()),
        ),
        ("runtimeClassName", any_of(vec![json!("nvidia")])),
        (
            "tolerations",
            any_of(vec![json!([{"key": "amd.com/gpu", "operator": "Exists"}])]),
        ),
        ("odd~1name/x", any_of(vec![json!({"/": "~"})])),
    ]);
    let metadata = assemble(vec![
        (
            "labels",
            any_of(vec![
                json!({"app": "llama"}),
                json!({"app": "llama", "sidecar.istio.io/inject": "true"}),
                json!({"linkerd.io/inject": "enabled"}),
            ]),
        ),
        (
            "annotations",
            any_of(vec![
                json!({"a/b": "c"}),
                json!({"linkerd.io/inject": "enabled", "x": 1}),
                json!({"proxy.istio.io/config": "{\"terminationDrainDuration\":\"5s\"}"}),
                json!({"proxy.istio.io/config": null}),
            ]),
        ),
    ]);
    let metadata = prop_oneof![6 => metadata, 1 => odd()];
    let parts = (metadata, prop_oneof![12 => spec, 1 => odd()]);
    let whole = parts.prop_map(|(metadata, spec)| json!({"metadata": metadata, "spec": spec}));
    prop_oneof![12 => whole, 1 => odd()].boxed()
}

fn metadata() -> BoxedStrategy<Value> {
    assemble(vec![
        ("name", always(vec![json!("llama")])),
        ("namespace", any_of(vec![json!("models")])),
        ("uid", always(vec![json!("u")])),
        ("labels", any_of(vec![json!({"app": "llama"})])),
        (
            "annotations",
            any_of(vec![
                json!({"note": "x", "a/b~c": "d"}),
                json!({"kubectl-infer.dev/drain-window": "5m",
                    "kubectl-infer.dev/longest-generation": "5m"}),
                json!({"kubectl-infer.dev/drain-window": "1h",
                    "kubectl-infer.dev/startup-budget": 5}),
                json!({"kubectl-infer.dev/skip": "no-readiness-probe, grace-too-short"}),
                json!({ANNOTATION: "{"}),
                json!({ANNOTATION: 5}),
                json!({REVIEW: "now"}),
            ]),
        ),
        (
            "managedFields",
            any_of(vec![
                json!([{"operation": "Update", "fieldsV1": {"f:spec": {}}}]),
            ]),
        ),
    ])
}

/// A workload of any kind, with a cluster around it. Some were applied, by client or server, so that
/// what they hold is known to be written.
pub(crate) fn workload() -> BoxedStrategy<(Snapshot, Value)> {
    let kinds = prop::sample::select(vec![
        ("apps/v1", "Deployment"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("v1", "Pod"),
        ("batch/v1", "Job"),
        ("batch/v1", "CronJob"),
        ("argoproj.io/v1alpha1", "Rollout"),
    ]);
    let known = prop::sample::select(vec![
        KindSet::NONE,
        KindSet::of(&[Kind::Namespace]),
        KindSet::of(&[Kind::Namespace, Kind::Node, Kind::Revision]),
    ]);
    (kinds, metadata(), template(), 0..3, known)
        .prop_map(|((api_version, kind), metadata, template, way, known)| {
            let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
            let place = pod_kind_of(&object).unwrap().template;
            if place.is_empty() {
                object["spec"] = template.get("spec").cloned().unwrap_or_default();
                let labels = template.pointer("/metadata/labels");
                object["metadata"]["labels"] = labels.cloned().unwrap_or_default();
            } else {
                pointer::set(&mut object, place, template);
            }
            match way {
                1 if object.pointer("/metadata/annotations").is_none() => {
                    let text = object.to_string();
                    object["metadata"]["annotations"] = json!({LAST_APPLIED: text});
                }
                2 => {
                    let fields = json!({"f:spec": owned(&object["spec"])});
                    object["metadata"]["managedFields"] = json!([{"operation": "Apply",
                        "manager": "kubectl", "fieldsV1": fields}]);
                }
                _ => {}
            }
            (cluster(known), object)
        })
        .boxed()
}

/// The members of a value in the form of `managedFields`.
fn owned(value: &Value) -> Value {
    let mut fields = Map::new();
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                fields.insert(format!("f:{key}"), owned(value));
            }
        }
        Value::Array(items) => {
            for item in items.iter().filter(|item| item["name"].is_string()) {
                let key = format!("k:{}", json!({"name": item["name"]}));
                let mut members = owned(item);
                members["."] = json!({});
                fields.insert(key, members);
            }
        }
        _ => {}
    }
    Value::Object(fields)
}

/// Takes out of a field set what is no longer there, as the API server does.
fn disown(fields: &mut Value, value: &Value) {
    let Some(fields) = fields.as_object_mut() else {
        return;
    };
    fields.retain(|key, below| {
        let there = match key.split_once(':') {
            Some(("f", name)) => value.get(name),
            Some((_, keys)) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                let items = value.as_array();
                let mut items = items.into_iter().flatten();
                items.find(|item| item.get("name") == keys.get("name"))
            }
            None => return true,
        };
        if let Some(there) = there {
            disown(below, there);
        }
        there.is_some_and(|there| !there.is_null())
    });
}

fn cluster(known: KindSet) -> Snapshot {
    let mut snapshot = Snapshot::new(known);
    if known.contains(Kind::Namespace) {
        snapshot.insert(Arc::new(json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "models", "labels": {"istio-injection": "enabled"}}})));
    }
    if known.contains(Kind::Node) {
        snapshot.insert(Arc::new(
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "status": {"allocatable": {"nvidia.com/gpu": "1"}}}),
        ));
    }
    snapshot
}

/// A route that is fixed.
pub(crate) fn route() -> (Snapshot, Value) {
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "llama", "namespace": "models"},
        "spec": {"ingressClassName": "nginx", "defaultBackend": {"service": {"name": "llama"}}}});
    (routed(Some("k8s.io/ingress-nginx"), true), ingress)
}

/// A cluster in which the Service `llama` leads to a workload.
fn routed(controller: Option<&str>, labelled: bool) -> Snapshot {
    let known = [Kind::Service, Kind::Workload, Kind::IngressClass];
    let mut snapshot = Snapshot::new(KindSet::of(&known));
    let labels = if labelled {
        json!({"app": "llama"})
    } else {
        Value::Null
    };
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "llama", "namespace": "models"},
            "spec": {"selector": {"app": "llama"}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "llama", "namespace": "models"},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [
                {"name": "server", "image": "vllm/vllm-openai:v0.33.0"}]}}}}),
    ];
    if let Some(controller) = controller {
        objects.push(
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "nginx"}, "spec": {"controller": controller}}),
        );
    }
    for object in objects {
        snapshot.insert(Arc::new(object));
    }
    snapshot
}

/// An Ingress, with a cluster around it.
pub(crate) fn ingress() -> BoxedStrategy<(Snapshot, Value)> {
    let annotations = any_of(vec![
        json!({"note": "x", "a/b~c": "d"}),
        json!({"nginx.ingress.kubernetes.io/proxy-body-size": "0"}),
        json!({"nginx.ingress.kubernetes.io/proxy-read-timeout": "30s"}),
        json!({"nginx.ingress.kubernetes.io/proxy-read-timeout": 30}),
        json!({"nginx.org/proxy-read-timeout": "ten minutes"}),
        json!({ANNOTATION: "[]"}),
    ]);
    let spec = assemble(vec![
        ("ingressClassName", any_of(vec![json!("nginx")])),
        (
            "defaultBackend",
            any_of(vec![
                json!({"service": {"name": "llama", "port": {"number": 80}}}),
            ]),
        ),
        (
            "rules",
            any_of(vec![
                json!([{"http": {"paths": [{"backend": {"service": {"name": "llama"}}}]}}]),
                json!([null, {"http": {"paths": "odd"}}, {"host": "x"}]),
            ]),
        ),
        ("x~/y", any_of(vec![json!({"~1": null})])),
    ]);
    let metadata = assemble(vec![
        ("name", always(vec![json!("llama")])),
        ("namespace", any_of(vec![json!("models")])),
        ("annotations", annotations),
    ]);
    let controller = prop::sample::select(vec![
        Some("k8s.io/ingress-nginx"),
        Some("nginx.org/ingress-controller"),
        Some("example.com/other"),
        None,
    ]);
    (
        metadata,
        prop_oneof![9 => spec, 1 => odd()],
        controller,
        any::<bool>(),
    )
        .prop_map(|(metadata, spec, controller, labelled)| {
            let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": metadata, "spec": spec});
            (routed(controller, labelled), object)
        })
        .boxed()
}

/// A change that a person makes to a stored workload.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// Pointer below the template, or of the object where it begins with `/metadata/annotations`.
    path: &'static str,
    /// What stands there from now on; `None` takes it away.
    value: Member,
}

impl Edit {
    /// Makes the change, where the shape allows it; also in what `kubectl apply` noted, as `edit` does.
    pub(crate) fn make(&self, object: &mut Value) {
        let key = pointer::join("/metadata/annotations", LAST_APPLIED);
        let noted = object.pointer(&key).and_then(Value::as_str);
        let noted: Option<Value> = noted.and_then(|text| serde_json::from_str(text).ok());
        self.change(object);
        if let Some(mut noted) = noted.filter(|_| object.pointer(&key).is_some()) {
            self.change(&mut noted);
            pointer::set(object, &key, json!(noted.to_string()));
        }
        let spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = object.pointer_mut("/metadata/managedFields/0/fieldsV1/f:spec") {
            disown(fields, &spec);
        }
    }

    fn change(&self, object: &mut Value) {
        let Some(kind) = pod_kind_of(object) else {
            return;
        };
        let path = if self.path.starts_with("/metadata/annotations") {
            self.path.to_owned()
        } else {
            format!("{}{}", kind.template, self.path)
        };
        match &self.value {
            Some(value) => {
                pointer::set(object, &path, value.clone());
            }
            None => {
                pointer::remove(object, &path, 0);
            }
        }
    }
}

/// A change that a person makes.
pub(crate) fn edit() -> BoxedStrategy<Edit> {
    let places: Vec<(&'static str, Vec<Value>)> = vec![
        (
            "/spec/containers/0/image",
            vec![
                json!("nginx"),
                json!("ghcr.io/ggml-org/llama.cpp:server-cuda"),
            ],
        ),
        (
            "/spec/containers/0/args",
            vec![json!(["--port", "9000"]), json!(["-tp", "4"]), json!([])],
        ),
        ("/spec/containers/0/readinessProbe", probes()),
        ("/spec/containers/0/startupProbe", probes()),
        ("/spec/containers/0/livenessProbe", probes()),
        (
            "/spec/containers/0/readinessProbe/tcpSocket",
            vec![json!({"port": 1})],
        ),
        (
            "/spec/containers/0/readinessProbe/timeoutSeconds",
            vec![json!(1), json!(7)],
        ),
        (
            "/spec/containers/0/lifecycle/preStop",
            vec![json!({"exec": {"command": ["sleep", "5"]}}), Value::Null],
        ),
        (
            "/spec/containers/0/lifecycle/preStop/exec",
            vec![json!({"command": ["true"]})],
        ),
        ("/spec/containers/0/lifecycle", vec![Value::Null, json!({})]),
        (
            "/spec/containers/0/resources/limits",
            vec![json!({"nvidia.com/gpu": "2"}), Value::Null],
        ),
        (
            "/spec/terminationGracePeriodSeconds",
            vec![json!(10), json!(30), json!(400)],
        ),
        (
            "/spec/containers",
            vec![
                json!([{"name": "new", "image": "nginx"},
                    {"name": "server", "image": "vllm/vllm-openai:v0.33.0"}]),
                json!("odd"),
            ],
        ),
        ("/spec", vec![json!([]), json!({})]),
        ("/metadata/labels", vec![json!({"app": "other"})]),
        (
            "/metadata/annotations/kubectl-infer.dev~1record",
            vec![json!("{")],
        ),
        (
            "/metadata/annotations/kubectl-infer.dev~1review",
            vec![json!("again")],
        ),
        (
            "/metadata/annotations/kubectl-infer.dev~1drain-window",
            vec![json!("2m")],
        ),
        ("/metadata/annotations", vec![json!({}), Value::Null]),
    ];
    let one = |(path, values): (&'static str, Vec<Value>)| {
        let value = prop_oneof![
            4 => prop::sample::select(values).prop_map(Some),
            2 => Just(None),
        ];
        value.prop_map(move |value| Edit { path, value })
    };
    prop::sample::select(places).prop_flat_map(one).boxed()
}
