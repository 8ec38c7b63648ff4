//! Facts from files, and facts from what was gathered.

use super::{Args, Stopped};
use crate::command::Session;
use crate::manifests::{Manifests, Request};
use crate::problem::Problem;
use infer_cluster::gather::{Gathered, Missing};
use infer_cluster::near;
use infer_core::kind::{KindSet, stored_kind_of};
use infer_core::object;
use infer_inspect::{Facts, Gap, Right, Source, Subject, Why};

/// Reads the files that a person named.
pub(super) fn read(
    args: &Args,
    subject: Subject,
    session: &mut Session<'_>,
) -> Result<Facts, Stopped> {
    let request = Request {
        paths: args.filename.clone(),
        namespace: args
            .connection
            .namespace
            .clone()
            .filter(|name| !name.is_empty()),
        policy: None,
    };
    let manifests = Manifests::load(&request, session.stdin);
    if !manifests.problems.is_empty() {
        return Err(manifests.problems.into());
    }
    let is_there = manifests.objects.iter().any(|object| subject.is(object));
    if !is_there {
        let of_kind = manifests.objects.iter().filter(|object| {
            object.get("kind").and_then(serde_json::Value::as_str) == Some(subject.kind.kind())
        });
        let names: Vec<&str> = of_kind.map(|object| object::name(object)).collect();
        let problem = Problem::new(format!("no {subject} in these files"));
        let near = near(&subject.name, names.iter().copied());
        return Err(match (near.as_slice(), names.as_slice()) {
            ([], []) => problem.help(format!("they hold no {}", subject.kind.kind())),
            ([], names) => problem.help(format!("they hold {}", names.join(", "))),
            (near, _) => problem.help(format!("did you mean {}?", near.join(", "))),
        }
        .into());
    }
    let known = manifests.objects.iter().filter_map(|it| stored_kind_of(it));
    Ok(Facts {
        subject,
        source: Source::Files,
        known: known.fold(KindSet::NONE, KindSet::with),
        objects: manifests.objects,
        gaps: Vec::new(),
    })
}

/// What was gathered, as facts.
pub(super) fn facts(gathered: Gathered, subject: Subject) -> Facts {
    Facts {
        subject: Subject {
            namespace: gathered.namespace,
            ..subject
        },
        source: Source::Cluster,
        objects: gathered.objects,
        known: gathered.known,
        gaps: gathered.gaps.into_iter().map(gap).collect(),
    }
}

fn gap(gap: infer_cluster::gather::Gap) -> Gap {
    Gap {
        what: gap.what,
        why: match gap.why {
            Missing::Forbidden => Why::Forbidden,
            Missing::NotServed => Why::NotServed,
            Missing::TimedOut => Why::TimedOut,
            Missing::NotAsked => Why::NotAsked,
            Missing::Failed => Why::Failed,
        },
        right: Some(Right {
            verb: gap.right.verb,
            group: gap.right.group,
            resource: gap.right.resource,
            namespace: gap.right.namespace,
        }),
        message: gap.message,
    }
}
