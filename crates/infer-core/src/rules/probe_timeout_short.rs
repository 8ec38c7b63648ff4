use crate::lens::Workload;
use crate::pointer::Walk;
use crate::probe;
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::{Value, json};

pub(super) static RULE: Rule = Rule {
    id: "probe-timeout-short",
    summary: "a probe gives up before a busy server has answered",
    page: include_str!("probe_timeout_short.md"),
    level: Level::Note,
    phase: Phase::Probes,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    for server in &workload.servers {
        let wanted = server.runtime.health.timeout_seconds;
        for name in probe::NAMES {
            let Some(probe) = probe::present(workload.container(server), name) else {
                continue;
            };
            let asks = probe.at("/httpGet/path").and_then(Value::as_str);
            if asks.is_none() || asks != server.health_path.as_deref() {
                continue;
            }
            let seen = probe::seconds(probe, "timeoutSeconds", probe::DEFAULT_TIMEOUT);
            if seen >= wanted {
                continue;
            }
            let path = format!("{}/{name}/timeoutSeconds", server.path);
            let default = workload
                .written
                .is_default(&path, &json!(probe::DEFAULT_TIMEOUT));
            let what = if default {
                format!("the default of {seen} s")
            } else {
                format!("{seen} s")
            };
            let finding = findings.add(
                path.clone(),
                format!(
                    "the timeout of `{name}` is {what}, {} needs {wanted} s when it is busy",
                    server.runtime.name
                ),
            );
            finding.help(format!("set `{name}.timeoutSeconds: {wanted}`"));
            if default {
                finding.change(Change {
                    path,
                    container: Some(server.name.clone()),
                    value: Value::from(wanted),
                    was: Some(Value::from(probe::DEFAULT_TIMEOUT)),
                    reason: format!(
                        "{} may take this long to answer when it is busy",
                        server.runtime.name
                    ),
                });
            }
        }
    }
}
