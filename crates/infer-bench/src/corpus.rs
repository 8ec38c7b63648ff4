//! Reviews as an API server sends them, each one different, and the cluster that they come from.
//!
//! Deterministic: two runs, and the server's process and the driver's, see the same bytes. A real
//! cluster's objects come from files that people wrote, so the generated ones do too: what was
//! written, the API's defaults on top, `last-applied-configuration` and `managedFields`.

mod route;
mod workload;

use infer_core::Engine;
use infer_core::admission::{self, Operation, Request};
use infer_core::kind::{Kind, KindSet};
use infer_core::record;
use infer_core::snapshot::{self, Snapshot};
use infer_simulate::dice::Dice;
use serde_json::{Value, json};
use std::sync::Arc;
use workload::Deployment;

/// How many reviews there are.
pub(crate) const REVIEWS: usize = 400;
/// Teams of the cluster, each with a namespace.
const NAMESPACES: usize = 20;

/// What a review is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A model server is created.
    Create,
    /// A model server that we had filled in gets a new image and new arguments.
    Update,
    /// A Deployment that has nothing to do with inference is created.
    Other,
    /// A model server that we had filled in is scaled: nothing to do.
    Fixed,
    /// An Ingress is created; two of three lead to a model server.
    Ingress,
}

impl Class {
    /// Every class, with its share of the mix in percent.
    pub(crate) const MIX: [(Class, usize); 5] = [
        (Class::Create, 30),
        (Class::Update, 20),
        (Class::Other, 20),
        (Class::Fixed, 15),
        (Class::Ingress, 15),
    ];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Create => "create of a model server",
            Class::Update => "update of a model server",
            Class::Other => "create of something else",
            Class::Fixed => "scaling, nothing to fill in",
            Class::Ingress => "create of an Ingress",
        }
    }

    /// The class of the `number`th review: each stretch of 20 has the whole mix.
    fn of(number: usize) -> Class {
        let mut place = number * 5 % 100;
        for (class, share) in Class::MIX {
            if place < share {
                return class;
            }
            place -= share;
        }
        Class::Create
    }
}

/// A review, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Review {
    /// What it is about.
    pub(crate) class: Class,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// The reviews, and what the cluster holds when they come.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// In the order in which they are sent.
    pub(crate) reviews: Vec<Review>,
    /// What the webhook has in memory.
    pub(crate) snapshot: Snapshot,
}

fn namespace(number: usize) -> String {
    format!("team-{:02}", number % NAMESPACES)
}

/// Everything that was looked for, and the objects that every cluster has.
fn platform() -> Snapshot {
    let mut snapshot = Snapshot::new(KindSet::of(&Kind::ALL));
    let mut keep = |object: &Value| snapshot.insert(Arc::new(snapshot::trim(object)));
    for number in 0..NAMESPACES {
        let mut labels = json!({"kubectl-infer.dev/enforce": "true"});
        if number % 4 == 0 {
            labels["istio-injection"] = json!("enabled");
        }
        let metadata = json!({"name": namespace(number), "labels": labels});
        keep(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    for (name, controller) in route::CLASSES {
        keep(
            &json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": name}, "spec": {"controller": controller}}),
        );
    }
    for number in 0..24 {
        let mut allocatable = json!({"cpu": "63", "memory": "512Gi", "pods": "110"});
        if number % 2 == 0 {
            allocatable["nvidia.com/gpu"] = json!("8");
        }
        keep(&json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("node-{number}")}, "status": {"allocatable": allocatable}}));
    }
    snapshot
}

/// An object as it is stored after our answer to its creation.
fn stored(engine: &Engine, snapshot: &Snapshot, namespace: &str, created: &Value) -> Value {
    let request = Request {
        operation: Operation::Create,
        namespace,
        object: created,
        old: None,
    };
    let mut object = created.clone();
    if let Some(patch) = admission::mutate(engine, snapshot, &request).patch {
        json_patch::patch(&mut object, &patch)
            .expect("a patch of ours applies to the object that it answers");
    }
    object
}

impl Corpus {
    /// Makes `count` reviews.
    pub(crate) fn new(engine: &Engine, count: usize) -> Corpus {
        let mut snapshot = platform();
        let mut reviews = Vec::with_capacity(count);
        for number in 0..count {
            let class = Class::of(number);
            let mut dice = Dice::of(number);
            let namespace = namespace(number);
            let mut deployment = Deployment::new(number, &namespace, &mut dice);
            if class == Class::Other || (class == Class::Ingress && dice.in_percent(33)) {
                deployment = deployment.of_something_else(&mut dice);
            }
            snapshot.insert(Arc::new(snapshot::trim(&route::service(&deployment))));
            let body = match class {
                Class::Create | Class::Other => created(
                    "Deployment",
                    "apps",
                    "deployments",
                    &deployment.object(),
                    &mut dice,
                ),
                Class::Update | Class::Fixed => {
                    let object = deployment.object();
                    let old = stored(engine, &snapshot, &namespace, &object);
                    keep(&mut snapshot, &old, &mut dice);
                    let new = if class == Class::Update {
                        deployment.changed(&old, &mut dice)
                    } else {
                        Deployment::scaled(&old)
                    };
                    updated(&new, &old, &mut dice)
                }
                Class::Ingress => {
                    let old = stored(engine, &snapshot, &namespace, &deployment.object());
                    keep(&mut snapshot, &old, &mut dice);
                    let ingress = route::ingress(&deployment, &mut dice);
                    created(
                        "Ingress",
                        "networking.k8s.io",
                        "ingresses",
                        &ingress,
                        &mut dice,
                    )
                }
            };
            reviews.push(Review { class, body });
        }
        Corpus { reviews, snapshot }
    }
}

/// Keeps a workload with its revisions, of which the last is the present one.
fn keep(snapshot: &mut Snapshot, object: &Value, dice: &mut Dice) {
    snapshot.insert(Arc::new(snapshot::trim(object)));
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
    let (Some(uid), Some(template)) = (uid, object.pointer("/spec/template")) else {
        return;
    };
    for revision in ["1", "2"] {
        snapshot.insert_revision(uid, revision, dice.hex(32));
    }
    snapshot.insert_revision(uid, "3", record::digest(template));
}

fn created(kind: &str, group: &str, resource: &str, object: &Value, dice: &mut Dice) -> Vec<u8> {
    review(kind, group, resource, "CREATE", object, &Value::Null, dice)
}

fn updated(object: &Value, old: &Value, dice: &mut Dice) -> Vec<u8> {
    review(
        "Deployment",
        "apps",
        "deployments",
        "UPDATE",
        object,
        old,
        dice,
    )
}

fn review(
    kind: &str,
    group: &str,
    resource: &str,
    operation: &str,
    object: &Value,
    old: &Value,
    dice: &mut Dice,
) -> Vec<u8> {
    let kind = json!({"group": group, "version": "v1", "kind": kind});
    let resource = json!({"group": group, "version": "v1", "resource": resource});
    let options = format!(
        "{}Options",
        if operation == "CREATE" {
            "Create"
        } else {
            "Update"
        }
    );
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": dice.uid(),
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": object.pointer("/metadata/name"),
            "namespace": object.pointer("/metadata/namespace"),
            "operation": operation,
            "userInfo": {"username": "system:serviceaccount:delivery:deployer", "uid": dice.uid(),
                "groups": ["system:serviceaccounts", "system:serviceaccounts:delivery",
                    "system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"kind": options, "apiVersion": "meta.k8s.io/v1",
                "fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"},
        },
    });
    review.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_webhook::review_request::parse;
    use std::collections::BTreeSet;

    /// What the bench says of its input is so.
    #[test]
    fn the_corpus_is_what_it_is_said_to_be() {
        let engine = Engine::builtin();
        let corpus = Corpus::new(&engine, REVIEWS);
        let distinct: BTreeSet<&[u8]> =
            corpus.reviews.iter().map(|it| it.body.as_slice()).collect();
        assert_eq!(distinct.len(), REVIEWS);
        for (class, share) in Class::MIX {
            let of_class: Vec<&Review> = corpus
                .reviews
                .iter()
                .filter(|it| it.class == class)
                .collect();
            assert_eq!(of_class.len(), REVIEWS * share / 100, "{class:?}");
            let bytes = of_class.iter().map(|it| it.body.len()).sum::<usize>() / of_class.len();
            let wanted = match class {
                Class::Create | Class::Other => 5_000..7_500,
                Class::Update | Class::Fixed => 10_500..16_000,
                Class::Ingress => 1_000..3_000,
            };
            let mut patched = 0;
            for review in &of_class {
                let incoming = parse(&review.body).unwrap();
                let answer =
                    admission::mutate(&engine, &corpus.snapshot, &incoming.to_review().unwrap());
                assert!(
                    !answer.waits,
                    "{class:?}: a wait would be measured, not a review"
                );
                patched += usize::from(answer.patch.is_some());
            }
            let patched = patched * 100 / of_class.len();
            let shares = match class {
                Class::Create => 80..=100,
                Class::Update => 60..=100,
                Class::Ingress => 20..=80,
                Class::Other | Class::Fixed => 0..=0,
            };
            assert!(
                wanted.contains(&bytes),
                "{class:?}: {bytes} bytes on average"
            );
            assert!(shares.contains(&patched), "{class:?}: {patched} % patched");
        }
    }

    #[test]
    fn the_corpus_is_the_same_every_time() {
        let engine = Engine::builtin();
        let bodies = |corpus: Corpus| -> Vec<Vec<u8>> {
            corpus.reviews.into_iter().map(|it| it.body).collect()
        };
        assert_eq!(
            bodies(Corpus::new(&engine, 20)),
            bodies(Corpus::new(&engine, 20))
        );
    }
}
