//! Certificate authorities of our own, and the certificates that they issue. Times come in from
//! outside; the only chance in here is that of the keys.
//!
//! An authority stands in a Secret as two entries, `NAME.crt` and `NAME.key`, both PEM. Without its
//! key it issues nothing and is only trusted.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::fmt;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

/// A moment: seconds since 1970.
pub(crate) type Moment = i64;

/// An hour, in seconds.
pub(crate) const HOUR: i64 = 60 * 60;
/// A day, in seconds.
pub(crate) const DAY: i64 = 24 * HOUR;

/// How long an authority lasts.
const AUTHORITY_LIFE: i64 = 365 * DAY;
/// How long a certificate lasts, at most.
pub(crate) const LEAF_LIFE: i64 = 7 * DAY;
/// A certificate is valid from this much before it was made: whoever reads it may have a clock that
/// is behind.
pub(crate) const BACKDATED: i64 = HOUR;

/// What the entries of an authority in the Secret begin with.
const PREFIX: &str = "ca-";
const CERTIFICATE: &str = ".crt";
const KEY: &str = ".key";

/// An authority.
#[derive(Clone)]
pub(crate) struct Authority {
    name: String,
    der: CertificateDer<'static>,
    pem: String,
    /// PEM.
    key: Option<String>,
    not_before: Moment,
    not_after: Moment,
}

/// A certificate as it is served, and when it needs another.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) pair: CertifiedKey,
    pub(crate) held: Held,
}

/// What is to be known of a certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The certificate of its authority.
    authority: CertificateDer<'static>,
    /// From when it should be replaced: two thirds of its life.
    pub(crate) renew_at: Moment,
    /// Until when it is valid.
    pub(crate) not_after: Moment,
}

/// Why no key or certificate was made. Not seen in practice: names were checked before, and ring's
/// random numbers come from the kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("a certificate that was made cannot be used: {0}")]
    Use(#[from] rustls::Error),
    #[error("a certificate that was made cannot be read: {0}")]
    Read(String),
}

impl Authority {
    /// Makes one. Two of one second have one name.
    pub(crate) fn make(now: Moment) -> Result<Authority, MakeError> {
        let name = format!("{PREFIX}{now}");
        let mut params = CertificateParams::default();
        // Clients find the issuer by this name first, so it is another for each.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("infer-webhook {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.not_before = at(now - BACKDATED);
        params.not_after = at(now + AUTHORITY_LIFE);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Authority::read(name, pem.as_bytes(), Some(key.serialize_pem().as_bytes()))
            .map_err(MakeError::Read)
    }

    /// Reads one from its PEM blocks.
    fn read(name: String, pem: &[u8], key: Option<&[u8]>) -> Result<Authority, String> {
        let der = CertificateDer::from_pem_slice(pem)
            .map_err(|error| format!("{name}{CERTIFICATE} is no PEM certificate: {error}"))?;
        let (_, parsed) = parse_x509_certificate(&der)
            .map_err(|error| format!("{name}{CERTIFICATE} is no X.509 certificate: {error}"))?;
        if !parsed.is_ca() {
            return Err(format!("{name}{CERTIFICATE} is not that of an authority"));
        }
        let key = match key {
            None => None,
            Some(key) => {
                let text = std::str::from_utf8(key).unwrap_or_default();
                let pair = KeyPair::from_pem(text)
                    .map_err(|error| format!("{name}{KEY} is no private key: {error}"))?;
                if rcgen::PublicKeyData::subject_public_key_info(&pair)
                    != parsed.tbs_certificate.subject_pki.raw
                {
                    return Err(format!("{name}{KEY} is not the key of {name}{CERTIFICATE}"));
                }
                Some(text.to_owned())
            }
        };
        let (not_before, not_after) = (
            parsed.validity().not_before.timestamp(),
            parsed.validity().not_after.timestamp(),
        );
        Ok(Authority {
            name,
            pem: pem_of(&der),
            der,
            key,
            not_before,
            not_after,
        })
    }

    /// When it was made.
    pub(crate) fn made(&self) -> Moment {
        self.not_before + BACKDATED
    }

    /// From when there should be another: two thirds of its life.
    pub(crate) fn renew_at(&self) -> Moment {
        self.made() + (self.not_after - self.made()) * 2 / 3
    }

    pub(crate) fn is_valid(&self, now: Moment) -> bool {
        now < self.not_after
    }

    /// Whether it can issue.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its certificate, PEM; the same bytes whatever line ends it was read with.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether it issued this certificate.
    pub(crate) fn issued(&self, held: &Held) -> bool {
        self.der == held.authority
    }

    /// Whether a bundle, PEM, holds it.
    pub(crate) fn is_in(&self, bundle: &[u8]) -> bool {
        CertificateDer::pem_slice_iter(bundle)
            .filter_map(Result::ok)
            .any(|trusted| trusted == self.der)
    }

    /// The same, trusted only.
    pub(crate) fn without_key(&self) -> Authority {
        Authority {
            key: None,
            ..self.clone()
        }
    }

    /// Its entries in the Secret.
    pub(crate) fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        let mut entries = BTreeMap::new();
        entries.insert(
            format!("{}{CERTIFICATE}", self.name),
            self.pem.clone().into_bytes(),
        );
        if let Some(key) = &self.key {
            entries.insert(format!("{}{KEY}", self.name), key.clone().into_bytes());
        }
        entries
    }

    /// A server certificate for these DNS names, and its key; `None` where it has no key to issue
    /// with.
    pub(crate) fn issue(&self, names: &[String], now: Moment) -> Result<Option<Leaf>, MakeError> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let issuer = Issuer::from_ca_cert_der(&self.der, KeyPair::from_pem(key)?)?;
        let not_after = self.not_after.min(now + LEAF_LIFE);
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "infer-webhook");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = at(now - BACKDATED);
        params.not_after = at(not_after);
        let key = KeyPair::generate()?;
        let chain = vec![params.signed_by(&key, &issuer)?.der().clone()];
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| MakeError::Read(error.to_owned()))?;
        Ok(Some(Leaf {
            pair: CertifiedKey::from_der(chain, private, &ring::default_provider())?,
            held: Held {
                authority: self.der.clone(),
                renew_at: now + (not_after - now) * 2 / 3,
                not_after,
            },
        }))
    }
}

impl fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("name", &self.name)
            .field("has_key", &self.has_key())
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The names of an authority's entries, whether they are there or not.
pub(crate) fn entry_names(authority: &str) -> [String; 2] {
    [CERTIFICATE, KEY].map(|end| format!("{authority}{end}"))
}

/// The authorities of a Secret, oldest first, and what in it is broken, in words. Entries of other
/// names are nobody's business here.
pub(crate) fn of_secret(entries: &BTreeMap<String, Vec<u8>>) -> (Vec<Authority>, Vec<String>) {
    let (mut authorities, mut broken) = (Vec::new(), Vec::new());
    for (entry, pem) in entries {
        let Some(name) = entry.strip_suffix(CERTIFICATE) else {
            continue;
        };
        if !name.starts_with(PREFIX) {
            continue;
        }
        let key = entries.get(&format!("{name}{KEY}")).map(Vec::as_slice);
        match Authority::read(name.to_owned(), pem, key) {
            Ok(authority) => authorities.push(authority),
            Err(problem) => broken.push(problem),
        }
    }
    authorities.sort_by(|a, b| (a.not_before, &a.name).cmp(&(b.not_before, &b.name)));
    (authorities, broken)
}

/// The authorities of a bundle, PEM, to be trusted on.
pub(crate) fn of_bundle(bundle: &[u8]) -> Vec<Authority> {
    let certificates = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    let read = certificates.filter_map(|der| {
        let mut authority = Authority::read(String::new(), pem_of(&der).as_bytes(), None).ok()?;
        authority.name = format!("{PREFIX}{}", authority.made());
        Some(authority)
    });
    read.collect()
}

/// A certificate that nobody trusts, to answer probes with until there is a real one.
pub(crate) fn placeholder(names: &[String], now: Moment) -> Result<CertifiedKey, MakeError> {
    let leaf = Authority::make(now)?.issue(names, now)?;
    leaf.map(|leaf| leaf.pair)
        .ok_or_else(|| MakeError::Read("it has no key".to_owned()))
}

/// RFC 5280 wants whole seconds, and years up to 9999; ours are of this age.
fn at(moment: Moment) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(moment).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn pem_of(der: &CertificateDer<'_>) -> String {
    let block = pem::Pem::new("CERTIFICATE", der.to_vec());
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&block, config)
}
