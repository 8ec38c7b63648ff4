//! oha, the load generator that `bench traffic` compares with. No level of the lab needs it, so it is
//! no part of one: it is built from crates.io when it is asked for, as its own lock file says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use xtask::{Error, Result, say, workspace};

use super::contained;

const VERSION: &str = "1.16.0";

/// The program, built into the cache where it is not there.
pub(super) fn ensure() -> Result<PathBuf> {
    let home = workspace::lab_cache()?.join(format!("oha-{VERSION}"));
    let program = home.join("bin/oha");
    if program.is_file() {
        return Ok(program);
    }
    say::heading(&format!("Building oha {VERSION}, once: 5 to 10 minutes"));
    let work = tempfile::Builder::new()
        .prefix(".building-oha-")
        .tempdir_in(workspace::lab_cache()?)
        .map_err(Error::io("making a directory to build oha in"))?;
    // Its TLS is its default: without, 1.16.0 does not compile.
    let mut line: Vec<OsString> = ["install", "oha", "--locked"].map(Into::into).to_vec();
    line.extend(["--version", VERSION, "--root"].map(Into::into));
    line.extend([home.into(), "--target-dir".into(), work.path().into()]);
    match contained(Path::new("cargo"), line)? {
        0 => Ok(program),
        code => Err(Error::PartMissing(format!(
            "oha {VERSION} could not be built from crates.io: cargo install gave exit code {code}"
        ))),
    }
}
