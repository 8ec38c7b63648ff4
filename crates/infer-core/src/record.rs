//! The record: one annotation on the object's metadata that says what review added and why.
//!
//! It never stands in the pod template, where it would change the pod's hash. It serves `diff`,
//! withdrawal, stable values and undo.

use crate::catalogue;
use crate::object;
use crate::pointer::{self, Walk};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The annotation that holds the record.
pub const ANNOTATION: &str = "kubectl-infer.dev/record";
/// A new value of this annotation asks for a fresh review of a stored object.
pub const REVIEW: &str = "kubectl-infer.dev/review";
/// kubectl's own annotation of what a person wrote (client-side apply).
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What review added to an object.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The catalogue's version at the last review.
    pub catalogue: String,
    /// Digest of the template as stored; empty for objects without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// What was added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Entry>,
    /// What a person changed or took away: not brought back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined: Vec<Declined>,
}

/// One value that review added.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The rule that added it.
    pub rule: String,
    /// Where, as a JSON pointer into the object.
    pub path: String,
    /// The name of the container in the path: its index may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The value that was added.
    pub value: Value,
    /// The API default that it took the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
    /// How many enclosing objects had to be made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parents: usize,
}

/// A value that a person does not want.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Declined {
    /// The rule that had added it.
    pub rule: String,
    /// Where.
    pub path: String,
    /// The name of the container in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A record that an object carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// None.
    Absent,
    /// One that cannot be read.
    Broken,
    /// One that can.
    Readable(Record),
}

impl Carried {
    /// Reads the record of an object.
    pub fn of(object: &Value) -> Carried {
        match object::annotation(object, ANNOTATION) {
            None => Carried::Absent,
            Some(text) => serde_json::from_str(text).map_or(Carried::Broken, Carried::Readable),
        }
    }

    /// The record, where it can be read.
    pub fn readable(self) -> Option<Record> {
        match self {
            Carried::Readable(record) => Some(record),
            Carried::Absent | Carried::Broken => None,
        }
    }
}

impl Record {
    /// An empty record of this catalogue.
    pub fn new() -> Record {
        Record {
            catalogue: catalogue::VERSION.to_owned(),
            template: String::new(),
            added: Vec::new(),
            declined: Vec::new(),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.declined.is_empty()
    }

    /// Writes the record into an object, or takes it out where it says nothing.
    pub fn write(&self, object: &mut Value) {
        if self.is_empty() {
            erase(object);
        } else {
            let text = serde_json::to_string(self).expect("a record is plain data");
            put(object, Value::from(text));
        }
    }
}

impl Default for Record {
    fn default() -> Record {
        Record::new()
    }
}

/// Puts an annotation's text in place of the record.
pub fn put(object: &mut Value, text: Value) {
    pointer::set(
        object,
        &pointer::join("/metadata/annotations", ANNOTATION),
        text,
    );
}

/// Takes the record out; an `annotations` that held nothing else goes too.
pub fn erase(object: &mut Value) {
    pointer::remove(
        object,
        &pointer::join("/metadata/annotations", ANNOTATION),
        1,
    );
}

/// The pointer of a container by its name, in the template at `template`; `path` is one into a
/// container of that template, whose index is replaced. `None` where no such container is left.
pub fn relocate(object: &Value, path: &str, container: Option<&str>) -> Option<String> {
    let Some(container) = container else {
        return Some(path.to_owned());
    };
    let marker = "/containers/";
    let at = path.find(marker)? + marker.len();
    let rest = path[at..].find('/').map_or("", |slash| &path[at + slash..]);
    let list = object.at(&path[..at - 1])?.as_array()?;
    let named = |item: &Value| item.get("name").and_then(Value::as_str) == Some(container);
    let index = list.iter().position(named)?;
    Some(format!("{}{index}{rest}", &path[..at]))
}

/// The digest of a pod template: the first 16 bytes of SHA-256 over its JSON with sorted keys, in
/// hex. A `creationTimestamp: null`, which some writers leave in, does not count.
pub fn digest(template: &Value) -> String {
    let null_time = template
        .at("/metadata/creationTimestamp")
        .is_some_and(Value::is_null);
    let bytes = if null_time {
        let mut template = template.clone();
        if let Some(metadata) = template
            .pointer_mut("/metadata")
            .and_then(Value::as_object_mut)
        {
            metadata.remove("creationTimestamp");
        }
        serde_json::to_vec(&template)
    } else {
        serde_json::to_vec(template)
    };
    let bytes = bytes.expect("a JSON value is JSON");
    let hash = Sha256::digest(&bytes);
    let mut text = String::with_capacity(32);
    for byte in &hash[..16] {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn digest_does_not_depend_on_the_order_of_keys() {
        let left: Value = serde_json::from_str(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#).unwrap();
        let right: Value = serde_json::from_str(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#).unwrap();
        assert_eq!(digest(&left), digest(&right));
        assert_ne!(digest(&left), digest(&json!({"a": 1})));
    }

    #[test]
    fn a_path_follows_its_container() {
        let object = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "proxy"}, {"name": "server"}]}}}});
        let path = "/spec/template/spec/containers/0/lifecycle/preStop";
        assert_eq!(
            relocate(&object, path, Some("server")).as_deref(),
            Some("/spec/template/spec/containers/1/lifecycle/preStop")
        );
        assert_eq!(relocate(&object, path, Some("gone")), None);
    }

    #[test]
    fn an_empty_record_takes_its_annotation_along() {
        let mut object = json!({"metadata": {"name": "x"}});
        let mut record = Record::new();
        record.declined.push(Declined {
            rule: "r".into(),
            path: "/p".into(),
            container: None,
        });
        record.write(&mut object);
        assert_eq!(Carried::of(&object), Carried::Readable(record));
        Record::new().write(&mut object);
        assert_eq!(object, json!({"metadata": {"name": "x"}}));
    }

    #[test]
    fn a_broken_record_is_told_from_none() {
        let object = json!({"metadata": {"annotations": {ANNOTATION: "{"}}});
        assert_eq!(Carried::of(&object), Carried::Broken);
    }
}
