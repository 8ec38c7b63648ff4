//! Why the cluster did not do what it was asked for, in words that say what to do next.

use crate::access::Access;
use std::fmt;
use std::time::Duration;

/// A request that failed. `Display` says what and why, and each way out on a `= help:` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The API server knows who asks and refuses.
    Forbidden {
        /// The right that is missing, as the API server names it.
        right: Box<Access>,
        /// The API server's own words.
        message: String,
        /// Whether RBAC refuses. Admission answers 403 too, and no rule helps there.
        by_rbac: bool,
    },
    /// The API server does not know who asks.
    Unauthorized {
        /// The API server.
        url: String,
        /// Its own words.
        message: String,
    },
    /// There is no such object.
    NotFound {
        /// The resource as kubectl takes it.
        resource: String,
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        namespace: Option<String>,
        /// What was perhaps meant.
        hints: Box<Hints>,
    },
    /// The API server does not serve this kind.
    NotServed {
        /// The resource as kubectl takes it.
        resource: String,
    },
    /// The object is another one, or was changed meanwhile.
    Conflict {
        /// What was asked for.
        doing: String,
        /// Whether an object of that name is there already.
        exists: bool,
        /// The API server's own words.
        message: String,
    },
    /// What was asked for is too old: the list or watch must begin anew.
    Gone {
        /// What was asked for.
        doing: String,
        /// The API server's own words.
        message: String,
    },
    /// There is no connection.
    Unreachable {
        /// The API server.
        url: String,
        /// What the kernel or TLS says.
        reason: String,
    },
    /// No answer in time.
    TimedOut {
        /// The API server.
        url: String,
        /// What was asked for.
        doing: String,
        /// How long it was waited.
        after: Duration,
    },
    /// Anything else.
    Other {
        /// What was asked for.
        doing: String,
        /// The HTTP status, where there was one.
        code: Option<u16>,
        /// Why.
        message: String,
    },
}

/// What a person perhaps meant who asked for something that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Names that are near; of namespaces, when the namespace is what is missing.
    pub near: Vec<String>,
    /// Namespaces that have an object of the name, three at most.
    pub elsewhere: Vec<String>,
    /// Whether the namespace itself is not there.
    pub no_namespace: bool,
}

impl RequestError {
    /// Whether trying again soon may succeed: the connection, a timeout, a busy server.
    pub fn is_passing(&self) -> bool {
        match self {
            RequestError::Unreachable { .. }
            | RequestError::TimedOut { .. }
            | RequestError::Gone { .. } => true,
            RequestError::Other { code, .. } => code.is_none_or(|code| code == 429 || code >= 500),
            _ => false,
        }
    }

    /// What is wrong and why, on one line.
    pub fn message(&self) -> String {
        match self {
            RequestError::Forbidden {
                right,
                message,
                by_rbac,
            } => {
                let (verb, resource) = (&right.verb, right.path());
                let place = match &right.namespace {
                    Some(namespace) => format!("in namespace {namespace}"),
                    None => "in the cluster".to_owned(),
                };
                if *by_rbac {
                    format!("not allowed to {verb} {resource} {place}: {message}")
                } else {
                    format!("{verb} {resource} {place} is refused: {message}")
                }
            }
            RequestError::Unauthorized { url, message } => {
                format!("{url} does not know who asks: {message}")
            }
            RequestError::NotFound {
                resource,
                name,
                namespace,
                hints,
            } => match namespace {
                Some(namespace) if hints.no_namespace => {
                    format!("there is no namespace {namespace}")
                }
                Some(namespace) => {
                    format!("there is no {resource} {name:?} in namespace {namespace}")
                }
                None => format!("there is no {resource} {name:?}"),
            },
            RequestError::NotServed { resource } => {
                format!("the API server does not serve {resource}")
            }
            RequestError::Conflict { doing, message, .. }
            | RequestError::Gone { doing, message } => format!("{doing}: {message}"),
            RequestError::Unreachable { url, reason } => {
                format!("the API server {url} cannot be reached: {reason}")
            }
            RequestError::TimedOut { url, doing, after } => {
                format!(
                    "the API server {url} did not answer within {}: {doing}",
                    seconds(*after)
                )
            }
            RequestError::Other {
                doing,
                code,
                message,
            } => match code {
                Some(code) => format!("{doing}: the API server answers {code}: {message}"),
                None => format!("{doing}: {message}"),
            },
        }
    }

    /// Ways out, each on one line; none where nothing is known to help.
    pub fn help(&self) -> Vec<String> {
        match self {
            RequestError::Forbidden {
                right,
                by_rbac: true,
                ..
            } => vec![
                format!(
                    "add this rule to a {} and bind it: {}",
                    match &right.namespace {
                        Some(namespace) => format!("Role in namespace {namespace}"),
                        None => "ClusterRole".to_owned(),
                    },
                    right.rule()
                ),
                format!("`{}` asks whether it is allowed", right.can_i()),
            ],
            RequestError::Unauthorized { .. } => vec![
                "`kubectl auth whoami` shows who the API server takes you for; log in again, or \
                 choose another --context, --user or --token"
                    .to_owned(),
            ],
            RequestError::NotFound {
                resource,
                name,
                namespace,
                hints,
            } => not_found_help(resource, name, namespace.as_deref(), hints),
            RequestError::NotServed { .. } => {
                vec!["`kubectl api-resources` lists what it serves".to_owned()]
            }
            RequestError::Unreachable { .. } | RequestError::TimedOut { .. } => vec![
                "`kubectl cluster-info` must work with the same flags; \
                 `kubectl config current-context` names the cluster that is asked"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        write_help(f, &self.help())
    }
}

/// Ways out, as every message of ours has them.
pub(crate) fn write_help(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    for line in lines {
        write!(f, "\n  = help: {line}")?;
    }
    Ok(())
}

impl std::error::Error for RequestError {}

fn not_found_help(
    resource: &str,
    name: &str,
    namespace: Option<&str>,
    hints: &Hints,
) -> Vec<String> {
    let mut lines = Vec::new();
    if !hints.near.is_empty() {
        lines.push(format!("did you mean {}?", hints.near.join(", ")));
    }
    if let [first, ..] = &hints.elsewhere[..] {
        lines.push(format!(
            "there is a {name:?} in namespace {}: add `-n {first}`",
            hints.elsewhere.join(", ")
        ));
    }
    lines.push(match namespace {
        _ if hints.no_namespace => "`kubectl get namespaces` lists them".to_owned(),
        Some(namespace) => format!("`kubectl get {resource} -n {namespace}` lists them"),
        None => format!("`kubectl get {resource}` lists them"),
    });
    lines
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
