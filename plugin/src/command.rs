//! The commands: one file each, flags and all.

pub(crate) mod canary;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod scaffold;
pub(crate) mod test;
pub(crate) mod version;

use crate::exit::Exit;
use crate::manifests::Request;
use crate::print;
use crate::print::text::shell;
use crate::problem::Problem;
use crate::terminal::Look;
use std::io::Read;

/// What a command is given beside its flags.
pub(crate) struct Session<'a> {
    /// What a person types to run us.
    pub(crate) program: &'static str,
    /// Standard input.
    pub(crate) stdin: &'a mut dyn Read,
    /// How the result may look.
    pub(crate) out: Look,
    /// How everything else may look.
    pub(crate) err: Look,
}

/// What a command leaves to be written, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The result.
    pub(crate) out: String,
    /// Everything else.
    pub(crate) err: String,
    /// How it ended.
    pub(crate) exit: Exit,
}

impl Session<'_> {
    /// The end of a command that could not do what it was asked to. Programs that wait for their
    /// one document get it all the same.
    pub(crate) fn failed(
        &self,
        problems: &[Problem],
        document: Option<fn(&[Problem]) -> String>,
    ) -> Outcome {
        Outcome {
            out: document
                .map(|document| document(problems))
                .unwrap_or_default(),
            err: print::problem::render(problems, self.err),
            exit: Exit::Failed,
        }
    }

    /// A command line on the same manifests, to be pasted into a shell.
    pub(crate) fn command(&self, name: &str, request: &Request) -> String {
        let mut words = vec![self.program.to_owned(), name.to_owned()];
        let mut flag = |flag: &str, value: &str| {
            words.push(flag.to_owned());
            words.push(shell(value).into_owned());
        };
        for path in &request.paths {
            flag("-f", path);
        }
        if let Some(namespace) = &request.namespace {
            flag("-n", namespace);
        }
        if let Some(policy) = &request.policy {
            flag("--policy", policy);
        }
        words.join(" ")
    }
}

/// The last lines of a result: what to run next, with a word on each.
pub(crate) fn next(commands: &[(String, String)]) -> String {
    let width = commands.iter().map(|(command, _)| command.len()).max();
    let width = width.unwrap_or_default().min(60);
    let mut out = String::new();
    for (index, (command, word)) in commands.iter().enumerate() {
        let title = if index == 0 { "next" } else { "" };
        out.push_str(format!("{title:<4}  {command:<width$}  {word}").trim_end());
        out.push('\n');
    }
    out
}

/// What is said where there is nothing to look at.
pub(crate) fn nothing_in(request: &Request) -> Problem {
    let paths: Vec<_> = request.paths.iter().map(|path| shell(path)).collect();
    Problem::new(format!("no manifest in {}", paths.join(", ")))
}
