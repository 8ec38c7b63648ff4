//! What an Ingress asks for: paths of hosts, each with its backend.

use crate::annotation::check;
use crate::refusal::Refusal;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, ServiceBackendPort};
use std::fmt;

/// The path that every request matches.
pub const ROOT: &str = "/";

/// How a path matches (`networking.k8s.io/v1`, `PathType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathType {
    /// The path and no other.
    Exact,
    /// The path and what lies below it, by whole elements.
    Prefix,
    /// What the controller likes: here, as in ingress-nginx, a prefix of characters.
    ImplementationSpecific,
}

/// The port of a Service that requests go to, as the Ingress names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// The Ingress' namespace, which is the Service's.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Its port, a number or a name.
    pub port: String,
}

impl Backend {
    /// The port in the API's shape.
    pub fn service_port(&self) -> ServiceBackendPort {
        let number = self.port.parse().ok();
        ServiceBackendPort {
            name: number.is_none().then(|| self.port.clone()),
            number,
        }
    }
}

/// ingress-nginx's name for an upstream, as its access log shows it
/// (`internal/ingress/controller/util.go`, `upstreamName`).
impl fmt::Display for Backend {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}-{}-{}", self.namespace, self.service, self.port)
    }
}

/// One path of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The host, with `*.` in front for any name below it; empty for every host.
    pub host: String,
    /// The path, which begins with a slash.
    pub path: String,
    /// How it matches.
    pub path_type: PathType,
    /// Where requests go.
    pub backend: Backend,
}

/// The routes of an Ingress in the order in which it names them.
///
/// # Errors
///
/// When it holds a field that is not served here, or a name that NGINX's file cannot hold.
pub fn routes(ingress: &Ingress) -> Result<Vec<Route>, Refusal> {
    let Some(spec) = &ingress.spec else {
        return Ok(Vec::new());
    };
    if spec.default_backend.is_some() {
        return Err(Refusal::NotServed("spec.defaultBackend"));
    }
    // ingress-nginx would redirect to HTTPS (`ssl-redirect`): serving it in the clear would lie.
    if spec.tls.as_ref().is_some_and(|tls| !tls.is_empty()) {
        return Err(Refusal::NotServed("spec.tls"));
    }
    let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
    let mut routes = Vec::new();
    for rule in spec.rules.iter().flatten() {
        let host = host(rule.host.as_deref().unwrap_or_default())?;
        for path in rule.http.iter().flat_map(|http| &http.paths) {
            routes.push(route(namespace, host.clone(), path)?);
        }
    }
    Ok(routes)
}

fn route(namespace: &str, host: String, path: &HTTPIngressPath) -> Result<Route, Refusal> {
    let path_type = match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        "ImplementationSpecific" => PathType::ImplementationSpecific,
        _ => return Err(Refusal::NotServed("a pathType other than the API's three")),
    };
    let text = path.path.clone().unwrap_or_else(|| ROOT.to_owned());
    if !text.starts_with('/') {
        return Err(Refusal::Path(text));
    }
    check("spec.rules[].http.paths[].path", &text)?;
    let Some(service) = &path.backend.service else {
        return Err(Refusal::NotServed("backend.resource"));
    };
    let port = service.port.as_ref();
    let number = port.and_then(|it| it.number).map(|it| it.to_string());
    let port = number.or_else(|| port?.name.clone()).unwrap_or_default();
    for (place, name) in [
        ("backend.service.name", &service.name),
        ("backend.service.port", &port),
    ] {
        // The API holds both to DNS labels; a name here ends up as a name in NGINX's file.
        if !is_label(name) {
            return Err(Refusal::NotServed(place));
        }
    }
    Ok(Route {
        host,
        path: text,
        path_type,
        backend: Backend {
            namespace: namespace.to_owned(),
            service: service.name.clone(),
            port,
        },
    })
}

fn host(host: &str) -> Result<String, Refusal> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if host.is_empty() || name.split('.').all(is_label) {
        Ok(host.to_owned())
    } else {
        Err(Refusal::Host(host.to_owned()))
    }
}

fn is_label(text: &str) -> bool {
    let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    !text.is_empty() && text.chars().all(allowed)
}
