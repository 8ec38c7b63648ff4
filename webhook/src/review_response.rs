//! The `AdmissionReview` that goes out.

use crate::review_request::{API_VERSION, KIND};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use infer_core::admission::Answer;
use serde::Serialize;
use std::collections::BTreeMap;

/// Longest warning, in bytes: what the API's documentation asks webhooks to keep to (admission/v1
/// `AdmissionResponse.warnings`).
const WARNING_BYTES: usize = 120;
/// Most warnings of one answer: the API server cuts all of a request's warnings at 4,096 bytes.
const WARNINGS: usize = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// The bytes of the answer to the review with this uid.
///
/// # Errors
///
/// Never in practice: nothing in it fails to serialize.
pub(crate) fn to_bytes(uid: &str, answer: &Answer) -> Result<Vec<u8>, serde_json::Error> {
    // A string of base64, as Go's `[]byte` wants it; not an array of numbers (kube-rs #1781).
    let patch = match &answer.patch {
        Some(patch) if answer.denied.is_none() && !patch.0.is_empty() => {
            Some(STANDARD.encode(serde_json::to_vec(patch)?))
        }
        _ => None,
    };
    serde_json::to_vec(&Review {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid,
            allowed: answer.denied.is_none(),
            status: answer.denied.as_deref().map(|message| Status {
                code: 403,
                reason: "Forbidden",
                message,
            }),
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings: warnings(&answer.warnings),
            audit_annotations: &answer.audit,
        },
    })
}

/// At most [`WARNINGS`] warnings that survive the way through an HTTP header: one line each.
fn warnings(all: &[String]) -> Vec<String> {
    let kept = if all.len() > WARNINGS {
        WARNINGS - 1
    } else {
        all.len()
    };
    let mut lines: Vec<String> = all[..kept].iter().map(|warning| line(warning)).collect();
    if kept < all.len() {
        lines.push(format!(
            "and {} more: kubectl infer check -f FILE",
            all.len() - kept
        ));
    }
    lines
}

/// A warning without control characters (the API server drops one that has them), cut where a
/// character ends.
fn line(warning: &str) -> String {
    const CUT: &str = "…";
    let clean: String = warning
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    if clean.len() <= WARNING_BYTES {
        return clean;
    }
    let end = clean.floor_char_boundary(WARNING_BYTES - CUT.len());
    format!("{}{CUT}", &clean[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sent(answer: &Answer) -> Value {
        serde_json::from_slice(&to_bytes("u-1", answer).unwrap()).unwrap()
    }

    #[test]
    fn nothing_to_say_is_the_smallest_answer() {
        assert_eq!(
            sent(&Answer::default()),
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": {"uid": "u-1", "allowed": true}})
        );
    }

    #[test]
    fn a_patch_is_a_string_of_base64() {
        let operations = json!([{"op": "add", "path": "/a", "value": "ü"}]);
        let patch = Some(serde_json::from_value(operations.clone()).unwrap());
        let response = &sent(&Answer {
            patch,
            ..Answer::default()
        })["response"];
        assert_eq!(response["patchType"], "JSONPatch");
        let bytes = STANDARD
            .decode(response["patch"].as_str().unwrap())
            .unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), operations);
    }

    #[test]
    fn a_denial_carries_its_reason_and_no_patch() {
        let answer = Answer {
            denied: Some("no".to_owned()),
            patch: Some(serde_json::from_value(json!([{"op": "remove", "path": "/a"}])).unwrap()),
            audit: [("found".to_owned(), "x".to_owned())].into(),
            ..Answer::default()
        };
        assert_eq!(
            sent(&answer)["response"],
            json!({"uid": "u-1", "allowed": false, "auditAnnotations": {"found": "x"},
                "status": {"code": 403, "reason": "Forbidden", "message": "no"}})
        );
    }

    #[test]
    fn warnings_are_short_few_and_on_one_line() {
        let of = |warnings: Vec<String>| {
            let response = sent(&Answer {
                warnings,
                ..Answer::default()
            });
            serde_json::from_value::<Vec<String>>(response["response"]["warnings"].clone()).unwrap()
        };
        // Bytes 118 to 121 are one character.
        let cut = &of(vec![format!("{}🦀{}", "x".repeat(118), "y".repeat(50))])[0];
        assert_eq!(*cut, format!("{}…", "x".repeat(117)));
        assert!(cut.len() <= 120);
        assert_eq!(of(vec!["é".repeat(60)]), ["é".repeat(60)], "120 bytes stay");
        assert_eq!(of(vec!["a\nb\u{7}c".to_owned()]), ["a b c"]);
        assert_eq!(of(vec!["w".to_owned(); 10]).len(), 10);
        let many = of(vec!["w".to_owned(); 13]);
        assert_eq!(
            (many.len(), many[9].as_str()),
            (10, "and 4 more: kubectl infer check -f FILE")
        );
    }
}
