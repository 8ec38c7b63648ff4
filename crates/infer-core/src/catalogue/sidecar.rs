//! The schema of a mesh's sidecar: how it is declared, and how it is told to wait.

use super::Timer;
use crate::object;
use serde::Deserialize;
use serde_json::Value;

/// A proxy that a mesh puts beside the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sidecar {
    /// Name; also the file's name.
    pub name: String,
    /// What messages call it.
    pub title: String,
    /// Where the facts were read.
    pub sources: Vec<String>,
    /// Marks on the pod template that ask for it.
    pub pod_declares: Vec<Mark>,
    /// Marks on the pod template that refuse it.
    pub pod_refuses: Vec<Mark>,
    /// Marks on the Namespace that ask for it.
    pub namespace_declares: Vec<Mark>,
    /// Marks on the Namespace that refuse it.
    pub namespace_refuses: Vec<Mark>,
    /// First words of a Service port's name, and values of its `appProtocol`, from which it takes
    /// the protocol; empty where it does not look at them.
    #[serde(default)]
    pub port_protocols: Vec<String>,
    /// Marks on one Namespace that contradict each other.
    #[serde(default)]
    pub namespace_conflicts: Vec<Conflict>,
    /// Marks on one pod template that contradict each other.
    #[serde(default)]
    pub pod_conflicts: Vec<Conflict>,
    /// Marks on the pod template that make it a native sidecar, which ends after the server.
    pub native: Vec<Mark>,
    /// How long it waits after SIGTERM where nothing is said, in seconds.
    pub default_seconds: u32,
    /// The annotation of the pod template that makes it wait.
    pub annotation: String,
    /// Its value; `{seconds}` is filled in.
    pub value: String,
    /// The setting inside a person's own annotation that does the same, if it has settings.
    pub setting: Option<String>,
    /// Its timers, on the way from a client to the server beside it.
    #[serde(default)]
    pub timers: Vec<Timer>,
}

/// Marks that contradict each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conflict {
    /// The marks.
    pub marks: Vec<Mark>,
    /// What happens where an object carries all of them, in words.
    pub effect: String,
}

impl Conflict {
    /// Whether an object carries all of its marks.
    pub fn on(&self, object: &Value) -> bool {
        self.marks.iter().all(|mark| mark.on(object))
    }
}

/// A label or annotation, with the values that count; none listed means any.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mark {
    /// Its key.
    pub key: String,
    /// The values that count.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Mark {
    /// Whether an object carries it.
    pub fn on(&self, object: &Value) -> bool {
        let counts = |value: &str| self.values.is_empty() || self.values.iter().any(|v| v == value);
        object::label(object, &self.key).is_some_and(counts)
            || object::annotation(object, &self.key).is_some_and(counts)
    }
}

/// Where a sidecar is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// On the pod template.
    Pod,
    /// On its Namespace.
    Namespace,
}

impl Sidecar {
    /// Whether this sidecar is declared for a pod template, and would go before the server.
    pub fn declared(&self, template: &Value, namespace: Option<&Value>) -> Option<Declared> {
        let any = |marks: &[Mark], object: &Value| marks.iter().any(|mark| mark.on(object));
        if any(&self.native, template) || any(&self.pod_refuses, template) {
            return None;
        }
        if any(&self.pod_declares, template) {
            return Some(Declared::Pod);
        }
        let namespace = namespace?;
        (any(&self.namespace_declares, namespace) && !any(&self.namespace_refuses, namespace))
            .then_some(Declared::Namespace)
    }

    /// Whether a Namespace asks for it.
    pub fn declared_by_namespace(&self, namespace: &Value) -> bool {
        let any = |marks: &[Mark]| marks.iter().any(|mark| mark.on(namespace));
        any(&self.namespace_declares) && !any(&self.namespace_refuses)
    }

    /// Whether it is put beside the server of a pod template, however it ends.
    pub fn is_beside(&self, template: &Value, namespace: Option<&Value>) -> bool {
        let any = |marks: &[Mark]| marks.iter().any(|mark| mark.on(template));
        !any(&self.pod_refuses)
            && (any(&self.pod_declares)
                || namespace.is_some_and(|namespace| self.declared_by_namespace(namespace)))
    }

    /// The protocol that it reads from a Service's port; `None` where it has to guess.
    pub fn protocol_of<'v>(&self, port: &'v Value) -> Option<&'v str> {
        let text = |member: &str| port.get(member).and_then(Value::as_str);
        let known = |word: &&str| {
            self.port_protocols
                .iter()
                .any(|it| it.eq_ignore_ascii_case(word))
        };
        match text("appProtocol") {
            // Kubernetes' own names (KEP-3726).
            Some("kubernetes.io/h2c") => Some("http2"),
            Some("kubernetes.io/ws") => Some("http"),
            Some("kubernetes.io/wss") => Some("https"),
            Some(protocol) => Some(first_word(protocol)).filter(known),
            None => text("name").map(first_word).filter(known),
        }
    }

    /// The annotation's value that makes it wait so many seconds.
    pub fn wait(&self, seconds: u32) -> String {
        self.value.replace("{seconds}", &seconds.to_string())
    }

    /// How many seconds a person's own annotation makes it wait; `None` where it does not say.
    pub fn waits(&self, value: &str) -> Option<u64> {
        let Some(setting) = &self.setting else {
            return value.trim().parse().ok();
        };
        let after = &value[value.find(setting.as_str())? + setting.len()..];
        let text = after.trim_start_matches(['"', '\'', ':', ' ', '\t']);
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(text.len());
        crate::duration::parse(&text[..end])
    }
}

/// The word before the first hyphen; `grpc-web` is one word (istio/istio pkg/config/kube/conversion.go
/// `ConvertProtocol`).
fn first_word(name: &str) -> &str {
    const WITH_HYPHEN: &str = "grpc-web";
    match name.get(..WITH_HYPHEN.len()) {
        Some(start) if start.eq_ignore_ascii_case(WITH_HYPHEN) => start,
        _ => name.split('-').next().unwrap_or(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use serde_json::json;

    fn istio() -> Sidecar {
        Catalogue::builtin()
            .sidecars
            .into_iter()
            .find(|s| s.name == "istio")
            .unwrap()
    }

    #[test]
    fn declared_on_the_template_or_the_namespace() {
        let labelled = json!({"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}});
        let plain = json!({"metadata": {}});
        let namespace = json!({"metadata": {"labels": {"istio-injection": "enabled"}}});
        assert_eq!(istio().declared(&labelled, None), Some(Declared::Pod));
        assert_eq!(istio().declared(&plain, None), None);
        assert_eq!(
            istio().declared(&plain, Some(&namespace)),
            Some(Declared::Namespace)
        );
    }

    #[test]
    fn a_namespace_declares_by_revision_too_and_refuses_both() {
        let plain = json!({"metadata": {}});
        let declared = |labels: Value| {
            let namespace = json!({"metadata": {"labels": labels}});
            istio().declared(&plain, Some(&namespace))
        };
        let by_revision = json!({"istio.io/rev": "canary"});
        assert_eq!(declared(by_revision), Some(Declared::Namespace));
        assert_eq!(declared(json!({"team": "x"})), None);
        for refusing in [
            json!({"istio.io/rev": "canary", "istio-injection": "disabled"}),
            json!({"istio-injection": "enabled", "istio.io/dataplane-mode": "ambient"}),
        ] {
            assert_eq!(declared(refusing.clone()), None, "{refusing}");
        }
    }

    #[test]
    fn not_where_refused_native_or_ambient() {
        let namespace = json!({"metadata": {"labels": {"istio-injection": "enabled"}}});
        for metadata in [
            json!({"labels": {"sidecar.istio.io/inject": "false"}}),
            json!({"annotations": {"sidecar.istio.io/nativeSidecar": "true"}}),
            json!({"labels": {"istio.io/dataplane-mode": "ambient"}}),
        ] {
            let template = json!({"metadata": metadata});
            assert_eq!(
                istio().declared(&template, Some(&namespace)),
                None,
                "{template}"
            );
        }
    }

    #[test]
    fn a_person_s_own_wait_is_read() {
        assert_eq!(
            istio().waits("terminationDrainDuration: 70s\nconcurrency: 2"),
            Some(70)
        );
        assert_eq!(
            istio().waits(r#"{"terminationDrainDuration":"1m"}"#),
            Some(60)
        );
        assert_eq!(istio().waits("concurrency: 2"), None);
    }

    #[test]
    fn a_port_says_its_protocol_by_field_or_first_word() {
        let istio = istio();
        let of = |port: Value| istio.protocol_of(&port).map(str::to_owned);
        for (port, protocol) in [
            (json!({"name": "http"}), Some("http")),
            (json!({"name": "HTTP-api"}), Some("HTTP")),
            (json!({"name": "grpc-web-x"}), Some("grpc-web")),
            (json!({"name": "grpc-x"}), Some("grpc")),
            (json!({"name": "api"}), None),
            (json!({"name": "httpx"}), None),
            (json!({}), None),
            (
                json!({"name": "http", "appProtocol": "kubernetes.io/h2c"}),
                Some("http2"),
            ),
            (
                json!({"name": "http", "appProtocol": "example.com/own"}),
                None,
            ),
        ] {
            assert_eq!(of(port.clone()).as_deref(), protocol, "{port}");
        }
    }

    #[test]
    fn a_conflict_needs_all_of_its_marks() {
        let istio = istio();
        let speaks = |labels: Value| {
            let object = json!({"metadata": {"labels": labels}});
            istio.namespace_conflicts.iter().any(|it| it.on(&object))
        };
        assert!(speaks(
            json!({"istio-injection": "enabled", "istio.io/rev": "x"})
        ));
        assert!(speaks(
            json!({"istio.io/rev": "x", "istio.io/dataplane-mode": "ambient"})
        ));
        assert!(!speaks(
            json!({"istio-injection": "disabled", "istio.io/rev": "x"})
        ));
        assert!(!speaks(
            json!({"istio-injection": "enabled", "istio.io/dataplane-mode": "none"})
        ));
    }
}
