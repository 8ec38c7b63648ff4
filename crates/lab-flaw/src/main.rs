//! `lab-flaw`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab_flaw::run()
}
