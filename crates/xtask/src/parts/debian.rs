//! Programs of Debian packages that run as they are on any Linux, because they are static or ask
//! little of the C library.

use std::fs;
use std::path::Path;

use super::apt::{Apt, first_words};
use super::progress::Row;
use crate::{Error, Result};

/// Tries one suite after another, best first, until `attempt` succeeds; each has a directory of its
/// own below `work`, which is removed at the end.
pub(super) fn first_suite(
    suites: &[&str],
    work: &Path,
    mut attempt: impl FnMut(&str, &Path) -> Result<String>,
) -> Result<String> {
    let mut reasons = Vec::new();
    for suite in suites {
        match attempt(suite, &work.join(suite)) {
            Ok(version) => {
                fs::remove_dir_all(work)
                    .map_err(Error::io(format!("removing {}", work.display())))?;
                return Ok(format!("{version}, from Debian {suite}"));
            }
            Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
            Err(error) => reasons.push(format!("{suite}: {error}")),
        }
    }
    Err(Error::Failed(format!(
        "no Debian suite gave it. Is the network there?\n{}",
        reasons.join("\n")
    )))
}

/// Gets the programs into `to/bin`, from the first suite whose programs start here. `starts` has a
/// command for each that ends well and does nothing. Gives a line about the first program.
pub(super) fn get(
    packages: &[&str],
    suites: &[&str],
    starts: &[&[&str]],
    to: &Path,
    row: &mut Row,
) -> Result<String> {
    first_suite(suites, &to.join("apt"), |suite, work| {
        let apt = Apt::of_suite(suite, work)?;
        row.note(&format!("reading Debian {suite}'s package list"));
        apt.update(row)?;
        row.note(&format!("fetching {} of {suite}", packages.join(" and ")));
        apt.fetch(packages, row)?;
        let tree = work.join("tree");
        apt.unpack(&tree, row)?;
        adopt(&tree, starts, &to.join("bin"))
    })
}

/// Moves the programs to `bin` if they start on this machine: another suite may want a newer libc.
fn adopt(tree: &Path, starts: &[&[&str]], bin: &Path) -> Result<String> {
    let mut version = String::new();
    for line in starts {
        let [name, arguments @ ..] = line else {
            continue;
        };
        let file = ["usr/bin", "usr/sbin"]
            .iter()
            .map(|dir| tree.join(dir).join(name))
            .find(|file| file.is_file())
            .ok_or_else(|| Error::Failed(format!("{name} is not in the package")))?;
        let said = first_words(&file, arguments)?;
        if version.is_empty() {
            version = said;
        }
        fs::rename(&file, bin.join(name))
            .map_err(Error::io(format!("moving {}", file.display())))?;
    }
    Ok(version)
}
