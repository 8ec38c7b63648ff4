//! TLS: name apart from address, certificates, and handshakes that fail.

use std::sync::Arc;
use std::time::Duration;

use infer_traffic::{Cause, ConnectTo, Exchange, Target, Tls, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedKey, IsCa, KeyPair, date_time_ymd,
    generate_simple_self_signed,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::curl::curl;
use crate::servers::{Server, Way, read_request};
use crate::{exchange, get, post};

const NAME: &str = "inference.local";

struct Secure {
    address: std::net::SocketAddr,
    authority: String,
    _tasks: JoinSet<()>,
}

/// A TLS server with a certificate for [`NAME`] that answers `text`; without close_notify where
/// `rude`.
async fn secure(text: &'static str, rude: bool) -> Secure {
    start(text, rude, false).await
}

async fn start(text: &'static str, rude: bool, wants_client_certificate: bool) -> Secure {
    let own = generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    serve(own, text, rude, wants_client_certificate).await
}

async fn serve(
    CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair>,
    text: &'static str,
    rude: bool,
    wants_client_certificate: bool,
) -> Secure {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if wants_client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                read_request(&mut stream).await;
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.flush().await;
                if rude {
                    let _ = stream.get_mut().0.shutdown().await;
                } else {
                    let _ = stream.shutdown().await;
                }
                let _ = stream.read(&mut [0; 1]).await;
            });
        }
    });
    Secure {
        address,
        authority: cert.pem(),
        _tasks: tasks,
    }
}

fn target(server: &Secure, name: &str, tls: Tls) -> Target {
    let url = format!("https://{name}:{}/", server.address.port());
    let mut target = Target::from_url(&url, Some(tls)).unwrap();
    target.connect_to = ConnectTo::Address(server.address);
    target
}

async fn fails(target: &Target, cause: Cause) -> Exchange {
    let ours = exchange(target, &get()).await;
    let failure = ours.failure.as_ref().unwrap();
    assert_eq!(failure.cause, cause, "{}", failure.message);
    println!("{}: {}", failure.cause, failure.message);
    if let Some(curl) = curl(target, &get()).await {
        assert!(cause.curl_exit().contains(&curl.exit), "{curl:#?}");
        assert_eq!(curl.status, ours.status);
    }
    ours
}

#[tokio::test]
async fn trusted_by_its_own_authority_and_by_nobody_else() {
    let server = secure("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &server.authority).unwrap();
    let trusting = Tls::new(TlsOptions {
        certificate_authority_pem: Some(server.authority.clone().into_bytes()),
        certificate_authority_file: Some(file.path().to_owned()),
        ..TlsOptions::default()
    })
    .unwrap();
    let trusted = target(&server, NAME, trusting.clone());
    for call in [get(), post("{}")] {
        let ours = exchange(&trusted, &call).await;
        assert_eq!((ours.failure, ours.status), (None, Some(200)));
        let order = [
            ours.stamps.connected.unwrap(),
            ours.stamps.tls.unwrap(),
            ours.stamps.sent.unwrap(),
            ours.stamps.first_byte.unwrap(),
        ];
        assert!(order.is_sorted(), "{:?}", ours.stamps);
        if let Some(curl) = curl(&trusted, &call).await {
            assert_eq!((curl.exit, curl.status, curl.bytes), (0, Some(200), 2));
        }
    }
    let other_name = fails(&target(&server, "other.local", trusting), Cause::Tls).await;
    assert_eq!(other_name.stamps.tls, None);
    assert!(other_name.failure.unwrap().message.contains("certificate"));

    let CertifiedKey { cert, .. } = generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
    std::fs::write(file.path(), cert.pem()).unwrap();
    let stranger = Tls::new(TlsOptions {
        certificate_authority_pem: Some(cert.pem().into_bytes()),
        certificate_authority_file: Some(file.path().to_owned()),
        ..TlsOptions::default()
    })
    .unwrap();
    fails(&target(&server, NAME, stranger), Cause::Tls).await;

    let blind = Tls::new(TlsOptions {
        insecure_skip_verify: true,
        ..TlsOptions::default()
    })
    .unwrap();
    let unverified = target(&server, "other.local", blind);
    assert_eq!(exchange(&unverified, &get()).await.failure, None);
    if let Some(curl) = curl(&unverified, &get()).await {
        assert_eq!(curl.exit, 0, "{curl:#?}");
    }
}

/// A certificate for [`NAME`] that is an authority's too, as `openssl req -x509` makes it.
fn authority_of_itself(years: std::ops::Range<i32>) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    let signing_key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

#[tokio::test]
async fn a_server_that_shows_the_given_authority_itself() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let file = tempfile::NamedTempFile::new().unwrap();
    let trusting = |authority: &str| {
        std::fs::write(file.path(), authority).unwrap();
        Tls::new(TlsOptions {
            certificate_authority_pem: Some(authority.as_bytes().to_vec()),
            certificate_authority_file: Some(file.path().to_owned()),
            ..TlsOptions::default()
        })
        .unwrap()
    };
    let server = serve(authority_of_itself(2020..4000), text, false, false).await;
    let trusted = target(&server, NAME, trusting(&server.authority));
    assert_eq!(exchange(&trusted, &get()).await.failure, None);
    if let Some(curl) = curl(&trusted, &get()).await {
        assert_eq!((curl.exit, curl.status), (0, Some(200)), "{curl:#?}");
    }
    // Controls: another name, another authority, and one whose time is over.
    let other_name = target(&server, "other.local", trusting(&server.authority));
    fails(&other_name, Cause::Tls).await;
    let stranger = authority_of_itself(2020..4000).cert.pem();
    fails(&target(&server, NAME, trusting(&stranger)), Cause::Tls).await;
    let server = serve(authority_of_itself(2020..2021), text, false, false).await;
    let expired = target(&server, NAME, trusting(&server.authority));
    fails(&expired, Cause::Tls).await;
}

fn blind() -> Tls {
    Tls::new(TlsOptions {
        insecure_skip_verify: true,
        ..TlsOptions::default()
    })
    .unwrap()
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls() {
    for way in [
        Way::SayAfter(10, "HTTP/1.1 400 Bad Request\r\n\r\n"),
        Way::SayAfter(10, ""),
        Way::ResetAfter(10),
    ] {
        let server = Server::start(way).await;
        let url = format!("https://{}/", server.address);
        let target = Target::from_url(&url, Some(blind())).unwrap();
        fails(&target, Cause::Tls).await;
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends() {
    let server = Server::start(Way::NeverRead).await;
    let url = format!("https://{}/", server.address);
    let target = Target::from_url(&url, Some(blind())).unwrap();
    let ours = fails(&target, Cause::ConnectTimeout).await;
    assert!(ours.stamps.connected.is_some());
    assert!(ours.stamps.end.unwrap() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_that_ends_without_close_notify() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    let server = secure(cut, false).await;
    let ours = fails(&target(&server, NAME, blind()), Cause::ClosedInBody).await;
    assert_eq!(ours.bytes, 2);
    // Without a length only close_notify tells an end from a cut.
    for text in [cut, "HTTP/1.1 200 OK\r\n\r\nok"] {
        let server = secure(text, true).await;
        let ours = exchange(&target(&server, NAME, blind()), &get()).await;
        assert_eq!(ours.failure.unwrap().cause, Cause::ClosedInBody);
    }
    let server = secure("HTTP/1.1 200 OK\r\n\r\nok", false).await;
    let ours = exchange(&target(&server, NAME, blind()), &get()).await;
    assert_eq!((ours.failure, ours.bytes), (None, 2));
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate() {
    let server = start("", false, true).await;
    let ours = fails(&target(&server, NAME, blind()), Cause::Tls).await;
    let message = ours.failure.unwrap().message;
    assert!(message.contains("CertificateRequired"), "{message}");
}
