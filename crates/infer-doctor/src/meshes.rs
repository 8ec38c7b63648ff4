//! Meshes: Istio with sidecars or ambient, and Linkerd, by the objects that they are made of.

use crate::checkup::{Category, Check, Evidence, Status};
use crate::facts::Facts;
use crate::installed::{Installed, Version, images, is_image, numbers, with_image};
use crate::selector::{labels, takes};
use crate::words::{count, listed};
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::Value;

/// Istio's routing kinds (istio/istio manifests/charts/base/files/crd-all.gen.yaml).
const ISTIO: &str = "networking.istio.io";
/// The removed in-cluster operator's kind, IstioOperator.
const ISTIO_OPERATOR: &str = "install.istio.io";
/// istiod's image (istio/istio manifests/charts/istio-control/istio-discovery/values.yaml).
const ISTIOD: [&str; 1] = ["pilot"];
/// The ambient proxy of each node (istio/istio manifests/charts/ztunnel/values.yaml).
const ZTUNNEL: [&str; 1] = ["ztunnel"];
/// The in-cluster operator (istio/istio 1.23 manifests/charts/istio-operator).
const OPERATOR: [&str; 1] = ["istio/operator"];
/// The revision of istiod, and of what a namespace asks for (istio/api label/labels.yaml).
const REVISION: &str = "istio.io/rev";
/// Asks for a sidecar of the default revision (istio/api label/labels.yaml).
const INJECTION: &str = "istio-injection";
/// Asks for ambient (istio/api label/labels.yaml `istio.io/dataplane-mode`).
const MODE: &str = "istio.io/dataplane-mode";
/// How every entry of an Istio injector's registration ends (istio/istio
/// manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml).
const INJECTOR: &str = "sidecar-injector.istio.io";

/// Linkerd's groups (linkerd/linkerd2 charts/linkerd-crds/templates).
const LINKERD: [&str; 2] = ["linkerd.io", "policy.linkerd.io"];
/// The label of each part of Linkerd's control plane (linkerd/linkerd2 pkg/k8s/labels.go
/// `ControllerComponentLabel`).
const COMPONENT: &str = "linkerd.io/control-plane-component";
/// Asks for a proxy (linkerd/linkerd2 pkg/k8s/labels.go `ProxyInjectAnnotation`).
const LINKERD_INJECT: &str = "linkerd.io/inject";

/// Names that a line can hold.
const SHOWN: usize = 4;

pub(crate) fn category(facts: &Facts) -> Category {
    let mut checks = istio(facts);
    checks.extend(operator(facts));
    checks.extend(linkerd(facts));
    if checks.is_empty() {
        checks.push(match &facts.served {
            Ok(_) => Check::new("mesh", Status::Note, "no Istio and no Linkerd here")
                .evidence(Evidence::Answered),
            Err(gap) => Check::unknown("mesh", "what is served cannot be seen", gap),
        });
    }
    Category {
        id: "meshes",
        title: "Meshes",
        checks,
    }
}

fn is_served(facts: &Facts, group: &str) -> bool {
    let served = facts.served.as_ref();
    served.is_ok_and(|served| !served.versions(group).is_empty())
}

/// The rest of a check about a control plane: where it runs, and whether it does.
fn with_pods(check: Check, installed: &[Installed<'_>]) -> Check {
    let mut check = check;
    for one in installed {
        check = check.detail(format!("{}: {}", one.title(), one.ready_text()));
        if let Version::Unknown(why) = one.version()
            && release(one.image).is_none()
        {
            check = check.detail(format!("the version is not known: {why}"));
        }
    }
    let mut down = installed.iter().filter(|one| one.is_down());
    let Some(first) = down.next() else {
        return check;
    };
    check.status = Status::Error;
    check
        .message
        .push_str(match down.count() + 1 == installed.len() {
            true => ", not running",
            false => ", parts of it not running",
        });
    check.next(first.pods_command(), "why none of its pods is ready")
}

fn istio(facts: &Facts) -> Vec<Check> {
    let istiod = with_image(&facts.workloads, &ISTIOD);
    let served = is_served(facts, ISTIO);
    let mut checks = Vec::new();
    if !istiod.is_empty() {
        let each: Vec<String> = istiod
            .iter()
            .map(|one| {
                let revision = object::label(one.object, REVISION).unwrap_or("default");
                format!("{} (revision {revision})", one.version().text())
            })
            .collect();
        let message = format!("Istio {}", listed(&each, SHOWN));
        let check = Check::new("istio", Status::Ok, message).evidence(Evidence::Observed);
        checks.push(with_pods(check, &istiod));
        if !served {
            let message = "istiod runs, and its kinds are not served";
            checks.push(
                Check::new("istio-kinds", Status::Warning, message)
                    .evidence(Evidence::Answered)
                    .detail(format!(
                        "nothing of {ISTIO} can be stored: its base chart is missing"
                    )),
            );
        }
    } else if served {
        let message = "Istio's kinds are served, and no istiod is seen";
        let status = if facts.workload_gaps.is_empty() {
            Status::Warning
        } else {
            Status::Unknown
        };
        checks.push(
            Check::new("istio", status, message)
                .evidence(Evidence::Observed)
                .detail(
                    "VirtualServices and DestinationRules are stored, and unless an istiod outside \
                     of this cluster reads them they do nothing",
                )
                .next(
                    "kubectl get virtualservices,destinationrules -A",
                    "what would do nothing",
                ),
        );
    }
    if istiod.is_empty() && !served {
        return checks;
    }
    checks.extend(injection(facts));
    checks.extend(ambient(facts));
    checks
}

/// Namespaces that ask for a sidecar, against the injectors that are registered.
fn injection(facts: &Facts) -> Vec<Check> {
    let (namespaces, mutating) = match (&facts.namespace_objects, &facts.mutating) {
        (Ok(namespaces), Ok(mutating)) => (namespaces, mutating),
        (Err(gap), _) | (_, Err(gap)) => {
            let message = "whether namespaces get their sidecars cannot be seen";
            return vec![Check::unknown("istio-injection", message, gap)];
        }
    };
    let asks = |namespace: &&Value| {
        object::label(namespace, INJECTION) == Some("enabled")
            || object::label(namespace, REVISION).is_some_and(|it| !it.is_empty())
    };
    let asking: Vec<&Value> = namespaces.iter().filter(asks).collect();
    let entries = mutating
        .iter()
        .filter_map(|it| it.at("/webhooks")?.as_array());
    let injectors: Vec<&Value> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.get("name").and_then(Value::as_str);
            name.is_some_and(|name| name.ends_with(INJECTOR))
        })
        .collect();
    let is_taken = |namespace: &Value| {
        injectors
            .iter()
            .any(|entry| takes(entry.get("namespaceSelector"), labels(namespace)))
    };
    let (taken, lost): (Vec<&Value>, Vec<&Value>) = asking
        .into_iter()
        .partition(|namespace| is_taken(namespace));
    let mut checks = Vec::new();
    if !taken.is_empty() {
        let names: Vec<&str> = taken.iter().map(|it| object::name(it)).collect();
        let number = count(names.len(), "namespace");
        let message = format!("sidecars in {number}: {}", listed(&names, SHOWN));
        let check = Check::new("istio-injection", Status::Ok, message);
        checks.push(check.evidence(Evidence::Declared));
    }
    if lost.is_empty() {
        return checks;
    }
    let names: Vec<&str> = lost.iter().map(|it| object::name(it)).collect();
    let asked: Vec<String> = lost
        .iter()
        .map(|it| match object::label(it, REVISION) {
            Some(revision) if object::label(it, INJECTION).is_none() => {
                format!("{} has `{REVISION}: {revision}`", object::name(it))
            }
            _ => format!("{} has `{INJECTION}: enabled`", object::name(it)),
        })
        .take(SHOWN)
        .collect();
    let message = format!("no injector takes {}", listed(&names, SHOWN));
    let mut check = Check::new("istio-injection", Status::Warning, message)
        .evidence(Evidence::Declared)
        .subject(format!("namespace/{}", names[0]))
        .next(
            "kubectl get mutatingwebhookconfigurations -L istio.io/rev,istio.io/tag",
            "the revisions that have one",
        );
    check.details = asked;
    checks.push(
        check.detail("pods there start without a sidecar, and no route of the mesh binds them"),
    );
    checks
}

fn ambient(facts: &Facts) -> Option<Check> {
    let ztunnel = with_image(&facts.workloads, &ZTUNNEL);
    let namespaces = facts.namespace_objects.as_ref().ok();
    let asking: Vec<&str> = namespaces
        .into_iter()
        .flatten()
        .filter(|it| object::label(it, MODE) == Some("ambient"))
        .map(object::name)
        .collect();
    if ztunnel.is_empty() && asking.is_empty() {
        return None;
    }
    if ztunnel.is_empty() {
        let message = format!("no ztunnel for {}", listed(&asking, SHOWN));
        let status = match facts.workload_gaps.is_empty() {
            true => Status::Warning,
            false => Status::Unknown,
        };
        return Some(
            Check::new("istio-ambient", status, message)
                .evidence(Evidence::Observed)
                .subject(format!("namespace/{}", asking[0]))
                .detail(format!(
                    "`{MODE}: ambient` asks for it, and no DaemonSet with its image is seen"
                )),
        );
    }
    let message = match asking.as_slice() {
        [] => format!(
            "ambient {}, no namespace asks for it",
            ztunnel[0].version().text()
        ),
        names => format!(
            "ambient {} in {}: {}",
            ztunnel[0].version().text(),
            count(names.len(), "namespace"),
            listed(names, SHOWN)
        ),
    };
    let check = Check::new("istio-ambient", Status::Ok, message).evidence(Evidence::Observed);
    Some(with_pods(check, &ztunnel))
}

/// What is left of `istioctl operator`: command and controller are gone since Istio 1.24
/// (istio/istio#52090; facts/traffic.md §2 row 8).
fn operator(facts: &Facts) -> Option<Check> {
    let running = with_image(&facts.workloads, &OPERATOR);
    let served = is_served(facts, ISTIO_OPERATOR);
    if running.is_empty() && !served {
        return None;
    }
    let what = match running.first() {
        Some(first) => first.title(),
        None => format!("the CustomResourceDefinition of {ISTIO_OPERATOR}"),
    };
    let old = with_image(&facts.workloads, &ISTIOD)
        .iter()
        .any(|one| one.version().numbers().is_some_and(|it| it < vec![1, 24]));
    let check = Check::new(
        "istio-operator-removed",
        Status::Warning,
        "left over: Istio's in-cluster operator, removed in 1.24",
    )
    .evidence(Evidence::Observed)
    .detail(format!(
        "seen: {what}; IstioOperator objects are read by nobody since (istio/istio#52090)"
    ))
    .next(
        "kubectl get istiooperators.install.istio.io -A",
        "what still counts on it",
    );
    Some(if old {
        check.detail(
            "this Istio is older than 1.24: move to Helm or `istioctl install` before the upgrade",
        )
    } else {
        check.detail("Helm charts or `istioctl install -f` take the same values from a file")
    })
}

/// Linkerd's releases are tagged `stable-2.14.10`, `edge-25.8.1`.
fn release(image: &str) -> Option<String> {
    let (_, tag) = image.rsplit_once(':')?;
    let version = tag.strip_prefix("stable-").or(tag.strip_prefix("edge-"))?;
    numbers(version).map(|_| tag.to_owned())
}

fn linkerd(facts: &Facts) -> Vec<Check> {
    let parts: Vec<&Value> = facts
        .workloads
        .iter()
        .filter(|it| object::label(it, COMPONENT).is_some())
        .collect();
    let served = LINKERD.iter().any(|group| is_served(facts, group));
    if parts.is_empty() && !served {
        return Vec::new();
    }
    if parts.is_empty() {
        return vec![
            Check::new(
                "linkerd",
                match facts.workload_gaps.is_empty() {
                    true => Status::Warning,
                    false => Status::Unknown,
                },
                "Linkerd's kinds are served, and no control plane is seen",
            )
            .evidence(Evidence::Observed)
            .detail("its policies are stored and do nothing"),
        ];
    }
    let installed: Vec<Installed<'_>> = parts
        .iter()
        .filter_map(|object| {
            let own = ["controller", "policy-controller", "proxy"];
            let image = images(object).find(|image| is_image(&own, image))?;
            Some(Installed { object, image })
        })
        .collect();
    let version = installed.iter().find_map(|one| {
        release(one.image).or_else(|| match one.version() {
            Version::Unknown(_) => None,
            known => Some(known.text().to_owned()),
        })
    });
    let version = version.unwrap_or_else(|| "version unknown".to_owned());
    let check = Check::new("linkerd", Status::Ok, format!("Linkerd {version}"))
        .evidence(Evidence::Observed);
    let mut checks = vec![with_pods(check, &installed)];
    let namespaces = facts.namespace_objects.as_ref().ok();
    let asking: Vec<&str> = namespaces
        .into_iter()
        .flatten()
        .filter(|it| {
            let mode = object::annotation(it, LINKERD_INJECT);
            matches!(mode, Some("enabled" | "ingress"))
        })
        .map(object::name)
        .collect();
    if !asking.is_empty() {
        let number = count(asking.len(), "namespace");
        checks.push(
            Check::new(
                "linkerd-injection",
                Status::Ok,
                format!("proxies in {number}: {}", listed(&asking, SHOWN)),
            )
            .evidence(Evidence::Declared),
        );
    }
    checks
}
