//! Two forms of one text as a unified diff. A hunk is headed by where in the object it is: line
//! numbers would be those of our rendering and of no file.

use super::text::printable;
use crate::terminal::Look;
use anstyle::{AnsiColor, Style};
use similar::{ChangeTag, DiffTag, TextDiff};
use std::fmt::Write;

const PLACE: Style = AnsiColor::Cyan.on_default();
const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// Renders the hunks; nothing where the texts are the same.
pub(crate) fn render(before: &str, after: &str, look: Look) -> String {
    let diff = TextDiff::from_lines(before, after);
    let old: Vec<&str> = before.lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let mut out = String::new();
    for group in diff.grouped_ops(CONTEXT) {
        let Some(first) = group.iter().find(|op| op.tag() != DiffTag::Equal) else {
            continue;
        };
        // What is deleted stands in the old text only.
        let place = if first.tag() == DiffTag::Delete {
            way(&old, first.old_range().start)
        } else {
            way(&new, first.new_range().start)
        };
        let _ = writeln!(out, "{}", look.paint(PLACE, &format!("@@ {place} @@")));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, style) = match change.tag() {
                ChangeTag::Equal => (' ', Style::new()),
                ChangeTag::Insert => ('+', ADDED),
                ChangeTag::Delete => ('-', REMOVED),
            };
            let line = printable(change.value().trim_end_matches('\n'));
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{}", look.paint(style, &format!("{sign}{line}")));
        }
    }
    out
}

/// The keys that lead to a line of YAML in block style, by their indentation.
fn way(lines: &[&str], line: usize) -> String {
    let depth = |text: &str| text.len() - text.trim_start().len();
    let mut keys: Vec<&str> = Vec::new();
    let Some(shown) = lines.get(line) else {
        return String::new();
    };
    let mut above = depth(shown);
    // An item of a list stands as deep as the key that holds the list.
    let mut in_list = shown.trim_start().starts_with("- ");
    for text in lines[..line].iter().rev() {
        let own = depth(text);
        let item = text.trim_start().starts_with("- ");
        if own < above || (in_list && own == above && !item) {
            above = own;
            in_list = item;
            // The dash of an item is not where its key stands, and the item is no key itself.
            if !item && let Some((key, _)) = text.trim_start().split_once(':') {
                keys.push(key);
            }
        }
    }
    keys.reverse();
    if keys.is_empty() {
        return "top".to_owned();
    }
    printable(&keys.join(".")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        colour: false,
        ascii: true,
        width: 100,
    };

    #[test]
    fn a_hunk_is_headed_by_its_place() {
        let before = "kind: X\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        b: 1\n        c: 1\n        d: 1\n        e: 1\n";
        let after = before.replace("e: 1\n", "e: 1\n        f: 1\n");
        assert_eq!(
            render(before, &after, LOOK),
            "@@ spec.template.spec.containers @@\n         c: 1\n         d: 1\n         e: 1\n+        f: 1\n"
        );
    }

    #[test]
    fn a_hunk_at_the_top_and_one_at_an_item() {
        assert_eq!(
            render("a: 1\n", "a: 2\n", LOOK),
            "@@ top @@\n-a: 1\n+a: 2\n"
        );
        let before = "l:\n  m:\n  - n: 1\n  - n: 2\n  - n: 3\n  - n: 4\n  - n: 5\n";
        let after = before.replace("n: 5", "n: 6");
        assert!(render(before, &after, LOOK).starts_with("@@ l.m @@\n   - n: 2\n"));
        let after = before.replace("  - n: 5\n", "");
        assert!(render(before, &after, LOOK).starts_with("@@ l.m @@\n   - n: 2\n"));
        assert_eq!(render(before, before, LOOK), "");
    }
}
