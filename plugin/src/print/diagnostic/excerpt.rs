//! The lines of the sources that a diagnostic shows, short enough to be read.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::AnnotationKind;
use infer_manifest::Source;

use super::{Diagnostic, harmless};

/// A span of more lines than these is shown by its first line.
const TALLEST: usize = 6;
/// Places of one file that are more lines apart than these are shown apart: the renderer reads all
/// that lies between them.
pub(super) const APART: usize = 300;

/// The lines of one source that are shown.
pub(super) struct Excerpt<'a> {
    pub(super) name: String,
    /// The number of its first line.
    pub(super) first: usize,
    pub(super) text: Cow<'a, str>,
    pub(super) marks: Vec<Mark<'a>>,
}

/// A span of an excerpt's text.
pub(super) struct Mark<'a> {
    pub(super) kind: AnnotationKind,
    /// The line in which it starts.
    line: usize,
    pub(super) span: Range<usize>,
    pub(super) label: &'a str,
}

/// One for each part of a source, that of the primary annotation first.
pub(super) fn excerpts<'a>(diagnostic: &'a Diagnostic<'_>) -> Vec<Excerpt<'a>> {
    let mut sources: Vec<(&Source, Vec<Mark<'a>>)> = Vec::new();
    let primary = std::iter::once((AnnotationKind::Primary, &diagnostic.primary));
    let secondary = diagnostic.secondary.iter();
    let secondary = secondary.map(|one| (AnnotationKind::Context, one));
    for (kind, annotation) in primary.chain(secondary) {
        let mark = Mark {
            kind,
            line: annotation.line,
            span: shown(&annotation.source.text, &annotation.span),
            label: &annotation.label,
        };
        let known = sources.iter_mut().find(|(source, marks)| {
            let near = |known: &Mark<'_>| known.line.abs_diff(mark.line) <= APART;
            std::ptr::eq(*source, annotation.source) && marks.first().is_some_and(near)
        });
        match known {
            Some((_, marks)) => marks.push(mark),
            None => sources.push((annotation.source, vec![mark])),
        }
    }
    sources
        .into_iter()
        .map(|(source, marks)| excerpt(source, marks))
        .collect()
}

/// The span as it is marked: within the text, without the line break at its end, and no taller
/// than `TALLEST`.
fn shown(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.floor_char_boundary(span.end.clamp(start, text.len()));
    let marked = text[start..end].trim_end_matches(['\n', '\r']);
    let mut lines = marked.split('\n');
    let first = lines.next().unwrap_or_default().trim_end();
    let shown = if lines.count() < TALLEST {
        marked
    } else {
        first
    };
    start..start + shown.len()
}

fn excerpt<'a>(source: &'a Source, mut marks: Vec<Mark<'a>>) -> Excerpt<'a> {
    let text = source.text.as_str();
    let start = marks.iter().map(|mark| mark.span.start).min().unwrap_or(0);
    let end = marks.iter().map(|mark| mark.span.end).max().unwrap_or(0);
    let start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    for mark in &mut marks {
        mark.span = mark.span.start - start..mark.span.end - start;
    }
    Excerpt {
        name: harmless(&source.name),
        // All marks start in this part, the first of them in its first line.
        first: marks.iter().map(|mark| mark.line).min().unwrap_or(1),
        text: silence(text[start..end].trim_end_matches('\r')),
        marks,
    }
}

/// The second set of control characters, which annotate-snippets lets pass, as a mark of the same
/// length in bytes.
fn silence(text: &str) -> Cow<'_, str> {
    let control = |one: char| ('\u{80}'..='\u{9f}').contains(&one);
    if text.contains(control) {
        Cow::Owned(text.replace(control, "\u{bf}"))
    } else {
        Cow::Borrowed(text)
    }
}
