//! One run at a time: a `coordination.k8s.io/v1` Lease.
//!
//! Every time in it is the API server's: of the `Date` of its answers. So two laptops whose clocks
//! differ agree on what has expired; the price is a resolution of one second.

use crate::call::{Answer, Asked};
use crate::connection::Cluster;
use crate::objects::text;
use crate::request_error::{RequestError, write_help};
use crate::what::What;
use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, GetParams, PostParams, Preconditions};
use serde_json::{Value, json};
use std::fmt;

/// So often the Lease is read again when others change it meanwhile.
pub(crate) const ATTEMPTS: usize = 5;

/// Who is named in `managedFields`.
const MANAGER: &str = "kubectl-infer";

/// A Lease that somebody may hold. It does nothing by itself: the holder must renew it, a third of
/// its duration apart at most, and release it.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    namespace: String,
    name: String,
    holder: String,
    seconds: i32,
}

/// Why a Lease is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// Somebody else holds it.
    Held {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Who.
        by: String,
        /// Since when, as RFC 3339.
        since: String,
        /// When it expires unless it is renewed, as RFC 3339.
        until: String,
    },
    /// It was ours, and is not any more: it expired, or was deleted.
    Lost {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Who holds it; none when nobody does.
        by: Option<String>,
    },
    /// The cluster was not reached, or refused.
    Request(RequestError),
}

impl From<RequestError> for LeaseError {
    fn from(error: RequestError) -> LeaseError {
        LeaseError::Request(error)
    }
}

impl LeaseError {
    /// What is wrong, on one line.
    pub fn message(&self) -> String {
        match self {
            LeaseError::Held {
                namespace,
                name,
                by,
                since,
                ..
            } => format!(
                "another run holds lease/{name} in namespace {namespace}: {by}, since {since}"
            ),
            LeaseError::Lost {
                namespace,
                name,
                by,
            } => {
                let why = match by {
                    Some(by) => format!("{by} holds it"),
                    None => "nobody holds it".to_owned(),
                };
                format!("lease/{name} in namespace {namespace} was lost: {why}")
            }
            LeaseError::Request(error) => error.message(),
        }
    }

    /// Ways out, each on one line.
    pub fn help(&self) -> Vec<String> {
        match self {
            LeaseError::Held {
                namespace,
                name,
                until,
                ..
            } => vec![
                format!("wait for it to end; without news of it the lease expires at {until}"),
                format!("`kubectl get lease {name} -n {namespace} -o yaml` shows it"),
            ],
            LeaseError::Lost { .. } => Vec::new(),
            LeaseError::Request(error) => error.help(),
        }
    }
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        write_help(f, &self.help())
    }
}

impl std::error::Error for LeaseError {}

/// What is written in a Lease.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) object: Value,
    pub(crate) holder: String,
    pub(crate) since: String,
    /// When it expires; none when it names no time, which nobody who lives does.
    pub(crate) until: Option<Timestamp>,
    /// The API server's time of the answer.
    pub(crate) now: Timestamp,
}

impl Stored {
    pub(crate) fn is_expired(&self) -> bool {
        self.until.is_none_or(|until| until < self.now)
    }
}

impl Cluster {
    /// The Lease of this name, not taken yet. `holder` names the run, for example
    /// `kubectl-infer/0.1 (7f3a9c) of USER@HOST`.
    pub fn lease(&self, namespace: &str, name: &str, holder: &str, seconds: i32) -> Lease {
        Lease {
            cluster: self.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            seconds,
        }
    }
}

impl Lease {
    /// Takes it: creates it, or takes it over from nobody, from a holder who let it expire, or from
    /// ourselves.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Held`] when another holds it.
    pub async fn acquire(&mut self) -> Result<(), LeaseError> {
        self.take(&|_| {}).await?;
        Ok(())
    }

    /// As [`Lease::acquire`]; `edit` changes the object before it is written.
    pub(crate) async fn take(
        &self,
        edit: &(dyn Fn(&mut Value) + Sync),
    ) -> Result<Stored, LeaseError> {
        for _ in 0..ATTEMPTS {
            match self.create(edit).await {
                Err(RequestError::Conflict { .. }) => {}
                done => return Ok(done?),
            }
            let Some(mut stored) = self.read().await? else {
                continue;
            };
            if !stored.holder.is_empty() && stored.holder != self.holder && !stored.is_expired() {
                return Err(self.held(stored));
            }
            edit(&mut stored.object);
            match self.write(stored, true).await {
                // Somebody else was faster: the next look says who.
                Err(RequestError::Conflict { .. } | RequestError::NotFound { .. }) => {}
                done => return Ok(done?),
            }
        }
        Err(LeaseError::Request(self.too_many()))
    }

    /// Says that we still hold it. Also takes it back when it expired and nobody else took it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Lost`] when it is somebody else's, or gone.
    pub async fn renew(&mut self) -> Result<(), LeaseError> {
        self.keep(&|_| {}).await?;
        Ok(())
    }

    /// As [`Lease::renew`]; `edit` changes the object before it is written.
    pub(crate) async fn keep(
        &self,
        edit: &(dyn Fn(&mut Value) + Sync),
    ) -> Result<Stored, LeaseError> {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = self.read().await? else {
                return Err(self.lost(None));
            };
            if stored.holder != self.holder {
                return Err(self.lost(Some(stored.holder)));
            }
            edit(&mut stored.object);
            match self.write(stored, false).await {
                Err(RequestError::Conflict { .. } | RequestError::NotFound { .. }) => {}
                done => return Ok(done?),
            }
        }
        Err(LeaseError::Request(self.too_many()))
    }

    /// Gives it back: deletes it, so that the cluster is as it was. Where deleting is not allowed,
    /// it stays without a holder. Nothing happens when it is not ours.
    ///
    /// # Errors
    ///
    /// As every request.
    pub async fn release(&mut self) -> Result<(), LeaseError> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.read().await? else {
                return Ok(());
            };
            if stored.holder != self.holder {
                return Ok(());
            }
            let done = match self.delete(&stored).await {
                Err(RequestError::Forbidden { .. }) => self.clear(stored).await.map(|_| ()),
                done => done,
            };
            match done {
                Err(RequestError::NotFound { .. }) => return Ok(()),
                Err(RequestError::Conflict { .. }) => {}
                done => return Ok(done?),
            }
        }
        Err(LeaseError::Request(self.too_many()))
    }

    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }

    pub(crate) fn asked(&self, verb: &'static str) -> Asked<'_> {
        Asked::new(verb, What::Lease, Some(&self.namespace)).name(&self.name)
    }

    fn requests(&self) -> kube::core::Request {
        Cluster::requests(What::Lease, Some(&self.namespace))
    }

    /// Creates it with times of zero, which expire at once, and writes the real ones: only an
    /// answer has the API server's time. A run that dies in between holds nothing.
    async fn create(&self, edit: &(dyn Fn(&mut Value) + Sync)) -> Result<Stored, RequestError> {
        let params = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.to_owned()),
        };
        let mut object = json!({
            "apiVersion": What::Lease.api_version(),
            "kind": What::Lease.kind(),
            "metadata": {
                "name": self.name,
                "labels": {"app.kubernetes.io/managed-by": MANAGER},
            },
            "spec": {"leaseDurationSeconds": self.seconds},
        });
        edit(&mut object);
        let request = self
            .requests()
            .create(&params, object.to_string().into_bytes());
        let answer = self.cluster.call(self.asked("create"), request).await?;
        self.write(stored(answer), true).await
    }

    pub(crate) async fn read(&self) -> Result<Option<Stored>, RequestError> {
        let request = self.requests().get(&self.name, &GetParams::default());
        match self.cluster.call(self.asked("get"), request).await {
            Ok(answer) => Ok(Some(stored(answer))),
            Err(RequestError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes ourselves into it, if it still is what was read.
    async fn write(&self, stored: Stored, is_new: bool) -> Result<Stored, RequestError> {
        let mut object = stored.object;
        let now = micro(stored.now);
        let spec = spec(&mut object);
        let before = spec.get("holderIdentity").and_then(Value::as_str);
        // As client-go counts them: changes of the holder, none for the first.
        if before.is_some_and(|before| before != self.holder) {
            let transitions = spec.get("leaseTransitions").and_then(Value::as_i64);
            spec["leaseTransitions"] = Value::from(transitions.unwrap_or(0) + 1);
        }
        if is_new {
            spec["acquireTime"] = Value::from(now.as_str());
        }
        spec["holderIdentity"] = Value::from(self.holder.as_str());
        spec["leaseDurationSeconds"] = Value::from(self.seconds);
        spec["renewTime"] = Value::from(now);
        self.replace(&object).await
    }

    pub(crate) async fn clear(&self, stored: Stored) -> Result<Stored, RequestError> {
        let mut object = stored.object;
        spec(&mut object)["holderIdentity"] = Value::Null;
        self.replace(&object).await
    }

    /// With the `resourceVersion` that was read: the API server refuses if another wrote since.
    pub(crate) async fn replace(&self, object: &Value) -> Result<Stored, RequestError> {
        let params = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.to_owned()),
        };
        let body = object.to_string().into_bytes();
        let request = self.requests().replace(&self.name, &params, body);
        let answer = self.cluster.call(self.asked("update"), request).await?;
        Ok(stored(answer))
    }

    pub(crate) async fn delete(&self, stored: &Stored) -> Result<(), RequestError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(text(&stored.object, "/metadata/uid")),
                resource_version: Some(text(&stored.object, "/metadata/resourceVersion")),
            }),
            ..DeleteParams::default()
        };
        let request = self.requests().delete(&self.name, &params);
        self.cluster.call(self.asked("delete"), request).await?;
        Ok(())
    }

    pub(crate) fn held(&self, stored: Stored) -> LeaseError {
        LeaseError::Held {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            by: stored.holder,
            since: stored.since,
            until: stored
                .until
                .map_or_else(|| "<unknown>".to_owned(), |until| until.to_string()),
        }
    }

    pub(crate) fn lost(&self, by: Option<String>) -> LeaseError {
        LeaseError::Lost {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            by: by.filter(|by| !by.is_empty()),
        }
    }

    pub(crate) fn too_many(&self) -> RequestError {
        RequestError::Conflict {
            doing: self.asked("update").doing(),
            exists: true,
            message: format!("it was changed by others {ATTEMPTS} times in a row"),
        }
    }
}

fn stored(answer: Answer) -> Stored {
    let object = answer.body;
    let renewed = text(&object, "/spec/renewTime").parse::<Timestamp>().ok();
    let seconds = object.pointer("/spec/leaseDurationSeconds");
    let seconds = seconds.and_then(Value::as_i64).unwrap_or(0);
    Stored {
        holder: text(&object, "/spec/holderIdentity"),
        since: text(&object, "/spec/acquireTime"),
        until: renewed.and_then(|it| it.checked_add(SignedDuration::from_secs(seconds)).ok()),
        now: answer.date.unwrap_or_else(Timestamp::now),
        object,
    }
}

/// The spec, as an object.
fn spec(object: &mut Value) -> &mut Value {
    let spec = &mut object["spec"];
    if !spec.is_object() {
        *spec = json!({});
    }
    spec
}

/// A MicroTime: six digits after the second, always (kubernetes/apimachinery
/// pkg/apis/meta/v1/micro_time.go `RFC3339Micro`).
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fake::{self, Asked as Request, Record, Reply, run, status};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    /// The stored Lease, and the version of the next write.
    pub(crate) type Storage = Arc<Mutex<(Option<Value>, u64)>>;

    /// The fake's answers are of 12:00:00.
    pub(crate) fn held(by: &str, renewed: &str) -> Value {
        json!({
            "metadata": {"name": "l", "namespace": "n", "uid": "u", "resourceVersion": "1"},
            "spec": {
                "holderIdentity": by, "leaseDurationSeconds": 30,
                "acquireTime": "2026-11-25T11:50:00.000000Z", "renewTime": renewed,
                "strategy": "unknown to us",
            },
        })
    }

    pub(crate) fn cluster(stored: Option<Value>, may_delete: bool) -> (Cluster, Record, Storage) {
        let storage: Storage = Arc::new(Mutex::new((stored, 2)));
        let state = Arc::clone(&storage);
        let (cluster, record) = fake::cluster(move |asked: &Request| {
            let (stored, next) = &mut *state.lock().unwrap();
            let version = next.to_string();
            match (asked.method.as_str(), stored.as_mut()) {
                ("POST", Some(_)) => status(409, "AlreadyExists", "already exists", "l"),
                ("POST", None) => {
                    let mut object = asked.body.clone();
                    object["metadata"]["uid"] = Value::from("u");
                    object["metadata"]["resourceVersion"] = Value::from(version);
                    *next += 1;
                    *stored = Some(object.clone());
                    Reply::Json(201, object)
                }
                (_, None) => status(404, "NotFound", "leases \"l\" not found", "l"),
                ("GET", Some(object)) => Reply::Json(200, object.clone()),
                ("PUT", Some(object)) => {
                    let read = &asked.body["metadata"]["resourceVersion"];
                    if *read != object["metadata"]["resourceVersion"] {
                        return status(409, "Conflict", "modified", "l");
                    }
                    *object = asked.body.clone();
                    object["metadata"]["resourceVersion"] = Value::from(version);
                    *next += 1;
                    Reply::Json(200, object.clone())
                }
                ("DELETE", Some(_)) if !may_delete => status(403, "Forbidden", "no", "l"),
                ("DELETE", Some(object)) => {
                    let read = &asked.body["preconditions"]["resourceVersion"];
                    if *read != object["metadata"]["resourceVersion"] {
                        return status(409, "Conflict", "modified", "l");
                    }
                    *stored = None;
                    Reply::Json(200, json!({"kind": "Status", "status": "Success"}))
                }
                _ => status(405, "MethodNotAllowed", "no", "l"),
            }
        });
        (cluster, record, storage)
    }

    fn spec_of(storage: &Storage, field: &str) -> Value {
        let stored = storage.lock().unwrap();
        stored
            .0
            .as_ref()
            .map_or(Value::Null, |it| it["spec"][field].clone())
    }

    #[test]
    fn one_that_nobody_holds_is_taken_renewed_and_given_back() {
        let (cluster, _, storage) = cluster(None, true);
        let mut lease = cluster.lease("n", "l", "me", 30);
        run(lease.acquire()).unwrap();
        assert_eq!(spec_of(&storage, "holderIdentity"), "me");
        assert_eq!(spec_of(&storage, "leaseDurationSeconds"), 30);
        let now = "2026-11-25T12:00:00.000000Z";
        assert_eq!(spec_of(&storage, "renewTime"), now, "the API server's time");
        assert_eq!(spec_of(&storage, "acquireTime"), now);
        run(lease.renew()).unwrap();
        run(lease.release()).unwrap();
        assert!(
            storage.lock().unwrap().0.is_none(),
            "the cluster is as it was"
        );
        run(lease.release()).unwrap();
    }

    #[test]
    fn one_that_another_holds_is_refused_with_who_and_until_when() {
        let (cluster, _, storage) = cluster(Some(held("other", "2026-11-25T11:59:45Z")), true);
        let mut lease = cluster.lease("n", "l", "me", 30);
        let error = run(lease.acquire()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "another run holds lease/l in namespace n: other, since 2026-11-25T11:50:00.000000Z\n  \
             = help: wait for it to end; without news of it the lease expires at \
             2026-11-25T12:00:15Z\n  \
             = help: `kubectl get lease l -n n -o yaml` shows it"
        );
        run(lease.release()).unwrap();
        assert_eq!(
            spec_of(&storage, "holderIdentity"),
            "other",
            "not ours to give back"
        );
    }

    #[test]
    fn one_that_expired_is_taken_over_whole() {
        let (cluster, _, storage) = cluster(Some(held("other", "2026-11-25T11:59:29Z")), true);
        run(cluster.lease("n", "l", "me", 30).acquire()).unwrap();
        assert_eq!(spec_of(&storage, "holderIdentity"), "me");
        assert_eq!(spec_of(&storage, "leaseTransitions"), 1);
        assert_eq!(
            spec_of(&storage, "strategy"),
            "unknown to us",
            "unknown fields survive"
        );
    }

    #[test]
    fn of_two_who_take_over_at_once_the_slower_one_is_refused() {
        let reads = AtomicUsize::new(0);
        let (cluster, record) = fake::cluster(move |asked: &Request| {
            match asked.method.as_str() {
                "POST" => status(409, "AlreadyExists", "already exists", "l"),
                // Between our read and our write the other one writes.
                "PUT" => status(409, "Conflict", "modified", "l"),
                _ if reads.fetch_add(1, Ordering::Relaxed) == 0 => {
                    Reply::Json(200, held("gone", "2026-11-25T11:00:00Z"))
                }
                _ => Reply::Json(200, held("faster", "2026-11-25T12:00:00Z")),
            }
        });
        let error = run(cluster.lease("n", "l", "me", 30).acquire()).unwrap_err();
        assert!(
            matches!(&error, LeaseError::Held { by, .. } if by == "faster"),
            "{error:?}"
        );
        let asked = record.lock().unwrap();
        let write = asked.iter().find(|it| it.method == "PUT").unwrap();
        assert_eq!(
            write.body["metadata"]["resourceVersion"], "1",
            "bound to what was read"
        );
    }

    #[test]
    fn one_that_was_taken_away_is_lost() {
        let (cluster, _, storage) = cluster(None, true);
        let mut lease = cluster.lease("n", "l", "me", 30);
        run(lease.acquire()).unwrap();
        storage.lock().unwrap().0 = Some(held("other", "2026-11-25T12:00:00Z"));
        let error = run(lease.renew()).unwrap_err().to_string();
        assert_eq!(error, "lease/l in namespace n was lost: other holds it");
        storage.lock().unwrap().0 = None;
        let error = run(lease.renew()).unwrap_err();
        assert!(
            matches!(error, LeaseError::Lost { by: None, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn without_the_right_to_delete_it_stays_without_a_holder() {
        let (cluster, _, storage) = cluster(None, false);
        let mut lease = cluster.lease("n", "l", "me", 30);
        run(lease.acquire()).unwrap();
        run(lease.release()).unwrap();
        assert_eq!(spec_of(&storage, "holderIdentity"), Value::Null);
        run(cluster.lease("n", "l", "next", 30).acquire()).unwrap();
        assert_eq!(spec_of(&storage, "holderIdentity"), "next");
    }
}
