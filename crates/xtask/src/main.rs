//! `cargo xtask`: what a person types in this repository.

mod commands;

use std::process::ExitCode;

use clap::Parser;
use xtask::{Error, say};

fn main() -> ExitCode {
    let code = match commands::run(commands::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            if !matches!(error, Error::Interrupted(_)) {
                say::line(&format!("error: {error}"));
            }
            error.exit_code()
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
