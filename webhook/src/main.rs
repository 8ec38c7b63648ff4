//! `infer-webhook`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    infer_webhook::run()
}
