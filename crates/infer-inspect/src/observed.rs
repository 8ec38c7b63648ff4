//! The live state: endpoints of Services, conditions of pods.

use crate::entry::top_owner;
use crate::hop::Mark;
use crate::view::{Scene, items, text};
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::Value;

/// How many endpoints of a Service are ready, and how many there are.
///
/// A condition that is not there is read as true (kubernetes/api discovery/v1
/// `EndpointConditions`). An endpoint of two address families counts once, by its pod.
pub(crate) fn endpoints(scene: &Scene<'_>, service: &Value) -> (usize, usize) {
    let mut seen: Vec<(String, bool)> = Vec::new();
    for slice in scene.given("EndpointSlice") {
        let name = object::label(slice, "kubernetes.io/service-name");
        if name != Some(object::name(service))
            || object::namespace(slice) != object::namespace(service)
        {
            continue;
        }
        for endpoint in items(slice, "/endpoints") {
            let target = match text(endpoint, "/targetRef/name") {
                "" => items(endpoint, "/addresses")
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(","),
                name => name.to_owned(),
            };
            let ready = endpoint.at("/conditions/ready").and_then(Value::as_bool);
            match seen.iter_mut().find(|(known, _)| *known == target) {
                Some((_, known)) => *known |= ready.unwrap_or(true),
                None => seen.push((target, ready.unwrap_or(true))),
            }
        }
    }
    (seen.iter().filter(|(_, ready)| *ready).count(), seen.len())
}

/// The pods of a workload that this selector takes, those that need a look first.
pub(crate) fn pods<'a>(
    scene: &Scene<'a>,
    workload: &Value,
    selector: Option<&Value>,
) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = scene
        .given("Pod")
        .filter(|pod| !std::ptr::eq(*pod, workload))
        .filter(|pod| object::namespace(pod) == object::namespace(workload))
        .filter(|pod| {
            let owner = top_owner(&scene.facts.objects, pod);
            owner.is_some_and(|owner| is_same(owner, workload))
        })
        .filter(|pod| {
            selector.is_none_or(|selector| object::selects(selector, pod.at("/metadata/labels")))
        })
        .collect();
    found.sort_by_key(|pod| (state(pod).0 == Mark::Good, object::name(pod)));
    found
}

fn is_same(left: &Value, right: &Value) -> bool {
    left.get("kind") == right.get("kind")
        && object::name(left) == object::name(right)
        && object::namespace(left) == object::namespace(right)
}

/// How a pod stands.
pub(crate) fn state(pod: &Value) -> (Mark, String) {
    if pod.at("/metadata/deletionTimestamp").is_some() {
        return (Mark::Doubtful, "terminating".to_owned());
    }
    let statuses = || items(pod, "/status/containerStatuses");
    let restarts: u64 = statuses()
        .filter_map(|it| it.get("restartCount")?.as_u64())
        .sum();
    let restarted = match restarts {
        0 => String::new(),
        1 => ", 1 restart".to_owned(),
        many => format!(", {many} restarts"),
    };
    let condition = |name: &str| {
        items(pod, "/status/conditions").find(|condition| text(condition, "/type") == name)
    };
    if condition("Ready").is_some_and(|it| text(it, "/status") == "True") {
        return (Mark::Good, format!("ready{restarted}"));
    }
    if let Some(reason) = statuses()
        .map(|it| text(it, "/state/waiting/reason"))
        .find(|reason| !reason.is_empty())
    {
        let waits = matches!(reason, "ContainerCreating" | "PodInitializing");
        let mark = if waits { Mark::Waiting } else { Mark::Bad };
        return (mark, format!("{reason}{restarted}"));
    }
    if condition("PodScheduled").is_some_and(|it| text(it, "/status") == "False") {
        let reason = condition("PodScheduled").map(|it| text(it, "/reason"));
        let reason = reason
            .filter(|it| !it.is_empty())
            .unwrap_or("not scheduled");
        return (Mark::Bad, reason.to_owned());
    }
    match text(pod, "/status/phase") {
        "Running" => (Mark::Waiting, format!("running, not ready{restarted}")),
        "" => (Mark::Plain, "no status".to_owned()),
        phase => (Mark::Doubtful, phase.to_lowercase()),
    }
}
