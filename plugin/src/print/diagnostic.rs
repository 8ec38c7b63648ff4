//! One finding as rustc would print it: title, place, the lines of the source, notes.
//!
//! Knows no rules. What comes from a manifest (its lines, and its values in messages) may hold
//! anything; control characters never reach the terminal.

mod excerpt;

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Element, Level as Severity, Renderer, Snippet, normalize_untrusted_str};
use infer_manifest::Source;

use excerpt::excerpts;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// `error`
    Error,
    /// `warning`
    Warning,
    /// `note`
    Note,
}

impl From<infer_core::rule::Level> for Level {
    fn from(level: infer_core::rule::Level) -> Level {
        match level {
            infer_core::rule::Level::Error => Level::Error,
            infer_core::rule::Level::Warning => Level::Warning,
            infer_core::rule::Level::Note => Level::Note,
        }
    }
}

/// What is said about some places of some sources.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic<'a> {
    /// How bad it is.
    pub(crate) level: Level,
    /// The rule's id, shown in brackets; empty where no rule speaks.
    pub(crate) rule: &'a str,
    /// One line.
    pub(crate) message: String,
    /// The place that the title stands for.
    pub(crate) primary: Annotation<'a>,
    /// Places that explain it, in this file or in others.
    pub(crate) secondary: Vec<Annotation<'a>>,
    /// Lines after `= note:`.
    pub(crate) notes: Vec<String>,
    /// Lines after `= help:`.
    pub(crate) help: Vec<String>,
}

/// A marked span of a source.
#[derive(Clone, Debug)]
pub(crate) struct Annotation<'a> {
    /// Where the span is.
    pub(crate) source: &'a Source,
    /// 1-based line in which the span starts. Whoever made the span knows it; counting lines again
    /// for each finding would read a large file once for each.
    pub(crate) line: usize,
    /// Bytes of the source's text. Out of bounds or inside of a character: the nearest place.
    pub(crate) span: Range<usize>,
    /// Said beside the marks; may be empty.
    pub(crate) label: String,
}

/// The text for it, with a line break at its end. `colour` is ANSI styles; `ascii` keeps our own
/// words to ASCII (lines of the source are shown as they are); `width` is in columns.
pub(crate) fn render(
    diagnostic: &Diagnostic<'_>,
    colour: bool,
    ascii: bool,
    width: usize,
) -> String {
    let ours = |text: &str| {
        let text = harmless(text);
        if ascii { plain(&text) } else { text }
    };
    let level = match diagnostic.level {
        Level::Error => Severity::ERROR,
        Level::Warning => Severity::WARNING,
        Level::Note => Severity::NOTE,
    };
    let mut title = level.primary_title(ours(&diagnostic.message));
    if !diagnostic.rule.is_empty() {
        title = title.id(diagnostic.rule);
    }
    let mut group = title.elements(Vec::<Element<'_>>::new());
    for excerpt in excerpts(diagnostic) {
        let marks = excerpt.marks.into_iter().map(|mark| {
            let label = (!mark.label.is_empty()).then(|| ours(mark.label));
            mark.kind.span(mark.span).label(label)
        });
        let snippet = Snippet::source(excerpt.text)
            .path(excerpt.name)
            .line_start(excerpt.first)
            .annotations(marks);
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Severity::NOTE.message(ours(note)));
    }
    for help in &diagnostic.help {
        group = group.element(Severity::HELP.message(ours(help)));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(width);
    let mut text = renderer.render(&[group]);
    text.push('\n');
    text
}

/// Text that moves no cursor: control characters become pictures of themselves or a mark.
fn harmless(text: &str) -> String {
    // Terminals obey the second set too, and annotate-snippets lets it pass.
    normalize_untrusted_str(text).replace(|one: char| one.is_control() && one != '\n', "\u{fffd}")
}

/// Our own words in ASCII: what messages are made of, and a question mark for the rest.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '…' => out.push_str("..."),
            '→' => out.push_str("->"),
            '←' => out.push_str("<-"),
            '≤' => out.push_str("<="),
            '≥' => out.push_str(">="),
            '×' => out.push('x'),
            '·' => out.push('-'),
            '–' | '—' => out.push('-'),
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            _ if character.is_ascii() => out.push(character),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::excerpt::APART;
    use super::*;
    use infer_manifest::position;

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The span of a part of the text.
    fn mark<'a>(source: &'a Source, part: &str, label: &str) -> Annotation<'a> {
        let start = source.text.find(part).expect("part of the text");
        Annotation {
            source,
            line: position(&source.text, start).0,
            span: start..start + part.len(),
            label: label.to_owned(),
        }
    }

    fn diagnostic<'a>(primary: Annotation<'a>, secondary: Vec<Annotation<'a>>) -> Diagnostic<'a> {
        Diagnostic {
            level: Level::Warning,
            rule: "some-rule",
            message: "something is so".to_owned(),
            primary,
            secondary,
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    fn rendered(primary: Annotation<'_>, secondary: Vec<Annotation<'_>>) -> String {
        render(&diagnostic(primary, secondary), false, false, 100)
    }

    const SERVICE: &str = "\
apiVersion: v1
kind: Service
spec:
  selector:
    app: llama
---
apiVersion: apps/v1
kind: Deployment
spec:
  replicas: 1
  template:
    spec: {}
";

    #[test]
    fn a_finding_looks_like_the_mock_up() {
        let file = source("k8s/inference.yaml", SERVICE);
        let mut finding = diagnostic(
            mark(&file, "app: llama", "no pod template carries this label"),
            vec![mark(&file, "template:", "no `metadata.labels` here")],
        );
        finding.level = Level::Error;
        finding.notes = vec!["`spec.selector` is missing too".to_owned()];
        finding.help = vec![
            "add the labels".to_owned(),
            "`kubectl infer explain some-rule`".to_owned(),
        ];
        assert_eq!(
            render(&finding, false, false, 100),
            "\
error[some-rule]: something is so
  --> k8s/inference.yaml:5:5
   |
 5 |     app: llama
   |     ^^^^^^^^^^ no pod template carries this label
...
11 |   template:
   |   --------- no `metadata.labels` here
   |
   = note: `spec.selector` is missing too
   = help: add the labels
   = help: `kubectl infer explain some-rule`
"
        );
    }

    #[test]
    fn without_a_rule_there_are_no_brackets() {
        let file = source("a.yaml", "a: [\n");
        let mut finding = diagnostic(mark(&file, "[", ""), Vec::new());
        finding.rule = "";
        let text = render(&finding, false, false, 100);
        assert_eq!(text.lines().next(), Some("warning: something is so"));
    }

    #[test]
    fn a_secondary_place_may_be_in_another_file() {
        let one = source("a.yaml", "kind: Ingress\nport: 80\n");
        let two = source("b.yaml", "# c\nkind: Service\nport: 8080\n");
        let text = rendered(
            mark(&two, "port: 8080", "is 8080"),
            vec![
                mark(&one, "port: 80", "is 80"),
                mark(&two, "kind: Service", ""),
            ],
        );
        assert_eq!(
            text,
            "\
warning[some-rule]: something is so
 --> b.yaml:3:1
  |
2 | kind: Service
  | -------------
3 | port: 8080
  | ^^^^^^^^^^ is 8080
  |
 ::: a.yaml:2:1
  |
2 | port: 80
  | -------- is 80
"
        );
    }

    #[test]
    fn places_far_apart_are_shown_apart() {
        let text = format!("a: 1\n{}b: 2\n", "# c\n".repeat(APART + 1));
        let file = source("a.yaml", &text);
        assert_eq!(
            rendered(mark(&file, "b: 2", ""), vec![mark(&file, "a: 1", "here")]),
            "\
warning[some-rule]: something is so
   --> a.yaml:303:1
    |
303 | b: 2
    | ^^^^
    |
   ::: a.yaml:1:1
    |
  1 | a: 1
    | ---- here
"
        );
    }

    #[test]
    fn windows_line_ends_and_tabs_change_no_place() {
        let file = source("a.yaml", "a: 1\r\nb:\t'é'\tc # d\r\ne: |\r\n  f\r\n  g\r\n");
        let text = rendered(
            mark(&file, "c #", "here"),
            vec![mark(&file, "|\r\n  f\r\n  g\r\n", "block")],
        );
        assert_eq!(
            text,
            "\
warning[some-rule]: something is so
 --> a.yaml:2:8
  |
2 |   b:    'é'    c # d
  |                ^^^ here
3 |   e: |
  |  ____-
4 | |   f
5 | |   g
  | |___- block
"
        );
    }

    #[test]
    fn a_tall_block_is_shown_by_its_first_line() {
        let six = source(
            "a.yaml",
            "a:\n  b: 1\n  c: 2\n  d: 3\n  e: 4\n  f: 5\ng: 6\n",
        );
        let tall = mark(
            &six,
            "a:\n  b: 1\n  c: 2\n  d: 3\n  e: 4\n  f: 5\n",
            "six lines",
        );
        assert_eq!(
            rendered(tall, Vec::new()),
            "\
warning[some-rule]: something is so
 --> a.yaml:1:1
  |
1 | / a:
2 | |   b: 1
3 | |   c: 2
4 | |   d: 3
5 | |   e: 4
6 | |   f: 5
  | |______^ six lines
"
        );
        let seven = mark(&six, &six.text, "seven lines");
        assert_eq!(
            rendered(seven, Vec::new()),
            "\
warning[some-rule]: something is so
 --> a.yaml:1:1
  |
1 | a:
  | ^^ seven lines
"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_its_mark_with_its_true_column() {
        let text = format!(
            "{{\"é\":\"{}\",\"port\":80,\"z\":\"{}\"}}",
            "x".repeat(5000),
            "y".repeat(5000)
        );
        let file = source("a.json", &text);
        let text = rendered(mark(&file, "80", "here"), vec![mark(&file, "\"z\"", "")]);
        assert_eq!(text,
            "\
warning[some-rule]: something is so
 --> a.json:1:5016
  |
1 | ...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"port\":80,\"z\":\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy...
  |                                             ^^ ---
  |                                             |
  |                                             here
"
        );
        let whole = rendered(mark(&file, &file.text, "all"), Vec::new());
        assert!(whole.len() < 3000, "{}", whole.len());
    }

    #[test]
    fn what_is_absent_is_marked_where_it_would_be() {
        let file = source("a.yaml", "a:\nb: 1");
        let at = |span: Range<usize>| Annotation {
            source: &file,
            line: position(&file.text, span.start).0,
            span,
            label: "here".to_owned(),
        };
        assert_eq!(
            rendered(at(2..2), Vec::new()),
            "\
warning[some-rule]: something is so
 --> a.yaml:1:3
  |
1 | a:
  |   ^ here
"
        );
        assert_eq!(
            rendered(at(7..7), Vec::new()),
            "\
warning[some-rule]: something is so
 --> a.yaml:2:5
  |
2 | b: 1
  |     ^ here
"
        );
        let backwards = Range { start: 5, end: 2 };
        for span in [0..99, 99..99, backwards] {
            assert!(rendered(at(span), Vec::new()).contains("here"));
        }
        let empty = source("b.yaml", "");
        let nowhere = Annotation {
            source: &empty,
            line: 1,
            span: 0..0,
            label: String::new(),
        };
        assert!(rendered(nowhere, Vec::new()).contains("b.yaml:1:1"));
    }

    #[test]
    fn no_control_character_of_a_manifest_reaches_the_terminal() {
        let file = source("a\u{1b}.yaml", "a: \u{1b}[31m\u{7}\u{202e}\u{9b}\n");
        let mut finding = diagnostic(
            mark(&file, "a: \u{1b}[31m", "\u{1b}label\u{9b}"),
            Vec::new(),
        );
        finding.message = "\u{1b}[2J".to_owned();
        finding.notes = vec!["\u{1b}note\u{202e}".to_owned()];
        finding.help = vec!["\u{9b}help".to_owned()];
        let text = render(&finding, false, false, 100);
        let control = text.find(|one: char| one == '\u{202e}' || one.is_control() && one != '\n');
        assert_eq!(control, None, "{text:?}");
    }

    #[test]
    fn colour_adds_nothing_to_the_text() {
        let file = source("a.yaml", SERVICE);
        let finding = diagnostic(
            mark(&file, "app: llama", "here"),
            vec![mark(&file, "kind", "")],
        );
        let coloured = render(&finding, true, false, 100);
        assert!(coloured.contains("\u{1b}["));
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(stripped, render(&finding, false, false, 100));
    }

    #[test]
    fn our_own_words_are_ascii_where_that_is_asked() {
        let file = source("a.yaml", "é: 1\n");
        let mut finding = diagnostic(mark(&file, "1", "3 × 10s → 30s"), Vec::new());
        finding.message = "“too long…”".to_owned();
        finding.notes = vec!["≥ 5 – ≤ 7 ö".to_owned()];
        assert_eq!(
            render(&finding, false, true, 100),
            "\
warning[some-rule]: \"too long...\"
 --> a.yaml:1:4
  |
1 | é: 1
  |    ^ 3 x 10s -> 30s
  |
  = note: >= 5 - <= 7 ?
"
        );
    }
}
