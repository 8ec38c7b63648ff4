//! A text -> its documents: separators, JSON streams, lists taken apart, errors with a way out.

use std::ops::Range;

use granit_parser::{ErrorKind, Parser};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::Document;
use crate::build::{Budget, Builder, Failure};
use crate::place::{Children, Node, Places, position};

/// Bytes of text that are read at most: well beyond what an API server would take.
pub(crate) const LARGEST: usize = 64 << 20;

/// Errors of one text that are told; what comes after them is not read.
const MOST_ERRORS: usize = 100;

/// What a text holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The objects, in the order of the text.
    pub documents: Vec<Document>,
    /// One for each document that could not be read, in the order of the text.
    pub errors: Vec<ParseError>,
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Parses all documents of a text, YAML or JSON.
///
/// Never panics. Work and memory are bounded: 64 MiB of text, 128 levels of nesting, 4 million
/// values per text (aliases count each time they are used), 100 errors.
///
/// Documents are split at the lines that start with `---` before anything is parsed, as kubectl
/// does, so that a broken one hides neither those before it nor those after it. (YAML forbids such
/// a line inside of a document: the lines of a block scalar are indented.)
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let fail = |parsed: &mut Parsed, failure: Failure| {
        let (line, column) = position(text, failure.at);
        parsed.errors.push(ParseError {
            line,
            column,
            message: failure.message,
            help: failure.help,
        });
    };
    if text.len() > LARGEST {
        let message = format!("larger than {} MiB", LARGEST >> 20);
        fail(&mut parsed, Failure::new(0, message));
        return parsed;
    }
    let mut budget = Budget::of_one_text();
    for chunk in chunks(text) {
        if parsed.errors.len() >= MOST_ERRORS {
            let rest = Failure::new(chunk.range.start, "too many errors: the rest was not read");
            fail(&mut parsed, rest);
            break;
        }
        if let Some(at) = chunk.junk {
            let failure = Failure::new(at, "kubectl takes nothing but a comment after `---`");
            fail(
                &mut parsed,
                failure.help(
                    "put it on a line of its own; a line inside of a text block must be indented",
                ),
            );
            continue;
        }
        for range in objects(text, chunk.range) {
            if let Err(failure) = document(text, range.clone(), &mut budget, &mut parsed.documents)
            {
                let help = help(text, &range, &failure);
                fail(&mut parsed, Failure { help, ..failure });
            }
        }
    }
    parsed
}

/// A document's text, without its separator.
struct Chunk {
    range: Range<usize>,
    /// Where the separator before it carries more than a comment.
    junk: Option<usize>,
}

fn chunks(text: &str) -> Vec<Chunk> {
    let mut found = Vec::new();
    // A byte order mark belongs to no document, and would hide a separator.
    let mut start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut junk = None;
    let mut at = start;
    while at < text.len() {
        let end = text[at..]
            .find('\n')
            .map_or(text.len(), |line| at + line + 1);
        if let Some(after) = text[at..end].strip_prefix("---") {
            found.push(Chunk {
                range: start..at,
                junk,
            });
            start = end;
            let rest = after.trim_start();
            let allowed = rest.is_empty() || rest.starts_with('#');
            junk = (!allowed).then(|| end - rest.len());
        }
        at = end;
    }
    found.push(Chunk {
        range: start..text.len(),
        junk,
    });
    found
}

/// A stream of JSON objects needs no separators. What is no JSON is left whole.
fn objects(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let chunk = &text[range.clone()];
    let mut found = Vec::new();
    let mut start = 0;
    if chunk.trim_start().starts_with('{') {
        let mut stream = serde_json::Deserializer::from_str(chunk).into_iter::<IgnoredAny>();
        while let Some(Ok(IgnoredAny)) = stream.next() {
            let end = stream.byte_offset();
            found.push(range.start + start..range.start + end);
            start = end;
        }
    }
    if found.is_empty() || !chunk[start..].trim().is_empty() {
        found.push(range.start + start..range.end);
    }
    found
}

fn document(
    text: &str,
    range: Range<usize>,
    budget: &mut Budget,
    documents: &mut Vec<Document>,
) -> Result<(), Failure> {
    let chunk = &text[range.clone()];
    if chunk.trim().is_empty() {
        return Ok(());
    }
    // JSON may hold them in its strings, where YAML and kubectl's reader of it refuse them.
    let flow = chunk.trim_start().starts_with('{');
    if !flow && let Some(at) = control_character(chunk) {
        return Err(Failure::new(range.start + at, "a control character"));
    }
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    if flow {
        // JSON knows no limit for the length of a key; YAML's is 1024 characters.
        options.simple_key_max_lookahead = LARGEST;
    }
    let mut parser = Parser::new_from_str_with_options(chunk, options);
    let built = Builder::new(text, range.start, budget).build(&mut parser)?;
    let Some((value, node)) = built.filter(|(value, _)| !value.is_null()) else {
        return Ok(());
    };
    expand(text, value, node, documents)
}

fn control_character(text: &str) -> Option<usize> {
    text.char_indices().find_map(|(at, character)| {
        let allowed = !character.is_control() || matches!(character, '\t' | '\n' | '\r' | '\u{85}');
        (!allowed).then_some(at)
    })
}

/// An object is a document, a list of objects is as many documents.
fn expand(
    text: &str,
    value: Value,
    node: Node,
    documents: &mut Vec<Document>,
) -> Result<(), Failure> {
    let Value::Object(mut object) = value else {
        let kind = if value.is_array() { "list" } else { "text" };
        return Err(Failure::new(
            node.value.range().start,
            format!("a manifest is an object, not a {kind}"),
        ));
    };
    let listed = object
        .get("kind")
        .and_then(Value::as_str)
        .and_then(|kind| kind.strip_suffix("List"))
        .map(str::to_owned);
    let (Some(kind), Some(Value::Array(_))) = (listed, object.get("items")) else {
        documents.push(Document {
            object: Value::Object(object),
            source: 0,
            places: Places::new(node, text),
        });
        return Ok(());
    };
    let version = object.get("apiVersion").cloned();
    let (Some(Value::Array(items)), Some(nodes)) = (object.remove("items"), items_of(node)) else {
        return Ok(());
    };
    for (mut item, node) in items.into_iter().zip(nodes) {
        // `kubectl get -o json` of a raw list leaves the items' kind to the list.
        if let Value::Object(item) = &mut item
            && !kind.is_empty()
            && !item.contains_key("kind")
            && !item.contains_key("apiVersion")
        {
            item.insert("kind".to_owned(), Value::String(kind.clone()));
            if let Some(version) = &version {
                item.insert("apiVersion".to_owned(), version.clone());
            }
        }
        // Ends: nesting is bounded.
        expand(text, item, node, documents)?;
    }
    Ok(())
}

fn items_of(node: Node) -> Option<Box<[Node]>> {
    let Children::Map(fields) = node.children else {
        return None;
    };
    let (_, items) = fields
        .into_iter()
        .find(|(key, _)| key.as_ref() == "items")?;
    match items.children {
        Children::List(nodes) => Some(nodes),
        _ => None,
    }
}

/// The way out of an error. A template explains more than what the parser stumbled over in it.
fn help(text: &str, range: &Range<usize>, failure: &Failure) -> Option<String> {
    let chunk = &text[range.clone()];
    let upto = text.get(range.start..failure.at).unwrap_or(chunk);
    let line = chunk
        .lines()
        .nth(upto.matches('\n').count())
        .unwrap_or_default();
    let template = "this looks like a template: render it first, as in `helm template NAME CHART | kubectl infer check -f -`";
    if line.contains("{{") {
        return Some(template.to_owned());
    }
    if failure.help.is_some() {
        return failure.help.clone();
    }
    let specific = match failure.scan.as_deref() {
        Some(
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart,
        ) => Some("indent with spaces"),
        Some(ErrorKind::UnexpectedCharacter { .. }) => {
            Some("a value that starts with this character needs quotes")
        }
        Some(ErrorKind::MappingValueNotAllowed) => {
            Some("check the indentation; a value with `: ` in it needs quotes")
        }
        Some(ErrorKind::UnknownAnchor) => Some("a value that starts with `*` needs quotes"),
        Some(ErrorKind::ExpectedDocumentStart) => {
            Some("kubectl takes no `%` directives: remove the line")
        }
        _ => None,
    };
    let templated = |line: &str| {
        let line = line.trim_start();
        line.starts_with("{{") || line.contains(": {{") || line.contains("- {{")
    };
    match specific {
        Some(help) => Some(help.to_owned()),
        None if chunk.lines().any(templated) => Some(template.to_owned()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(text: &str) -> Vec<Value> {
        let parsed = parse(text);
        assert_eq!(parsed.errors, []);
        parsed.documents.into_iter().map(|one| one.object).collect()
    }

    #[test]
    fn items_of_a_typed_list_take_its_kind_unless_they_have_one() {
        let text =
            "apiVersion: a/v1\nkind: XList\nitems: [{v: 1}, {kind: Z, v: 2}, {apiVersion: b/v1}]\n";
        assert_eq!(
            objects(text),
            [
                json!({"apiVersion": "a/v1", "kind": "X", "v": 1}),
                json!({"kind": "Z", "v": 2}),
                json!({"apiVersion": "b/v1"}),
            ]
        );
    }

    #[test]
    fn a_plain_list_gives_its_items_nothing_and_an_empty_one_is_nothing() {
        let text = "apiVersion: v1\nkind: List\nitems: [{v: 1}]\n";
        assert_eq!(objects(text), [json!({"v": 1})]);
        assert!(objects("apiVersion: v1\nkind: List\nitems: []\n").is_empty());
        let no_list = "kind: XList\nitems: 3\n";
        assert_eq!(objects(no_list), [json!({"kind": "XList", "items": 3})]);
    }
}
