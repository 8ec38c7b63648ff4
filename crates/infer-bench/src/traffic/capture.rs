//! tcpdump during a round.

use crate::error::{Error, Result};
use infer_tests::observer::{Conversation, conversations};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Larger than any packet of a bench, which is therefore captured whole. In immediate mode each packet
/// takes this much of the buffer, so the length of a jumbo frame of `lo` would leave room for a few
/// hundred packets only (run here: 4 % were lost).
const LONGEST_PACKET: &str = "2048";
/// The buffer between kernel and tcpdump, in KiB: 32,000 packets.
const BUFFER: &str = "65536";
/// How long tcpdump may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// A capture that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Capture {
    tcpdump: Child,
    file: PathBuf,
    log: PathBuf,
    server: SocketAddrV4,
}

impl Capture {
    /// Captures what goes to and from a server on `lo`, with the kernel's time stamps.
    pub(crate) fn start(server: SocketAddrV4, directory: &Path) -> Result<Capture> {
        let (file, log) = (directory.join("lo.pcap"), directory.join("tcpdump.log"));
        let said = std::fs::File::create(&log).map_err(Error::io("making tcpdump's log"))?;
        let tcpdump = Command::new("tcpdump")
            .args(["-i", "lo", "-n", "-s", LONGEST_PACKET, "-B", BUFFER])
            .args(["--time-stamp-precision=nano", "--immediate-mode"])
            .args(["-Z", "root", "-w"])
            .arg(&file)
            .arg(format!("tcp and port {}", server.port()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(Error::io("starting tcpdump"))?;
        let capture = Capture {
            tcpdump,
            file,
            log,
            server,
        };
        let until = Instant::now() + PATIENCE;
        while !capture.said().contains("listening on") {
            if Instant::now() > until {
                return Err(Error::Failed(format!(
                    "tcpdump does not start: {}",
                    capture.said()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(capture)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it and gives what it saw. A capture that missed packets is an error.
    pub(crate) fn end(mut self) -> Result<Vec<Conversation>> {
        // The last packets are still on their way through the capture's buffer.
        std::thread::sleep(Duration::from_millis(300));
        self.stop();
        let said = self.said();
        if !said.contains("\n0 packets dropped by kernel") {
            return Err(Error::Failed(format!(
                "the capture is not whole, the machine is too busy; tcpdump says: {said}"
            )));
        }
        let file = std::fs::read(&self.file).map_err(Error::io("reading the capture"))?;
        Ok(conversations(&file, self.server))
    }

    fn stop(&mut self) {
        let _ = Command::new("kill")
            .args(["-INT", &self.tcpdump.id().to_string()])
            .status();
        let _ = self.tcpdump.wait();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Ok(None) = self.tcpdump.try_wait() {
            self.stop();
        }
    }
}
