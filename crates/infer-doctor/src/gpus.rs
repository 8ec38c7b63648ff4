//! Accelerators: whether nodes offer what workloads ask for.
//!
//! Only what can be compared is: a node's `allocatable`, taints, labels and cordon against the
//! limits, tolerations and `nodeSelector` of a pod template. What other pods already hold, and
//! affinity, is for the scheduler.

use crate::checkup::{Category, Check, Evidence, Status};
use crate::facts::Facts;
use crate::installed::{Installed, short};
use crate::words::{count, listed};
use infer_core::catalogue::Catalogue;
use infer_core::gpu::is_accelerator;
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::server;
use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by resource.
type Amounts = BTreeMap<String, u64>;

/// Names that a line can hold.
const SHOWN: usize = 3;

/// A workload that asks for accelerators.
struct Demand<'a> {
    object: &'a Value,
    spec: &'a Value,
    /// Of one pod.
    pod: Amounts,
    /// Pods that are wanted; none of a DaemonSet, which has one on each node that fits.
    pods: Option<u64>,
    /// Whether it runs an inference server that the catalogue knows.
    is_inference: bool,
}

pub(crate) fn category(catalogue: &Catalogue, facts: &Facts) -> Category {
    Category {
        id: "gpus",
        title: "GPUs",
        checks: checks(catalogue, facts),
    }
}

fn checks(catalogue: &Catalogue, facts: &Facts) -> Vec<Check> {
    let demands: Vec<Demand<'_>> = demands(catalogue, facts).collect();
    let nodes = match &facts.nodes {
        Ok(nodes) => nodes,
        Err(gap) => {
            let asking = count(demands.len(), "workload");
            let message = format!("nodes cannot be seen; {asking} here ask for accelerators");
            return vec![Check::unknown("gpus-offered", message, gap)];
        }
    };
    let mut checks = vec![offered(facts, nodes, &demands)];
    checks.extend(device_plugins(nodes));
    checks.extend(demands.iter().map(|demand| fits(demand, nodes)));
    checks.extend(claims(catalogue, facts));
    if !facts.workload_gaps.is_empty() {
        let message = "not every workload could be looked at";
        let gap = &facts.workload_gaps[0];
        checks.push(Check::unknown("gpus-asked", message, gap));
    }
    checks
}

/// The accelerators of a list such as `status.allocatable`: whole numbers (extended resources have
/// no other, Kubernetes' page "Managing Resources for Containers").
fn accelerators(list: Option<&Value>) -> Amounts {
    let list = list.and_then(Value::as_object);
    list.into_iter()
        .flatten()
        .filter(|(name, _)| is_accelerator(name))
        .filter_map(|(name, amount)| {
            let amount = match amount {
                Value::String(text) => text.parse().ok()?,
                other => other.as_u64()?,
            };
            Some((name.clone(), amount))
        })
        .collect()
}

fn sum(into: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let known = into.entry(name).or_default();
        *known = known.saturating_add(amount);
    }
}

fn at_least(into: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let known = into.entry(name).or_default();
        *known = amount.max(*known);
    }
}

/// What one pod asks for: the sum of its containers and sidecars, or the most that an init
/// container needs beside the sidecars before it (KEP-753, "Resources calculation").
fn of_pod(spec: &Value) -> Amounts {
    let own = |container: &Value| {
        let limits = accelerators(container.at("/resources/limits"));
        if limits.is_empty() {
            accelerators(container.at("/resources/requests"))
        } else {
            limits
        }
    };
    let containers = |member: &str| {
        spec.get(member)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in containers("initContainers") {
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            sum(&mut sidecars, own(container));
            at_least(&mut most, sidecars.clone());
        } else {
            let mut beside = sidecars.clone();
            sum(&mut beside, own(container));
            at_least(&mut most, beside);
        }
    }
    let mut all = sidecars;
    containers("containers").for_each(|container| sum(&mut all, own(container)));
    at_least(&mut all, most);
    all.retain(|_, amount| *amount > 0);
    all
}

fn demands<'a>(catalogue: &'a Catalogue, facts: &'a Facts) -> impl Iterator<Item = Demand<'a>> {
    facts.workloads.iter().filter_map(move |object| {
        if !facts.is_meant(object::namespace(object)) {
            return None;
        }
        let template = object.at("/spec/template")?;
        let spec = template.get("spec")?;
        let pod = of_pod(spec);
        let is_daemon = object.get("kind").and_then(Value::as_str) == Some("DaemonSet");
        let pods = object
            .at("/spec/replicas")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        (!pod.is_empty()).then(|| Demand {
            object,
            spec,
            pod,
            pods: (!is_daemon).then_some(pods),
            is_inference: !server::servers(catalogue, template, "/spec/template").is_empty(),
        })
    })
}

/// What the nodes offer, and what is asked for in all.
fn offered(facts: &Facts, nodes: &[Value], demands: &[Demand<'_>]) -> Check {
    let mut offers = Amounts::new();
    let mut with = 0;
    for node in nodes {
        let own = accelerators(node.at("/status/allocatable"));
        with += usize::from(own.values().any(|amount| *amount > 0));
        sum(&mut offers, own);
    }
    offers.retain(|_, amount| *amount > 0);
    let mut asked = Amounts::new();
    for demand in demands {
        for (name, amount) in &demand.pod {
            let all = amount.saturating_mul(demand.pods.unwrap_or(0));
            sum(&mut asked, Amounts::from([(name.clone(), all)]));
        }
    }
    let place = match facts.namespaces.as_slice() {
        [] => String::new(),
        names => format!(" in {}", listed(names, SHOWN)),
    };
    if offers.is_empty() {
        let nodes = count(nodes.len(), "node");
        let status = if demands.is_empty() {
            Status::Note
        } else {
            Status::Error
        };
        let message = match nodes.as_str() {
            "0 nodes" => "no accelerator: there is no node".to_owned(),
            nodes => format!("no accelerator on {nodes}"),
        };
        let check = Check::new("gpus-offered", status, message).evidence(Evidence::Reported);
        return if demands.is_empty() {
            check.detail(format!("no workload{place} asks for one"))
        } else {
            check
                .detail(
                    "a node shows them in `status.allocatable` once its device plugin runs; an \
                     autoscaler may bring such a node when a pod asks for it",
                )
                .next(
                    "kubectl get nodes -o custom-columns=NAME:.metadata.name,\
                     GPUS:.status.allocatable.nvidia\\.com/gpu",
                    "what each node offers",
                )
        };
    }
    let each: Vec<String> = offers
        .iter()
        .map(|(name, amount)| {
            let asked = asked.get(name).copied().unwrap_or(0);
            format!("{amount} of {name}, {asked} asked for{place}")
        })
        .collect();
    let is_short = offers
        .iter()
        .any(|(name, amount)| asked.get(name).is_some_and(|asked| asked > amount));
    let message = format!("{} on {}", listed(&each, SHOWN), count(with, "node"));
    let check = Check::new("gpus-offered", Status::Ok, message).evidence(Evidence::Reported);
    if is_short {
        return Check {
            status: Status::Warning,
            ..check
        }
        .detail("not all pods that are wanted can run at once")
        .next(
            "kubectl get pods -A --field-selector status.phase=Pending",
            "what waits",
        );
    }
    check
}

/// Nodes that have accelerators and offer none: their device plugin is not healthy.
fn device_plugins(nodes: &[Value]) -> Vec<Check> {
    let mut checks = Vec::new();
    for node in nodes {
        let offers = accelerators(node.at("/status/allocatable"));
        for (name, amount) in accelerators(node.at("/status/capacity")) {
            let allocatable = offers.get(&name).copied().unwrap_or(0);
            if allocatable < amount {
                let node = object::name(node);
                let message =
                    format!("node {node} has {amount} of {name} and offers {allocatable}");
                checks.push(
                    Check::new("gpu-unhealthy", Status::Warning, message)
                        .subject(format!("node/{node}"))
                        .evidence(Evidence::Reported)
                        .detail("its device plugin reports the others as unhealthy, or is gone")
                        .next(
                            format!("kubectl describe node {node}"),
                            "capacity and allocatable",
                        ),
                );
            }
        }
    }
    checks
}

/// Why no pod of a workload can be put on any node.
enum Obstacle {
    /// No node offers so much.
    Amount(String),
    /// Every node that does has such a taint.
    Taint(String),
    /// Every node that does lacks a label.
    Label(String),
    /// Every node that does is cordoned.
    Cordon,
}

fn fits(demand: &Demand<'_>, nodes: &[Value]) -> Check {
    let title = short(demand.object);
    let namespace = object::namespace(demand.object);
    let asked: Vec<String> = demand
        .pod
        .iter()
        .map(|(name, amount)| format!("{amount} of {name}"))
        .collect();
    let asks = format!(
        "{title} in {namespace} asks for {} per pod",
        asked.join(" and ")
    );
    let check = |status, message: String| {
        let check = Check::new("gpus-fit", status, message).subject(title.clone());
        let check = check.evidence(Evidence::Declared);
        if demand.is_inference {
            check
        } else {
            check.detail("no inference server that is known runs in it")
        }
    };
    let describe = format!("kubectl -n {namespace} describe {title}");
    match room(demand, nodes) {
        Ok(room) => {
            let wanted = demand.pods.unwrap_or(0);
            if wanted <= room {
                return check(Status::Ok, format!("{asks}: there is room"));
            }
            let pods = count(usize::try_from(wanted).unwrap_or(usize::MAX), "pod");
            check(
                Status::Warning,
                format!("{asks}: room for {room} of {pods}"),
            )
            .detail("even where nothing else holds an accelerator")
            .next(describe, "which pods wait")
        }
        Err(obstacle) => {
            let (ready, wanted) = Installed {
                object: demand.object,
                image: "",
            }
            .ready();
            if wanted > 0 && ready >= wanted {
                // Facts beat the comparison: it runs.
                return check(Status::Ok, format!("{asks}: all pods are ready"))
                    .evidence(Evidence::Reported);
            }
            let mut status = if wanted == 0 {
                Status::Note
            } else {
                Status::Error
            };
            let by_admission = matches!(&obstacle, Obstacle::Taint(taint)
                if demand.pod.keys().any(|name| taint.starts_with(name.as_str())));
            if by_admission {
                status = status.min(Status::Warning);
            }
            let check = check(status, format!("{asks}: no node fits"));
            let check = match obstacle {
                Obstacle::Amount(most) => check
                    .detail(most)
                    .detail("unless an autoscaler brings such a node, its pods stay Pending"),
                Obstacle::Taint(taint) => {
                    let check = check.detail(format!(
                        "every node that offers so much has a taint that it does not tolerate: \
                         {taint}"
                    ));
                    if by_admission {
                        check.detail(
                            "the admission plugin ExtendedResourceToleration, where it is on, adds \
                             the toleration to its pods",
                        )
                    } else {
                        check
                    }
                }
                Obstacle::Label(label) => check.detail(format!(
                    "no node that offers so much has the label of its nodeSelector: {label}"
                )),
                Obstacle::Cordon => {
                    check.detail("every node that would fit is cordoned (`kubectl uncordon`)")
                }
            };
            check.next(describe, "what its pods wait for")
        }
    }
}

/// How many of its pods the nodes could hold; why none.
fn room(demand: &Demand<'_>, nodes: &[Value]) -> Result<u64, Obstacle> {
    let large: Vec<(&Value, u64)> = nodes
        .iter()
        .filter_map(|node| {
            let offers = accelerators(node.at("/status/allocatable"));
            let each = demand
                .pod
                .iter()
                .map(|(name, amount)| offers.get(name).copied().unwrap_or(0) / amount);
            let room = each.min().unwrap_or(0);
            (room > 0).then_some((node, room))
        })
        .collect();
    if large.is_empty() {
        let most: Vec<String> = demand
            .pod
            .keys()
            .map(|name| {
                let most = nodes
                    .iter()
                    .filter_map(|node| accelerators(node.at("/status/allocatable")).remove(name))
                    .max()
                    .unwrap_or(0);
                match most {
                    0 => format!("no node offers {name}"),
                    most => format!("the largest node offers {most} of {name}"),
                }
            })
            .collect();
        return Err(Obstacle::Amount(most.join("; ")));
    }
    let mut taints = Vec::new();
    let tolerated: Vec<_> = large
        .into_iter()
        .filter(|(node, _)| match untolerated(demand.spec, node) {
            Some(taint) => {
                taints.push(taint);
                false
            }
            None => true,
        })
        .collect();
    if tolerated.is_empty() {
        taints.sort();
        taints.dedup();
        return Err(Obstacle::Taint(listed(&taints, SHOWN)));
    }
    let selector = demand.spec.get("nodeSelector").and_then(Value::as_object);
    let lacks = |node: &Value| {
        selector.into_iter().flatten().find(|(key, value)| {
            let label = object::label(node, key);
            label != value.as_str()
        })
    };
    let mut labels = Vec::new();
    let labelled: Vec<_> = tolerated
        .into_iter()
        .filter(|(node, _)| match lacks(node) {
            Some((key, value)) => {
                labels.push(format!("{key}={}", value.as_str().unwrap_or_default()));
                false
            }
            None => true,
        })
        .collect();
    if labelled.is_empty() {
        labels.sort();
        labels.dedup();
        return Err(Obstacle::Label(listed(&labels, SHOWN)));
    }
    let open: u64 = labelled
        .iter()
        .filter(|(node, _)| node.at("/spec/unschedulable") != Some(&Value::Bool(true)))
        .map(|(_, room)| room)
        .sum();
    if open == 0 {
        Err(Obstacle::Cordon)
    } else {
        Ok(open)
    }
}

/// A taint of a node that keeps a pod away (core/v1 `Toleration.ToleratesTaint`).
fn untolerated(spec: &Value, node: &Value) -> Option<String> {
    let text = |value: &Value, member: &str| {
        let text = value.get(member).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let tolerations = spec.get("tolerations").and_then(Value::as_array);
    let tolerations: Vec<&Value> = tolerations.into_iter().flatten().collect();
    let taints = node.at("/spec/taints").and_then(Value::as_array);
    taints.into_iter().flatten().find_map(|taint| {
        let (key, value, effect) = (
            text(taint, "key"),
            text(taint, "value"),
            text(taint, "effect"),
        );
        // A cordon is one, too, and is told apart below.
        if effect == "PreferNoSchedule" || key == "node.kubernetes.io/unschedulable" {
            return None;
        }
        let tolerates = |it: &&Value| {
            let own_effect = text(it, "effect");
            let own_key = text(it, "key");
            let by_value = match text(it, "operator").as_str() {
                "Exists" => true,
                _ => text(it, "value") == value,
            };
            (own_effect.is_empty() || own_effect == effect)
                && (own_key.is_empty() || own_key == key)
                && by_value
        };
        let is_tolerated = tolerations.iter().any(tolerates);
        (!is_tolerated).then(|| match value.as_str() {
            "" => format!("{key}:{effect}"),
            value => format!("{key}={value}:{effect}"),
        })
    })
}

/// Workloads that claim devices (DRA): what a claim gets is not compared here.
fn claims<'a>(catalogue: &'a Catalogue, facts: &'a Facts) -> impl Iterator<Item = Check> + 'a {
    facts.workloads.iter().filter_map(move |object| {
        let template = object.at("/spec/template")?;
        let claims = template.at("/spec/resourceClaims")?.as_array()?;
        let is_server = !server::servers(catalogue, template, "").is_empty();
        let is_meant = facts.is_meant(object::namespace(object));
        (is_server && is_meant && !claims.is_empty()).then(|| {
            let (title, namespace) = (short(object), object::namespace(object));
            let message = format!("{title} in {namespace} claims devices (DRA): not compared");
            Check::new("gpus-fit", Status::Unknown, message)
                .subject(title)
                .evidence(Evidence::Declared)
                .next(
                    format!("kubectl -n {namespace} get resourceclaims"),
                    "whether they are allocated",
                )
        })
    })
}
