//! After a lab of level `l3`: a node leaves more to remove, cgroups and what the kubelet writes.

use rustix::process::{Pid, Signal};
use xtask::contain::{Isolation, exit_code};
use xtask::lab::Level;

use crate::case::{Case, kill, pid, wait};

/// A pod that runs, so that there are containers, and what the kubelet mounts for them.
const POD: &str = "kubectl run stays --image=docker.io/lab/llama-server:init --image-pull-policy=Never \
    --command -- /bin/sh -c 'sleep 603' >/dev/null && \
    kubectl wait --for=condition=Ready pod/stays --timeout=30s >/dev/null || exit 3\n";

fn root() -> bool {
    *Isolation::best() == Isolation::Root
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_a_node_with_a_pod() {
    if !root() {
        return;
    }
    let case = Case::new(Level::L3, "normal");
    let script = format!("{POD}setsid sleep 601 & exit 41");
    let xtask = case.spawn(&mut case.lab(&script));
    assert_eq!(wait(xtask), 41);
    case.assert_nothing_left(&case.namespaces());
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_ctrl_c_beside_another_node() {
    if !root() {
        return;
    }
    let (one, two) = (Case::new(Level::L3, "one"), Case::new(Level::L3, "two"));
    let (first, of_first) = one.lab_that_stays(None);
    let (second, of_second) = two.lab_that_stays(None);
    assert!(of_first.is_disjoint(&of_second));
    rustix::process::kill_process_group(Pid::from_child(&first), Signal::INT).unwrap();
    assert_eq!(wait(first), 130);
    one.assert_nothing_left(&of_first);
    // The other one lives on.
    assert!(!two.cgroups().is_empty());
    assert!(
        two.processes()
            .values()
            .any(|line| line.contains("kubelet"))
    );
    rustix::process::kill_process(Pid::from_child(&second), Signal::TERM).unwrap();
    assert_eq!(wait(second), 143);
    two.assert_nothing_left(&of_second);
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_kill_9() {
    if !root() {
        return;
    }
    let case = Case::new(Level::L3, "kill-9");
    let (xtask, namespaces) = case.lab_that_stays(None);
    assert!(!namespaces.is_empty());
    kill(pid(&xtask), Signal::KILL);
    assert_eq!(wait(xtask), 137);
    case.assert_nothing_left(&namespaces);

    let case = Case::new(Level::L3, "unshare");
    let (xtask, namespaces) = case.lab_that_stays(None);
    kill(case.between(), Signal::KILL);
    assert_eq!(wait(xtask), 137);
    case.assert_nothing_left(&namespaces);

    let case = Case::new(Level::L3, "swept");
    let (xtask, namespaces) = case.lab_that_stays(None);
    let between = case.between();
    // Both at once: nobody is left to remove the cgroups but the next lab.
    kill(pid(&xtask), Signal::KILL);
    kill(between, Signal::KILL);
    assert_eq!(wait(xtask), 137);
    assert_eq!(exit_code(case.lab("exit 0").status().unwrap()), 0);
    case.assert_nothing_left(&namespaces);
}
