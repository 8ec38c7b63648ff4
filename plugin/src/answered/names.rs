//! Names of pods: which workload made one.

use infer_core::pointer::Walk;
use serde_json::Value;

/// Longest hash in a pod's name.
const LONGEST_HASH: usize = 10;

/// The workload that a pod belongs to, by its owner. A ReplicaSet's name ends with the hash that its
/// pods carry as a label, and the rest is the Deployment's (kubernetes/kubernetes
/// `pkg/controller/deployment/sync.go`, `getNewReplicaSet`).
pub(crate) fn workload(pod: &Value) -> Option<String> {
    let owners = pod.at("/metadata/ownerReferences")?.as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let name = owner.get("name")?.as_str()?;
    let hash = pod.at("/metadata/labels/pod-template-hash");
    let deployment = (owner.get("kind")?.as_str()? == "ReplicaSet")
        .then(|| name.strip_suffix(hash?.as_str()?)?.strip_suffix('-'))
        .flatten();
    Some(deployment.unwrap_or(name).to_owned())
}

/// Whether a pod's name is `NAME-HASH` or `NAME-HASH-HASH`: what workloads call their pods. A hash
/// has no vowels (kubernetes/apimachinery `pkg/util/rand`), so that `llama-canary-0` is not taken for
/// one of `llama`.
pub(crate) fn is_named_after(pod: &str, name: &str) -> bool {
    let Some(rest) = pod.strip_prefix(name).and_then(|it| it.strip_prefix('-')) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('-').collect();
    let is_hash = |part: &&str| {
        let fits =
            |c: char| c.is_ascii_digit() || (c.is_ascii_lowercase() && !"aeiouy".contains(c));
        (1..=LONGEST_HASH).contains(&part.len()) && part.chars().all(fits)
    };
    parts.len() <= 2 && parts.iter().all(is_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_owner_tells_the_workload() {
        let pod = |kind: &str, owner: &str| {
            json!({"metadata": {"name": "p", "labels": {"pod-template-hash": "6d9f8c"},
                "ownerReferences": [{"kind": "Node", "name": "n"},
                    {"kind": kind, "name": owner, "controller": true}]}})
        };
        for (kind, owner, wanted) in [
            ("ReplicaSet", "llama-6d9f8c", "llama"),
            ("ReplicaSet", "by-hand", "by-hand"),
            ("StatefulSet", "llama", "llama"),
        ] {
            assert_eq!(workload(&pod(kind, owner)).as_deref(), Some(wanted));
        }
        assert_eq!(workload(&json!({"metadata": {"name": "p"}})), None);
    }

    #[test]
    fn a_pod_is_named_after_its_workload() {
        for (pod, name, wanted) in [
            ("llama-6d9f8c-2kqzl", "llama", true),
            ("llama-2kqzl", "llama", true),
            ("llama-0", "llama", true),
            ("llama-canary-6d9f8c-2kqzl", "llama", false),
            ("llama-canary-0", "llama", false),
            ("llama", "llama", false),
            ("llama-", "llama", false),
            ("llamas-0", "llama", false),
        ] {
            assert_eq!(is_named_after(pod, name), wanted, "{pod}");
        }
    }
}
