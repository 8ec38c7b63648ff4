//! From a JSON pointer to the text that a person should look at.

use infer_manifest::Places;
use serde_json::Value;
use std::ops::Range;

/// The span to point at for a pointer into `object`.
///
/// A scalar is pointed at itself where it stands on one line. A map or a list is pointed at by its
/// key: its own text is what there is, and most often the finding is about what is not. So is the
/// parent of what is missing. What has no key (an item of a list, the whole object) is pointed at
/// by its first line.
pub(crate) fn span(object: &Value, places: &Places, text: &str, pointer: &str) -> Range<usize> {
    let mut at = pointer;
    while !places.contains(at) {
        at = at.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    let value = places.value(at);
    let first = first_line(text, value.clone());
    let holds_others = object
        .pointer(at)
        .is_some_and(|value| value.is_object() || value.is_array());
    if at == pointer && !holds_others && first == value && !value.is_empty() {
        return value;
    }
    places.key(at).unwrap_or(first)
}

fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let shown = text.get(span.clone()).unwrap_or_default();
    let line = shown.split('\n').next().unwrap_or_default();
    // A line may end in CR LF.
    let line = if line.len() < shown.len() {
        line.trim_end()
    } else {
        line
    };
    span.start..span.start + line.len()
}

/// The byte offset of a 1-based line and column, the column in characters.
pub(crate) fn offset(text: &str, (line, column): (usize, usize)) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(newline) => start += newline + 1,
            None => return text.len(),
        }
    }
    let rest = &text[start..];
    let end = rest.find('\n').unwrap_or(rest.len());
    let within = rest[..end].char_indices().nth(column.saturating_sub(1));
    start + within.map_or(end, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
kind: X
metadata:
  annotations:
    a/b: \"é10G\"
spec:
  empty:
  list:
  - name: server
    image: i
  flow: {a: 1}
  text: |
    a
    b
";

    fn shown(pointer: &str) -> &'static str {
        let parsed = infer_manifest::parse(TEXT);
        let document = parsed.documents.first().unwrap();
        &TEXT[span(&document.object, &document.places, TEXT, pointer)]
    }

    #[test]
    fn a_scalar_on_one_line_is_shown_itself() {
        assert_eq!(shown("/metadata/annotations/a~1b"), "\"é10G\"");
        assert_eq!(shown("/spec/list/0/image"), "i");
    }

    #[test]
    fn what_holds_others_or_stands_on_many_lines_is_shown_by_its_key() {
        assert_eq!(shown("/metadata"), "metadata");
        assert_eq!(shown("/metadata/annotations"), "annotations");
        assert_eq!(shown("/spec/flow"), "flow");
        assert_eq!(shown("/spec/text"), "text");
        assert_eq!(shown("/spec/list"), "list");
        assert_eq!(shown("/spec/empty"), "empty");
    }

    #[test]
    fn what_is_not_there_is_shown_by_its_parent() {
        assert_eq!(shown("/metadata/labels"), "metadata");
        assert_eq!(shown("/spec/flow/b"), "flow");
        assert_eq!(
            shown("/spec/list/0/readinessProbe/timeoutSeconds"),
            "name: server"
        );
        assert_eq!(shown("/status"), "kind: X");
    }

    #[test]
    fn what_has_no_key_is_shown_by_its_first_line() {
        assert_eq!(shown("/spec/list/0"), "name: server");
        assert_eq!(shown(""), "kind: X");
    }

    #[test]
    fn an_offset_is_the_inverse_of_a_position() {
        for text in ["", "a\r\nbé\n\tc", "é\n"] {
            for (at, _) in text.char_indices() {
                assert_eq!(
                    offset(text, infer_manifest::position(text, at)),
                    at,
                    "{text:?}"
                );
            }
            assert_eq!(offset(text, (99, 1)), text.len());
        }
        assert_eq!(offset("a\nb", (1, 99)), 1);
    }
}
