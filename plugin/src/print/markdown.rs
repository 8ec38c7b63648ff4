//! A page as text for a terminal. Where nothing is coloured it is the page as it was written.

use super::text::STRONG;
use crate::terminal::Look;
use anstyle::{AnsiColor, Style};

const CODE: Style = AnsiColor::Cyan.on_default();

/// Renders a page.
pub(crate) fn render(page: &str, look: Look) -> String {
    if !look.colour {
        return page.to_owned();
    }
    let mut out = String::with_capacity(page.len() + 256);
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            out.push_str(&look.paint(CODE, &format!("    {line}")));
        } else if line.starts_with('#') {
            out.push_str(&look.paint(STRONG, line.trim_start_matches('#').trim_start()));
        } else {
            inline(line, look, &mut out);
        }
        out.push('\n');
    }
    out
}

/// Paints what stands in backticks.
fn inline(line: &str, look: Look, out: &mut String) {
    let mut parts = line.split('`').peekable();
    let mut code = false;
    while let Some(part) = parts.next() {
        // A backtick without its partner is text.
        if code && parts.peek().is_none() {
            out.push('`');
            out.push_str(part);
        } else if code {
            out.push_str(&look.paint(CODE, part));
        } else {
            out.push_str(part);
        }
        code = !code;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(colour: bool) -> Look {
        Look {
            colour,
            ascii: true,
            width: 100,
        }
    }

    #[test]
    fn without_colour_a_page_stays_as_it_is() {
        let page = "# t\n\n`a` b\n```yaml\nx: 1\n```\n";
        assert_eq!(render(page, look(false)), page);
    }

    #[test]
    fn with_colour_the_marks_give_way_to_it() {
        let shown = render("## t\n`a` b ` c\n```yaml\nx: 1\n```\n", look(true));
        let plain = anstream::adapter::strip_str(&shown).to_string();
        assert_eq!(plain, "t\na b ` c\n    x: 1\n");
        assert!(shown.contains("\u{1b}["));
    }
}
