use crate::kind::Kind;
use crate::route::ejection::{Cluster, ejections};
use crate::route::{DestinationRule, READ_FOR_DESTINATION_RULE};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "outlier-never-ejects",
    summary: "outlier detection cannot take a failing replica out",
    page: include_str!("outlier_never_ejects.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: READ_FOR_DESTINATION_RULE,
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::DestinationRule(check)],
};

fn check(_: &World<'_>, rule: &DestinationRule<'_>, findings: &mut Findings) {
    for ejection in ejections(rule) {
        // Of one replica none can go without all going.
        let stays = |it: &&Cluster<'_>| {
            it.replicas
                .is_some_and(|count| count > 1 && ejection.takes_none_of(count))
        };
        let Some(cluster) = ejection.clusters.iter().find(stays) else {
            continue;
        };
        let count = cluster.replicas.unwrap_or_default();
        let percent = ejection.percent;
        let (path, default) = if ejection.is_written {
            (format!("{}/maxEjectionPercent", ejection.path), "")
        } else {
            (ejection.path.clone(), " (the default)")
        };
        let wanted = 100_u64.div_ceil(count.max(1));
        let finding = findings.add(
            path,
            format!(
                "`maxEjectionPercent` of {percent}{default}: none of {count} replicas{} is ever ejected",
                cluster.of_subset()
            ),
        );
        if let Some((workload, path)) = cluster.shown() {
            finding.mark(
                Some(workload),
                path,
                format!("one of {count} is {:.1} %", 100.0 / count as f64),
            );
        }
        finding
            .note("Envoy ejects a replica only while (ejected + 1) / replicas stays within the percentage")
            .note(format!(
                "it ejects from {} replicas on, if something scales that far",
                100_u64.div_ceil(percent.max(1))
            ))
            .help(format!("set `maxEjectionPercent: {wanted}`: one of {count} can go"));
    }
}
