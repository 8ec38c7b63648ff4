//! What a node writes outside of its own directories, in the lab's private mount namespace.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::{Error, Result};

/// Settings of the whole machine that the kubelet writes unless it reads the value that it wants
/// (kubernetes/kubernetes pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables). It is
/// shown that value in a file of ours, and the machine keeps its own.
const SETTINGS: [(&str, &str); 5] = [
    ("vm/overcommit_memory", "1"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Mounts it all. `tree/usr` is laid over `/usr`: what the machine lacks, without installing it.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn set_up(state: &Path, tree: &Path) -> Result<()> {
    let settings = state.join("settings");
    made(&settings)?;
    for (name, value) in SETTINGS {
        let shown = settings.join(name.replace('/', "."));
        fs::write(&shown, format!("{value}\n"))
            .map_err(Error::io(format!("writing {}", shown.display())))?;
        let target = Path::new("/proc/sys").join(name);
        rustix::mount::mount_bind(&shown, &target).map_err(Error::os(format!(
            "mounting a file over {}",
            target.display()
        )))?;
    }
    let usr = tree.join("usr");
    if usr.is_dir() {
        overlay("/usr", &format!("lowerdir={}:/usr", usr.display()))?;
    }
    // Volumes of pods are mounted below here, and must be seen by the containers' own namespaces.
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::SHARED | MountPropagationFlags::REC,
    )
    .map_err(Error::os("sharing mounts within the lab"))?;
    // /run: containerd's sockets and the lock of xtables; /var/log: the pods' logs.
    for dir in ["/run", "/var/log"] {
        rustix::mount::mount("infer-lab", dir, "tmpfs", MountFlags::NOSUID, None)
            .map_err(Error::os(format!("mounting memory on {dir}")))?;
    }
    made(Path::new("/var/log/pods"))?;
    // The kubelet's device plugins, CNI's results.
    let (upper, work) = (state.join("var-lib/upper"), state.join("var-lib/work"));
    made(&upper)?;
    made(&work)?;
    overlay(
        "/var/lib",
        &format!(
            "lowerdir=/var/lib,upperdir={},workdir={}",
            upper.display(),
            work.display()
        ),
    )
}

fn made(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(format!("making {}", dir.display())))
}

fn overlay(target: &str, options: &str) -> Result<()> {
    let options = std::ffi::CString::new(options)
        .map_err(|_| Error::Failed(format!("a path for the overlay on {target} holds a NUL")))?;
    rustix::mount::mount(
        "infer-lab",
        target,
        "overlay",
        MountFlags::empty(),
        &*options,
    )
    .map_err(Error::os(format!("laying a directory over {target}")))
}
