//! Shares by a second Ingress that carries canary annotations. Its other annotations would be
//! ignored: the main Ingress's hold (kubernetes/ingress-nginx
//! docs/user-guide/nginx-configuration/annotations.md, "Canary"). So none is copied.

use super::names::{canary, is_ours};
use super::{Named, Refusal, Shift, Weight};
use infer_core::catalogue::{CanaryIngress, Catalogue, Controller};
use infer_core::kind::{Kind, KindSet};
use infer_core::object::{annotation, name, namespace};
use infer_core::pointer::Walk;
use infer_core::policy::Policy;
use infer_core::route::{class_name, controllers};
use infer_core::snapshot::{Reader, Snapshot};
use infer_core::world::World;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The annotation that named a class before the field did.
const CLASS: &str = "kubernetes.io/ingress.class";

/// The annotations by which a controller shares, from the catalogue.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryAnnotations {
    /// What marks an Ingress as a canary: annotation and value.
    pub enabled: (String, String),
    /// What holds the share.
    pub weight: String,
    /// What must not stand beside it.
    pub deciding_too: Vec<String>,
}

impl CanaryAnnotations {
    fn of(entry: &CanaryIngress) -> CanaryAnnotations {
        CanaryAnnotations {
            enabled: (
                entry.enabled.annotation.clone(),
                entry.enabled.value.clone(),
            ),
            weight: entry.weight.clone(),
            deciding_too: entry.deciding_too.clone(),
        }
    }

    fn is_on(&self, ingress: &Value) -> bool {
        annotation(ingress, &self.enabled.0) == Some(&self.enabled.1)
    }
}

/// Whether an Ingress is a canary of some controller's, and so none that clients come by.
pub(super) fn is_canary(catalogue: &Catalogue, ingress: &Value) -> bool {
    let known = catalogue
        .controllers
        .iter()
        .filter_map(|it| it.canary.as_ref());
    known.map(CanaryAnnotations::of).any(|it| it.is_on(ingress))
}

/// The annotations by which the controller of this Ingress shares. Every controller that may serve
/// it must share so.
pub(super) fn annotations(
    catalogue: &Catalogue,
    ingress: &Value,
    classes: &[Value],
) -> Result<CanaryAnnotations, Refusal> {
    let mut snapshot = Snapshot::new(KindSet::of(&[Kind::IngressClass]));
    for class in classes {
        snapshot.insert(Arc::new(class.clone()));
    }
    let (policy, reader) = (Policy::baseline(), Reader::new(&snapshot));
    let world = World {
        catalogue,
        policy: &policy,
        reader: &reader,
    };
    let (found, _) = controllers(&world, ingress);
    let all = found.iter().map(|it| it.canary.as_ref());
    match all.collect::<Option<Vec<_>>>().as_deref() {
        Some([entry]) => Ok(CanaryAnnotations::of(entry)),
        _ => Err(Refusal::NoCanaryIngress {
            route: Named::of(ingress),
            class: class_name(ingress).map(str::to_owned),
            controllers: titles(found.into_iter()),
            able: titles(
                catalogue
                    .controllers
                    .iter()
                    .filter(|it| it.canary.is_some()),
            ),
        }),
    }
}

fn titles<'a>(controllers: impl Iterator<Item = &'a Controller>) -> Vec<String> {
    controllers.map(|it| it.title.clone()).collect()
}

/// The canary Ingress: class, hosts, TLS and the paths that lead to the stable Service, with share
/// 0. None where only the default backend leads there.
pub(super) fn canary_ingress(
    main: &Value,
    annotations: &CanaryAnnotations,
    stable: &str,
    service: &str,
) -> Option<Value> {
    let mut rules = Vec::new();
    let list = main.at("/spec/rules").and_then(Value::as_array);
    for rule in list.into_iter().flatten() {
        let mut rule = rule.clone();
        let Some(Value::Array(paths)) = rule.pointer_mut("/http/paths") else {
            continue;
        };
        paths.retain(|path| path.at("/backend/service/name") == Some(&json!(stable)));
        for path in paths.iter_mut() {
            path["backend"]["service"]["name"] = json!(service);
        }
        if !paths.is_empty() {
            rules.push(rule);
        }
    }
    if rules.is_empty() {
        return None;
    }
    let (enabled, on) = &annotations.enabled;
    let mut marks = Map::new();
    marks.insert(enabled.clone(), json!(on));
    marks.insert(annotations.weight.clone(), json!("0"));
    if let Some(class) = annotation(main, CLASS) {
        marks.insert(CLASS.to_owned(), json!(class));
    }
    let mut spec = Map::new();
    for member in ["ingressClassName", "tls"] {
        if let Some(value) = main.at("/spec").and_then(|it| it.get(member)) {
            spec.insert(member.to_owned(), value.clone());
        }
    }
    spec.insert("rules".to_owned(), Value::Array(rules));
    Some(json!({
        "apiVersion": main["apiVersion"],
        "kind": "Ingress",
        "metadata": {
            "name": canary(name(main)),
            "namespace": namespace(main),
            "annotations": marks,
        },
        "spec": spec,
    }))
}

/// Hosts and paths of an Ingress, as messages name them.
fn places(ingress: &Value) -> Vec<String> {
    let mut places = Vec::new();
    let rules = ingress.at("/spec/rules").and_then(Value::as_array);
    for rule in rules.into_iter().flatten() {
        let host = rule.get("host").and_then(Value::as_str).unwrap_or("*");
        let paths = rule.at("/http/paths").and_then(Value::as_array);
        for path in paths.into_iter().flatten() {
            let path = path.get("path").and_then(Value::as_str).unwrap_or("/");
            places.push(format!("{host}{path}"));
        }
    }
    places
}

/// Refuses where another canary has a host and path of ours: at most one is honoured
/// (kubernetes/ingress-nginx docs/user-guide/nginx-configuration/annotations.md, "Known
/// Limitations").
pub(super) fn alone(
    ours: &Value,
    annotations: &CanaryAnnotations,
    routes: &[Value],
    workload: &str,
) -> Result<(), Refusal> {
    let wanted = places(ours);
    for other in routes.iter().filter(|it| it["kind"] == "Ingress") {
        let is_same = is_ours(other, workload) && name(other) == name(ours);
        if is_same || !annotations.is_on(other) {
            continue;
        }
        if let Some(place) = places(other).into_iter().find(|it| wanted.contains(it)) {
            return Err(Refusal::OtherCanary {
                other: Named::of(other),
                place,
            });
        }
    }
    Ok(())
}

pub(super) fn weight_of(shift: &Shift, ingress: &Value) -> Weight {
    let Some(annotations) = &shift.annotations else {
        return Weight::Foreign("the journal does not say which annotation holds it".to_owned());
    };
    let (enabled, on) = &annotations.enabled;
    if !annotations.is_on(ingress) {
        let seen = annotation(ingress, enabled).unwrap_or("<unset>");
        return Weight::Foreign(format!("{enabled} is {seen}, not {on}"));
    }
    if let Some(key) = annotations
        .deciding_too
        .iter()
        .find(|it| annotation(ingress, it).is_some())
    {
        return Weight::Foreign(format!("{key} decides, too"));
    }
    match annotation(ingress, &annotations.weight) {
        None => Weight::Foreign(format!("{} is <unset>", annotations.weight)),
        Some(text) => match text.parse::<u8>() {
            Ok(share) if share <= 100 => Weight::Share(share),
            _ => Weight::Foreign(format!("{} is {text:?}", annotations.weight)),
        },
    }
}

pub(super) fn set_weight(shift: &Shift, ingress: &mut Value, share: u8) -> Result<(), Refusal> {
    let Some(annotations) = &shift.annotations else {
        return Err(Refusal::CannotShare {
            route: shift.carrier.clone(),
            path: "/metadata/annotations".to_owned(),
            why: "the journal does not say which annotation holds the share".to_owned(),
        });
    };
    let map = &mut ingress["metadata"]["annotations"];
    if !map.is_object() {
        *map = json!({});
    }
    map[&annotations.weight] = json!(share.to_string());
    Ok(())
}
