//! Tests that cross crates and processes live in `tests/`; this library holds what several of them
//! share.
//!
//! The targets `t`, `l1` and `l3` need the lab of that level and are run by `cargo xtask test`; the
//! others need nothing.

pub mod canary;
pub mod crds;
pub mod exercise;
pub mod flawed;
pub mod installed;
pub mod observer;
pub mod routers;
pub mod slow;
pub mod space;
pub mod truth;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The root of the repository.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// The objects of a YAML text, as `check` and `diff` take them.
///
/// # Panics
///
/// Where a document does not parse: it is one of ours.
pub fn objects(text: &str) -> Vec<Arc<Value>> {
    let parsed = infer_manifest::parse(text);
    assert_eq!(parsed.errors, [], "{text}");
    parsed
        .documents
        .into_iter()
        .map(|document| Arc::new(document.object))
        .collect()
}
