//! ServiceMonitors: charts make them on request, and fail where nobody serves them.

use crate::checkup::{Category, Check, Evidence, Status};
use crate::facts::Facts;

/// The group of the Prometheus Operator's kinds (prometheus-operator/prometheus-operator
/// pkg/apis/monitoring/v1).
const GROUP: &str = "monitoring.coreos.com";

pub(crate) fn category(facts: &Facts) -> Category {
    Category {
        id: "monitoring",
        title: "ServiceMonitor",
        checks: vec![check(facts)],
    }
}

fn check(facts: &Facts) -> Check {
    const ID: &str = "service-monitor-served";
    let served = match &facts.served {
        Ok(served) => served,
        Err(gap) => return Check::unknown(ID, "what is served cannot be seen", gap),
    };
    let message = |text: &str| format!("ServiceMonitor of {GROUP} is {text}");
    match served.has(GROUP, "servicemonitors") {
        Some(true) => {
            let check = Check::new(ID, Status::Ok, message("served"));
            check.evidence(Evidence::Answered)
        }
        // An answer with groups alone leaves the resource open.
        None => Check::new(ID, Status::Ok, message("most likely served: its group is"))
            .evidence(Evidence::Assumed),
        Some(false) => Check::new(ID, Status::Note, message("not served"))
            .evidence(Evidence::Answered)
            .detail(
                "a chart with `serviceMonitor.enabled=true` fails to install: leave the value out, \
                 or install the Prometheus Operator first",
            ),
    }
}
