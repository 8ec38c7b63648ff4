//! Thin lenses over untyped objects: what identifies one, and its string maps.
//!
//! A lens answers `None` where the shape is not what the API says. Bad shapes are for the API
//! server to refuse; rules stay silent about what they cannot read.

use crate::pointer::Walk;
use serde_json::Value;

/// The identity of an object, as a report prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Group and version, as written.
    pub api_version: String,
    /// Kind, as written.
    pub kind: String,
    /// Namespace; empty where none is written.
    pub namespace: String,
    /// Name; empty where none is written, or for `generateName`.
    pub name: String,
}

impl ObjectRef {
    /// Reads the identity of `object`; what is missing stays empty.
    pub fn of(object: &Value) -> ObjectRef {
        let text = |pointer: &str| {
            object
                .at(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        ObjectRef {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.kind, self.name)
    }
}

/// The namespace of an object, empty where none is written.
pub fn namespace(object: &Value) -> &str {
    object
        .at("/metadata/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The name of an object, empty where none is written.
pub fn name(object: &Value) -> &str {
    object
        .at("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A label of an object or pod template.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// An annotation of an object or pod template.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(key)?
        .as_str()
}

/// The annotations of an object that are strings.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    object
        .at("/metadata/annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// Whether two namespaces may be the same one: offline, one side often leaves it out.
pub fn same_namespace(left: &str, right: &str) -> bool {
    left == right || left.is_empty() || right.is_empty()
}

/// Whether every pair of `selector` is among `labels`. An empty selector selects nothing here.
pub fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    let Some(selector) = selector.as_object() else {
        return false;
    };
    let Some(labels) = labels.and_then(Value::as_object) else {
        return false;
    };
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
}
