//! What any proxy's access log says of one request.

use super::{Attempt, LogEntry, Token, envoy, parse_log_line};

/// What a proxy's access log says of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Our token; `None` where another client sent the request.
    pub token: Option<Token>,
    /// What the client got; `None` where no answer began.
    pub status: Option<u16>,
    /// Address and port of the replica that was asked last; `None` where the proxy answered by
    /// itself.
    pub upstream: Option<String>,
    /// Every attempt, in order; empty where the log tells of the last one only.
    pub attempts: Vec<Attempt>,
    /// What the proxy calls the servers among which it chose.
    pub group: Option<Group>,
}

/// What a proxy calls the servers of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// ingress-nginx: `NAMESPACE-SERVICE-PORT`, in which hyphens separate nothing for sure.
    Joined(String),
    /// Envoy under Istio or Contour.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service.
        name: String,
        /// The subset of Istio's DestinationRule.
        subset: Option<String>,
    },
}

impl Logged {
    /// Reads a line of ingress-nginx's access log, or of Envoy's under Istio, Contour and Envoy
    /// Gateway, each in its default format or in Envoy's JSON. `None` where the line has another
    /// format.
    #[must_use]
    pub fn read(line: &str) -> Option<Logged> {
        parse_log_line(line)
            .map(Logged::from)
            .or_else(|| envoy::read(line))
    }
}

impl From<LogEntry> for Logged {
    fn from(entry: LogEntry) -> Logged {
        // A canary's own name is the alternative (kubernetes/ingress-nginx
        // `rootfs/etc/nginx/lua/balancer.lua`, `get_balancer`).
        let name = entry.alternative_name.or(entry.upstream_name);
        Logged {
            token: entry.token,
            status: Some(entry.status),
            upstream: entry.attempts.last().map(|last| last.address.clone()),
            attempts: entry.attempts,
            group: name.map(Group::Joined),
        }
    }
}

impl Group {
    /// Which of these Services of a namespace it is; `None` where it is none of them.
    #[must_use]
    pub fn among<'a>(&self, namespace: &str, services: &'a [String]) -> Option<&'a str> {
        let is = |service: &&String| match self {
            Group::Joined(name) => name
                .strip_prefix(namespace)
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|rest| rest.strip_prefix(service.as_str()))
                .is_some_and(|rest| rest.starts_with('-')),
            Group::Service {
                namespace: own,
                name,
                ..
            } => own == namespace && name == *service,
        };
        // `llama` is the beginning of `llama-canary`, too.
        let fits = services.iter().filter(is);
        fits.max_by_key(|service| service.len()).map(String::as_str)
    }

    /// The subset of a DestinationRule, where the name has one.
    #[must_use]
    pub fn subset(&self) -> Option<&str> {
        match self {
            Group::Joined(_) => None,
            Group::Service { subset, .. } => subset.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_of_ingress_nginx_has_the_alternative_name() {
        let line = |alternative: &str| {
            format!(
                r#"10.0.0.1 - - [t] "GET / HTTP/1.1" 200 1 "-" "curl" 1 0.1 [ns-llama-8080] [{alternative}] 10.0.0.8:80 1 0.1 200 id"#
            )
        };
        let services = ["llama".to_owned(), "llama-canary".to_owned()];
        let of = |line: &str| {
            let group = Logged::read(line).unwrap().group.unwrap();
            group.among("ns", &services).map(str::to_owned)
        };
        assert_eq!(of(&line("")).as_deref(), Some("llama"));
        assert_eq!(
            of(&line("ns-llama-canary-8080")).as_deref(),
            Some("llama-canary")
        );
        let logged = Logged::read(&line("")).unwrap();
        assert_eq!(logged.upstream.as_deref(), Some("10.0.0.8:80"));
        assert_eq!(logged.attempts.len(), 1);
    }

    #[test]
    fn a_service_is_known_by_its_whole_name() {
        let services = ["llama".to_owned()];
        for (name, namespace, expected) in [
            ("ns-llama-http", "ns", Some("llama")),
            ("ns-llama", "ns", None),
            ("other-llama-80", "ns", None),
            ("upstream-default-backend", "ns", None),
        ] {
            let group = Group::Joined(name.to_owned());
            assert_eq!(group.among(namespace, &services), expected, "{name}");
        }
        let group = Group::Service {
            namespace: "ns".to_owned(),
            name: "llama".to_owned(),
            subset: Some("canary".to_owned()),
        };
        assert_eq!(group.among("ns", &services), Some("llama"));
        assert_eq!(group.among("other", &services), None);
        assert_eq!(group.subset(), Some("canary"));
    }
}
