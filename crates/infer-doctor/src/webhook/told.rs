//! What the webhook was told: its policy and its version.

use super::registration::{Registration, registrations};
use crate::checkup::{Check, Evidence, Status};
use crate::facts::{Facts, WebhookFacts, WebhookPolicy};
use crate::installed::numbers;
use infer_core::image::Image;
use infer_core::policy::{self, Policy};
use infer_core::rules;
use serde_json::Value;

/// The policy, where it is known and can be read.
fn known(more: &WebhookFacts) -> Option<Policy> {
    match &more.policy {
        WebhookPolicy::Baseline => Some(Policy::baseline()),
        WebhookPolicy::ConfigMap { document, .. } => policy::parse(document.as_ref().ok()?).ok(),
        WebhookPolicy::Unknown | WebhookPolicy::File(_) => None,
    }
}

/// Whether the policy lets no rule fill in anything; `None` where it is not known.
pub(super) fn fixes_nothing(more: &WebhookFacts) -> Option<bool> {
    let policy = known(more)?;
    Some(!rules::ALL.iter().any(|rule| policy.may_fix(rule)))
}

/// Which policy holds, and whether what it denies is denied.
pub(super) fn policy(
    facts: &Facts,
    registration: &Registration,
    more: &WebhookFacts,
) -> Vec<Check> {
    const ID: &str = "webhook-policy";
    let check = |status, message: String| {
        Check::new(ID, status, message)
            .subject(registration.title())
            .evidence(Evidence::Declared)
    };
    let mut checks = vec![match &more.policy {
        WebhookPolicy::Unknown => Check {
            evidence: None,
            ..check(Status::Unknown, "its policy is not known".to_owned())
        }
        .detail("no Deployment behind it is seen, and its flags say which policy it reads"),
        WebhookPolicy::Baseline => check(Status::Ok, "policy: the built-in baseline".to_owned()),
        WebhookPolicy::File(file) => check(Status::Unknown, format!("policy: the file {file}"))
            .detail("it is no key of a ConfigMap, so it cannot be read from here"),
        WebhookPolicy::ConfigMap { name, document } => match document {
            Err(gap) => {
                let message = format!("policy: ConfigMap {name}, which cannot be seen");
                let check = Check::unknown(ID, message, gap);
                check
                    .subject(registration.title())
                    .evidence(Evidence::Declared)
            }
            Ok(document) => match policy::parse(document) {
                Ok(_) => check(Status::Ok, format!("policy: ConfigMap {name}"))
                    .detail("read when the webhook starts: a later change needs a restart"),
                Err(errors) => {
                    let message = format!("policy: ConfigMap {name} cannot be read");
                    let check =
                        check(Status::Error, message).detail("the webhook does not start with it");
                    errors.iter().fold(check, |check, error| {
                        check.detail(format!("{}: {}", error.path, error.message))
                    })
                }
            },
        },
    }];
    checks.extend(denial(facts, registration, more));
    checks
}

/// A refusal is given on `/validate` only, so it needs a registration of its own.
fn denial(facts: &Facts, registration: &Registration, more: &WebhookFacts) -> Option<Check> {
    const ID: &str = "webhook-deny";
    let check = |status, message: &str| {
        Check::new(ID, status, message)
            .subject(registration.title())
            .evidence(Evidence::Declared)
    };
    let policy = known(more)?;
    let validating = match &facts.validating {
        Ok(validating) => validating,
        Err(gap) => {
            let message = "whether denials are asked for cannot be seen";
            return policy.denies().then(|| Check::unknown(ID, message, gap));
        }
    };
    let asked = registrations(validating);
    match (policy.denies(), asked.first()) {
        (true, None) => Some(
            check(
                Status::Error,
                "the policy denies, and nobody asks: nothing is refused",
            )
            .detail(
                "refusals are given on /validate only: a ValidatingWebhookConfiguration with an \
                     entry of the same Service and this path is missing",
            )
            .next(
                "kubectl get validatingwebhookconfigurations",
                "what is registered",
            ),
        ),
        (true, Some(found)) => Some(check(
            Status::Ok,
            &format!("denials are asked for by {}", found.name),
        )),
        (false, Some(found)) => Some(
            check(
                Status::Note,
                "the policy denies nothing, and is asked all the same",
            )
            .detail(format!(
                "validatingwebhookconfiguration/{} costs a call for each object",
                found.name
            )),
        ),
        (false, None) => None,
    }
}

/// The webhook's version against ours.
pub(super) fn version(
    facts: &Facts,
    registration: &Registration,
    more: &WebhookFacts,
) -> Option<Check> {
    const ID: &str = "webhook-version";
    let container = registration.container(&facts.workloads, more)?;
    let image = container.get("image").and_then(Value::as_str)?;
    let tag = Image::parse(image).tag;
    let own = &facts.client_version;
    let check = |status, message: String| {
        Check::new(ID, status, message)
            .subject(registration.title())
            .evidence(Evidence::Declared)
    };
    Some(match (numbers(tag), numbers(own)) {
        (Some(theirs), Some(ours)) if theirs == ours => {
            check(Status::Ok, format!("version {tag}, as this plugin"))
        }
        (Some(_), _) => check(
            Status::Warning,
            format!("version {tag}, this plugin is {own}"),
        )
        .detail("what `check` and `diff` say offline may differ from what it does"),
        (None, _) => check(Status::Unknown, "its version is not known".to_owned())
            .detail(format!("its image's tag is `{tag}`; this plugin is {own}")),
    })
}
