//! What a webhook keeps in the cluster for its own sake: a Secret, and the `caBundle` of its
//! registration.
//!
//! Every write is bound to the version that was read, so that replicas which do the same at the
//! same time never undo each other: the slower one is told and reads again.

use crate::client::chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, ObjectMeta};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// For one call to the API server; the next look makes it again.
const CALL: Duration = Duration::from_secs(10);

/// Who is named in `managedFields`.
const MANAGER: &str = "infer-webhook";

/// The kinds of registration, with their resource. Both have the same shape.
const KINDS: [(&str, &str); 2] = [
    (
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    (
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
];

/// A Secret and the registrations of one Service.
#[derive(Clone)]
pub struct Registrations {
    client: Client,
    namespace: String,
    secret: String,
    service: String,
    names: Vec<String>,
}

/// The data of a Secret as it was read.
#[derive(Clone)]
pub struct SecretData {
    /// Its entries, decoded.
    pub entries: BTreeMap<String, Vec<u8>>,
    version: String,
}

/// A registration as it was read: what its entries for our Service trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    kind: &'static str,
    name: String,
    version: String,
    /// Name and bundle of each entry.
    entries: Vec<(String, Vec<u8>)>,
}

/// How a write ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is stored.
    Done,
    /// Somebody else was faster, and nothing was written: read again.
    Outrun,
}

/// Why the cluster cannot be asked or told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The service account lacks a permission.
    #[error("may not {doing}: {reason}")]
    Forbidden {
        /// What was tried.
        doing: String,
        /// What the API server said.
        reason: String,
        /// The rule that is missing, YAML.
        rule: String,
        /// Where the rule belongs: `Role` or `ClusterRole`.
        role: &'static str,
    },
    /// Anything else.
    #[error("cannot {doing}: {reason}")]
    Failed {
        /// What was tried.
        doing: String,
        /// What went wrong.
        reason: String,
    },
}

/// A call, for messages and for the rule that it needs.
struct Call<'a> {
    verb: &'static str,
    group: &'static str,
    plural: &'static str,
    name: &'a str,
    /// Of a Secret, and none of a registration.
    namespace: Option<&'a str>,
}

impl Registrations {
    /// The Secret `namespace`/`secret`, and the registrations called `names` as far as they call the
    /// Service `namespace`/`service`. Asks nothing yet.
    pub fn new(
        client: Client,
        namespace: String,
        secret: String,
        service: String,
        names: Vec<String>,
    ) -> Registrations {
        Registrations {
            client,
            namespace,
            secret,
            service,
            names,
        }
    }

    /// The names that were given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The Service, as messages name it: `kubectl-infer/infer-webhook`.
    pub fn service(&self) -> String {
        format!("{}/{}", self.namespace, self.service)
    }

    /// The Secret, if there is one.
    ///
    /// # Errors
    ///
    /// When the API server refuses or does not answer within ten seconds.
    pub async fn secret(&self) -> Result<Option<SecretData>, RegistrationError> {
        let call = self.on_secret("get");
        let secret = call.run(self.secrets().get_opt(&self.secret)).await?;
        Ok(secret.map(|secret| SecretData {
            entries: secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(name, bytes)| (name, bytes.0))
                .collect(),
            version: secret.metadata.resource_version.unwrap_or_default(),
        }))
    }

    /// Makes the Secret with these entries.
    ///
    /// # Errors
    ///
    /// As [`Registrations::secret`]. A Secret that is there already is no error.
    pub async fn create_secret(
        &self,
        entries: BTreeMap<String, Vec<u8>>,
    ) -> Result<Written, RegistrationError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                ..ObjectMeta::default()
            },
            data: Some(
                entries
                    .into_iter()
                    .map(|(name, bytes)| (name, ByteString(bytes)))
                    .collect(),
            ),
            ..Secret::default()
        };
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let call = self.on_secret("create");
        let secrets = self.secrets();
        let made = call.write(secrets.create(&parameters, &secret)).await?;
        Ok(written(made.as_ref()))
    }

    /// Adds entries and removes others, if the Secret is still as it was read.
    ///
    /// # Errors
    ///
    /// As [`Registrations::secret`].
    pub async fn change_secret(
        &self,
        read: &SecretData,
        add: BTreeMap<String, Vec<u8>>,
        remove: &[String],
    ) -> Result<Written, RegistrationError> {
        let mut data: BTreeMap<String, Value> = remove
            .iter()
            .map(|name| (name.clone(), Value::Null))
            .collect();
        data.extend(add.into_iter().map(|(name, bytes)| (name, encoded(bytes))));
        let patch = json!({"metadata": {"resourceVersion": read.version}, "data": data});
        let call = self.on_secret("patch");
        let (parameters, patch) = (PatchParams::apply(MANAGER), Patch::Merge(patch));
        let secrets = self.secrets();
        let changed = secrets.patch(&self.secret, &parameters, &patch);
        Ok(written(call.write(changed).await?.as_ref()))
    }

    /// The registrations that exist; each name stands for one of either kind.
    ///
    /// # Errors
    ///
    /// As [`Registrations::secret`].
    pub async fn registrations(&self) -> Result<Vec<Registration>, RegistrationError> {
        let mut found = Vec::new();
        for name in &self.names {
            for (kind, plural) in KINDS {
                let call = on_registration("get", plural, name);
                let object = call
                    .run(self.registered(kind, plural).get_opt(name))
                    .await?;
                let Some(object) = object else { continue };
                found.push(Registration {
                    kind,
                    name: name.clone(),
                    version: object.metadata.resource_version.unwrap_or_default(),
                    entries: self.entries(&object.data),
                });
            }
        }
        Ok(found)
    }

    /// Sets `caBundle` of every entry for our Service, if the registration is still as it was read.
    /// No other field is touched. Where it is done, `read` is as what is stored.
    ///
    /// # Errors
    ///
    /// As [`Registrations::secret`].
    pub async fn set_bundle(
        &self,
        read: &mut Registration,
        bundle: &[u8],
    ) -> Result<Written, RegistrationError> {
        let Some((kind, plural)) = KINDS.into_iter().find(|(kind, _)| *kind == read.kind) else {
            return Ok(Written::Outrun);
        };
        let entries: Vec<Value> = read
            .entries
            .iter()
            .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": encoded(bundle.to_vec())}}))
            .collect();
        // Entries are merged by their name (admissionregistration/v1 `patchMergeKey=name`).
        let patch = json!({
            "metadata": {"resourceVersion": read.version},
            "webhooks": entries,
        });
        let call = on_registration("patch", plural, &read.name);
        let (parameters, patch) = (PatchParams::apply(MANAGER), Patch::Strategic(patch));
        let api = self.registered(kind, plural);
        let patched = call
            .write(api.patch(&read.name, &parameters, &patch))
            .await?;
        let Some(stored) = patched else {
            return Ok(Written::Outrun);
        };
        read.version = stored.metadata.resource_version.unwrap_or_default();
        read.entries = self.entries(&stored.data);
        Ok(Written::Done)
    }

    /// The entries that call our Service, with their bundles.
    fn entries(&self, data: &Value) -> Vec<(String, Vec<u8>)> {
        let entries = data["webhooks"].as_array().into_iter().flatten();
        let ours = entries.filter(|entry| {
            let called = &entry["clientConfig"]["service"];
            called["namespace"] == self.namespace.as_str()
                && called["name"] == self.service.as_str()
        });
        ours.map(|entry| {
            let name = entry["name"].as_str().unwrap_or_default();
            let bundle = entry["clientConfig"]["caBundle"].clone();
            let bundle: ByteString = serde_json::from_value(bundle).unwrap_or_default();
            (name.to_owned(), bundle.0)
        })
        .collect()
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn registered(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::all_with(self.client.clone(), &resource)
    }

    fn on_secret(&self, verb: &'static str) -> Call<'_> {
        Call {
            verb,
            group: "",
            plural: "secrets",
            name: &self.secret,
            namespace: Some(&self.namespace),
        }
    }
}

impl std::fmt::Debug for Registrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrations")
            .field("namespace", &self.namespace)
            .field("secret", &self.secret)
            .field("service", &self.service)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SecretData {
    /// Names only: the values are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretData")
            .field("entries", &self.entries.keys())
            .field("version", &self.version)
            .finish()
    }
}

impl Registration {
    /// As messages name it: `MutatingWebhookConfiguration infer-webhook`.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// Its name alone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What each entry for our Service trusts, PEM; empty where it calls another Service or a URL.
    pub fn bundles(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|(_, bundle)| bundle.as_slice())
    }
}

fn written<T>(stored: Option<&T>) -> Written {
    match stored {
        Some(_) => Written::Done,
        None => Written::Outrun,
    }
}

/// As the API wants bytes in JSON: base64.
fn encoded(bytes: Vec<u8>) -> Value {
    // Bytes always serialize.
    serde_json::to_value(ByteString(bytes)).unwrap_or_default()
}

fn on_registration<'a>(verb: &'static str, plural: &'static str, name: &'a str) -> Call<'a> {
    Call {
        verb,
        group: "admissionregistration.k8s.io",
        plural,
        name,
        namespace: None,
    }
}

impl Call<'_> {
    async fn run<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, RegistrationError> {
        self.within(call)
            .await?
            .map_err(|error| self.failed(&error))
    }

    /// As [`Call::run`]; `None` where somebody else was faster.
    async fn write<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<Option<T>, RegistrationError> {
        match self.within(call).await? {
            Ok(stored) => Ok(Some(stored)),
            // 409: "AlreadyExists" of a create, "Conflict" of a version that has passed. 404: what
            // was read is gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn within<T>(&self, call: impl Future<Output = T>) -> Result<T, RegistrationError> {
        let result = tokio::time::timeout(CALL, call).await;
        result.map_err(|_| RegistrationError::Failed {
            doing: self.doing(),
            reason: format!("the API server did not answer within {} s", CALL.as_secs()),
        })
    }

    fn failed(&self, error: &kube::Error) -> RegistrationError {
        let doing = self.doing();
        match error {
            // An admission plugin's 403, such as that of a namespace which is being deleted, is no
            // missing rule: RBAC names who "cannot" do what.
            kube::Error::Api(status) if status.code == 403 && status.message.contains("cannot") => {
                RegistrationError::Forbidden {
                    doing,
                    reason: status.message.clone(),
                    rule: self.rule(),
                    role: match self.namespace {
                        Some(_) => "Role",
                        None => "ClusterRole",
                    },
                }
            }
            // Its own Display prints the whole `Status`.
            kube::Error::Api(status) => RegistrationError::Failed {
                doing,
                reason: status.message.clone(),
            },
            other => RegistrationError::Failed {
                doing,
                reason: chain(other),
            },
        }
    }

    fn doing(&self) -> String {
        let Call {
            verb, plural, name, ..
        } = self;
        match self.namespace {
            Some(namespace) => format!("{verb} {plural} {name:?} in the namespace {namespace:?}"),
            None => format!("{verb} {plural} {name:?}"),
        }
    }

    /// The rule that allows it. A create cannot be limited to a name (Kubernetes' RBAC page,
    /// "Referring to resources").
    fn rule(&self) -> String {
        let Call {
            verb,
            group,
            plural,
            name,
            ..
        } = self;
        let names = match *verb {
            "create" => String::new(),
            _ => format!("\n  resourceNames: [{name:?}]"),
        };
        format!("- apiGroups: [{group:?}]\n  resources: [{plural:?}]{names}\n  verbs: [{verb:?}]")
    }
}

#[cfg(test)]
mod tests;
