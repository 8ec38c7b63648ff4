//! Programs of Debian packages with everything they need in one tree, run by that tree's own
//! dynamic loader: they work on this machine whatever its C library, and in an image as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::apt::{Apt, first_words};
use super::debian::first_suite;
use super::loader::{IN_TREE, Libraries};
use super::progress::Row;
use crate::{Error, Result};

/// A program and what belongs to it, as [`super::Source::Root`] says it.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    pub(super) packages: &'a [&'a str],
    pub(super) suites: &'a [&'a str],
    pub(super) libraries: &'a [&'a str],
    pub(super) program: &'a str,
    pub(super) check: &'a str,
    pub(super) choice: Option<&'a super::Choice>,
    pub(super) keep: &'a [&'a str],
}

/// Gets the tree into `to/root` and a script that starts the program into `to/bin`; gives what the
/// program says of its version.
pub(super) fn get(recipe: &Recipe<'_>, to: &Path, row: &mut Row) -> Result<String> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Error::Failed(format!(
            "this part is got for x86_64 only, and this machine is {}",
            std::env::consts::ARCH
        )));
    }
    let chosen = recipe.choice.map(super::Choice::works_here).transpose()?;
    let name = file_name(recipe.program);
    first_suite(recipe.suites, &to.join("apt"), |suite, work| {
        let apt = Apt::of_suite(suite, work)?;
        row.note(&format!("reading Debian {suite}'s package list"));
        apt.update(row)?;
        row.note(&format!(
            "fetching {} of {suite} and all it needs",
            recipe.packages.join(" and ")
        ));
        apt.fetch_with_dependencies(recipe.packages, row)?;
        let tree = work.join("tree");
        apt.unpack(&tree, row)?;
        let root = to.join("root");
        let _ = fs::remove_dir_all(&root);
        row.note("keeping what it needs");
        let wanted = [Some(recipe.program), chosen].into_iter().flatten();
        let libraries = Libraries::of_tree_in(&tree, recipe.libraries);
        let mut files: Vec<PathBuf> = recipe.keep.iter().map(|file| tree.join(file)).collect();
        for file in wanted {
            let file = tree.join(file);
            files.extend(libraries.needed(&file)?);
            files.push(file);
        }
        for file in &files {
            let place = file.strip_prefix(&tree).unwrap_or(file);
            copy(file, &root.join(place))?;
        }
        let variable = recipe.choice.map(|choice| choice.variable).zip(chosen);
        let script = to.join("bin").join(name);
        start_script(recipe, variable, &script)?;
        first_words(&script, &[recipe.check])
    })
}

/// The script that starts the program on this machine. It stays right when the tree is moved, and
/// when it is called through a link, as a lab does.
fn start_script(recipe: &Recipe<'_>, variable: Option<(&str, &str)>, to: &Path) -> Result<()> {
    let name = file_name(recipe.program);
    let libraries: Vec<String> = recipe
        .libraries
        .iter()
        .map(|dir| format!("$root/{dir}"))
        .collect();
    let set = variable.map_or(String::new(), |(variable, file)| {
        format!("export {variable}=\"$root/{file}\"\n")
    });
    let text = format!(
        "#!/bin/sh\n\
         # Debian's {name} with the libraries and the loader of its own suite. Made by cargo xtask setup.\n\
         self=$(readlink -f \"$0\")\n\
         root=\"${{self%/*}}/../root\"\n\
         {set}\
         exec \"$root/{IN_TREE}\" --argv0 {name} --library-path \"{}\" \"$root/{}\" \"$@\"\n",
        libraries.join(":"),
        recipe.program
    );
    fs::write(to, text).map_err(Error::io(format!("writing {}", to.display())))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .map_err(Error::io(format!("making {} a program", to.display())))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(Error::io(format!("making {}", parent.display())))?;
    fs::copy(from, to)
        .map(drop)
        .map_err(Error::io(format!("copying {}", from.display())))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
