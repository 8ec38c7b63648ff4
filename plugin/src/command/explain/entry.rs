//! How an entry of the catalogue is laid out: titles, and what stands beside them.

use crate::print::text::{STRONG, wrap};
use crate::terminal::Look;
use infer_core::catalogue::Tier;
use std::fmt::Write;

/// Columns of a title, and the space after it.
const INDENT: usize = 13;

/// Columns of a page: it is read, not scanned.
const WIDTH: usize = 80;

/// The tier's word, as the catalogue writes it.
pub(super) fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Run => "run",
        Tier::SourceRead => "source-read",
        Tier::ExplainOnly => "explain-only",
    }
}

/// How well the facts are known, in words.
pub(super) fn tier(tier: Tier) -> String {
    let meaning = match tier {
        Tier::Run => "seen on the real thing; fixes rest on it",
        Tier::SourceRead => "read in its source; fixes rest on it",
        Tier::ExplainOnly => "good enough to explain; nothing is changed because of it",
    };
    format!("{}: {meaning}", tier_word(tier))
}

/// Seconds as people say them: `60 s`, `4 min`, `1 h`.
pub(super) fn seconds(seconds: u32) -> String {
    match seconds {
        0 => "0 s".to_owned(),
        it if it % 3600 == 0 => format!("{} h", it / 3600),
        it if it % 60 == 0 && it > 120 => format!("{} min", it / 60),
        it => format!("{it} s"),
    }
}

/// A page that is written line by line.
pub(super) struct Page {
    look: Look,
    out: String,
}

impl Page {
    /// With its heading.
    pub(super) fn new(name: &str, title: &str, look: Look) -> Page {
        let mut out = look.paint(STRONG, name);
        if !title.is_empty() {
            let _ = write!(out, "  {title}");
        }
        out.push('\n');
        Page { look, out }
    }

    /// An empty line and a heading.
    pub(super) fn heading(&mut self, text: &str) {
        let _ = write!(self.out, "\n{}\n", self.look.paint(STRONG, text));
    }

    /// A fact under its title; several texts stand one below the other. Nothing where there is none.
    pub(super) fn fact<T: AsRef<str>>(&mut self, title: &str, texts: &[T]) {
        let width = self.look.width.min(WIDTH).saturating_sub(INDENT);
        let mut title = title;
        for text in texts.iter().map(AsRef::as_ref).filter(|it| !it.is_empty()) {
            for row in wrap(text, width) {
                // Writing to a String cannot fail.
                let _ = writeln!(self.out, "{title:<INDENT$}{row}");
                title = "";
            }
        }
    }

    /// The whole page.
    pub(super) fn end(self) -> String {
        self.out
    }
}
