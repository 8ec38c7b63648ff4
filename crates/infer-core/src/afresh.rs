//! Step 4 of an UPDATE, and every CREATE: what we had added is taken out, and what is left is
//! reviewed as if it had just come.

use crate::admission::{Answer, Request, Subject, answer_by, open_ends, report};
use crate::engine::Engine;
use crate::kind::Kind;
use crate::object;
use crate::patch;
use crate::pointer;
use crate::record::{self, Declined, Entry, Record, relocate};
use crate::review;
use crate::snapshot::Reader;
use crate::withdraw::{Fate, withdraw};
use crate::written::{Origin, Sent, Written};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The total size of annotations that the API server accepts (kubernetes/kubernetes
/// staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go `TotalAnnotationSizeLimitB`).
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// What a fresh review starts from.
pub(crate) struct Basis {
    pub(crate) record: Record,
    /// Whether a value that is missing was dropped by the way of writing (`replace` from a file, a
    /// server-side apply) and not by a person.
    pub(crate) dropped: bool,
    /// Whether what a person declined, now or before, is forgotten: a review was asked for. Without
    /// "now" a reinvocation would answer otherwise than the first call.
    pub(crate) forgets: bool,
}

/// Takes out what we had added and reviews what is left.
pub(crate) fn afresh(
    engine: &Engine,
    reader: &Reader<'_>,
    request: &Request<'_>,
    subject: Subject,
    basis: Basis,
) -> Answer {
    let new = request.object;
    let sent = Sent::new(new);
    let mut touched = vec![pointer::join("/metadata/annotations", record::ANNOTATION)];
    let is_new_to_us =
        basis.record.is_empty() && object::annotation(new, record::ANNOTATION).is_none();
    let (left, declined) = if is_new_to_us {
        (Cow::Borrowed(new), Vec::new())
    } else {
        let (left, declined) = without_ours(&sent, new, basis, &mut touched);
        (Cow::Owned(left), declined)
    };
    let placed = in_namespace(&left, request.namespace);
    let seen = placed.as_ref().unwrap_or(&left);
    let found = review::review(engine, reader, seen, Origin::ApiServer(&sent), &declined);
    let changes = review::changes(engine, &left, &found.findings, &declined);
    let mut answer = if is_new_to_us && changes.is_empty() {
        Answer::default()
    } else {
        let mut work = match left {
            Cow::Borrowed(object) => without_managed_fields(object),
            Cow::Owned(object) => object,
        };
        let added = review::apply(&mut work, &changes);
        let mut record = Record {
            added,
            declined,
            ..Record::new()
        };
        if !record.is_empty() {
            record.template = subject.digest(&work);
        }
        record.write(&mut work);
        if !record.is_empty() && object::annotation(&work, record::ANNOTATION).is_none() {
            // `annotations` is no map. What could not be recorded could not be taken back.
            return Answer::default();
        }
        if annotations_size(&work) > ANNOTATIONS_LIMIT && annotations_size(new) <= ANNOTATIONS_LIMIT
        {
            let full =
                "nothing was filled in: with our record its annotations would exceed 256 KiB";
            return Answer {
                warnings: vec![full.to_owned()],
                ..Answer::default()
            };
        }
        touched.extend(record.added.iter().map(|entry| entry.path.clone()));
        answer_by(patch::between(
            new,
            &work,
            touched.iter().map(String::as_str),
        ))
    };
    report(engine, &mut answer, &found, &changes);
    // Where nobody looks for Services, no Service is missing.
    if reader.knows(Kind::Service) {
        // The name and the namespace are those of the object that came.
        let placed = in_namespace(new, request.namespace);
        open_ends(&mut answer, placed.as_ref().unwrap_or(new), &found);
    }
    answer
}

/// A copy without what we had added, and what a person does not want of it. Each place that is
/// looked at goes to `touched`.
fn without_ours(
    sent: &Sent<'_>,
    new: &Value,
    basis: Basis,
    touched: &mut Vec<String>,
) -> (Value, Vec<Declined>) {
    let mut left = without_managed_fields(new);
    // It is written anew below; a reinvocation must find the object as the first call found it.
    record::erase(&mut left);
    let mut declined = basis.record.declined;
    let written = Written::new(new, Origin::ApiServer(sent), &[]);
    // In the order in which a later value was put beside an earlier one, backwards.
    for entry in basis.record.added.iter().rev() {
        touched.extend(relocate(&left, &entry.path, entry.container.as_deref()));
        if withdraw(&mut left, entry, &written, basis.dropped) == Fate::Declined {
            decline(&mut declined, entry);
        }
    }
    if basis.forgets {
        declined.clear();
    }
    declined.retain(|it| relocate(&left, &it.path, it.container.as_deref()).is_some());
    (left, declined)
}

/// A copy to work on. Managed fields may be half of an object, and nobody changes them here.
fn without_managed_fields(object: &Value) -> Value {
    let copy = |map: &Map<String, Value>, member: &str, copied: Value| -> Value {
        let others = map.iter().filter(|(key, _)| *key != member);
        let mut map: Map<String, Value> = others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !copied.is_null() {
            map.insert(member.to_owned(), copied);
        }
        Value::Object(map)
    };
    match (
        object.as_object(),
        object.get("metadata").and_then(Value::as_object),
    ) {
        (Some(map), Some(metadata)) => copy(
            map,
            "metadata",
            copy(metadata, "managedFields", Value::Null),
        ),
        _ => object.clone(),
    }
}

/// The object in the request's namespace, where it does not name its own.
fn in_namespace(object: &Value, namespace: &str) -> Option<Value> {
    if namespace.is_empty() || !object::namespace(object).is_empty() {
        return None;
    }
    let mut placed = object.clone();
    pointer::set(&mut placed, "/metadata/namespace", Value::from(namespace))?;
    Some(placed)
}

fn decline(declined: &mut Vec<Declined>, entry: &Entry) {
    let it = Declined {
        rule: entry.rule.clone(),
        path: entry.path.clone(),
        container: entry.container.clone(),
    };
    if !declined.contains(&it) {
        declined.push(it);
    }
}

fn annotations_size(object: &Value) -> usize {
    object::annotations(object)
        .map(|(key, value)| key.len() + value.len())
        .sum()
}
