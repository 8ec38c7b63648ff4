//! The keepers. xtask starts them itself; nobody types them.

use std::ffi::OsString;
use std::time::Instant;

use clap::Args;
use xtask::contain::keeper::Keeper;
use xtask::lab::Lab as Session;
use xtask::lab::inside::{self, Spec};
use xtask::lab::routers::{self, Router};
use xtask::{Error, Result, error, say};

#[derive(Debug, Args)]
pub(crate) struct Keep {
    #[command(flatten)]
    lifeline: Lifeline,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Lab {
    #[command(flatten)]
    lifeline: Lifeline,
    #[arg(long)]
    spec: String,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Routers {
    #[arg(required = true)]
    routers: Vec<Router>,
}

#[derive(Debug, Args)]
struct Lifeline {
    #[arg(long)]
    lifeline: i32,
    #[arg(long)]
    contained: bool,
}

/// Runs a program; exit code 127 where it cannot be started, as in a shell.
pub(crate) fn keep(arguments: &Keep) -> Result<i32> {
    let mut keeper = Keeper::new(
        arguments.lifeline.lifeline,
        arguments.lifeline.contained,
        || {},
    )?;
    let mut command = std::process::Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]);
    let code = keeper.run(&mut command, |_, _| {}).unwrap_or_else(|error| {
        say::line(&format!("error: {error}"));
        127
    });
    keeper.finish();
    Ok(code)
}

/// Runs a lab.
pub(crate) fn lab(arguments: &Lab) -> Result<i32> {
    let spec: Spec = serde_json::from_str(&arguments.spec)
        .map_err(|error| Error::Failed(format!("--spec (a hidden flag): {error}")))?;
    match inside::run(&spec, arguments.lifeline.lifeline, &arguments.command) {
        Err(Error::Interrupted(signal)) => Err(Error::Interrupted(signal)),
        Err(Error::CommandMissing { name, source }) => {
            say::line(&format!("error: cannot start {name}: {source}"));
            Ok(127)
        }
        Err(error) => {
            say::line(&format!("error: {error}"));
            Ok(error::EXIT_LAB_FAILED)
        }
        ended => ended,
    }
}

/// Starts routers in the lab that we are in; prints where they are, JSON, one a line.
pub(crate) fn routers(arguments: &Routers) -> Result<i32> {
    let lab = Session::current().ok_or_else(|| {
        Error::Failed("this is no lab.\nThen: cargo xtask lab l3 --with ROUTER -- COMMAND".into())
    })?;
    for router in &arguments.routers {
        let began = Instant::now();
        let running = routers::start(&lab, *router)?;
        say::line(&format!(
            "lab: {} serves at http://{}, its Envoy's admin is http://{} ({})",
            router.name(),
            running.http,
            running.admin,
            say::duration(began.elapsed())
        ));
        let json = serde_json::to_string(&running)
            .map_err(|error| Error::Failed(format!("describing a router: {error}")))?;
        say::result(&json);
    }
    Ok(0)
}
