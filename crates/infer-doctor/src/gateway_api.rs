//! The Gateway API: whether it is served, in which release, and from which channel.

use crate::checkup::{Category, Check, Evidence, Status};
use crate::facts::Facts;
use infer_core::object;

/// The group of its kinds.
const GROUP: &str = "gateway.networking.k8s.io";
/// The CustomResourceDefinition that is asked for its release.
pub(crate) const DEFINITION: &str = "gatewayclasses.gateway.networking.k8s.io";
/// The release of the bundle (kubernetes-sigs/gateway-api pkg/consts/consts.go).
const BUNDLE: &str = "gateway.networking.k8s.io/bundle-version";
/// The channel of the bundle (same place).
const CHANNEL: &str = "gateway.networking.k8s.io/channel";

pub(crate) fn category(facts: &Facts) -> Category {
    Category {
        id: "gateway-api",
        title: "Gateway API",
        checks: vec![check(facts)],
    }
}

fn check(facts: &Facts) -> Check {
    const ID: &str = "gateway-api-served";
    let served = match &facts.served {
        Ok(served) => served,
        Err(gap) => return Check::unknown(ID, "what is served cannot be seen", gap),
    };
    let versions = served.versions(GROUP);
    if versions.is_empty() {
        return Check::new(
            ID,
            Status::Note,
            "not installed: no HTTPRoute can be stored",
        )
        .evidence(Evidence::Answered)
        .detail("only a cluster that routes by Gateway needs it");
    }
    let is_old = !versions.contains(&"v1");
    let versions = versions.join(", ");
    match &facts.gateway_definition {
        Ok(Some(definition)) => {
            let release = object::annotation(definition, BUNDLE);
            let channel = object::annotation(definition, CHANNEL);
            let release = release.unwrap_or("release unknown");
            let channel = channel.unwrap_or("channel unknown");
            let check = Check::new(
                ID,
                Status::Ok,
                format!("{release}, {channel}, serves {versions}"),
            )
            .evidence(Evidence::Declared)
            .subject(format!("customresourcedefinition/{DEFINITION}"));
            if is_old {
                return Check {
                    status: Status::Warning,
                    ..check
                }
                .detail("v1 is not served: this bundle is from before October 2023, and v1 routes are refused");
            }
            check
        }
        Ok(None) => Check::new(
            ID,
            Status::Note,
            format!("serves {versions}, release unknown"),
        )
        .evidence(Evidence::Answered)
        .detail(format!("there is no CustomResourceDefinition {DEFINITION}")),
        Err(gap) => {
            let message = format!("serves {versions}; its release cannot be seen");
            Check::unknown(ID, message, gap).evidence(Evidence::Answered)
        }
    }
}
