use crate::drain::EXIT;
use crate::drain_plan;
use crate::lens::Workload;
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::{Value, json};

pub(super) static RULE: Rule = Rule {
    id: "grace-too-short",
    summary: "the grace period ends before the drain does",
    page: include_str!("grace_too_short.md"),
    level: Level::Warning,
    phase: Phase::Drain,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    let path = workload.spec("terminationGracePeriodSeconds");
    let grace = workload
        .spec_seconds("terminationGracePeriodSeconds")
        .unwrap_or(drain_plan::DEFAULT_GRACE);
    for server in &workload.servers {
        // Without a preStop `no-delay-before-sigterm` speaks, of the grace too.
        let Some(sleep) = drain_plan::written_sleep(workload.container(server)) else {
            continue;
        };
        let serves = server.serves_after_sigterm();
        let wanted = sleep.saturating_add(serves).saturating_add(EXIT);
        if grace >= wanted {
            continue;
        }
        let default = workload
            .written
            .is_default(&path, &json!(drain_plan::DEFAULT_GRACE));
        let seen = if default {
            format!("the default of {grace} s")
        } else {
            format!("{grace} s")
        };
        let finding = findings.add(
            path.clone(),
            format!("the grace period is {seen}, the drain takes {wanted} s"),
        );
        finding.mark(
            None,
            format!("{}/lifecycle/preStop", server.path),
            format!("sleeps {sleep} s"),
        );
        finding.note(format!(
            "{sleep} s of preStop, {serves} s in which the server goes on, {EXIT} s to exit"
        ));
        if wanted > world.policy.max_grace_period {
            finding.help(format!(
                "shorten preStop: the platform caps the grace period at {} s",
                world.policy.max_grace_period
            ));
            continue;
        }
        finding.help(format!("set `terminationGracePeriodSeconds: {wanted}`"));
        if default {
            finding.change(Change {
                path: path.clone(),
                container: None,
                value: Value::from(wanted),
                was: Some(Value::from(drain_plan::DEFAULT_GRACE)),
                reason: format!("preStop sleeps {sleep} s, the server then goes on for {serves} s"),
            });
        }
    }
}
