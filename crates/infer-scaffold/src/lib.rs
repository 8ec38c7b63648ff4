//! Manifests for an inference server and the route to it, written from what a person wants.
//!
//! An [`Intent`] and the engine's catalogue become typed objects, and these become [`Document`]s:
//! an object, and comments that say why each unusual value is there. No templates, so that what is
//! written is valid by construction. Probes, drain and timers come from infer-core, so that a
//! review of the result finds nothing and admission has nothing to add.
//!
//! Pure: no async, files, clock, network or kube client, neither here nor in the dependency tree (a
//! test holds this).

mod container;
mod document;
mod entry;
mod intent;
mod model;
mod refusal;
mod service;
mod values;
mod workload;
pub mod yaml;

pub use document::Document;
pub use entry::Via;
pub use intent::Intent;
pub use model::ModelSource;
pub use refusal::Refusal;
pub use values::Values;

use infer_core::Engine;
use infer_core::check::{self, Found};
use serde_json::Value;
use std::sync::Arc;

/// Manifests, and what belongs beside them.
#[derive(Clone, Debug)]
pub struct Scaffold {
    /// The objects, each before those that refer to it.
    pub documents: Vec<Document>,
    /// Helm values of what serves the entry; empty where nothing of it needs to change.
    pub values: Vec<Values>,
    /// What a person should know and no comment can say.
    pub notes: Vec<String>,
}

/// Writes manifests for what a person wants.
///
/// # Errors
///
/// Everything about the intent that cannot be written, not only the first.
pub fn scaffold(engine: &Engine, intent: &Intent) -> Result<Scaffold, Vec<Refusal>> {
    let wanted = intent::Wanted::of(engine, intent)?;
    let workload = workload::build(engine, &wanted).map_err(|refusal| vec![refusal])?;
    let mut documents = Vec::new();
    documents.extend(service::namespace(&wanted));
    documents.push(workload);
    documents.push(service::service(&wanted));
    documents.extend(service::disruption_budget(&wanted));
    documents.extend(entry::objects(engine, &wanted));
    Ok(Scaffold {
        documents,
        values: values::of(&wanted),
        notes: entry::notes(engine, &wanted),
    })
}

impl Scaffold {
    /// The objects alone.
    #[must_use]
    pub fn objects(&self) -> Vec<Arc<Value>> {
        let each = self.documents.iter();
        each.map(|document| Arc::new(document.object.clone()))
            .collect()
    }

    /// What a check of these objects finds: nothing, unless an image, an argument or a window of the
    /// intent's own brings a flaw with it.
    #[must_use]
    pub fn findings(&self, engine: &Engine) -> Vec<Found> {
        check::check(engine, &self.objects()).findings
    }

    /// All objects as one YAML text of several documents.
    #[must_use]
    pub fn yaml(&self) -> String {
        let each: Vec<String> = self.documents.iter().map(Document::yaml).collect();
        each.join("---\n")
    }

    /// The `kustomization.yaml` that names every file of these objects.
    #[must_use]
    pub fn kustomization(&self) -> Document {
        document::kustomization(&self.documents)
    }
}
