//! Where values stand: spans by JSON pointer, lines and columns by byte offset.

use std::borrow::Cow;
use std::ops::Range;

/// A byte span. Half the size of `Range<usize>`: there is one of these and more for every value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// `parse` refuses texts of 4 GiB long before offsets could saturate.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            start: narrow(start),
            end: narrow(end.max(start)),
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The place of one value, and of all below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) key: Option<Span>,
    /// Where the value's text is: for an alias, at its anchor.
    pub(crate) value: Span,
    /// Where the value is used: for an alias, the alias itself; else as `value`.
    pub(crate) site: Span,
    pub(crate) children: Children,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Children {
    #[default]
    None,
    /// Sorted by key, each key once.
    Map(Box<[(Box<str>, Node)]>),
    List(Box<[Node]>),
}

impl Node {
    fn child(&self, token: &str) -> Option<&Node> {
        match &self.children {
            Children::None => None,
            Children::Map(entries) => entries
                .binary_search_by(|(key, _)| key.as_ref().cmp(token))
                .ok()
                .and_then(|index| entries.get(index))
                .map(|(_, node)| node),
            Children::List(items) => items.get(token.parse::<usize>().ok()?),
        }
    }
}

/// Where the values of one object stand in its source, by JSON pointer (RFC 6901).
///
/// All spans are byte offsets into the whole text of the source, on character boundaries. An
/// object that was not read from a text has `Places::default()`, which answers `0..0`.
#[derive(Clone, Debug, Default)]
pub struct Places {
    root: Node,
    /// The document's first line.
    head: Span,
}

impl Places {
    pub(crate) fn new(root: Node, text: &str) -> Self {
        let whole = root.value.range();
        let first = text.get(whole.clone()).unwrap_or_default();
        let line = first.split(['\n', '\r']).next().unwrap_or_default();
        let head = Span::new(whole.start, whole.start + line.trim_end().len());
        Self { root, head }
    }

    /// The span of the VALUE at the pointer: a quoted scalar with its quotes, a block scalar from
    /// its `|` to its last line, a tagged scalar from its tag, a block from its first key or dash
    /// to the end of its last value, an absent value (`key:`) as the empty span after the colon.
    /// An alias answers with the place of the anchored text.
    ///
    /// Where the pointer leads nowhere: the nearest ancestor that exists. The root answers with
    /// the document's first line, not with the whole document.
    pub fn value(&self, pointer: &str) -> Range<usize> {
        match self.nearest(pointer) {
            Some(node) => node.value.range(),
            None => self.head.range(),
        }
    }

    /// The span of the KEY at the pointer; `None` for list items, for the root and for a pointer
    /// that leads nowhere.
    pub fn key(&self, pointer: &str) -> Option<Range<usize>> {
        self.find(pointer)?.key.map(Span::range)
    }

    /// From the start of the key to the end of the value, on one go: the whole field. A list item
    /// has no key, so its value. An alias ends with the alias, not at its anchor.
    ///
    /// Falls back as [`Places::value`] does.
    pub fn field(&self, pointer: &str) -> Range<usize> {
        match self.nearest(pointer) {
            Some(node) => match node.key {
                Some(key) => Span::new(key.start as usize, node.site.end as usize).range(),
                None => node.site.range(),
            },
            None => self.head.range(),
        }
    }

    /// Whether exactly this pointer exists in the source. The root (`""`) always does.
    pub fn contains(&self, pointer: &str) -> bool {
        self.find(pointer).is_some()
    }

    fn find(&self, pointer: &str) -> Option<&Node> {
        tokens(pointer).try_fold(&self.root, |node, token| node.child(&token))
    }

    /// The node at the pointer or its nearest ancestor; `None` means the root.
    fn nearest(&self, pointer: &str) -> Option<&Node> {
        let mut node = &self.root;
        let mut found = None;
        for token in tokens(pointer) {
            let Some(child) = node.child(&token) else {
                break;
            };
            node = child;
            found = Some(child);
        }
        found
    }
}

/// The reference tokens of a pointer, unescaped.
fn tokens(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(|token| {
        if token.contains('~') {
            // The order matters: `~01` is `~1`, not `/`.
            Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
        } else {
            Cow::Borrowed(token)
        }
    })
}

/// 1-based line and column of a byte offset. The column counts characters; a tab is one. Lines end
/// at `\n`. An offset past the end is the end; one inside a character is that character.
///
/// Reads the text from its start each time: for many offsets of one text use [`Lines`].
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    (line, column(text, start, offset))
}

/// Characters from the start of a line to an offset, plus one.
fn column(text: &str, start: usize, offset: usize) -> usize {
    let end = text.floor_char_boundary(offset);
    1 + text
        .get(start..end)
        .map_or(0, |before| before.chars().count())
}

/// The line starts of one text: [`position`] for many offsets.
#[derive(Clone, Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Reads the text once.
    pub fn new(text: &'t str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// As [`position`], without reading the text again.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        (line, column(self.text, start, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of the last document, and a way to read them.
    fn places(text: &str) -> Places {
        let parsed = crate::parse(text);
        assert_eq!(parsed.errors, [], "{text:?}");
        parsed.documents.last().expect("a document").places.clone()
    }

    const TEXT: &str = "\
# a comment
kind: X # and one more
meta/data:
  a~b: 'quoted: text' # c
  empty:
  tab: foo\t# c
list:
- x
- - y
  - -1
-   # c
  key: [1, {é: \"ü\"}]
deep:
  list:
    - |-  # header
      first

      second

    - &anchor
      k: v
  alias: *anchor
  merged:
    <<: *anchor
    own: 1
tagged: !!str 12
plain: two
  lines # c
";

    #[test]
    fn a_value_is_its_text() {
        let places = places(TEXT);
        for (pointer, value, field) in [
            ("/kind", "X", "kind: X"),
            ("/meta~1data/a~0b", "'quoted: text'", "a~b: 'quoted: text'"),
            ("/meta~1data/empty", "", "empty:"),
            ("/meta~1data/tab", "foo", "tab: foo"),
            ("/list/0", "x", "x"),
            ("/list/1", "- y\n  - -1", "- y\n  - -1"),
            ("/list/1/1", "-1", "-1"),
            ("/list/2", "key: [1, {é: \"ü\"}]", "key: [1, {é: \"ü\"}]"),
            ("/list/2/key/1", "{é: \"ü\"}", "{é: \"ü\"}"),
            ("/list/2/key/1/é", "\"ü\"", "é: \"ü\""),
            (
                "/deep/list/0",
                "|-  # header\n      first\n\n      second",
                "|-  # header\n      first\n\n      second",
            ),
            ("/deep/list/1", "k: v", "k: v"),
            ("/deep/alias", "k: v", "alias: *anchor"),
            ("/deep/alias/k", "v", "k: v"),
            ("/deep/merged/k", "v", "k: v"),
            ("/deep/merged/own", "1", "own: 1"),
            ("/tagged", "!!str 12", "tagged: !!str 12"),
            ("/plain", "two\n  lines", "plain: two\n  lines"),
        ] {
            assert!(places.contains(pointer), "{pointer}");
            assert_eq!(&TEXT[places.value(pointer)], value, "{pointer}");
            assert_eq!(&TEXT[places.field(pointer)], field, "{pointer}");
        }
    }

    #[test]
    fn a_list_starts_at_its_first_dash_wherever_that_stands() {
        for (text, list) in [
            ("a:\n- x\n- y\n", "- x\n- y"),
            ("a:\n  - x\n", "- x"),
            ("a: # - c\n-\n  b: 1\n", "-\n  b: 1"),
            ("a:\n- -1\n", "- -1"),
            ("a: &b-c\n- - x\n", "- - x"),
            ("a:\n- - x\n- - y\n", "- - x\n- - y"),
            ("a: [x,\n  y ]  # c\n", "[x,\n  y ]"),
        ] {
            assert_eq!(&text[places(text).value("/a")], list, "{text:?}");
        }
        let text = "a:\n- - x\n- - y\n";
        assert_eq!(&text[places(text).value("/a/1")], "- y");
    }

    #[test]
    fn a_key_is_its_text_with_its_quotes() {
        let text = "a: 1\n\"b\" : [x]\n? c\n: d\n";
        let places = places(text);
        let key = |pointer| places.key(pointer).map(|range| &text[range]);
        assert_eq!(key("/a"), Some("a"));
        assert_eq!(key("/b"), Some("\"b\""));
        assert_eq!(key("/c"), Some("c"));
        assert_eq!(key("/b/0"), None);
        assert_eq!(key(""), None);
        assert_eq!(key("/none"), None);
        assert_eq!(&text[places.field("/c")], "c\n: d");
    }

    #[test]
    fn a_pointer_that_leads_nowhere_answers_with_what_is_nearest() {
        let text = "# c\napiVersion: v1 # c\nspec:\n  a: [1]\n";
        let places = places(text);
        for pointer in ["", "/none", "/none/deeper", "no pointer", "/"] {
            assert_eq!(
                &text[places.value(pointer)],
                "apiVersion: v1 # c",
                "{pointer}"
            );
            assert_eq!(places.value(pointer), places.field(pointer), "{pointer}");
        }
        assert_eq!(&text[places.value("/spec/b/c")], "a: [1]");
        assert_eq!(&text[places.field("/spec/b/c")], "spec:\n  a: [1]");
        assert_eq!(&text[places.value("/spec/a/7")], "[1]");
        assert!(
            crate::parse("\"~1/\": 1").documents[0]
                .places
                .contains("/~01~1")
        );
        assert!(!places.contains("/spec/b") && !places.contains("/spec/a/7"));
        assert!(places.contains("") && places.contains("/spec/a/0"));
    }

    #[test]
    fn what_was_overwritten_by_a_merge_is_where_the_merge_has_it() {
        let text = "b: &b {x: 1}\nv:\n  x: 2\n  <<: *b\nw:\n  <<: *b\n  x: 3\n";
        let places = places(text);
        assert_eq!(&text[places.value("/v/x")], "1");
        assert_eq!(&text[places.value("/w/x")], "3");
    }

    #[test]
    fn spans_hold_in_every_document_and_item_of_a_text() {
        for newline in ["\n", "\r\n"] {
            let text = "\u{feff}a: é\n--- # c\nkind: List\nitems:\n- kind: A\n  v: [x]\n- {kind: B, v: 'é'}\n---\n{\"v\": 1}\n{\"v\":2}\n---\nv: |\n  a\n  b\n\n"
                .replace('\n', newline);
            let parsed = crate::parse(&text);
            assert_eq!(parsed.errors, []);
            let found: Vec<&str> = parsed
                .documents
                .iter()
                .map(|one| &text[one.places.field("/v")])
                .collect();
            let block = "v: |\n  a\n  b".replace('\n', newline);
            let expected = ["a: é", "v: [x]", "v: 'é'", "\"v\": 1", "\"v\":2", &block];
            assert_eq!(found, expected);
            assert_eq!(
                &text[parsed.documents[2].places.value("")],
                "{kind: B, v: 'é'}"
            );
        }
    }

    #[test]
    fn columns_count_characters_and_a_tab_is_one() {
        let text = "a: é\n\tb: ü\r\nc";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, text.find('b').expect("b")), (2, 2));
        assert_eq!(position(text, text.find('ü').expect("ü")), (2, 5));
        assert_eq!(position(text, text.find("\r\n").expect("end")), (2, 6));
        assert_eq!(position(text, text.len()), (3, 2));
    }

    #[test]
    fn an_offset_outside_of_the_text_or_inside_of_a_character_has_a_place() {
        assert_eq!(position("ab", 99), (1, 3));
        assert_eq!(position("é", 1), (1, 1));
        assert_eq!(position("", 0), (1, 1));
    }

    #[test]
    fn lines_agree_with_position_everywhere() {
        for text in ["", "\n", "a\n\nbé\r\n\tc", "é\n", "x"] {
            let lines = Lines::new(text);
            for offset in 0..=text.len() + 1 {
                assert_eq!(lines.position(offset), position(text, offset), "{text:?}");
            }
        }
    }
}
