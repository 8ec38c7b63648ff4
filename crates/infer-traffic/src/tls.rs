//! Whom to trust.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error;

/// How to speak TLS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) insecure_skip_verify: bool,
    pub(crate) certificate_authority: Option<CurlAuthority>,
}

/// What the curl line says of the certificate authority.
#[derive(Clone, Debug)]
pub(crate) enum CurlAuthority {
    File(PathBuf),
    /// The certificates were given, and no file was named.
    Unnamed,
}

/// What a user can say about TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Accept any certificate, as `curl -k`.
    pub insecure_skip_verify: bool,
    /// Trust these certificates and no other, as `curl --cacert`. PEM.
    pub certificate_authority_pem: Option<Vec<u8>>,
    /// Where they were read from, for the curl line.
    pub certificate_authority_file: Option<PathBuf>,
}

/// Why there is no TLS configuration.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The PEM text cannot be read.
    #[error("the certificate authority cannot be read as PEM: {0}")]
    Pem(String),
    /// The PEM text has no certificate.
    #[error("the certificate authority has no certificate: want PEM with BEGIN CERTIFICATE")]
    NoCertificate,
    /// This machine trusts nobody.
    #[error(
        "this machine has no trusted certificates ({0}): install ca-certificates, or name a file \
         with --certificate-authority"
    )]
    NoRoots(String),
    /// rustls refused.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

impl Tls {
    /// Reads the certificates once.
    ///
    /// # Errors
    /// When there is nothing to trust and it was not said that nothing is to be verified.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let TlsOptions {
            insecure_skip_verify,
            certificate_authority_pem,
            certificate_authority_file,
        } = options;
        let mut config = if insecure_skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
                .with_no_client_auth()
        } else if let Some(pem) = &certificate_authority_pem {
            let verifier = Given::new(pem, provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        } else {
            builder
                .with_root_certificates(machine_roots()?)
                .with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session skips the certificate: each request must show the whole handshake.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            insecure_skip_verify,
            certificate_authority: certificate_authority_pem.map(|_| {
                certificate_authority_file.map_or(CurlAuthority::Unnamed, CurlAuthority::File)
            }),
        })
    }
}

/// Trusts the given certificates: as authorities, and as the server's own.
///
/// rustls refuses a server that shows an authority's certificate (webpki `CaUsedAsEndEntity`), also
/// where it is the very one that is trusted: what `openssl req -x509` makes, which many Ingress
/// Secrets hold. curl takes it. webpki has checked the certificate's validity by then
/// (rustls/webpki src/verify_cert.rs, check_issuer_independent_properties); what is left is that it
/// is the one that was given, and its name.
#[derive(Debug)]
struct Given {
    certificates: Vec<CertificateDer<'static>>,
    by_authority: Arc<WebPkiServerVerifier>,
}

impl Given {
    fn new(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::Pem(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let by_authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self {
            certificates,
            by_authority,
        })
    }
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.by_authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match judged {
            Err(error)
                if is_authority_as_server(&error) && self.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

fn is_authority_as_server(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
    else {
        return false;
    };
    cause.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
}

fn machine_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A machine's bundle may hold certificates that rustls does not take; the others still count.
    let _ = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(if why.is_empty() {
            "no bundle found".to_owned()
        } else {
            why.join("; ")
        }));
    }
    Ok(roots)
}

/// Takes any certificate, and still checks that the peer holds its key: `curl -k` does the same.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
