//! Our webhook: whether it is registered, trusted, reachable, asked, and which policy it follows.

mod registration;
mod told;

pub use registration::{PolicySource, Registration, policy_source, registrations, rehearsal};

use crate::checkup::{Category, Check, Evidence, Status};
use crate::facts::{Bundle, Facts, Rehearsal, WebhookFacts};
use crate::words::{count, day, listed};
use infer_core::catalogue::Catalogue;
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::record::{Carried, Record};
use infer_core::server;
use serde_json::Value;

/// Names that a line can hold.
const SHOWN: usize = 4;
/// An authority that ends sooner is a warning. The webhook makes a successor at two thirds of a
/// year (docs/install.md), so its own never comes so near.
const SOON: i64 = 14 * 86_400;
/// How an authority of the webhook's own making is called (webhook/src/authority.rs).
const OWN_AUTHORITY: &str = "infer-webhook ca-";
/// How to install it.
const INSTALL: &str = "kubectl apply -k manifests/base";

pub(crate) fn category(catalogue: &Catalogue, facts: &Facts) -> Category {
    Category {
        id: "webhook",
        title: "Admission webhook (infer-webhook)",
        checks: checks(catalogue, facts),
    }
}

fn checks(catalogue: &Catalogue, facts: &Facts) -> Vec<Check> {
    let mutating = match &facts.mutating {
        Ok(mutating) => mutating,
        Err(gap) => {
            let message = "registrations cannot be seen";
            return vec![Check::unknown("webhook-registered", message, gap)];
        }
    };
    let found = registrations(mutating);
    if found.is_empty() {
        return vec![
            Check::new(
                "webhook-registered",
                Status::Note,
                "not registered: nothing is filled in at admission",
            )
            .evidence(Evidence::Observed)
            .detail("`check` and `diff` say the same offline")
            .next(INSTALL, "installs it (docs/install.md)"),
        ];
    }
    let mut checks = Vec::new();
    for (index, registration) in found.iter().enumerate() {
        checks.push(
            Check::new(
                "webhook-registered",
                Status::Ok,
                format!("registered as {}", registration.name),
            )
            .subject(registration.title())
            .evidence(Evidence::Declared)
            .detail(format!("calls {}", registration.address())),
        );
        checks.push(failure_policy(registration));
        checks.extend(scope(catalogue, facts, registration));
        let Some(more) = facts.webhooks.get(index) else {
            continue;
        };
        checks.push(bundle(facts, registration, more));
        checks.extend(endpoints(facts, registration, more));
        checks.push(rehearsed(registration, more));
        checks.extend(told::policy(facts, registration, more));
        checks.extend(told::version(facts, registration, more));
    }
    checks
}

/// What happens to objects while it does not answer.
fn failure_policy(registration: &Registration) -> Check {
    let text = |member: &str| registration.entry.get(member).and_then(Value::as_str);
    let seconds = registration
        .entry
        .get("timeoutSeconds")
        .and_then(Value::as_u64);
    // admissionregistration/v1: 10 s and Fail where nothing is written.
    let seconds = seconds.unwrap_or(10);
    let check = |status, message: String| {
        Check::new("webhook-failure-policy", status, message)
            .subject(registration.title())
            .evidence(Evidence::Declared)
    };
    if text("failurePolicy") == Some("Ignore") {
        let message = format!("failurePolicy Ignore, timeout {seconds} s");
        return check(Status::Ok, message)
            .detail("while it is down, objects are stored as they are written");
    }
    check(
        Status::Warning,
        format!("failurePolicy Fail, timeout {seconds} s"),
    )
    .detail(
        "while it is down, no workload and no route can be created or changed in its namespaces; \
         manifests/base has Ignore",
    )
    .next(
        format!("kubectl get {} -o yaml", registration.title()),
        "its entries",
    )
}

/// The namespaces in scope, and those with inference workloads that are not.
fn scope(catalogue: &Catalogue, facts: &Facts, registration: &Registration) -> Vec<Check> {
    let namespaces = match &facts.namespace_objects {
        Ok(namespaces) => namespaces,
        Err(gap) => {
            let message = "the namespaces in its scope cannot be seen";
            let check = Check::unknown("webhook-scope", message, gap);
            return vec![check.subject(registration.title())];
        }
    };
    let enforced = registration.enforced(namespaces);
    let label = registration.scope_label();
    let check = |status, message: String| {
        Check::new("webhook-scope", status, message)
            .subject(registration.title())
            .evidence(Evidence::Declared)
    };
    let mut checks = Vec::new();
    checks.push(if enforced.is_empty() {
        check(
            Status::Warning,
            "no namespace is in its scope: it is never asked".to_owned(),
        )
        .detail("its namespaceSelector takes none of them")
        .next(
            format!("kubectl label namespace NAMESPACE {label}"),
            "puts one in scope",
        )
    } else {
        let number = count(enforced.len(), "namespace");
        check(
            Status::Ok,
            format!("{number} in scope: {}", listed(&enforced, SHOWN)),
        )
    });
    let mut outside: Vec<&str> = facts
        .workloads
        .iter()
        .filter(|it| {
            let template = it.at("/spec/template");
            template.is_some_and(|it| !server::servers(catalogue, it, "").is_empty())
        })
        .map(object::namespace)
        .filter(|it| facts.is_meant(it) && !enforced.contains(it))
        .collect();
    outside.sort_unstable();
    outside.dedup();
    if let Some(first) = outside.first() {
        let number = count(outside.len(), "namespace");
        let message = format!(
            "inference outside of its scope in {number}: {}",
            listed(&outside, SHOWN)
        );
        checks.push(
            Check::new("webhook-scope", Status::Note, message)
                .subject(format!("namespace/{first}"))
                .evidence(Evidence::Observed)
                .next(
                    format!("kubectl label namespace {first} {label}"),
                    "puts it in scope",
                ),
        );
    }
    checks
}

/// What the API server trusts.
fn bundle(facts: &Facts, registration: &Registration, more: &WebhookFacts) -> Check {
    const ID: &str = "webhook-ca";
    let check = |status, message: String| {
        Check::new(ID, status, message)
            .subject(registration.title())
            .evidence(Evidence::Declared)
    };
    let logs = registration.logs_command(&facts.workloads, more);
    let authorities = match &more.bundle {
        Bundle::Empty => {
            return check(Status::Error, "caBundle is empty".to_owned())
                .detail(
                    "the API server then trusts the authorities of its own machine only, and none \
                     of them issued the webhook's certificate; the webhook sets caBundle itself \
                     where it runs with --register",
                )
                .next(logs, "what the webhook says of it");
        }
        Bundle::Broken(why) => {
            return check(Status::Error, "caBundle holds no certificate".to_owned())
                .detail(why.clone())
                .next(logs, "what the webhook says of it");
        }
        Bundle::Authorities(authorities) => authorities,
    };
    let is_valid =
        |not_before: i64, not_after: i64| not_before <= facts.now && facts.now <= not_after;
    let valid = authorities
        .iter()
        .filter(|it| is_valid(it.not_before, it.not_after));
    let Some(last) = valid.clone().map(|it| it.not_after).max() else {
        let ended = authorities.iter().map(|it| it.not_after).max().unwrap_or(0);
        let message = if ended < facts.now {
            format!("caBundle has expired: valid until {}", day(ended))
        } else {
            "caBundle is not valid yet".to_owned()
        };
        return check(Status::Error, message)
            .detail("the API server trusts no answer of the webhook and stores objects unreviewed")
            .next(logs, "what the webhook says of it");
    };
    if registration.makes_own_certificates(&facts.workloads, more)
        && !valid.clone().any(|it| it.name.starts_with(OWN_AUTHORITY))
    {
        let names: Vec<&str> = valid.map(|it| it.name.as_str()).collect();
        return check(
            Status::Error,
            "caBundle holds another authority than the webhook's".to_owned(),
        )
        .detail(format!(
            "it holds {}; the webhook makes its own certificates (--certificate-secret), and \
                 their authority is called `{OWN_AUTHORITY}…`",
            listed(&names, SHOWN)
        ))
        .next(logs, "what the webhook says of it");
    }
    let number = count(authorities.len(), "certificate");
    let message = format!("caBundle holds {number}, valid until {}", day(last));
    if last - facts.now < SOON {
        return check(Status::Warning, message)
            .detail("nothing is trusted after that day; whoever issues it should have renewed it")
            .next(logs, "what the webhook says of it");
    }
    check(Status::Ok, message)
}

/// Whether somebody is there to answer.
fn endpoints(facts: &Facts, registration: &Registration, more: &WebhookFacts) -> Option<Check> {
    const ID: &str = "webhook-endpoints";
    let (namespace, name, port) = registration.service.as_ref()?;
    let title = format!("service {namespace}/{name}");
    let subject = format!("service/{name}");
    let service = match &more.service {
        Ok(Some(service)) => service,
        Ok(None) => {
            return Some(
                Check::new(ID, Status::Error, format!("{title} does not exist"))
                    .subject(subject)
                    .evidence(Evidence::Observed)
                    .detail("the registration is a left-over, or the install is not complete")
                    .next(INSTALL, "completes it"),
            );
        }
        Err(gap) => {
            let check = Check::unknown(ID, format!("{title} cannot be seen"), gap);
            return Some(check.subject(subject));
        }
    };
    let pods = registration.pods_command(&facts.workloads, more);
    if service.at("/spec/type").and_then(Value::as_str) == Some("ExternalName") {
        let message = format!("{title} leads out of the cluster (ExternalName)");
        return Some(
            Check::new(ID, Status::Note, message)
                .subject(subject)
                .evidence(Evidence::Declared),
        );
    }
    let ports = service.at("/spec/ports").and_then(Value::as_array);
    let mut ports = ports
        .into_iter()
        .flatten()
        .filter_map(|it| it.get("port")?.as_u64());
    if !ports.any(|it| it == *port) {
        return Some(
            Check::new(ID, Status::Error, format!("{title} has no port {port}"))
                .subject(subject)
                .evidence(Evidence::Declared)
                .detail("the registration names that port in clientConfig.service")
                .next(INSTALL, "sets both as they belong together"),
        );
    }
    let slices = match &more.slices {
        Ok(slices) => slices,
        Err(gap) => {
            let message = format!("the endpoints of {title} cannot be seen");
            return Some(Check::unknown(ID, message, gap).subject(subject));
        }
    };
    let endpoints = slices
        .iter()
        .filter_map(|it| it.get("endpoints")?.as_array());
    let (mut ready, mut all) = (0, 0);
    for endpoint in endpoints.flatten() {
        all += 1;
        // Absent is ready (discovery/v1 `EndpointConditions.ready`).
        ready += usize::from(endpoint.at("/conditions/ready") != Some(&Value::Bool(false)));
    }
    let check = |status, message: String| {
        Check::new(ID, status, message)
            .subject(subject.clone())
            .evidence(Evidence::Reported)
    };
    Some(match (ready, all) {
        (0, 0) => check(
            Status::Error,
            format!("{title} has no endpoint: nobody answers"),
        )
        .next(pods, "whether its pods run"),
        (0, all) => check(
            Status::Error,
            format!("{title}: none of {} is ready", count(all, "endpoint")),
        )
        .detail("its readiness says no while caBundle does not hold its authority, too")
        .next(
            registration.logs_command(&facts.workloads, more),
            "what it waits for",
        ),
        (ready, all) => check(
            Status::Ok,
            format!("{title}: {ready} of {} ready", count(all, "endpoint")),
        ),
    })
}

/// How the dry run went: the proof that everything before it holds.
fn rehearsed(registration: &Registration, more: &WebhookFacts) -> Check {
    const ID: &str = "webhook-answers";
    let check =
        |status, message: String| Check::new(ID, status, message).subject(registration.title());
    match &more.rehearsal {
        Rehearsal::Skipped(why) => check(
            Status::Unknown,
            "whether it is asked was not tried".to_owned(),
        )
        .detail(why),
        Rehearsal::Unknown(gap) => {
            let check = Check::unknown(ID, "whether it is asked cannot be tried", gap);
            check.subject(registration.title())
        }
        Rehearsal::Refused { namespace, message } => {
            // kubernetes/apiserver pkg/admission/plugin/webhook/errors: "failed calling webhook".
            let by_webhook = message.contains("failed calling webhook")
                && message.contains(registration.entry_name());
            let check = check(
                if by_webhook {
                    Status::Error
                } else {
                    Status::Unknown
                },
                if by_webhook {
                    format!("a dry run in {namespace} failed: the API server cannot call it")
                } else {
                    format!("a dry run in {namespace} was refused by somebody else")
                },
            );
            check.evidence(Evidence::Answered).detail(message)
        }
        Rehearsal::Answered { namespace, object } => {
            if let Some(Record { added, .. }) = Carried::of(object).readable() {
                let number = count(added.len(), "value");
                return check(
                    Status::Ok,
                    format!("a dry run in {namespace} came back with {number} filled in"),
                )
                .evidence(Evidence::Answered);
            }
            let check = check(
                Status::Error,
                format!("a dry run in {namespace} came back untouched: not reviewed"),
            )
            .evidence(Evidence::Answered)
            .detail(untouched(registration, more));
            check.next(
                "kubectl get --raw /metrics | grep apiserver_admission_webhook_fail_open_count",
                "grows with each object let through unreviewed",
            )
        }
    }
}

/// What may be the cause of an answer without a review.
fn untouched(registration: &Registration, more: &WebhookFacts) -> String {
    let mut causes = Vec::new();
    if registration.service.is_none() || more.slices.is_err() {
        causes.push("it does not run, or cannot be reached from the API server");
    }
    causes.push("caBundle does not hold the authority of its certificate");
    if told::fixes_nothing(more) != Some(false) {
        causes.push("its policy fills in nothing");
    }
    if registration
        .entry
        .get("objectSelector")
        .is_some_and(|it| it.as_object().is_some_and(|it| !it.is_empty()))
    {
        causes.push("its objectSelector leaves the object out");
    }
    format!(
        "the API server hides why (failurePolicy Ignore). Left are: {}",
        causes.join("; ")
    )
}
