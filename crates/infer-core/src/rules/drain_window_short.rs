use crate::drain_plan;
use crate::lens::Workload;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "drain-window-short",
    summary: "a rollout cuts answers that take longer than the pod goes on serving",
    page: include_str!("drain_window_short.md"),
    level: Level::Note,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    let longest = workload.longest_generation(world.policy);
    for server in &workload.servers {
        // Without a preStop `no-delay-before-sigterm` speaks, of this too.
        let Some(sleep) = drain_plan::written_sleep(workload.container(server)) else {
            continue;
        };
        let served = sleep.saturating_add(server.serves_after_sigterm());
        if served >= longest {
            continue;
        }
        findings
            .add(
                format!("{}/lifecycle/preStop", server.path),
                format!("a rollout cuts answers that take longer than {served} s, the longest may take {longest} s"),
            )
            .help(format!(
                "state what is true: `{}: \"{longest}s\"` makes the pod stay, `{}: \"{served}s\"` says that nothing takes longer",
                crate::policy::DRAIN_WINDOW,
                crate::policy::LONGEST_GENERATION,
            ));
    }
}
