//! What is declared and not on the way, and why.

use crate::entry::{self, Entry};
use crate::report::{Beside, Reference, Report};
use crate::view::{Scene, items, text, texts};
use infer_core::kind::Kind;
use infer_core::object::{self, same_namespace};
use infer_core::pointer::Walk;
use infer_core::route::{self, Bypass, DestinationRule, HttpRoute, VirtualService};
use serde_json::Value;

/// Everything that a person may take for a part of these ways, and that is none.
pub(crate) fn beside(scene: &Scene<'_>, report: &Report) -> Vec<Beside> {
    let on_path: Vec<Reference> = report.on_path().into_iter().cloned().collect();
    let entries = entry::entries(scene);
    let mut found = Vec::new();
    let mut push = |object: &Value, declares: String, why: String, certain: bool| {
        let reference = Reference::of(object);
        if !on_path.contains(&reference) {
            found.push(Beside {
                object: reference,
                instead: instead(scene, object),
                declares,
                why,
                certain,
            });
        }
    };
    let here = &scene.facts.subject.namespace;
    for object in scene.world.reader.all(Kind::VirtualService) {
        let route = VirtualService::of(scene.world, object);
        if !route.is_subject(scene.world) || !same_namespace(object::namespace(object), here) {
            continue;
        }
        let (why, certain) = match &route.bypass {
            Some(bypass) => (never_consulted(bypass), !bypass.controllers.is_empty()),
            None if route.gateways.is_empty() => (
                "for clients in the mesh: their own sidecars route by it".to_owned(),
                true,
            ),
            None => ("another way in, through its own Gateway".to_owned(), true),
        };
        push(object, of_virtual_service(&route), why, certain);
    }
    for object in scene.world.reader.all(Kind::DestinationRule) {
        let Some(rule) = DestinationRule::of(scene.world, object) else {
            continue;
        };
        if !rule.is_subject(scene.world) || !same_namespace(object::namespace(object), here) {
            continue;
        }
        let (why, certain) = match &rule.bypass {
            Some(bypass) => (never_consulted(bypass), !bypass.controllers.is_empty()),
            None if rule.service.is_none() && scene.knows(Kind::Service) => {
                (format!("its host {} is no Service here", rule.host), true)
            }
            None => ("no proxy on this way reads it".to_owned(), false),
        };
        push(object, of_destination_rule(object), why, certain);
    }
    for ingress in scene.world.reader.all(Kind::Ingress) {
        if !same_namespace(object::namespace(ingress), here) {
            continue;
        }
        if let Some((declares, why, certain)) = other_ingress(scene, &entries, ingress) {
            push(ingress, declares, why, certain);
        }
    }
    for object in scene.world.reader.all(Kind::HttpRoute) {
        let route = HttpRoute::of(scene.world, object);
        if !route.is_subject() || !same_namespace(object::namespace(object), here) {
            continue;
        }
        let parents: Vec<&str> = route.parents.iter().map(|it| it.name).collect();
        let hosts: Vec<&str> = texts(object, "/spec/hostnames").collect();
        push(
            object,
            format!("host {}", or_any(&hosts)),
            match parents.as_slice() {
                [] => "it names no Gateway".to_owned(),
                names => format!("another way in, through Gateway {}", names.join(", ")),
            },
            true,
        );
    }
    gateways(scene, &mut push);
    found
}

/// How the proxy that passes a split by splits itself.
fn instead(scene: &Scene<'_>, object: &Value) -> Option<String> {
    if text(object, "/kind") != "VirtualService" {
        return None;
    }
    let route = VirtualService::of(scene.world, object);
    let is_split = route.routes.iter().any(|it| it.backends.len() > 1);
    let bypass = route.bypass.as_ref().filter(|_| is_split)?;
    let [controller] = bypass.controllers.as_slice() else {
        return None;
    };
    let split = controller.split.as_ref()?;
    Some(format!("{} splits by {split}", controller.title))
}

fn or_any(hosts: &[&str]) -> String {
    match hosts {
        [] => "any".to_owned(),
        hosts => hosts.join(", "),
    }
}

fn never_consulted(bypass: &Bypass<'_>) -> String {
    let kind = text(bypass.entry, "/kind").to_lowercase();
    format!(
        "never consulted: requests enter by {kind}/{} through {}, which reads no Istio object",
        object::name(bypass.entry),
        bypass.titles()
    )
}

/// What a VirtualService declares: its split.
fn of_virtual_service(route: &VirtualService<'_>) -> String {
    let split = route
        .routes
        .iter()
        .find(|it| it.backends.len() > 1)
        .or(route.routes.first());
    let Some(split) = split else {
        return "no HTTP route".to_owned();
    };
    let names: Vec<String> = split
        .backends
        .iter()
        .map(|it| match it.subset {
            Some(subset) => format!("{} {subset}", it.host),
            None => it.host.to_owned(),
        })
        .collect();
    if split.backends.len() < 2 {
        return format!("sends to {}", names.join(""));
    }
    let weights: Vec<String> = split
        .backends
        .iter()
        .map(|it| it.weight.unwrap_or(0).to_string())
        .collect();
    format!("{} split to {}", weights.join("/"), names.join(", "))
}

/// What a DestinationRule declares.
pub(crate) fn of_destination_rule(rule: &Value) -> String {
    let policy = |member: &str| rule.at(&format!("/spec/trafficPolicy{member}")).is_some();
    let subsets: Vec<&str> = items(rule, "/spec/subsets")
        .map(|it| text(it, "/name"))
        .collect();
    let mut said = Vec::new();
    if !subsets.is_empty() {
        said.push(format!("subsets {}", subsets.join(", ")));
    }
    for (member, words) in [
        ("/connectionPool/http/h2UpgradePolicy", "HTTP/2 upgrade"),
        ("/outlierDetection", "outlier detection"),
        ("/loadBalancer", "load balancing"),
        ("/tls", "TLS"),
        ("/connectionPool", "connection pool"),
    ] {
        if policy(member) {
            said.push(words.to_owned());
        }
    }
    if said.is_empty() {
        "nothing".to_owned()
    } else {
        said.join(", ")
    }
}

/// An Ingress that is no entry of these ways, and shares a host or a Service with one.
fn other_ingress(
    scene: &Scene<'_>,
    entries: &[Entry<'_>],
    ingress: &Value,
) -> Option<(String, String, bool)> {
    let hosts = rules(ingress);
    for entry in entries {
        let Entry::Ingress(own) = entry else {
            continue;
        };
        if std::ptr::eq(*own, ingress) {
            return None;
        }
        let own_rules = rules(own);
        let Some((host, path)) = hosts
            .iter()
            .find(|(host, _)| own_rules.iter().any(|(own_host, _)| own_host == host))
        else {
            continue;
        };
        let declares = format!("host {}, path {}", host_words(host), path);
        let collides = hosts.iter().find(|rule| own_rules.contains(rule));
        let Some((host, path)) = collides else {
            return Some((
                declares,
                format!(
                    "same host {}, other paths: those are its own",
                    host_words(host)
                ),
                true,
            ));
        };
        let place = format!("{}{path}", host_words(host));
        let (why, certain) = who_wins(scene, own, ingress, &place);
        return Some((declares, why, certain));
    }
    let reached: Vec<&str> = entries
        .iter()
        .flat_map(|entry| entry.targets(scene))
        .map(|target| target.name)
        .collect();
    let shared = route::backends(ingress)
        .into_iter()
        .find(|(_, name)| reached.contains(name));
    let (_, service) = shared?;
    let named: Vec<&str> = hosts.iter().map(|(host, _)| host_words(host)).collect();
    Some((
        format!("host {}", named.first().copied().unwrap_or("any")),
        format!("another way in, to the same Service {service}"),
        true,
    ))
}

fn host_words(host: &str) -> &str {
    if host.is_empty() { "any" } else { host }
}

/// Host and path of each rule.
fn rules(ingress: &Value) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for rule in items(ingress, "/spec/rules") {
        let host = text(rule, "/host");
        for path in items(rule, "/http/paths") {
            let path = text(path, "/path");
            found.push((host, if path.is_empty() { "/" } else { path }));
        }
    }
    found
}

fn who_wins(scene: &Scene<'_>, own: &Value, other: &Value, place: &str) -> (String, bool) {
    let (controllers, _) = route::controllers(scene.world, own);
    let (others, _) = route::controllers(scene.world, other);
    let name = |list: &[&infer_core::catalogue::Controller]| match list {
        [one] => Some(one.name.clone()),
        _ => None,
    };
    if let (Some(left), Some(right)) = (name(&controllers), name(&others))
        && left != right
    {
        return (
            format!("claims {place} too, at another controller: the address decides who serves"),
            true,
        );
    }
    let oldest_wins = matches!(controllers.as_slice(), [one] if one.oldest_wins.is_some());
    let born = |ingress: &Value| text(ingress, "/metadata/creationTimestamp").to_owned();
    let title = controllers
        .first()
        .map(|it| it.title.as_str())
        .unwrap_or_default();
    match (oldest_wins, born(own), born(other)) {
        (true, own, other) if !own.is_empty() && !other.is_empty() && own < other => (
            format!("claims {place} too, and is younger: {title} serves the older"),
            true,
        ),
        (true, own, other) if !own.is_empty() && !other.is_empty() && own > other => (
            format!("claims {place} too, and is OLDER: {title} serves that one, not this"),
            true,
        ),
        (true, ..) => (
            format!("claims {place} too: {title} serves the older of the two; ages not known"),
            false,
        ),
        _ => (
            format!("claims {place} too: which of the two is served is not known"),
            false,
        ),
    }
}

/// Gateways that nothing names.
fn gateways(scene: &Scene<'_>, push: &mut impl FnMut(&Value, String, String, bool)) {
    let here = &scene.facts.subject.namespace;
    let routes: Vec<HttpRoute<'_>> = scene
        .world
        .reader
        .all(Kind::HttpRoute)
        .map(|it| HttpRoute::of(scene.world, it))
        .collect();
    for gateway in scene.world.reader.all(Kind::Gateway) {
        let mut parents = routes.iter().flat_map(|it| &it.parents);
        let named = parents.any(|it| it.gateway.is_some_and(|it| std::ptr::eq(it, gateway)));
        if !named && same_namespace(object::namespace(gateway), here) {
            let class = text(gateway, "/spec/gatewayClassName");
            push(
                gateway,
                format!("class {class}"),
                "no HTTPRoute that is known names it".to_owned(),
                false,
            );
        }
    }
    let routes: Vec<VirtualService<'_>> = scene
        .world
        .reader
        .all(Kind::VirtualService)
        .map(|it| VirtualService::of(scene.world, it))
        .collect();
    for gateway in scene.world.reader.all(Kind::IstioGateway) {
        let mut gateways = routes.iter().flat_map(|it| &it.gateways);
        let named = gateways.any(|it| it.gateway.is_some_and(|it| std::ptr::eq(it, gateway)));
        if !named && same_namespace(object::namespace(gateway), here) {
            push(
                gateway,
                "an entry of Istio".to_owned(),
                "no VirtualService that is known names it".to_owned(),
                false,
            );
        }
    }
}
