//! xtask's side of a lab: finds the parts, chooses the isolation, starts the keeper.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::inside::Spec;
use super::routers::Router;
use super::{ADDRESS, Level, node};
use crate::contain::{self, Isolation};
use crate::say::Clock;
use crate::{Error, Result, images, parts, say, workspace};

/// What a lab is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The level to start.
    pub level: Level,
    /// Where to copy the servers' logs at the end.
    pub logs: Option<PathBuf>,
    /// The directory in which the command runs, if not this one.
    pub directory: Option<PathBuf>,
    /// More environment of the command.
    pub environment: Vec<(String, OsString)>,
    /// Routers that run when the command begins.
    pub with: Vec<Router>,
}

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self {
            level,
            logs: None,
            directory: None,
            environment: Vec::new(),
            with: Vec::new(),
        }
    }
}

/// Starts a lab, runs the command in it, ends the lab; gives the command's exit code.
///
/// # Errors
///
/// [`Error::PartMissing`] when a part is not to be had; others when the keeper cannot be started. A
/// lab that does not come up is no error here: the keeper has said why, and the code is
/// [`crate::error::EXIT_LAB_FAILED`].
pub fn run(options: &Options, command: &[OsString]) -> Result<i32> {
    let clock = Clock::start();
    if !options.with.is_empty() && !options.level.has_api_server() {
        return Err(Error::Failed(
            "--with: a router needs an API server, and lab t has none.\nThen: cargo xtask lab l1|l3 --with …".into(),
        ));
    }
    let mut wanted = parts::of(options.level);
    for router in &options.with {
        wanted.extend(router.all_parts()?);
    }
    let programs = parts::ensure(&wanted)?;
    let isolation = Isolation::best();
    let contained = isolation.is_contained();
    let node = match options.level {
        Level::L3 => Some(node_needs(isolation)?),
        Level::T | Level::L1 => None,
    };
    let cgroup = node.as_ref().map(|needs| needs.cgroup.clone());
    let mut scratch = None;
    let (address, state) = if contained {
        // A directory that is always there, and always empty outside of a lab.
        let dir = workspace::lab_cache()?.join("state");
        std::fs::create_dir_all(&dir).map_err(Error::io(format!("making {}", dir.display())))?;
        (ADDRESS, dir)
    } else {
        let dir = tempfile::Builder::new()
            .prefix("infer-lab-")
            .tempdir()
            .map_err(Error::io("making the lab's state directory"))?;
        let path = dir.path().to_path_buf();
        scratch = Some(dir);
        (Ipv4Addr::LOCALHOST, path)
    };
    if let Isolation::Plain { reason } = isolation {
        say::line(&format!(
            "lab: no namespaces here ({reason}).\n\
             The API server listens on {address} of this machine, and calls webhooks there: not as in production. \
             To allow them: sysctl kernel.unprivileged_userns_clone=1 (Debian), \
             kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or --privileged (Docker)."
        ));
    }
    let spec = Spec {
        level: options.level,
        contained,
        address,
        state,
        programs,
        node,
        models: parts::models()?,
        own_programs: workspace::program_dir()?,
        logs: options.logs.clone(),
        with: options.with.clone(),
        clock,
    };
    let json = serde_json::to_string(&spec)
        .map_err(|error| Error::Failed(format!("describing the lab: {error}")))?;
    let arguments = ["--spec".into(), json.into(), "--".into()];
    let (mut keeper, lifeline) = contain::keeper(
        isolation,
        true,
        "inside-lab",
        arguments.into_iter().chain(command.iter().cloned()),
    )?;
    if let Some(directory) = &options.directory {
        keeper.current_dir(directory);
    }
    keeper.envs(
        options
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    let code = lifeline.spawn(&mut keeper)?.wait()?;
    drop(scratch);
    if let Some(name) = cgroup
        && !node::cgroups::remove(&name)
    {
        say::line(&format!(
            "lab: cgroups {name} below /sys/fs/cgroup could not be removed; the next lab tries again"
        ));
    }
    clock.say(&format!(
        "lab {} is gone, exit code {code}",
        options.level.name()
    ));
    Ok(code)
}

/// What a node needs beside the programs, or why there can be none here.
fn node_needs(isolation: &Isolation) -> Result<node::Needs> {
    if *isolation != Isolation::Root {
        return Err(Error::PartMissing(
            "a node (lab l3) needs root: containers need cgroups, and the kernel gives them to root only.\n\
             Run it as root, on a machine or in a container that may make namespaces (Docker: --privileged)."
                .into(),
        ));
    }
    node::cgroups::sweep();
    Ok(node::Needs {
        tree: parts::tree("node-tools")?,
        images: images::all(&workspace::program_dir()?)?,
        cgroup: node::cgroups::name(),
    })
}
