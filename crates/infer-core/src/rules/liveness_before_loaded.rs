use crate::lens::Workload;
use crate::probe;
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "liveness-before-loaded",
    summary: "the liveness probe can kill the server before its weights are loaded",
    page: include_str!("liveness_before_loaded.md"),
    level: Level::Warning,
    phase: Phase::Probes,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    for server in &workload.servers {
        let container = workload.container(server);
        let Some(liveness) = probe::present(container, "livenessProbe") else {
            continue;
        };
        if probe::present(container, "startupProbe").is_some() {
            continue;
        }
        let allows = probe::allowed_seconds(liveness);
        let budget = workload.startup_budget(world.policy, server);
        if allows >= budget {
            continue;
        }
        let path = format!("{}/livenessProbe", server.path);
        let finding = findings.add(
            path,
            format!("liveness gives up {allows} s after the start, loading may take {budget} s"),
        );
        finding
            .note("without a startup probe the kubelet then restarts the server, again and again");
        finding.help(format!(
            "add a `startupProbe` of {budget} s, or state a shorter `{}`",
            crate::policy::STARTUP_BUDGET
        ));
        finding.change(Change {
            path: format!("{}/startupProbe", server.path),
            container: Some(server.name.clone()),
            value: probe::startup(
                liveness,
                budget.max(allows),
                server.runtime.health.timeout_seconds,
            ),
            was: None,
            reason: format!(
                "holds the liveness probe back for the {budget} s that loading may take"
            ),
        });
    }
}
