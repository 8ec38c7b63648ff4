//! TLS: certificate and key from files, read again when they change, or from memory.

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often the files are looked at. A mounted Secret reaches the node up to a minute late
/// (kubelet's sync period), so ten seconds more are not felt.
pub const RELOAD: Duration = Duration::from_secs(10);

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot read the {what}: {source}", path.display())]
    Read {
        /// "certificate" or "private key".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason that the system gave.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}\n  = help: {help}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// How to fix it.
        help: &'static str,
    },
    /// Both can be read, but they do not belong together.
    #[error(
        "{} and {}: the private key is not the certificate's: {source}\n  \
         = help: give the key that the first certificate of the file was issued for",
        certificate.display(), key.display()
    )]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// The pair that is served, and where it came from.
#[derive(Debug)]
pub struct Certificates {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    pair: Arc<CertifiedKey>,
    /// The bytes that `pair` was made of, to see a change. Paths are opened anew each time, so the
    /// swap of a mounted Secret's `..data` link is seen like any other, every time.
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, holds no certificate or key, or they do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Certificates, TlsError> {
        let current = read(certificate, key)?.parse(certificate, key)?;
        Ok(Certificates {
            certificate_file: certificate.to_owned(),
            key_file: key.to_owned(),
            current: RwLock::new(current),
        })
    }

    /// Looks at the files again; true where a new pair is served from now on.
    ///
    /// # Errors
    ///
    /// As [`Certificates::load`]; the pair that was served before stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = read(&self.certificate_file, &self.key_file)?;
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.certificate == files.certificate && current.key == files.key {
                return Ok(false);
            }
        }
        let fresh = files.parse(&self.certificate_file, &self.key_file)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// Looks at the files every [`RELOAD`], for ever. A pair that cannot be used is logged once
    /// and leaves the old one in place.
    pub async fn keep_fresh(self: Arc<Certificates>, every: Duration) {
        let mut said = String::new();
        loop {
            tokio::time::sleep(every).await;
            let certificates = Arc::clone(&self);
            // Two small files, but on a network volume a read may block.
            let result = tokio::task::spawn_blocking(move || certificates.reload()).await;
            match result {
                Ok(Ok(true)) => {
                    said.clear();
                    tracing::info!(file = %self.certificate_file.display(), "new certificate served");
                }
                Ok(Ok(false)) => said.clear(),
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if said != error {
                        tracing::warn!(error, "the old certificate stays");
                        said = error;
                    }
                }
                Err(error) => tracing::error!(%error, "the certificate files were not read"),
            }
        }
    }

    /// What a TLS listener needs: TLS 1.2 and 1.3 by ring, and HTTP/1.1 only, which is what the
    /// API server speaks to a webhook (kubernetes/apiserver pkg/util/webhook/client.go).
    ///
    /// # Errors
    ///
    /// Never in practice: ring has cipher suites for both versions.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        server_config(Arc::<Certificates>::clone(self))
    }
}

fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A pair that is served from memory until another takes its place.
#[derive(Debug)]
pub(crate) struct Served(RwLock<Arc<CertifiedKey>>);

impl Served {
    pub(crate) fn new(pair: CertifiedKey) -> Served {
        Served(RwLock::new(Arc::new(pair)))
    }

    /// Serves `pair` from the next handshake on.
    pub(crate) fn replace(&self, pair: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }

    /// As [`Certificates::server_config`].
    pub(crate) fn server_config(
        self: &Arc<Self>,
    ) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        server_config(Arc::<Served>::clone(self))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&pair))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.pair))
    }
}

struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

fn read(certificate: &Path, key: &Path) -> Result<Files, TlsError> {
    let file = |what, path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read {
            what,
            path: path.to_owned(),
            source,
        })
    };
    Ok(Files {
        certificate: file("certificate", certificate)?,
        key: file("private key", key)?,
    })
}

impl Files {
    fn parse(self, certificate: &Path, key: &Path) -> Result<Current, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| broken(certificate, &error))?;
        if chain.is_empty() {
            return Err(TlsError::Content {
                path: certificate.to_owned(),
                problem: format!(
                    "no certificate in {}, wanted PEM with `-----BEGIN CERTIFICATE-----`",
                    described(&self.certificate)
                ),
                help: "give the server's certificate first, then the intermediates",
            });
        }
        let private = match PrivateKeyDer::from_pem_slice(&self.key) {
            Ok(private) => private,
            Err(pem::Error::NoItemsFound) => {
                return Err(TlsError::Content {
                    path: key.to_owned(),
                    problem: format!(
                        "no private key in {}, wanted PEM with `-----BEGIN PRIVATE KEY-----`",
                        described(&self.key)
                    ),
                    help: "an encrypted key must be decrypted first: `openssl pkey -in FILE`",
                });
            }
            Err(error) => return Err(broken(key, &error)),
        };
        let pair = CertifiedKey::from_der(chain, private, &ring::default_provider());
        let pair = pair.map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => TlsError::Pair {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                source,
            },
            rustls::Error::InvalidCertificate(_) => TlsError::Content {
                path: certificate.to_owned(),
                problem: format!("the first certificate cannot be used: {source}"),
                help: "wanted an X.509 v3 server certificate",
            },
            other => TlsError::Content {
                path: key.to_owned(),
                problem: format!("the private key cannot be used: {other}"),
                help: "wanted an ECDSA P-256 or P-384, Ed25519 or RSA (2048 bits or more) key",
            },
        })?;
        Ok(Current {
            pair: Arc::new(pair),
            certificate: self.certificate,
            key: self.key,
        })
    }
}

fn broken(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        problem: format!("broken PEM: {error}"),
        help: "each block stands between its own `-----BEGIN …-----` and `-----END …-----` lines",
    }
}

/// What a file without the wanted block holds, without quoting it: it may be a secret.
fn described(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        "an empty file"
    } else if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        "a file that has other PEM blocks"
    } else {
        "a file that has no PEM block"
    }
}
