//! tcpdump while clients are at work.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::pcap::{Conversation, conversations};

/// A capture that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Child,
    file: PathBuf,
    log: PathBuf,
    server: SocketAddrV4,
}

impl Capture {
    /// Captures what goes between `interface`'s address and a server, whole packets, with the
    /// kernel's time stamps.
    ///
    /// # Panics
    ///
    /// When tcpdump does not start within five seconds.
    #[must_use]
    pub fn start(interface: &str, server: SocketAddrV4, file: PathBuf) -> Self {
        let log = file.with_extension("log");
        let said = std::fs::File::create(&log).expect("the capture's log is made");
        let tcpdump = Command::new("tcpdump")
            .args([
                "-i",
                interface,
                "-n",
                "-s",
                "0",
                "-U",
                "--time-stamp-precision=nano",
                // Else what the kernel holds back for up to a second is lost at the end, uncounted.
                "--immediate-mode",
            ])
            // In KiB: bursts must not be lost. What is lost is counted at the end.
            .args(["-B", "65536", "-Z", "root", "-w"])
            .arg(&file)
            .arg(format!(
                "tcp and host {} and port {}",
                server.ip(),
                server.port()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("tcpdump is one of the lab's node tools");
        let capture = Self {
            tcpdump,
            file,
            log,
            server,
        };
        let until = Instant::now() + Duration::from_secs(5);
        while !capture.said().contains("listening on") {
            assert!(
                Instant::now() < until,
                "tcpdump does not start: {}",
                capture.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        capture
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it and gives what it saw.
    ///
    /// # Panics
    ///
    /// When the kernel dropped packets: a witness that blinked is none.
    #[must_use]
    pub fn end(mut self) -> Vec<Conversation> {
        // The last packets are still on their way through the capture's buffer.
        std::thread::sleep(Duration::from_millis(300));
        self.stop();
        let said = self.said();
        assert!(
            said.contains("\n0 packets dropped by kernel"),
            "tcpdump says: {said}"
        );
        let file = std::fs::read(&self.file).expect("the capture can be read");
        conversations(&file, self.server)
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
