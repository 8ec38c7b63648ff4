//! Taking back what we added, value by value.

use crate::pointer::{self, Walk};
use crate::probe::HANDLERS;
use crate::record::{Entry, relocate};
use crate::written::{Held, Written};
use serde_json::Value;

/// What became of a value that we had added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was there as we had left it, and is taken out.
    TakenOut,
    /// A person changed it or took it away.
    Declined,
    /// A person has written it since: written beats recorded.
    Theirs,
    /// Its place is gone, or it went with a record that was dropped.
    Lost,
}

/// The handlers of a lifecycle hook: exactly one is allowed.
const HOOKS: [&str; 4] = ["exec", "httpGet", "sleep", "tcpSocket"];

/// Takes one recorded value out of `work`, a copy of the object that `written` asks about.
///
/// `dropped` says that the object came without its record (`replace` from a file): what is missing
/// then was never declined.
pub fn withdraw(work: &mut Value, entry: &Entry, written: &Written<'_>, dropped: bool) -> Fate {
    let Some(path) = relocate(work, &entry.path, entry.container.as_deref()) else {
        return Fate::Lost;
    };
    let gone = if dropped { Fate::Lost } else { Fate::Declined };
    let current = match work.at(&path) {
        None | Some(Value::Null) => return gone,
        Some(current) => current.clone(),
    };
    let is_written = written.holds(&path) == Held::Written;
    if current == entry.value {
        if is_written {
            return Fate::Theirs;
        }
        match &entry.was {
            Some(was) => {
                pointer::set(work, &path, was.clone());
            }
            None => {
                pointer::remove(work, &path, entry.parents);
            }
        }
        return Fate::TakenOut;
    }
    let back_to_default = entry.was.as_ref() == Some(&current);
    if !back_to_default && is_refused_pair(&path, &current) {
        take_out_members(work, &path, entry, written);
    }
    match (is_written, back_to_default) {
        (true, _) => Fate::Theirs,
        (false, true) => gone,
        (false, false) => Fate::Declined,
    }
}

/// Whether the API server would refuse this value because two handlers stand side by side.
fn is_refused_pair(path: &str, value: &Value) -> bool {
    let handlers: &[&str] = if path.ends_with("Probe") {
        &HANDLERS
    } else if path.ends_with("/preStop") {
        &HOOKS
    } else {
        return false;
    };
    let present = |name: &&&str| value.get(**name).is_some_and(|value| !value.is_null());
    handlers.iter().filter(present).count() > 1
}

/// Takes out those members that are ours still and that nobody has written.
fn take_out_members(work: &mut Value, path: &str, entry: &Entry, written: &Written<'_>) {
    for (member, ours) in entry.value.as_object().into_iter().flatten() {
        let there = pointer::join(path, member);
        if work.at(&there) == Some(ours) && written.holds(&there) != Held::Written {
            pointer::remove(work, &there, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LAST_APPLIED;
    use crate::written::{Origin, Sent};
    use serde_json::json;

    const PROBE: &str = "/spec/template/spec/containers/0/readinessProbe";

    fn entry(path: &str, value: Value, was: Option<Value>) -> Entry {
        let container = path.contains("containers").then(|| "server".to_owned());
        Entry {
            rule: "r".into(),
            path: path.into(),
            container,
            value,
            was,
            parents: 0,
        }
    }

    fn deployment(container: &Value, applied: Option<&Value>) -> Value {
        let annotations = match applied {
            Some(container) => json!({LAST_APPLIED: json!({"spec": {"template": {"spec":
                {"containers": [container]}}}}).to_string()}),
            None => json!({}),
        };
        json!({"metadata": {"annotations": annotations},
            "spec": {"template": {"spec": {"containers": [container]}}}})
    }

    fn run(object: &Value, entry: &Entry, dropped: bool) -> (Fate, Value) {
        let mut work = object.clone();
        let sent = Sent::new(object);
        let written = Written::new(object, Origin::ApiServer(&sent), &[]);
        let fate = withdraw(&mut work, entry, &written, dropped);
        (
            fate,
            work["spec"]["template"]["spec"]["containers"][0].clone(),
        )
    }

    fn ours() -> Value {
        json!({"httpGet": {"path": "/health", "port": 8080}, "timeoutSeconds": 2})
    }

    #[test]
    fn ours_is_taken_out_and_what_is_written_stays() {
        let container = json!({"name": "server", "readinessProbe": ours()});
        let entry = entry(PROBE, ours(), None);
        let (fate, left) = run(&deployment(&container, None), &entry, false);
        assert_eq!((fate, left), (Fate::TakenOut, json!({"name": "server"})));
        let (fate, left) = run(&deployment(&container, Some(&container)), &entry, false);
        assert_eq!((fate, left), (Fate::Theirs, container));
    }

    #[test]
    fn what_a_person_took_away_is_declined_unless_the_record_went_too() {
        let object = deployment(&json!({"name": "server"}), None);
        let entry = entry(PROBE, ours(), None);
        assert_eq!(run(&object, &entry, false).0, Fate::Declined);
        assert_eq!(run(&object, &entry, true).0, Fate::Lost);
    }

    #[test]
    fn a_second_handler_takes_ours_out_whole() {
        let theirs = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 7});
        let mut merged = ours();
        merged
            .as_object_mut()
            .unwrap()
            .extend(theirs.as_object().unwrap().clone());
        let object = deployment(
            &json!({"name": "server", "readinessProbe": merged}),
            Some(&json!({"name": "server", "readinessProbe": theirs})),
        );
        let (fate, left) = run(&object, &entry(PROBE, ours(), None), false);
        assert_eq!((fate, &left["readinessProbe"]), (Fate::Theirs, &theirs));
    }

    #[test]
    fn a_changed_value_is_kept_whole() {
        let mut changed = ours();
        changed["timeoutSeconds"] = json!(9);
        let container = json!({"name": "server", "readinessProbe": changed});
        let (fate, left) = run(
            &deployment(&container, None),
            &entry(PROBE, ours(), None),
            false,
        );
        assert_eq!((fate, left), (Fate::Declined, container));
    }

    #[test]
    fn a_number_goes_back_to_the_default_that_it_replaced() {
        let probe = json!({"timeoutSeconds": 2});
        let object = deployment(&json!({"name": "server", "readinessProbe": probe}), None);
        let entry = entry(&format!("{PROBE}/timeoutSeconds"), json!(2), Some(json!(1)));
        let (fate, left) = run(&object, &entry, false);
        assert_eq!(
            (fate, &left["readinessProbe"]),
            (Fate::TakenOut, &json!({"timeoutSeconds": 1}))
        );
    }
}
