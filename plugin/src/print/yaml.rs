//! Objects as YAML in one stable block style, for diffs: the same object gives the same lines.

use serde_json::{Map, Value};

/// Members that come first, in this order; the others follow by name.
const FIRST: [&str; 5] = ["apiVersion", "kind", "metadata", "name", "spec"];

/// Renders an object.
pub(crate) fn render(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => members(map, 0, false, &mut out),
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

/// Writes the members of a map. The first one is not indented where it stands behind a dash.
fn members(map: &Map<String, Value>, indent: usize, behind_dash: bool, out: &mut String) {
    let mut keys: Vec<&String> = map.keys().collect();
    let place = |key: &str| FIRST.iter().position(|first| *first == key);
    keys.sort_by_key(|key| (place(key).unwrap_or(FIRST.len()), key.as_str()));
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 || !behind_dash {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&text(key));
        out.push(':');
        match &map[key] {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                members(inner, indent + 2, false, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(items, indent, out);
            }
            value => {
                out.push(' ');
                out.push_str(&scalar(value));
                out.push('\n');
            }
        }
    }
}

fn list(items: &[Value], indent: usize, out: &mut String) {
    for item in items {
        out.push_str(&" ".repeat(indent));
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => members(map, indent + 2, true, out),
            // A list in a list is rare in Kubernetes; one line of JSON is YAML too.
            other => {
                out.push_str(&scalar(other));
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

/// A string, plain where every reader of YAML takes it for the same string; else as JSON, which is
/// YAML's double-quoted style.
fn text(string: &str) -> String {
    let starts_plain =
        string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+ ,:=()".contains(c);
    let means_another = string.len() <= 5
        && ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&string.to_ascii_lowercase().as_str());
    if starts_plain
        && string.chars().all(plain)
        && !means_another
        && !string.ends_with([' ', ':'])
        && !string.contains(": ")
    {
        string.to_owned()
    } else {
        Value::from(string).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_usual_members_come_first() {
        let object = json!({"kind": "Pod", "apiVersion": "v1", "aa": 1, "spec": {"containers": [
            {"image": "a:b", "name": "x", "args": ["-m", "1"], "env": [], "resources": {}}]}});
        assert_eq!(
            render(&object),
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: x\n    args:\n    - \"-m\"\n    - \"1\"\n    env: []\n    image: a:b\n    resources: {}\naa: 1\n"
        );
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for value in [
            json!({"a": "yes", "b": "0644", "c": "a: b", "d": "a #b", "e": "", "f": "é", "g": "null",
                "y": 1, "1": null, "h": "- x", "i": "a:", "j": "x\ny", "k": "~", "l": "1e3", "m": "Off",
                "n": "/health", "o": "{x", "p": "a b ", "q": "http://x/y?z=1", "r": "=", "s": ".5"}),
            json!({"a": [[1, 2], {"b": []}, {}, {"c": [{"d": [{"e": 1}]}]}], "f": {"g": {"h": true}}}),
            json!({"n": -1, "f": 1.5, "t": true, "u": null, "big": i64::MAX}),
        ] {
            let text = render(&value);
            let parsed = infer_manifest::parse(&text);
            assert_eq!(parsed.errors, [], "{text}");
            assert_eq!(parsed.documents[0].object, value, "{text}");
        }
    }
}
