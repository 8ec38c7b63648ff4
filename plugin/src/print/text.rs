//! Words, lines and signs.

use crate::terminal::Look;
use anstyle::{AnsiColor, Style};
use std::borrow::Cow;

/// Something that went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to look at.
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// A heading.
pub(crate) const STRONG: Style = Style::new().bold();

/// A sign, with a word beside it always: colour and sign alone say nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sign {
    /// As it should be.
    Good,
    /// To look at.
    Doubtful,
    /// Wrong.
    Bad,
}

impl Sign {
    /// As this stream can show it.
    pub(crate) fn show(self, look: Look) -> String {
        let (glyph, plain, style) = match self {
            Sign::Good => ("✔", "ok", GOOD),
            Sign::Doubtful => ("▲", "!", DOUBTFUL),
            Sign::Bad => ("✖", "x", BAD),
        };
        look.paint(style, if look.ascii { plain } else { glyph })
    }
}

/// Text from a file or the command line, without what would command the terminal: control
/// characters, and those that reorder text. They are shown as escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let commands = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if commands(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// "1 error", "2 errors".
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Breaks text into lines of at most `width` columns where it has spaces. What stands in backticks
/// stays together, so that it can be copied, unless it is longer than a line itself.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut columns = 0;
    for piece in pieces(text, width) {
        let length = piece.chars().count();
        if columns > 0 && columns + 1 + length > width {
            lines.push(String::new());
            columns = 0;
        }
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(piece);
        columns += length;
    }
    lines
}

/// The parts between spaces, without those in backticks that fit on a line.
fn pieces(text: &str, width: usize) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = end_of_piece(rest, width);
        found.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    found
}

fn end_of_piece(text: &str, width: usize) -> usize {
    let space = text.find(' ').unwrap_or(text.len());
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            ' ' if !quoted => {
                return if at > width { space } else { at };
            }
            _ => {}
        }
    }
    if quoted || text.len() > width {
        space
    } else {
        text.len()
    }
}

/// A word as a shell takes it.
pub(crate) fn shell(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", printable(&word.replace('\'', r"'\''"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_the_terminal_is_shown_as_an_escape() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(printable("é 漢"), "é 漢");
    }

    #[test]
    fn lines_break_at_spaces_and_not_in_backticks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("set `a: 1` now", 8), ["set", "`a: 1`", "now"]);
        assert_eq!(wrap("`a b c d e f`", 5), ["`a b", "c d e", "f`"]);
        assert_eq!(
            wrap("an ` alone is text", 5),
            ["an `", "alone", "is", "text"]
        );
        assert_eq!(wrap("toolongforaline x", 5), ["toolongforaline", "x"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(shell("k8s/a.yaml"), "k8s/a.yaml");
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }
}
