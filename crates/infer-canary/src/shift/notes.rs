//! What a person should know before a canary begins.

use super::reach::Reached;
use super::{Named, Stable, Via, Wanted};
use crate::owner::{Tool, owner_of};
use crate::version::Version;
use infer_core::object::name;
use infer_core::pointer::Walk;
use infer_core::route::ServiceName;
use serde_json::Value;

/// The notes, each one sentence.
pub(super) fn of(stable: &Stable, reached: &Reached<'_>, wanted: &Wanted) -> Vec<String> {
    let mut notes = Vec::new();
    let workload = &stable.workload;
    let named = Named::of(workload);
    for scaler in stable.others.iter().filter(|it| scales(it, &named)) {
        notes.push(format!(
            "{} scales {named} only: the canary keeps its {} replicas",
            Named::of(scaler),
            wanted.replicas.max(1)
        ));
    }
    for object in [workload, reached.route] {
        if let Some(owner) = owner_of(object).filter(|it| it.tool == Tool::Helm) {
            notes.push(format!(
                "{} is of a Helm release ({}): its next upgrade writes the chart's version again",
                Named::of(object),
                owner.evidence
            ));
        }
    }
    if matches!(wanted.version, Version::Changed(_)) {
        let volumes = workload.at("/spec/template/spec/volumes");
        let volumes = volumes.and_then(Value::as_array).into_iter().flatten();
        for claim in volumes.filter_map(|it| it.at("/persistentVolumeClaim/claimName")?.as_str()) {
            notes.push(format!(
                "the canary mounts persistentvolumeclaim/{claim}, too: with ReadWriteOnce it must \
                 run on the same node"
            ));
        }
        if workload.at("/spec/replicas").and_then(Value::as_u64) == Some(0) {
            notes.push(format!("{named} is being scaled to 0"));
        }
    }
    if reached.via == Via::IngressNginx
        && reached
            .route
            .at("/spec/defaultBackend/service/name")
            .and_then(Value::as_str)
            == Some(name(reached.service))
    {
        notes.push(format!(
            "requests that only the default backend of {} takes all go to the stable version",
            Named::of(reached.route)
        ));
    }
    if reached.via == Via::VirtualService {
        for rule in stable
            .others
            .iter()
            .filter(|it| is_rule_of(it, reached.service))
        {
            notes.push(format!(
                "{} holds for service/{} only: the canary has no traffic policy of its own",
                Named::of(rule),
                name(reached.service)
            ));
        }
    }
    notes
}

fn scales(object: &Value, workload: &Named) -> bool {
    let target = object.at("/spec/scaleTargetRef");
    target.is_some_and(|it| {
        let kind = it
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or("Deployment");
        kind == workload.kind && it["name"] == workload.name.as_str()
    })
}

fn is_rule_of(object: &Value, service: &Value) -> bool {
    let own = infer_core::object::namespace(service);
    let host = object.at("/spec/host").and_then(Value::as_str);
    object["kind"] == "DestinationRule"
        && host
            .and_then(|host| ServiceName::of_host(host, own))
            .is_some_and(|it| it.name == name(service) && it.namespace == own)
}
