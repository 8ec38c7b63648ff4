//! The programs that a lab is made of: data, and how to get them.
//!
//! A new part is one entry in [`PARTS`]; a new way to get one is a [`Source`] and a file beside
//! this one.

mod apt;
mod debian;
mod gguf;
mod go;
mod list;
mod loader;
mod machine;
mod models;
pub mod progress;
mod root;
mod sdist;
mod source;
mod wheel;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use crate::lab::Level;
use crate::{Error, Result, contain, digest, workspace};
pub use list::{CONTAINERD_VERSION, KUBERNETES_VERSION, PARTS};
pub use loader::Libraries;
use progress::{Board, Row};
pub use source::{Choice, Part, Source};

/// The parts that a level is made of.
#[must_use]
pub fn of(level: Level) -> Vec<&'static Part> {
    PARTS
        .iter()
        .filter(|part| part.levels.contains(&level))
        .collect()
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
            format!(
                "\n  {} ({}): {reason}\n    {}",
                part.name, part.purpose, part.otherwise
            ),
        ));
    }
    if lacking.is_empty() {
        return Ok(programs);
    }
    let (names, reasons): (Vec<&str>, Vec<String>) = lacking.into_iter().unzip();
    Err(Error::PartMissing(format!(
        "the lab lacks {}.{}\nThen: cargo xtask setup",
        names.join(" and "),
        reasons.concat()
    )))
}

/// The programs of a part, if they are here: in the cache, and for those that are one file, first in
/// `KUBEBUILDER_ASSETS`.
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
    let home = home(part)?;
    match &part.source {
        Source::Go { .. } | Source::Debian { .. } => {
            let assets = env::var_os("KUBEBUILDER_ASSETS");
            if let Some(found) = assets.and_then(|assets| all_in(Path::new(&assets))) {
                return Ok(Some(found));
            }
            Ok(all_in(&home.join(SHELF)))
        }
        Source::Root { .. }
        | Source::Sdist { .. }
        | Source::Wheel { .. }
        | Source::Modules { .. }
        | Source::Models => Ok(all_in(&home.join(SHELF))),
        Source::Machine { packages, .. } => {
            let tree = home.join(TREE);
            if !tree.is_dir() {
                return Ok(None);
            }
            // What the machine had when the tree was made it may have no more.
            let all = machine::all(packages, &tree).ok().map(BTreeMap::from_iter);
            Ok(all.map(|files| {
                let files = files.into_iter();
                files
                    .map(|(name, file)| (name.to_string(), file))
                    .filter(|(name, _)| part.provides.contains(&name.as_str()))
                    .collect()
            }))
        }
    }
}

/// Where a part's programs are in its home.
const SHELF: &str = "bin";

/// Where the tree of a [`Source::Machine`] is in its home.
const TREE: &str = "tree";

/// Where the tree of a [`Source::Root`] is in its home.
const ROOT: &str = "root";

/// The tree of a part that has one: for [`Source::Machine`] what is to be laid over the machine's
/// (its `usr` over `/usr`), for [`Source::Root`] what an image
/// holds.
///
/// # Errors
///
/// [`Error::PartMissing`] when the part is not in the cache, or is of another source.
pub fn tree(name: &str) -> Result<PathBuf> {
    let part = named(name)?;
    let home = home(part)?;
    let tree = match part.source {
        Source::Machine { .. } => home.join(TREE),
        Source::Root { .. } | Source::Sdist { .. } => home.join(ROOT),
        _ => home,
    };
    if tree.is_dir() {
        return Ok(tree);
    }
    Err(Error::PartMissing(format!(
        "{} is not in the cache.\nThen: cargo xtask setup --part {name}",
        tree.display()
    )))
}

/// The directory of the models `tiny.gguf`, `small.gguf` and `mid.gguf`.
///
/// # Errors
///
/// When there can be no cache.
pub fn models() -> Result<PathBuf> {
    Ok(home(named("models")?)?.join(SHELF))
}

/// The model `big.gguf`, 1.95 GB, in [`models`]. Written when it is not there.
///
/// # Errors
///
/// When it cannot be written.
pub fn big() -> Result<PathBuf> {
    ensure(&[named("models")?])?;
    models::big(&models()?)
}

/// The part of this name.
///
/// # Errors
///
/// When there is none.
pub fn named(name: &str) -> Result<&'static Part> {
    PARTS
        .iter()
        .find(|part| part.name == name)
        .ok_or_else(|| Error::Failed(format!("the lab has no part {name}")))
}

/// Where a part lives in the cache. The name holds a hash of what it is got from, so that another
/// recipe, or another version in a module file, is another directory.
fn home(part: &Part) -> Result<PathBuf> {
    let recipe = match &part.source {
        Source::Go { module, .. } => go::fingerprint(module)?,
        Source::Modules { module, files } => {
            let recipe = format!("{}{files:?}", go::fingerprint(module)?);
            digest::hex(recipe.as_bytes())[..12].to_string()
        }
        Source::Models => digest::hex(models::recipe().as_bytes())[..8].to_string(),
        source => digest::hex(format!("{source:?}").as_bytes())[..8].to_string(),
    };
    let name = format!("{}-{}-{recipe}", part.name, part.version);
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
    fs::create_dir_all(building.join(SHELF))
        .map_err(Error::io(format!("making {}", building.display())))?;
    let mut got = part.source.get(&building, &mut row);
    if let (Err(Error::Failed(first)), Some(instead)) = (&got, &part.instead) {
        let first = first.clone();
        row.note(&format!("another way, because: {first}"));
        clear()?;
        fs::create_dir_all(building.join(SHELF))
            .map_err(Error::io(format!("making {}", building.display())))?;
        got = instead
            .get(&building, &mut row)
            .map_err(|second| match second {
                Error::Failed(second) => {
                    Error::Failed(format!("{first}\nThe other way failed too: {second}"))
                }
                other => other,
            });
    }
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

/// Runs a program in a directory and shows what it complains of in the row.
fn run(program: &Path, arguments: Vec<OsString>, directory: &Path, row: &mut Row) -> Result<()> {
    let name = program.display().to_string();
    let (mut command, lifeline) = contain::program(&name, arguments)?;
    command
        .current_dir(directory)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let log = row.follow(lifeline.spawn(&mut command)?, ToString::to_string)?;
    if log.code == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{name} failed with exit code {}: {}",
        log.code,
        log.tail()
    )))
}

/// Whether a program of this name is on PATH.
fn on_path(name: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

#[cfg(test)]
mod tests {
    use super::list::{CONTOUR_VERSION, ISTIO_VERSION};
    use super::{CONTAINERD_VERSION, KUBERNETES_VERSION, PARTS, Source, of};
    use crate::lab::Level;
    use crate::lab::routers::Router;
    use crate::workspace;

    /// The version of a module that a go.mod of ours requires.
    fn required(directory: &str, module: &str) -> Option<String> {
        let file = workspace::root().join(directory).join("go.mod");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().find_map(|line| {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| *word == "require");
            (words.next() == Some(module))
                .then(|| words.next())
                .flatten()
                .map(ToString::to_string)
        })
    }

    #[test]
    fn go_mod_and_the_linker_flags_name_the_same_versions() {
        let kubernetes = required("tests/lab/kubernetes", "k8s.io/kubernetes");
        assert_eq!(kubernetes.as_deref(), Some(KUBERNETES_VERSION));
        let containerd = required(
            "tests/lab/containerd",
            "github.com/containerd/containerd/v2",
        );
        assert_eq!(containerd.as_deref(), Some(CONTAINERD_VERSION));
        let istio = required("tests/lab/istio", "istio.io/istio");
        let contour = required("tests/lab/contour", "github.com/projectcontour/contour");
        assert_eq!(istio.as_deref(), Some(ISTIO_VERSION));
        assert_eq!(contour.as_deref(), Some(CONTOUR_VERSION));
        // A controller and its CRDs are of one version.
        for (module, of_controller) in [
            ("istio.io/istio", istio),
            ("github.com/projectcontour/contour", contour),
        ] {
            assert_eq!(required("tests/lab/crds", module), of_controller);
        }
        let file = workspace::root().join("tests/lab/kubernetes/go.mod");
        let text = std::fs::read_to_string(file).unwrap();
        let staging = KUBERNETES_VERSION.replacen("v1.", "v0.", 1);
        for line in text.lines().filter(|line| line.contains(" => k8s.io/")) {
            assert!(line.ends_with(&staging), "not at {staging}: {line}");
        }
        for part in PARTS {
            if let Source::Go { ldflags, .. } = part.source {
                let set = format!("ersion={}", part.version);
                assert!(ldflags.contains(&set), "{}: {ldflags}", part.name);
            }
        }
    }

    #[test]
    fn every_part_of_a_level_has_a_way_to_be_got_and_a_program() {
        for part in PARTS {
            assert!(!part.provides.is_empty(), "{} provides nothing", part.name);
            let asked = Router::ALL
                .iter()
                .any(|router| router.parts().contains(&part.name));
            assert!(
                asked || !part.levels.is_empty(),
                "nothing needs {}",
                part.name
            );
            let programs: Vec<&str> = match &part.source {
                Source::Go { packages, .. } => packages
                    .iter()
                    .map(|path| path.rsplit('/').next().unwrap())
                    .collect(),
                Source::Debian { starts, .. } => starts.iter().map(|line| line[0]).collect(),
                Source::Root { program, .. } => vec![program.rsplit('/').next().unwrap()],
                Source::Machine { packages, .. } => {
                    let all: Vec<&str> = packages
                        .iter()
                        .flat_map(|(_, names)| *names)
                        .copied()
                        .collect();
                    part.provides
                        .iter()
                        .filter(|name| all.contains(name))
                        .copied()
                        .collect()
                }
                Source::Sdist { program, .. } | Source::Wheel { program, .. } => vec![*program],
                Source::Modules { files, .. } => files.iter().map(|(name, ..)| *name).collect(),
                Source::Models => continue,
            };
            assert_eq!(programs, part.provides, "{}", part.name);
        }
    }

    #[test]
    fn no_two_parts_of_a_level_provide_the_same_name() {
        for level in [Level::T, Level::L1, Level::L3] {
            let mut names: Vec<&str> = of(level)
                .iter()
                .flat_map(|part| part.provides)
                .copied()
                .collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{names:?}");
        }
    }
}
