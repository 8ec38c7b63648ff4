//! One request to the API server: with a deadline, a bound on its answer, and an error that knows
//! what was asked for.

use crate::access::Access;
use crate::client::chain;
use crate::connection::Cluster;
use crate::request_error::RequestError;
use crate::what::What;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::core::{DynamicObject, Request, Status};
use serde_json::Value;
use std::error::Error as _;
use std::time::Duration;

/// The largest answer that is read, in bytes. A page of 500 Pods of 20 kB each has 10 MB; one
/// object has at most 1.5 MiB (etcd-io/etcd `--max-request-bytes`).
const LARGEST: usize = 64 << 20;

/// What is asked for, for words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) group: &'static str,
    pub(crate) subresource: Option<&'static str>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// An answer of the API server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Value,
    /// Its `Date` header: the API server's clock, to the second.
    pub(crate) date: Option<jiff::Timestamp>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(verb: &'static str, what: What, namespace: Option<&'a str>) -> Asked<'a> {
        Asked {
            verb,
            resource: what.plural(),
            group: what.group(),
            subresource: None,
            namespace: namespace.filter(|_| what.is_namespaced()),
            name: None,
        }
    }

    pub(crate) fn name(self, name: &'a str) -> Asked<'a> {
        Asked {
            name: Some(name),
            ..self
        }
    }

    pub(crate) fn subresource(self, subresource: &'static str) -> Asked<'a> {
        Asked {
            subresource: Some(subresource),
            ..self
        }
    }

    /// `pods/log`.
    fn path(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.to_owned(),
        }
    }

    /// `pods`, `ingresses.networking.k8s.io`: as kubectl takes it.
    fn full(&self) -> String {
        match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        }
    }

    /// `delete pods "a" in namespace b`.
    pub(crate) fn doing(&self) -> String {
        let mut text = format!("{} {}", self.verb, self.path());
        if let Some(name) = self.name {
            text.push_str(&format!(" {name:?}"));
        }
        if let Some(namespace) = self.namespace {
            text.push_str(&format!(" in namespace {namespace}"));
        }
        text
    }

    /// Names go into the URL as they are.
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        for (what, word) in [("name", self.name), ("namespace", self.namespace)] {
            if word.is_some_and(|word| !is_segment(word)) {
                return Err(RequestError::Other {
                    doing: self.doing(),
                    code: None,
                    message: format!("{:?} is no {what}", word.unwrap_or_default()),
                });
            }
        }
        Ok(())
    }
}

/// Whether the word can be a segment of the URL's path; the API server judges the rest.
fn is_segment(word: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_' | ':');
    !word.is_empty() && word != "." && word != ".." && word.chars().all(plain)
}

impl Cluster {
    /// The builder of requests for objects of this kind.
    pub(crate) fn requests(what: What, namespace: Option<&str>) -> Request {
        let namespace = namespace.filter(|_| what.is_namespaced());
        Request::new(<DynamicObject as kube::Resource>::url_path(
            &what.api(),
            namespace,
        ))
    }

    /// Sends a request of kube's builder and reads the answer.
    pub(crate) async fn call<E: std::error::Error>(
        &self,
        asked: Asked<'_>,
        request: Result<http::Request<Vec<u8>>, E>,
    ) -> Result<Answer, RequestError> {
        asked.check()?;
        let request = request.map_err(|error| RequestError::Other {
            doing: asked.doing(),
            code: None,
            message: chain(&error),
        })?;
        let limit = self.request_timeout();
        match tokio::time::timeout(limit, self.answer(asked, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out(asked, limit)),
        }
    }

    async fn answer(
        &self,
        asked: Asked<'_>,
        request: http::Request<Vec<u8>>,
    ) -> Result<Answer, RequestError> {
        let sent = self.client.send(request.map(Body::from)).await;
        let answer = sent.map_err(|error| self.failed(asked, &error))?;
        let code = answer.status().as_u16();
        let date = answer
            .headers()
            .get("date")
            .and_then(|date| date.to_str().ok())
            .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
            .map(|date| date.timestamp());
        let body = Limited::new(answer.into_body(), LARGEST);
        let bytes = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(RequestError::Other {
                    doing: asked.doing(),
                    code: None,
                    message: format!("the answer has more than {} MiB", LARGEST >> 20),
                });
            }
            Err(error) => {
                return Err(RequestError::Unreachable {
                    url: self.url().to_owned(),
                    reason: chain(&*error),
                });
            }
        };
        if code >= 400 {
            let status = serde_json::from_slice::<Status>(&bytes).unwrap_or_else(|_| Status {
                message: first_line(&bytes),
                ..Status::default()
            });
            return Err(self.refused(asked, code, &status));
        }
        match serde_json::from_slice(&bytes) {
            Ok(body) => Ok(Answer { body, date }),
            Err(error) => Err(RequestError::Other {
                doing: asked.doing(),
                code: None,
                message: format!("the answer is not JSON: {error}"),
            }),
        }
    }

    pub(crate) fn timed_out(&self, asked: Asked<'_>, after: Duration) -> RequestError {
        RequestError::TimedOut {
            url: self.url().to_owned(),
            doing: asked.doing(),
            after,
        }
    }

    /// An error of kube's client.
    pub(crate) fn failed(&self, asked: Asked<'_>, error: &kube::Error) -> RequestError {
        match error {
            kube::Error::Api(status) => self.refused(asked, status.code, status),
            // Connecting, the handshake of TLS included, has the same limit as the whole.
            _ if is_timeout(error) => self.timed_out(asked, self.request_timeout()),
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                RequestError::Unreachable {
                    url: self.url().to_owned(),
                    reason: chain(error),
                }
            }
            other => RequestError::Other {
                doing: asked.doing(),
                code: None,
                message: chain(other),
            },
        }
    }

    /// An answer of 400 and above.
    pub(crate) fn refused(&self, asked: Asked<'_>, code: u16, status: &Status) -> RequestError {
        let message = status.message.clone();
        let doing = asked.doing();
        match code {
            401 => RequestError::Unauthorized {
                url: self.url().to_owned(),
                message,
            },
            403 => forbidden(asked, message),
            // Without details nothing is served at this path (apimachinery
            // pkg/api/errors `NewGenericServerResponse`: "could not find the requested resource").
            404 if status.details.as_ref().is_none_or(|it| it.name.is_empty()) => {
                RequestError::NotServed {
                    resource: asked.full(),
                }
            }
            404 => RequestError::NotFound {
                resource: asked.full(),
                name: asked.name.unwrap_or_default().to_owned(),
                namespace: asked.namespace.map(str::to_owned),
                hints: Box::default(),
            },
            409 => RequestError::Conflict {
                doing,
                exists: status.reason == "AlreadyExists",
                message,
            },
            410 => RequestError::Gone { doing, message },
            _ => RequestError::Other {
                doing,
                code: Some(code),
                message,
            },
        }
    }
}

/// Whether a timeout is among the causes.
fn is_timeout(error: &kube::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

/// The API server says which right is missing; it may be another one than the one asked for, such
/// as `impersonate` (kubernetes/apiserver pkg/endpoints/handlers/responsewriters/errors.go
/// `forbiddenMessage`).
fn forbidden(asked: Asked<'_>, message: String) -> RequestError {
    let denied = denied(&message);
    let by_rbac = denied.is_some();
    let right = denied.unwrap_or_else(|| Access {
        verb: asked.verb.to_owned(),
        group: asked.group.to_owned(),
        resource: asked.resource.to_owned(),
        subresource: asked.subresource.unwrap_or_default().to_owned(),
        namespace: asked.namespace.map(str::to_owned),
    });
    RequestError::Forbidden {
        right: Box::new(right),
        message,
        by_rbac,
    }
}

/// The right in `User "u" cannot get resource "pods/log" in API group "" in the namespace "n"`.
fn denied(message: &str) -> Option<Access> {
    let (_, rest) = message.split_once(" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let namespace = rest
        .split_once("in the namespace \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(namespace, _)| namespace.to_owned());
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    if verb.is_empty() || verb.contains(' ') {
        return None;
    }
    // Kubernetes 1.36 asks for narrower rights first and names the last of them, such as
    // `impersonate-on:user-info:get` (KEP-5284; run in the lab). The wide one is enough everywhere.
    if verb.starts_with("impersonate") {
        return Some(Access {
            verb: "impersonate".to_owned(),
            group: String::new(),
            resource: "users".to_owned(),
            subresource: String::new(),
            namespace: None,
        });
    }
    Some(Access {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace,
    })
}

/// The beginning of an answer that is no Status: some proxy's page.
fn first_line(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    let line = text.lines().next().unwrap_or_default().trim();
    line.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Reply, run, status};
    use crate::objects::Selector;
    use serde_json::json;

    fn error_of(reply: impl Fn() -> Reply + Send + Sync + 'static) -> RequestError {
        let (cluster, _) = fake::cluster(move |_| reply());
        run(cluster.list(What::Ingress, Some("n"), &Selector::all())).unwrap_err()
    }

    #[test]
    fn a_missing_right_is_named_as_the_rule_that_gives_it() {
        let error = error_of(|| {
            let message = "ingresses.networking.k8s.io is forbidden: User \"u\" cannot list \
                resource \"ingresses\" in API group \"networking.k8s.io\" in the namespace \"n\"";
            status(403, "Forbidden", message, "")
        });
        let text = error.to_string();
        assert!(
            text.starts_with("not allowed to list ingresses in namespace n: "),
            "{text}"
        );
        assert!(
            text.contains(
                "Role in namespace n and bind it: - {apiGroups: [\"networking.k8s.io\"], \
                 resources: [\"ingresses\"], verbs: [\"list\"]}"
            ),
            "{text}"
        );
        assert!(
            text.contains("`kubectl auth can-i list ingresses.networking.k8s.io -n n`"),
            "{text}"
        );
        assert!(!error.is_passing());
    }

    #[test]
    fn the_right_that_is_missing_may_be_another_one() {
        let error = error_of(|| {
            let message = "users \"x\" is forbidden: User \"u\" cannot impersonate resource \
                \"users\" in API group \"\" at the cluster scope";
            status(403, "Forbidden", message, "x")
        });
        let text = error.to_string();
        assert!(
            text.starts_with("not allowed to impersonate users in the cluster"),
            "{text}"
        );
        assert!(text.contains("rule to a ClusterRole"), "{text}");
        let narrow = denied(
            "pods \"a\" is forbidden: User \"u\" cannot impersonate-on:user-info:get resource \
             \"pods\" in API group \"\" in the namespace \"n\"",
        );
        assert_eq!(
            narrow.unwrap().can_i(),
            "kubectl auth can-i impersonate users"
        );
        let log = denied(
            "pods \"a\" is forbidden: User \"u\" cannot get resource \"pods/log\" in API group \
             \"\" in the namespace \"n\": RBAC: clusterrole.rbac.authorization.k8s.io \"x\" not \
             found",
        )
        .unwrap();
        assert_eq!(
            log.rule(),
            r#"- {apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}"#
        );
        assert_eq!(
            log.can_i(),
            "kubectl auth can-i get pods --subresource=log -n n"
        );
    }

    #[test]
    fn a_refusal_of_admission_is_no_matter_of_rbac() {
        let error = error_of(|| {
            status(
                403,
                "Forbidden",
                "pods \"a\" is forbidden: exceeded quota: q",
                "a",
            )
        });
        let text = error.to_string();
        assert!(
            text.contains("exceeded quota") && !text.contains("rule to"),
            "{text}"
        );
    }

    #[test]
    fn a_kind_that_is_not_served_is_not_a_missing_object() {
        let error = error_of(|| {
            status(
                404,
                "NotFound",
                "the server could not find the requested resource",
                "",
            )
        });
        assert!(matches!(error, RequestError::NotServed { .. }), "{error:?}");
    }

    #[test]
    fn each_answer_has_an_error_of_its_own() {
        let text = error_of(|| status(401, "Unauthorized", "Unauthorized", "")).to_string();
        assert!(
            text.contains("does not know who asks") && text.contains("whoami"),
            "{text}"
        );
        let gone = error_of(|| status(410, "Expired", "too old", ""));
        assert!(matches!(gone, RequestError::Gone { .. }) && gone.is_passing());
        let conflict = error_of(|| status(409, "Conflict", "modified", "a"));
        assert!(matches!(
            conflict,
            RequestError::Conflict { exists: false, .. }
        ));
        let broken = error_of(|| status(500, "InternalError", "etcd is down", ""));
        assert!(broken.is_passing() && broken.to_string().contains("answers 500: etcd is down"));
        let page = error_of(|| Reply::Json(502, json!("Bad Gateway by some proxy")));
        assert!(
            page.to_string().contains("Bad Gateway by some proxy"),
            "{page}"
        );
        let html = error_of(|| Reply::Text("<html>".to_owned()));
        assert!(html.to_string().contains("not JSON"), "{html}");
    }

    #[test]
    fn a_server_that_does_not_answer_fails_within_the_timeout() {
        let before = std::time::Instant::now();
        let error = error_of(|| Reply::Never);
        assert!(before.elapsed() < 10 * fake::TIMEOUT);
        let text = error.to_string();
        assert!(
            text.contains("http://fake did not answer within 0.3 s: list ingresses"),
            "{text}"
        );
        assert!(text.contains("kubectl cluster-info"), "{text}");
    }
}
