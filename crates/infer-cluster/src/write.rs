//! Creating, patching and deleting one object and no other.
//!
//! Every write names its field manager, is checked for unknown fields, may be a dry run, and is
//! bound to what was read: by the tests of its patch or by the preconditions of its deletion.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::objects::{text, typed};
use crate::request_error::{RequestError, write_help};
use crate::what::What;
use json_patch::{Patch, PatchOperation};
use kube::api::{DeleteParams, PatchParams, PostParams, Preconditions, PropagationPolicy};
use serde_json::{Map, Value};
use std::fmt;

/// Who is named in `managedFields`.
const MANAGER: &str = "kubectl-infer";
/// So often an object is read again when only its status changes meanwhile.
const ATTEMPTS: usize = 10;
/// So many places that changed are named.
const SHOWN: usize = 5;
/// What the API server itself changes at every write.
const KEPT_BY_THE_SERVER: &[&str] = &["resourceVersion", "managedFields", "generation", "uid"];

/// Why an object was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// It is not what was read any more.
    Conflict {
        /// The object, as `ingress/NAME`.
        object: String,
        /// Its namespace.
        namespace: String,
        /// What happened to it.
        found: Found,
    },
    /// One of its name is there.
    AlreadyExists {
        /// The object, as `ingress/NAME`.
        object: String,
        /// Its namespace.
        namespace: String,
    },
    /// The API server finds a fault in it.
    Invalid {
        /// The object, as `ingress/NAME`.
        object: String,
        /// The API server's own words.
        message: String,
    },
    /// It is of a kind that is not written here.
    UnknownKind {
        /// `apiVersion` and `kind`.
        kind: String,
    },
    /// The cluster was not reached, or refused.
    Request(RequestError),
}

/// What is there instead of what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Gone,
    /// Another object of the name.
    Another,
    /// The same object, changed.
    Changed {
        /// Pointers to the places, the first five; empty when only the status changed.
        places: Vec<String>,
        /// How many places there are.
        count: usize,
        /// The field managers that wrote meanwhile.
        by: Vec<String>,
    },
    /// It could not be read.
    Unknown,
}

/// What of an object must be as it was read for it to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Its uid: it is the same object, whatever was changed in it.
    Uid,
    /// Its resourceVersion, too: nothing was changed in it.
    Version,
}

impl From<RequestError> for WriteError {
    fn from(error: RequestError) -> WriteError {
        WriteError::Request(error)
    }
}

impl WriteError {
    /// Whether reading the object again and trying again is all it takes: only its status changed,
    /// or the connection failed.
    pub fn is_passing(&self) -> bool {
        match self {
            WriteError::Conflict { found, .. } => {
                matches!(found, Found::Changed { count: 0, .. })
            }
            WriteError::Request(error) => error.is_passing(),
            _ => false,
        }
    }

    /// What is wrong, on one line.
    pub fn message(&self) -> String {
        match self {
            WriteError::Conflict {
                object,
                namespace,
                found,
            } => format!("{object} in namespace {namespace} {found}; nothing was written"),
            WriteError::AlreadyExists { object, namespace } => {
                format!("{object} is there already in namespace {namespace}")
            }
            WriteError::Invalid { object, message } => {
                format!("the API server refuses {object}: {message}")
            }
            WriteError::UnknownKind { kind } => format!("{kind} is not written"),
            WriteError::Request(error) => error.message(),
        }
    }

    /// Ways out, each on one line.
    pub fn help(&self) -> Vec<String> {
        match self {
            WriteError::Conflict {
                object, namespace, ..
            } => vec![format!(
                "`kubectl get {object} -n {namespace} -o yaml --show-managed-fields` shows who \
                 wrote what"
            )],
            WriteError::AlreadyExists { object, namespace } => {
                vec![format!(
                    "`kubectl get {object} -n {namespace} -o yaml` shows it"
                )]
            }
            WriteError::Request(error) => error.help(),
            WriteError::Invalid { .. } | WriteError::UnknownKind { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        write_help(f, &self.help())
    }
}

impl std::error::Error for WriteError {}

impl fmt::Display for Found {
    /// Goes on after the object's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Gone => f.write_str("was deleted under us"),
            Found::Another => f.write_str("was deleted and created anew under us"),
            Found::Unknown => f.write_str("was changed under us, in what cannot be read"),
            Found::Changed { count: 0, .. } => f.write_str("has another status"),
            Found::Changed { places, count, by } => {
                write!(f, "was changed under us at {}", places.join(", "))?;
                if *count > places.len() {
                    write!(f, " and {} more", count - places.len())?;
                }
                if !by.is_empty() {
                    write!(f, " by {}", by.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

/// An object's kind, namespace and name, for requests.
struct Target<'a> {
    what: What,
    namespace: String,
    name: String,
    object: &'a Value,
}

impl<'a> Target<'a> {
    fn of(object: &'a Value) -> Result<Target<'a>, WriteError> {
        let what = What::of(object).ok_or_else(|| WriteError::UnknownKind {
            kind: format!("{} {}", text(object, "/apiVersion"), text(object, "/kind")),
        })?;
        Ok(Target {
            what,
            namespace: text(object, "/metadata/namespace"),
            name: text(object, "/metadata/name"),
            object,
        })
    }

    fn asked(&self, verb: &'static str) -> Asked<'_> {
        Asked::new(verb, self.what, Some(&self.namespace)).name(&self.name)
    }

    fn requests(&self) -> kube::core::Request {
        Cluster::requests(self.what, Some(&self.namespace))
    }

    /// `ingress/NAME`.
    fn words(&self) -> String {
        format!("{}/{}", self.what, self.name)
    }

    fn conflict(&self, found: Found) -> WriteError {
        WriteError::Conflict {
            object: self.words(),
            namespace: self.namespace.clone(),
            found,
        }
    }
}

impl Cluster {
    /// Creates an object, as it stands: `apiVersion`, `kind`, namespace and name tell where. A field
    /// that the API does not know is an error. With `dry_run` the API server checks and stores
    /// nothing. Returns what was stored.
    ///
    /// # Errors
    ///
    /// [`WriteError::AlreadyExists`], and [`WriteError::Invalid`] where the API server finds a fault.
    pub async fn create(&self, object: &Value, dry_run: bool) -> Result<Value, WriteError> {
        let target = Target::of(object)?;
        let params = PostParams {
            dry_run,
            field_manager: Some(MANAGER.to_owned()),
        };
        let body = object.to_string().into_bytes();
        let request = target.requests().create(&params, body).map(strict);
        match self.call(target.asked("create"), request).await {
            Ok(answer) => Ok(typed(answer.body, target.what)),
            Err(RequestError::Conflict { exists: true, .. }) => Err(WriteError::AlreadyExists {
                object: target.words(),
                namespace: target.namespace.clone(),
            }),
            Err(RequestError::Other {
                code: Some(400 | 422),
                message,
                ..
            }) => Err(WriteError::Invalid {
                object: target.words(),
                message,
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies a JSON patch to the object that `before` is, which must be what the patch was made
    /// from. The patch should test uid and resourceVersion. Returns what was stored; `before` itself
    /// where the patch has nothing but tests, and then nothing is asked.
    ///
    /// # Errors
    ///
    /// [`WriteError::Conflict`] with what changed meanwhile, when a test does not hold;
    /// [`WriteError::Invalid`] where the API server finds a fault.
    pub async fn patch(
        &self,
        before: &Value,
        patch: &Patch,
        dry_run: bool,
    ) -> Result<Value, WriteError> {
        let target = Target::of(before)?;
        let is_test = |it: &PatchOperation| matches!(it, PatchOperation::Test(_));
        if patch.0.iter().all(is_test) {
            return Ok(before.clone());
        }
        let params = PatchParams {
            dry_run,
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = patch_request(&target, &params, patch);
        let refused = match self.call(target.asked("patch"), request).await {
            Ok(answer) => return Ok(typed(answer.body, target.what)),
            Err(RequestError::NotFound { .. }) => return Err(target.conflict(Found::Gone)),
            Err(error) => error,
        };
        // A test that does not hold answers 422 (kubernetes/apiserver
        // pkg/endpoints/handlers/patch.go `applyJSPatch`), as an invalid object does: only what is
        // stored tells the two apart.
        let is_conflict = matches!(refused, RequestError::Conflict { .. });
        let message = match &refused {
            RequestError::Other {
                code: Some(400 | 422),
                message,
                ..
            } => message.clone(),
            RequestError::Conflict { message, .. } => message.clone(),
            _ => return Err(refused.into()),
        };
        match self.found(&target).await? {
            Some(found) => Err(target.conflict(found)),
            None if is_conflict => Err(target.conflict(Found::Unknown)),
            None => Err(WriteError::Invalid {
                object: target.words(),
                message,
            }),
        }
    }

    /// Reads an object, makes a patch of it, and applies that; again where only the status changed in
    /// between, which controllers write all the time.
    ///
    /// # Errors
    ///
    /// As [`Cluster::patch`], and what `make` refuses.
    pub async fn amend<E: From<WriteError>>(
        &self,
        what: What,
        namespace: &str,
        name: &str,
        dry_run: bool,
        make: impl Fn(&Value) -> Result<Patch, E>,
    ) -> Result<Value, E> {
        let mut tries = 0;
        loop {
            tries += 1;
            let before = self.get(what, Some(namespace), name).await;
            let before = before.map_err(WriteError::from)?;
            match self.patch(&before, &make(&before)?, dry_run).await {
                Err(error @ WriteError::Conflict { .. })
                    if error.is_passing() && tries < ATTEMPTS => {}
                done => return Ok(done?),
            }
        }
    }

    /// Deletes the object that was read, and its dependents after it. Whether it was there: one that
    /// is gone already is no error.
    ///
    /// # Errors
    ///
    /// [`WriteError::Conflict`] when it is another one by now, or, with [`Bound::Version`], was
    /// changed.
    pub async fn delete(
        &self,
        object: &Value,
        bound: Bound,
        dry_run: bool,
    ) -> Result<bool, WriteError> {
        let target = Target::of(object)?;
        let own = |pointer| Some(text(object, pointer)).filter(|it| !it.is_empty());
        let version = own("/metadata/resourceVersion").filter(|_| bound == Bound::Version);
        let params = DeleteParams {
            dry_run,
            grace_period_seconds: None,
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: own("/metadata/uid"),
                resource_version: version,
            }),
        };
        let request = target.requests().delete(&target.name, &params);
        match self.call(target.asked("delete"), request).await {
            Ok(_) => Ok(true),
            Err(RequestError::NotFound { .. }) => Ok(false),
            Err(RequestError::Conflict { .. }) => {
                let found = self.found(&target).await?;
                Err(target.conflict(found.unwrap_or(Found::Unknown)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is there instead of what was read; none where that is what is there.
    async fn found(&self, target: &Target<'_>) -> Result<Option<Found>, WriteError> {
        let read = target.requests().get(&target.name, &Default::default());
        let now = match self.call(target.asked("get"), read).await {
            Ok(answer) => typed(answer.body, target.what),
            Err(RequestError::NotFound { .. }) => return Ok(Some(Found::Gone)),
            Err(RequestError::Forbidden { .. }) => return Ok(Some(Found::Unknown)),
            Err(error) => return Err(error.into()),
        };
        let before = target.object;
        let same = |pointer| text(before, pointer) == text(&now, pointer);
        if !same("/metadata/uid") {
            return Ok(Some(Found::Another));
        }
        if same("/metadata/resourceVersion") {
            return Ok(None);
        }
        let places = json_patch::diff(&written(before), &written(&now)).0;
        let mut places: Vec<String> = places.iter().map(|it| it.path().to_string()).collect();
        places.dedup();
        let count = places.len();
        places.truncate(SHOWN);
        Ok(Some(Found::Changed {
            places,
            count,
            by: writers(before, &now),
        }))
    }
}

/// An object without what the API server and controllers write into it.
fn written(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(map) = &mut object {
        map.remove("status");
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            metadata.retain(|key, _| !KEPT_BY_THE_SERVER.contains(&key.as_str()));
        }
    }
    object
}

/// The managers that have an entry in `now` which was not in `before`, for other fields than the
/// status.
fn writers(before: &Value, now: &Value) -> Vec<String> {
    let entries = |object: &Value| -> Vec<Value> {
        let list = object.pointer("/metadata/managedFields");
        list.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let old = entries(before);
    let new = entries(now).into_iter();
    let new = new.filter(|it| it["subresource"].is_null() && !old.contains(it));
    let mut names: Vec<String> = new.map(|it| text(&it, "/manager")).collect();
    names.retain(|it| !it.is_empty());
    names.dedup();
    names
}

fn patch_request(
    target: &Target<'_>,
    params: &PatchParams,
    patch: &Patch,
) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    // kube has JSON patches behind a feature and a version of their crate of its own.
    let merge = kube::api::Patch::Merge(Map::new());
    let mut request = target.requests().patch(&target.name, params, &merge)?;
    let json = http::HeaderValue::from_static("application/json-patch+json");
    request
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    *request.body_mut() =
        serde_json::to_vec(patch).map_err(kube::core::request::Error::SerializeBody)?;
    Ok(strict(request))
}

/// Asks for an error where a field is not known (KEP-2885), which kube offers for applies alone.
fn strict(mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    let uri = request.uri().to_string();
    let joint = if uri.ends_with('?') || uri.ends_with('&') {
        ""
    } else if uri.contains('?') {
        "&"
    } else {
        "?"
    };
    let uri = format!("{uri}{joint}fieldValidation=Strict");
    if let Ok(uri) = uri.parse() {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests;
