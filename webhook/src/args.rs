//! The command line.

use clap::{ArgGroup, Parser};
use std::path::PathBuf;

/// Reviews Kubernetes objects of LLM inference at admission: fills in probes, drain and timeouts
/// that are missing, and warns of what is wrong.
#[derive(Debug, Parser)]
#[command(name = "infer-webhook", version, max_term_width = 100)]
#[command(group(ArgGroup::new("certificate").required(true).args(["tls_cert_file", "certificate_secret"])))]
pub struct Args {
    /// Where to listen for the API server; port 0 takes a free one and logs it.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: String,

    /// Certificate chain, PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// Its private key, PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Makes its own certificates instead. The Secret holds their authority and is made where it is
    /// missing; without a namespace it is in that of the pod.
    #[arg(long, value_name = "[NAMESPACE/]NAME", requires = "service")]
    pub certificate_secret: Option<SecretName>,

    /// The Service, of the Secret's namespace, through which the API server calls.
    #[arg(long, value_name = "NAME", requires = "certificate_secret", value_parser = service_name)]
    pub service: Option<String>,

    /// A MutatingWebhookConfiguration or ValidatingWebhookConfiguration, or one of each, of this
    /// name: `caBundle` of its entries for the Service is kept, and nothing else of it. May be given
    /// more than once. Without it somebody else must see to `caBundle`.
    #[arg(long, value_name = "NAME", requires = "certificate_secret")]
    pub register: Vec<String>,

    /// How to reach the cluster; inside a pod its service account is used without. Without either
    /// there is no cluster, and rules that need one are skipped.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// An `InferencePolicy`, YAML; without it the built-in baseline holds.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// The name of a Secret, with its namespace or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// Its namespace, where given.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl std::str::FromStr for SecretName {
    type Err = String;

    fn from_str(text: &str) -> Result<SecretName, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if name.is_empty() || name.contains('/') || namespace == Some("") {
            return Err("wanted NAME or NAMESPACE/NAME".to_owned());
        }
        Ok(SecretName {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

/// The name of a Service, which is a label of its DNS names (RFC 1123).
fn service_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&text.len())
        && text.bytes().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        return Ok(text.to_owned());
    }
    Err("wanted the name of a Service: small letters, digits and dashes".to_owned())
}
