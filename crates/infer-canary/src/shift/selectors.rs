//! Label selectors: what they select, and which label to change so that they do not.

use super::names::canary;
use super::{Named, Refusal};
use infer_core::object::{self, same_namespace};
use infer_core::pointer::Walk;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Labels that get another value: key to value.
pub(super) type Changes = BTreeMap<String, String>;

/// Something that selects pods.
#[derive(Clone, Debug)]
pub(super) struct Selecting {
    pub(super) by: Named,
    /// A label selector: `matchLabels`, `matchExpressions`.
    pub(super) selector: Value,
}

impl Selecting {
    /// A Service: its selector is a plain map.
    pub(super) fn service(service: &Value) -> Selecting {
        let map = service.at("/spec/selector").cloned().unwrap_or_default();
        Selecting {
            by: Named::new("Service", object::name(service)),
            selector: json!({"matchLabels": map}),
        }
    }

    /// An object with a label selector at this pointer.
    pub(super) fn at(object: &Value, pointer: &str) -> Selecting {
        Selecting {
            by: Named::of(object),
            selector: object.at(pointer).cloned().unwrap_or_default(),
        }
    }

    /// Whether it selects pods of these labels. An empty selector selects nothing here, and neither
    /// does one that cannot be read.
    pub(super) fn selects(&self, labels: &Map<String, Value>) -> bool {
        let equal = self.equal();
        let expressions: Vec<&Value> = self.expressions().collect();
        if equal.is_empty() && expressions.is_empty() {
            return false;
        }
        let is_equal = |(key, value): (&String, &Value)| labels.get(key) == Some(value);
        equal.iter().all(is_equal) && expressions.iter().all(|it| holds(it, labels))
    }

    /// The labels that it wants to have a certain value.
    fn keys(&self) -> Vec<String> {
        let listed = self.expressions().filter(|it| it["operator"] == "In");
        let listed = listed.filter_map(|it| it["key"].as_str());
        self.equal()
            .keys()
            .map(String::as_str)
            .chain(listed)
            .map(str::to_owned)
            .collect()
    }

    fn equal(&self) -> Map<String, Value> {
        let map = self.selector.get("matchLabels").and_then(Value::as_object);
        map.cloned().unwrap_or_default()
    }

    fn expressions(&self) -> impl Iterator<Item = &Value> {
        let list = self.selector.get("matchExpressions");
        list.and_then(Value::as_array).into_iter().flatten()
    }

    /// The selector that selects what has the changed labels.
    pub(super) fn changed(&self, changes: &Changes) -> Value {
        let mut selector = self.selector.clone();
        if !selector.is_object() {
            selector = json!({});
        }
        let keys = self.keys();
        if let Some(Value::Array(list)) = selector.get_mut("matchExpressions") {
            let is_changed = |it: &Value| {
                it["key"]
                    .as_str()
                    .is_some_and(|it| changes.contains_key(it))
            };
            list.retain(|it| !is_changed(it));
            if list.is_empty() {
                selector["matchExpressions"] = Value::Null;
            }
        }
        for (key, value) in changes.iter().filter(|(key, _)| keys.contains(key)) {
            if !selector["matchLabels"].is_object() {
                selector["matchLabels"] = json!({});
            }
            selector["matchLabels"][key] = Value::from(value.as_str());
        }
        if let Value::Object(map) = &mut selector {
            map.retain(|_, value| !value.is_null());
        }
        selector
    }

    /// As kubectl's `-l` takes it.
    pub(super) fn text(&self) -> String {
        selector_text(&self.selector)
    }
}

/// A label selector as kubectl's `-l` takes it (kubernetes/apimachinery pkg/labels/selector.go).
pub(super) fn selector_text(selector: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let equal = selector.get("matchLabels").and_then(Value::as_object);
    let equal = equal.into_iter().flatten();
    let mut parts: Vec<String> = equal
        .map(|(key, value)| format!("{key}={}", word(value)))
        .collect();
    let list = selector.get("matchExpressions").and_then(Value::as_array);
    for it in list.into_iter().flatten() {
        let key = word(&it["key"]);
        let values = it["values"].as_array().into_iter().flatten();
        let values = values.map(word).collect::<Vec<_>>().join(",");
        parts.push(match it["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key,
        });
    }
    parts.join(",")
}

/// Whether a requirement holds (kubernetes/apimachinery pkg/labels/selector.go `Matches`).
fn holds(requirement: &Value, labels: &Map<String, Value>) -> bool {
    let value = requirement["key"].as_str().and_then(|key| labels.get(key));
    let listed = requirement["values"].as_array();
    let is_in = |value: &Value| listed.is_some_and(|list| list.contains(value));
    match requirement["operator"].as_str() {
        Some("In") => value.is_some_and(is_in),
        Some("NotIn") => !value.is_some_and(is_in),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        _ => false,
    }
}

/// The labels of a workload's pods.
pub(super) fn pod_labels(workload: &Value) -> Map<String, Value> {
    let labels = workload.at("/spec/template/metadata/labels");
    labels
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// The Services that select the workload's pods.
pub(super) fn services_of<'a>(workload: &Value, services: &'a [Value]) -> Vec<&'a Value> {
    let (labels, own) = (pod_labels(workload), object::namespace(workload));
    let selects = |it: &&Value| {
        same_namespace(object::namespace(it), own) && Selecting::service(it).selects(&labels)
    };
    services.iter().filter(selects).collect()
}

/// The fewest labels to change so that none of `selecting` selects the pods any more. Of several
/// that would do, one that the fewest of `spared` select by.
pub(super) fn tell_apart(
    labels: &Map<String, Value>,
    selecting: &[Selecting],
    spared: &[Selecting],
) -> Result<Changes, Refusal> {
    let mut changes = Changes::new();
    let mut labels = labels.clone();
    loop {
        let left: Vec<&Selecting> = selecting.iter().filter(|it| it.selects(&labels)).collect();
        let Some(first) = left.first() else {
            return Ok(changes);
        };
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for key in left.iter().flat_map(|it| it.keys()) {
            if !changes.contains_key(&key) && labels.contains_key(&key) {
                *count.entry(key).or_default() += 1;
            }
        }
        let by = |key: &String| spared.iter().filter(|it| it.keys().contains(key)).count();
        let best = count
            .into_iter()
            .min_by_key(|(key, count)| (Reverse(*count), by(key), key.clone()));
        let Some((key, _)) = best else {
            return Err(Refusal::SameLabels {
                by: first.by.clone(),
            });
        };
        let value = canary(labels[&key].as_str().unwrap_or_default());
        labels.insert(key.clone(), Value::from(value.as_str()));
        changes.insert(key, value);
    }
}

#[cfg(test)]
mod tests;
