//! What could not be read, by name, and the right that would help.

use serde::Serialize;
use std::collections::BTreeMap;

/// A fact that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What is unknown for it: `which pods serve`.
    pub what: String,
    /// Why.
    pub why: Why,
    /// The right that reading it takes; none where it is not a matter of asking the API server.
    pub right: Option<Right>,
    /// What the API server said, or what else went wrong; one line.
    pub message: String,
}

/// Why a fact is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// RBAC refuses.
    Forbidden,
    /// The cluster does not serve this kind: its CRD is not installed.
    NotServed,
    /// No answer in time.
    TimedOut,
    /// It was not asked for, to keep the number of calls bounded.
    NotAsked,
    /// The API server refused in another way, or could not be reached.
    Failed,
}

impl Why {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Why::Forbidden => "not allowed",
            Why::NotServed => "the cluster does not serve this kind",
            Why::TimedOut => "no answer in time",
            Why::NotAsked => "not asked",
            Why::Failed => "the request failed",
        }
    }
}

/// A right to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Right {
    /// `get` or `list`.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// The resource, in plural.
    pub resource: String,
    /// The namespace; none for what lives in none.
    pub namespace: Option<String>,
}

impl Right {
    /// `pods`, `httproutes.gateway.networking.k8s.io`: as kubectl takes it.
    pub fn full(&self) -> String {
        match self.group.as_str() {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }
}

/// The commands that give every right that RBAC refused: one for each namespace, and one for what
/// lives in none. A binding to the one who asks is still to be made.
pub fn roles(gaps: &[Gap]) -> Vec<String> {
    let mut by_namespace: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for gap in gaps.iter().filter(|gap| gap.why == Why::Forbidden) {
        let Some(right) = &gap.right else { continue };
        let resources = by_namespace.entry(right.namespace.as_deref()).or_default();
        let full = right.full();
        if !resources.contains(&full) {
            resources.push(full);
        }
    }
    let each = by_namespace.into_iter().map(|(namespace, resources)| {
        let mut words = match namespace {
            Some(namespace) => vec![
                format!("kubectl create role infer-inspect -n {namespace}"),
                "--verb=get,list".to_owned(),
            ],
            None => vec![
                "kubectl create clusterrole infer-inspect".to_owned(),
                "--verb=get,list".to_owned(),
            ],
        };
        words.extend(resources.iter().map(|it| format!("--resource={it}")));
        words.join(" ")
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(resource: &str, group: &str, namespace: Option<&str>, why: Why) -> Gap {
        Gap {
            what: String::new(),
            why,
            right: Some(Right {
                verb: "list".to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                namespace: namespace.map(str::to_owned),
            }),
            message: String::new(),
        }
    }

    #[test]
    fn one_command_gives_what_is_missing_in_a_namespace() {
        let gaps = [
            gap("pods", "", Some("n"), Why::Forbidden),
            gap("ingressclasses", "networking.k8s.io", None, Why::Forbidden),
            gap(
                "endpointslices",
                "discovery.k8s.io",
                Some("n"),
                Why::Forbidden,
            ),
            gap(
                "virtualservices",
                "networking.istio.io",
                Some("n"),
                Why::NotServed,
            ),
        ];
        assert_eq!(
            roles(&gaps),
            [
                "kubectl create clusterrole infer-inspect --verb=get,list \
                 --resource=ingressclasses.networking.k8s.io",
                "kubectl create role infer-inspect -n n --verb=get,list \
                 --resource=pods --resource=endpointslices.discovery.k8s.io",
            ]
        );
    }
}
