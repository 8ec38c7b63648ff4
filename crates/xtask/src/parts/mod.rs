//! The programs that a lab is made of: data, and how to get them.
//!
//! A new part is one entry in [`PARTS`]; a new way to get one is a [`Source`] and a file beside
//! this one.

mod debian;
mod go;
pub mod progress;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use crate::lab::Level;
use crate::{Error, Result, workspace};
use progress::{Board, Row};

/// The Kubernetes that the lab runs. `tests/lab/kubernetes/go.mod` says the same.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// One thing that is got as a whole.
#[derive(Debug)]
pub struct Part {
    /// What people type: `cargo xtask setup --part etcd`.
    pub name: &'static str,
    /// The version we ask for.
    pub version: &'static str,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// The lowest level that needs it.
    pub level: Level,
    /// Its programs.
    pub provides: &'static [&'static str],
    /// Where it comes from.
    pub source: Source,
}

/// How a part is got where `KUBEBUILDER_ASSETS` does not have it.
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
    /// Unpacked from a Debian package, without installing it.
    Debian {
        /// The package.
        package: &'static str,
        /// The suites to ask, best first.
        suites: &'static [&'static str],
        /// The directory of its programs inside the package.
        programs: &'static str,
    },
}

/// Every part of every level.
pub static PARTS: &[Part] = &[
    Part {
        name: "kubernetes",
        version: KUBERNETES_VERSION,
        purpose: "the API server, and kubectl of the same version",
        level: Level::L1,
        provides: &["kube-apiserver", "kubectl"],
        source: Source::Go {
            module: "tests/lab/kubernetes",
            packages: &[
                "k8s.io/kubernetes/cmd/kube-apiserver",
                "k8s.io/kubernetes/cmd/kubectl",
            ],
            // Without the versions its clients see v0.0.0.
            ldflags: "-s -w \
                      -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                      -X k8s.io/component-base/version.gitMajor=1 \
                      -X k8s.io/component-base/version.gitMinor=36 \
                      -X k8s.io/client-go/pkg/version.gitVersion=v1.36.3",
        },
    },
    Part {
        name: "etcd",
        version: "3",
        purpose: "the API server's store",
        level: Level::L1,
        provides: &["etcd"],
        source: Source::Debian {
            package: "etcd-server",
            // trixie's and sid's 3.5 need no newer libc than bookworm's; bookworm's 3.4 works too.
            suites: &["trixie", "sid", "bookworm"],
            programs: "usr/bin",
        },
    },
];

/// The parts that a level is made of.
#[must_use]
pub fn of(level: Level) -> Vec<&'static Part> {
    PARTS.iter().filter(|part| part.level <= level).collect()
}

/// Finds the programs of these parts, and gets what is not there, side by side.
///
/// # Errors
///
/// [`Error::PartMissing`] with the reason and the way out for each part that is not to be had.
pub fn ensure(parts: &[&'static Part]) -> Result<BTreeMap<String, PathBuf>> {
    let mut programs = BTreeMap::new();
    let mut missing = Vec::new();
    for part in parts {
        match find(part)? {
            Some(found) => programs.extend(found),
            None => missing.push(*part),
        }
    }
    if missing.is_empty() {
        return Ok(programs);
    }
    let board = Board::new();
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let running: Vec<_> = missing
            .iter()
            .map(|part| {
                let row = board.row(part.name);
                scope.spawn(move || get(part, row))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::Failed("a build thread panicked".into())))
            })
            .collect()
    });
    drop(board);
    let mut lacking = Vec::new();
    for (part, result) in missing.into_iter().zip(results) {
        let reason = match result {
            Ok(()) => match find(part)? {
                Some(found) => {
                    programs.extend(found);
                    continue;
                }
                None => "it was got, but is not in the cache".to_string(),
            },
            Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
            Err(error) => error.to_string().replace('\n', "\n    "),
        };
        lacking.push((
            part.name,
            format!("\n  {} ({}): {reason}", part.name, part.purpose),
        ));
    }
    if lacking.is_empty() {
        return Ok(programs);
    }
    let (names, reasons): (Vec<&str>, Vec<String>) = lacking.into_iter().unzip();
    Err(Error::PartMissing(format!(
        "the lab lacks {}.{}\n\
         Or set KUBEBUILDER_ASSETS to a directory that holds etcd, kube-apiserver and kubectl.\n\
         Then: cargo xtask setup",
        names.join(" and "),
        reasons.concat()
    )))
}

/// The programs of a part, if they are here: in `KUBEBUILDER_ASSETS`, else in the cache.
///
/// # Errors
///
/// When there can be no cache.
pub fn find(part: &Part) -> Result<Option<BTreeMap<String, PathBuf>>> {
    let all_in = |dir: &Path| -> Option<BTreeMap<String, PathBuf>> {
        let files = part
            .provides
            .iter()
            .map(|name| ((*name).to_string(), dir.join(name)));
        let found: BTreeMap<_, _> = files.filter(|(_, file)| file.is_file()).collect();
        (found.len() == part.provides.len()).then_some(found)
    };
    if let Some(assets) = env::var_os("KUBEBUILDER_ASSETS")
        && let Some(found) = all_in(Path::new(&assets))
    {
        return Ok(Some(found));
    }
    Ok(all_in(&home(part)?.join("bin")))
}

/// Where a part lives in the cache. Go parts are told apart by a hash of their module files:
/// another version, another directory.
fn home(part: &Part) -> Result<PathBuf> {
    let name = match &part.source {
        Source::Go { module, .. } => {
            format!(
                "{}-{}-{}",
                part.name,
                part.version,
                go::fingerprint(module)?
            )
        }
        Source::Debian { package, .. } => format!("{package}-{}", part.version),
    };
    Ok(workspace::lab_cache()?.join(name))
}

/// Gets a part into the cache: in a directory beside, renamed when it is whole. A lock keeps two
/// runs from doing it twice.
fn get(part: &Part, mut row: Row) -> Result<()> {
    let home = home(part)?;
    let beside = |prefix: &str| {
        let name = home.file_name().unwrap_or_default().to_string_lossy();
        home.with_file_name(format!("{prefix}{name}"))
    };
    let lock_path = beside(".lock-");
    let doing = format!("locking {}", lock_path.display());
    let lock = File::create(&lock_path).map_err(Error::io(doing.clone()))?;
    if lock.try_lock().is_err() {
        row.note("another run is getting it; waiting");
        lock.lock().map_err(Error::io(doing))?;
    }
    if find(part)?.is_some() {
        row.done("got by another run");
        return Ok(());
    }
    let building = beside(".building-");
    let clear = || match fs::remove_dir_all(&building) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing {}", building.display()))(error))
        }
        _ => Ok(()),
    };
    // What a killed run left.
    clear()?;
    fs::create_dir_all(building.join("bin"))
        .map_err(Error::io(format!("making {}", building.display())))?;
    let got = match &part.source {
        Source::Go {
            module,
            packages,
            ldflags,
        } => go::build(module, packages, ldflags, &building, &mut row),
        Source::Debian {
            package,
            suites,
            programs,
        } => debian::unpack(
            package,
            suites,
            programs,
            part.provides,
            &building,
            &mut row,
        ),
    };
    match got {
        Ok(version) => {
            // Half a directory from another time is in the way of the rename.
            let _ = fs::remove_dir_all(&home);
            fs::rename(&building, &home)
                .map_err(Error::io(format!("moving {} into place", home.display())))?;
            row.done(&version);
            Ok(())
        }
        Err(error) => {
            clear()?;
            row.done("not to be had");
            Err(error)
        }
    }
}

/// Whether a program of this name is on PATH.
fn on_path(name: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

#[cfg(test)]
mod tests {
    use super::{KUBERNETES_VERSION, PARTS, Source};
    use crate::workspace;

    #[test]
    fn go_mod_and_the_linker_flags_name_the_same_kubernetes() {
        let file = workspace::root().join("tests/lab/kubernetes/go.mod");
        let text = std::fs::read_to_string(file).unwrap();
        let required = text.lines().find_map(|line| {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| *word == "require");
            (words.next() == Some("k8s.io/kubernetes"))
                .then(|| words.next())
                .flatten()
        });
        assert_eq!(required, Some(KUBERNETES_VERSION), "what go.mod requires");
        let staging = KUBERNETES_VERSION.replacen("v1.", "v0.", 1);
        for line in text.lines().filter(|line| line.contains(" => k8s.io/")) {
            assert!(line.ends_with(&staging), "not at {staging}: {line}");
        }
        for part in PARTS {
            if let Source::Go { ldflags, .. } = part.source {
                assert!(ldflags.contains(&format!("gitVersion={KUBERNETES_VERSION}")));
            }
        }
    }

    #[test]
    fn every_part_of_a_level_has_a_way_to_be_got_and_a_program() {
        for part in PARTS {
            assert!(!part.provides.is_empty(), "{} provides nothing", part.name);
            if let Source::Go { packages, .. } = part.source {
                let programs = packages.iter().map(|path| path.rsplit('/').next().unwrap());
                assert!(programs.eq(part.provides.iter().copied()), "{}", part.name);
            }
        }
    }
}
