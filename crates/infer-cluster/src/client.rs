//! A client from a kubeconfig file or from inside a pod.

use crate::near::near;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time to connect to the API server.
const CONNECT: Duration = Duration::from_secs(5);
/// Time without a byte from the API server. A quiet watch carries a bookmark about every minute
/// (kubernetes/apiserver pkg/storage/cacher `bookmarkFrequency`), so two minutes are a dead peer.
const READ: Duration = Duration::from_secs(120);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be used.
    #[error(
        "{}: the kubeconfig cannot be used: {}\n  \
         = help: `kubectl --kubeconfig FILE get namespaces` must work with the same file",
        path.display(), reason
    )]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong; no text of the file, which holds secrets.
        reason: String,
    },
    /// Nothing says which cluster.
    #[error(
        "no cluster: neither KUBECONFIG nor ~/.kube/config is there\n  \
         = help: give --kubeconfig FILE, or --server URL"
    )]
    NoKubeconfig,
    /// The kubeconfig chooses no context.
    #[error(
        "{}: no current-context{}\n  \
         = help: `kubectl config use-context NAME`, or give --context NAME",
        path.display(), listed(contexts)
    )]
    NoCurrentContext {
        /// The file.
        path: PathBuf,
        /// Its contexts.
        contexts: Vec<String>,
    },
    /// The kubeconfig has no such context.
    #[error(
        "{}: there is no context {name:?}{}\n  \
         = help: `kubectl config get-contexts` lists them",
        path.display(), meant(name, contexts)
    )]
    NoContext {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// Its contexts.
        contexts: Vec<String>,
    },
    /// The kubeconfig has no such cluster.
    #[error(
        "{}: there is no cluster {name:?}\n  = help: `kubectl config get-clusters` lists them",
        path.display()
    )]
    NoCluster {
        /// The file.
        path: PathBuf,
        /// The name asked for, or the one of the context.
        name: String,
    },
    /// The kubeconfig has no such user.
    #[error(
        "{}: there is no user {name:?}\n  = help: `kubectl config get-users` lists them",
        path.display()
    )]
    NoUser {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// The pod's own credentials cannot be used.
    #[error(
        "the pod's service account cannot be used: {0}\n  \
         = help: `automountServiceAccountToken: true` mounts it, or give --kubeconfig FILE"
    )]
    InCluster(String),
    /// The credentials make no client.
    #[error("no client for {url}: {reason}")]
    Client {
        /// The API server.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// Whether this process runs in a pod that has an API server to talk to.
pub fn is_in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty())
}

/// A client from `kubeconfig`, else from the pod's service account. It makes no request yet.
///
/// # Errors
///
/// When file or credentials cannot be read or make no client.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::incluster().map_err(|error| ClientError::InCluster(chain(&error)))?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    // Else the time that a kept connection was idle counts against the next answer on it.
    config.reset_reader_on_write = true;
    let url = config.cluster_url.to_string();
    Client::try_from(config).map_err(|error| ClientError::Client {
        url,
        reason: chain(&error),
    })
}

async fn from_file(path: &Path) -> Result<Config, ClientError> {
    let read = async {
        let kubeconfig = Kubeconfig::read_from(path)?;
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
    };
    read.await.map_err(|error| unusable(path, &error))
}

/// The error of a kubeconfig. A parser shows the lines around a mistake and quotes values: a token
/// may be among them, so of its errors the place alone is told.
pub(crate) fn unusable(path: &Path, error: &KubeconfigError) -> ClientError {
    let reason = match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!(
                "it is no YAML of kind Config: line {}, column {}",
                place.line(),
                place.column()
            ),
            None => "it is no YAML of kind Config".to_owned(),
        },
        other => chain(other),
    };
    ClientError::Kubeconfig {
        path: path.to_owned(),
        reason,
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; there are {}", names.join(", ")),
    }
}

fn meant(name: &str, names: &[String]) -> String {
    match &near(name, names.iter().map(String::as_str))[..] {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(", ")),
    }
}

/// An error with its causes on one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_to(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        match runtime.block_on(connect(Some(&path))) {
            Ok(_) => "connected".to_owned(),
            Err(error) => error
                .to_string()
                .replace(&path.display().to_string(), "FILE"),
        }
    }

    #[test]
    fn a_broken_kubeconfig_is_named_with_what_is_wrong() {
        let missing = connect_to("apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n");
        assert!(
            missing.starts_with("FILE: the kubeconfig cannot be used: "),
            "{missing}"
        );
        assert!(missing.contains("nowhere"), "{missing}");
        let broken = connect_to("contexts: [\n");
        assert!(
            broken.starts_with("FILE: the kubeconfig cannot be used: "),
            "{broken}"
        );
    }

    #[test]
    fn a_usable_kubeconfig_gives_a_client_without_a_call() {
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
            clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
            users: [{name: u, user: {token: t}}]\n\
            contexts: [{name: c, context: {cluster: c, user: u}}]\n";
        assert_eq!(connect_to(text), "connected");
    }
}
