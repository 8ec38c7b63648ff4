//! How output may look: colour, characters and width, decided once for each stream.

use anstream::AutoStream;
use anstream::stream::RawStream;
use std::env;
use std::io::{self, IsTerminal, Write};

/// Width where nobody can say: no terminal reads it.
const WIDTH: usize = 100;
/// What a terminal wider or narrower than this is taken for: lines stay readable.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=140;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, as NO_COLOR, CLICOLOR_FORCE and TERM say
    #[default]
    Auto,
    /// Even into a pipe
    Always,
    /// Not even on a terminal
    Never,
}

impl From<Colour> for anstream::ColorChoice {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

/// How the output of one stream may look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Whether to colour.
    pub(crate) colour: bool,
    /// Whether only ASCII may be used.
    pub(crate) ascii: bool,
    /// Columns.
    pub(crate) width: usize,
}

impl Look {
    /// Of a stream, under these flags.
    pub(crate) fn of<S: RawStream>(stream: &S, colour: Colour, ascii: bool) -> Look {
        let colour = match colour {
            Colour::Auto => AutoStream::choice(stream) != anstream::ColorChoice::Never,
            Colour::Always => true,
            Colour::Never => false,
        };
        let width = if stream.is_terminal() {
            terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0))
        } else {
            WIDTH
        };
        Look {
            colour,
            ascii: ascii || !speaks_utf8(|name| env::var(name).ok()),
            width: width.clamp(*WIDTHS.start(), *WIDTHS.end()),
        }
    }

    /// Text in this style, if styles may be used.
    pub(crate) fn paint(self, style: anstyle::Style, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// One line on a terminal's stderr that is written over and over; nothing anywhere else.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    /// Of this process.
    pub(crate) fn of_stderr() -> Progress {
        Progress {
            shown: false,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            // Progress that cannot be shown is no failure.
            let _ = write!(io::stderr(), "\r\u{1b}[K{text}");
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// Whether the locale is one of UTF-8, as `setlocale` decides: the first that is not empty rules.
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty());
    match locale {
        Some(locale) => {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }
        // Consoles of Windows speak it and have no such variables.
        None => cfg!(windows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_not_empty_rules() {
        let speaks = |set: &[(&str, &str)]| {
            speaks_utf8(|name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(speaks(&[("LANG", "C.UTF-8")]));
        assert!(speaks(&[("LC_ALL", ""), ("LANG", "de_DE.utf8")]));
        assert!(!speaks(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]));
        assert_eq!(speaks(&[]), cfg!(windows));
    }
}
