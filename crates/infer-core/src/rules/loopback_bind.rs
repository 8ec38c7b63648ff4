use crate::lens::Workload;
use crate::pointer::Walk;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "loopback-bind",
    summary: "the server listens on 127.0.0.1 only, where nobody reaches it",
    page: include_str!("loopback_bind.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    if has_company(workload) {
        return;
    }
    for server in &workload.servers {
        if server.reachable != Some(false) {
            continue;
        }
        let host = server
            .runtime
            .host
            .flags
            .first()
            .map_or("--host", String::as_str);
        findings
            .add(
                server.path.clone(),
                format!(
                    "{} listens on loopback only: no probe and no Service reaches it",
                    server.runtime.name
                ),
            )
            .note("the kubelet and every Service come in through the pod's own address")
            .help(format!("add `{host} 0.0.0.0` to `args`"));
    }
}

/// Whether another container may be what talks to the server: a proxy in the same pod reaches
/// loopback.
fn has_company(workload: &Workload<'_>) -> bool {
    let list = |member: &str| {
        let items = workload.template.at(&format!("/spec/{member}"));
        items
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let is_sidecar =
        |item: &Value| item.get("restartPolicy").and_then(Value::as_str) == Some("Always");
    list("containers").len() > 1 || list("initContainers").iter().any(is_sidecar)
}
