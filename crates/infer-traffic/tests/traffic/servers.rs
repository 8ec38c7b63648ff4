//! Servers that misbehave, each in one way, on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use infer_traffic::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// What a server does with each connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// Reads the request, writes these bytes, closes (FIN).
    Say(&'static str),
    /// Reads the request, writes these bytes, resets (RST).
    SayAndReset(&'static str),
    /// Reads the request, writes these bytes, is silent and keeps the connection.
    SayAndWait(&'static str),
    /// Reads this many bytes of the request and resets.
    ResetAfter(usize),
    /// Takes the connection and reads nothing.
    NeverRead,
    /// Answers when it has read this many bytes, and closes with the rest unread.
    SayAfter(usize, &'static str),
    /// Answers each time with the other half, some time apart.
    SayTwice(&'static str, Duration, &'static str),
    /// Writes bytes without end.
    Endless(&'static str, &'static str),
}

/// A server on a port of its own. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&heads);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(behave(stream, way, Arc::clone(&seen)));
            }
        });
        Self {
            address,
            heads,
            _tasks: tasks,
        }
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn behave(mut stream: TcpStream, way: Way, heads: Arc<Mutex<Vec<String>>>) {
    stream.set_nodelay(true).unwrap();
    match way {
        Way::NeverRead => std::future::pending().await,
        Way::ResetAfter(bytes) => {
            let _ = stream.read_exact(&mut vec![0; bytes]).await;
            return reset(stream);
        }
        Way::SayAfter(bytes, text) => {
            let _ = stream.read_exact(&mut vec![0; bytes]).await;
            let _ = stream.write_all(text.as_bytes()).await;
            return;
        }
        _ => {}
    }
    let head = read_request(&mut stream).await;
    heads.lock().unwrap().push(head);
    match way {
        Way::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            // Closed by the client first where its answer is complete; FIN otherwise.
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 1]).await;
        }
        Way::SayAndReset(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            // A reset throws away what the client's kernel has not handed over yet.
            tokio::time::sleep(Duration::from_millis(50)).await;
            reset(stream);
        }
        Way::SayAndWait(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        Way::SayTwice(one, pause, other) => {
            let _ = stream.write_all(one.as_bytes()).await;
            tokio::time::sleep(pause).await;
            let _ = stream.write_all(other.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 1]).await;
        }
        Way::Endless(start, rest) => {
            let _ = stream.write_all(start.as_bytes()).await;
            while stream.write_all(rest.as_bytes()).await.is_ok() {}
        }
        Way::NeverRead | Way::ResetAfter(_) | Way::SayAfter(..) => {}
    }
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// Reads head and body; gives the head.
pub(crate) async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let wanted = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= wanted {
                return head.to_owned();
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

/// A port on which nobody listens.
pub(crate) async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A listener that accepts nobody and whose queue is full: Linux drops the SYN then (tcp(7),
/// `tcp_abort_on_overflow`). What is given with it must live on.
pub(crate) async fn full_queue() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
        assert!(waiting.len() < 1000, "the queue is never full");
    }
    (address, waiting, listener)
}

/// A server in a thread of its own that streams `events`, one each `gap`, and stamps each right
/// before it is handed to the kernel. Says at the end how long it took, as llama.cpp does, where
/// `says_timings`. Answers one request.
pub(crate) fn stamping(
    clock: Clock,
    events: usize,
    gap: Duration,
    says_timings: bool,
) -> (SocketAddr, std::thread::JoinHandle<Vec<Duration>>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(STREAM_HEAD.as_bytes()).unwrap();
        stream.write_all(chunk(ROLE).as_bytes()).unwrap();
        let mut stamps = Vec::new();
        for index in 0..events {
            std::thread::sleep(gap);
            let event = chunk(&content(&format!("t{index} ")));
            stamps.push(clock.now());
            stream.write_all(event.as_bytes()).unwrap();
        }
        if says_timings {
            let (first, last) = (stamps[0], stamps[stamps.len() - 1]);
            let millis = (last - first).as_secs_f64() * 1000.0;
            let timings = format!(
                "data: {{\"choices\":[],\"timings\":{{\"predicted_ms\":{millis},\"predicted_n\":{events}}}}}\n\n"
            );
            stream.write_all(chunk(&timings).as_bytes()).unwrap();
        }
        stream
            .write_all((chunk(DONE) + LAST_CHUNK).as_bytes())
            .unwrap();
        stamps
    });
    (address, thread)
}

/// What a proxy does with an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    /// Hands on what comes.
    Nothing,
    /// Hands on full buffers of this size, and the rest at the end.
    Lumps(usize),
    /// Hands on nothing before the end.
    Everything,
}

/// A proxy before `upstream`.
pub(crate) async fn proxy(upstream: SocketAddr, hold: Hold) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(hand_on(client, upstream, hold));
        }
    });
    (address, tasks)
}

async fn hand_on(mut client: TcpStream, upstream: SocketAddr, hold: Hold) {
    client.set_nodelay(true).unwrap();
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let mut request = vec![0; 16 * 1024];
    let read = client.read(&mut request).await.unwrap();
    server.write_all(&request[..read]).await.unwrap();
    let mut held = Vec::new();
    while server.read_buf(&mut held).await.unwrap_or(0) > 0 {
        let ready = match hold {
            Hold::Nothing => held.len(),
            Hold::Lumps(size) => held.len() / size * size,
            Hold::Everything => 0,
        };
        client.write_all(&held[..ready]).await.unwrap();
        held.drain(..ready);
    }
    client.write_all(&held).await.unwrap();
}

pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
pub(crate) const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
pub(crate) const DONE: &str = "data: [DONE]\n\n";
pub(crate) const LAST_CHUNK: &str = "0\r\n\r\n";

/// An event with content.
pub(crate) fn content(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

/// One chunk of chunked coding.
pub(crate) fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}
