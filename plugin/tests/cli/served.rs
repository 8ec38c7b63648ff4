//! Small servers on 127.0.0.1 that answer well, or go wrong in one way each.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a server does with each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Habit {
    /// Reads the request, answers this, closes.
    Answers(&'static str),
    /// Reads the request, answers what stands for its number, from zero, closes.
    Numbered(fn(usize) -> &'static str),
    /// Reads the request, then writes each part after a pause, closes.
    Streams(&'static [&'static str], Duration),
    /// Reads the request, writes this, and then nothing until the client leaves.
    FallsSilent(&'static str),
    /// Reads the beginning of the request only, writes this, and closes: the kernel then resets
    /// the connection, because bytes were left unread (RFC 9293, 3.10.4; seen on Linux).
    Resets(&'static str),
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    /// Head and body of each request, as they came.
    requests: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Served {
    pub(crate) fn with(habit: Habit) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let served = Served {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            stopped: Arc::default(),
        };
        let (requests, stopped) = (served.requests.clone(), served.stopped.clone());
        thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let requests = requests.clone();
                thread::spawn(move || habit.serve(connection, &requests));
            }
        });
        served
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Habit {
    /// A client that leaves early is no failure of the server.
    fn serve(self, mut connection: TcpStream, requests: &Mutex<Vec<String>>) {
        if let Habit::Resets(text) = self {
            let mut first = [0; 16];
            let _ = connection.read(&mut first);
            let _ = connection.write_all(text.as_bytes());
            // What was written must be read before the reset overtakes it.
            thread::sleep(Duration::from_millis(200));
            return;
        }
        let Some(request) = read_request(&mut connection) else {
            return;
        };
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        match self {
            Habit::Numbered(answer) => {
                let _ = connection.write_all(answer(number).as_bytes());
            }
            Habit::Answers(text) => {
                let _ = connection.write_all(text.as_bytes());
            }
            Habit::Streams(parts, pause) => {
                for part in parts {
                    if connection.write_all(part.as_bytes()).is_err() {
                        return;
                    }
                    thread::sleep(pause);
                }
            }
            Habit::FallsSilent(text) => {
                let _ = connection.write_all(text.as_bytes());
                let mut rest = Vec::new();
                let _ = connection.read_to_end(&mut rest);
            }
            Habit::Resets(_) => {}
        }
        let _ = connection.shutdown(Shutdown::Write);
    }
}

/// The head, and as much body as `content-length` says.
fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = connection.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.parse().unwrap());
        if body.len() >= length {
            return Some(text.into_owned());
        }
    }
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 16\r\nx-inference-pod: llama-0\r\n\r\n{\"choices\":[{}]}";

pub(crate) const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain\r\ncontent-length: 13\r\n\r\nLoading model";
