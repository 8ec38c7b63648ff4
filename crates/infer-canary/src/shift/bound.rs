//! Patches that are bound to exactly the object that was read.

use super::{Patch, PatchOperation, Refusal};
use crate::version::{TEMPLATE, Version};
use infer_core::catalogue::Catalogue;
use infer_core::pointer::{Walk, set};
use json_patch::jsonptr::PointerBuf;
use json_patch::{TestOperation, diff};
use serde_json::{Value, json};

/// What the API server must still hold for a patch to apply (SAFE-3).
const BOUND: &[&str] = &["/metadata/uid", "/metadata/resourceVersion"];

/// The patch from one state of an object to another, which applies to no other object and to no
/// later state. From an object of a file, which has neither uid nor resourceVersion, it is not
/// bound.
pub(super) fn between(before: &Value, after: &Value) -> Patch {
    let tests = BOUND.iter().filter_map(|path| {
        Some(PatchOperation::Test(TestOperation {
            path: PointerBuf::parse(*path).expect("our own pointers are pointers"),
            value: before.at(path)?.clone(),
        }))
    });
    let changes = diff(before, after).0;
    Patch(tests.chain(changes).collect())
}

/// The patch that makes the stable Deployment run the second version. `second` is the workload of
/// [`Version::Existing`]: its pod's spec is taken whole, since that is what was tried; the labels
/// stay.
///
/// # Errors
///
/// When the version cannot be made of this Deployment, or `second` is missing.
pub fn promote(
    catalogue: &Catalogue,
    stable: &Value,
    version: &Version,
    second: Option<&Value>,
) -> Result<Patch, Refusal> {
    let mut changed = stable.clone();
    match version {
        Version::Changed(version) => version.apply(catalogue, &mut changed)?,
        Version::Existing(name) => {
            let spec = second
                .and_then(|it| it.at(TEMPLATE))
                .and_then(|it| it.get("spec"));
            let spec = spec.ok_or_else(|| Refusal::SecondMissing { name: name.clone() })?;
            set(&mut changed, &format!("{TEMPLATE}/spec"), spec.clone());
        }
    }
    Ok(between(stable, &changed))
}

/// The patch that gives a workload so many replicas.
pub fn scale(workload: &Value, replicas: u32) -> Patch {
    let mut changed = workload.clone();
    set(&mut changed, "/spec/replicas", json!(replicas));
    between(workload, &changed)
}
