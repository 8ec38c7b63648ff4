//! RFC 6902 operations from one object to another that is known to differ at few places.

use crate::pointer;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

/// The operations that make `new` of `old`, where the two differ at or below these paths only.
///
/// Each applies to exactly `old`: an addition whose parents are missing adds the highest missing
/// one. What lies outside of the paths is not looked at, which is what makes this cheaper than a
/// difference of the whole.
pub fn between<'a>(old: &Value, new: &Value, paths: impl Iterator<Item = &'a str>) -> Patch {
    let mut found: Vec<(String, PatchOperation)> = Vec::new();
    for path in paths {
        let covered = |done: &str| {
            path.strip_prefix(done)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if found.iter().any(|(done, _)| covered(done)) {
            continue;
        }
        if let Some((at, operation)) = operation(old, new, path) {
            found.push((at, operation));
        }
    }
    Patch(found.into_iter().map(|(_, operation)| operation).collect())
}

/// The operation for one path, with the pointer at which it stands.
fn operation(old: &Value, new: &Value, path: &str) -> Option<(String, PatchOperation)> {
    let (mut old, mut new) = (old, new);
    let mut end = 0;
    for token in pointer::tokens(path) {
        end += 1 + path[end + 1..].find('/').unwrap_or(path.len() - end - 1);
        let at = || path[..end].to_owned();
        match (child(old, &token), child(new, &token)) {
            (None, None) => return None,
            (None, Some(value)) => {
                let operation = AddOperation {
                    path: buffer(&path[..end]),
                    value: value.clone(),
                };
                return Some((at(), PatchOperation::Add(operation)));
            }
            (Some(_), None) => {
                let operation = RemoveOperation {
                    path: buffer(&path[..end]),
                };
                return Some((at(), PatchOperation::Remove(operation)));
            }
            (Some(left), Some(right)) => {
                let same_shape = (left.is_object() && right.is_object())
                    || (left.is_array() && right.is_array());
                if !same_shape && left != right {
                    return Some((at(), replace(&path[..end], right)));
                }
                (old, new) = (left, right);
            }
        }
    }
    (old != new).then(|| (path.to_owned(), replace(path, new)))
}

fn replace(path: &str, value: &Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation {
        path: buffer(path),
        value: value.clone(),
    })
}

fn buffer(path: &str) -> PointerBuf {
    PointerBuf::parse(path).expect("our own pointers are pointers")
}

fn child<'a>(value: &'a Value, token: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(token),
        Value::Array(items) => items.get(token.parse::<usize>().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(old: &Value, new: &Value, paths: &[&str], operations: usize) {
        let patch = between(old, new, paths.iter().copied());
        assert_eq!(patch.0.len(), operations, "{patch}");
        let mut patched = old.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        assert_eq!(&patched, new);
    }

    #[test]
    fn parents_that_are_missing_come_in_one_operation() {
        let old = json!({"a": {}});
        let new = json!({"a": {"b": {"c": 1, "d": 2}}});
        check(&old, &new, &["/a/b/c", "/a/b/d"], 1);
    }

    #[test]
    fn a_null_parent_is_replaced() {
        check(&json!({"a": null}), &json!({"a": {"b": 1}}), &["/a/b"], 1);
    }

    #[test]
    fn what_goes_takes_its_empty_parents_along() {
        let old = json!({"items": [{"a": {"b": {"c": 1}}}]});
        check(&old, &json!({"items": [{}]}), &["/items/0/a/b/c"], 1);
    }

    #[test]
    fn a_path_below_one_that_is_done_is_done() {
        let old = json!({"a": {"b": 1, "x": 0}});
        let new = json!({"a": {"c": 2}});
        check(&old, &new, &["/a", "/a/b", "/a/c"], 1);
        check(&old, &old, &["/a/b", "/a/zz"], 0);
    }

    #[test]
    fn keys_are_escaped_as_they_came() {
        let old = json!({"m": {"x": "1"}});
        let new = json!({"m": {"x": "1", "k/l~m": "2"}});
        check(&old, &new, &["/m/k~1l~0m"], 1);
    }
}
