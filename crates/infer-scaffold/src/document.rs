//! An object, and why its unusual values are there.

use crate::yaml::{self, Comments};
use infer_core::pointer::Walk;
use serde::Serialize;
use serde_json::{Value, json};

/// An object of Kubernetes, with comments.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The object.
    pub object: Value,
    comments: Comments,
}

impl Document {
    /// Of a typed object.
    pub(crate) fn of(object: &impl Serialize) -> Document {
        let object = serde_json::to_value(object).expect("types of manifests are JSON");
        Document {
            object,
            comments: Comments::new(),
        }
    }

    /// With a comment above the field at a pointer; above the document where that is empty. A second
    /// comment on one field follows the first.
    pub(crate) fn comment(&mut self, pointer: &str, text: impl AsRef<str>) {
        debug_assert!(
            pointer.is_empty() || self.object.at(pointer).is_some(),
            "a comment on nothing: {pointer}"
        );
        let known = self.comments.entry(pointer.to_owned()).or_default();
        if !known.is_empty() {
            known.push('\n');
        }
        known.push_str(text.as_ref());
    }

    /// The comments, by JSON pointer.
    pub fn comments(&self) -> impl Iterator<Item = (&str, &str)> {
        let each = self.comments.iter();
        each.map(|(pointer, text)| (pointer.as_str(), text.as_str()))
    }

    /// As YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        yaml::write(&self.object, &self.comments)
    }

    /// The name of a file for it: its kind, in lower case. One scaffold has no two of a kind.
    #[must_use]
    pub fn file_name(&self) -> String {
        let kind = self.object.get("kind").and_then(Value::as_str);
        format!("{}.yaml", kind.unwrap_or("object").to_lowercase())
    }
}

/// The kustomization of these documents' files.
pub(crate) fn kustomization(documents: &[Document]) -> Document {
    let files: Vec<String> = documents.iter().map(Document::file_name).collect();
    Document::of(&json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": files,
    }))
}
