//! `lab-nginx`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab_nginx::run()
}
