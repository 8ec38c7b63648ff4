//! From facts to the report.

use crate::beside;
use crate::drain;
use crate::entry::{self, Entry};
use crate::facts::{Facts, Source};
use crate::findings;
use crate::report::{Report, Way};
use crate::tables;
use crate::tree;
use infer_core::Engine;
use infer_core::kind::{Kind, pod_kind_of, stored_kind_of};
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::snapshot::{Reader, Snapshot};
use infer_core::world::World;
use serde_json::Value;
use std::sync::Arc;

/// What a person asks beside the route itself; all times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How long a generation is silent, before its first token or because it is not streamed.
    pub think: Option<u64>,
    /// How long a streamed answer takes.
    pub stream: Option<u64>,
    /// How long the load balancer in front bears silence, where a person knows it.
    pub lb_idle: Option<u64>,
}

/// Everything that the parts of a report are made from.
pub(crate) struct Scene<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) facts: &'a Facts,
    pub(crate) world: &'a World<'a>,
    pub(crate) asked: Asked,
}

impl<'a> Scene<'a> {
    /// The subject's object. A pod is found too, though no rule reads it.
    pub(crate) fn subject(&self) -> Option<&'a Value> {
        let is = |object: &&Arc<Value>| self.facts.subject.is(object);
        self.facts.objects.iter().find(is).map(Arc::as_ref)
    }

    /// Every object of one kind, as it was given.
    pub(crate) fn given(&self, kind: &str) -> impl Iterator<Item = &'a Value> {
        let of_kind =
            move |object: &&Arc<Value>| object.get("kind").and_then(Value::as_str) == Some(kind);
        self.facts.objects.iter().filter(of_kind).map(Arc::as_ref)
    }

    /// Whether objects of a kind were looked for.
    pub(crate) fn knows(&self, kind: Kind) -> bool {
        self.facts.known.contains(kind)
    }

    /// Whether the objects come from a cluster, status and all.
    pub(crate) fn is_live(&self) -> bool {
        self.facts.source == Source::Cluster
    }
}

/// Says what is known of the route that the subject is on.
pub fn inspect(engine: &Engine, facts: &Facts, asked: Asked) -> Report {
    let snapshot = snapshot(facts);
    let reader = Reader::new(&snapshot);
    let world = World {
        catalogue: &engine.catalogue,
        policy: &engine.policy,
        reader: &reader,
    };
    let scene = Scene {
        engine,
        facts,
        world: &world,
        asked,
    };
    let mut notes = Vec::new();
    let ways: Vec<Way> = entry::entries(&scene)
        .iter()
        .map(|entry| way(&scene, entry, &mut notes))
        .collect();
    let mut report = Report {
        subject: facts.subject.clone(),
        source: facts.source,
        ways,
        not_on_path: Vec::new(),
        findings: Vec::new(),
        gaps: facts.gaps.clone(),
        notes,
    };
    report.not_on_path = beside::beside(&scene, &report);
    report.findings = findings::findings(&scene, &report);
    report
}

fn way(scene: &Scene<'_>, entry: &Entry<'_>, notes: &mut Vec<String>) -> Way {
    let mut drain = drain::sheets(scene, entry);
    let timers = tables::tables(scene, entry, &mut drain, notes);
    let hops = tree::hops(scene, entry);
    Way {
        url: entry.url(),
        entry: entry.reference(),
        broken: tree::broken(&hops),
        hops,
        timers,
        drain,
    }
}

/// The objects as rules see them: of a workload and its pods, the workload alone. Where the owner of
/// a pod could not be read, one of its pods stands for it.
fn snapshot(facts: &Facts) -> Snapshot {
    let mut snapshot = Snapshot::new(facts.known);
    let mut stand_ins: Vec<(&str, String)> = Vec::new();
    for object in &facts.objects {
        if stored_kind_of(object).is_none() {
            continue;
        }
        if pod_kind_of(object).is_some()
            && let Some((_, name)) = entry::controller_of(object)
        {
            let namespace = object::namespace(object);
            let owner = entry::top_owner(&facts.objects, object);
            let seen = owner.is_some_and(|owner| !std::ptr::eq(owner, object.as_ref()));
            if seen || stand_ins.contains(&(namespace, name.to_owned())) {
                continue;
            }
            stand_ins.push((namespace, name.to_owned()));
        }
        snapshot.insert(Arc::clone(object));
    }
    snapshot
}

/// The strings of a list.
pub(crate) fn texts<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = object.at(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// The items of a list.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .at(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The text at a pointer; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .at(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
