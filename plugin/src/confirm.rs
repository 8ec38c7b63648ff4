//! Asks a person before something is done.

use crate::command::Session;
use crate::problem::Problem;
use std::io::{IsTerminal, Write};

/// Shows what would be done and asks, on stderr.
///
/// # Errors
///
/// Where the answer is not yes, or nobody is there to give one.
pub(crate) fn ask(session: &mut Session<'_>, text: &str, declined: &str) -> Result<(), Problem> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new("stdin is no terminal, so nobody can be asked")
            .help("`--yes` goes on without"));
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{text}Proceed? [y/N] ");
    let _ = err.flush();
    match line(session).trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Problem::new(declined)),
    }
}

/// One line of stdin, up to what a person types.
pub(crate) fn line(session: &mut Session<'_>) -> String {
    const LONGEST: usize = 64;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST && session.stdin.read_exact(&mut byte).is_ok() && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}
