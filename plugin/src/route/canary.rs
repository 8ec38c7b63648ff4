//! Canaries of ingress-nginx beside an Ingress.

use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::Value;

/// The Services of canaries: Ingresses that say so and share host and path with this one. Of such a
/// pair ingress-nginx makes one route with two Services (kubernetes/ingress-nginx
/// `internal/ingress/controller/controller.go`, `mergeAlternativeBackends`).
pub(super) fn canaries(ingress: &Value, beside: &[Value]) -> Vec<String> {
    let own = places(ingress);
    let mut found: Vec<String> = Vec::new();
    for other in beside {
        let is_canary = object::annotation(other, CANARY) == Some("true");
        if !is_canary || object::name(other) == object::name(ingress) {
            continue;
        }
        for (host, path, service) in places(other) {
            let shared = own.iter().any(|it| (it.0, it.1) == (host, path));
            if shared && !found.iter().any(|it| it == service) {
                found.push(service.to_owned());
            }
        }
    }
    found
}

/// The annotation of a canary (kubernetes/ingress-nginx `docs/user-guide/nginx-configuration/
/// annotations.md`, "Canary").
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";

/// Host, path and Service of every path of an Ingress; the first two may be empty.
fn places(ingress: &Value) -> Vec<(&str, &str, &str)> {
    let rules = ingress.at("/spec/rules").and_then(Value::as_array);
    let mut found = Vec::new();
    for rule in rules.into_iter().flatten() {
        let host = rule.at("/host").and_then(Value::as_str).unwrap_or_default();
        let paths = rule.at("/http/paths").and_then(Value::as_array);
        for path in paths.into_iter().flatten() {
            let service = path.at("/backend/service/name").and_then(Value::as_str);
            let own = path.at("/path").and_then(Value::as_str).unwrap_or_default();
            found.extend(service.map(|service| (host, own, service)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_canary_that_shares_host_and_path_adds_its_service() {
        let path = |path: &str, service: &str| {
            json!({"path": path, "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": 80}}}})
        };
        let ingress = |paths: Value| {
            json!({"kind": "Ingress", "metadata": {"name": "i", "namespace": "n"},
                "spec": {"rules": [{"host": "a.local", "http": {"paths": paths}}]}})
        };
        let main = ingress(json!([path("/", "stable"), path("/v1", "model")]));
        let canary = |name: &str, service: &str, at: &str, flag: &str| {
            let mut canary = ingress(json!([path(at, service)]));
            canary["metadata"]["name"] = json!(name);
            canary["metadata"]["annotations"] = json!({CANARY: flag});
            canary
        };
        let mut elsewhere = canary("d", "elsewhere", "/", "true");
        elsewhere["spec"]["rules"][0]["host"] = json!("b.local");
        let beside = [
            main.clone(),
            canary("a", "canary", "/v1", "true"),
            canary("b", "off", "/v1", "false"),
            canary("c", "other-path", "/v2", "true"),
            elsewhere,
        ];
        assert_eq!(canaries(&main, &beside), ["canary"]);
    }
}
