//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Reviews Kubernetes objects of LLM inference at admission: fills in probes, drain and timeouts
/// that are missing, and warns of what is wrong.
#[derive(Debug, Parser)]
#[command(name = "infer-webhook", version, max_term_width = 100)]
pub struct Args {
    /// Where to listen for the API server; port 0 takes a free one and logs it.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: String,

    /// Certificate chain, PEM; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: PathBuf,

    /// Its private key, PEM; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: PathBuf,

    /// How to reach the cluster; inside a pod its service account is used without. Without either
    /// there is no cluster, and rules that need one are skipped.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// An `InferencePolicy`, YAML; without it the built-in baseline holds.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}
