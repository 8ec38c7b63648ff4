//! Twenty drills of each fault against the observer; `cargo xtask prove drill` runs it in a lab. The
//! table goes to stdout, what it does meanwhile to stderr. Exit code 1 where anybody disagrees.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for a person"
)]

use std::process::ExitCode;
use std::time::Duration;

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::space::Space;
use infer_tests::truth::{self, Compared, Load};

const LOAD: Load = Load {
    baseline: Duration::from_secs(3),
    duration: Duration::from_secs(9),
};

fn main() -> ExitCode {
    let Some(lab) = node_lab() else {
        return ExitCode::FAILURE;
    };
    let runs: usize = std::env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(20);
    println!(
        "| fault | runs | requests | lost | truncated | retried | still open | disagreements |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut agreed = true;
    // llama-server hangs on SIGTERM until SIGKILL: what it loses is to fall into the run.
    let wanted = Wanted {
        grace: Some(3),
        ..Wanted::default()
    };
    for fault in ["crash", "delete", "force-delete"] {
        let space = Space::in_group(lab.clone(), &format!("prove-{fault}"), None);
        let exercise = Exercise::start(space, &wanted);
        let mut sum = Compared::default();
        for number in 1..=runs {
            let run = truth::run(&exercise, fault, LOAD);
            eprintln!(
                "{fault} {number}/{runs}: exit code {}, {:.1} s, {} requests, {} lost, {} retried, {} disagreements",
                run.code,
                run.took.as_secs_f64(),
                run.compared.requests,
                run.compared.lost,
                run.compared.retried,
                run.compared.disagreements.len()
            );
            let mut one = run.compared;
            if run.code != 0 {
                // It counts against us, whatever the reason; the reason is in its document.
                let errors = &run.report["errors"];
                one.disagreements
                    .push(format!("exit code {}: {errors}", run.code));
            }
            for what in &one.disagreements {
                eprintln!("  {what}");
            }
            sum.requests += one.requests;
            sum.lost += one.lost;
            sum.truncated += one.truncated;
            sum.retried += one.retried;
            sum.open += one.open;
            sum.disagreements.extend(one.disagreements);
            if let Err(why) = exercise.renew() {
                eprintln!("{fault}: the replicas did not come back: {why}");
                return ExitCode::FAILURE;
            }
        }
        println!(
            "| {fault} | {runs} | {} | {} | {} | {} | {} | {} |",
            sum.requests,
            sum.lost,
            sum.truncated,
            sum.retried,
            sum.open,
            sum.disagreements.len()
        );
        agreed &= sum.disagreements.is_empty();
        exercise.end();
    }
    if agreed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
