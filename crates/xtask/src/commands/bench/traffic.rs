//! `cargo xtask bench traffic`

use std::ffi::OsString;
use std::path::Path;

use xtask::lab::{self, Level, Options};
use xtask::{Error, Result, parts, say, workspace};

use super::{Arguments, build, oha, optimised, options};

/// The core of server and capture; the tools take turns on the other, which infer-bench chooses.
const SERVER_CORE: &str = "1";
/// Other work on the machine shall disturb less. Where it is not allowed, `nice` says so and goes on.
const NICENESS: &str = "-5";

pub(super) fn run(arguments: &Arguments) -> Result<i32> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err(Error::Failed(format!(
            "bench traffic needs two cores, one for the client and one for the server; here is {cores}"
        )));
    }
    let beside = match oha::ensure() {
        Err(Error::PartMissing(what)) => {
            say::line(&format!("skipped, the comparison: {what}"));
            None
        }
        ended => Some(ended?),
    };
    let tools = parts::named("node-tools")?;
    let found = parts::ensure(&[tools])?;
    let tcpdump = found
        .get("tcpdump")
        .and_then(|file| file.parent())
        .ok_or_else(|| Error::PartMissing("node-tools has no tcpdump".into()))?;
    build(&["infer-bench"])?;
    say::heading("Measuring");
    let mut line: Vec<OsString> = vec!["nice".into(), "-n".into(), NICENESS.into()];
    line.extend(["taskset", "-c", SERVER_CORE].map(Into::into));
    line.extend([optimised()?.into(), "traffic".into()]);
    if let Some(program) = beside {
        line.extend(["--oha".into(), program.into()]);
    }
    line.extend(options(arguments));
    lab::run(
        &Options {
            directory: Some(workspace::root()),
            environment: environment(tcpdump, &parts::tree(tools.name)?),
            ..Options::new(Level::T)
        },
        &line,
    )
}

/// Where tcpdump and the libraries that it needs are. They are of this machine's own release, and
/// level t lays nothing over `/usr`.
fn environment(programs: &Path, tree: &Path) -> Vec<(String, OsString)> {
    let before = |name: &str, first: OsString| {
        let mut all = first;
        if let Some(rest) = std::env::var_os(name) {
            all.push(":");
            all.push(rest);
        }
        (name.to_string(), all)
    };
    let mut libraries = OsString::new();
    for (number, dir) in [
        "usr/lib",
        "usr/lib/x86_64-linux-gnu",
        "usr/lib/aarch64-linux-gnu",
    ]
    .iter()
    .enumerate()
    {
        if number > 0 {
            libraries.push(":");
        }
        libraries.push(tree.join(dir));
    }
    vec![
        before("PATH", programs.into()),
        before("LD_LIBRARY_PATH", libraries),
    ]
}
