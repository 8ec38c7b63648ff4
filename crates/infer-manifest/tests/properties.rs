//! For any text: no panic, spans within it. For any object: its spans slice back to its values.

use infer_manifest::{Places, parse};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// A scalar as somebody might write it.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z][a-zA-Z0-9 ./_-]{0,12}[a-z0-9]",
        "-?[0-9]{1,18}",
        "0[0-7]{1,4}",
        "-?[0-9]{1,4}\\.[0-9]{1,4}(e[0-9])?",
        Just("yes".to_owned()),
        Just("~".to_owned()),
        Just("!!str 12".to_owned()),
        Just("=".to_owned()),
        "'[a-zé#: ,\\[\\]{}*&!|>]{0,12}'",
        "\"[a-zü#: ,\\[\\]{}*&!|>-]{0,8}(\\\\n|\\\\u00e9|\\\\\")?\"",
    ]
}

#[derive(Clone, Debug)]
enum Tree {
    Scalar(String),
    Block(Vec<String>),
    List(Vec<Tree>),
    Map(Vec<Tree>),
    Flow(Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        4 => scalar().prop_map(Tree::Scalar),
        1 => prop::collection::vec("[a-z#:-][a-z #:-]{0,8}", 1..4).prop_map(Tree::Block),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::List),
            prop::collection::vec(inner, 1..4).prop_map(Tree::Map),
            prop::collection::vec(scalar().prop_map(Tree::Scalar), 0..4).prop_map(Tree::Flow),
        ]
    })
}

/// The tree as YAML behind `key:` or `-`, with its line break.
fn write(tree: &Tree, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match tree {
        Tree::Scalar(text) => out.push_str(&format!(" {text} \t# {{{{ - | a: 'c\n")),
        Tree::Block(lines) => {
            out.push_str(" |  # - header\n");
            for line in lines {
                out.push_str(&format!("{pad}{line}\n"));
            }
        }
        Tree::List(items) => {
            out.push_str("  # - a list | >\n");
            for item in items {
                out.push_str(&format!("{pad}-"));
                write(item, indent + 2, out);
            }
        }
        Tree::Map(items) => {
            out.push_str(" &anchor-|  # a map: x\n");
            for (index, item) in items.iter().enumerate() {
                out.push_str(&format!("{pad}'é/{index}':"));
                write(item, indent + 2, out);
            }
        }
        Tree::Flow(items) => {
            let mut texts = items.iter().map(|item| match item {
                Tree::Scalar(text) => text.as_str(),
                _ => "x",
            });
            let list: Vec<&str> = texts.by_ref().collect();
            out.push_str(&format!(" [{}\n{pad}]\n", list.join(",\n  ")));
        }
    }
}

/// Calls for each value below, with its pointer.
fn each(value: &Value, pointer: &str, seen: &mut dyn FnMut(&str, &Value)) {
    seen(pointer, value);
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each(item, &format!("{pointer}/{index}"), seen);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let token = key.replace('~', "~0").replace('/', "~1");
                each(item, &format!("{pointer}/{token}"), seen);
            }
        }
        _ => {}
    }
}

/// The value that a slice has by itself. A block scalar's last line break is not in its span.
fn reread(slice: &str, column: usize) -> Value {
    // A block keeps its own indentation: give its first line the same.
    let text = format!("v:\n{}{slice}\n", " ".repeat(column));
    let mut parsed = parse(&text);
    assert_eq!(parsed.errors, [], "{text:?}");
    parsed.documents.remove(0).object["v"].take()
}

fn spans_read_back(text: &str, object: &Value, places: &Places) {
    each(object, "", &mut |pointer, value| {
        assert!(places.contains(pointer), "{pointer} in {text}");
        let span = places.value(pointer);
        let slice = &text[span.clone()];
        if !pointer.is_empty() {
            let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
            let column = text[line..span.start].chars().count();
            assert_eq!(&reread(slice, column.max(1)), value, "{pointer} in {text}");
            let field = &text[places.field(pointer)];
            assert!(field.ends_with(slice));
            if let Some(key) = places.key(pointer) {
                assert!(field.starts_with(&text[key]));
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_span_slices_back_to_its_value(tree in tree(), windows in any::<bool>()) {
        let mut text = "# é\nkind: X\nv:".to_owned();
        write(&tree, 2, &mut text);
        if windows {
            text = text.replace('\n', "\r\n");
        }
        let parsed = parse(&text);
        prop_assert_eq!(&parsed.errors, &[], "{}", text);
        let document = &parsed.documents[0];
        spans_read_back(&text, &document.object, &document.places);
    }

    #[test]
    fn json_spans_slice_back_to_their_values(keys in prop::collection::vec("[a-zé\"\\\\/~\u{1}]{0,6}", 0..6), pretty in any::<bool>()) {
        let mut map = Map::new();
        for (index, key) in keys.iter().enumerate() {
            map.insert(key.clone(), serde_json::json!([index, key, {"x": null, key: [true, 1.5]}]));
        }
        let value = Value::Object(map);
        let text = if pretty {
            serde_json::to_string_pretty(&value).expect("JSON").replace("  ", "\t")
        } else {
            value.to_string()
        };
        let parsed = parse(&text);
        prop_assert_eq!(&parsed.errors, &[], "{}", text);
        let document = &parsed.documents[0];
        prop_assert_eq!(&document.object, &value);
        each(&document.object, "", &mut |pointer, value| {
            let slice = &text[document.places.value(pointer)];
            if !pointer.is_empty() {
                assert_eq!(serde_json::from_str::<Value>(slice).ok().as_ref(), Some(value));
            }
        });
    }

    #[test]
    fn no_text_makes_it_panic(text in "([a-z~é]|: |- |\n|\n  |---\n|[\\[\\]{},&*!|>'\"#%@?=\t\r\u{feff}\u{0}0-9.]|<<: |\\*a|&a |kind: List\nitems:\n){0,40}") {
        let parsed = parse(&text);
        for document in &parsed.documents {
            each(&document.object, "", &mut |pointer, _| {
                let places = &document.places;
                assert!(text.get(places.value(pointer)).is_some());
                assert!(text.get(places.field(pointer)).is_some());
            });
        }
        for error in &parsed.errors {
            assert!(error.line >= 1 && error.line <= 1 + text.matches('\n').count());
        }
    }
}
