//! Where a canary's run is kept: a Lease that carries the journal, so that any machine can take the
//! run over, and a wish, so that anyone can tell the holder what to do.
//!
//! The journal's text is opaque here. It is written only while the Lease is ours, behind the
//! resourceVersion that was read.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::lease::{ATTEMPTS, Lease, LeaseError, Stored as StoredLease};
use crate::request_error::RequestError;
use crate::what::What;
use serde_json::{Value, json};

/// The annotation that holds the journal.
const JOURNAL: &str = "kubectl-infer.dev/canary-journal";
/// The annotation that holds a wish.
const WISH: &str = "kubectl-infer.dev/canary-wish";
/// The label that names the workload.
const CANARY_OF: &str = "kubectl-infer.dev/canary-of";
/// The longest label value (kubernetes/apimachinery pkg/util/validation/validation.go).
const LONGEST_LABEL: usize = 63;

/// The largest journal, in bytes. All annotations of an object have at most 256 kB
/// (kubernetes/apimachinery pkg/api/validation/objectmeta.go `TotalAnnotationSizeLimitB`).
pub const LARGEST_JOURNAL: usize = 200_000;

/// The journal of the canary of one workload, in `lease/infer-canary-NAME` of its namespace.
#[derive(Debug)]
pub struct Journal {
    lease: Lease,
    workload: String,
}

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJournal {
    /// The journal; none where none was written.
    pub text: Option<String>,
    /// The wish; none where there is none.
    pub wish: Option<String>,
    /// Who holds it; none when nobody does. One who holds it may be dead: see `expired`.
    pub holder: Option<String>,
    /// Since when, as RFC 3339; empty when nobody held it yet.
    pub since: String,
    /// When the holder loses it unless it renews, as RFC 3339; none when nobody holds it.
    pub until: Option<String>,
    /// Whether the holder let it expire, by the API server's clock.
    pub expired: bool,
}

impl StoredJournal {
    fn of(stored: &StoredLease) -> StoredJournal {
        let held = !stored.holder.is_empty();
        StoredJournal {
            text: annotation(&stored.object, JOURNAL),
            wish: annotation(&stored.object, WISH),
            holder: held.then(|| stored.holder.clone()),
            since: stored.since.clone(),
            until: stored.until.filter(|_| held).map(|it| it.to_string()),
            expired: held && stored.is_expired(),
        }
    }

    /// Whether somebody who lives holds it.
    pub fn is_held(&self) -> bool {
        self.holder.is_some() && !self.expired
    }
}

impl Cluster {
    /// The journal of a workload's canary; nothing is asked yet. `holder` names this process, for
    /// example `kubectl-infer/0.1 (7f3a9c) of USER@HOST`; a holder who does not renew for `seconds`
    /// loses it.
    pub fn journal(&self, namespace: &str, workload: &str, holder: &str, seconds: i32) -> Journal {
        let name = format!("infer-canary-{workload}");
        Journal {
            lease: self.lease(namespace, &name, holder, seconds),
            workload: workload.to_owned(),
        }
    }
}

impl Journal {
    /// What is stored; none where no canary of the workload ever ran. Anyone may read it.
    ///
    /// # Errors
    ///
    /// As every request.
    pub async fn read(&self) -> Result<Option<StoredJournal>, RequestError> {
        let stored = self.lease.read().await?;
        Ok(stored.as_ref().map(StoredJournal::of))
    }

    /// Takes it: creates it with `text_if_new`, or takes it over from nobody, from a holder who let
    /// it expire, or from ourselves. Returns what is stored then; a journal that was there stays.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Held`] when another holds it.
    pub async fn acquire(&mut self, text_if_new: &str) -> Result<StoredJournal, LeaseError> {
        self.fits(text_if_new)?;
        let workload = &self.workload;
        let edit = |object: &mut Value| {
            if workload.len() <= LONGEST_LABEL {
                put(object, "labels", CANARY_OF, Some(workload));
            }
            if annotation(object, JOURNAL).is_none() {
                put(object, "annotations", JOURNAL, Some(text_if_new));
            }
        };
        let stored = self.lease.take(&edit).await?;
        Ok(StoredJournal::of(&stored))
    }

    /// Writes the journal, and renews.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Lost`] when it is somebody else's, or gone.
    pub async fn write(&mut self, text: &str) -> Result<StoredJournal, LeaseError> {
        self.fits(text)?;
        self.keep(&|object| put(object, "annotations", JOURNAL, Some(text)))
            .await
    }

    /// Says that we still hold it. Returns what is stored: the wish is looked for in it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Lost`] when it is somebody else's, or gone.
    pub async fn renew(&mut self) -> Result<StoredJournal, LeaseError> {
        self.keep(&|_| {}).await
    }

    /// Takes the wish away, once it is heard, and renews. Another wish that came meanwhile stays.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Lost`] when it is somebody else's, or gone.
    pub async fn clear_wish(&mut self, heard: &str) -> Result<StoredJournal, LeaseError> {
        self.keep(&|object| {
            if annotation(object, WISH).as_deref() == Some(heard) {
                put(object, "annotations", WISH, None);
            }
        })
        .await
    }

    async fn keep(&self, edit: &(dyn Fn(&mut Value) + Sync)) -> Result<StoredJournal, LeaseError> {
        let stored = self.lease.keep(edit).await?;
        Ok(StoredJournal::of(&stored))
    }

    /// Leaves a wish for the holder, in place of one that is there. Anyone who may update Leases
    /// may; the Lease is not taken.
    ///
    /// # Errors
    ///
    /// [`RequestError::NotFound`] when no canary of the workload ever ran.
    pub async fn wish(&self, text: &str) -> Result<StoredJournal, RequestError> {
        for _ in 0..ATTEMPTS {
            let mut stored = self.found().await?;
            put(&mut stored.object, "annotations", WISH, Some(text));
            match self.lease.replace(&stored.object).await {
                Err(RequestError::Conflict { .. }) => {}
                done => return done.map(|stored| StoredJournal::of(&stored)),
            }
        }
        Err(self.lease.too_many())
    }

    async fn found(&self) -> Result<StoredLease, RequestError> {
        let asked: Asked<'_> = self.lease.asked("get");
        let missing = || RequestError::NotFound {
            resource: What::Lease.resource(),
            name: asked.name.unwrap_or_default().to_owned(),
            namespace: asked.namespace.map(str::to_owned),
            hints: Box::default(),
        };
        self.lease.read().await?.ok_or_else(missing)
    }

    /// Lets go of it: nobody holds it then, and object and journal stay for reports. Nothing happens
    /// when it is not ours.
    ///
    /// # Errors
    ///
    /// As every request.
    pub async fn release(&mut self) -> Result<(), RequestError> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.lease.read().await? else {
                return Ok(());
            };
            if stored.holder != self.lease.holder() {
                return Ok(());
            }
            match self.lease.clear(stored).await {
                Err(RequestError::Conflict { .. } | RequestError::NotFound { .. }) => {}
                done => return done.map(|_| ()),
            }
        }
        Err(self.lease.too_many())
    }

    /// Deletes it with its journal, unless somebody else who lives holds it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Held`] when somebody does.
    pub async fn remove(&mut self) -> Result<(), LeaseError> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.lease.read().await? else {
                return Ok(());
            };
            let is_ours = stored.holder.is_empty() || stored.holder == self.lease.holder();
            if !is_ours && !stored.is_expired() {
                return Err(self.lease.held(stored));
            }
            match self.lease.delete(&stored).await {
                Err(RequestError::NotFound { .. }) => return Ok(()),
                Err(RequestError::Conflict { .. }) => {}
                done => return Ok(done?),
            }
        }
        Err(LeaseError::Request(self.lease.too_many()))
    }

    fn fits(&self, text: &str) -> Result<(), LeaseError> {
        if text.len() <= LARGEST_JOURNAL {
            return Ok(());
        }
        Err(LeaseError::Request(RequestError::Other {
            doing: self.lease.asked("update").doing(),
            code: None,
            message: format!(
                "the journal has {} bytes; at most {LARGEST_JOURNAL} are kept",
                text.len()
            ),
        }))
    }
}

fn annotation(object: &Value, key: &str) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?;
    annotations.get(key)?.as_str().map(str::to_owned)
}

/// Sets a label or an annotation, or takes it away.
fn put(object: &mut Value, map: &str, key: &str, value: Option<&str>) {
    let map = &mut object["metadata"][map];
    match (value, map) {
        (Some(value), Value::Object(map)) => {
            map.insert(key.to_owned(), Value::from(value));
        }
        (Some(value), map) => *map = json!({key: value}),
        (None, Value::Object(map)) => {
            map.remove(key);
        }
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests;
