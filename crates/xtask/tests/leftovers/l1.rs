//! After a lab of level `l1`, and after cargo under a keeper.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use xtask::contain::{Isolation, exit_code};
use xtask::lab::Level;

use crate::case::{Case, PATIENCE, kill, pid, wait};

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_a_run_that_leaves_a_daemon() {
    let case = Case::new(Level::L1, "normal");
    let output = case
        .lab("setsid sleep 601 & kubectl get namespace default -o name")
        .output()
        .unwrap();
    assert_eq!(exit_code(output.status), 0);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "namespace/default\n"
    );
    case.assert_nothing_left(&BTreeSet::new());
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_a_command_that_fails() {
    let case = Case::new(Level::L1, "failing");
    assert_eq!(exit_code(case.lab("exit 42").status().unwrap()), 42);
    assert_eq!(
        exit_code(case.lab("kill -SEGV $$").status().unwrap()),
        128 + 11
    );
    case.assert_nothing_left(&BTreeSet::new());
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_ctrl_c_while_it_starts() {
    let case = Case::new(Level::L1, "start");
    let xtask = case.spawn(&mut case.lab("exit 0"));
    let until = Instant::now() + PATIENCE;
    while !case
        .processes()
        .values()
        .any(|line| line.contains("kube-apiserver --"))
    {
        assert!(Instant::now() < until, "no API server after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    let namespaces = case.namespaces();
    rustix::process::kill_process_group(Pid::from_child(&xtask), Signal::INT).unwrap();
    assert_eq!(wait(xtask), 130);
    case.assert_nothing_left(&namespaces);
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_ctrl_c_while_the_command_runs() {
    for isolation in [None, Some("plain")] {
        let case = Case::new(Level::L1, "ctrl-c");
        let (xtask, namespaces) = case.lab_that_stays(isolation);
        rustix::process::kill_process_group(Pid::from_child(&xtask), Signal::INT).unwrap();
        assert_eq!(wait(xtask), 130);
        case.assert_nothing_left(&namespaces);
    }
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_a_signal_to_xtask_alone() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let case = Case::new(Level::L1, "alone");
        let (xtask, namespaces) = case.lab_that_stays(None);
        // Now only the lifeline tells the keeper; it sends the signal on.
        rustix::process::kill_process(Pid::from_child(&xtask), signal).unwrap();
        let ended = wait(xtask);
        assert_eq!(ended, code, "{signal:?}");
        case.assert_nothing_left(&namespaces);
    }
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_kill_9_of_xtask() {
    for isolation in ["root", "user", "plain"] {
        if isolation == "root" && *Isolation::best() != Isolation::Root {
            continue;
        }
        if isolation == "user" && !Isolation::best().is_contained() {
            continue;
        }
        let case = Case::new(Level::L1, &format!("kill-9-{isolation}"));
        let (xtask, namespaces) = case.lab_that_stays(Some(isolation));
        // In plain mode there are none; elsewhere an empty set would prove nothing.
        assert_eq!(namespaces.is_empty(), isolation == "plain");
        kill(pid(&xtask), Signal::KILL);
        assert_eq!(wait(xtask), 137);
        case.assert_nothing_left(&namespaces);
    }
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_kill_9_of_the_process_between() {
    let case = Case::new(Level::L1, "unshare");
    if !Isolation::best().is_contained() {
        return;
    }
    let (xtask, namespaces) = case.lab_that_stays(None);
    kill(case.between(), Signal::KILL);
    assert_eq!(wait(xtask), 137);
    case.assert_nothing_left(&namespaces);
}

/// `cargo xtask test` and `demo` start cargo and others through the same keeper. Here cargo is a
/// stand-in.
#[test]
#[ignore = "slow beside the others; cargo xtask test runs it"]
fn after_kill_9_of_xtask_while_cargo_runs() {
    let case = Case::new(Level::L1, "cargo");
    let bin = tempfile::tempdir().unwrap();
    let cargo = bin.path().join("cargo");
    fs::write(&cargo, "#!/bin/sh\nsetsid sleep 601 &\nsleep 602\n").unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let xtask = case
        .xtask(&["test", "--fast"])
        .env("PATH", format!("{}:{path}", bin.path().display()))
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    let running = |wanted: &str| case.processes().values().any(|line| line.contains(wanted));
    while !(running("sleep 601") && running("sleep 602")) {
        assert!(Instant::now() < until, "no cargo after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    let namespaces = case.namespaces();
    kill(pid(&xtask), Signal::KILL);
    assert_eq!(wait(xtask), 137);
    case.assert_nothing_left(&namespaces);
}
