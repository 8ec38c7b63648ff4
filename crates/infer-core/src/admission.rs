//! What admission answers to a CREATE or an UPDATE: the steps of the architecture, in their order.
//!
//! On UPDATE the first step that holds decides:
//! 1. what is judged is as before: it stays so; a dropped record is put back;
//! 2. an undo: untouched, with a warning;
//! 3. record and values are both gone, the rest is unchanged: they return;
//! 4. otherwise what we added is taken out, and the object is reviewed afresh.
//!
//! Pure, and it cannot fail: an object of odd shape is answered without a patch.

use crate::afresh::{Basis, afresh};
use crate::engine::Engine;
use crate::kind::{Kind, PodKind, pod_kind_of, stored_kind_of};
use crate::object;
use crate::pointer::{self, Walk};
use crate::policy::Action;
use crate::record::{self, Carried, Record, relocate};
use crate::review::{self, Fixing, Reviewed};
use crate::rule::Finding;
use crate::snapshot::{Reader, Snapshot};
use crate::written::{Origin, Sent};
use json_patch::Patch;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the API server is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Create an object.
    Create,
    /// Store a changed object.
    Update,
}

/// A request of the API server.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What it is about to do.
    pub operation: Operation,
    /// The request's namespace.
    pub namespace: &'a str,
    /// The object, with the API's defaults.
    pub object: &'a Value,
    /// The stored object, on UPDATE.
    pub old: Option<&'a Value>,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// What to change; `None` for nothing. It applies to exactly the object of the request.
    pub patch: Option<Patch>,
    /// What the client is told.
    pub warnings: Vec<String>,
    /// What the audit log is told.
    pub audit: BTreeMap<String, String>,
    /// Why the request is refused, if it is.
    pub denied: Option<String>,
    /// Whether a route's end is not in sight yet: a moment later the answer may be another one.
    pub waits: bool,
    /// The rules that fixed something.
    pub fixed: Vec<&'static str>,
    /// The rules that found something.
    pub found: Vec<&'static str>,
}

/// The subjects that admission changes.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Workload(&'static PodKind),
    Ingress,
}

impl Subject {
    fn of(object: &Value) -> Option<Subject> {
        match (pod_kind_of(object), stored_kind_of(object)) {
            (Some(kind), _) => Some(Subject::Workload(kind)),
            (None, Some(Kind::Ingress)) => Some(Subject::Ingress),
            _ => None,
        }
    }

    /// Whether what review judges is the same in two objects: the pod template, or the spec and the
    /// annotations that a controller reads.
    fn same(self, engine: &Engine, left: &Value, right: &Value) -> bool {
        match self {
            Subject::Workload(kind) => left.at(kind.template) == right.at(kind.template),
            Subject::Ingress => {
                left.get("spec") == right.get("spec")
                    && controller_annotations(engine, left) == controller_annotations(engine, right)
            }
        }
    }

    pub(crate) fn digest(self, object: &Value) -> String {
        match self {
            Subject::Workload(kind) if kind.mutable => object
                .at(kind.template)
                .map(record::digest)
                .unwrap_or_default(),
            // What cannot be changed is never undone.
            Subject::Workload(_) | Subject::Ingress => String::new(),
        }
    }
}

fn controller_annotations<'a>(engine: &Engine, ingress: &'a Value) -> BTreeMap<&'a str, &'a str> {
    object::annotations(ingress)
        .filter(|(key, _)| {
            *key == "kubernetes.io/ingress.class"
                || engine.catalogue.controllers.iter().any(|controller| {
                    controller
                        .annotation_prefixes
                        .iter()
                        .any(|prefix| key.starts_with(prefix))
                })
        })
        .collect()
}

/// Answers a request to `/mutate`.
pub fn mutate(engine: &Engine, snapshot: &Snapshot, request: &Request<'_>) -> Answer {
    let reader = Reader::new(snapshot);
    let Some(subject) = Subject::of(request.object) else {
        return Answer::default();
    };
    if is_owned(request.object) {
        return Answer::default();
    }
    match (request.operation, request.old) {
        (Operation::Update, Some(old)) => update(engine, &reader, request, subject, old),
        (Operation::Update, None) => Answer::default(),
        (Operation::Create, _) => {
            let carried = Carried::of(request.object);
            let broken = carried == Carried::Broken;
            let mut answer = afresh(
                engine,
                &reader,
                request,
                subject,
                Basis {
                    record: carried.readable().unwrap_or_default(),
                    dropped: false,
                    forgets: false,
                },
            );
            if broken {
                answer.warnings.push(BROKEN.to_owned());
            }
            answer
        }
    }
}

/// Answers a request to `/validate`: it refuses what the policy denies in the final object.
pub fn validate(engine: &Engine, snapshot: &Snapshot, request: &Request<'_>) -> Answer {
    let mut answer = Answer::default();
    if !engine.policy.denies() || is_owned(request.object) {
        return answer;
    }
    let reader = Reader::new(snapshot);
    let declined = Carried::of(request.object)
        .readable()
        .unwrap_or_default()
        .declined;
    let found = review::review(
        engine,
        &reader,
        request.object,
        Origin::ApiServer(&Sent::new(request.object)),
        &declined,
    );
    let denied: Vec<String> = found
        .findings
        .iter()
        .filter(|finding| engine.policy.action(finding.rule) == Action::Deny)
        .map(|finding| {
            let help = finding
                .help
                .first()
                .map(|help| format!("; {help}"))
                .unwrap_or_default();
            format!("{}: {}{help}", finding.rule.id, finding.message)
        })
        .collect();
    answer.found = found
        .findings
        .iter()
        .map(|finding| finding.rule.id)
        .collect();
    if let Some(first) = denied.first() {
        let more = match denied.len() {
            1 => String::new(),
            n => format!(" (and {} more: kubectl infer check -f FILE)", n - 1),
        };
        answer.denied = Some(format!("{first}{more}"));
    }
    answer
}

const BROKEN: &str =
    "the annotation kubectl-infer.dev/record cannot be read and is ignored: nothing is taken back";

/// Pods of a ReplicaSet, ReplicaSets of a Deployment, children of operators: their owner's object
/// is the one that people see and review (D6).
fn is_owned(object: &Value) -> bool {
    let owners = object
        .at("/metadata/ownerReferences")
        .and_then(Value::as_array);
    owners.is_some_and(|owners| {
        owners
            .iter()
            .any(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
    })
}

fn update(
    engine: &Engine,
    reader: &Reader<'_>,
    request: &Request<'_>,
    subject: Subject,
    old: &Value,
) -> Answer {
    let new = request.object;
    if let Subject::Workload(kind) = subject
        && !kind.mutable
    {
        return Answer::default();
    }
    let asked = object::annotation(new, record::REVIEW);
    let is_asked = asked.is_some() && asked != object::annotation(old, record::REVIEW);
    let carried = Carried::of(new);
    let broken = carried == Carried::Broken;
    let mut answer = if is_asked {
        let basis = Basis {
            record: carried_or_stored(carried, old),
            dropped: false,
            forgets: true,
        };
        afresh(engine, reader, request, subject, basis)
    } else if subject.same(engine, old, new) {
        unchanged(new, old, &carried)
    } else if let Some(answer) = undone(reader, new, subject, &carried) {
        answer
    } else if let Some(answer) = returned(engine, new, old, subject, &carried) {
        answer
    } else {
        let dropped = carried == Carried::Absent || is_server_side_apply(new, old);
        let basis = Basis {
            record: carried_or_stored(carried, old),
            dropped,
            forgets: false,
        };
        afresh(engine, reader, request, subject, basis)
    };
    if broken {
        answer.warnings.push(BROKEN.to_owned());
    }
    answer
}

/// The record that an object carries; where it carries none, the stored one's.
fn carried_or_stored(carried: Carried, old: &Value) -> Record {
    let carried = carried.readable();
    carried
        .or_else(|| Carried::of(old).readable())
        .unwrap_or_default()
}

/// Step 1: nothing that review judges has changed. Only a record that got lost is put back.
fn unchanged(new: &Value, old: &Value, carried: &Carried) -> Answer {
    let is_lost = !matches!(carried, Carried::Readable(_))
        && matches!(Carried::of(old), Carried::Readable(_));
    if !is_lost {
        return Answer::default();
    }
    let Some(text) = object::annotation(old, record::ANNOTATION) else {
        return Answer::default();
    };
    let mut work = new.clone();
    record::put(&mut work, Value::from(text));
    answer_with(new, &work)
}

/// Step 2: the template is one that this object had before, and the object did not come from a
/// file. It stays exactly as that revision was.
fn undone(reader: &Reader<'_>, new: &Value, subject: Subject, carried: &Carried) -> Option<Answer> {
    let Subject::Workload(kind) = subject else {
        return None;
    };
    let uid = new
        .at("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let digest = subject.digest(new);
    let came_with_it = matches!(carried, Carried::Readable(record) if record.template == digest);
    let is_revision = reader.has_revision(uid, &digest);
    // What `kubectl replace -f` drops: a Deployment's own revision; elsewhere, our record.
    let from_cluster = if kind.kind == "Deployment" {
        object::annotation(new, "deployment.kubernetes.io/revision").is_some()
    } else {
        *carried != Carried::Absent
    };
    let is_undo = came_with_it || (is_revision && from_cluster);
    if !is_undo {
        return None;
    }
    let mut answer = Answer::default();
    // Reinvocation finds the record that the first call wrote: that is no undo, and not to be told.
    if is_revision || !reader.knows(Kind::Revision) {
        answer.warnings = vec![
            "left exactly as that earlier revision was; nothing was filled in".to_owned(),
            ask_for_review(new),
        ];
    }
    Some(answer)
}

/// Step 3: `replace` with the same file, or a server-side apply of it over a client-side one. What
/// either dropped returns, whatever the numbers are now.
///
/// The second was tried on 1.36.3: kubectl hands the client-side manager's fields over to the
/// server-side one, defaulted ones with them, and the apply then drops those that its file does not
/// hold. Our grace period stands in such a field.
fn returned(
    engine: &Engine,
    new: &Value,
    old: &Value,
    subject: Subject,
    carried: &Carried,
) -> Option<Answer> {
    if *carried != Carried::Absent && !is_server_side_apply(new, old) {
        return None;
    }
    let record = Carried::of(old).readable()?;
    let mut work = new.clone();
    for entry in &record.added {
        let path = relocate(&work, &entry.path, entry.container.as_deref())?;
        let current = work.at(&path).filter(|value| !value.is_null());
        let is_ours = current == Some(&entry.value);
        if current.is_some() && current != entry.was.as_ref() && !is_ours {
            return None;
        }
        pointer::set(&mut work, &path, entry.value.clone())?;
    }
    if !subject.same(engine, old, &work) {
        return None;
    }
    record::put(
        &mut work,
        Value::from(object::annotation(old, record::ANNOTATION)?),
    );
    Some(answer_with(new, &work))
}

/// Whether this UPDATE is a server-side apply: it alone changes Apply entries of managedFields.
fn is_server_side_apply(new: &Value, old: &Value) -> bool {
    fn entries(object: &Value) -> Vec<&Value> {
        let all = object
            .at("/metadata/managedFields")
            .and_then(Value::as_array);
        let is_apply =
            |entry: &&Value| entry.get("operation").and_then(Value::as_str) == Some("Apply");
        all.into_iter().flatten().filter(is_apply).collect()
    }
    entries(new) != entries(old)
}

/// The patch from the object that came to the one that is wanted, if they differ.
fn answer_with(new: &Value, work: &Value) -> Answer {
    answer_by(json_patch::diff(new, work))
}

pub(crate) fn answer_by(patch: Patch) -> Answer {
    Answer {
        patch: (!patch.0.is_empty()).then_some(patch),
        ..Answer::default()
    }
}

/// Tells what was found and not fixed: by warning or in the audit log, as the policy says.
pub(crate) fn report(engine: &Engine, answer: &mut Answer, found: &Reviewed, changes: &[Fixing]) {
    let is_fixed = |finding: &Finding| {
        let made = |path: &str| changes.iter().any(|fixing| fixing.change.path == path);
        !finding.fix.is_empty() && finding.fix.iter().all(|change| made(&change.path))
    };
    let mut audited: BTreeSet<&str> = BTreeSet::new();
    for finding in &found.findings {
        let id = finding.rule.id;
        answer.found.push(id);
        if is_fixed(finding) {
            continue;
        }
        match engine.policy.action(finding.rule) {
            Action::Warn => answer.warnings.push(format!("{id}: {}", finding.message)),
            Action::Audit | Action::Deny => {
                audited.insert(id);
            }
            Action::Off => {}
        }
    }
    let fixed: BTreeSet<&'static str> = changes.iter().map(|fixing| fixing.rule.id).collect();
    for (key, names) in [("found", &audited), ("fixed", &fixed)] {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().copied().collect();
            answer.audit.insert(key.to_owned(), names.join(","));
        }
    }
    answer.fixed = fixed.into_iter().collect();
}

/// Says that a route could not be followed, and the way out.
pub(crate) fn open_ends(answer: &mut Answer, object: &Value, found: &Reviewed) {
    let Some(service) = found.open.first() else {
        return;
    };
    if found.is_subject || stored_kind_of(object) != Some(Kind::Ingress) {
        return;
    }
    answer.waits = true;
    answer.warnings.push(format!(
        "Service {service} leads to no known workload yet: this Ingress is stored without review"
    ));
    answer.warnings.push(ask_for_review(object));
}

/// The way out, as a command.
fn ask_for_review(object: &Value) -> String {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_lowercase();
    format!(
        "for a review: kubectl annotate -n {} {kind}/{} {}=now --overwrite",
        object::namespace(object),
        object::name(object),
        record::REVIEW
    )
}
