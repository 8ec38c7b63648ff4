//! Counters for Prometheus. Every label has a bounded set of values; none comes from an object.

use crate::review_request::Path;
use crate::reviewer;
use infer_cluster::Store;
use infer_core::kind::{Kind, POD_KINDS};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The API server's own histogram of webhooks begins at 5 ms (kubernetes/apiserver
/// pkg/admission/metrics); we answer far below that. In seconds.
const BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3,
    1.0,
];

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Patched,
    Untouched,
    Denied,
    /// 4xx: the request could not be read.
    Refused,
    /// 503: more work than we take on.
    Shed,
    /// 500.
    Failed,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Patched => "patched",
            Outcome::Untouched => "untouched",
            Outcome::Denied => "denied",
            Outcome::Refused => "refused",
            Outcome::Shed => "shed",
            Outcome::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    path: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabel {
    path: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// What the server counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    dry_runs: Family<ReviewLabels, Counter>,
    duration: Family<PathLabel, Histogram, fn() -> Histogram>,
    findings: Family<RuleLabel, Counter>,
    fixes: Family<RuleLabel, Counter>,
    panics: Counter,
    closed: Family<ReasonLabel, Counter>,
    objects: Family<KindLabel, Gauge>,
    synced: Family<KindLabel, Gauge>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("infer_webhook"),
            reviews: Family::default(),
            dry_runs: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            findings: Family::default(),
            fixes: Family::default(),
            panics: Counter::default(),
            closed: Family::default(),
            objects: Family::default(),
            synced: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "reviews",
            "Reviews answered, without those for a dry run",
            self.reviews.clone(),
        );
        registry.register(
            "dry_run_reviews",
            "Reviews answered for a dry run; these count nowhere else",
            self.dry_runs.clone(),
        );
        registry.register_with_unit(
            "review_duration",
            "Time from the whole body to the answer, with the wait for the store",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register("findings", "Findings of each rule", self.findings.clone());
        registry.register(
            "fixes",
            "Reviews that each rule changed",
            self.fixes.clone(),
        );
        registry.register(
            "panics",
            "Reviews that panicked: a bug",
            self.panics.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections that were closed for what the client did or did not do",
            self.closed.clone(),
        );
        registry.register("store_objects", "Objects in memory", self.objects.clone());
        registry.register(
            "store_synced",
            "1 where every watch of the kind is in step with the cluster",
            self.synced.clone(),
        );
    }

    pub(crate) fn review(&self, path: Path, kind: &'static str, outcome: Outcome, dry_run: bool) {
        let labels = ReviewLabels {
            path: path.label(),
            kind,
            outcome: outcome.label(),
        };
        let family = if dry_run {
            &self.dry_runs
        } else {
            &self.reviews
        };
        family.get_or_create(&labels).inc();
    }

    pub(crate) fn took(&self, path: Path, time: Duration) {
        self.duration
            .get_or_create(&PathLabel { path: path.label() })
            .observe(time.as_secs_f64());
    }

    pub(crate) fn rules(&self, found: &[&'static str], fixed: &[&'static str]) {
        for rule in found {
            self.findings.get_or_create(&RuleLabel { rule }).inc();
        }
        for rule in fixed {
            self.fixes.get_or_create(&RuleLabel { rule }).inc();
        }
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The text of `/metrics` (OpenMetrics 1.0, which Prometheus reads).
    pub(crate) fn text(&self, store: Option<&Store>) -> String {
        if let Some(store) = store {
            let snapshot = store.read();
            for kind in reviewer::reads().iter() {
                let label = KindLabel {
                    kind: kind_label(kind),
                };
                let count = i64::try_from(snapshot.count(kind)).unwrap_or(i64::MAX);
                self.objects.get_or_create(&label).set(count);
                self.synced
                    .get_or_create(&label)
                    .set(i64::from(store.is_synced(kind)));
            }
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

fn kind_label(kind: Kind) -> &'static str {
    // "a Service" -> "Service".
    kind.with_article()
        .split_once(' ')
        .map_or("", |(_, name)| name)
}

/// The value of the label `kind` for a kind of the API: one that we know, or "other".
pub(crate) fn api_kind_label(kind: &str) -> &'static str {
    let others = ["Ingress", "Service", "Namespace", "Node", "IngressClass"];
    let known = POD_KINDS.iter().map(|it| it.kind).chain(others);
    known
        .into_iter()
        .find(|known| *known == kind)
        .unwrap_or("other")
}
