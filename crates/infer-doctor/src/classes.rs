//! Controllers: what serves each IngressClass and GatewayClass, by the controller that the class
//! names and never by the class's own name.

use crate::checkup::{Category, Check, Evidence, Status};
use crate::facts::Facts;
use crate::installed::{Installed, Version, with_image};
use crate::words::listed;
use infer_core::catalogue::{Catalogue, ClassBy, Controller, WithoutClass};
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::Value;

/// The annotation of the class that an Ingress without one gets (networking.k8s.io/v1
/// `AnnotationIsDefaultIngressClass`).
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// Names that a line can hold.
const SHOWN: usize = 4;

/// What a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ingress,
    Gateway,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Kind::Ingress => "IngressClass",
            Kind::Gateway => "GatewayClass",
        }
    }

    /// The field that names the controller.
    fn field(self) -> &'static str {
        match self {
            Kind::Ingress => "spec.controller",
            Kind::Gateway => "spec.controllerName",
        }
    }

    /// The controller that a class names.
    fn controller(self, class: &Value) -> &str {
        let pointer = match self {
            Kind::Ingress => "/spec/controller",
            Kind::Gateway => "/spec/controllerName",
        };
        let name = class.at(pointer).and_then(Value::as_str);
        name.unwrap_or_default()
    }

    fn known(self, controller: &Controller) -> &[String] {
        match self {
            Kind::Ingress => &controller.controllers,
            Kind::Gateway => &controller.gateway_controllers,
        }
    }
}

/// What serves requests from outside.
pub(crate) fn category(catalogue: &Catalogue, facts: &Facts) -> Category {
    let mut checks = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for (kind, seen) in [
        (Kind::Ingress, &facts.ingress_classes),
        (Kind::Gateway, &facts.gateway_classes),
    ] {
        match seen {
            Ok(classes) => {
                for class in classes {
                    let name = kind.controller(class);
                    let entry = catalogue
                        .controllers
                        .iter()
                        .find(|entry| kind.known(entry).iter().any(|it| it == name));
                    if let Some(entry) = entry {
                        named.push(&entry.name);
                    }
                    checks.push(one(catalogue, facts, kind, class, entry));
                }
                if kind == Kind::Ingress && !classes.is_empty() {
                    checks.push(default_class(catalogue, classes));
                }
            }
            Err(gap) => checks.push(Check::unknown(
                "class-controller",
                format!("{} objects cannot be seen", kind.title()),
                gap,
            )),
        }
    }
    checks.extend(without_class(catalogue, facts, &named));
    if checks.is_empty() {
        let message = "no IngressClass and no GatewayClass: nothing from outside is routed here";
        checks.push(
            Check::new("class-controller", Status::Note, message)
                .evidence(Evidence::Observed)
                .detail("a controller comes with the class that names it"),
        );
    }
    Category {
        id: "controllers",
        title: "Ingress controllers and gateways",
        checks,
    }
}

/// One class.
fn one(
    catalogue: &Catalogue,
    facts: &Facts,
    kind: Kind,
    class: &Value,
    entry: Option<&Controller>,
) -> Check {
    let subject = format!(
        "{}/{}",
        kind.title().to_ascii_lowercase(),
        object::name(class)
    );
    let title = format!("{} {}", kind.title(), object::name(class));
    let written = format!("`{}: {}`", kind.field(), kind.controller(class));
    let Some(entry) = entry else {
        let message = format!("{title}: a controller that the catalogue does not know");
        return Check::new("class-controller", Status::Unknown, message)
            .subject(subject)
            .evidence(Evidence::Declared)
            .detail(format!("{written}; its timers and limits are not judged"))
            .next(
                format!("{} explain", facts.program),
                "lists the controllers that are known",
            );
    };
    let installed = with_image(&facts.workloads, &entry.images);
    let running = describe(facts, entry, &installed);
    let message = format!("{title}: {}{}", entry.title, running.suffix);
    let mut check = Check::new("class-controller", running.status, message)
        .subject(subject)
        .evidence(running.evidence)
        .detail(format!(
            "by {written}{}",
            namesake(catalogue, kind, class, entry)
        ));
    if kind == Kind::Ingress && entry.class_by == ClassBy::Name {
        check = check.detail(format!(
            "{} itself looks at the class's name only",
            entry.title
        ));
    }
    check.details.extend(running.details);
    if let Some(next) = running.next {
        check = check.next(next, "why none of its pods is ready");
    }
    if let Some(not) = not_accepted(kind, class) {
        check.status = check.status.max(Status::Warning);
        check.message.push_str(", not accepted");
        let show = format!("kubectl describe gatewayclass {}", object::name(class));
        check = check
            .detail(not)
            .next(show, "what its controller says of it");
    }
    if let Some(retired) = &entry.retired {
        check.id = "controller-retired";
        check.status = check.status.max(Status::Warning);
        check.message.push_str(", retired");
        let explain = format!("{} explain controller/{}", facts.program, entry.name);
        check = check
            .detail(format!(
                "its last release is {} of {}: nobody mends it any more ({})",
                retired.last_version, retired.since, retired.source
            ))
            .detail(
                "put another controller with a class of its own beside it and move one Ingress \
                 after the other; annotations are each controller's own, `check` finds those that \
                 the new one does not read",
            );
        if check.next.is_none() {
            check = check.next(explain, "what it does by itself, to compare");
        }
    }
    check
}

/// What is known of a controller's own pods.
struct Running {
    status: Status,
    evidence: Evidence,
    suffix: String,
    details: Vec<String>,
    next: Option<String>,
}

fn describe(facts: &Facts, entry: &Controller, installed: &[Installed<'_>]) -> Running {
    let mut running = Running {
        status: Status::Ok,
        evidence: Evidence::Observed,
        suffix: String::new(),
        details: Vec::new(),
        next: None,
    };
    let Some(first) = installed.first() else {
        running.evidence = Evidence::Declared;
        running.suffix = ", version unknown".to_owned();
        let why = if entry.images.is_empty() {
            "the catalogue knows no image of it"
        } else if facts.workload_gaps.is_empty() {
            "no Deployment, StatefulSet or DaemonSet here runs its image: it may run elsewhere, \
             or not at all"
        } else {
            "not every workload could be looked at"
        };
        running.details.push(why.to_owned());
        return running;
    };
    let mut versions: Vec<String> = Vec::new();
    for one in installed {
        let version = one.version();
        if !versions.iter().any(|known| known == version.text()) {
            versions.push(version.text().to_owned());
        }
        running
            .details
            .push(format!("{}: {}", one.title(), one.ready_text()));
        if let Version::Unknown(why) = version {
            running
                .details
                .push(format!("the version is not known: {why}"));
        }
    }
    running.suffix = format!(" {}", versions.join(" and "));
    if versions == ["version unknown"] {
        running.suffix = ", version unknown".to_owned();
    }
    if installed.iter().all(Installed::is_down) {
        running.status = Status::Error;
        running.suffix.push_str(", not running");
        running.next = Some(first.pods_command());
    }
    running
}

/// That a class's name is one that another product's class usually has.
fn namesake(catalogue: &Catalogue, kind: Kind, class: &Value, entry: &Controller) -> String {
    let name = object::name(class);
    let others: Vec<&str> = catalogue
        .controllers
        .iter()
        .filter(|other| kind == Kind::Ingress && other.name != entry.name)
        .filter(|other| other.class_names.iter().any(|it| it == name))
        .map(|other| other.title.as_str())
        .collect();
    if others.is_empty() {
        return String::new();
    }
    format!(
        ", not by its name: classes of {} are called `{name}`, too",
        listed(&others, SHOWN)
    )
}

/// Why a GatewayClass is not accepted, where its controller says so (gateway-api
/// apis/v1/gatewayclass_types.go: `Accepted` is `Unknown`, reason `Pending`, until one does).
fn not_accepted(kind: Kind, class: &Value) -> Option<String> {
    if kind == Kind::Ingress {
        return None;
    }
    let conditions = class.at("/status/conditions").and_then(Value::as_array);
    let of_type = |it: &&Value| it.get("type").and_then(Value::as_str) == Some("Accepted");
    let accepted = conditions.into_iter().flatten().find(of_type)?;
    let text = |member: &str| {
        accepted
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match text("status") {
        "True" => None,
        status => Some(format!(
            "its condition Accepted is {status}, reason {}: {}",
            text("reason"),
            text("message")
        )),
    }
}

/// The class of an Ingress that names none.
fn default_class(catalogue: &Catalogue, classes: &[Value]) -> Check {
    let is_default = |class: &&Value| object::annotation(class, DEFAULT) == Some("true");
    let defaults: Vec<&str> = classes
        .iter()
        .filter(is_default)
        .map(object::name)
        .collect();
    let check = |status, message: String| {
        Check::new("default-class", status, message).evidence(Evidence::Declared)
    };
    match defaults.as_slice() {
        [one] => check(Status::Ok, format!("an Ingress without a class gets {one}")),
        [] => {
            let serving: Vec<&str> = catalogue
                .controllers
                .iter()
                .filter(|entry| entry.without_class == WithoutClass::Served)
                .filter(|entry| {
                    let here = |class: &Value| {
                        let name = Kind::Ingress.controller(class);
                        entry.controllers.iter().any(|it| it == name)
                    };
                    classes.iter().any(here)
                })
                .map(|entry| entry.title.as_str())
                .collect();
            if serving.is_empty() {
                let message = "no default IngressClass: an Ingress without a class is served by \
                               nobody";
                check(Status::Note, message.to_owned()).detail(format!(
                    "`{DEFAULT}: \"true\"` on one class makes it the default; `check` names \
                     Ingresses without a class"
                ))
            } else {
                check(
                    Status::Note,
                    format!(
                        "no default IngressClass; {} serves an Ingress without a class",
                        listed(&serving, SHOWN)
                    ),
                )
            }
        }
        several => check(
            Status::Warning,
            format!(
                "{} default IngressClasses: {}",
                several.len(),
                listed(several, SHOWN)
            ),
        )
        .detail(format!(
            "an Ingress without a class gets the one that was made last; take `{DEFAULT}` away \
             from the others"
        ))
        .next(
            format!("kubectl annotate ingressclass {} {DEFAULT}-", several[0]),
            "takes it away from one",
        ),
    }
}

/// Controllers that run here, and that no class names.
fn without_class(catalogue: &Catalogue, facts: &Facts, named: &[&str]) -> Vec<Check> {
    let mut checks = Vec::new();
    for entry in &catalogue.controllers {
        if named.contains(&entry.name.as_str()) || entry.images.is_empty() {
            continue;
        }
        let installed = with_image(&facts.workloads, &entry.images);
        if installed.is_empty() {
            continue;
        }
        let running = describe(facts, entry, &installed);
        let message = format!(
            "{}{} runs here, no class names it",
            entry.title, running.suffix
        );
        let known: Vec<&str> = entry
            .controllers
            .iter()
            .chain(&entry.gateway_controllers)
            .map(String::as_str)
            .collect();
        let mut check = Check::new(
            "controller-without-class",
            running.status.max(Status::Note),
            message,
        )
        .subject(crate::installed::short(installed[0].object))
        .evidence(Evidence::Observed);
        check.details = running.details;
        if entry.without_class == WithoutClass::Served {
            check = check.detail("it serves Ingresses without a class all the same");
        }
        checks.push(check.detail(format!("its classes name {}", listed(&known, SHOWN))));
    }
    checks
}
