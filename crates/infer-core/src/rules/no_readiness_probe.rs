use crate::lens::Workload;
use crate::probe;
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "no-readiness-probe",
    summary: "the pod gets traffic before its weights are loaded",
    page: include_str!("no_readiness_probe.md"),
    level: Level::Warning,
    phase: Phase::Probes,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    for server in &workload.servers {
        if probe::present(workload.container(server), "readinessProbe").is_some() {
            continue;
        }
        let runtime = server.runtime;
        let finding = findings.add(
            server.path.clone(),
            "no readiness probe: the pod gets traffic before its weights are loaded",
        );
        let Some(endpoint) = server.endpoint() else {
            finding.help(format!(
                "add one on `{}`; the port or address that {} listens on cannot be known from here",
                runtime.health.path, runtime.name
            ));
            continue;
        };
        finding.help(format!(
            "add `readinessProbe.httpGet` with `path: {}` and `port: {}`",
            endpoint.path, endpoint.port
        ));
        finding.change(Change {
            path: format!("{}/readinessProbe", server.path),
            container: Some(server.name.clone()),
            value: probe::readiness(&endpoint, runtime.health.timeout_seconds),
            was: None,
            reason: format!(
                "{} answers 200 there only with a loaded model",
                runtime.name
            ),
        });
    }
}
