//! `-n`: the namespace of objects that name none.

use infer_core::{kind, object};
use serde_json::{Map, Value};

/// Kinds that live in no namespace, with their group. What is missing here is taken for
/// namespaced: the name then only stands in the report.
const CLUSTER_SCOPED: [(&str, &str); 25] = [
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("kubectl-infer.dev", "InferencePolicy"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "StorageClass"),
];

/// Writes the namespace into an object that lives in one and names none.
pub(crate) fn fill(object: &mut Value, namespace: &str) {
    if is_cluster_scoped(object) || !object::namespace(object).is_empty() {
        return;
    }
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let metadata = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    // Any other shape is for the API server to refuse.
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("namespace".to_owned(), Value::from(namespace));
    }
}

fn is_cluster_scoped(object: &Value) -> bool {
    let text = |member| {
        object
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (group, kind) = (kind::group(text("apiVersion")), text("kind"));
    CLUSTER_SCOPED.contains(&(group, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(mut object: Value) -> Value {
        fill(&mut object, "team");
        object["metadata"]["namespace"].take()
    }

    #[test]
    fn only_what_is_namespaced_and_names_none_is_filled() {
        let object = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind});
        assert_eq!(filled(object("apps/v1", "Deployment")), json!("team"));
        assert_eq!(filled(object("v1", "Node")), Value::Null);
        assert_eq!(
            filled(object("networking.k8s.io/v1", "IngressClass")),
            Value::Null
        );
        // Another group's kind of the same name.
        assert_eq!(filled(object("example.com/v1", "Node")), json!("team"));
    }

    #[test]
    fn what_is_written_stays() {
        let own = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "own"}});
        assert_eq!(filled(own), json!("own"));
        let empty = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": ""}});
        assert_eq!(filled(empty), json!("team"));
    }

    #[test]
    fn an_odd_shape_is_left_alone() {
        let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": "text"});
        let before = object.clone();
        fill(&mut object, "team");
        assert_eq!(object, before);
    }
}
