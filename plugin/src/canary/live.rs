//! A run while it goes on: a tree that is drawn anew on a terminal, one line for each event elsewhere.

use super::observe::Look as Seen;
use crate::print;
use crate::terminal::Look;
use infer_canary::gate::Gate;
use infer_canary::journal::Journal;
use infer_canary::machine::{Fresh, Millis};
use std::io::{IsTerminal, Write};

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// With the result.
    Stdout,
    /// Beside it: the result is for a program.
    Stderr,
}

/// What there is to see of a run at one look.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) look: &'a Seen,
    pub(crate) gate: Option<&'a Gate>,
    pub(crate) fresh: Fresh,
}

/// A run that is being shown.
#[derive(Debug)]
pub(crate) struct Live {
    sink: Sink,
    look: Look,
    /// Whether a tree is drawn.
    is_tree: bool,
    /// Lines of the tree that stand on the terminal.
    drawn: usize,
}

impl Live {
    pub(crate) fn new(sink: Sink, look: Look) -> Live {
        let is_tree = match sink {
            Sink::Stdout => std::io::stdout().is_terminal(),
            Sink::Stderr => std::io::stderr().is_terminal(),
        };
        Live {
            sink,
            look,
            is_tree,
            drawn: 0,
        }
    }

    /// Prints text as it is. What cannot be shown is no failure.
    pub(crate) fn print(&self, text: &str) {
        let _ = match self.sink {
            Sink::Stdout => write_now(std::io::stdout(), text),
            Sink::Stderr => write_now(std::io::stderr(), text),
        };
    }

    /// Draws the tree where there is a terminal.
    pub(crate) fn show(&mut self, view: &View<'_>) {
        if !self.is_tree {
            return;
        }
        let tree = print::canary::tree(view, self.look);
        let mut text = self.wipe();
        text.push_str(&tree);
        self.drawn = tree.lines().count();
        self.print(&text);
    }

    /// Tells an event.
    pub(crate) fn tell(&mut self, at: Millis, text: &str) {
        let mut line = self.wipe();
        line.push_str(&print::canary::event(at, text, self.look));
        self.print(&line);
    }

    /// Leaves the last tree where it is.
    pub(crate) fn close(&mut self) {
        self.drawn = 0;
    }

    /// What takes the tree off the terminal.
    fn wipe(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\u{1b}[J"),
        }
    }
}

fn write_now(mut to: impl Write, text: &str) -> std::io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
