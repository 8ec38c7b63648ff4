//! The process that keeps a contained program: starts it, waits, reaps, and takes everything with
//! it when it ends.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::signal::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Error, Result};

/// How long a program may take to end after it was asked to, before it is killed. Ctrl-C has no
/// such bound: a shell or a test may well go on.
const GRACE: Duration = Duration::from_secs(10);

/// A signal sent to a process group reaches us and the program by itself. Within this time we know.
const GROUP_DELAY: Duration = Duration::from_millis(100);

/// A keeper. There is one per process.
#[derive(Debug)]
pub struct Keeper {
    events: Receiver<Event>,
    contained: bool,
    own: Option<(i32, Instant)>,
    ending: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// xtask got this signal and says so.
    Told(i32),
    /// We got this signal ourselves.
    Own(i32),
}

impl Keeper {
    /// Begins to watch the lifeline, a pipe inherited as descriptor `lifeline`. At its end-of-file
    /// this process ends, and all that it started: with the PID namespace if `contained`, else one
    /// by one. `farewell` runs before that.
    ///
    /// # Errors
    ///
    /// When `lifeline` is not such a descriptor.
    pub fn new(
        lifeline: i32,
        contained: bool,
        farewell: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        let mut pipe = open_inherited(lifeline)?;
        if !contained {
            // Orphans come to us and not to the machine's first process, so that we find them.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                .map_err(Error::os("becoming the subreaper"))?;
        }
        let (sender, events) = mpsc::channel();
        let ending = Arc::new(AtomicBool::new(false));
        let at_end = Arc::clone(&ending);
        let told = sender.clone();
        thread::spawn(move || {
            let mut byte = [0];
            while let Ok(1) = pipe.read(&mut byte) {
                let _ = told.send(Event::Told(i32::from(byte[0])));
            }
            at_end.store(true, Ordering::SeqCst);
            if !contained {
                kill_descendants();
            }
            farewell();
            std::process::exit(128 + Signal::KILL.as_raw());
        });
        let mut signals = Signals::new([SIGCHLD, SIGINT, SIGTERM, SIGHUP])
            .map_err(Error::io("listening for signals"))?;
        thread::spawn(move || {
            for signal in signals.forever() {
                let _ = sender.send(Event::Own(signal));
            }
        });
        Ok(Self {
            events,
            contained,
            own: None,
            ending,
        })
    }

    /// Waits up to `time` for a request to stop, between two looks at something that starts.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when one came.
    pub fn pause(&mut self, time: Duration) -> Result<()> {
        match self.events.recv_timeout(time) {
            Ok(Event::Told(signal) | Event::Own(signal)) if signal != SIGCHLD => {
                Err(Error::Interrupted(signal))
            }
            _ => Ok(()),
        }
    }

    /// Runs the program to its end and gives its exit code. Signals reach it; children that end
    /// meanwhile (orphans come to the first process of a namespace) are reaped, `others` hears of
    /// them.
    ///
    /// # Errors
    ///
    /// [`Error::CommandMissing`] when it cannot be started.
    pub fn run(
        &mut self,
        command: &mut Command,
        mut others: impl FnMut(Pid, WaitStatus),
    ) -> Result<i32> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(|source| Error::CommandMissing { name, source })?;
        let pid = Pid::from_child(&child);
        let mut deadline: Option<(Instant, i32)> = None;
        loop {
            while let Ok(Some((ended, status))) = rustix::process::wait(WaitOptions::NOHANG) {
                if ended == pid {
                    return Ok(code(status));
                }
                // What we kill ourselves is no news.
                if !self.ending.load(Ordering::SeqCst) {
                    others(ended, status);
                }
            }
            let patience = deadline.map_or(Duration::from_secs(60), |(at, _)| {
                at.saturating_duration_since(Instant::now())
            });
            match self.events.recv_timeout(patience) {
                Ok(Event::Own(SIGCHLD)) => {}
                Ok(Event::Own(signal)) => self.own = Some((signal, Instant::now())),
                Ok(Event::Told(signal)) => {
                    self.forward(pid, signal);
                    if signal != SIGINT {
                        deadline.get_or_insert((Instant::now() + GRACE, signal));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((at, signal)) = deadline
                        && Instant::now() >= at
                    {
                        return Ok(128 + signal);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(128 + SIGTERM),
            }
        }
    }

    /// Sends the program what xtask got, unless its process group got it anyway: a second Ctrl-C
    /// means something else to many programs than one.
    fn forward(&mut self, pid: Pid, signal: i32) {
        let until = Instant::now() + GROUP_DELAY;
        loop {
            if let Some((own, at)) = self.own
                && own == signal
                && at.elapsed() < 5 * GROUP_DELAY
            {
                self.own = None;
                return;
            }
            match self
                .events
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Own(own)) if own != SIGCHLD => self.own = Some((own, Instant::now())),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ends what is left. In a PID namespace the kernel does it when this process exits.
    pub fn finish(&self) {
        if !self.contained {
            kill_descendants();
        }
    }
}

/// Opens a pipe that we inherited, by number. A number is not a descriptor that safe Rust may own,
/// but `/proc` opens it anew. Without waiting: where xtask has died already, an open for reading
/// would wait for a writer forever.
fn open_inherited(number: i32) -> Result<File> {
    let path = format!("/proc/self/fd/{number}");
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let pipe = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&path)
        .map_err(Error::io(format!(
            "opening the lifeline {path} (a hidden command of xtask)"
        )))?;
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty())
        .map_err(Error::os("setting up the lifeline"))?;
    Ok(pipe)
}

/// Kills every process below us, over and over until none is left: orphans come to us (we are their
/// subreaper).
pub(crate) fn kill_descendants() {
    let own = rustix::process::getpid();
    for _ in 0..200 {
        let descendants = descendants(own.as_raw_pid());
        if descendants.is_empty() {
            return;
        }
        for pid in descendants {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        thread::sleep(Duration::from_millis(10));
    }
}

fn descendants(of: i32) -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // "PID (NAME) STATE PARENT …": the name may hold anything, so count from its last
            // parenthesis.
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
        .into_iter()
        .skip(1)
        .filter_map(Pid::from_raw)
        .collect()
}

fn code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
}
