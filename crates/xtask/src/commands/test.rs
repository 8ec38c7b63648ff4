//! `cargo xtask test`

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use xtask::lab::routers::Router;
use xtask::lab::{self, Level, Options};
use xtask::{Error, Result, contain, parts, say, workspace};

/// Run every check and test, those on a real API server and a real node too
///
/// Format, clippy, the workspace's tests, the lab's tests (targets `t`, `l1` and `l3` of tests/, each
/// in one lab of that level), and a test that labs leave nothing behind. All steps run, also after
/// one has failed. What cannot run because a part of the lab is missing, or because we are not root,
/// is skipped, loudly; INFER_LAB_REQUIRE=l3 makes that a failure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Without the lab
    #[arg(long)]
    fast: bool,
    /// Only lab tests whose name contains this
    #[arg(long, value_name = "NAME")]
    lab_filter: Option<String>,
}

/// What became of a step.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Report {
    steps: Vec<(&'static str, Outcome, Duration)>,
}

impl Report {
    /// Runs a step under a headline. Only Ctrl-C and its like end the whole.
    fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        self.lab_step(name, false, run)
    }

    /// The same for a step that needs a lab: where a part is missing, it fails only if its level is
    /// `required`.
    fn lab_step(
        &mut self,
        name: &'static str,
        required: bool,
        run: impl FnOnce() -> Result<Outcome>,
    ) -> Result<()> {
        say::heading(name);
        let began = Instant::now();
        let outcome = match run() {
            Ok(outcome) => outcome,
            Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
            Err(Error::PartMissing(what)) if !required => Outcome::Skipped(what),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        match &outcome {
            Outcome::Failed(why) => say::line(&format!("{name}: failed: {why}")),
            Outcome::Skipped(why) => say::line(&format!("{name}: SKIPPED: {why}")),
            Outcome::Passed => {}
        }
        self.steps.push((name, outcome, began.elapsed()));
        Ok(())
    }

    fn last_passed(&self) -> bool {
        self.steps
            .last()
            .is_some_and(|(_, outcome, _)| matches!(outcome, Outcome::Passed))
    }

    /// The table and the closing line; the exit code.
    fn close(&self, total: Duration) -> i32 {
        let [mut passed, mut failed, mut skipped] = [0; 3];
        say::result("");
        for (name, outcome, time) in &self.steps {
            let first = |why: &str| why.lines().next().unwrap_or_default().to_string();
            let word = match outcome {
                Outcome::Passed => {
                    passed += 1;
                    "ok".to_string()
                }
                Outcome::Failed(why) => {
                    failed += 1;
                    format!("FAILED   {}", first(why))
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    format!("skipped  {}", first(why))
                }
            };
            say::result(&format!("{name:<24} {:>12}  {word}", say::duration(*time)));
        }
        say::result(&format!("{:<24} {:>12}", "all", say::duration(total)));
        say::result(&format!(
            "{passed} passed, {failed} failed, {skipped} skipped"
        ));
        i32::from(failed > 0)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    let began = Instant::now();
    let mut report = Report { steps: Vec::new() };
    report.step("format", || cargo(&["fmt", "--all", "--check"]))?;
    report.step("clippy", || {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    report.step("tests", || cargo(&["test", "--workspace"]))?;
    let skip = |report: &mut Report, names: &[&'static str], why: &str| {
        for name in names {
            let outcome = Outcome::Skipped(why.into());
            report.steps.push((name, outcome, Duration::ZERO));
        }
    };
    if arguments.fast {
        let names = [
            "lab parts",
            "lab routers",
            "lab t",
            "lab l1",
            "lab l3",
            "leftovers",
        ];
        skip(&mut report, &names, "--fast");
        return Ok(report.close(began.elapsed()));
    }
    report.lab_step("lab parts", workspace::requires(Level::L1), || {
        parts::ensure(&parts::of(Level::L1)).map(|_| Outcome::Passed)
    })?;
    if !report.last_passed() {
        skip(
            &mut report,
            &["lab routers", "lab t", "lab l1", "lab l3", "leftovers"],
            "no lab",
        );
        return Ok(report.close(began.elapsed()));
    }
    // Tests of l1 and l3 start them where they need one, and say so where there is none.
    report.lab_step("lab routers", workspace::requires(Level::L3), || {
        let mut wanted = Vec::new();
        for router in Router::ALL {
            wanted.extend(router.all_parts()?);
        }
        wanted.sort_by_key(|part| part.name);
        wanted.dedup_by_key(|part| part.name);
        parts::ensure(&wanted).map(|_| Outcome::Passed)
    })?;
    let filter = arguments.lab_filter.as_deref();
    for (name, level) in [
        ("lab t", Level::T),
        ("lab l1", Level::L1),
        ("lab l3", Level::L3),
    ] {
        report.lab_step(name, workspace::requires(level), || {
            lab_tests(level, filter)
        })?;
    }
    report.lab_step("leftovers", workspace::requires(Level::L3), || {
        cargo(&[
            "test",
            "-p",
            "xtask",
            "--test",
            "leftovers",
            "--",
            "--ignored",
        ])
    })?;
    Ok(report.close(began.elapsed()))
}

fn cargo(arguments: &[&str]) -> Result<Outcome> {
    let (mut cargo, lifeline) = contain::program("cargo", arguments.iter().map(Into::into))?;
    cargo.current_dir(workspace::root()).stdin(Stdio::null());
    let code = lifeline.spawn(&mut cargo)?.wait()?;
    verdict(code, &format!("cargo {}", arguments.join(" ")))
}

fn verdict(code: i32, what: &str) -> Result<Outcome> {
    if let Some(signal) = contain::signals::received() {
        return Err(Error::Interrupted(signal));
    }
    Ok(match code {
        0 => Outcome::Passed,
        code => Outcome::Failed(format!("{what} gave exit code {code}")),
    })
}

/// Builds our programs and the lab's test programs outside of the lab, then runs the level's one
/// after the other in one lab.
fn lab_tests(level: Level, filter: Option<&str>) -> Result<Outcome> {
    if let failed @ Outcome::Failed(_) = cargo(&["build", "--workspace", "--bins"])? {
        return Ok(failed);
    }
    let tests = lab_test_programs(level)?;
    if tests.is_empty() {
        return Ok(Outcome::Skipped(format!(
            "there is no test target {} in tests/",
            level.name()
        )));
    }
    let package = workspace::root().join("tests");
    let mut options = Options::new(level);
    if level == Level::L3 {
        // A loading phase that is real takes a model of some size.
        parts::big()?;
        // They time what real servers do on few cores: one at a time.
        options
            .environment
            .push(("RUST_TEST_THREADS".into(), "1".into()));
    }
    // As `cargo test` does for a test of that package.
    options
        .environment
        .push(("CARGO_MANIFEST_DIR".into(), package.clone().into()));
    options.directory = Some(package);
    let script = "filter=$1; shift; code=0\n\
                  for test; do echo \"running $test\" >&2; \"$test\" ${filter:+\"$filter\"} || code=1; done\n\
                  exit $code";
    let mut command: Vec<OsString> = ["sh", "-c", script, "lab-tests"].map(Into::into).to_vec();
    command.push(filter.unwrap_or_default().into());
    command.extend(tests.into_iter().map(Into::into));
    verdict(
        lab::run(&options, &command)?,
        "the lab's tests (or the lab; see above)",
    )
}

/// The test program named as the level, and with L1 the table that kubectl itself is asked about: the
/// lab has one, the machine perhaps not. The same cargo arguments as the step "tests", so that
/// nothing is built twice.
fn lab_test_programs(level: Level) -> Result<Vec<PathBuf>> {
    let arguments = [
        "test",
        "--workspace",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ];
    let (mut cargo, lifeline) = contain::program("cargo", arguments.map(Into::into))?;
    cargo
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut running = lifeline.spawn(&mut cargo)?;
    let mut programs = Vec::new();
    if let Some(stdout) = running.take_stdout() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            let target = &message["target"];
            let is_test = target["kind"][0] == "test"
                && target["name"].as_str().is_some_and(|name| {
                    name == level.name() || (level == Level::L1 && name == "parity")
                });
            if let Some(file) = message["executable"].as_str().filter(|_| is_test) {
                programs.push(PathBuf::from(file));
            }
        }
    }
    match running.wait()? {
        0 => Ok(programs),
        code => Err(Error::Failed(format!(
            "cargo test --workspace --no-run gave exit code {code}"
        ))),
    }
}
