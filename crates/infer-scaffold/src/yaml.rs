//! Objects as YAML in one block style, a comment above its field: the same object gives the same
//! lines, so that two of them can be compared.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Members that come first, in this order, as people write them; the others follow by name.
const FIRST: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "spec",
    "replicas",
    "progressDeadlineSeconds",
    "selector",
    "strategy",
    "ingressClassName",
    "gatewayClassName",
    "parentRefs",
    "hostnames",
    "hosts",
    "gateways",
    "host",
    "type",
    "template",
    "terminationGracePeriodSeconds",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "containers",
    "image",
    "command",
    "args",
    "env",
    "ports",
    "startupProbe",
    "readinessProbe",
    "livenessProbe",
    "lifecycle",
    "resources",
    "securityContext",
    "volumeMounts",
    "httpGet",
    "path",
    "pathType",
    "backend",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "key",
    "operator",
    "effect",
    "topologyKey",
    "maxSkew",
    "whenUnsatisfiable",
];

/// Comments by JSON pointer; the empty pointer is the whole document.
pub type Comments = BTreeMap<String, String>;

/// Writes a value without comments.
pub fn plain(value: &Value) -> String {
    write(value, &Comments::new())
}

/// Writes an object. Every comment is one line above the field or the item that it speaks of.
pub fn write(object: &Value, comments: &Comments) -> String {
    let mut writer = Writer {
        comments,
        out: String::new(),
    };
    writer.comment("", 0);
    match object {
        Value::Object(map) if !map.is_empty() => writer.members(map, "", 0, false),
        Value::Array(items) if !items.is_empty() => writer.list(items, "", 0),
        other => {
            writer.out.push_str(&scalar(other));
            writer.out.push('\n');
        }
    }
    writer.out
}

struct Writer<'a> {
    comments: &'a Comments,
    out: String,
}

impl Writer<'_> {
    fn comment(&mut self, pointer: &str, indent: usize) {
        for line in self
            .comments
            .get(pointer)
            .into_iter()
            .flat_map(|text| text.lines())
        {
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str("# ");
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// The members of a map. The first one stands behind a dash where the map is an item; its
    /// comment was written above that dash.
    fn members(&mut self, map: &Map<String, Value>, at: &str, indent: usize, item: bool) {
        for (index, key) in ordered(map).into_iter().enumerate() {
            let pointer = infer_core::pointer::join(at, key);
            if index > 0 || !item {
                self.comment(&pointer, indent);
                self.out.push_str(&" ".repeat(indent));
            }
            self.out.push_str(&text(key));
            self.out.push(':');
            match &map[key] {
                Value::Object(inner) if !inner.is_empty() => {
                    self.out.push('\n');
                    self.members(inner, &pointer, indent + 2, false);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.out.push('\n');
                    self.list(items, &pointer, indent + 2);
                }
                value => {
                    self.out.push(' ');
                    self.out.push_str(&scalar(value));
                    self.out.push('\n');
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], at: &str, indent: usize) {
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{at}/{index}");
            self.comment(&pointer, indent);
            if let Value::Object(map) = item
                && let Some(first) = ordered(map).first()
            {
                self.comment(&infer_core::pointer::join(&pointer, first), indent);
            }
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str("- ");
            match item {
                Value::Object(map) if !map.is_empty() => {
                    self.members(map, &pointer, indent + 2, true);
                }
                // A list in a list is rare in Kubernetes; one line of JSON is YAML too.
                other => {
                    self.out.push_str(&scalar(other));
                    self.out.push('\n');
                }
            }
        }
    }
}

fn ordered(map: &Map<String, Value>) -> Vec<&String> {
    let mut keys: Vec<&String> = map.keys().collect();
    let place = |key: &str| FIRST.iter().position(|first| *first == key);
    keys.sort_by_key(|key| (place(key).unwrap_or(FIRST.len()), key.as_str()));
    keys
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        Value::Array(_) | Value::Object(_) => flow(value),
        other => other.to_string(),
    }
}

/// A collection in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let each: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", each.join(", "))
        }
        Value::Object(map) => {
            let each: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), flow(value)))
                .collect();
            format!("{{{}}}", each.join(", "))
        }
        Value::String(string) => quoted(string),
        other => other.to_string(),
    }
}

/// A string: plain where every reader of YAML takes it for that string, else in double quotes.
fn text(string: &str) -> String {
    let starts_plain =
        string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+ ,:=()".contains(c);
    // Booleans and null of YAML 1.1 and 1.2.
    let means_another = string.len() <= 5
        && ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&string.to_ascii_lowercase().as_str());
    if (starts_plain || is_flag(string))
        && string.chars().all(plain)
        && !means_another
        && !string.ends_with([' ', ':'])
        && !string.contains(": ")
    {
        string.to_owned()
    } else {
        quoted(string)
    }
}

/// `-m`, `--port`: a dash that no space follows begins no list, and letters make no number.
fn is_flag(string: &str) -> bool {
    let name = string.trim_start_matches('-');
    let dashes = string.len() - name.len();
    (1..=2).contains(&dashes) && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// In double quotes; whatever is not plainly printable is escaped, line breaks of YAML 1.1 too.
fn quoted(string: &str) -> String {
    let mut out = String::from("\"");
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                ) =>
            {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        let mut parsed = infer_manifest::parse(text);
        assert_eq!(parsed.errors, [], "{text}");
        assert_eq!(parsed.documents.len(), 1, "{text}");
        parsed.documents.remove(0).object
    }

    #[test]
    fn a_comment_stands_above_its_field_or_its_item() {
        let object =
            json!({"kind": "A", "spec": {"list": [{"name": "x", "a": 1}, "word"], "b": {}}});
        let comments = [
            ("", "Whole."),
            ("/spec", "Spec."),
            ("/spec/list/0", "Item."),
            ("/spec/list/0/name", "Name."),
            ("/spec/list/0/a", "A\nof two lines."),
            ("/spec/list/1", "Word."),
        ];
        let comments = comments.map(|(at, text)| (at.to_owned(), text.to_owned()));
        let text = write(&object, &Comments::from(comments));
        assert_eq!(
            text,
            "# Whole.\nkind: A\n# Spec.\nspec:\n  b: {}\n  list:\n    # Item.\n    # Name.\n    - name: x\n      \
             # A\n      # of two lines.\n      a: 1\n    # Word.\n    - word\n"
        );
        assert_eq!(read(&text), object);
    }

    #[test]
    fn strings_that_look_like_something_else_stay_strings() {
        for string in [
            "yes",
            "Yes",
            "on",
            "off",
            "n",
            "y",
            "true",
            "null",
            "~",
            "",
            " x",
            "x ",
            "a: b",
            "a:",
            "#",
            "a #b",
            "0644",
            "1e3",
            "0x1f",
            "1_000",
            ".5",
            "+1",
            "-1",
            "-",
            "--",
            "---",
            "- x",
            "? x",
            "! x",
            "&a",
            "*a",
            "|",
            ">",
            "%",
            "@x",
            "`x",
            "[x",
            "{x",
            "'",
            "\"",
            "\\",
            "a\nb",
            "a\n",
            "\n",
            "\t",
            "a\tb",
            "é",
            "🦀",
            "\u{85}",
            "\u{2028}",
            "\u{feff}x",
            "\u{7f}",
            "\u{1}",
            "2026-01-01",
            "12:30:45",
            "=",
            "<<",
            ".nan",
            "-.inf",
            "-m",
            "--port",
            "-y",
            "--no",
            "-n x",
            "infinity",
            "300s",
            "8080",
            "/v1",
            "a:b",
            "http://x/y?z=1",
        ] {
            let object = json!({"kind": string, "list": [string], string: 1});
            let text = write(&object, &Comments::new());
            // A map with one bare key `kind` may be read as an object; it is what was written.
            assert_eq!(read(&text), object, "{text}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-~+.:#&*!|>%@`'\"{}\\[\\], a0e1xynof\n\t]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[-a-zA-Z0-9:# /.]{1,6}|.{1,3}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(
            value in values(),
            comment in "[^\n\r\u{85}\u{2028}\u{2029}\u{0}-\u{1f}\u{7f}-\u{9f}\u{feff}\u{fffe}\u{ffff}]{0,20}",
        ) {
            let object = json!({"apiVersion": "v1", "kind": "X", "value": value});
            let mut comments = Comments::new();
            comments.insert("/value".to_owned(), comment.clone());
            comments.insert("/value/0".to_owned(), comment);
            let text = write(&object, &comments);
            prop_assert_eq!(read(&text), object, "{}", text);
        }
    }
}
