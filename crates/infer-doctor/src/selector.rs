//! Label selectors (apimachinery meta/v1 `LabelSelector`).

use infer_core::pointer::Walk;
use serde_json::Value;

/// Whether a selector takes an object with these labels. An empty or absent selector takes all.
pub(crate) fn takes(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(selector) = selector else {
        return true;
    };
    let label = |key: &str| labels?.get(key)?.as_str();
    let pairs = selector.get("matchLabels").and_then(Value::as_object);
    let all_pairs = pairs
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == value.as_str());
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let all_expressions = expressions.into_iter().flatten().all(|it| {
        let text = |member: &str| it.get(member).and_then(Value::as_str).unwrap_or_default();
        let values = it.get("values").and_then(Value::as_array);
        let seen = label(text("key"));
        let among = |seen: &str| {
            let mut values = values.into_iter().flatten();
            values.any(|value| value.as_str() == Some(seen))
        };
        match text("operator") {
            "In" => seen.is_some_and(among),
            "NotIn" => !seen.is_some_and(among),
            "Exists" => seen.is_some(),
            "DoesNotExist" => seen.is_none(),
            // The API server accepts no other.
            _ => false,
        }
    });
    all_pairs && all_expressions
}

/// The labels of an object.
pub(crate) fn labels(object: &Value) -> Option<&Value> {
    object.at("/metadata/labels")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pairs_and_expressions_must_all_hold() {
        let labels = json!({"a": "1", "b": "2"});
        let holds = |selector: &Value| takes(Some(selector), Some(&labels));
        assert!(holds(&json!({})) && takes(None, None));
        assert!(holds(&json!({"matchLabels": {"a": "1"}})));
        assert!(!holds(&json!({"matchLabels": {"a": "2"}})));
        let expression = |key: &str, operator: &str, values: Value| {
            json!({"matchLabels": {"a": "1"},
                "matchExpressions": [{"key": key, "operator": operator, "values": values}]})
        };
        assert!(holds(&expression("b", "In", json!(["2"]))));
        assert!(!holds(&expression("b", "In", json!(["3"]))));
        assert!(!holds(&expression("b", "NotIn", json!(["2"]))));
        assert!(holds(&expression("c", "NotIn", json!(["2"]))));
        assert!(holds(&expression("b", "Exists", json!([]))));
        assert!(!holds(&expression("b", "DoesNotExist", json!([]))));
        assert!(holds(&expression("c", "DoesNotExist", json!([]))));
        assert!(!holds(&expression("b", "Odd", json!([]))));
    }
}
