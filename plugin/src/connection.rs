//! How the cluster is reached: the flags that `kubectl options` lists.

use crate::duration;
use crate::print::text::shell;
use crate::problem::Problem;
use infer_cluster::{Cluster, ConnectionOptions};
use std::path::PathBuf;
use std::time::Duration;

/// The connection flags of kubectl, under their own names.
///
/// kubectl's `--certificate-authority` and `--insecure-skip-tls-verify` are not among them: here
/// they are about the address that is tested. The kubeconfig says both for the API server.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ConnectionFlags {
    /// Namespace of the object; default: the context's
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Kubeconfig file to use; default: KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,
    /// Context of the kubeconfig to use
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Cluster of the kubeconfig to use
    #[arg(long, hide_short_help = true)]
    pub(crate) cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(long, hide_short_help = true)]
    pub(crate) user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, value_name = "URL", hide_short_help = true)]
    pub(crate) server: Option<String>,
    /// Name to check the API server's certificate against
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub(crate) tls_server_name: Option<String>,
    /// Bearer token for the API server
    #[arg(long, hide_short_help = true)]
    pub(crate) token: Option<String>,
    /// Client certificate for the API server
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) client_certificate: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) client_key: Option<PathBuf>,
    /// User to impersonate
    #[arg(long = "as", value_name = "USER", hide_short_help = true)]
    pub(crate) as_user: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", hide_short_help = true)]
    pub(crate) as_groups: Vec<String>,
    /// UID to impersonate
    #[arg(long, value_name = "UID", hide_short_help = true)]
    pub(crate) as_uid: Option<String>,
    /// More about the user to impersonate; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = extra, hide_short_help = true)]
    pub(crate) as_user_extra: Vec<(String, String)>,
    /// Time to wait for one answer of the API server
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) request_timeout: Duration,
}

// By hand, because a token is nobody's to see.
impl std::fmt::Debug for ConnectionFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options().fmt(f)
    }
}

impl ConnectionFlags {
    /// The same without clap.
    pub(crate) fn options(&self) -> ConnectionOptions {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        ConnectionOptions {
            kubeconfig: filled(&self.kubeconfig).map(PathBuf::from),
            context: filled(&self.context),
            cluster: filled(&self.cluster),
            user: filled(&self.user),
            server: filled(&self.server),
            token: filled(&self.token),
            as_user: filled(&self.as_user),
            as_groups: self.as_groups.clone(),
            as_uid: filled(&self.as_uid),
            as_user_extra: self.as_user_extra.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            tls_server_name: filled(&self.tls_server_name),
            request_timeout: Some(self.request_timeout),
            namespace: filled(&self.namespace),
            ..ConnectionOptions::default()
        }
    }

    /// The cluster that they lead to. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// A kubeconfig that is not there or makes no client.
    pub(crate) async fn connect(&self) -> Result<Cluster, Problem> {
        Ok(Cluster::connect(&self.options()).await?)
    }

    /// The flags that a command line needs to reach the same cluster, to be pasted into a shell.
    /// A token is left out.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let flags = [
            ("-n", &self.namespace),
            ("--kubeconfig", &self.kubeconfig),
            ("--context", &self.context),
            ("--cluster", &self.cluster),
            ("--user", &self.user),
            ("--as", &self.as_user),
        ];
        for (flag, value) in flags {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                words.push(flag.to_owned());
                words.push(shell(value).into_owned());
            }
        }
        words
    }
}

fn extra(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("written as `KEY=VALUE`")?;
    Ok((key.to_owned(), value.to_owned()))
}
