//! Where things are: the checkout, what cargo built, the cache.

use std::env;
use std::path::{Path, PathBuf};

use crate::lab::Level;
use crate::{Error, Result};

/// The top directory of the checkout that this program was built from.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// This program's own file.
///
/// # Errors
///
/// When the operating system does not tell.
pub fn own_program() -> Result<PathBuf> {
    let path = env::current_exe().map_err(Error::io("finding the running xtask program"))?;
    // Cargo replaces the file while we run (`cargo test` builds xtask too). The kernel then adds
    // this suffix; the new file at the old place does as well.
    let text = path.to_string_lossy();
    Ok(text
        .strip_suffix(" (deleted)")
        .map_or_else(|| path.clone(), PathBuf::from))
}

/// The directory where cargo puts our programs: beside this one, so `CARGO_TARGET_DIR` and profiles
/// are honoured without being asked for. A test's own program lives one directory below, in `deps`.
///
/// # Errors
///
/// When the operating system does not tell where this program is.
pub fn program_dir() -> Result<PathBuf> {
    let own = own_program()?;
    let dir = own.parent().unwrap_or(Path::new("/"));
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_path_buf())
}

/// The cache outside the checkout: `$INFER_LAB_CACHE`, else `$XDG_CACHE_HOME/kubectl-infer`, else
/// `~/.cache/kubectl-infer`. It is created.
///
/// # Errors
///
/// When none of the three is set, or the directory cannot be made.
pub fn cache() -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let dir = set("INFER_LAB_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("kubectl-infer")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/kubectl-infer")))
        .ok_or_else(|| {
            Error::Failed(
                "no place for the cache: none of INFER_LAB_CACHE, XDG_CACHE_HOME and HOME is set.\n\
                 Set INFER_LAB_CACHE to a directory that you may write, about 1 GB."
                    .into(),
            )
        })?;
    std::fs::create_dir_all(&dir).map_err(Error::io(format!(
        "making the cache directory {} (set INFER_LAB_CACHE to a directory that you may write)",
        dir.display()
    )))?;
    dir.canonicalize()
        .map_err(Error::io(format!("resolving {}", dir.display())))
}

/// The part of the cache that belongs to the lab. It is created.
///
/// # Errors
///
/// As [`cache`].
pub fn lab_cache() -> Result<PathBuf> {
    let dir = cache()?.join("lab");
    std::fs::create_dir_all(&dir).map_err(Error::io(format!("making {}", dir.display())))?;
    Ok(dir)
}

/// Whether the environment requires this level of the lab (`INFER_LAB_REQUIRE=l3`, a list with
/// commas), so that a missing part is an error and not a skip. `l3` requires every level.
#[must_use]
pub fn requires(level: Level) -> bool {
    env::var("INFER_LAB_REQUIRE").is_ok_and(|list| {
        list.split(',').map(str::trim).any(|name| {
            name.eq_ignore_ascii_case(level.name()) || name.eq_ignore_ascii_case(Level::L3.name())
        })
    })
}
