//! What `kubectl-infer check` costs as a whole process, beside reading and parsing alone.

use crate::error::{Error, Result};
use crate::figures::{Pair, Row, Unit};
use crate::manifests;
use crate::process::memory;
use crate::report::{Table, say};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Files of the small and of the large set.
const SIZES: [usize; 2] = [1_000, 10_000];
/// How often a process's memory is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// A check that takes longer than this is broken.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one process used.
#[derive(Clone, Copy, Debug)]
struct Used {
    wall: f64,
    cpu: f64,
    peak: f64,
}

/// Which program reads the manifests.
#[derive(Clone, Copy)]
enum Program {
    /// `kubectl-infer check`.
    Check,
    /// Ours: reads and parses, no more.
    Parse,
}

/// What is checked: a directory of files, or all of them in one.
struct Case {
    name: String,
    path: PathBuf,
    /// The floor's use and ours, round by round.
    rounds: Vec<[Used; 2]>,
}

impl Case {
    fn row(&self, what: &str, unit: Unit, figure: impl Fn(&Used) -> f64) -> Option<Row> {
        let pair = |[floor, ours]: &[Used; 2]| {
            Some(Pair {
                floor: figure(floor),
                ours: figure(ours),
            })
        };
        let rounds: Vec<_> = self.rounds.iter().map(pair).collect();
        Row::compared(&format!("{}: {what}", self.name), unit, &rounds)
    }
}

/// Measures; `rounds` count, one more comes before them and does not.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let directory = TempDir::new().map_err(Error::io("making a temporary directory"))?;
    let [few, many] = SIZES.map(|count| directory.path().join(format!("{count}")));
    let [whole, rest] = SIZES.map(|count| directory.path().join(format!("{count}.yaml")));
    say("writing manifests");
    manifests::write(SIZES[0], &few, &whole)?;
    manifests::write(SIZES[1], &many, &rest)?;
    let case = |name: String, path: PathBuf| Case {
        name,
        path,
        rounds: Vec::new(),
    };
    let mut cases = [
        case(format!("{} files", SIZES[0]), few),
        case(format!("the {} in one file", SIZES[0]), whole),
        case(format!("{} files", SIZES[1]), many),
    ];
    // Every case in every round: what disturbs one disturbs the others, and the slope is of figures
    // that were measured side by side.
    for round in 0..=rounds {
        say(&format!("check: round {round} of {rounds}"));
        for case in &mut cases {
            let used = [Program::Parse, Program::Check].map(|it| measure(it, &case.path));
            let [floor, ours] = used;
            let used = [floor?, ours?];
            if round > 0 {
                case.rounds.push(used);
            }
        }
    }
    let mut table = Table::new("check");
    for case in &cases {
        table
            .rows
            .extend(case.row("wall time", Unit::Seconds, |it| it.wall));
        table
            .rows
            .extend(case.row("CPU", Unit::Seconds, |it| it.cpu));
        table
            .rows
            .extend(case.row("peak memory", Unit::Bytes, |it| it.peak));
    }
    let times = SIZES[1] as f64 / SIZES[0] as f64;
    let slope = |(small, large): (&[Used; 2], &[Used; 2])| {
        let [floor, ours] = [0, 1].map(|side| large[side].cpu / small[side].cpu / times);
        Some(Pair { floor, ours })
    };
    let slopes: Vec<_> = cases[0]
        .rounds
        .iter()
        .zip(&cases[2].rounds)
        .map(slope)
        .collect();
    let what = format!(
        "slope: CPU per file of {} to that of {}",
        SIZES[1], SIZES[0]
    );
    table
        .rows
        .extend(Row::compared(&what, Unit::Times, &slopes));
    table.note(&format!(
        "each file has a Deployment, its Service and its Ingress in about 60 lines; one in three has \
         mistakes; {rounds} rounds; the floor reads and parses the same files and no more"
    ));
    Ok(table)
}

fn command(program: Program, path: &Path) -> Result<Command> {
    let own = std::env::current_exe().map_err(Error::io("finding the bench's own program"))?;
    let mut command = match program {
        Program::Parse => {
            let mut command = Command::new(own);
            command.arg("parse");
            command
        }
        Program::Check => {
            let mut command = Command::new(own.with_file_name("kubectl-infer"));
            command.args(["check", "--fail-on", "never", "-f"]);
            command
        }
    };
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Runs a program to its end.
fn measure(program: Program, path: &Path) -> Result<Used> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let mut command = command(program, path)?;
    let started = Instant::now();
    let mut child = command
        .spawn()
        .map_err(Error::io(format!("starting {command:?}")))?;
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        // Not reaped: the kernel still tells what it used.
        let _ = waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
        // Nobody listens any more where patience ended first.
        let _ = ended.send(started.elapsed());
    });
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id()));
    let mut peak = 0.0;
    let wall = loop {
        if let Ok(wall) = end.recv_timeout(LOOK) {
            break wall;
        }
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Failed(format!(
                "{command:?} did not end in {PATIENCE:?}"
            )));
        }
        let now = proc("status")
            .ok()
            .and_then(|status| memory(&status, "VmHWM:"));
        peak = now.unwrap_or_default().max(peak);
    };
    // Its only thread's time on a CPU, in nanoseconds: `utime` counts hundredths of a second.
    let spent = proc("schedstat").map_err(Error::io("reading /proc/PID/schedstat"))?;
    let spent = spent
        .split(' ')
        .next()
        .and_then(|it| it.parse::<u64>().ok());
    let status = child.wait().map_err(Error::io("waiting for a program"))?;
    if !status.success() {
        return Err(Error::Failed(format!("{command:?}: {status}")));
    }
    let spent = spent.ok_or_else(|| Error::Failed("/proc/PID/schedstat is empty".to_owned()))?;
    Ok(Used {
        wall: wall.as_secs_f64(),
        cpu: Duration::from_nanos(spent).as_secs_f64(),
        peak,
    })
}

/// The floor: reads and parses what `check` would, says nothing.
pub(crate) fn parse(path: &str) -> Result<()> {
    let loaded = infer_manifest::load(&[path.to_owned()], &mut std::io::empty());
    if let Some(error) = loaded.errors.first() {
        return Err(Error::Failed(error.to_string()));
    }
    if loaded.documents.is_empty() {
        return Err(Error::Failed(format!("{path} holds nothing")));
    }
    Ok(())
}
