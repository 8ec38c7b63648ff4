//! The schema of a mesh's sidecar: how it is declared, and how it is told to wait.

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
    fn on(&self, object: &Value) -> bool {
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
}
