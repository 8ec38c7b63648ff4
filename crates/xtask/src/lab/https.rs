//! One small GET over TLS, for "are you ready?".

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What is asked, and whom we trust to answer.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    token: Option<String>,
}

impl Client {
    /// Trusts the authority of this PEM certificate only; sends the token where there is one.
    ///
    /// # Errors
    ///
    /// When `authority` is no certificate.
    pub fn new(authority: &str, token: Option<&str>) -> crate::Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            crate::Error::Failed(format!("setting up a TLS client: {error}"))
        };
        let certificate =
            CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|e| failed(&e))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|e| failed(&e))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            token: token.map(Into::into),
        })
    }

    /// GETs a path: status and whole answer (headers too), or why there is none. Takes two seconds
    /// at most.
    ///
    /// # Errors
    ///
    /// In words for a log: refused, no trust, no HTTP.
    pub fn get(&self, server: SocketAddr, path: &str) -> Result<(u16, String), String> {
        let said = |error: std::io::Error| error.to_string();
        let limit = Duration::from_secs(2);
        let tcp = TcpStream::connect_timeout(&server, limit).map_err(said)?;
        tcp.set_read_timeout(Some(limit)).map_err(said)?;
        tcp.set_write_timeout(Some(limit)).map_err(said)?;
        let name = ServerName::IpAddress(IpAddr::into(server.ip()));
        let tls = ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(tls, tcp);
        let token = self
            .token
            .as_ref()
            .map(|token| format!("Authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {server}\r\n{token}Accept: */*\r\nConnection: close\r\n\r\n"
        )
        .map_err(said)?;
        let mut answer = Vec::new();
        // Some servers close without TLS's goodbye; what has been read by then counts.
        let end = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        match (status, end) {
            (Some(status), _) => Ok((status, answer)),
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(_)) => Err("no HTTP answer".into()),
        }
    }
}
