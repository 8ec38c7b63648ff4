//! JSON pointers (RFC 6901): building them, and changing a value at one.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Looking a value up without allocating: [`Value::pointer`] unescapes every token into a new
/// string, which was a sixth of a review.
pub trait Walk {
    /// The value at `pointer`, as [`Value::pointer`] finds it.
    fn at(&self, pointer: &str) -> Option<&Value>;
}

impl Walk for Value {
    fn at(&self, pointer: &str) -> Option<&Value> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return None;
        }
        tokens(pointer).try_fold(self, |value, token| match value {
            Value::Object(map) => map.get(token.as_ref()),
            Value::Array(items) => items.get(index(&token)?),
            _ => None,
        })
    }
}

/// The index that a token is: digits without a sign or a leading zero (RFC 6901).
fn index(token: &str) -> Option<usize> {
    let is_plain = !token.starts_with('+') && (token == "0" || !token.starts_with('0'));
    if is_plain { token.parse().ok() } else { None }
}

/// Appends `token` to `pointer`, escaped.
pub fn join(pointer: &str, token: &str) -> String {
    if token.contains(['~', '/']) {
        format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
    } else {
        format!("{pointer}/{token}")
    }
}

/// The unescaped tokens of a pointer; the root has none.
pub fn tokens(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(unescape)
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// Sets the value at `pointer`, making missing parent objects, and returns how many it made.
///
/// `null` parents count as missing, as they do for the API server. Returns `None`, and changes
/// nothing, where the way leads through something that is neither an object nor an existing list
/// item.
pub fn set(root: &mut Value, pointer: &str, value: Value) -> Option<usize> {
    let (parents, last) = split(pointer)?;
    if !reachable(root, parents) {
        return None;
    }
    let mut made = 0;
    let mut at = root;
    for token in tokens(parents) {
        at = match at {
            Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?)?,
            Value::Object(map) => {
                if map.get(token.as_ref()).is_none_or(Value::is_null) {
                    map.insert(token.clone().into_owned(), Value::Object(Map::new()));
                    made += 1;
                }
                map.get_mut(token.as_ref())?
            }
            _ => return None,
        };
    }
    match at {
        Value::Object(map) => {
            map.insert(last, value);
            Some(made)
        }
        Value::Array(items) => {
            *items.get_mut(last.parse::<usize>().ok()?)? = value;
            Some(made)
        }
        _ => None,
    }
}

/// Whether every step of the way is an object, an item that is there, or missing.
fn reachable(root: &Value, parents: &str) -> bool {
    let mut at = root;
    for token in tokens(parents) {
        let next = match at {
            Value::Array(items) => {
                match token
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                {
                    Some(next) => next,
                    None => return false,
                }
            }
            Value::Object(map) => match map.get(token.as_ref()) {
                Some(Value::Null) | None => return true,
                Some(next) => next,
            },
            _ => return false,
        };
        at = next;
    }
    matches!(at, Value::Object(_) | Value::Array(_))
}

/// Removes the member at `pointer`, then up to `parents` enclosing objects that are empty now.
pub fn remove(root: &mut Value, pointer: &str, parents: usize) -> Option<Value> {
    let (parent, last) = split(pointer)?;
    let removed = root.pointer_mut(parent)?.as_object_mut()?.remove(&last);
    let mut at = parent.to_owned();
    for _ in 0..parents {
        let empty = root
            .at(&at)
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty);
        let Some((up, key)) = split(&at) else { break };
        if !empty {
            break;
        }
        root.pointer_mut(up)?.as_object_mut()?.remove(&key);
        at = up.to_owned();
    }
    removed
}

/// The parent's pointer and the last token, unescaped; `None` for the root.
pub fn split(pointer: &str) -> Option<(&str, String)> {
    let (parent, last) = pointer.rsplit_once('/')?;
    Some((parent, unescape(last).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn set_makes_parents_and_remove_takes_them_back() {
        let before = json!({"spec": {"containers": [{"name": "a", "lifecycle": null}]}});
        let mut value = before.clone();
        let made = set(
            &mut value,
            "/spec/containers/0/lifecycle/preStop/sleep",
            json!({"seconds": 5}),
        );
        assert_eq!(made, Some(2));
        assert_eq!(
            value.at("/spec/containers/0/lifecycle/preStop/sleep/seconds"),
            Some(&json!(5))
        );
        remove(&mut value, "/spec/containers/0/lifecycle/preStop/sleep", 2);
        assert_eq!(value, json!({"spec": {"containers": [{"name": "a"}]}}));
    }

    #[test]
    fn walking_finds_what_serde_json_finds() {
        let value = json!({"a": [{"b/c": 1, "d~e": 2}, null], "": {"": 3}});
        for pointer in [
            "",
            "/",
            "/a",
            "/a/0/b~1c",
            "/a/0/d~0e",
            "/a/1",
            "/a/01",
            "/a/+0",
            "/a/2",
            "//",
            "a",
            "/a/0/b",
        ] {
            assert_eq!(value.at(pointer), value.pointer(pointer), "{pointer}");
        }
    }

    #[test]
    fn set_refuses_a_way_through_a_scalar_and_changes_nothing() {
        let mut value = json!({"spec": {"template": "oops"}});
        assert_eq!(set(&mut value, "/spec/template/spec/x", json!(1)), None);
        assert_eq!(value, json!({"spec": {"template": "oops"}}));
    }

    #[test]
    fn remove_keeps_a_parent_that_holds_something_else() {
        let mut value = json!({"a": {"b": 1, "c": 2}});
        remove(&mut value, "/a/b", 1);
        assert_eq!(value, json!({"a": {"c": 2}}));
    }

    #[test]
    fn tokens_are_escaped_and_back() {
        let pointer = join("/metadata/annotations", "a.b/c~d");
        assert_eq!(pointer, "/metadata/annotations/a.b~1c~0d");
        assert_eq!(
            tokens(&pointer).collect::<Vec<_>>(),
            ["metadata", "annotations", "a.b/c~d"]
        );
    }
}
