//! The snapshot in memory, with what is known of each watch.

use crate::resource::{RESOURCES, Resource};
use crate::watch;
use infer_core::kind::{Kind, KindSet};
use infer_core::snapshot::Snapshot;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::Instant;

/// How long start-up waits for a watch that neither synced nor failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its first list is on the way.
    Loading,
    /// The store has every object.
    Synced,
    /// There was no list yet, for this reason; it is tried again.
    Missing(String),
    /// There was a list, but news no longer come, for this reason; it is tried again.
    Stale(String),
}

/// Objects that rules read, kept by watches. Clones share one snapshot.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshot: RwLock<Snapshot>,
    watches: RwLock<Vec<(&'static Resource, State)>>,
    changed: Sender<()>,
    started: Instant,
}

impl Store {
    /// An empty store in which nothing is known: no cluster.
    pub fn offline() -> Store {
        Store::of(Snapshot::default())
    }

    /// A store that holds `snapshot` and follows no cluster; [`Store::update`] changes it.
    pub fn of(snapshot: Snapshot) -> Store {
        Store::with(snapshot, KindSet::NONE)
    }

    /// Follows the cluster: one watch for each API resource that serves one of `kinds`. Must be
    /// called inside a tokio runtime; returns at once.
    pub fn start(client: &kube::Client, kinds: KindSet) -> Store {
        let store = Store::with(Snapshot::default(), kinds);
        for (resource, _) in store.watches() {
            tokio::spawn(watch::follow(store.clone(), client.clone(), resource));
        }
        store
    }

    pub(crate) fn with(snapshot: Snapshot, kinds: KindSet) -> Store {
        let serves = |resource: &&Resource| resource.serves.iter().any(|kind| kinds.contains(kind));
        let watches = RESOURCES
            .iter()
            .filter(serves)
            .map(|resource| (resource, State::Loading))
            .collect();
        Store {
            shared: Arc::new(Shared {
                snapshot: RwLock::new(snapshot),
                watches: RwLock::new(watches),
                changed: Sender::new(()),
                started: Instant::now(),
            }),
        }
    }

    /// The snapshot as it is now. Hold it for one review only: watches wait meanwhile.
    pub fn read(&self) -> impl Deref<Target = Snapshot> + '_ {
        self.shared
            .snapshot
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the snapshot and tells those who wait.
    pub fn update<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        let result = change(
            &mut self
                .shared
                .snapshot
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.shared.changed.send_replace(());
        result
    }

    /// Changes from now on. Take it before the snapshot is read, or a change in between is missed.
    pub fn changes(&self) -> Changes {
        Changes(self.shared.changed.subscribe())
    }

    /// Every watch with its state; none without a cluster.
    pub fn watches(&self) -> Vec<(&'static Resource, State)> {
        self.shared
            .watches
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether start-up need not wait any longer: every watch has synced or failed once, or half a
    /// minute has passed.
    pub fn is_settled(&self) -> bool {
        self.watches()
            .iter()
            .all(|(_, state)| *state != State::Loading)
            || self.shared.started.elapsed() >= PATIENCE
    }

    /// Whether news of this kind come in: every watch that serves it is synced.
    pub fn is_synced(&self, kind: Kind) -> bool {
        let watches = self
            .shared
            .watches
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut serving = watches
            .iter()
            .filter(|(it, _)| it.serves.contains(kind))
            .peekable();
        serving.peek().is_some() && serving.all(|(_, state)| *state == State::Synced)
    }

    /// Sets the state of one watch; returns the one before.
    pub(crate) fn set_state(&self, resource: &'static Resource, state: State) -> State {
        let mut watches = self
            .shared
            .watches
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match watches.iter_mut().find(|(it, _)| *it == resource) {
            Some((_, known)) => std::mem::replace(known, state),
            None => State::Loading,
        }
    }
}

/// Waits for changes of a [`Store`].
#[derive(Debug)]
pub struct Changes(Receiver<()>);

impl Changes {
    /// Returns at the next change that was not yet seen; never, when the store is gone.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
