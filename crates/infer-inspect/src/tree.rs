//! The hops of a way, from the client to the servers.

pub(crate) mod front;

use crate::entry::{Entry, Target, workloads_of};
use crate::hop::{Hop, HopKind, How, Mark};
use crate::observed;
use crate::view::{Scene, items, text};
use infer_core::kind::{Kind, pod_kind_of};
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::route::DestinationRule;
use infer_core::server::{Server, servers};
use serde_json::Value;

/// The hops of a way.
pub(crate) fn hops(scene: &Scene<'_>, entry: &Entry<'_>) -> Vec<Hop> {
    match entry {
        Entry::Ingress(ingress) => vec![front::of_ingress(scene, entry, ingress)],
        Entry::HttpRoute(route) => front::of_http_route(scene, entry, route),
        Entry::VirtualService(route) => front::of_virtual_service(scene, entry, route),
        Entry::Service(_) => {
            let mut root = Hop::new(HopKind::Address, "client", "clients in the cluster").stands(
                Mark::Plain,
                "no entry in sight leads here",
                How::Assumed,
            );
            root.next = behind(scene, entry);
            vec![root]
        }
        Entry::Workload(workload) => vec![of_workload(scene, workload, None, false)],
    }
}

/// Why no request gets through: the first hop that cannot work, where every way leads over one.
pub(crate) fn broken(hops: &[Hop]) -> Option<String> {
    let mut first = None;
    for hop in hops.iter().filter(|hop| hop.kind != "DestinationRule") {
        let own = (hop.mark == Mark::Bad).then(|| {
            let kind = hop.kind.to_lowercase();
            match hop.hop {
                HopKind::Object => format!("{kind}/{}: {}", hop.name, hop.state),
                _ => format!("{}: {}", hop.name, hop.state),
            }
        });
        // Of a workload the servers are no ways of their own.
        let further = hop.next.iter().any(|it| it.hop != HopKind::Runtime);
        let broken = own.or_else(|| further.then(|| broken(&hop.next)).flatten())?;
        first.get_or_insert(broken);
    }
    first
}

/// The Services behind an entry, with what is behind them.
fn behind<'a>(scene: &Scene<'a>, entry: &Entry<'a>) -> Vec<Hop> {
    let targets = entry.targets(scene);
    let several = targets.iter().any(|it| it.at != targets[0].at);
    let reads_mesh = front::reads_mesh(scene, entry);
    let each = targets.iter().map(|target| {
        let mut hop = of_target(scene, target, object::namespace(entry.object()), reads_mesh);
        if several && !target.at.is_empty() {
            hop.name = format!("{} → {}", target.at, hop.name);
        }
        hop
    });
    each.collect()
}

fn of_target<'a>(scene: &Scene<'a>, target: &Target<'a>, own: &str, reads_mesh: bool) -> Hop {
    let mut name = target.name.to_owned();
    if let Some(port) = &target.port {
        name.push_str(&format!(":{port}"));
    }
    if let Some(subset) = target.subset {
        name.push_str(&format!(" {subset}"));
    }
    if let Some(share) = target.share {
        name.push_str(&format!(" {share}%"));
    }
    if let Some(namespace) = target.service_name.map(|it| it.namespace)
        && !object::same_namespace(namespace, own)
    {
        name.push_str(&format!(" in {namespace}"));
    }
    let hop = Hop::new(HopKind::Object, "Service", name);
    let Some(service) = target.service else {
        return match (target.service_name, scene.knows(Kind::Service)) {
            (Some(_), true) if scene.is_live() => {
                hop.stands(Mark::Bad, "there is no such Service", How::Observed)
            }
            (Some(_), true) => hop.stands(Mark::Bad, "no such Service is given", How::Declared),
            (Some(_), false) => hop.stands(Mark::Plain, "Services not read", How::Declared),
            (None, _) => hop.stands(Mark::Plain, "no Service of this cluster", How::Declared),
        };
    };
    let mut hop = stands_service(scene, hop.object(service), service);
    if reads_mesh {
        hop.next.extend(destination_rules(scene, service));
    }
    let selector = service.at("/spec/selector").filter(|it| it.is_object());
    let subset_labels = target
        .subset
        .and_then(|subset| subset_labels(scene, service, subset));
    let mut selected = false;
    for (workload, assumed) in workloads_of(scene, service) {
        let labels = pod_kind_of(workload)
            .and_then(|kind| workload.at(kind.template))
            .and_then(|template| template.at("/metadata/labels"));
        if subset_labels.is_some_and(|wanted| !object::selects(wanted, labels)) {
            continue;
        }
        selected = true;
        hop.next
            .push(of_workload(scene, workload, selector, assumed));
    }
    match (target.subset, subset_labels) {
        (Some(subset), None) if scene.knows(Kind::DestinationRule) => hop.stands(
            Mark::Bad,
            format!("no DestinationRule defines subset {subset}"),
            How::Declared,
        ),
        (Some(subset), Some(_)) if !selected && scene.knows(Kind::Workload) => hop.stands(
            Mark::Bad,
            format!("no pod carries the labels of subset {subset}"),
            How::Declared,
        ),
        _ => hop,
    }
}

/// The DestinationRules whose host is this Service.
fn destination_rules(scene: &Scene<'_>, service: &Value) -> Vec<Hop> {
    let rules = scene.world.reader.all(Kind::DestinationRule);
    let of_service = rules.filter_map(|rule| DestinationRule::of(scene.world, rule));
    of_service
        .filter(|rule| rule.service.is_some_and(|it| std::ptr::eq(it, service)))
        .map(|rule| {
            Hop::new(
                HopKind::Object,
                "DestinationRule",
                object::name(rule.object),
            )
            .object(rule.object)
            .stands(
                Mark::Plain,
                crate::beside::of_destination_rule(rule.object),
                How::Declared,
            )
        })
        .collect()
}

fn subset_labels<'a>(scene: &Scene<'a>, service: &Value, subset: &str) -> Option<&'a Value> {
    let rules = scene.world.reader.all(Kind::DestinationRule);
    let of_service = rules.filter_map(|rule| DestinationRule::of(scene.world, rule));
    of_service
        .filter(|rule| rule.service.is_some_and(|it| std::ptr::eq(it, service)))
        .flat_map(|rule| rule.subsets)
        .find(|it| it.name == subset)
        .map(|it| it.labels)
}

fn stands_service(scene: &Scene<'_>, hop: Hop, service: &Value) -> Hop {
    if text(service, "/spec/type") == "ExternalName" {
        let name = text(service, "/spec/externalName");
        return hop.stands(
            Mark::Plain,
            format!("leads outside, to {name}"),
            How::Declared,
        );
    }
    if scene.is_live() && scene.knows(Kind::EndpointSlice) {
        let (ready, all) = observed::endpoints(scene, service);
        let (mark, state) = match (ready, all) {
            (0, 0) => (Mark::Bad, "no endpoints".to_owned()),
            (0, all) => (Mark::Bad, format!("0 of {all} endpoints ready")),
            (ready, all) if ready < all => {
                (Mark::Doubtful, format!("{ready} of {all} endpoints ready"))
            }
            (1, 1) => (Mark::Good, "1 endpoint ready".to_owned()),
            (_, all) => (Mark::Good, format!("{all} endpoints ready")),
        };
        return hop.stands(mark, state, How::Observed);
    }
    let workloads = workloads_of(scene, service);
    match workloads.as_slice() {
        _ if scene.is_live() => hop.stands(Mark::Plain, "endpoints not read", How::Declared),
        [] if scene.knows(Kind::Workload) => {
            hop.stands(Mark::Doubtful, "selects nothing given here", How::Declared)
        }
        [] => hop.stands(Mark::Plain, "no workload is given", How::Declared),
        all if all.iter().all(|(_, assumed)| *assumed) => {
            hop.stands(Mark::Bad, "selects no pods", How::Declared)
        }
        [_] => hop.stands(Mark::Good, "selects 1 workload", How::Declared),
        all => hop.stands(
            Mark::Good,
            format!("selects {} workloads", all.len()),
            How::Declared,
        ),
    }
}

/// A workload with its servers and its pods.
fn of_workload(
    scene: &Scene<'_>,
    workload: &Value,
    selector: Option<&Value>,
    assumed: bool,
) -> Hop {
    let kind = workload
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut hop = Hop::new(HopKind::Object, kind, object::name(workload)).object(workload);
    hop = if assumed {
        hop.stands(
            Mark::Doubtful,
            "meant by its name, not selected",
            How::Assumed,
        )
    } else if kind == "Pod" {
        let (mark, state) = observed::state(workload);
        hop.stands(mark, state, How::Observed)
    } else {
        stands_workload(scene, hop, workload)
    };
    let template =
        pod_kind_of(workload).and_then(|kind| Some((kind.template, workload.at(kind.template)?)));
    let found = template.map(|(path, template)| servers(scene.world.catalogue, template, path));
    let found = found.unwrap_or_default();
    if found.is_empty() {
        hop.next.push(
            Hop::new(
                HopKind::Runtime,
                "container",
                containers(template.map(|it| it.1)),
            )
            .stands(
                Mark::Plain,
                "no inference server that is known",
                How::Declared,
            ),
        );
    }
    hop.next.extend(found.iter().map(of_server));
    for pod in observed::pods(scene, workload, selector) {
        let (mark, state) = observed::state(pod);
        hop.next.push(
            Hop::new(HopKind::Object, "Pod", object::name(pod))
                .object(pod)
                .stands(mark, state, How::Observed),
        );
    }
    hop
}

fn containers(template: Option<&Value>) -> String {
    let names = template.map(|template| {
        items(template, "/spec/containers")
            .map(|it| text(it, "/name"))
            .collect::<Vec<_>>()
            .join(", ")
    });
    names.unwrap_or_default()
}

fn stands_workload(scene: &Scene<'_>, hop: Hop, workload: &Value) -> Hop {
    let number = |pointer: &str| workload.at(pointer).and_then(Value::as_u64);
    // apps/v1 defaults `replicas` to 1; a DaemonSet counts nodes in its status.
    let is_daemon_set = workload.get("kind").and_then(Value::as_str) == Some("DaemonSet");
    if !scene.is_live() {
        let state = match number("/spec/replicas").unwrap_or(1) {
            _ if is_daemon_set => "one pod a node".to_owned(),
            0 => "0 replicas".to_owned(),
            1 => "1 replica".to_owned(),
            many => format!("{many} replicas"),
        };
        return hop.stands(Mark::Plain, state, How::Declared);
    }
    let (ready, wanted) = if is_daemon_set {
        (
            number("/status/numberReady"),
            number("/status/desiredNumberScheduled").unwrap_or(0),
        )
    } else {
        (
            number("/status/readyReplicas"),
            number("/spec/replicas").unwrap_or(1),
        )
    };
    let ready = ready.unwrap_or(0);
    let state = format!("{ready} of {wanted} replicas ready");
    let mark = match (ready, wanted) {
        (_, 0) => return hop.stands(Mark::Bad, "scaled to 0 replicas", How::Declared),
        (0, _) => Mark::Bad,
        (ready, wanted) if ready < wanted => Mark::Doubtful,
        _ => Mark::Good,
    };
    hop.stands(mark, state, How::Reported)
}

fn of_server(server: &Server<'_>) -> Hop {
    let port = match server.port {
        Some(port) => format!("listens on {port}"),
        None => format!("port not certain, usually {}", server.runtime.port.default),
    };
    let hop = Hop::new(HopKind::Runtime, &server.runtime.name, &*server.name);
    match server.reachable {
        Some(false) => hop.stands(
            Mark::Bad,
            format!("{port}, on loopback only"),
            How::Declared,
        ),
        _ => hop.stands(Mark::Plain, port, How::Declared),
    }
}
