use crate::kind::Kind;
use crate::route::ejection::{Cluster, ejections};
use crate::route::{DestinationRule, READ_FOR_DESTINATION_RULE};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "outlier-ejects-all",
    summary: "outlier detection can take every replica out at once",
    page: include_str!("outlier_ejects_all.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: READ_FOR_DESTINATION_RULE,
    needs: &[Kind::Service, Kind::Workload],
    checks: &[Check::DestinationRule(check)],
};

fn check(_: &World<'_>, rule: &DestinationRule<'_>, findings: &mut Findings) {
    for ejection in ejections(rule).iter().filter(|it| it.takes_all()) {
        // Fewest replicas: there it is likeliest.
        let known = ejection.clusters.iter().filter(|it| it.replicas.is_some());
        let fewest = known.min_by_key(|it| it.replicas);
        let count = fewest.and_then(|it| it.replicas);
        let subset = fewest.map(Cluster::of_subset).unwrap_or_default();
        let who = match count {
            Some(1) => format!("the only replica{subset}"),
            Some(count) => format!("all {count} replicas{subset}"),
            None => "all replicas".to_owned(),
        };
        let finding = findings.add(
            format!("{}/maxEjectionPercent", ejection.path),
            format!("{who} can be ejected at once: every request then gets 503"),
        );
        if let Some((workload, path)) = fewest.and_then(Cluster::shown) {
            finding.mark(Some(workload), path, "so many are there");
        }
        finding.note("`minHealthPercent` is 0: Envoy sends nothing to ejected replicas, however few are left");
        match count {
            Some(1) => finding.help("run a second replica, or take `outlierDetection` out"),
            Some(count) => finding.help(format!(
                "set `maxEjectionPercent: {}`: one of {count} stays",
                100 * (count - 1) / count
            )),
            None => finding.help("set `maxEjectionPercent` so that one replica stays"),
        };
        finding.help("or set `minHealthPercent: 50`: with fewer healthy ones Envoy sends to all");
    }
}
