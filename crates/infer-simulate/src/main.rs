//! `infer-simulate split|canary RUNS`: prints a table in Markdown; exits 1 where a stated rate does
//! not hold.

use std::io::Write;
use std::process::ExitCode;

use infer_simulate::{canary, split};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next();
    let runs = arguments.next().and_then(|text| text.parse::<usize>().ok());
    let (table, holds) = match (what.as_deref(), runs) {
        (Some("split"), Some(runs)) => split::table(runs),
        (Some("canary"), Some(runs)) => canary::table(runs),
        _ => {
            let _ = writeln!(std::io::stderr(), "usage: infer-simulate split|canary RUNS");
            return ExitCode::FAILURE;
        }
    };
    if std::io::stdout().write_all(table.as_bytes()).is_err() || !holds {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
