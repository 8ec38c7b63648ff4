//! A client that costs as little as possible: it runs on the cores of the server that it measures.
//!
//! One blocking connection per thread, HTTP/1.1 over TLS as an API server speaks it to a webhook.

use crate::error::{Error, Result};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take for one answer before the bench is broken.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most of an answer that is read.
const LARGEST: usize = 4 << 20;

/// Trust in one certificate.
pub(crate) fn trust(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(certificate)
        .map_err(Error::of("reading the bench's certificate"))?;
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate)
        .map_err(Error::of("trusting the bench's certificate"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::of("setting up TLS"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A request to `/mutate` with this body, as one piece.
pub(crate) fn request(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         User-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
         Accept: application/json, */*\r\nContent-Type: application/json\r\n\
         Accept-Encoding: gzip\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A kept connection.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) fn open(address: SocketAddr, trust: &Arc<ClientConfig>) -> Result<Connection> {
        let doing = "connecting to the server under test";
        let mut tcp = TcpStream::connect(address).map_err(Error::io(doing))?;
        tcp.set_nodelay(true).map_err(Error::io(doing))?;
        tcp.set_read_timeout(Some(PATIENCE))
            .map_err(Error::io(doing))?;
        let name = ServerName::IpAddress(address.ip().into());
        let mut tls =
            ClientConnection::new(Arc::clone(trust), name).map_err(Error::of("setting up TLS"))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)
                .map_err(Error::io("the TLS handshake"))?;
        }
        Ok(Connection {
            stream: StreamOwned::new(tls, tcp),
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends a [`request`] and reads the answer; the body of it. Anything but 200 is an error: the
    /// bench would measure refusals.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<&[u8]> {
        let doing = "a request to the server under test";
        self.stream.write_all(request).map_err(Error::io(doing))?;
        self.stream.flush().map_err(Error::io(doing))?;
        self.buffer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(body) = whole(&self.buffer)? {
                return Ok(&self.buffer[body..]);
            }
            let read = self.stream.read(&mut chunk).map_err(Error::io(doing))?;
            if read == 0 || self.buffer.len() > LARGEST {
                return Err(Error::Failed(format!("{doing} had no whole answer")));
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }
}

/// Where the body starts, once all of the answer is there.
fn whole(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|it| it == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        let body = String::from_utf8_lossy(&answer[end..]);
        return Err(Error::Failed(format!("the server answers {head}{body}")));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let Some(length) = length else {
        return Err(Error::Failed("an answer without a length".to_owned()));
    };
    let body = end + 4;
    Ok((answer.len() >= body + length).then_some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole(answer).unwrap(), Some(answer.len() - 2));
        assert_eq!(whole(&answer[..answer.len() - 1]).unwrap(), None);
        assert_eq!(whole(b"HTTP/1.1 200").unwrap(), None);
        assert!(whole(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
