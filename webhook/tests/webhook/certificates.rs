//! Certificates: renewed in place and by the swap of a mounted Secret, and what is wrong with them.

use crate::client::{Pair, connect, start};
use crate::replies::Stub;
use infer_core::admission::{Answer, Request};
use infer_webhook::bounds::Bounds;
use infer_webhook::tls::Certificates;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    let quick = Stub(|_: &Request<'_>| Answer::default());
    let server = start(quick, Bounds::default()).await;
    tokio::spawn(Arc::clone(&server.certificates).keep_fresh(Duration::from_millis(20)));
    for round in 0..3 {
        server.pair.renew();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let client = connect(server.address, &server.pair.certificate()).await;
        assert_eq!(
            client.unwrap().get("/healthz").await.code,
            200,
            "round {round}"
        );
    }
    let good = std::fs::read(server.pair.certificate()).unwrap();
    std::fs::write(server.pair.certificate(), "half-written").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let kept = server.pair.directory.path().join("kept.crt");
    std::fs::write(&kept, good).unwrap();
    assert!(
        connect(server.address, &kept).await.is_ok(),
        "the old one stays"
    );
}

/// As kubelet does it: `..data` points to a directory, and is renamed over to point to another.
fn swap(volume: &std::path::Path, round: u32) -> Vec<u8> {
    let pair = Pair::new();
    let fresh = volume.join(format!("..{round}"));
    std::fs::create_dir(&fresh).unwrap();
    std::fs::copy(pair.certificate(), fresh.join("tls.crt")).unwrap();
    std::fs::copy(pair.key(), fresh.join("tls.key")).unwrap();
    symlink(&fresh, volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if round > 0 {
        std::fs::remove_dir_all(volume.join(format!("..{}", round - 1))).unwrap();
    }
    std::fs::read(fresh.join("tls.crt")).unwrap()
}

#[test]
fn every_swap_of_a_mounted_secret_is_seen() {
    let volume = tempfile::tempdir().unwrap();
    swap(volume.path(), 0);
    let (certificate, key) = (volume.path().join("tls.crt"), volume.path().join("tls.key"));
    symlink("..data/tls.crt", &certificate).unwrap();
    symlink("..data/tls.key", &key).unwrap();
    let certificates = Certificates::load(&certificate, &key).unwrap();
    assert!(!certificates.reload().unwrap(), "nothing new");
    for round in 1..=3 {
        swap(volume.path(), round);
        assert!(certificates.reload().unwrap(), "swap {round}");
        assert!(!certificates.reload().unwrap());
    }
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let pair = Pair::new();
    let other = Pair::new();
    let said = |certificate: &std::path::Path, key: &std::path::Path| {
        let error = Certificates::load(certificate, key)
            .unwrap_err()
            .to_string();
        let home = pair.directory.path().display().to_string();
        error
            .replace(&format!("{home}/"), "")
            .replace(&other.directory.path().display().to_string(), "other")
    };
    let file = |name: &str, text: &str| {
        let path = pair.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (pair.certificate(), pair.key());
    let missing = pair.directory.path().join("nope");
    assert!(said(&missing, &key).starts_with("nope: cannot read the certificate: No such file"));
    assert!(said(&certificate, &missing).starts_with("nope: cannot read the private key: "));
    assert!(said(&key, &key).starts_with("tls.key: no certificate in a file that has other PEM"));
    assert!(said(&certificate, &certificate).starts_with("tls.crt: no private key in a file"));
    assert!(said(&file("empty", ""), &key).starts_with("empty: no certificate in an empty file"));
    let half = file("half", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    assert!(
        said(&half, &key).starts_with("half: broken PEM: "),
        "{}",
        said(&half, &key)
    );
    let garbage = file(
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let text = said(&garbage, &key);
    assert!(
        text.starts_with("garbage: the first certificate cannot be used: "),
        "{text}"
    );
    let text = said(&certificate, &other.key());
    assert!(
        text.starts_with("tls.crt and other/tls.key: the private key is not the"),
        "{text}"
    );
}
