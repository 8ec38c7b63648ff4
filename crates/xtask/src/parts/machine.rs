//! System programs that this machine lacks: fetched for its own release and laid out as below
//! `/usr`, to be laid over it in a lab's own mount namespace. The machine itself stays as it is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::loader::Libraries;
use super::progress::Row;
use crate::{Error, Result};

/// A package and its programs: names, or paths from the top where they are not on PATH.
pub(super) type Package = (&'static str, &'static [&'static str]);

/// Where programs are, best first.
const DIRECTORIES: [&str; 4] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin"];

/// Fetches the packages whose programs the machine lacks into `to/tree`; gives a line about it.
pub(super) fn get(
    packages: &[Package],
    links: &[(&str, &str)],
    to: &Path,
    row: &mut Row,
) -> Result<String> {
    let tree = to.join("tree");
    fs::create_dir_all(&tree).map_err(Error::io(format!("making {}", tree.display())))?;
    let lacking: Vec<&str> = packages
        .iter()
        .filter(|(_, programs)| programs.iter().any(|name| on_machine(name).is_none()))
        .map(|(package, _)| *package)
        .collect();
    if lacking.is_empty() {
        return Ok("all is on this machine".into());
    }
    let work = to.join("apt");
    let apt = Apt::of_machine(&work)?;
    row.note("reading the package lists of this machine's release");
    // A source of somebody else that is not reachable is no reason to stop.
    let updated = apt.update(row);
    row.note(&format!("fetching {}", lacking.join(" ")));
    if let Err(error) = apt.fetch_with_dependencies(&lacking, row) {
        return Err(match updated {
            Err(before @ (Error::Failed(_) | Error::Io { .. })) => {
                Error::Failed(format!("{before}\n{error}"))
            }
            _ => error,
        });
    }
    apt.unpack(&tree, row)?;
    for (link, target) in links {
        let link = tree.join(link);
        let beside = link.with_file_name(target);
        if beside.is_file() && !link.exists() {
            std::os::unix::fs::symlink(target, &link)
                .map_err(Error::io(format!("linking {}", link.display())))?;
        }
    }
    fs::remove_dir_all(&work).map_err(Error::io(format!("removing {}", work.display())))?;
    all(packages, &tree)?;
    Ok(format!("{} of this machine's release", lacking.join(", ")))
}

/// Where every program is: in the tree, else on the machine.
///
/// # Errors
///
/// When one is in neither, or lacks a library with the tree laid over the machine.
pub(super) fn all(packages: &[Package], tree: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let libraries = Libraries::of_machine_below(tree);
    let mut found = Vec::new();
    for (package, programs) in packages {
        for name in *programs {
            let Some(file) = in_tree(name, tree) else {
                let file = on_machine(name).ok_or_else(|| {
                    Error::Failed(format!(
                        "{name} (package {package}) is neither fetched nor on this machine"
                    ))
                })?;
                found.push((*name, file));
                continue;
            };
            libraries.needed(&file)?;
            found.push((*name, file));
        }
    }
    Ok(found)
}

fn in_tree(name: &str, tree: &Path) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(tree.join(name)).filter(|file| file.is_file());
    }
    DIRECTORIES
        .iter()
        .map(|dir| tree.join(dir).join(name))
        .find(|file| file.is_file())
}

fn on_machine(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(Path::new("/").join(name)).filter(|file| file.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(DIRECTORIES.map(|dir| Path::new("/").join(dir)))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}
