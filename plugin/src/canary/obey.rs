//! What was decided, done. Everything here may be done twice.

use super::observe::{self, get};
use crate::problem::Problem;
use infer_canary::journal::Journal;
use infer_canary::machine::{Act, End, State, Stored};
use infer_canary::shift::{self, CANARY_OF, Named};
use infer_cluster::{Bound, Cluster, RequestError};
use infer_core::catalogue::Catalogue;
use infer_core::pointer::Walk;
use serde_json::Value;

/// What became of an act.
pub(crate) enum Done {
    /// Done, with what to tell of it.
    Yes(Vec<String>),
    /// Not yet; looking again is all it takes.
    NotYet(String),
    /// It will not work without a person.
    No(Problem),
}

/// Does it.
pub(crate) async fn obey(
    cluster: &Cluster,
    catalogue: &Catalogue,
    journal: &Journal,
    act: &Act,
    looked: Option<&Stored>,
) -> Done {
    let done = match act {
        Act::Wait | Act::StartSamples | Act::StartProof => Ok(Vec::new()),
        Act::Create => create(cluster, journal).await,
        Act::SetWeight(weight) => set_weight(cluster, journal, *weight, looked).await,
        Act::UpdateStable => update_stable(cluster, catalogue, journal).await,
        Act::Clear => clear(cluster, journal).await,
    };
    match done {
        Ok(told) => Done::Yes(told),
        Err(Failed::Passing(why)) => Done::NotYet(why),
        Err(Failed::Lasting(problem)) => Done::No(problem),
    }
}

enum Failed {
    Passing(String),
    Lasting(Problem),
}

impl From<infer_cluster::WriteError> for Failed {
    fn from(error: infer_cluster::WriteError) -> Failed {
        // Another writer was faster: the next look tells what it made of it.
        if error.is_passing() || matches!(error, infer_cluster::WriteError::Conflict { .. }) {
            Failed::Passing(error.message())
        } else {
            Failed::Lasting(error.into())
        }
    }
}

impl From<RequestError> for Failed {
    fn from(error: RequestError) -> Failed {
        if error.is_passing() {
            Failed::Passing(error.message())
        } else {
            Failed::Lasting(error.into())
        }
    }
}

impl From<shift::Refusal> for Failed {
    fn from(refusal: shift::Refusal) -> Failed {
        Failed::Lasting(refusal.into())
    }
}

type Told = Result<Vec<String>, Failed>;

/// The object, or nothing.
async fn find(cluster: &Cluster, named: &Named, namespace: &str) -> Result<Option<Value>, Failed> {
    match get(cluster, named, Some(namespace)).await {
        Ok(object) => Ok(Some(object)),
        Err(RequestError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn create(cluster: &Cluster, journal: &Journal) -> Told {
    let shift = &journal.shift;
    let mut told = Vec::new();
    for object in &shift.objects {
        let named = Named::of(object);
        if let Some(stored) = find(cluster, &named, &shift.namespace).await? {
            let ours = |object: &Value| {
                let place = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
                object
                    .at(&place(shift::CANARY_RUN))
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            };
            if ours(&stored).is_some() && ours(&stored) == ours(object) {
                continue;
            }
            let label = format!("/metadata/labels/{}", CANARY_OF.replace('/', "~1"));
            let of = stored.at(&label).and_then(Value::as_str);
            if of != object.at(&label).and_then(Value::as_str) || of.is_none() {
                let problem =
                    Problem::new(format!("{named} is there already, and not of a canary"));
                return Err(Failed::Lasting(problem.help(format!(
                    "`kubectl get {named} -n {} -o yaml` shows whose it is",
                    shift.namespace
                ))));
            }
            // What an earlier run left.
            cluster.delete(&stored, Bound::Uid, false).await?;
            told.push(format!("{named} of an earlier run deleted"));
            return Ok(told);
        }
        cluster.create(object, false).await?;
        told.push(format!("{named} created"));
    }
    Ok(told)
}

async fn set_weight(
    cluster: &Cluster,
    journal: &Journal,
    weight: u8,
    looked: Option<&Stored>,
) -> Told {
    let shift = &journal.shift;
    let Some(carrier) = find(cluster, &shift.carrier, &shift.namespace).await? else {
        return Err(Failed::Passing(format!("{} is gone", shift.carrier)));
    };
    // What was decided rests on what was seen.
    if looked != Some(&observe::stored(shift, Some(&carrier))) {
        return Err(Failed::Passing(format!(
            "{} was changed meanwhile",
            shift.carrier
        )));
    }
    let before = shift.weight_of(&carrier);
    if before == shift::Weight::Share(weight) {
        return Ok(Vec::new());
    }
    let patch = shift.set_weight(&carrier, weight)?;
    cluster.patch(&carrier, &patch, false).await?;
    let from = match before {
        shift::Weight::Share(share) => share.to_string(),
        shift::Weight::Absent => "none".to_owned(),
        shift::Weight::Foreign(_) => "another".to_owned(),
    };
    Ok(vec![format!(
        "{} patched (canary weight {from} → {weight})",
        shift.carrier
    )])
}

async fn update_stable(cluster: &Cluster, catalogue: &Catalogue, journal: &Journal) -> Told {
    let shift = &journal.shift;
    let named = Named::new("Deployment", &shift.stable.workload);
    let Some(stable) = find(cluster, &named, &shift.namespace).await? else {
        return Err(Failed::Passing(format!("{named} is gone")));
    };
    let patch = match shift::promote(catalogue, &stable, &journal.version, None) {
        Ok(patch) => patch,
        // Done already, by whoever drove the run before.
        Err(shift::Refusal::SameVersion { .. }) => return Ok(Vec::new()),
        Err(refusal) => return Err(refusal.into()),
    };
    cluster.patch(&stable, &patch, false).await?;
    Ok(vec![format!("{named} patched (the new version)")])
}

/// Takes the canary out of the route, and away at the next look: a proxy that hears of both at once
/// may hear of them in the other order.
async fn clear(cluster: &Cluster, journal: &Journal) -> Told {
    let shift = &journal.shift;
    let mut told = Vec::new();
    let is_created = |named: &Named| shift.objects.iter().any(|it| Named::of(it) == *named);
    if let Some(carrier) = find(cluster, &shift.carrier, &shift.namespace).await? {
        if is_created(&shift.carrier) {
            cluster.delete(&carrier, Bound::Uid, false).await?;
            told.push(format!("{} deleted", shift.carrier));
        } else if shift.weight_of(&carrier) != shift::Weight::Absent {
            let patch = shift.take_out(&carrier, &journal.original)?;
            cluster.patch(&carrier, &patch, false).await?;
            told.push(format!("{} patched (the canary taken out)", shift.carrier));
        }
    }
    if !told.is_empty() {
        return Ok(told);
    }
    let is_promoted = matches!(
        journal.state,
        State::Clearing { end: End::Promoted } | State::Ended { end: End::Promoted }
    );
    for object in shift.objects.iter().rev() {
        let named = Named::of(object);
        if named == shift.carrier {
            continue;
        }
        let Some(stored) = find(cluster, &named, &shift.namespace).await? else {
            continue;
        };
        if named.kind == "Deployment" && !is_promoted {
            if stored.at("/spec/replicas") != Some(&Value::from(0)) {
                cluster
                    .patch(&stored, &shift::scale(&stored, 0), false)
                    .await?;
                told.push(format!("{named} scaled to 0"));
            }
            continue;
        }
        cluster.delete(&stored, Bound::Uid, false).await?;
        told.push(format!("{named} deleted"));
    }
    Ok(told)
}
