//! One lab, and what there is to see of it on the machine.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use xtask::contain::exit_code;
use xtask::lab::Level;
use xtask::workspace;

/// Every process of a case carries this in its environment.
const MARK: &str = "INFER_LEFTOVERS_MARK";

/// How long the kernel and our keeper may take to clear up after `kill -9`.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long xtask may take to end. A node takes about four seconds; beside other builds on the two
/// cores of this machine fifteen were not enough once.
const ENDS: Duration = Duration::from_secs(60);

/// The command that a lab runs here: leaves a daemon in a session of its own, says so, and stays.
const STAY: &str = "setsid sleep 601 & echo up; exec sleep 602";

/// A lab that is to leave nothing behind.
pub(crate) struct Case {
    level: Level,
    mark: String,
    scratch: tempfile::TempDir,
    before: Machine,
    /// The xtask processes of this case: a node's cgroups carry their numbers.
    started: RefCell<BTreeSet<u32>>,
}

/// What a lab might leave on the machine, apart from processes.
#[derive(Debug, PartialEq)]
struct Machine {
    mounts: BTreeSet<String>,
    sysctls: BTreeMap<&'static str, String>,
    cache: BTreeSet<PathBuf>,
}

impl Case {
    pub(crate) fn new(level: Level, name: &str) -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("infer-leftovers-")
            .tempdir()
            .unwrap();
        // `setup` has filled the cache; the mount point is the one thing that the first lab adds.
        fs::create_dir_all(workspace::lab_cache().unwrap().join("state")).unwrap();
        let mark = format!("{}-{name}-{}", level.name(), std::process::id());
        Self {
            level,
            started: RefCell::default(),
            mark,
            before: Machine::now(),
            scratch,
        }
    }

    pub(crate) fn xtask(&self, arguments: &[&str]) -> Command {
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

    pub(crate) fn lab(&self, script: &str) -> Command {
        self.xtask(&[
            "lab",
            self.level.name(),
            "--no-build",
            "--",
            "sh",
            "-c",
            script,
        ])
    }

    /// Starts it, and remembers its number.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let child = command.spawn().unwrap();
        self.started.borrow_mut().insert(child.id());
        child
    }

    /// The cgroups of this case's labs.
    pub(crate) fn cgroups(&self) -> BTreeSet<PathBuf> {
        let started = self.started.borrow();
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            started.iter().any(|pid| name == format!("infer-lab-{pid}"))
        };
        tree(Path::new("/sys/fs/cgroup"), 2)
            .into_iter()
            .filter(ours)
            .collect()
    }

    /// Starts a lab whose command stays, and waits until the command runs.
    pub(crate) fn lab_that_stays(&self, isolation: Option<&str>) -> (Child, BTreeSet<PathBuf>) {
        let mut command = self.lab(STAY);
        command.envs(isolation.map(|value| ("INFER_LAB_ISOLATION", value)));
        let mut xtask = self.spawn(&mut command);
        let mut line = String::new();
        BufReader::new(xtask.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n", "the lab did not come up");
        // Proof that the search below would see what it looks for.
        let processes = self.processes();
        let node = ["kubelet", "containerd", "kube-proxy"];
        let names = ["etcd", "kube-apiserver", "sleep 601", "sleep 602"].into_iter();
        for name in names.chain(node.into_iter().filter(|_| self.level == Level::L3)) {
            assert!(
                processes.values().any(|line| line.contains(name)),
                "{name}: {processes:#?}"
            );
        }
        assert_eq!(self.cgroups().is_empty(), self.level != Level::L3);
        (xtask, self.namespaces())
    }

    /// Our processes with their command lines.
    pub(crate) fn processes(&self) -> BTreeMap<i32, String> {
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

    /// The `unshare` process between xtask and the keeper.
    pub(crate) fn between(&self) -> i32 {
        let processes = self.processes();
        let found = processes
            .iter()
            .find(|(_, line)| line.starts_with("unshare "));
        *found.unwrap().0
    }

    /// The namespaces of our processes that are not the test's own.
    pub(crate) fn namespaces(&self) -> BTreeSet<PathBuf> {
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
    pub(crate) fn assert_nothing_left(&self, namespaces: &BTreeSet<PathBuf>) {
        let until = Instant::now() + ENDS;
        loop {
            let processes = self.processes();
            let held: BTreeSet<PathBuf> = all_pids()
                .flat_map(|pid| namespaces_of(&pid.to_string()))
                .filter(|namespace| namespaces.contains(namespace))
                .collect();
            let files: Vec<PathBuf> = tree(self.scratch.path(), 3).into_iter().collect();
            let (after, cgroups) = (Machine::now(), self.cgroups());
            let gone = processes.is_empty() && held.is_empty() && files.is_empty();
            if gone && cgroups.is_empty() && after == self.before {
                return;
            }
            assert!(
                Instant::now() < until,
                "{}: left behind after {PATIENCE:?}\nprocesses: {processes:#?}\n\
                 namespaces: {held:?}\nfiles: {files:?}\ncgroups: {cgroups:?}\nbefore: {:#?}\nafter: {after:#?}",
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

pub(crate) fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

pub(crate) fn pid(child: &Child) -> i32 {
    Pid::from_child(child).as_raw_pid()
}

pub(crate) fn wait(mut child: Child) -> i32 {
    let until = Instant::now() + ENDS;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return exit_code(status);
        }
        assert!(Instant::now() < until, "xtask did not end within {ENDS:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
