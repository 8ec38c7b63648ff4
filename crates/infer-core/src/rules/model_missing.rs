use crate::lens::Workload;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "model-missing",
    summary: "nothing tells the server which model to serve",
    page: include_str!("model_missing.md"),
    level: Level::Note,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    for server in &workload.servers {
        if server.has_model == Some(false) {
            let runtime = server.runtime;
            findings
                .add(
                    server.path.clone(),
                    format!(
                        "no argument or variable tells {} which model to serve",
                        runtime.name
                    ),
                )
                .help(format!("add {} to `args`", runtime.model.example));
        }
    }
}
