//! Nothing of ours is left behind, however xtask ends: no process, namespace, mount, cgroup, sysctl
//! or file.
//!
//! These start labs, so `cargo test` ignores them; `cargo xtask test` runs them (`-- --ignored`
//! does, too). They run side by side, and so show that two labs do.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, not in their helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use xtask::contain::{Isolation, exit_code};
use xtask::workspace;

/// Every process of a case carries this in its environment.
const MARK: &str = "INFER_LEFTOVERS_MARK";

/// How long the kernel and our keeper may take to clear up after `kill -9`.
const PATIENCE: Duration = Duration::from_secs(5);

/// The command that a lab runs here: leaves a daemon in a session of its own, says so, and stays.
const STAY: &str = "setsid sleep 601 & echo up; exec sleep 602";

struct Case {
    mark: String,
    scratch: tempfile::TempDir,
    before: Machine,
}

/// What a lab might leave on the machine, apart from processes.
#[derive(Debug, PartialEq)]
struct Machine {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    sysctls: BTreeMap<&'static str, String>,
    cache: BTreeSet<PathBuf>,
}

impl Case {
    fn new(name: &str) -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("infer-leftovers-")
            .tempdir()
            .unwrap();
        // `setup` has filled the cache; the mount point is the one thing that the first lab adds.
        fs::create_dir_all(workspace::lab_cache().unwrap().join("state")).unwrap();
        let mark = format!("{name}-{}", std::process::id());
        Self {
            mark,
            before: Machine::now(),
            scratch,
        }
    }

    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .env(MARK, &self.mark)
            .env("TMPDIR", self.scratch.path())
            .env_remove("INFER_LAB_ISOLATION")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A terminal's Ctrl-C goes to a process group; this makes one.
            .process_group(0);
        command
    }

    fn lab(&self, script: &str) -> Command {
        self.xtask(&["lab", "l1", "--no-build", "--", "sh", "-c", script])
    }

    /// Starts a lab whose command stays, and waits until the command runs.
    fn lab_that_stays(&self, isolation: Option<&str>) -> (Child, BTreeSet<PathBuf>) {
        let mut command = self.lab(STAY);
        command.envs(isolation.map(|value| ("INFER_LAB_ISOLATION", value)));
        let mut xtask = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(xtask.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n", "the lab did not come up");
        // Proof that the search below would see what it looks for.
        let processes = self.processes();
        for name in ["etcd", "kube-apiserver", "sleep 601", "sleep 602"] {
            assert!(
                processes.values().any(|line| line.contains(name)),
                "{name}: {processes:#?}"
            );
        }
        (xtask, self.namespaces())
    }

    /// Our processes with their command lines.
    fn processes(&self) -> BTreeMap<i32, String> {
        let wanted = format!("{MARK}={}", self.mark);
        all_pids()
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment
                    .split(|byte| *byte == 0)
                    .any(|entry| entry == wanted.as_bytes())
            })
            .map(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                (pid, String::from_utf8_lossy(&line).replace('\0', " "))
            })
            .collect()
    }

    /// The namespaces of our processes that are not the test's own.
    fn namespaces(&self) -> BTreeSet<PathBuf> {
        let own = namespaces_of("self");
        let of_ours = self
            .processes()
            .into_keys()
            .flat_map(|pid| namespaces_of(&pid.to_string()));
        of_ours
            .filter(|namespace| !own.contains(namespace))
            .collect()
    }

    /// Waits for everything of ours to vanish, and says what did not.
    fn assert_nothing_left(&self, namespaces: &BTreeSet<PathBuf>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let processes = self.processes();
            let held: BTreeSet<PathBuf> = all_pids()
                .flat_map(|pid| namespaces_of(&pid.to_string()))
                .filter(|namespace| namespaces.contains(namespace))
                .collect();
            let files: Vec<PathBuf> = tree(self.scratch.path(), 3).into_iter().collect();
            let after = Machine::now();
            if processes.is_empty() && held.is_empty() && files.is_empty() && after == self.before {
                return;
            }
            assert!(
                Instant::now() < until,
                "{}: left behind after {PATIENCE:?}\nprocesses: {processes:#?}\n\
                 namespaces: {held:?}\nfiles: {files:?}\nbefore: {:#?}\nafter: {after:#?}",
                self.mark,
                self.before
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A failed assertion must not leave a lab behind either.
impl Drop for Case {
    fn drop(&mut self) {
        for pid in self.processes().into_keys() {
            kill(pid, Signal::KILL);
        }
    }
}

impl Machine {
    fn now() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let named_like_ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.contains("infer") || name.contains("lab")
        };
        let sysctls = [
            "vm/overcommit_memory",
            "kernel/panic",
            "kernel/panic_on_oops",
            "kernel/keys/root_maxkeys",
            "net/ipv4/ip_forward",
            "net/ipv4/conf/all/forwarding",
        ];
        let value =
            |name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
        Self {
            mounts: mounts
                .lines()
                .filter(|l| l.contains("infer"))
                .map(Into::into)
                .collect(),
            cgroups: tree(Path::new("/sys/fs/cgroup"), 3)
                .into_iter()
                .filter(named_like_ours)
                .collect(),
            sysctls: sysctls
                .into_iter()
                .map(|name| (name, value(name)))
                .collect(),
            cache: tree(&workspace::lab_cache().unwrap(), 2),
        }
    }
}

fn tree(of: &Path, depth: usize) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(of).into_iter().flatten().flatten() {
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.append(&mut tree(&entry.path(), depth - 1));
        }
        found.insert(entry.path());
    }
    found
}

fn all_pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn namespaces_of(pid: &str) -> Vec<PathBuf> {
    let link = |kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    ["pid", "net", "user", "mnt"]
        .into_iter()
        .filter_map(link)
        .collect()
}

fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn pid(child: &Child) -> i32 {
    Pid::from_child(child).as_raw_pid()
}

fn wait(mut child: Child) -> i32 {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return exit_code(status);
        }
        assert!(
            Instant::now() < until,
            "xtask did not end within 15 seconds"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "starts a lab; cargo xtask test runs it"]
fn after_a_run_that_leaves_a_daemon() {
    let case = Case::new("normal");
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
    let case = Case::new("failing");
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
    let case = Case::new("start");
    let xtask = case.lab("exit 0").spawn().unwrap();
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
        let case = Case::new("ctrl-c");
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
        let case = Case::new("alone");
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
        let case = Case::new(&format!("kill-9-{isolation}"));
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
    let case = Case::new("unshare");
    if !Isolation::best().is_contained() {
        return;
    }
    let (xtask, namespaces) = case.lab_that_stays(None);
    let between = case
        .processes()
        .into_iter()
        .find(|(_, line)| line.starts_with("unshare "))
        .unwrap();
    kill(between.0, Signal::KILL);
    assert_eq!(wait(xtask), 137);
    case.assert_nothing_left(&namespaces);
}

/// `cargo xtask test` and `demo` start cargo and others through the same keeper. Here cargo is a
/// stand-in.
#[test]
#[ignore = "slow beside the others; cargo xtask test runs it"]
fn after_kill_9_of_xtask_while_cargo_runs() {
    let case = Case::new("cargo");
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
