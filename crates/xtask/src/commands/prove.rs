//! `cargo xtask prove`

use std::ffi::OsString;
use std::process::{Command, Stdio};

use clap::{Args, Subcommand};
use xtask::lab::{self, Level, Options};
use xtask::{Error, Result, contain, say, workspace};

/// Run what is too long for every test run, and write down what came of it
///
/// The result is a page below docs/proofs that names the commit; commit it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Drills against an observer that is not our client: packet capture and NGINX's own log
    Drill {
        /// Drills of each fault
        #[arg(long, default_value_t = 20)]
        runs: usize,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    match arguments.what {
        What::Drill { runs } => drill(runs),
    }
}

fn drill(runs: usize) -> Result<i32> {
    super::lab::build_own_programs()?;
    let build = ["build", "-p", "infer-tests", "--bin", "prove-drill"];
    let (mut cargo, lifeline) = contain::program("cargo", build.map(Into::into))?;
    cargo.current_dir(workspace::root()).stdin(Stdio::null());
    if lifeline.spawn(&mut cargo)?.wait()? != 0 {
        return Err(Error::Failed("prove-drill does not build".into()));
    }
    let table = tempfile::NamedTempFile::new().map_err(Error::io("making a file for the table"))?;
    let script = "\"$1\" \"$2\" > \"$3\"";
    let command: Vec<OsString> = vec![
        "sh".into(),
        "-c".into(),
        script.into(),
        "prove-drill".into(),
        workspace::program_dir()?.join("prove-drill").into(),
        runs.to_string().into(),
        table.path().into(),
    ];
    let code = lab::run(&Options::new(Level::L3), &command)?;
    let rows = std::fs::read_to_string(table.path()).map_err(Error::io("reading the table"))?;
    if rows.lines().count() < 3 {
        return Ok(if code == 0 { 1 } else { code });
    }
    let page = format!(
        "# Does `drill` tell the truth?\n\n\
         Written by `cargo xtask prove drill` at commit {}.\n\n\
         Each drill ran on a real node (lab `l3`): two llama-server replicas behind real NGINX, a GET\n\
         lane and a POST lane at 10 requests a second and 8 streams, 3 s before the fault and 9 s after.\n\
         Beside it ran tcpdump between client and NGINX, and NGINX wrote a second access log. For every\n\
         request of the drill's record this observer's status, bytes, end (whole, cut, `[DONE]`) and\n\
         attempts were compared with the drill's; one that differs is a disagreement. `still open` are\n\
         requests that the drill let go of at its end: neither answered nor lost.\n\n{rows}\n\
         {}\n",
        commit()?,
        if code == 0 {
            "Every request agrees."
        } else {
            "**They disagree.** What differs is in the command's output."
        }
    );
    let path = workspace::root().join("docs/proofs/drill.md");
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(format!("making {}", dir.display())))?;
    }
    std::fs::write(&path, page).map_err(Error::io(format!("writing {}", path.display())))?;
    say::result(rows.trim_end());
    say::line(&format!("written to {}", path.display()));
    Ok(code)
}

/// The commit that is checked out, and whether anything differs from it.
fn commit() -> Result<String> {
    let git = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(workspace::root())
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("starting git"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let id = git(&["rev-parse", "HEAD"])?;
    let changed = git(&[
        "status",
        "--porcelain",
        "--",
        "crates",
        "plugin",
        "tests",
        "webhook",
    ])?;
    Ok(if changed.is_empty() {
        format!("`{id}`")
    } else {
        format!("`{id}`, with changes that are not committed")
    })
}
