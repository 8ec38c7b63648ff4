//! A server in this process, and a raw HTTP client that does exactly what a test says.

use axum::Router;
use infer_webhook::bounds::Bounds;
use infer_webhook::metrics::Metrics;
use infer_webhook::readiness::Readiness;
use infer_webhook::reviewer::Review;
use infer_webhook::routes::router;
use infer_webhook::server::{Server, Stop};
use infer_webhook::tls::Certificates;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// A fresh certificate for 127.0.0.1, in files.
pub(crate) struct Pair {
    pub(crate) directory: tempfile::TempDir,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let pair = Pair {
            directory: tempfile::tempdir().unwrap(),
        };
        pair.renew();
        pair
    }

    /// Writes another certificate and key into the same files.
    pub(crate) fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(self.certificate(), made.cert.pem()).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) pair: Pair,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) stop: Option<oneshot::Sender<Stop>>,
    pub(crate) task: JoinHandle<()>,
}

/// A router alone, with what it counts.
pub(crate) fn router_of(review: impl Review, bounds: &Bounds) -> Router {
    router(
        review,
        bounds,
        &Arc::new(Metrics::default()),
        &Arc::new(Readiness::default()),
    )
}

/// Starts a server on a free port of 127.0.0.1.
pub(crate) async fn start(review: impl Review, bounds: Bounds) -> Running {
    let pair = Pair::new();
    let certificates = Arc::new(Certificates::load(&pair.certificate(), &pair.key()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (metrics, readiness) = (Arc::new(Metrics::default()), Arc::new(Readiness::default()));
    let server = Server {
        listener,
        tls: certificates.server_config().unwrap(),
        router: router(review, &bounds, &metrics, &readiness),
        bounds,
        metrics,
        readiness,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async { stopped.await.unwrap_or(Stop::Now) }));
    Running {
        address,
        pair,
        certificates,
        stop: Some(stop),
        task,
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> Client<TlsStream<TcpStream>> {
        connect(self.address, &self.pair.certificate())
            .await
            .unwrap()
    }
}

/// A connection on which a test writes bytes and reads answers.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) seen: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A connection over TLS that trusts exactly this certificate.
pub(crate) async fn connect(
    address: SocketAddr,
    certificate: &Path,
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await?;
    assert_eq!(
        stream.get_ref().1.alpn_protocol(),
        Some(b"http/1.1".as_slice())
    );
    Ok(Client {
        stream,
        seen: Vec::new(),
    })
}

/// The head of a POST.
pub(crate) fn head(path: &str, content_type: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

impl<S: AsyncRead + AsyncWriteExt + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Posts a JSON body and reads the answer.
    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.send(head(path, "application/json", body.len()).as_bytes())
            .await
            .unwrap();
        self.send(body).await.unwrap();
        self.reply().await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        self.send(head.as_bytes()).await.unwrap();
        self.reply().await.unwrap()
    }

    /// Reads one answer; an error where the connection ends before.
    pub(crate) async fn reply(&mut self) -> std::io::Result<Reply> {
        let end = loop {
            if let Some(at) = self
                .seen
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.seen[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while self.seen.len() < end + length {
            self.more().await?;
        }
        let body = self.seen[end..end + length].to_vec();
        self.seen.drain(..end + length);
        Ok(Reply {
            code: head[9..12].parse().unwrap(),
            head,
            body,
        })
    }

    /// Waits until the server closes, for 20 s at most; how long that took.
    pub(crate) async fn closed(&mut self) -> std::time::Duration {
        let start = std::time::Instant::now();
        let all = async { while self.more().await.is_ok() {} };
        // Who asks judges the time.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), all).await;
        start.elapsed()
    }

    async fn more(&mut self) -> std::io::Result<()> {
        if self.stream.read_buf(&mut self.seen).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
