//! NGINX as a child process: test, start, reload, stop.

use crate::error::Error;
use crate::forms::Verdict;
use crate::render::{Rendered, Settings};
use crate::status::CONFIGURATION_PATH;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// For `nginx -t`, which takes some 10 ms.
const TEST: Duration = Duration::from_secs(10);
/// For a start or a reload.
const LOAD: Duration = Duration::from_secs(10);
/// Between two looks at what NGINX runs.
const LOOK: Duration = Duration::from_millis(10);
/// After a reload NGINX lets new workers start for 100 ms before it tells the old ones to stop
/// accepting (`src/os/unix/ngx_process_cycle.c`, `ngx_msleep(100)`).
const BOTH_ACCEPT: Duration = Duration::from_millis(150);
/// For one question to the status server.
const ASK: Duration = Duration::from_secs(1);
/// For requests in flight after SIGQUIT.
const QUIT: Duration = Duration::from_secs(20);
/// For the end after SIGTERM, which waits for nobody.
const TERM: Duration = Duration::from_secs(3);

/// So much of a complaint is kept, in characters.
const WORDS: usize = 800;

/// NGINX reads inherited sockets from an environment variable of its own name
/// (`src/core/nginx.c`, `NGINX_VAR`).
const INHERITED_SOCKETS: &str = "NGINX";

/// The program and, once started, its master process.
#[derive(Debug)]
pub(crate) struct Nginx {
    program: PathBuf,
    directory: PathBuf,
    status: SocketAddr,
    master: Option<Child>,
}

impl Nginx {
    /// Makes NGINX's directory. Starts nothing yet.
    pub(crate) fn new(program: &Path, settings: &Settings) -> Result<Nginx, Error> {
        let directory = settings.directory.clone();
        std::fs::create_dir_all(&directory).map_err(file(&directory))?;
        let address = match settings.listen {
            IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            it => it,
        };
        Ok(Nginx {
            program: program.to_owned(),
            directory,
            status: SocketAddr::new(address, settings.status_port),
            master: None,
        })
    }

    /// What `nginx -t` says. A refused text stays in `refused.conf`, for a person to read.
    pub(crate) async fn test(&self, rendered: &Rendered) -> Result<Verdict, Error> {
        let candidate = self.directory.join("candidate.conf");
        write(&candidate, &rendered.text)?;
        let mut command = self.command(&candidate);
        let run = command
            .arg("-t")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match timeout(TEST, run).await {
            Ok(Ok(output)) => output,
            Ok(Err(source)) => {
                let program = self.program.clone();
                return Err(Error::Program { program, source });
            }
            Err(_) => return Err(Error::TestTimeout(TEST.as_secs())),
        };
        if output.status.success() {
            return Ok(Verdict::Accepted);
        }
        let refused = self.directory.join("refused.conf");
        std::fs::rename(&candidate, &refused).map_err(file(&refused))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // The place that NGINX names, in the file that stays.
        let names = |path: &Path| path.display().to_string();
        let said = said.replace(&names(&candidate), &names(&refused));
        Ok(Verdict::Refused(words(&said)))
    }

    /// Starts NGINX with the text or reloads it; returns when only workers that run the text
    /// accept connections.
    pub(crate) async fn load(&mut self, rendered: &Rendered) -> Result<(), Error> {
        let path = self.directory.join("nginx.conf");
        let new = self.directory.join("nginx.conf.new");
        write(&new, &rendered.text)?;
        std::fs::rename(&new, &path).map_err(file(&path))?;
        match &self.master {
            Some(master) => signal(master, Signal::HUP),
            None => self.master = Some(self.start(&path)?),
        }
        let is_loaded = async {
            self.wait_for(&rendered.digest).await;
            sleep(BOTH_ACCEPT).await;
            self.wait_for(&rendered.digest).await;
        };
        timeout(LOAD, is_loaded)
            .await
            .map_err(|_| Error::NotLoaded {
                digest: rendered.digest.clone(),
                seconds: LOAD.as_secs(),
            })
    }

    /// Waits for the end of a master that was started; for ever where none was.
    pub(crate) async fn ended(&mut self) -> Error {
        match &mut self.master {
            Some(master) => match master.wait().await {
                Ok(status) => Error::Ended(status),
                Err(source) => Error::Program {
                    program: self.program.clone(),
                    source,
                },
            },
            None => std::future::pending().await,
        }
    }

    /// Ends NGINX: SIGQUIT, then SIGTERM, then SIGKILL. None where nothing was started.
    pub(crate) async fn stop(mut self) -> Option<ExitStatus> {
        let master = self.master.as_mut()?;
        for (kind, patience) in [(Signal::QUIT, QUIT), (Signal::TERM, TERM)] {
            signal(master, kind);
            match timeout(patience, master.wait()).await {
                Ok(status) => return status.ok(),
                Err(_) => tracing::warn!(
                    seconds = patience.as_secs(),
                    "NGINX still serves after {kind:?}; the requests in flight are cut"
                ),
            }
        }
        master.kill().await.ok()?;
        master.wait().await.ok()
    }

    fn start(&self, path: &Path) -> Result<Child, Error> {
        let mut command = self.command(path);
        // In a group of its own: Ctrl-C on a terminal is ours to pass on, as SIGQUIT.
        let command = command.args(["-g", "daemon off;"]).process_group(0);
        let spawned = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
        spawned.map_err(|source| Error::Program {
            program: self.program.clone(),
            source,
        })
    }

    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove(INHERITED_SOCKETS);
        // `-e`: without it NGINX first opens the log of its compiled prefix, which may be closed.
        command
            .arg("-c")
            .arg(path)
            .arg("-p")
            .arg(&self.directory)
            .args(["-e", "stderr"]);
        command
    }

    async fn wait_for(&self, digest: &str) {
        loop {
            let answer = timeout(ASK, ask(self.status)).await;
            if matches!(answer, Ok(Ok(body)) if body.ends_with(digest)) {
                return;
            }
            sleep(LOOK).await;
        }
    }
}

/// The status server's answer on a connection of its own, head and body.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {CONFIGURATION_PATH} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    // The whole answer is some 200 bytes.
    stream.take(4096).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|it| i32::try_from(it).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It fails where the process just ended, which is noticed elsewhere.
        let _ = kill_process(pid, signal);
    }
}

/// NGINX's complaint without the time and the process in front:
/// `2026/11/25 04:51:25 [emerg] 216#216: WORDS in FILE:LINE`, or `nginx: [emerg] WORDS …` before it
/// has a log.
fn words(stderr: &str) -> String {
    let complaint = stderr.lines().find_map(|line| line.split_once("[emerg] "));
    let words = complaint.map_or(stderr, |(_, words)| match words.split_once(": ") {
        Some((process, words)) if process.contains('#') => words,
        _ => words,
    });
    words.trim().chars().take(WORDS).collect()
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(file(path))
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn nginx_s_words_are_kept_and_what_surrounds_them_is_not() {
        let words_of_nginx =
            "\"proxy_read_timeout\" directive invalid value in /tmp/refused.conf:112";
        for front in ["2026/11/25 04:51:25 [emerg] 216#216: ", "nginx: [emerg] "] {
            let said = format!(
                "nginx: [warn] something\n{front}{words_of_nginx}\nnginx: configuration file \
                 /tmp/refused.conf test failed\n"
            );
            assert_eq!(words(&said), words_of_nginx);
        }
        assert_eq!(words("Segmentation fault\n"), "Segmentation fault");
        assert_eq!(words(&"x".repeat(10_000)).len(), 800);
    }
}
