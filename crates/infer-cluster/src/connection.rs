//! kubectl's connection flags as data, and the cluster that they lead to.

use crate::client::{ClientError, chain, unusable};
use crate::network::{goes_without_proxy, without_userinfo};
use kube::config::{AuthInfo, Cluster as KubeCluster, Context, KubeConfigOptions, Kubeconfig};
use kube::config::{NamedAuthInfo, NamedCluster, NamedContext};
use kube::{Client, Config};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one answer may take when nobody says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a credential plugin of the kubeconfig may take: it may open a browser.
const LOGIN: Duration = Duration::from_secs(60);
/// The name of the entry that is used when a kubeconfig has none.
const UNNAMED: &str = "kubectl-infer";

/// kubectl's connection flags, under their own names (`kubectl options`).
#[derive(Clone, Default)]
pub struct ConnectionOptions {
    /// `--kubeconfig`; else `KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token`: replaces every other credential. `Debug` does not print it.
    pub token: Option<String>,
    /// `--as`.
    pub as_user: Option<String>,
    /// `--as-group`.
    pub as_groups: Vec<String>,
    /// `--as-uid`.
    pub as_uid: Option<String>,
    /// `--as-user-extra`, key and value.
    pub as_user_extra: Vec<(String, String)>,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`.
    pub client_key: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`.
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--request-timeout`: for one answer, connecting included; 10 s when none or zero.
    pub request_timeout: Option<Duration>,
    /// `--namespace`.
    pub namespace: Option<String>,
}

impl fmt::Debug for ConnectionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionOptions")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("cluster", &self.cluster)
            .field("user", &self.user)
            .field("server", &self.server.as_deref().map(without_userinfo))
            .field("token", &self.token.as_ref().map(|_| "<hidden>"))
            .field("as_user", &self.as_user)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A cluster that commands ask and follow. Clones share one client.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    about: Arc<About>,
}

#[derive(Debug)]
struct About {
    namespace: String,
    context: Option<String>,
    url: String,
    timeout: Duration,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about.fmt(f)
    }
}

impl Cluster {
    /// The cluster that kubectl would take with the same flags. Nothing is asked of it yet. A
    /// credential plugin of the kubeconfig runs here, for a minute at most.
    ///
    /// # Errors
    ///
    /// When there is no kubeconfig, when it does not hold what the flags name, or when the
    /// credentials make no client.
    pub async fn connect(options: &ConnectionOptions) -> Result<Cluster, ClientError> {
        let timeout = options
            .request_timeout
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(REQUEST_TIMEOUT);
        let (mut config, context) = configuration(options).await?;
        let url = without_userinfo(&config.cluster_url.to_string());
        // Requests have a deadline of their own; a watch or a log is silent for as long as it likes.
        config.connect_timeout = Some(timeout);
        config.read_timeout = None;
        config.write_timeout = Some(timeout);
        let namespace = match &options.namespace {
            Some(namespace) => namespace.clone(),
            None => config.default_namespace.clone(),
        };
        let about = About {
            namespace,
            context,
            url: url.clone(),
            timeout,
        };
        // A credential plugin is run here, and waited for without a bound.
        let making = tokio::task::spawn_blocking(move || Client::try_from(config));
        let failed = |reason| ClientError::Client {
            url: url.clone(),
            reason,
        };
        let client = match tokio::time::timeout(LOGIN, making).await {
            Ok(Ok(Ok(client))) => client,
            Ok(Ok(Err(error))) => return Err(failed(client_reason(&error))),
            Ok(Err(error)) => return Err(failed(chain(&error))),
            Err(_) => {
                return Err(failed(format!(
                    "the kubeconfig's credential plugin did not end within {} s",
                    LOGIN.as_secs()
                )));
            }
        };
        Ok(Cluster {
            client,
            about: Arc::new(about),
        })
    }

    /// A cluster over a client that is there already.
    #[cfg(test)]
    pub(crate) fn with(client: Client, timeout: Duration) -> Cluster {
        let about = About {
            namespace: client.default_namespace().to_owned(),
            context: None,
            url: "http://fake".to_owned(),
            timeout,
        };
        Cluster {
            client,
            about: Arc::new(about),
        }
    }

    /// The namespace of the flag, else the context's, else `default`.
    pub fn namespace(&self) -> &str {
        &self.about.namespace
    }

    /// The name of the kubeconfig's context; none inside a pod.
    pub fn context(&self) -> Option<&str> {
        self.about.context.as_deref()
    }

    /// The API server, without a password.
    pub fn url(&self) -> &str {
        &self.about.url
    }

    /// How long one answer may take.
    pub fn request_timeout(&self) -> Duration {
        self.about.timeout
    }
}

/// The client's configuration, and the name of the context.
async fn configuration(
    options: &ConnectionOptions,
) -> Result<(Config, Option<String>), ClientError> {
    let (path, kubeconfig) = match read(options)? {
        Some(found) => found,
        None if options.server.is_some() => (PathBuf::from("--server"), Kubeconfig::default()),
        None if crate::is_in_cluster() => {
            let config = Config::incluster().map_err(|it| ClientError::InCluster(chain(&it)))?;
            return Ok((config, None));
        }
        None => return Err(ClientError::NoKubeconfig),
    };
    let (kubeconfig, chosen, context) = with_flags(kubeconfig, options, &path)?;
    let from_file = kubeconfig
        .clusters
        .iter()
        .filter_map(|it| it.cluster.as_ref())
        .any(|it| it.proxy_url.as_deref().is_some_and(|url| !url.is_empty()));
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &chosen)
        .await
        .map_err(|error| unusable(&path, &error))?;
    if !from_file && goes_without_proxy(&config.cluster_url.to_string()) {
        config.proxy_url = None;
    }
    Ok((config, context))
}

/// The kubeconfig of the flag, else of the environment, else of the home directory.
fn read(options: &ConnectionOptions) -> Result<Option<(PathBuf, Kubeconfig)>, ClientError> {
    if let Some(path) = &options.kubeconfig {
        let read = Kubeconfig::read_from(path).map_err(|it| unusable(path, &it))?;
        return Ok(Some((path.clone(), read)));
    }
    let named = std::env::var_os("KUBECONFIG").filter(|it| !it.is_empty());
    if let Some(named) = named {
        let path = PathBuf::from(&named);
        return match Kubeconfig::from_env() {
            Ok(Some(read)) => Ok(Some((path, read))),
            Ok(None) => Ok(None),
            Err(error) => Err(unusable(&path, &error)),
        };
    }
    let Some(home) = std::env::home_dir() else {
        return Ok(None);
    };
    let path = home.join(".kube").join("config");
    if !path.is_file() {
        return Ok(None);
    }
    let read = Kubeconfig::read_from(&path).map_err(|it| unusable(&path, &it))?;
    Ok(Some((path, read)))
}

/// The kubeconfig with the flags written into the entries that are used, what to choose of it, and
/// the name of the context.
fn with_flags(
    mut kubeconfig: Kubeconfig,
    options: &ConnectionOptions,
    path: &Path,
) -> Result<(Kubeconfig, KubeConfigOptions, Option<String>), ClientError> {
    let context = options
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone())
        .filter(|it| !it.is_empty());
    let known = context.as_ref().and_then(|name| {
        let mut contexts = kubeconfig.contexts.iter();
        contexts.find(|it| it.name == *name)?.context.clone()
    });
    let known = match (&context, known) {
        (Some(_), Some(known)) => known,
        (Some(name), None) => {
            return Err(ClientError::NoContext {
                path: path.to_owned(),
                name: name.clone(),
                contexts: kubeconfig.contexts.into_iter().map(|it| it.name).collect(),
            });
        }
        (None, _) if options.server.is_none() && options.cluster.is_none() => {
            return Err(ClientError::NoCurrentContext {
                path: path.to_owned(),
                contexts: kubeconfig.contexts.into_iter().map(|it| it.name).collect(),
            });
        }
        (None, _) => Context::default(),
    };
    let cluster_name = options.cluster.clone().unwrap_or(known.cluster.clone());
    let user_name = options.user.clone().or(known.user.clone());
    let mut cluster = kubeconfig
        .clusters
        .iter()
        .find(|it| it.name == cluster_name)
        .and_then(|it| it.cluster.clone());
    if cluster.is_none() && options.server.is_none() {
        return Err(ClientError::NoCluster {
            path: path.to_owned(),
            name: cluster_name,
        });
    }
    let mut auth = match &user_name {
        None => None,
        Some(name) => {
            let mut users = kubeconfig.auth_infos.iter();
            users
                .find(|it| it.name == *name)
                .and_then(|it| it.auth_info.clone())
        }
    };
    if let (Some(name), None) = (&options.user, &auth) {
        return Err(ClientError::NoUser {
            path: path.to_owned(),
            name: name.clone(),
        });
    }
    cluster_flags(cluster.get_or_insert_default(), options);
    user_flags(auth.get_or_insert_default(), options);
    // Only the entries that are used are kept: other people's errors are not ours.
    kubeconfig.clusters = vec![NamedCluster {
        name: UNNAMED.to_owned(),
        cluster,
        ..NamedCluster::default()
    }];
    kubeconfig.auth_infos = vec![NamedAuthInfo {
        name: UNNAMED.to_owned(),
        auth_info: auth,
        ..NamedAuthInfo::default()
    }];
    kubeconfig.contexts = vec![NamedContext {
        name: UNNAMED.to_owned(),
        context: Some(Context {
            cluster: UNNAMED.to_owned(),
            user: Some(UNNAMED.to_owned()),
            ..known
        }),
        ..NamedContext::default()
    }];
    let chosen = KubeConfigOptions {
        context: Some(UNNAMED.to_owned()),
        ..KubeConfigOptions::default()
    };
    Ok((kubeconfig, chosen, context))
}

fn cluster_flags(cluster: &mut KubeCluster, options: &ConnectionOptions) {
    if let Some(server) = &options.server {
        // As kubectl: an address without a scheme is plain HTTP.
        let has_scheme = server.contains("://");
        cluster.server = Some(if has_scheme {
            server.clone()
        } else {
            format!("http://{server}")
        });
    }
    if let Some(name) = &options.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if let Some(path) = &options.certificate_authority {
        cluster.certificate_authority = Some(path.display().to_string());
        cluster.certificate_authority_data = None;
    }
    if options.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
    }
}

fn user_flags(auth: &mut AuthInfo, options: &ConnectionOptions) {
    if let Some(token) = &options.token {
        // A client certificate would win over the token: the API server looks at it first
        // (kubernetes/apiserver pkg/server/authenticator, the order of the union).
        *auth = AuthInfo {
            token: Some(token.clone().into()),
            impersonate: auth.impersonate.take(),
            impersonate_uid: auth.impersonate_uid.take(),
            impersonate_groups: auth.impersonate_groups.take(),
            impersonate_user_extra: auth.impersonate_user_extra.take(),
            ..AuthInfo::default()
        };
    }
    if let Some(path) = &options.client_certificate {
        auth.client_certificate = Some(path.display().to_string());
        auth.client_certificate_data = None;
    }
    if let Some(path) = &options.client_key {
        auth.client_key = Some(path.display().to_string());
        auth.client_key_data = None;
    }
    if let Some(user) = &options.as_user {
        auth.impersonate = Some(user.clone());
    }
    if let Some(uid) = &options.as_uid {
        auth.impersonate_uid = Some(uid.clone());
    }
    if !options.as_groups.is_empty() {
        auth.impersonate_groups = Some(options.as_groups.clone());
    }
    if !options.as_user_extra.is_empty() {
        let extra = auth.impersonate_user_extra.get_or_insert_default();
        extra.clear();
        for (key, value) in &options.as_user_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
    }
}

/// Why there is no client. A credential plugin's output is left out: a token may be in it.
fn client_reason(error: &kube::Error) -> String {
    use kube::client::AuthError;
    match error {
        kube::Error::Auth(AuthError::AuthExecRun { cmd, out }) => format!(
            "the credential plugin `{cmd}` ended with {}; run it by hand to see why",
            out.status
        ),
        kube::Error::Auth(AuthError::AuthExecParse(_)) => {
            "the credential plugin printed no ExecCredential".to_owned()
        }
        other => chain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::run;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
        clusters:\n\
        - {name: c1, cluster: {server: 'https://one.example:6443'}}\n\
        - {name: c2, cluster: {server: 'http://u:pw@two.example'}}\n\
        users:\n\
        - {name: u1, user: {token: s3cret}}\n\
        contexts:\n\
        - {name: dev, context: {cluster: c1, user: u1, namespace: models}}\n\
        - {name: prod, context: {cluster: c2, user: u1}}\n";

    fn with_file(
        text: &str,
        change: impl FnOnce(&mut ConnectionOptions),
    ) -> Result<(Config, Option<String>), ClientError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        let mut options = ConnectionOptions {
            kubeconfig: Some(path),
            ..ConnectionOptions::default()
        };
        change(&mut options);
        run(configuration(&options))
    }

    #[test]
    fn the_flags_choose_and_override() {
        let (config, context) = with_file(TWO, |_| ()).unwrap();
        assert_eq!(context.as_deref(), Some("dev"));
        assert_eq!(config.cluster_url, "https://one.example:6443/");
        assert_eq!(config.default_namespace, "models");
        let (config, context) = with_file(TWO, |it| it.context = Some("prod".into())).unwrap();
        assert_eq!(context.as_deref(), Some("prod"));
        assert_eq!(config.default_namespace, "default");
        assert_eq!(
            without_userinfo(&config.cluster_url.to_string()),
            "http://two.example"
        );
        let (config, _) = with_file(TWO, |it| {
            it.server = Some("localhost:8080".into());
            it.tls_server_name = Some("name".into());
            it.insecure_skip_tls_verify = true;
            it.as_user = Some("bob".into());
            it.as_uid = Some("7".into());
            it.as_groups = vec!["a".into(), "b".into()];
            it.as_user_extra = vec![("k".into(), "1".into()), ("k".into(), "2".into())];
        })
        .unwrap();
        assert_eq!(config.cluster_url, "http://localhost:8080/");
        assert_eq!(config.tls_server_name.as_deref(), Some("name"));
        assert!(config.accept_invalid_certs && config.root_cert.is_none());
        let auth = config.auth_info;
        assert_eq!(auth.impersonate.as_deref(), Some("bob"));
        assert_eq!(auth.impersonate_uid.as_deref(), Some("7"));
        assert_eq!(auth.impersonate_groups.unwrap(), ["a", "b"]);
        assert_eq!(auth.impersonate_user_extra.unwrap()["k"], ["1", "2"]);
        assert!(auth.token.is_some(), "the file's credentials stay");
    }

    #[test]
    fn a_token_replaces_other_credentials() {
        let certificate = TWO.replace("{token: s3cret}", "{client-certificate: a, client-key: b}");
        let (config, _) = with_file(&certificate, |it| it.token = Some("t".into())).unwrap();
        assert!(config.auth_info.token.is_some());
        assert!(config.auth_info.client_certificate.is_none());
    }

    #[test]
    fn what_the_file_does_not_hold_is_named_with_what_is_near() {
        let text =
            |change: fn(&mut ConnectionOptions)| with_file(TWO, change).unwrap_err().to_string();
        let context = text(|it| it.context = Some("prd".into()));
        assert!(
            context.contains("no context \"prd\"; did you mean prod?"),
            "{context}"
        );
        let cluster = text(|it| it.cluster = Some("c9".into()));
        assert!(cluster.contains("no cluster \"c9\""), "{cluster}");
        let user = text(|it| it.user = Some("u9".into()));
        assert!(user.contains("no user \"u9\""), "{user}");
        let current = TWO.replace("current-context: dev\n", "");
        let error = with_file(&current, |_| ()).unwrap_err().to_string();
        assert!(
            error.contains("no current-context; there are dev, prod"),
            "{error}"
        );
    }

    #[test]
    fn no_secret_is_printed() {
        let options = ConnectionOptions {
            token: Some("s3cret".into()),
            server: Some("https://u:s3cret@host".into()),
            ..ConnectionOptions::default()
        };
        let text = format!("{options:?}");
        assert!(
            !text.contains("s3cret") && text.contains("<hidden>"),
            "{text}"
        );
        // A typing mistake beside the token: the parser's excerpt must not show it.
        let broken = TWO.replace("{token: s3cret}}", "{token: s3cret}");
        let error = with_file(&broken, |_| ()).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        let wrong = TWO.replace("{token: s3cret}", "[token, s3cret]");
        let error = with_file(&wrong, |_| ()).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        let user = TWO.replace("{token: s3cret}", "s3cret");
        let error = with_file(&user, |_| ()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        assert!(error.to_string().contains("line 8"), "{error}");
    }
}
