use crate::gpu;
use crate::kind::Kind;
use crate::lens::Workload;
use crate::pointer;
use crate::rule::{Change, Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "gpu-limit-missing",
    summary: "a GPU is meant, and the pod asks for none",
    page: include_str!("gpu_limit_missing.md"),
    level: Level::Warning,
    phase: Phase::Gpu,
    reads: &[Kind::Node],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(world: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    if gpu::asks(workload) {
        return;
    }
    for server in &workload.servers {
        let Some(evidence) = gpu::evidence(workload, server) else {
            continue;
        };
        let count = gpu::count(server);
        let finding = findings.add(
            format!("{}/resources", server.path),
            format!("the pod asks for no GPU, but {}", evidence.seen),
        );
        finding
            .note("without a limit the pod runs on a node without a GPU, or on one that is taken");
        let (Some(resource), Some(count)) = (&evidence.resource, count) else {
            finding
                .help("set the limit by hand: its vendor or its count cannot be known from here");
            continue;
        };
        finding.help(format!("set `resources.limits.{resource}: {count}`"));
        if gpu::offered(world, resource, count) == Some(false) {
            finding.note(format!(
                "no Node offers `{resource}: {count}`, so a limit would strand the pod"
            ));
            continue;
        }
        // The API server fills a Pod's requests from its limits (kubernetes/kubernetes
        // pkg/apis/core/v1/defaults.go `SetDefaults_Pod`), a template's not. That request is ours
        // too: left behind without its limit, it would get the Pod refused.
        let lists: &[&str] = if workload.kind.template.is_empty() {
            &["limits", "requests"]
        } else {
            &["limits"]
        };
        for list in lists {
            finding.change(Change {
                path: pointer::join(&format!("{}/resources/{list}", server.path), resource),
                container: Some(server.name.clone()),
                value: Value::from(count.to_string()),
                was: None,
                reason: match count {
                    1 => evidence.seen.clone(),
                    _ => format!("{}, and its arguments ask for {count}", evidence.seen),
                },
            });
        }
        // One server's limit is the pod's: a second one beside it is a person's to share out.
        return;
    }
}
