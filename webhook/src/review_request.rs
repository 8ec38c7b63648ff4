//! The `AdmissionReview` that comes in: parsed once, into what a review needs.
//!
//! kube's own types are not used: they deserialize `userInfo`, `options` and typed metadata that no
//! review reads.

use infer_core::admission::{Operation, Request};
use serde::Deserialize;
use serde_json::Value;

/// Which of the two admission paths was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `/mutate`.
    Mutate,
    /// `/validate`.
    Validate,
}

impl Path {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Path::Mutate => "mutate",
            Path::Validate => "validate",
        }
    }
}

#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "an AdmissionReview as a JSON object"
)]
struct Envelope {
    api_version: Option<String>,
    kind: Option<String>,
    request: Option<Incoming>,
}

/// The request of an `AdmissionReview`, as far as a review reads it.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "an AdmissionRequest as a JSON object"
)]
pub struct Incoming {
    /// Echoed in the answer.
    #[serde(default)]
    pub uid: String,
    operation: Option<String>,
    kind: Option<GroupVersionKind>,
    sub_resource: Option<String>,
    namespace: Option<String>,
    /// Whether nothing will be stored.
    dry_run: Option<bool>,
    object: Option<Value>,
    old_object: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct GroupVersionKind {
    #[serde(default)]
    kind: String,
}

/// Why a body is no review. The text is for the API server's log: it may quote the body and must
/// not reach ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON, or not of the wanted shape.
    #[error("the body is no AdmissionReview: {0}")]
    Json(String),
    /// Nested deeper than any legal object.
    #[error(
        "the body is nested more than 127 levels deep (line {line}, column {column}); \
         objects of the Kubernetes API are far shallower"
    )]
    Deep {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Another API version or kind.
    #[error("`{member}` is {seen}, wanted `{wanted}`")]
    Envelope {
        /// Which member.
        member: &'static str,
        /// What it is.
        seen: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A member is missing.
    #[error("`{0}` is missing: not an AdmissionReview that an API server sends")]
    Missing(&'static str),
}

/// The API version of reviews that we read and answer.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";
/// Their kind.
pub(crate) const KIND: &str = "AdmissionReview";

/// Reads a body.
///
/// # Errors
///
/// When it is no `AdmissionReview` of `admission.k8s.io/v1` with a request that has a uid, an
/// operation and the objects that belong to the operation.
pub fn parse(body: &[u8]) -> Result<Incoming, Unreadable> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
        // serde_json stops at 128 levels; it has no other sign of it than its text.
        if error.to_string().starts_with("recursion limit exceeded") {
            Unreadable::Deep {
                line: error.line(),
                column: error.column(),
            }
        } else {
            Unreadable::Json(error.to_string())
        }
    })?;
    for (member, seen, wanted) in [
        ("apiVersion", envelope.api_version, API_VERSION),
        ("kind", envelope.kind, KIND),
    ] {
        if seen.as_deref() != Some(wanted) {
            let seen = seen.map_or("missing".to_owned(), |seen| {
                format!("{:?}", shortened(&seen))
            });
            return Err(Unreadable::Envelope {
                member,
                seen,
                wanted,
            });
        }
    }
    let request = envelope.request.ok_or(Unreadable::Missing("request"))?;
    if request.uid.is_empty() {
        return Err(Unreadable::Missing("request.uid"));
    }
    match request.operation.as_deref() {
        None | Some("") => Err(Unreadable::Missing("request.operation")),
        Some("CREATE" | "UPDATE") if !request.object.as_ref().is_some_and(Value::is_object) => {
            Err(Unreadable::Missing("request.object"))
        }
        Some("UPDATE") if !request.old_object.as_ref().is_some_and(Value::is_object) => {
            Err(Unreadable::Missing("request.oldObject"))
        }
        Some(_) => Ok(request),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Incoming {
    /// What there is to review; `None` for subresources (scale, status, resize, …) and for
    /// operations that store no object: those are allowed untouched.
    pub fn to_review(&self) -> Option<Request<'_>> {
        if self
            .sub_resource
            .as_deref()
            .is_some_and(|name| !name.is_empty())
        {
            return None;
        }
        let operation = match self.operation.as_deref()? {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            _ => return None,
        };
        Some(Request {
            operation,
            namespace: self.namespace.as_deref().unwrap_or_default(),
            object: self.object.as_ref()?,
            old: self.old_object.as_ref(),
        })
    }

    /// Whether nothing will be stored.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }

    /// The kind of the object, as the request spells it.
    pub fn kind(&self) -> &str {
        self.kind.as_ref().map_or("", |it| it.kind.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn review(request: &Value) -> String {
        json!({"apiVersion": API_VERSION, "kind": KIND, "request": request}).to_string()
    }

    #[test]
    fn what_stores_no_object_is_not_reviewed() {
        let object = json!({"kind": "Deployment"});
        for (request, wanted) in [
            (
                json!({"uid": "u", "operation": "CREATE", "object": object}),
                true,
            ),
            (
                json!({"uid": "u", "operation": "CREATE", "object": object, "subResource": ""}),
                true,
            ),
            (
                json!({"uid": "u", "operation": "UPDATE", "object": object, "oldObject": {}}),
                true,
            ),
            (
                json!({"uid": "u", "operation": "UPDATE", "object": {"kind": "Scale"},
                "oldObject": {}, "subResource": "scale"}),
                false,
            ),
            (
                json!({"uid": "u", "operation": "DELETE", "object": null, "oldObject": {}}),
                false,
            ),
            (
                json!({"uid": "u", "operation": "CONNECT", "object": {"kind": "PodExecOptions"}}),
                false,
            ),
        ] {
            let incoming = parse(review(&request).as_bytes()).unwrap();
            assert_eq!(incoming.to_review().is_some(), wanted, "{request}");
        }
    }

    #[test]
    fn what_is_no_review_is_said() {
        let said = |body: &str| parse(body.as_bytes()).unwrap_err().to_string();
        for (body, wanted) in [
            (
                "",
                "the body is no AdmissionReview: EOF while parsing a value at line 1 column 0",
            ),
            (
                "{\"a\":}",
                "the body is no AdmissionReview: expected value at line 1 column 6",
            ),
            (
                "\"text\"",
                "the body is no AdmissionReview: invalid type: string \"text\", \
                 expected an AdmissionReview as a JSON object at line 1 column 6",
            ),
            (
                "{}",
                "`apiVersion` is missing, wanted `admission.k8s.io/v1`",
            ),
            (
                "{\"apiVersion\":\"admission.k8s.io/v1beta1\",\"kind\":\"AdmissionReview\"}",
                "`apiVersion` is \"admission.k8s.io/v1beta1\", wanted `admission.k8s.io/v1`",
            ),
            (
                "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":7}",
                "the body is no AdmissionReview: invalid type: integer `7`, \
                 expected an AdmissionRequest as a JSON object at line 1 column 72",
            ),
            (
                "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\"}",
                "`request` is missing: not an AdmissionReview that an API server sends",
            ),
        ] {
            assert_eq!(said(body), wanted, "{body}");
        }
        for (request, missing) in [
            (json!({"operation": "CREATE", "object": {}}), "request.uid"),
            (json!({"uid": "u", "object": {}}), "request.operation"),
            (json!({"uid": "u", "operation": "CREATE"}), "request.object"),
            (
                json!({"uid": "u", "operation": "CREATE", "object": [1]}),
                "request.object",
            ),
            (
                json!({"uid": "u", "operation": "UPDATE", "object": {}}),
                "request.oldObject",
            ),
        ] {
            assert!(said(&review(&request)).starts_with(&format!("`{missing}` is missing")));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let deep = |n: usize| {
            let object = format!("{}{}", "[".repeat(n), "]".repeat(n));
            review(&json!({"uid": "u", "operation": "CREATE", "object": {"a": 0}}))
                .replace(":0", &format!(":{object}"))
        };
        assert!(parse(deep(100).as_bytes()).is_ok());
        for bytes in [
            deep(100_000).into_bytes(),
            b"\xff\xfe{".to_vec(),
            br#"{"kind":"\ud800"}"#.to_vec(),
            br#"{"kind":"a","kind":"b"}"#.to_vec(),
            b"{\"kind\":\"a\x00\"}".to_vec(),
            br#"{"apiVersion": 1e999}"#.to_vec(),
        ] {
            assert!(
                parse(&bytes).is_err(),
                "{}",
                String::from_utf8_lossy(&bytes[..20.min(bytes.len())])
            );
        }
        assert!(matches!(
            parse(deep(100_000).as_bytes()),
            Err(Unreadable::Deep { .. })
        ));
    }
}
