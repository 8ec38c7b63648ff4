//! What a DestinationRule's outlier detection can take out of the load balancing: which clusters of
//! Envoy it is for, and how many replicas are in each.

use crate::object::ObjectRef;
use crate::pointer::Walk;
use crate::route::{DestinationRule, Edge};
use serde_json::Value;

/// `maxEjectionPercent` where it is left out or 0 (istio/api networking/v1/destination_rule.proto;
/// istio/istio pilot/pkg/networking/core/cluster_traffic_policy.go `applyOutlierDetection`).
pub const DEFAULT_PERCENT: u64 = 10;

/// One `outlierDetection`, with the clusters that it is for.
#[derive(Clone, Debug)]
pub struct Ejection<'a> {
    /// Pointer to it.
    pub path: String,
    /// The percentage of replicas that it may take out.
    pub percent: u64,
    /// Whether that is written.
    pub is_written: bool,
    /// The percentage of healthy replicas below which Envoy sends to all of them; 0 is never.
    pub min_health: u64,
    /// The clusters.
    pub clusters: Vec<Cluster<'a>>,
}

/// A cluster of Envoy: a host, or a subset of one.
#[derive(Clone, Debug)]
pub struct Cluster<'a> {
    /// The subset; none for the host itself.
    pub subset: Option<&'a str>,
    /// How many replicas it has, where every workload says so.
    pub replicas: Option<u64>,
    /// A workload in it, to be shown.
    pub workload: Option<&'a Value>,
}

impl Ejection<'_> {
    /// Whether it can take none of so many replicas out: Envoy does while `(ejected + 1) / replicas`
    /// stays within the percentage (envoyproxy/envoy
    /// source/common/upstream/outlier_detection_impl.cc `ejectHost`).
    pub fn takes_none_of(&self, replicas: u64) -> bool {
        100 > self.percent.saturating_mul(replicas)
    }

    /// Whether it can take every replica out, and nothing sends to them then.
    pub fn takes_all(&self) -> bool {
        self.percent >= 100 && self.min_health == 0
    }
}

impl Cluster<'_> {
    /// What messages call it, after "of": empty for the host itself.
    pub fn of_subset(&self) -> String {
        self.subset
            .map_or(String::new(), |name| format!(" of subset `{name}`"))
    }

    /// The workload and its pointer to the number of replicas.
    pub fn shown(&self) -> Option<(ObjectRef, &'static str)> {
        let workload = self.workload?;
        workload.at(REPLICAS)?;
        Some((ObjectRef::of(workload), REPLICAS))
    }
}

const REPLICAS: &str = "/spec/replicas";

/// The outlier detections of a DestinationRule.
pub fn ejections<'a>(rule: &DestinationRule<'a>) -> Vec<Ejection<'a>> {
    let mut found = Vec::new();
    let own_of = |subset: &str| {
        rule.object
            .at(&format!("{subset}/trafficPolicy/outlierDetection"))
    };
    let mut clusters = Vec::new();
    if reaches_host(rule) {
        clusters.push(cluster(None, &rule.edges));
    }
    for subset in &rule.subsets {
        let cluster = cluster(Some(subset.name), &subset.edges);
        if own_of(&subset.path).is_none() {
            clusters.push(cluster);
        } else {
            let path = format!("{}/trafficPolicy", subset.path);
            push(rule, &mut found, &path, &[cluster]);
        }
    }
    push(rule, &mut found, "/spec/trafficPolicy", &clusters);
    found
}

/// Whether requests may go to the host without a subset.
fn reaches_host(rule: &DestinationRule<'_>) -> bool {
    let to_host = |it: &crate::route::Backend<'_>| it.name == rule.name && it.subset.is_none();
    rule.subsets.is_empty()
        || rule.routed_by.is_empty()
        || rule
            .routed_by
            .iter()
            .any(|route| route.backends().any(to_host))
}

fn push<'a>(
    rule: &DestinationRule<'a>,
    found: &mut Vec<Ejection<'a>>,
    policy: &str,
    clusters: &[Cluster<'a>],
) {
    let mut add = |path: String| {
        let Some(detection) = rule.object.at(&path).filter(|it| it.is_object()) else {
            return;
        };
        let number = |member: &str| detection.get(member).and_then(Value::as_u64);
        let written = number("maxEjectionPercent").filter(|percent| *percent > 0);
        found.push(Ejection {
            path,
            percent: written.unwrap_or(DEFAULT_PERCENT),
            is_written: written.is_some(),
            min_health: number("minHealthPercent").unwrap_or(0),
            clusters: clusters.to_vec(),
        });
    };
    add(format!("{policy}/outlierDetection"));
    let ports = rule.object.at(&format!("{policy}/portLevelSettings"));
    let ports = ports.and_then(Value::as_array).map_or(0, Vec::len);
    for index in 0..ports {
        add(format!(
            "{policy}/portLevelSettings/{index}/outlierDetection"
        ));
    }
}

fn cluster<'a>(subset: Option<&'a str>, edges: &[Edge<'a>]) -> Cluster<'a> {
    let mut workloads: Vec<&Value> = Vec::new();
    for edge in edges {
        if !workloads
            .iter()
            .any(|known| std::ptr::eq(*known, edge.workload))
        {
            workloads.push(edge.workload);
        }
    }
    let each: Option<Vec<u64>> = workloads.iter().map(|it| replicas(it)).collect();
    Cluster {
        subset,
        replicas: each
            .filter(|each| !each.is_empty())
            .map(|each| each.iter().sum()),
        workload: workloads.first().copied(),
    }
}

/// How many pods a workload runs, where it says so. Left out, an autoscaler may decide.
fn replicas(workload: &Value) -> Option<u64> {
    match workload.get("kind").and_then(Value::as_str) {
        Some("Pod") => Some(1),
        Some("DaemonSet" | "Job" | "CronJob") => None,
        _ => workload.at(REPLICAS)?.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(percent: u64, min_health: u64) -> Ejection<'static> {
        Ejection {
            path: String::new(),
            percent,
            is_written: true,
            min_health,
            clusters: Vec::new(),
        }
    }

    #[test]
    fn a_replica_goes_while_its_share_is_within_the_percentage() {
        for (percent, replicas, none) in [
            (10, 3, true),
            (33, 3, true),
            (34, 3, false),
            (49, 2, true),
            (50, 2, false),
            (10, 9, true),
            (10, 10, false),
            (100, 1, false),
        ] {
            assert_eq!(
                of(percent, 0).takes_none_of(replicas),
                none,
                "{percent} of {replicas}"
            );
        }
    }

    #[test]
    fn all_can_go_only_with_a_hundred_percent_and_without_a_minimum() {
        assert!(of(100, 0).takes_all());
        assert!(!of(99, 0).takes_all());
        assert!(!of(100, 50).takes_all());
    }
}
