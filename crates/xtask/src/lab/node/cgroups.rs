//! The lab's directory in each cgroup hierarchy: made before the kubelet starts, removed when all in
//! it are gone.
//!
//! Cgroups belong to the machine, so they are the one thing that no namespace takes away. The keeper
//! removes them when xtask dies, xtask when the keeper does; where both were killed at once, the next
//! lab does ([`sweep`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::{Error, Result};

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "infer-lab-";

/// A name that no other lab on this machine has: the number of the xtask process.
#[must_use]
pub fn name() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// The hierarchies: the directories of version 1, or the one of version 2.
fn hierarchies() -> Vec<PathBuf> {
    if Path::new(ROOT).join("cgroup.controllers").exists() {
        return vec![PathBuf::from(ROOT)];
    }
    let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Makes the directories. A cpuset of version 1 is empty until it is filled, and then nothing can
/// run in it: it gets its parent's CPUs and memory nodes.
///
/// # Errors
///
/// When the kernel refuses.
pub fn make(name: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let dir = hierarchy.join(name);
        fs::create_dir_all(&dir).map_err(Error::io(format!("making {}", dir.display())))?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if dir.join(file).exists() && hierarchy.ends_with("cpuset") {
                fs::read(hierarchy.join(file))
                    .and_then(|all| fs::write(dir.join(file), all))
                    .map_err(Error::io(format!("filling {file} of {}", dir.display())))?;
            }
        }
    }
    Ok(())
}

/// Removes them with all below. A process that was killed leaves its cgroup a moment later, hence
/// some patience: five seconds. Whether nothing is left.
#[must_use]
pub fn remove(name: &str) -> bool {
    for _ in 0..100 {
        let left: Vec<PathBuf> = hierarchies()
            .into_iter()
            .map(|hierarchy| hierarchy.join(name))
            .filter(|dir| dir.exists() && !remove_tree(dir))
            .collect();
        if left.is_empty() {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Removes what labs left of which nobody is alive.
pub fn sweep() {
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = remove_tree(&entry.path());
            }
        }
    }
}

/// Depth first, as `rmdir` wants it. A cgroup with a process in it stays.
fn remove_tree(dir: &Path) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(dir).is_ok()
}
