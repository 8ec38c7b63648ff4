//! Runs a program so that nothing of it outlives us: not after its end, Ctrl-C, SIGTERM or `kill
//! -9` of us.
//!
//! The program runs under a *keeper*, another process of this same binary, as the first process of
//! a PID namespace: when the keeper ends, the kernel kills everything else in there. The keeper
//! ends when the program does, and at end-of-file on a pipe whose only write end we hold, the
//! *lifeline*: the kernel closes it whatever way we die. `unshare --kill-child` alone does not do
//! it: after `kill -9` of us, `unshare` itself lives on, and so its child.
//!
//! The lifeline is a descriptor of its own, not the keeper's stdin, so that the program keeps ours
//! (a shell in a lab, a file piped into kubectl).
//!
//! Safe Rust cannot unshare (there is no `fork` without `unsafe`), so util-linux's `unshare` does.

pub mod keeper;
pub mod signals;

use std::ffi::OsString;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::io::FdFlags;

use crate::{Error, Result, workspace};

/// How far a contained program is from the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Namespaces made by root; users stay who they are.
    Root,
    /// Namespaces inside a user namespace: no privilege needed.
    User,
    /// None: this machine lets us make none, for the reason given. Leftovers are then found through
    /// the process tree, and the network is the machine's own loopback.
    Plain {
        /// What `unshare` said.
        reason: String,
    },
}

impl Isolation {
    /// The best that works here; tried once per process. `INFER_LAB_ISOLATION=root|user|plain`
    /// chooses another.
    #[must_use]
    pub fn best() -> &'static Self {
        static BEST: OnceLock<Isolation> = OnceLock::new();
        BEST.get_or_init(|| {
            let plain = |reason: &str| Self::Plain {
                reason: reason.into(),
            };
            let wanted = std::env::var("INFER_LAB_ISOLATION").unwrap_or_default();
            let choices = match wanted.as_str() {
                "plain" => return plain("INFER_LAB_ISOLATION=plain"),
                "root" => vec![Self::Root],
                "user" => vec![Self::User],
                _ if rustix::process::geteuid().is_root() => vec![Self::Root, Self::User],
                _ => vec![Self::User],
            };
            let mut reason = String::new();
            for choice in choices {
                match choice.try_out() {
                    Ok(()) => return choice,
                    Err(why) => reason = why,
                }
            }
            plain(&reason)
        })
    }

    fn try_out(&self) -> Result<(), String> {
        let output = Command::new("unshare")
            .args(self.unshare_flags(true))
            .arg("true")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run unshare (package util-linux): {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_string())
    }

    /// The flags that make the namespaces. A private network comes with the right to set it up,
    /// hence root's number in the user namespace; without it the user stays who they are.
    fn unshare_flags(&self, private_network: bool) -> Vec<&'static str> {
        let mut flags = vec!["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        if private_network {
            flags.push("--net");
        }
        match self {
            Self::Root => {}
            Self::User if private_network => flags.extend(["--user", "--map-root-user"]),
            Self::User => flags.extend(["--user", "--map-current-user"]),
            Self::Plain { .. } => return Vec::new(),
        }
        flags
    }

    /// Whether there are namespaces at all.
    #[must_use]
    pub fn is_contained(&self) -> bool {
        !matches!(self, Self::Plain { .. })
    }
}

/// Both ends of the lifeline, before the keeper is started.
#[derive(Debug)]
pub struct Lifeline {
    reader: PipeReader,
    writer: PipeWriter,
}

/// A keeper that runs.
#[derive(Debug)]
pub struct Contained {
    child: Child,
    lifeline: signals::Registered,
}

/// Prepares a keeper: this program's hidden subcommand `subcommand` with `--lifeline FD`,
/// `--contained` where there are namespaces, then `arguments`. The caller may set the environment,
/// the directory and the streams of the command before [`Lifeline::spawn`].
///
/// # Errors
///
/// When the operating system gives no pipe.
pub fn keeper(
    isolation: &Isolation,
    private_network: bool,
    subcommand: &str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Command, Lifeline)> {
    let (reader, writer) = std::io::pipe().map_err(Error::io("making a pipe"))?;
    // The one descriptor that the keeper shall inherit.
    rustix::io::fcntl_setfd(&reader, FdFlags::empty())
        .map_err(Error::os("letting a child inherit a pipe"))?;
    let own = workspace::own_program()?;
    let mut command = if isolation.is_contained() {
        let mut command = Command::new("unshare");
        command
            .args(isolation.unshare_flags(private_network))
            .arg("--")
            .arg(own);
        command
    } else {
        Command::new(own)
    };
    command
        .arg(subcommand)
        .arg("--lifeline")
        .arg(reader.as_raw_fd().to_string());
    if isolation.is_contained() {
        command.arg("--contained");
    }
    command.args(arguments);
    Ok((command, Lifeline { reader, writer }))
}

/// Prepares `program` with `arguments` under a keeper, on the machine's own network.
///
/// # Errors
///
/// As [`keeper`].
pub fn program(
    program: &str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Command, Lifeline)> {
    let line = [OsString::from("--"), OsString::from(program)]
        .into_iter()
        .chain(arguments);
    keeper(Isolation::best(), false, "inside-keep", line)
}

impl Lifeline {
    /// Starts the keeper.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or a signal has already asked us to stop.
    pub fn spawn(self, command: &mut Command) -> Result<Contained> {
        if let Some(signal) = signals::received() {
            return Err(Error::Interrupted(signal));
        }
        let child = command
            .spawn()
            .map_err(Error::io("starting the keeper process"))?;
        drop(self.reader);
        Ok(Contained {
            child,
            lifeline: signals::pass_on_to(self.writer)?,
        })
    }
}

impl Contained {
    /// The child's stderr, where it was piped.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// The child's stdout, where it was piped.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the end of everything in there, and gives the program's exit code (128 + n after
    /// signal n).
    ///
    /// # Errors
    ///
    /// When waiting fails.
    pub fn wait(mut self) -> Result<i32> {
        let status = self
            .child
            .wait()
            .map_err(Error::io("waiting for the keeper process"))?;
        drop(self.lifeline);
        Ok(exit_code(status))
    }
}

/// A shell's number for how a process ended.
#[must_use]
pub fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// One byte on the lifeline tells the keeper which signal we got.
fn tell(writer: &mut PipeWriter, signal: i32) {
    // A keeper that is gone needs to be told nothing.
    let _ = writer.write_all(&[u8::try_from(signal).unwrap_or(15)]);
}

#[cfg(test)]
mod tests {
    use super::Isolation;

    #[test]
    fn a_user_keeps_its_number_unless_the_network_is_to_be_set_up() {
        assert!(
            Isolation::User
                .unshare_flags(false)
                .contains(&"--map-current-user")
        );
        assert!(
            Isolation::User
                .unshare_flags(true)
                .contains(&"--map-root-user")
        );
        assert!(Isolation::Root.unshare_flags(true).contains(&"--net"));
        let plain = Isolation::Plain {
            reason: String::new(),
        };
        assert!(plain.unshare_flags(true).is_empty());
    }
}
