//! Probes: reading one, and writing one complete with the API's defaults, so that it is stored as
//! it was written and can be recognised again.

use crate::server::Endpoint;
use serde_json::{Map, Value, json};

/// The probes of a container.
pub const NAMES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];
/// The members of a probe that say how it asks: exactly one is allowed (kubernetes/kubernetes
/// pkg/apis/core/validation `validateHandler`).
pub const HANDLERS: [&str; 4] = ["exec", "grpc", "httpGet", "tcpSocket"];
/// The API's default for `timeoutSeconds` (kubernetes/kubernetes pkg/apis/core/v1/defaults.go).
pub const DEFAULT_TIMEOUT: u32 = 1;

const PERIOD: u32 = 10;

/// A probe of a container, unless it is absent or null.
pub fn present<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container.get(name).filter(|probe| !probe.is_null())
}

/// A number of a probe, or the API's default for it.
pub fn seconds(probe: &Value, member: &str, default: u32) -> u32 {
    let number = probe
        .get(member)
        .and_then(Value::as_u64)
        .filter(|number| *number > 0);
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or(default)
}

/// How long after the start a probe that never succeeds has failed for good.
pub fn allowed_seconds(probe: &Value) -> u32 {
    let period = seconds(probe, "periodSeconds", PERIOD);
    let failures = seconds(probe, "failureThreshold", 3);
    seconds(probe, "initialDelaySeconds", 0).saturating_add(period.saturating_mul(failures))
}

/// A readiness probe: out of rotation within 15 s of dying, back within 5 s of being ready.
pub fn readiness(endpoint: &Endpoint, timeout: u32) -> Value {
    json!({
        "httpGet": {"path": endpoint.path, "port": endpoint.port, "scheme": endpoint.scheme},
        "timeoutSeconds": timeout,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 3,
    })
}

/// A startup probe that asks as the liveness probe does, until the budget is used up.
pub fn startup(liveness: &Value, budget: u32, timeout: u32) -> Value {
    let mut probe = Map::new();
    for handler in HANDLERS {
        if let Some(asks) = liveness.get(handler).filter(|asks| !asks.is_null()) {
            probe.insert(handler.to_owned(), asks.clone());
        }
    }
    if let Some(asks) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
        asks.entry("scheme").or_insert_with(|| Value::from("HTTP"));
        asks.entry("path").or_insert_with(|| Value::from("/"));
    }
    if let Some(asks) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
        asks.entry("service").or_insert_with(|| Value::from(""));
    }
    let timeout = seconds(liveness, "timeoutSeconds", DEFAULT_TIMEOUT).max(timeout);
    for (member, value) in [
        ("timeoutSeconds", timeout),
        ("periodSeconds", PERIOD),
        ("successThreshold", 1),
        ("failureThreshold", budget.div_ceil(PERIOD)),
    ] {
        probe.insert(member.to_owned(), Value::from(value));
    }
    Value::Object(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_startup_probe_lasts_at_least_the_budget() {
        let liveness = json!({"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 5,
            "periodSeconds": 7});
        assert_eq!(allowed_seconds(&liveness), 26);
        let probe = startup(&liveness, 1801, 2);
        assert_eq!(
            probe,
            json!({"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"},
                "timeoutSeconds": 2, "periodSeconds": 10, "successThreshold": 1,
                "failureThreshold": 181})
        );
        assert!(allowed_seconds(&probe) >= 1801);
    }
}
