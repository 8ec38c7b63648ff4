//! `drill` tells the truth: an observer that is not our client agrees on every request. Twenty runs
//! of each fault are `cargo xtask prove drill`; here is one.

use std::time::Duration;

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::space::Space;
use infer_tests::truth::{self, Load};

const LOAD: Load = Load {
    baseline: Duration::from_secs(3),
    duration: Duration::from_secs(9),
};

fn agreed(fault: &str) {
    let Some(lab) = node_lab() else { return };
    let name = format!("drill-{fault}");
    // llama-server hangs on SIGTERM until SIGKILL: what it loses is to fall into the run.
    let wanted = Wanted {
        grace: Some(3),
        ..Wanted::default()
    };
    let exercise = Exercise::start(Space::in_group(lab, &name, None), &wanted);
    let run = truth::run(&exercise, fault, LOAD);
    assert_eq!(run.code, 0, "{:#}", run.report);
    let compared = &run.compared;
    assert!(compared.requests > 100, "{compared:#?}");
    assert!(
        compared.disagreements.is_empty(),
        "{:#?}",
        compared.disagreements
    );
    // A fault of which nobody felt anything proves nothing about the record of losses.
    assert!(compared.lost + compared.retried > 0, "{compared:#?}");
    assert!(run.took < Duration::from_secs(25), "{:?}", run.took);
    exercise.end();
}

#[test]
fn of_a_crash() {
    agreed("crash");
}

#[test]
fn of_a_deletion() {
    agreed("delete");
}

#[test]
fn of_a_forced_deletion() {
    agreed("force-delete");
}
