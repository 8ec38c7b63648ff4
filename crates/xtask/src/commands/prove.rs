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
    /// The canary: its gate on made-up traffic, and whole runs behind real routers
    Canary {
        /// Simulated runs of each cell
        #[arg(long, default_value_t = 10_000)]
        runs: usize,
        /// Real runs of each version behind NGINX; 0 leaves the lab out
        #[arg(long, default_value_t = 3)]
        times: usize,
    },
    /// Verdicts of `test --expect` on made-up clients whose truth is known
    Split {
        /// Runs of each cell
        #[arg(long, default_value_t = 10_000)]
        runs: usize,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    match arguments.what {
        What::Drill { runs } => drill(runs),
        What::Split { runs } => split(runs),
        What::Canary { runs, times } => canary(runs, times),
    }
}

fn canary(runs: usize, times: usize) -> Result<i32> {
    let (simulated, table) = simulated("canary", runs)?;
    let (ran, rows) = match times {
        0 => (0, "Not run this time.".to_owned()),
        times => in_the_lab("prove-canary", times)?,
    };
    let page = format!(
        "# How often is the canary wrong?\n\n\
         Written by `cargo xtask prove canary` at commit {}.\n\n\
         ## By simulation\n\n\
         {runs} runs in each row, the same each time. The product's own machine and gate\n\
         (`crates/infer-canary`) decide; made-up clients send 20 requests a second, all streams. Steps of 5, 25\n\
         and 50 %, each of a minute at least; a run that is not decided after 45 minutes is holding. The time to\n\
         first token is lognormal, its 95th percentile nearly twice its median.\n\n\
         Stated: a canary beyond a limit is promoted in at most 5 % of the runs, one within all limits rolled\n\
         back in at most 5 %, one exactly at a limit either in at most 5 % each, one without traffic never. A row\n\
         holds if its rate is not above that by more than four standard deviations of chance. Requests are those\n\
         that the verdict took, of runs that were decided.\n\n{table}\n{}\n\n\
         ## In the lab\n\n\
         Real llama-server (tiny), stable in two replicas, behind real routers, with two clients that ask\n\
         one request after the other. Steps of 25 and 50 %, each of 5 seconds at least, 40 requests a second of the canary's\n\
         own. The bad versions are a small server in front of tiny (`crates/lab-flaw`): 5 % of the POSTs answered\n\
         500, three times the time to first byte, 20 % of the streams cut; a container that ends at once; one that\n\
         is never ready. `good` is to be promoted, the others are to be rolled back, the weight 0 proven by fresh\n\
         requests, what was made for them taken away.\n\n{rows}\n{}\n",
        commit()?,
        if simulated == 0 {
            "Every stated rate holds."
        } else {
            "**A stated rate does not hold.**"
        },
        if ran == 0 {
            "Every run ended as it should."
        } else {
            "**One ended otherwise.**"
        }
    );
    write("canary", &page)?;
    Ok(simulated.max(ran))
}

/// What a program of the tests prints in a lab of level l3, given this number; and its exit code.
fn in_the_lab(program: &str, number: usize) -> Result<(i32, String)> {
    super::lab::build_own_programs()?;
    let build = ["build", "-p", "infer-tests", "--bin", program];
    let (mut cargo, lifeline) = contain::program("cargo", build.map(Into::into))?;
    cargo.current_dir(workspace::root()).stdin(Stdio::null());
    if lifeline.spawn(&mut cargo)?.wait()? != 0 {
        return Err(Error::Failed(format!("{program} does not build")));
    }
    let table = tempfile::NamedTempFile::new().map_err(Error::io("making a file for the table"))?;
    let command: Vec<OsString> = vec![
        "sh".into(),
        "-c".into(),
        "\"$1\" \"$2\" > \"$3\"".into(),
        program.into(),
        workspace::program_dir()?.join(program).into(),
        number.to_string().into(),
        table.path().into(),
    ];
    let code = lab::run(&Options::new(Level::L3), &command)?;
    let rows = std::fs::read_to_string(table.path()).map_err(Error::io("reading the table"))?;
    if rows.lines().count() < 3 {
        return Err(Error::Failed(format!(
            "{program} gave no table, exit code {code}"
        )));
    }
    Ok((code, rows))
}

fn split(runs: usize) -> Result<i32> {
    let (code, table) = simulated("split", runs)?;
    let page = format!(
        "# How often is `test --expect` wrong?\n\n\
         Written by `cargo xtask prove split` at commit {}; {runs} runs in each row, the same each time.\n\n\
         Made-up clients draw a backend with the true share, and the product's own verdict is asked\n\
         (`crates/infer-verdict/src/split.rs`). The number of requests is what `--expect` plans by itself: it\n\
         settles nine of ten runs where the shares are as wanted. A run ends early where a backend that should get\n\
         requests gets none. `unknown` replies are those of which nobody knows who answered; they count for and\n\
         against every backend, so they can make a run inconclusive and never decide one. `all of one`: every\n\
         unknown reply came from the last backend.\n\n\
         Stated: a `match` is wrong, where a share is at or beyond the edge of its tolerance, in at most 5 % of\n\
         the runs; a `mismatch` is wrong, where all are within, in at most 6 % (1 % for the early end). A row holds\n\
         if its rate is not above that by more than four standard deviations of chance. The last column: runs\n\
         that were inconclusive, repeated with the number that was advised.\n\n{table}\n{}\n",
        commit()?,
        if code == 0 {
            "Every stated rate holds."
        } else {
            "**A stated rate does not hold.**"
        }
    );
    write("split", &page)?;
    Ok(code)
}

/// The table of a simulation, and 0 where every stated rate holds.
fn simulated(what: &str, runs: usize) -> Result<(i32, String)> {
    let build = ["build", "--release", "-p", "infer-simulate"];
    let (mut cargo, lifeline) = contain::program("cargo", build.map(Into::into))?;
    cargo.current_dir(workspace::root()).stdin(Stdio::null());
    if lifeline.spawn(&mut cargo)?.wait()? != 0 {
        return Err(Error::Failed("infer-simulate does not build".into()));
    }
    let program = workspace::program_dir()?
        .with_file_name("release")
        .join("infer-simulate");
    let output = Command::new(program)
        .args([what, &runs.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Error::io("starting infer-simulate"))?;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    if table.lines().count() < 3 {
        return Err(Error::Failed("infer-simulate gave no table".into()));
    }
    say::result(table.trim_end());
    Ok((i32::from(!output.status.success()), table))
}

/// Writes a page below docs/proofs.
fn write(name: &str, page: &str) -> Result<()> {
    let path = workspace::root().join(format!("docs/proofs/{name}.md"));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(format!("making {}", dir.display())))?;
    }
    std::fs::write(&path, page).map_err(Error::io(format!("writing {}", path.display())))?;
    say::line(&format!("written to {}", path.display()));
    Ok(())
}

fn drill(runs: usize) -> Result<i32> {
    let (code, rows) = in_the_lab("prove-drill", runs)?;
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
    say::result(rows.trim_end());
    write("drill", &page)?;
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
