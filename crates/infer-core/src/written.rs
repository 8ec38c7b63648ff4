//! What a person wrote, told apart from what the API server filled in and from what we added (D7).
//!
//! A value is written where `last-applied-configuration` or an Apply entry of `managedFields` holds
//! it. Where neither is there to tell, nobody knows; a value that equals the API default then
//! counts as default. In a manifest everything is written.

use crate::pointer::{self, Walk};
use crate::record::{Declined, LAST_APPLIED, relocate};
use serde_json::Value;
use std::cell::OnceCell;

/// Where an object comes from, which decides how much can be known about who wrote what.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A person's file: what is there is written.
    Manifest,
    /// The API server, which has filled in its defaults. The object that it sent tells who wrote
    /// what; the one under review may be a copy of it without managed fields.
    ApiServer(&'a Sent<'a>),
}

/// An object as the API server sent it, with what kubectl last applied read once.
#[derive(Debug)]
pub struct Sent<'a> {
    object: &'a Value,
    last_applied: OnceCell<Option<Value>>,
}

impl<'a> Sent<'a> {
    /// The object that came.
    pub fn new(object: &'a Value) -> Sent<'a> {
        Sent {
            object,
            last_applied: OnceCell::new(),
        }
    }

    fn last_applied(&self) -> Option<&Value> {
        self.last_applied
            .get_or_init(|| {
                let text = crate::object::annotation(self.object, LAST_APPLIED)?;
                serde_json::from_str(text).ok()
            })
            .as_ref()
    }
}

/// Whether a person wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Yes.
    Written,
    /// No.
    Not,
    /// Nothing tells.
    Unknown,
}

/// Answers for one object who wrote what.
#[derive(Debug)]
pub struct Written<'a> {
    object: &'a Value,
    origin: Origin<'a>,
    declined: &'a [Declined],
}

impl<'a> Written<'a> {
    /// Asks about `object`.
    pub fn new(object: &'a Value, origin: Origin<'a>, declined: &'a [Declined]) -> Written<'a> {
        Written {
            object,
            origin,
            declined,
        }
    }

    /// Whether a person wrote the value at `path`.
    pub fn holds(&self, path: &str) -> Held {
        if matches!(self.origin, Origin::Manifest) {
            return match self.object.at(path) {
                Some(value) if !value.is_null() => Held::Written,
                _ => Held::Not,
            };
        }
        let mut found = Held::Unknown;
        if let Some(applied) = self.sent().and_then(Sent::last_applied) {
            let there = relocate(applied, path, self.container(path).as_deref());
            match there.and_then(|path| applied.at(&path)) {
                Some(value) if !value.is_null() => return Held::Written,
                _ => found = Held::Not,
            }
        }
        for fields in self.apply_entries() {
            if self.owns(fields, path) {
                return Held::Written;
            }
            found = Held::Not;
        }
        found
    }

    /// Whether the value at `path` may be filled: it is absent, or it is the API default and no
    /// person is known to have written it.
    pub fn is_default(&self, path: &str, default: &Value) -> bool {
        if self.is_declined(path) {
            return false;
        }
        match self.object.at(path) {
            None | Some(Value::Null) => true,
            Some(value) => value == default && self.holds(path) != Held::Written,
        }
    }

    /// Whether a person changed or took away what we had put at `path`.
    pub fn is_declined(&self, path: &str) -> bool {
        self.declined.iter().any(|declined| {
            relocate(self.object, &declined.path, declined.container.as_deref()).as_deref()
                == Some(path)
        })
    }

    /// The object as the API server sent it.
    fn sent(&self) -> Option<&'a Sent<'a>> {
        match self.origin {
            Origin::Manifest => None,
            Origin::ApiServer(sent) => Some(sent),
        }
    }

    /// The name of the container that `path` leads into.
    fn container(&self, path: &str) -> Option<String> {
        container_of(self.object, path)
    }

    fn apply_entries(&self) -> impl Iterator<Item = &'a Value> {
        let entries = self
            .sent()
            .and_then(|sent| sent.object.at("/metadata/managedFields"))
            .and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter(|entry| entry.get("operation").and_then(Value::as_str) == Some("Apply"))
            .filter_map(|entry| entry.get("fieldsV1"))
    }

    /// Whether a field set in `fieldsV1` form holds `path`: members are `f:NAME`, items of a keyed
    /// list `k:{"name":"…"}` (sigs.k8s.io/structured-merge-diff fieldpath/serialize-pe.go). A set
    /// that ends above the path is an empty map that a person wrote, such as `resources: {}`:
    /// nothing on the way to what we fill in is atomic.
    fn owns(&self, fields: &Value, path: &str) -> bool {
        let mut at = fields;
        let mut here = String::new();
        for token in pointer::tokens(path) {
            here = pointer::join(&here, &token);
            let next = at.get(format!("f:{token}")).or_else(|| {
                let name = self.object.at(&here)?.get("name")?.as_str()?;
                at.as_object()?.iter().find_map(|(key, value)| {
                    let keys: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
                    (keys.get("name")?.as_str()? == name).then_some(value)
                })
            });
            match next {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }
}

/// The name of the container that `path` leads into, if it leads into one.
pub fn container_of(object: &Value, path: &str) -> Option<String> {
    let marker = "/containers/";
    let at = path.find(marker)? + marker.len();
    let end = path[at..].find('/').map_or(path.len(), |slash| at + slash);
    Some(object.at(&path[..end])?.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GRACE: &str = "/spec/template/spec/terminationGracePeriodSeconds";

    fn deployment(metadata: &Value) -> Value {
        json!({"metadata": metadata, "spec": {"template": {"spec": {
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "proxy"}, {"name": "server", "readinessProbe": {"timeoutSeconds": 1}}]}}}})
    }

    fn held(object: &Value, path: &str) -> Held {
        Written::new(object, Origin::ApiServer(&Sent::new(object)), &[]).holds(path)
    }

    #[test]
    fn last_applied_tells_and_follows_the_container_s_name() {
        let applied = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "server", "readinessProbe": {"timeoutSeconds": 1}}]}}}});
        let object = deployment(&json!({"annotations": {LAST_APPLIED: applied.to_string()}}));
        assert_eq!(held(&object, GRACE), Held::Not);
        let probe = "/spec/template/spec/containers/1/readinessProbe";
        assert_eq!(
            held(&object, &format!("{probe}/timeoutSeconds")),
            Held::Written
        );
        assert_eq!(held(&object, &format!("{probe}/periodSeconds")), Held::Not);
    }

    #[test]
    fn an_apply_entry_tells_and_an_update_entry_does_not() {
        let fields = json!({"f:spec": {"f:template": {"f:spec": {
            "f:terminationGracePeriodSeconds": {},
            "f:containers": {"k:{\"name\":\"server\"}": {".": {}, "f:name": {}}}}}}});
        let object = deployment(&json!({"managedFields": [
            {"operation": "Apply", "fieldsV1": fields}]}));
        assert_eq!(held(&object, GRACE), Held::Written);
        assert_eq!(
            held(&object, "/spec/template/spec/containers/1/readinessProbe"),
            Held::Not
        );
        let object = deployment(&json!({"managedFields": [
            {"operation": "Update", "fieldsV1": fields}]}));
        assert_eq!(held(&object, GRACE), Held::Unknown);
    }

    #[test]
    fn a_null_that_was_applied_is_no_value() {
        let applied =
            json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": null}}}});
        let object = deployment(&json!({"annotations": {LAST_APPLIED: applied.to_string()}}));
        assert_eq!(held(&object, GRACE), Held::Not);
    }

    #[test]
    fn an_empty_map_that_was_applied_holds_nothing_below() {
        let fields = json!({"f:spec": {"f:template": {"f:metadata": {}}}});
        let mut object = deployment(&json!({"managedFields": [
            {"operation": "Apply", "fieldsV1": fields}]}));
        object["spec"]["template"]["metadata"] = json!({"annotations": {"a": "b"}});
        assert_eq!(held(&object, "/spec/template/metadata"), Held::Written);
        assert_eq!(
            held(&object, "/spec/template/metadata/annotations/a"),
            Held::Not
        );
    }

    #[test]
    fn a_default_may_be_filled_where_nobody_is_known_to_have_written_it() {
        let object = deployment(&json!({}));
        let sent = Sent::new(&object);
        let written = Written::new(&object, Origin::ApiServer(&sent), &[]);
        assert!(written.is_default(GRACE, &json!(30)));
        assert!(!written.is_default(GRACE, &json!(31)));
        assert!(!Written::new(&object, Origin::Manifest, &[]).is_default(GRACE, &json!(30)));
        let declined = [Declined {
            rule: "r".into(),
            path: GRACE.into(),
            container: None,
        }];
        assert!(
            !Written::new(&object, Origin::ApiServer(&Sent::new(&object)), &declined)
                .is_default(GRACE, &json!(30))
        );
    }
}
