use crate::drain_plan::{self, DEFAULT_GRACE};
use crate::lens::Workload;
use crate::pointer::Walk;
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::{Value, json};

pub(super) static RULE: Rule = Rule {
    id: "no-delay-before-sigterm",
    summary: "no preStop, so clients meet a closed socket at every rollout",
    page: include_str!("no_delay_before_sigterm.md"),
    level: Level::Warning,
    phase: Phase::Drain,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    let grace_path = workload.spec("terminationGracePeriodSeconds");
    let default = workload
        .written
        .is_default(&grace_path, &json!(DEFAULT_GRACE));
    for server in &workload.servers {
        let container = workload.container(server);
        if container
            .at("/lifecycle/preStop")
            .is_some_and(|hook| !hook.is_null())
        {
            continue;
        }
        let runtime = server.runtime;
        let plan = drain_plan::plan(world.policy, workload, server);
        let message = if default {
            format!(
                "no preStop, and the grace period is the default of {DEFAULT_GRACE} s: a rollout cuts requests in flight"
            )
        } else {
            "no preStop: a rollout cuts requests in flight".to_owned()
        };
        let finding = findings.add(server.path.clone(), message);
        finding.note(format!("{} {}", runtime.name, runtime.drain.explanation));
        let served = plan
            .sleep
            .unwrap_or(0)
            .saturating_add(server.serves_after_sigterm());
        let longest = workload.longest_generation(world.policy);
        if longest > served {
            finding.note(format!(
                "a drain of {served} s still cuts longer answers; the longest may take {longest} s"
            ));
        }
        let Some(sleep) = plan.sleep else {
            finding.help(format!(
                "raise `terminationGracePeriodSeconds` above {}: it leaves no room for a preStop",
                plan.grace
            ));
            continue;
        };
        finding.help(format!(
            "add `lifecycle.preStop.sleep.seconds: {sleep}` and `terminationGracePeriodSeconds: {}`",
            plan.grace
        ));
        finding.change(Change {
            path: format!("{}/lifecycle/preStop", server.path),
            container: Some(server.name.clone()),
            value: json!({"sleep": {"seconds": sleep}}),
            was: None,
            reason: format!(
                "the server goes on for {sleep} s before SIGTERM: it {}",
                runtime.drain.explanation
            ),
        });
        if default && plan.grace != DEFAULT_GRACE {
            finding.change(Change {
                path: grace_path.clone(),
                container: None,
                value: Value::from(plan.grace),
                was: Some(Value::from(DEFAULT_GRACE)),
                reason: format!(
                    "{sleep} s of preStop, {} s of serving on, 10 s to exit",
                    server.serves_after_sigterm()
                ),
            });
        }
    }
}
