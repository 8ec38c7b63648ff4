//! Hits by backend and replica, and what stands out among them.

use super::backend::{Backend, Hit};
use super::{Reply, Wanted};
use crate::answered::Behind;
use infer_verdict::draw::{Draw, draw};
use std::collections::{BTreeMap, BTreeSet};

/// Names of others that are told at most.
const MOST_NAMES: usize = 8;

/// The hits of one replica of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The backend: of the names that were given, or what else is known of it; none is unknown.
    pub(crate) backend: Option<String>,
    /// Which of the names it is.
    pub(crate) wanted: Option<usize>,
    /// The replica, each on a row of its own; none where it is not known, or for a backend without
    /// a hit.
    pub(crate) replica: Option<String>,
    /// How many replies it gave.
    pub(crate) hits: usize,
}

/// A reply's backend in tables.
fn backend_of(backends: &[Backend<'_>], reply: &Reply<'_>) -> (Option<usize>, Option<String>) {
    let hit = backends.iter().position(|it| it.hit(reply) == Hit::Yes);
    if let Some(index) = hit {
        return (hit, Some(backends[index].name.to_owned()));
    }
    let is_other = |it: &Backend<'_>| it.hit(reply) == Hit::No;
    if !backends.iter().any(is_other) {
        return (None, None);
    }
    let replica = reply.replica;
    let service = || match &replica.services[..] {
        [service] => Some(service.clone()),
        _ => None,
    };
    // A name that was given means something else here.
    let free = |name: &String| !backends.iter().any(|it| it.name == name);
    let mut known = [service(), replica.workload.clone()].into_iter().flatten();
    let name = known.find(free);
    (None, Some(name.unwrap_or_else(|| "other".to_owned())))
}

fn replica_of(reply: &Reply<'_>) -> Option<String> {
    let named = reply.replica.name().map(|(name, _)| name);
    named.or_else(|| reply.fingerprint.shown().map(str::to_owned))
}

/// The rows: names that were given in their order, then others by name, then what is unknown.
pub(super) fn rows(wanted: &[Wanted], backends: &[Backend<'_>], replies: &[Reply<'_>]) -> Vec<Row> {
    let mut counts: BTreeMap<(usize, Option<String>, Option<String>), usize> = BTreeMap::new();
    for reply in replies {
        let (index, backend) = backend_of(backends, reply);
        let place = match (index, &backend) {
            (Some(index), _) => index,
            (None, Some(_)) => wanted.len(),
            (None, None) => wanted.len() + 1,
        };
        let replica = backend.as_ref().and_then(|_| replica_of(reply));
        *counts.entry((place, backend, replica)).or_default() += 1;
    }
    for (index, it) in wanted.iter().enumerate() {
        if !counts.keys().any(|(place, ..)| *place == index) {
            counts.insert((index, Some(it.name.clone()), None), 0);
        }
    }
    counts
        .into_iter()
        .map(|((place, backend, replica), hits)| Row {
            backend,
            wanted: (place < wanted.len()).then_some(place),
            replica,
            hits,
        })
        .collect()
}

/// Backends whose replicas take turns: among the replies of a backend those of each replica come at
/// even distances.
pub(super) fn taking_turns(backends: &[Backend<'_>], replies: &[Reply<'_>]) -> Vec<String> {
    let mut orders: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for reply in replies {
        if let (_, Some(backend)) = backend_of(backends, reply) {
            orders.entry(backend).or_default().push(replica_of(reply));
        }
    }
    let takes_turns = |order: &Vec<Option<String>>| {
        let replicas: BTreeSet<&String> = order.iter().flatten().collect();
        let regular = |replica: &&String| {
            let hits: Vec<bool> = order
                .iter()
                .map(|it| it.as_ref() == Some(replica))
                .collect();
            draw(&hits) == Draw::Regular
        };
        replicas.len() > 1 && replicas.iter().any(regular)
    };
    let turns = orders.into_iter().filter(|(_, order)| takes_turns(order));
    turns.map(|(backend, _)| backend).collect()
}

/// Names that would have counted something, for a person whose own counted nothing.
pub(super) fn names(behind: &Behind, replies: &[Reply<'_>]) -> Vec<String> {
    let mut found: Vec<String> = behind.services.clone();
    let mut more = behind.workloads.clone();
    for reply in replies {
        let replica = reply.replica;
        more.extend(replica.workload.clone());
        more.extend(replica.subset.clone());
        more.extend(replica.header.clone());
        more.extend(reply.fingerprint.system.clone());
        more.extend(reply.fingerprint.model.clone());
        if more.len() >= MOST_NAMES {
            break;
        }
    }
    found.extend(more);
    found.truncate(MOST_NAMES);
    found
}
