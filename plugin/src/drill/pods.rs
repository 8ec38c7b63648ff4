//! What a watch says of a pod, and what changed between two looks at it.

use infer_drill::timeline::Mood;
use infer_drill::verify::{Ended, Seen};
use serde_json::Value;

/// A pod, as far as a drill looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// Its uid.
    pub(crate) uid: String,
    /// Its address; empty where it has none yet.
    pub(crate) address: String,
    /// Its node; empty where it has none yet.
    pub(crate) node: String,
    /// Whether its condition `Ready` is true.
    pub(crate) is_ready: bool,
    /// Whether it carries a deletionTimestamp.
    pub(crate) is_terminating: bool,
    /// Its grace period, where it is on its way out.
    pub(crate) grace: Option<i64>,
    /// The server's container.
    pub(crate) server: Container,
}

/// The container of a pod's server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its id; empty before its first start.
    pub(crate) id: String,
    /// How often it was restarted.
    pub(crate) restarts: i64,
    /// Whether it runs.
    pub(crate) is_running: bool,
    /// How it ended last.
    pub(crate) ended: Option<Ended>,
}

fn text(object: &Value, pointer: &str) -> String {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

impl Pod {
    /// Reads a pod. `container` is the server's.
    pub(crate) fn of(object: &Value, container: &str) -> Pod {
        let conditions = object
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let is_ready = conditions.into_iter().flatten().any(|condition| {
            condition.get("type") == Some(&"Ready".into())
                && condition.get("status") == Some(&"True".into())
        });
        let statuses = object
            .pointer("/status/containerStatuses")
            .and_then(Value::as_array);
        let status = statuses
            .into_iter()
            .flatten()
            .find(|status| status.get("name").and_then(Value::as_str) == Some(container));
        Pod {
            name: text(object, "/metadata/name"),
            uid: text(object, "/metadata/uid"),
            address: text(object, "/status/podIP"),
            node: text(object, "/spec/nodeName"),
            is_ready,
            is_terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
            grace: object
                .pointer("/metadata/deletionGracePeriodSeconds")
                .and_then(Value::as_i64),
            server: status.map(Container::of).unwrap_or_default(),
        }
    }

    /// What the fault is verified by.
    pub(crate) fn seen(&self, is_gone: bool) -> Seen {
        Seen {
            uid: self.uid.clone(),
            is_gone,
            is_terminating: self.is_terminating,
            container_id: self.server.id.clone(),
            restart_count: self.server.restarts,
            ended: self.server.ended.clone(),
        }
    }

    /// What happened since `before`, in words: what it is, what it means, the text.
    pub(crate) fn changes(&self, before: Option<&Pod>) -> Vec<(&'static str, Mood, String)> {
        let name = &self.name;
        let Some(before) = before else {
            return vec![("pod-appeared", Mood::Plain, format!("pod/{name} appears"))];
        };
        let mut changes = Vec::new();
        if self.is_terminating && !before.is_terminating {
            let grace = self.grace.map(|grace| format!(", grace {grace}s"));
            let text = format!("pod/{name} terminating{}", grace.unwrap_or_default());
            changes.push(("pod-terminating", Mood::Plain, text));
        }
        if let Some(ended) = &self.server.ended
            && before.server.ended.as_ref() != Some(ended)
        {
            let reason = match ended.reason.as_str() {
                "" => String::new(),
                reason => format!(" ({reason})"),
            };
            let text = format!("pod/{name} server ended, exit {}{reason}", ended.exit_code);
            changes.push(("container-terminated", Mood::Plain, text));
        }
        if self.is_ready != before.is_ready {
            let mood = if self.is_ready {
                Mood::Good
            } else {
                Mood::Plain
            };
            let state = if self.is_ready { "True" } else { "False" };
            let what = if self.is_ready {
                "pod-ready"
            } else {
                "pod-not-ready"
            };
            changes.push((what, mood, format!("pod/{name} Ready={state}")));
        }
        if self.server.is_running && self.server.id != before.server.id {
            let text = match self.server.restarts {
                0 => format!("pod/{name} server started"),
                restarts => format!("pod/{name} server started again (restart {restarts})"),
            };
            changes.push(("container-started", Mood::Plain, text));
        }
        changes
    }
}

impl Container {
    fn of(status: &Value) -> Container {
        let record = |state: &str| {
            let ended = status.get(state)?.get("terminated")?;
            Some(Ended {
                container_id: text(ended, "/containerID"),
                exit_code: ended
                    .get("exitCode")
                    .and_then(Value::as_i64)
                    .and_then(|code| i32::try_from(code).ok())?,
                reason: text(ended, "/reason"),
            })
        };
        Container {
            id: text(status, "/containerID"),
            restarts: status
                .get("restartCount")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            is_running: status.pointer("/state/running").is_some(),
            ended: record("state").or_else(|| record("lastState")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(ready: &str, status: &Value) -> Pod {
        let mut status = status.clone();
        status["name"] = "server".into();
        let object = json!({
            "metadata": {"name": "a", "uid": "u"},
            "spec": {"nodeName": "n"},
            "status": {
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "other", "restartCount": 9}, status],
            },
        });
        Pod::of(&object, "server")
    }

    fn texts(after: &Pod, before: &Pod) -> Vec<String> {
        let changes = after.changes(Some(before)).into_iter();
        changes.map(|(_, _, text)| text).collect()
    }

    #[test]
    fn a_crash_is_told_step_by_step() {
        let running = json!({"containerID": "c1", "restartCount": 0, "state": {"running": {}}});
        let ended = json!({"containerID": "c1", "exitCode": 137, "reason": "Error"});
        let down = json!({"containerID": "c1", "restartCount": 0, "state": {"terminated": ended}});
        let back = json!({"containerID": "c2", "restartCount": 1, "state": {"running": {}},
            "lastState": {"terminated": ended}});
        let before = pod("True", &running);
        let dead = pod("False", &down);
        let made = json!({"containerID": "c2", "restartCount": 1, "state": {"waiting": {}},
            "lastState": {"terminated": ended}});
        assert_eq!(texts(&pod("False", &made), &dead), [""; 0], "not started");
        let again = pod("False", &back);
        let ready = pod("True", &back);
        assert_eq!(
            texts(&dead, &before),
            ["pod/a server ended, exit 137 (Error)", "pod/a Ready=False"]
        );
        assert_eq!(
            texts(&again, &dead),
            ["pod/a server started again (restart 1)"]
        );
        assert_eq!(texts(&ready, &again), ["pod/a Ready=True"]);
        assert_eq!(texts(&ready, &ready), [""; 0]);
        let seen = again.seen(false);
        assert_eq!((seen.container_id.as_str(), seen.restart_count), ("c2", 1));
        assert_eq!(seen.ended.unwrap().container_id, "c1");
    }

    #[test]
    fn a_deletion_is_told_with_its_grace() {
        let running = json!({"containerID": "c1", "restartCount": 0, "state": {"running": {}}});
        let before = pod("True", &running);
        let mut after = before.clone();
        after.is_terminating = true;
        after.grace = Some(30);
        assert_eq!(texts(&after, &before), ["pod/a terminating, grace 30s"]);
        assert_eq!(before.changes(None)[0].2, "pod/a appears");
    }
}
