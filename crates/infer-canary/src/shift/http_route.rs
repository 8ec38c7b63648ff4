//! Shares by the `backendRefs` weights of an HTTPRoute: relative numbers, 0 to 1,000,000, 1 where
//! none is written (kubernetes-sigs/gateway-api apis/v1/shared_types.go `BackendRef`). Ours add up
//! to 100.

use super::split::Form;
use super::{Original, Refusal, Shift, Weight};
use infer_core::pointer::Walk;
use serde_json::{Value, json};

pub(super) const FORM: Form = Form {
    rules: "/spec/rules",
    backends: "backendRefs",
    is_service,
    rename,
};

fn is_service(backend: &Value, own: &str, service: &str) -> bool {
    let text = |member: &str| backend.get(member).and_then(Value::as_str);
    text("name") == Some(service)
        && text("kind").is_none_or(|it| it == "Service")
        && text("group").is_none_or(str::is_empty)
        && text("namespace").is_none_or(|it| it == own)
}

fn rename(backend: &mut Value, service: &str) {
    backend["name"] = json!(service);
}

pub(super) fn weight_of(shift: &Shift, route: &Value) -> Weight {
    FORM.weight_of(shift, route)
}

pub(super) fn original_of(shift: &Shift, route: &Value) -> Result<Original, Refusal> {
    let rules = route.at(FORM.rules).and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let backends = rule.get(FORM.backends).and_then(Value::as_array);
        let backends: Vec<&Value> = backends.into_iter().flatten().collect();
        let is_stable = |it: &&&Value| is_service(it, &shift.namespace, &shift.stable.service);
        if backends.iter().find(is_stable).is_none() {
            continue;
        }
        let holders = std::iter::once(rule).chain(backends);
        let filters = holders.filter_map(|it| it.get("filters").and_then(Value::as_array));
        if filters.flatten().any(|it| it["type"] == "RequestMirror") {
            return Err(Refusal::CannotShare {
                route: shift.carrier.clone(),
                path: format!("{}/{index}", FORM.rules),
                why: "it mirrors requests, which then reach a server twice".to_owned(),
            });
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
