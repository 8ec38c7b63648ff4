//! Whether the loss of one pod breaks a PodDisruptionBudget.
//!
//! The API server asks budgets on eviction alone, never on deletion. What breaks one is decided
//! here as the eviction subresource does (kubernetes/kubernetes
//! pkg/registry/core/pod/storage/eviction.go).

use serde_json::Value;
use std::fmt;

use crate::objects::text;

/// What the budgets say about the loss of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disruption {
    /// No budget covers the pod.
    Unbudgeted,
    /// The budget counts no loss: the pod is not up, or ends already.
    Uncounted {
        /// Why.
        reason: String,
    },
    /// The budget allows it.
    Allowed {
        /// Name of the budget.
        budget: String,
        /// How many pods it allows to lose at this moment.
        allowed: i64,
    },
    /// It would break the budget.
    Breaks {
        /// Name of the budget; of the first, where there are several.
        budget: String,
        /// Why, with the numbers.
        reason: String,
    },
}

impl Disruption {
    /// Whether the loss would break a budget.
    pub fn breaks(&self) -> bool {
        matches!(self, Disruption::Breaks { .. })
    }
}

impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disruption::Unbudgeted => write!(f, "no PodDisruptionBudget covers the pod"),
            Disruption::Uncounted { reason } => {
                write!(f, "no PodDisruptionBudget counts it: {reason}")
            }
            Disruption::Allowed { budget, allowed } => {
                write!(f, "poddisruptionbudget/{budget} allows {allowed}")
            }
            Disruption::Breaks { budget, reason } => {
                write!(f, "poddisruptionbudget/{budget} would break: {reason}")
            }
        }
    }
}

/// What the budgets of the pod's namespace say about its loss.
pub fn loss_of(pod: &Value, budgets: &[Value]) -> Disruption {
    let namespace = text(pod, "/metadata/namespace");
    let none = Value::Null;
    let labels = pod.pointer("/metadata/labels").unwrap_or(&none);
    let covering: Vec<&Value> = budgets
        .iter()
        .filter(|it| text(it, "/metadata/namespace") == namespace)
        .filter(|it| selects(it.pointer("/spec/selector"), labels))
        .collect();
    let budget = match covering[..] {
        [] => return Disruption::Unbudgeted,
        [budget] => budget,
        [first, ..] => {
            let names: Vec<String> = covering
                .iter()
                .map(|it| text(it, "/metadata/name"))
                .collect();
            return Disruption::Breaks {
                budget: text(first, "/metadata/name"),
                reason: format!(
                    "{} cover the pod, and then the API server refuses every eviction",
                    names.join(" and ")
                ),
            };
        }
    };
    if let Some(reason) = uncounted(pod) {
        return Disruption::Uncounted { reason };
    }
    judge(pod, budget)
}

fn judge(pod: &Value, budget: &Value) -> Disruption {
    let name = text(budget, "/metadata/name");
    let number = |pointer: &str| {
        let number = budget.pointer(pointer).and_then(Value::as_i64);
        number.unwrap_or(0)
    };
    let allowed = number("/status/disruptionsAllowed");
    let healthy = number("/status/currentHealthy");
    let desired = number("/status/desiredHealthy");
    let policy = text(budget, "/spec/unhealthyPodEvictionPolicy");
    if !is_ready(pod) {
        if policy == "AlwaysAllow" {
            return Disruption::Uncounted {
                reason: format!(
                    "the pod is not Ready, and poddisruptionbudget/{name} has \
                     unhealthyPodEvictionPolicy AlwaysAllow"
                ),
            };
        }
        if healthy >= desired && desired > 0 {
            return Disruption::Allowed {
                budget: name,
                allowed,
            };
        }
    }
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Disruption::Breaks {
            budget: name,
            reason: "its controller has not seen its latest spec, so nobody knows what it allows"
                .to_owned(),
        };
    }
    if allowed >= 1 {
        return Disruption::Allowed {
            budget: name,
            allowed,
        };
    }
    Disruption::Breaks {
        budget: name,
        reason: format!(
            "disruptionsAllowed is {allowed}: {healthy} healthy, {desired} needed{}",
            bound(budget)
        ),
    }
}

/// ` (minAvailable 2)`.
fn bound(budget: &Value) -> String {
    ["minAvailable", "maxUnavailable"]
        .iter()
        .find_map(|field| Some((field, budget.get("spec")?.get(field)?)))
        .map(|(field, value)| match value.as_str() {
            Some(percent) => format!(" ({field} {percent})"),
            None => format!(" ({field} {value})"),
        })
        .unwrap_or_default()
}

/// Why the loss counts for no budget (`canIgnorePDB`).
fn uncounted(pod: &Value) -> Option<String> {
    let phase = text(pod, "/status/phase");
    if matches!(phase.as_str(), "Succeeded" | "Failed" | "Pending") {
        return Some(format!("the pod's phase is {phase}"));
    }
    let ends = !text(pod, "/metadata/deletionTimestamp").is_empty();
    ends.then(|| "the pod is being deleted".to_owned())
}

/// Whether the pod's condition Ready is True.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|it| text(it, "/type") == "Ready" && text(it, "/status") == "True")
    })
}

/// Whether a LabelSelector takes an object with these labels. An empty one takes all; where there
/// is none it takes nothing (`metav1.LabelSelectorAsSelector`).
pub fn selects(selector: Option<&Value>, labels: &Value) -> bool {
    let Some(selector) = selector.filter(|it| it.is_object()) else {
        return false;
    };
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    equal
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == value.as_str() && value.is_string())
        && expressions.into_iter().flatten().all(|it| {
            let own = label(&text(it, "/key"));
            let values = it.get("values").and_then(Value::as_array);
            let is_listed = own.is_some_and(|own| {
                let mut values = values.into_iter().flatten();
                values.any(|value| value.as_str() == Some(own))
            });
            match text(it, "/operator").as_str() {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => own.is_some(),
                "DoesNotExist" => own.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(ready: bool) -> Value {
        let ready = if ready { "True" } else { "False" };
        json!({
            "metadata": {"namespace": "n", "labels": {"app": "a", "tier": "x"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn budget(allowed: i64, healthy: i64) -> Value {
        json!({
            "metadata": {"name": "b", "namespace": "n", "generation": 1},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "a"}}},
            "status": {
                "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2,
                "observedGeneration": 1,
            },
        })
    }

    #[test]
    fn the_budget_decides_by_what_it_allows() {
        assert_eq!(loss_of(&pod(true), &[]), Disruption::Unbudgeted);
        let one = loss_of(&pod(true), &[budget(1, 3)]);
        assert_eq!(one.to_string(), "poddisruptionbudget/b allows 1");
        let none = loss_of(&pod(true), &[budget(0, 2)]);
        assert!(none.breaks());
        assert_eq!(
            none.to_string(),
            "poddisruptionbudget/b would break: disruptionsAllowed is 0: 2 healthy, 2 needed \
             (minAvailable 2)"
        );
        let mut elsewhere = budget(0, 2);
        elsewhere["metadata"]["namespace"] = json!("m");
        assert_eq!(loss_of(&pod(true), &[elsewhere]), Disruption::Unbudgeted);
    }

    #[test]
    fn a_pod_that_is_not_ready_is_judged_by_the_policy_for_those() {
        assert!(loss_of(&pod(false), &[budget(0, 1)]).breaks());
        assert!(
            !loss_of(&pod(false), &[budget(0, 2)]).breaks(),
            "enough others are healthy"
        );
        let mut always = budget(0, 1);
        always["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        assert!(!loss_of(&pod(false), std::slice::from_ref(&always)).breaks());
        assert!(
            loss_of(&pod(true), &[always]).breaks(),
            "the policy is for unhealthy pods alone"
        );
    }

    #[test]
    fn what_ends_already_or_is_not_up_counts_for_no_budget() {
        for phase in ["Pending", "Succeeded", "Failed"] {
            let mut pod = pod(true);
            pod["status"]["phase"] = json!(phase);
            let loss = loss_of(&pod, &[budget(0, 2)]);
            assert!(
                matches!(loss, Disruption::Uncounted { .. }),
                "{phase}: {loss}"
            );
        }
        let mut ending = pod(true);
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-25T12:00:00Z");
        assert!(!loss_of(&ending, &[budget(0, 2)]).breaks());
    }

    #[test]
    fn two_budgets_or_an_unseen_spec_are_no_budget_to_spend() {
        let mut other = budget(1, 3);
        other["metadata"]["name"] = json!("c");
        let both = loss_of(&pod(true), &[budget(1, 3), other]);
        assert!(
            both.breaks() && both.to_string().contains("b and c cover"),
            "{both}"
        );
        let mut unseen = budget(1, 3);
        unseen["metadata"]["generation"] = json!(2);
        assert!(loss_of(&pod(true), &[unseen]).breaks());
    }

    #[test]
    fn a_selector_is_read_as_the_api_reads_it() {
        let labels = json!({"app": "a", "tier": "x"});
        let one = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, takes) in [
            (json!({}), true),
            (json!(null), false),
            (json!({"matchLabels": {"app": "a"}}), true),
            (json!({"matchLabels": {"app": "a", "tier": "y"}}), false),
            (one("app", "In", &["b", "a"]), true),
            (one("app", "In", &["b"]), false),
            (one("zone", "In", &["a"]), false),
            (one("app", "NotIn", &["a"]), false),
            (one("zone", "NotIn", &["a"]), true),
            (one("app", "Exists", &[]), true),
            (one("zone", "Exists", &[]), false),
            (one("zone", "DoesNotExist", &[]), true),
            (one("app", "DoesNotExist", &[]), false),
            (
                json!({"matchLabels": {"app": "a"}, "matchExpressions": [
                    {"key": "tier", "operator": "NotIn", "values": ["x"]},
                ]}),
                false,
            ),
        ] {
            assert_eq!(selects(Some(&selector), &labels), takes, "{selector}");
        }
        assert!(!selects(None, &labels));
    }
}
