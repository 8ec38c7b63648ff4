//! Who reviews: the engine over the store, or, for the bench, one who always answers the same.

use infer_cluster::Store;
use infer_core::Engine;
use infer_core::admission::{self, Answer, Request};
use infer_core::kind::{Kind, KindSet};
use infer_core::rules;

/// Answers the requests of the API server.
pub trait Review: Send + Sync + 'static {
    /// The answer to `/mutate`.
    fn mutate(&self, request: &Request<'_>) -> Answer;

    /// The answer to `/validate`.
    fn validate(&self, request: &Request<'_>) -> Answer;

    /// What reviews read beside the request. With a store an answer that waits for an object is
    /// asked for again when the store changes.
    fn store(&self) -> Option<&Store> {
        None
    }
}

/// The kinds that reviews read beside the request: what the store watches, and what the ClusterRole
/// of `manifests/base` allows.
pub fn reads() -> KindSet {
    let rules = rules::ALL.iter().map(|rule| rule.reads());
    // Admission itself tells an undo by the revisions of a workload.
    let all = rules.fold(KindSet::of(&[Kind::Revision]), KindSet::union);
    all.both(Kind::AT_ADMISSION)
}

/// The engine over a store.
#[derive(Debug)]
pub struct EngineReview {
    engine: Engine,
    store: Store,
}

impl EngineReview {
    /// Reviews by `engine`, reading `store`.
    pub fn new(engine: Engine, store: Store) -> EngineReview {
        EngineReview { engine, store }
    }
}

impl Review for EngineReview {
    fn mutate(&self, request: &Request<'_>) -> Answer {
        admission::mutate(&self.engine, &self.store.read(), request)
    }

    fn validate(&self, request: &Request<'_>) -> Answer {
        admission::validate(&self.engine, &self.store.read(), request)
    }

    fn store(&self) -> Option<&Store> {
        Some(&self.store)
    }
}

/// Answers every review with one patch, whatever it is: the floor below which no review on this
/// stack can come. For the bench only.
#[doc(hidden)]
#[derive(Debug)]
pub struct ConstantPatch(pub json_patch::Patch);

impl Review for ConstantPatch {
    fn mutate(&self, _: &Request<'_>) -> Answer {
        Answer {
            patch: Some(self.0.clone()),
            ..Answer::default()
        }
    }

    fn validate(&self, _: &Request<'_>) -> Answer {
        Answer::default()
    }
}
