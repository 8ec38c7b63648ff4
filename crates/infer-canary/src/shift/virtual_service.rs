//! Shares by the destination weights of a VirtualService. A single destination gets everything,
//! whatever its weight (istio/api networking/v1/virtual_service.proto `HTTPRouteDestination.weight`).
//! Ours add up to 100.

use super::split::Form;
use super::{Original, Refusal, Shift, Weight};
use infer_core::pointer::Walk;
use infer_core::route::ServiceName;
use serde_json::{Value, json};

pub(super) const FORM: Form = Form {
    rules: "/spec/http",
    backends: "route",
    is_service,
    rename,
};

fn is_service(backend: &Value, own: &str, service: &str) -> bool {
    let host = backend.at("/destination/host").and_then(Value::as_str);
    host.and_then(|host| ServiceName::of_host(host, own))
        .is_some_and(|it| it.name == service && (it.namespace == own || it.namespace.is_empty()))
}

/// A subset belongs to the DestinationRule of the stable host, and goes.
fn rename(backend: &mut Value, service: &str) {
    let Some(Value::Object(destination)) = backend.get_mut("destination") else {
        return;
    };
    destination.remove("subset");
    let host = destination.get("host").and_then(Value::as_str);
    let host = match host.and_then(|host| host.split_once('.')) {
        Some((_, domain)) => format!("{service}.{domain}"),
        None => service.to_owned(),
    };
    destination.insert("host".to_owned(), json!(host));
}

/// Whether its routes below HTTP lead to a Service.
fn other_protocol(route: &Value, own: &str, service: &str) -> Option<String> {
    for list in ["/spec/tcp", "/spec/tls"] {
        let rules = route.at(list).and_then(Value::as_array);
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            let backends = rule.get("route").and_then(Value::as_array);
            if backends
                .into_iter()
                .flatten()
                .any(|it| is_service(it, own, service))
            {
                return Some(format!("{list}/{index}"));
            }
        }
    }
    None
}

/// Whether it leads to a Service, by whichever protocol.
pub(super) fn leads_to(route: &Value, service: &str) -> bool {
    let own = infer_core::object::namespace(route);
    FORM.leads_to(route, service) || other_protocol(route, own, service).is_some()
}

pub(super) fn weight_of(shift: &Shift, route: &Value) -> Weight {
    FORM.weight_of(shift, route)
}

pub(super) fn original_of(shift: &Shift, route: &Value) -> Result<Original, Refusal> {
    let refused = |path: String, why: &str| Refusal::CannotShare {
        route: shift.carrier.clone(),
        path,
        why: why.to_owned(),
    };
    let service = &shift.stable.service;
    if let Some(path) = other_protocol(route, &shift.namespace, service) {
        return Err(refused(
            path,
            "connections are routed here, not requests: they cannot be split by request",
        ));
    }
    let hosts = route.at("/spec/hosts").and_then(Value::as_array);
    if hosts.is_none_or(Vec::is_empty) {
        let why = "it has no hosts: another VirtualService delegates to it";
        return Err(refused("/spec/hosts".to_owned(), why));
    }
    let rules = route.at(FORM.rules).and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let path = format!("{}/{index}", FORM.rules);
        let has = |member: &str| rule.get(member).is_some_and(|it| !it.is_null());
        if has("delegate") {
            let why = "it delegates to another VirtualService, which decides";
            return Err(refused(path, why));
        }
        let backends = rule.get(FORM.backends).and_then(Value::as_array);
        let mut backends = backends.into_iter().flatten();
        let leads = backends.any(|it| is_service(it, &shift.namespace, service));
        if leads && (has("mirror") || has("mirrors")) {
            let why = "it mirrors requests, which then reach a server twice";
            return Err(refused(path, why));
        }
    }
    FORM.original_of(shift, route)
}

pub(super) fn set_weight(shift: &Shift, route: &mut Value, share: u8) -> Result<(), Refusal> {
    FORM.set_weight(shift, route, share)
}

pub(super) fn take_out(shift: &Shift, route: &mut Value, original: &Original) {
    FORM.take_out(shift, route, original);
}
