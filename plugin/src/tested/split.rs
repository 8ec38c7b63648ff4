//! Whether each backend gets its share: replies become hits, and hits a verdict.

mod backend;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use backend::By;
pub(crate) use rows::Row;

use crate::answered::{Behind, Fingerprint, Grade, Replica};
use backend::{Backend, Hit};
use infer_verdict::draw::{Draw, draw};
use infer_verdict::split::{Counts, Judged, Target, Verdict, judge, silence};

/// A share that a person expects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// The backend's name.
    pub(crate) name: String,
    /// Its share, and how far from it is still right.
    pub(crate) target: Target,
}

/// One request, and what tells who answered it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    /// Its number in the run, from 1.
    pub(crate) sequence: u64,
    /// Who answered.
    pub(crate) replica: &'a Replica,
    /// What the answer says of itself.
    pub(crate) fingerprint: &'a Fingerprint,
}

/// What a run says of the shares that were expected.
#[derive(Debug)]
pub(crate) struct Split {
    /// Each backend, in the order in which they were named.
    pub(crate) expectations: Vec<Expectation>,
    /// Hits by backend and replica.
    pub(crate) rows: Vec<Row>,
    /// How many replies are known to be of somebody.
    pub(crate) attributed: usize,
    /// How surely, the least sure of all; none where nothing is known.
    pub(crate) grade: Option<Grade>,
    /// The backend for which the run ended early.
    pub(crate) ended: Option<Silent>,
    /// Backends whose replicas take turns.
    pub(crate) taking_turns: Vec<String>,
    /// Other names that a reply could have been counted under.
    pub(crate) names: Vec<String>,
}

/// One backend's share.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    /// What was expected.
    pub(crate) wanted: Wanted,
    /// What its name was found to be; none where nothing has that name.
    pub(crate) by: Option<By>,
    /// What was counted.
    pub(crate) counts: Counts,
    /// What that proves.
    pub(crate) judged: Judged,
    /// What the order of the hits looks like.
    pub(crate) draw: Draw,
    /// How surely replies are known, the least sure of all.
    pub(crate) grade: Option<Grade>,
}

/// A backend that nobody reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Its name.
    pub(crate) backend: String,
    /// So many requests in a row, from the first one on, without a hit.
    pub(crate) requests: u64,
}

impl Split {
    /// Judges the replies of a run, in the order of their numbers.
    pub(crate) fn of(
        wanted: &[Wanted],
        behind: &Behind,
        replies: &[Reply<'_>],
        ended: Option<Silent>,
    ) -> Split {
        let backends = backend::resolve(wanted, behind, replies);
        let expectations = wanted
            .iter()
            .zip(&backends)
            .map(|(wanted, backend)| expectation(wanted, backend, replies, backends.len()))
            .collect();
        let grades: Vec<Grade> = replies
            .iter()
            .filter_map(|reply| backend::grade(&backends, reply))
            .collect();
        Split {
            expectations,
            rows: rows::rows(wanted, &backends, replies),
            attributed: grades.len(),
            grade: grades.into_iter().max(),
            ended,
            taking_turns: rows::taking_turns(&backends, replies),
            names: rows::names(behind, replies),
        }
    }

    /// The verdict on all of them together.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of_all(self.expectations.iter().map(|it| it.judged.verdict))
    }
}

fn expectation(
    wanted: &Wanted,
    backend: &Backend<'_>,
    replies: &[Reply<'_>],
    backends: usize,
) -> Expectation {
    let hits: Vec<Hit> = replies.iter().map(|reply| backend.hit(reply)).collect();
    let count = |of: Hit| hits.iter().filter(|hit| **hit == of).count() as u64;
    let counts = Counts {
        sent: replies.len() as u64,
        hits: count(Hit::Yes),
        unknown: count(Hit::Unknown),
    };
    let known: Vec<bool> = hits
        .iter()
        .filter(|hit| **hit != Hit::Unknown)
        .map(|hit| *hit == Hit::Yes)
        .collect();
    let attributed = replies.iter().zip(&hits);
    let attributed = attributed.filter(|(_, hit)| **hit != Hit::Unknown);
    Expectation {
        wanted: wanted.clone(),
        by: backend.by,
        counts,
        judged: judge(wanted.target, counts, backends),
        draw: draw(&known),
        grade: attributed.map(|(reply, _)| backend.grade(reply)).max(),
    }
}

/// The backend for which a run may end: it should get requests, and of so many from the first on
/// every reply is known and none is its own; nor is any later one.
pub(crate) fn silent(wanted: &[Wanted], behind: &Behind, replies: &[Reply<'_>]) -> Option<Silent> {
    let backends = backend::resolve(wanted, behind, replies);
    wanted
        .iter()
        .zip(&backends)
        .find_map(|(wanted_one, backend)| {
            let needed = silence(wanted_one.target, wanted.len())?;
            if (replies.len() as u64) < needed {
                return None;
            }
            let mut requests = 0;
            let mut unbroken = true;
            for (reply, number) in replies.iter().zip(1..) {
                match backend.hit(reply) {
                    Hit::Yes => return None,
                    Hit::No if unbroken && reply.sequence == number => requests = number,
                    Hit::No | Hit::Unknown => unbroken = false,
                }
            }
            (requests >= needed).then(|| Silent {
                backend: wanted_one.name.clone(),
                requests,
            })
        })
}
