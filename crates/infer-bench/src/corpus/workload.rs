//! Deployments: what a person writes, and what an API server makes of it before admission.

use infer_simulate::dice::Dice;
use serde_json::{Map, Value, json};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Where a Deployment's only container is.
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// A Deployment as a person wrote it.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    /// Its name, and that of its Service and its label.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
    uid: String,
    metadata: Value,
    spec: Value,
}

impl Deployment {
    /// The `number`th model server of a cluster.
    pub(super) fn new(number: usize, namespace: &str, dice: &mut Dice) -> Deployment {
        let team = dice.pick(&["chat", "search", "summaries", "code", "speech", "triage"]);
        let name = format!("{team}-{}-{number}", dice.hex(4));
        let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": team,
            "app.kubernetes.io/managed-by": "delivery", "cost-centre": dice.below(9000).to_string()});
        let spec = json!({
            "replicas": 1 + dice.below(8),
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {
                "metadata": {"labels": labels, "annotations": {
                    "prometheus.io/scrape": "true", "checksum/config": dice.hex(16)}},
                "spec": {
                    "serviceAccountName": name,
                    "nodeSelector": {"pool": dice.pick(&["gpu-a", "gpu-b", "gpu-c"])},
                    "containers": [server(dice)],
                    "volumes": [
                        {"name": "models", "persistentVolumeClaim": {"claimName": format!("models-{team}")}},
                        {"name": "cache", "emptyDir": {"sizeLimit": format!("{}Gi", 1 + dice.below(40))}},
                    ],
                },
            },
        });
        Deployment {
            metadata: json!({"name": name, "namespace": namespace, "labels": labels,
                "annotations": {"delivery.example.com/run": dice.uid()}}),
            uid: dice.uid(),
            name,
            namespace: namespace.to_owned(),
            spec,
        }
    }

    /// The same with a program that is no model server.
    pub(super) fn of_something_else(mut self, dice: &mut Dice) -> Deployment {
        let image = format!("registry.example.com/shop/{}:{}", self.name, dice.hex(8));
        if let Some(container) = self.spec.pointer_mut("/template/spec/containers/0") {
            container["image"] = json!(image);
            container["args"] = json!(["serve", "--listen=0.0.0.0:8080", "--log=json"]);
            if let Some(limits) = container.pointer_mut("/resources/limits") {
                *limits = json!({"cpu": "2", "memory": "2Gi"});
            }
        }
        self
    }

    /// As it is when admission sees its creation.
    pub(super) fn object(&self) -> Value {
        as_created(
            "apps/v1",
            "Deployment",
            self.metadata.clone(),
            self.spec.clone(),
            fill_defaults,
            &self.uid,
        )
    }

    /// `kubectl apply` of this with a new image and arguments, over what is stored.
    pub(super) fn changed(&self, old: &Value, dice: &mut Dice) -> Value {
        let mut spec = self.spec.clone();
        let mut new = old.clone();
        let Some(container) = spec.pointer_mut("/template/spec/containers/0") else {
            return new;
        };
        let image = container["image"].as_str().unwrap_or_default();
        container["image"] = json!(format!("{image}-{}", dice.hex(6)));
        if let Some(args) = container["args"].as_array_mut() {
            args.push(json!("--log-verbosity"));
            args.push(json!(dice.below(4).to_string()));
        }
        if let Some(target) = new.pointer_mut(CONTAINER) {
            target["image"] = container["image"].clone();
            target["args"] = container["args"].clone();
        }
        let applied = written("apps/v1", "Deployment", &self.metadata, &spec);
        new["metadata"]["annotations"][LAST_APPLIED] = json!(applied);
        new["metadata"]["generation"] = json!(2);
        new
    }

    /// `kubectl scale` of what is stored.
    pub(super) fn scaled(old: &Value) -> Value {
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(new["spec"]["replicas"].as_u64().unwrap_or_default() + 1);
        new
    }
}

/// A container that serves a model; people write some of what it needs.
fn server(dice: &mut Dice) -> Value {
    let port = 8000 + dice.below(400);
    let model = format!("/models/{}.gguf", dice.hex(12));
    let gpus = 1 + dice.below(4);
    let is_vllm = dice.in_percent(50);
    let (image, args) = if is_vllm {
        (
            format!(
                "vllm/vllm-openai:v0.{}.{}",
                8 + dice.below(12),
                dice.below(4)
            ),
            json!([
                "--model",
                format!("org/{}", dice.hex(10)),
                "--port",
                port.to_string(),
                "--tensor-parallel-size",
                gpus.to_string(),
                "--max-model-len",
                "16384",
                "--gpu-memory-utilization",
                "0.92",
                "--served-model-name",
                "default"
            ]),
        )
    } else {
        (
            format!(
                "ghcr.io/ggml-org/llama.cpp:server-cuda-b{}",
                5000 + dice.below(2000)
            ),
            json!([
                "-m",
                model,
                "--host",
                "0.0.0.0",
                "--port",
                port.to_string(),
                "-ngl",
                "99",
                "--ctx-size",
                "16384",
                "--parallel",
                (1 + dice.below(8)).to_string(),
                "--metrics"
            ]),
        )
    };
    let environment = [
        json!({"name": "HF_HOME", "value": "/cache/hf"}),
        json!({"name": "OTEL_SERVICE_NAME", "value": format!("llm-{}", dice.hex(6))}),
        json!({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}),
    ];
    let mut resources = json!({"requests": {"cpu": dice.pick(&["2", "4", "8"]), "memory": "32Gi"},
        "limits": {"memory": "64Gi"}});
    if dice.in_percent(60) {
        resources["limits"]["nvidia.com/gpu"] = json!(gpus.to_string());
    }
    let mut container = json!({
        "name": "server",
        "image": image,
        "args": args,
        "ports": [{"name": "http", "containerPort": port}],
        "env": environment,
        "resources": resources,
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": true},
            {"name": "cache", "mountPath": "/cache"}],
    });
    let probe = |period: u64| json!({"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": period});
    if dice.in_percent(50) {
        container["readinessProbe"] = probe(5 + dice.below(10));
    }
    if dice.in_percent(40) {
        container["livenessProbe"] = probe(10 + dice.below(20));
    }
    if dice.in_percent(20) {
        container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5 + dice.below(20)}}});
    }
    container
}

/// What `kubectl apply` keeps of a file.
fn written(api_version: &str, kind: &str, metadata: &Value, spec: &Value) -> String {
    let object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
    format!("{object}\n")
}

/// An object of `kubectl apply` when admission sees it for the first time.
pub(super) fn as_created(
    api_version: &str,
    kind: &str,
    mut metadata: Value,
    mut spec: Value,
    defaults: impl FnOnce(&mut Value),
    uid: &str,
) -> Value {
    let applied = written(api_version, kind, &metadata, &spec);
    let owned = json!({"f:metadata": fields(&metadata), "f:spec": fields(&spec)});
    metadata["annotations"][LAST_APPLIED] = json!(applied);
    metadata["managedFields"] = json!([{"manager": "kubectl-client-side-apply",
        "operation": "Update", "apiVersion": api_version, "time": "2026-11-02T09:12:44Z",
        "fieldsType": "FieldsV1", "fieldsV1": owned}]);
    metadata["creationTimestamp"] = json!("2026-11-02T09:12:44Z");
    metadata["uid"] = json!(uid);
    metadata["generation"] = json!(1);
    defaults(&mut spec);
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec,
        "status": {}})
}

/// The set of fields that an object holds, as `managedFields` writes it.
fn fields(value: &Value) -> Value {
    let mut set = Map::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                set.insert(format!("f:{name}"), fields(member));
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some(name) = item.get("name").and_then(Value::as_str) {
                    let mut inner = fields(item);
                    inner["."] = json!({});
                    set.insert(format!("k:{}", json!({ "name": name })), inner);
                }
            }
        }
        _ => {}
    }
    Value::Object(set)
}

/// The API's defaults of a Deployment's spec.
fn fill_defaults(spec: &mut Value) {
    put(
        spec,
        &json!({"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
        "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}),
    );
    if let Some(pod) = spec.pointer_mut("/template/spec") {
        put(
            pod,
            &json!({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {},
            "terminationGracePeriodSeconds": 30}),
        );
    }
    let Some(container) = spec.pointer_mut("/template/spec/containers/0") else {
        return;
    };
    put(
        container,
        &json!({"imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}),
    );
    if let Some(port) = container.pointer_mut("/ports/0") {
        put(port, &json!({"protocol": "TCP"}));
    }
    for name in ["readinessProbe", "livenessProbe"] {
        if let Some(probe) = container.get_mut(name) {
            put(
                probe,
                &json!({"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}),
            );
            if let Some(request) = probe.get_mut("httpGet") {
                put(request, &json!({"scheme": "HTTP"}));
            }
        }
    }
}

/// Adds members that are not there.
fn put(object: &mut Value, defaults: &Value) {
    let (Some(object), Some(defaults)) = (object.as_object_mut(), defaults.as_object()) else {
        return;
    };
    for (name, value) in defaults {
        object.entry(name.clone()).or_insert_with(|| value.clone());
    }
}
