//! From what is there to what is to be created.

use super::names::{canary, is_ours, mark};
use super::reach::{Reached, the_route};
use super::selectors::{Changes, Selecting, pod_labels, services_of, tell_apart};
use super::{Named, Owned, Refusal, Shift, Side, Stable, Via, Wanted, copies, ingress_nginx};
use crate::owner::{Tool, driver_of, owner_of};
use crate::version::Version;
use infer_core::catalogue::Catalogue;
use infer_core::object::{name, namespace};
use infer_core::pointer::Walk;
use serde_json::Value;

/// So many replicas must be ready before a canary begins (SAFE-5).
const FEWEST_READY: u64 = 2;

/// The canary's side of a shift.
struct Second {
    side: Side,
    objects: Vec<Value>,
}

/// What a shift to the wanted version takes. Who owns what is written is told, and not refused:
/// [`Shift::may_write`] does that.
///
/// # Errors
///
/// The first reason why it cannot be made.
pub fn plan(catalogue: &Catalogue, stable: &Stable, wanted: &Wanted) -> Result<Shift, Refusal> {
    let workload = &stable.workload;
    let named = Named::of(workload);
    let group = workload["apiVersion"].as_str().unwrap_or_default();
    if named.kind != "Deployment" || !group.starts_with("apps/") {
        return Err(Refusal::NotADeployment { workload: named });
    }
    let ready = workload.at("/status/readyReplicas").and_then(Value::as_u64);
    let ready = ready.unwrap_or(0);
    if ready < FEWEST_READY {
        return Err(Refusal::TooFewReady {
            workload: named,
            ready,
        });
    }
    let services = services_of(workload, &stable.services);
    if services.is_empty() {
        return Err(Refusal::NoService { workload: named });
    }
    let reached = the_route(catalogue, stable, &services, wanted)?;
    let second = match &wanted.version {
        Version::Changed(_) => copied(catalogue, stable, &services, &reached, wanted)?,
        Version::Existing(other) => existing(stable, &services, &reached, other)?,
    };
    let entry = Named::of(reached.route);
    let mut shift = Shift {
        via: reached.via,
        run: wanted.run.clone(),
        namespace: namespace(workload).to_owned(),
        stable: Side {
            workload: named.name.clone(),
            service: name(reached.service).to_owned(),
            pods: Selecting::at(workload, "/spec/selector").text(),
        },
        canary: second.side,
        carrier: entry.clone(),
        entry,
        annotations: None,
        objects: second.objects,
        owned: owned(stable, &reached),
        notes: super::notes::of(stable, &reached, wanted),
    };
    match reached.via {
        Via::IngressNginx => carry_by_ingress(catalogue, stable, &reached, &mut shift)?,
        Via::HttpRoute | Via::VirtualService => {
            shift.original_of(reached.route)?;
        }
    }
    for object in &mut shift.objects {
        mark(object, &named.name, &wanted.run);
    }
    free_names(stable, &shift)?;
    Ok(shift)
}

/// A copy of the stable version, changed.
fn copied(
    catalogue: &Catalogue,
    stable: &Stable,
    services: &[&Value],
    reached: &Reached<'_>,
    wanted: &Wanted,
) -> Result<Second, Refusal> {
    let workload = &stable.workload;
    let labels = pod_labels(workload);
    let own = Selecting::at(workload, "/spec/selector");
    let mut selecting: Vec<Selecting> = services.iter().map(|it| Selecting::service(it)).collect();
    selecting.push(own.clone());
    let policies = stable.others.iter();
    let policies = policies.filter(|it| it["kind"] == "NetworkPolicy");
    let spared: Vec<Selecting> = policies
        .map(|it| Selecting::at(it, "/spec/podSelector"))
        .filter(|it| it.selects(&labels))
        .collect();
    let changes = tell_apart(&labels, &selecting, &spared)?;
    let mut deployment = copies::deployment(workload, &changes, wanted.replicas.max(1));
    if let Version::Changed(changed) = &wanted.version {
        changed.apply(catalogue, &mut deployment)?;
    }
    let selector = Selecting::service(reached.service).changed(&changes);
    let selector = selector.get("matchLabels").cloned().unwrap_or_default();
    let service = copies::service(reached.service, &changes, &selector);
    let side = Side {
        workload: name(&deployment).to_owned(),
        service: name(&service).to_owned(),
        pods: Selecting::at(&deployment, "/spec/selector").text(),
    };
    Ok(Second {
        side,
        objects: vec![deployment, service],
    })
}

/// A workload that is there. Its own Service carries the share where it has the same ports, else
/// one is created.
fn existing(
    stable: &Stable,
    services: &[&Value],
    reached: &Reached<'_>,
    other: &str,
) -> Result<Second, Refusal> {
    let missing = || Refusal::SecondMissing {
        name: other.to_owned(),
    };
    if other == name(&stable.workload) {
        return Err(Refusal::SameVersion {
            version: format!("deployment/{other}"),
        });
    }
    let mut others = stable.others.iter();
    let second = others.find(|it| it["kind"] == "Deployment" && name(it) == other);
    let second = second.ok_or_else(missing)?;
    let labels = pod_labels(second);
    let own = Selecting::at(&stable.workload, "/spec/selector");
    let selecting = services
        .iter()
        .map(|it| Selecting::service(it))
        .chain([own]);
    if let Some(both) = selecting.into_iter().find(|it| it.selects(&labels)) {
        return Err(Refusal::SameLabels { by: both.by });
    }
    let ports = |service: &Value| -> Vec<(Value, Value)> {
        let ports = service.at("/spec/ports").and_then(Value::as_array);
        let ports = ports.into_iter().flatten();
        ports
            .map(|it| (it["name"].clone(), it["port"].clone()))
            .collect()
    };
    let wanted = ports(reached.service);
    let fits = |it: &&Value| wanted.iter().all(|port| ports(it).contains(port));
    let own = services_of(second, &stable.services);
    let selector = Selecting::at(second, "/spec/selector");
    let (service, objects) = match own.into_iter().find(fits) {
        Some(service) => (name(service).to_owned(), Vec::new()),
        None => {
            let map = selector.selector.get("matchLabels").cloned();
            let made = copies::service(
                reached.service,
                &Changes::new(),
                &map.unwrap_or_else(|| Value::Object(labels.clone())),
            );
            (name(&made).to_owned(), vec![made])
        }
    };
    Ok(Second {
        side: Side {
            workload: other.to_owned(),
            service,
            pods: selector.text(),
        },
        objects,
    })
}

fn carry_by_ingress(
    catalogue: &Catalogue,
    stable: &Stable,
    reached: &Reached<'_>,
    shift: &mut Shift,
) -> Result<(), Refusal> {
    let classes = stable
        .others
        .iter()
        .filter(|it| it["kind"] == "IngressClass");
    let classes: Vec<Value> = classes.cloned().collect();
    let annotations = ingress_nginx::annotations(catalogue, reached.route, &classes)?;
    let (from, to) = (&shift.stable.service, &shift.canary.service);
    let made = ingress_nginx::canary_ingress(reached.route, &annotations, from, to);
    let made = made.ok_or_else(|| Refusal::CannotShare {
        route: shift.entry.clone(),
        path: "/spec/defaultBackend".to_owned(),
        why: "only its default backend leads there, and a canary Ingress needs a path".to_owned(),
    })?;
    ingress_nginx::alone(&made, &annotations, &stable.routes, &shift.stable.workload)?;
    shift.carrier = Named::new("Ingress", canary(&shift.entry.name));
    shift.objects.push(made);
    shift.annotations = Some(annotations);
    Ok(())
}

fn owned(stable: &Stable, reached: &Reached<'_>) -> Vec<Owned> {
    let workload = &stable.workload;
    let own = |object: &Value| {
        let driven = driver_of(object, &stable.others);
        let owner = driven.or_else(|| owner_of(object))?;
        Some(Owned {
            object: Named::of(object),
            owner,
        })
    };
    // What carries the share of an Ingress is an object of ours.
    let route = Some(reached.route).filter(|_| reached.via != Via::IngressNginx);
    let objects = [Some(workload), route].into_iter().flatten();
    let found = objects.filter_map(own);
    found.filter(|it| it.owner.tool != Tool::Helm).collect()
}

/// Refuses where an object that would be created is there and is somebody else's.
fn free_names(stable: &Stable, shift: &Shift) -> Result<(), Refusal> {
    let wanted: Vec<Named> = shift.objects.iter().map(Named::of).collect();
    let there = stable
        .services
        .iter()
        .chain(&stable.routes)
        .chain(&stable.others);
    let mut there = there.filter(|it| !is_ours(it, &shift.stable.workload));
    match there.find(|it| wanted.contains(&Named::of(it))) {
        Some(object) => Err(Refusal::NameTaken {
            object: Named::of(object),
        }),
        None => Ok(()),
    }
}
