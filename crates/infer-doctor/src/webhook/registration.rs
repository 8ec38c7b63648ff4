//! A registration of our webhook, and what can be read from it and from the Deployment behind it.

use crate::facts::WebhookFacts;
use crate::selector::{labels, takes};
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::{Value, json};

/// The entries of ours (manifests/base/registration.yaml).
const OURS: &str = ".kubectl-infer.dev";
/// The port of a Service where an entry names none (admissionregistration/v1 `ServiceReference`).
const PORT: u64 = 443;

/// An entry of a MutatingWebhookConfiguration that calls our webhook.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The configuration's name.
    pub name: String,
    /// The entry, as it is stored.
    pub entry: Value,
    /// Namespace, name and port of the Service that is called; none where it is a URL.
    pub service: Option<(String, String, u64)>,
}

/// The registrations of our webhook: entries whose names end with `.kubectl-infer.dev`.
pub fn registrations(configurations: &[Value]) -> Vec<Registration> {
    let mut found = Vec::new();
    for configuration in configurations {
        let entries = configuration.at("/webhooks").and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            let name = entry
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !name.ends_with(OURS) {
                continue;
            }
            let service = entry.at("/clientConfig/service").map(|service| {
                let text = |member: &str| {
                    let text = service.get(member).and_then(Value::as_str);
                    text.unwrap_or_default().to_owned()
                };
                let port = service.get("port").and_then(Value::as_u64);
                (text("namespace"), text("name"), port.unwrap_or(PORT))
            });
            found.push(Registration {
                name: object::name(configuration).to_owned(),
                entry: entry.clone(),
                service,
            });
        }
    }
    found
}

impl Registration {
    /// As kubectl takes it.
    pub(crate) fn title(&self) -> String {
        format!("mutatingwebhookconfiguration/{}", self.name)
    }

    /// The name of its entry.
    pub(crate) fn entry_name(&self) -> &str {
        let name = self.entry.get("name").and_then(Value::as_str);
        name.unwrap_or_default()
    }

    /// What the API server calls, for messages.
    pub(crate) fn address(&self) -> String {
        match &self.service {
            Some((namespace, name, port)) => format!("service {namespace}/{name}, port {port}"),
            None => {
                let url = self.entry.at("/clientConfig/url").and_then(Value::as_str);
                url.unwrap_or("nobody").to_owned()
            }
        }
    }

    /// Its `caBundle`, base64; empty where there is none.
    pub fn bundle(&self) -> &str {
        let bundle = self.entry.at("/clientConfig/caBundle");
        bundle.and_then(Value::as_str).unwrap_or_default()
    }

    /// The namespaces that its selector takes, of these.
    pub fn enforced<'a>(&self, namespaces: &'a [Value]) -> Vec<&'a str> {
        let selector = self.entry.get("namespaceSelector");
        let in_scope = |it: &&Value| takes(selector, labels(it));
        namespaces
            .iter()
            .filter(in_scope)
            .map(object::name)
            .collect()
    }

    /// The labels that put a namespace in scope, as `kubectl label` takes them.
    pub(crate) fn scope_label(&self) -> String {
        let selector = self.entry.get("namespaceSelector");
        let pairs = selector.and_then(|it| it.get("matchLabels")?.as_object());
        let pairs = pairs
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
        let expressions = selector.and_then(|it| it.get("matchExpressions")?.as_array());
        let wanted = expressions.into_iter().flatten().filter_map(|it| {
            let is_in = it.get("operator")?.as_str()? == "In";
            let value = it.at("/values/0")?.as_str()?;
            is_in.then_some(format!("{}={value}", it.get("key")?.as_str()?))
        });
        pairs.chain(wanted).collect::<Vec<_>>().join(" ")
    }

    /// The workload behind the Service: the one whose pods it selects.
    pub(crate) fn workload<'a>(
        &self,
        workloads: &'a [Value],
        service: Option<&Value>,
    ) -> Option<&'a Value> {
        let (namespace, _, _) = self.service.as_ref()?;
        let selector = service?.at("/spec/selector")?;
        workloads.iter().find(|it| {
            object::namespace(it) == namespace
                && object::selects(selector, it.at("/spec/template/metadata/labels"))
        })
    }

    fn behind<'a>(&self, workloads: &'a [Value], more: &WebhookFacts) -> Option<&'a Value> {
        let service = more.service.as_ref().ok().and_then(Option::as_ref);
        self.workload(workloads, service)
    }

    /// The container of the webhook, in its workload.
    pub(crate) fn container<'a>(
        &self,
        workloads: &'a [Value],
        more: &WebhookFacts,
    ) -> Option<&'a Value> {
        container(self.behind(workloads, more)?)
    }

    /// Whether the webhook keeps an authority of its own.
    pub(crate) fn makes_own_certificates(&self, workloads: &[Value], more: &WebhookFacts) -> bool {
        let container = self.container(workloads, more);
        container.is_some_and(|it| flag(it, "--certificate-secret").is_some())
    }

    /// The command that shows what the webhook says.
    pub(crate) fn logs_command(&self, workloads: &[Value], more: &WebhookFacts) -> String {
        match self.behind(workloads, more) {
            Some(workload) => format!(
                "kubectl -n {} logs {}",
                object::namespace(workload),
                crate::installed::short(workload)
            ),
            None => format!("kubectl get {} -o yaml", self.title()),
        }
    }

    /// The command that shows its pods.
    pub(crate) fn pods_command(&self, workloads: &[Value], more: &WebhookFacts) -> String {
        match (self.behind(workloads, more), &self.service) {
            (Some(object), _) => crate::installed::Installed { object, image: "" }.pods_command(),
            (None, Some((namespace, _, _))) => format!("kubectl -n {namespace} get pods"),
            (None, None) => format!("kubectl get {} -o yaml", self.title()),
        }
    }
}

/// The container whose image or arguments are the webhook's.
fn container(workload: &Value) -> Option<&Value> {
    let containers = workload.at("/spec/template/spec/containers")?.as_array()?;
    let is_ours = |it: &&Value| {
        let image = it.get("image").and_then(Value::as_str).unwrap_or_default();
        crate::installed::is_image(&["infer-webhook"], image)
    };
    containers.iter().find(is_ours).or(containers.first())
}

/// The value of a flag in a container's command line: `--flag=value`, `--flag value`.
pub(super) fn flag(container: &Value, name: &str) -> Option<String> {
    let words = ["command", "args"]
        .into_iter()
        .filter_map(|member| container.get(member)?.as_array())
        .flatten()
        .filter_map(Value::as_str);
    let words: Vec<&str> = words.collect();
    words.iter().enumerate().find_map(|(index, word)| {
        let rest = word.strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => words.get(index + 1).map(|value| (*value).to_owned()),
            None => None,
        }
    })
}

/// Where a webhook's policy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// Nobody knows: its workload is not seen.
    Unknown,
    /// The built-in baseline.
    Baseline,
    /// A file that is no key of a ConfigMap.
    File(String),
    /// A key of a ConfigMap.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
}

/// Where the policy of a registration's webhook comes from: its `--policy` flag, and the volume
/// that holds the file.
pub fn policy_source(
    registration: &Registration,
    service: Option<&Value>,
    workloads: &[Value],
) -> PolicySource {
    let Some(workload) = registration.workload(workloads, service) else {
        return PolicySource::Unknown;
    };
    let Some(container) = container(workload) else {
        return PolicySource::Unknown;
    };
    let Some(file) = flag(container, "--policy") else {
        return PolicySource::Baseline;
    };
    match key_of(workload, container, &file) {
        Some((name, key)) => PolicySource::ConfigMap {
            namespace: object::namespace(workload).to_owned(),
            name,
            key,
        },
        None => PolicySource::File(file),
    }
}

/// The ConfigMap and its key that a file of the container shows.
fn key_of(workload: &Value, container: &Value, file: &str) -> Option<(String, String)> {
    let text = |value: &Value, member: &str| {
        let text = value.get(member).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let mounts = container.get("volumeMounts")?.as_array()?;
    let inside = |mount: &Value| {
        let path = text(mount, "mountPath");
        let rest = file.strip_prefix(path.trim_end_matches('/'))?.to_owned();
        (rest.is_empty() || rest.starts_with('/'))
            .then(|| (path.len(), rest.trim_start_matches('/').to_owned()))
    };
    let (_, mount, inner) = mounts
        .iter()
        .filter_map(|mount| inside(mount).map(|(length, rest)| (length, mount, rest)))
        .max_by_key(|(length, _, _)| *length)?;
    let volumes = workload.at("/spec/template/spec/volumes")?.as_array()?;
    let volume = volumes
        .iter()
        .find(|it| text(it, "name") == text(mount, "name"))?;
    let map = volume.get("configMap")?;
    let path = match (text(mount, "subPath"), inner) {
        (sub, rest) if rest.is_empty() => sub,
        (sub, rest) if sub.is_empty() => rest,
        (sub, rest) => format!("{sub}/{rest}"),
    };
    let items = map.get("items").and_then(Value::as_array);
    let named = items
        .into_iter()
        .flatten()
        .find(|item| text(item, "path") == path)
        .map(|item| text(item, "key"));
    Some((text(map, "name"), named.unwrap_or(path)))
}

/// An inference workload that lacks what the webhook fills in, for a dry run. It wants no pod.
pub fn rehearsal(namespace: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": "kubectl-infer-doctor"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"generateName": "kubectl-infer-doctor-", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "server",
                    "image": "ghcr.io/ggml-org/llama.cpp:server",
                    "args": ["--host", "0.0.0.0", "--port", "8080", "-m", "/model.gguf"],
                    "ports": [{"containerPort": 8080}],
                    "resources": {
                        "requests": {"cpu": "1m", "memory": "1Mi"},
                        "limits": {"cpu": "1m", "memory": "1Mi"},
                    },
                }]},
            },
        },
    })
}
