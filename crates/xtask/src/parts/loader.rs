//! What a dynamic loader finds for a program: asked of the loader itself, so it is right whatever
//! the program's own search path says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The loader in a tree of Debian's packages for x86-64 in which all is below `usr`.
pub(super) const IN_TREE: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

/// Debian's directory of libraries for x86-64.
const MULTIARCH: &str = "usr/lib/x86_64-linux-gnu";

/// A loader, and where it looks.
#[derive(Debug)]
pub struct Libraries {
    loader: PathBuf,
    path: Vec<PathBuf>,
    /// The tree that has to hold everything.
    only: Option<PathBuf>,
}

impl Libraries {
    /// This machine's own.
    #[must_use]
    pub fn of_machine() -> Self {
        let loader = match std::env::consts::ARCH {
            "aarch64" => "/lib/ld-linux-aarch64.so.1",
            _ => "/lib64/ld-linux-x86-64.so.2",
        };
        Self {
            loader: loader.into(),
            path: Vec::new(),
            only: None,
        }
    }

    /// This machine's own, with those of a tree laid over them.
    pub(super) fn of_machine_below(tree: &Path) -> Self {
        Self {
            path: vec![tree.join(MULTIARCH), tree.join("usr/lib")],
            ..Self::of_machine()
        }
    }

    /// Those of a Debian tree alone, with its loader.
    #[must_use]
    pub fn of_tree(tree: &Path) -> Self {
        Self::of_tree_in(tree, &[MULTIARCH])
    }

    /// The same, with libraries in these directories of the tree.
    pub(super) fn of_tree_in(tree: &Path, directories: &[&str]) -> Self {
        Self {
            loader: tree.join(IN_TREE),
            path: directories.iter().map(|dir| tree.join(dir)).collect(),
            only: Some(tree.to_path_buf()),
        }
    }

    /// The files that a program or library needs to be loaded, the loader among them; none for a
    /// static program.
    ///
    /// # Errors
    ///
    /// When one is not found, or is older than it asks.
    pub fn needed(&self, file: &Path) -> Result<Vec<PathBuf>> {
        if is_static(file)? {
            return Ok(Vec::new());
        }
        let mut command = Command::new(&self.loader);
        if let Ok(path) = std::env::join_paths(&self.path)
            && !path.is_empty()
        {
            command.arg("--library-path").arg(path);
        }
        let output = command
            .arg("--list")
            .arg(file)
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("LD_PRELOAD")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(format!("starting {}", self.loader.display())))?;
        let said = String::from_utf8_lossy(&output.stdout);
        // The loader names what is not there in the list, and what is too old on stderr.
        let lacking: Vec<&str> = said
            .lines()
            .filter(|line| line.ends_with("not found"))
            .map(str::trim)
            .collect();
        if !output.status.success() || !lacking.is_empty() {
            return Err(Error::Failed(format!(
                "{} cannot be started with the libraries of {}: {}{}",
                file.display(),
                self.only.as_deref().unwrap_or(Path::new("/")).display(),
                lacking.join(", "),
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        let mut found = vec![self.loader.clone()];
        // `libc.so.6 => /usr/lib/libc.so.6 (0x00007f…)`
        found.extend(
            said.lines()
                .filter_map(|line| line.split_once("=>"))
                .filter_map(|(_, found)| found.split_whitespace().next())
                .map(PathBuf::from),
        );
        if let Some(tree) = &self.only
            && let Some(other) = found.iter().find(|path| !path.starts_with(tree))
        {
            return Err(Error::Failed(format!(
                "{} needs {}, which {} does not hold",
                file.display(),
                other.display(),
                tree.display()
            )));
        }
        Ok(found)
    }
}

/// Whether a program or library names no loader and no other library.
fn is_static(file: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(1 << 16).read_to_end(&mut start))
        .map_err(Error::io(format!("reading {}", file.display())))?;
    if !start.starts_with(b"\x7fELF") {
        return Ok(true);
    }
    Ok(!segments(&start).any(|kind| kind == PT_DYNAMIC))
}

/// Kinds of segments and the places of fields are from elf(5), for 64 bits, little-endian.
const PT_DYNAMIC: u32 = 2;

/// The kinds of a program's segments.
fn segments(start: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = start.get(at..at + length)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    };
    let table = number(32, 8).unwrap_or_default();
    let size = number(54, 2).unwrap_or_default();
    let count = number(56, 2).unwrap_or_default();
    (0..count).filter_map(move |index| {
        let at = usize::try_from(table + index * size).ok()?;
        u32::try_from(number(at, 4)?).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::Libraries;

    #[test]
    fn a_programs_libraries_are_found_and_another_trees_are_not_taken_for_its_own() {
        let own = std::env::current_exe().unwrap();
        let found = Libraries::of_machine().needed(&own).unwrap();
        for name in ["libc.so.6", "ld-linux"] {
            let has = |path: &std::path::PathBuf| path.to_string_lossy().contains(name);
            assert!(found.iter().any(has), "{name}: {found:?}");
        }
        let libraries = Libraries {
            only: Some("/nowhere".into()),
            ..Libraries::of_machine()
        };
        let error = libraries.needed(&own).unwrap_err().to_string();
        assert!(error.contains("/nowhere does not hold"), "{error}");
    }

    #[test]
    fn what_is_no_program_needs_no_library() {
        let own = std::env::current_exe().unwrap();
        let mut bytes = std::fs::read(own).unwrap();
        bytes[0] = b'#';
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let found = Libraries::of_machine().needed(file.path()).unwrap();
        assert_eq!(found, Vec::<std::path::PathBuf>::new());
    }
}
