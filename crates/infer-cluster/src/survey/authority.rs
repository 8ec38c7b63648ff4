//! The certificates of a `caBundle`.

use k8s_openapi::ByteString;
use serde_json::Value;
use x509_parser::pem::Pem;

/// A certificate that somebody trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its subject's common name; else its whole subject.
    pub name: String,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
}

/// Why a bundle holds no certificate, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Reads a `caBundle`: base64 of PEM. An empty one holds none.
///
/// # Errors
///
/// Text that is no base64, no PEM, or a block that is no certificate.
pub fn authorities(bundle: &str) -> Result<Vec<Authority>, Unreadable> {
    if bundle.is_empty() {
        return Ok(Vec::new());
    }
    let bytes: ByteString = serde_json::from_value(Value::from(bundle))
        .map_err(|_| Unreadable("it is no base64".to_owned()))?;
    let mut found = Vec::new();
    for block in Pem::iter_from_buffer(&bytes.0) {
        let block = block.map_err(|error| Unreadable(format!("it is no PEM: {error}")))?;
        if block.label != "CERTIFICATE" {
            let label = &block.label;
            return Err(Unreadable(format!(
                "it holds a `{label}`, wanted a CERTIFICATE"
            )));
        }
        let certificate = block
            .parse_x509()
            .map_err(|error| Unreadable(format!("a certificate in it cannot be read: {error}")))?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next();
        let name = name.and_then(|it| it.as_str().ok()).map(str::to_owned);
        found.push(Authority {
            name: name.unwrap_or_else(|| subject.to_string()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        });
    }
    if found.is_empty() {
        return Err(Unreadable("it holds text that is no PEM".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/CN=lab ca" -days 1`
    const PEM: &str = include_str!("lab-ca.pem");

    fn encoded(text: &str) -> String {
        let value = serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn a_bundle_names_its_authorities_and_their_days() {
        let found = authorities(&encoded(&format!("{PEM}{PEM}"))).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "lab ca");
        assert_eq!(found[0].not_after - found[0].not_before, 86_400);
        assert_eq!(authorities(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_certificate_is_said() {
        let said = |bundle: &str| authorities(bundle).unwrap_err().to_string();
        assert_eq!(said("%"), "it is no base64");
        assert!(
            said(&encoded("hello")).contains("no PEM"),
            "{}",
            said(&encoded("hello"))
        );
        let key = PEM.replace("CERTIFICATE", "PRIVATE KEY");
        assert!(said(&encoded(&key)).contains("wanted a CERTIFICATE"));
        let cut = PEM.replacen("MII", "AAA", 1);
        assert!(
            said(&encoded(&cut)).contains("cannot be read"),
            "{}",
            said(&encoded(&cut))
        );
    }
}
