//! Servers that make a proxy wait, each in its own way, on an address that pods and routers reach.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How a server makes a proxy wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// Its connections are never accepted: the kernel drops what asks for one.
    Unreachable,
    /// It reads the request and says nothing.
    Silent,
    /// It sends the head and one chunk, and then nothing.
    Stalls,
    /// It sends the head and then a chunk each 200 ms.
    Drips,
}

/// How long a server goes on at most: longer than any test waits.
const PATIENCE: Duration = Duration::from_secs(90);
/// The time between two chunks of [`Slow::Drips`].
pub const BETWEEN_DRIPS: Duration = Duration::from_millis(200);
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// What a chunk holds.
pub const DATA: &str = "data: \"x\"\n\n";
const CHUNK: &[u8] = b"b\r\ndata: \"x\"\n\n\r\n";

/// A server of this kind; it lives as long as the test's process.
///
/// # Panics
///
/// When the address cannot be listened on.
#[must_use]
pub fn server(address: Ipv4Addr, slow: Slow) -> SocketAddrV4 {
    if slow == Slow::Unreachable {
        return unreachable(address);
    }
    let listener = TcpListener::bind((address, 0)).expect("an address to listen on");
    let port = listener.local_addr().expect("it listens").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, slow));
        }
    });
    SocketAddrV4::new(address, port)
}

fn answer(mut stream: TcpStream, slow: Slow) {
    let _ = stream.read(&mut [0; 4096]);
    let mut sent = Ok(());
    if slow != Slow::Silent {
        sent = stream
            .write_all(HEAD)
            .and_then(|()| stream.write_all(CHUNK));
    }
    let mut left = PATIENCE.as_millis() / BETWEEN_DRIPS.as_millis();
    while sent.is_ok() && left > 0 {
        thread::sleep(BETWEEN_DRIPS);
        left -= 1;
        if slow == Slow::Drips {
            sent = stream.write_all(CHUNK);
        }
    }
}

/// Listens with the shortest queue and fills it. Linux drops the SYN of a connection for which there
/// is no room (net/ipv4/tcp_input.c, `tcp_conn_request`), so that asking for one ends by a timer.
fn unreachable(address: Ipv4Addr) -> SocketAddrV4 {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddrV4::new(address, 0)).expect("an address to listen on");
    listen(&socket, 0).expect("it listens");
    let listener = TcpListener::from(socket);
    let std::net::SocketAddr::V4(at) = listener.local_addr().expect("it listens") else {
        panic!("an IPv4 socket has an IPv4 address");
    };
    let wait = Duration::from_millis(300);
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at.into(), wait) {
        held.push(stream);
        assert!(
            held.len() < 8,
            "a queue of length 0 takes {} connections",
            held.len()
        );
    }
    // Kept open: closing one would make room.
    thread::spawn(move || {
        let _kept = (listener, held);
        thread::sleep(PATIENCE);
    });
    at
}
