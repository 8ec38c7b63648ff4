//! A program built with CMake out of a source archive on PyPI: slow, and independent of what a
//! distribution does with its packages.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::apt::first_words;
use super::progress::Row;
use super::run;
use crate::{Error, Result};

/// What is built, as [`super::Source::Sdist`] says it.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) directory: &'a str,
    pub(super) definitions: &'a [&'a str],
    pub(super) program: &'a str,
}

/// Builds the program into `to/root`, where an image takes it from, and links it in `to/bin`; gives
/// what it says of its version.
pub(super) fn get(recipe: &Recipe<'_>, to: &Path, row: &mut Row) -> Result<String> {
    for (tool, package) in [("python3", "python3-venv"), ("c++", "g++")] {
        if !super::on_path(tool) {
            return Err(Error::Failed(format!(
                "{tool} is not on PATH (on Debian: package {package}); it is needed to build {} from source",
                recipe.program
            )));
        }
    }
    let work = to.join("sdist");
    fs::create_dir_all(&work).map_err(Error::io(format!("making {}", work.display())))?;
    let venv = work.join("venv");
    let tool = |name: &str| venv.join("bin").join(name);
    row.note("making a virtual environment for cmake and ninja");
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
    run(
        "python3".as_ref(),
        words(&["-m", "venv", "venv"]),
        &work,
        row,
    )?;
    let mut install = words(&["-m", "pip", "install", "--quiet"]);
    install.extend(words(&["scikit-build-core", "cmake", "ninja"]));
    run(&tool("python"), install, &work, row)?;
    let source = format!("{}=={}", recipe.package, recipe.version);
    row.note(&format!("fetching the source of {source}"));
    let mut download = words(&["-m", "pip", "download", "--quiet", "--no-deps"]);
    download.extend(words(&["--no-build-isolation", "--no-binary"]));
    download.extend(words(&[recipe.package, &source]));
    run(&tool("python"), download, &work, row)?;
    let archive = only(&work, ".tar.gz")?;
    let unpack = [words(&["-m", "tarfile", "-e"]), vec![archive.into()]].concat();
    let sources = work.join("sources");
    fs::create_dir_all(&sources).map_err(Error::io(format!("making {}", sources.display())))?;
    run(&tool("python"), unpack, &sources, row)?;
    let sources = only(&sources, "")?.join(recipe.directory);
    row.note("configuring");
    let build = work.join("build");
    let mut configure: Vec<OsString> = vec!["-S".into(), sources.into(), "-B".into()];
    configure.push(build.clone().into());
    configure.extend(words(&["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]));
    let mut ninja = OsString::from("-DCMAKE_MAKE_PROGRAM=");
    ninja.push(tool("ninja"));
    configure.push(ninja);
    configure.extend(recipe.definitions.iter().map(|it| format!("-D{it}").into()));
    run(&tool("cmake"), configure, &work, row)?;
    row.note("compiling, 10 to 15 minutes");
    let mut compile: Vec<OsString> = vec!["--build".into(), build.clone().into()];
    compile.extend(words(&["--target", recipe.program]));
    run(&tool("cmake"), compile, &work, row)?;
    let place = to.join("root/usr/bin");
    fs::create_dir_all(&place).map_err(Error::io(format!("making {}", place.display())))?;
    let (built, program) = (
        build.join("bin").join(recipe.program),
        place.join(recipe.program),
    );
    fs::copy(&built, &program).map_err(Error::io(format!("copying {}", built.display())))?;
    let link = to.join("bin").join(recipe.program);
    // A failed attempt of another source may have left one.
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(format!("../root/usr/bin/{}", recipe.program), &link)
        .map_err(Error::io(format!("linking {}", link.display())))?;
    let version = first_words(&link, &["--version"])?;
    fs::remove_dir_all(&work).map_err(Error::io(format!("removing {}", work.display())))?;
    Ok(format!("{version}, built from {source}"))
}

/// The one entry of a directory whose name ends so.
pub(super) fn only(directory: &Path, end: &str) -> Result<PathBuf> {
    fs::read_dir(directory)
        .map_err(Error::io(format!("reading {}", directory.display())))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(end))
        .ok_or_else(|| Error::Failed(format!("{} holds nothing *{end}", directory.display())))
}
