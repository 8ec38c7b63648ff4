//! Names of what is created, and the labels and annotations that say whose it is.

use infer_core::record::digest;
use serde_json::{Value, json};

/// The label that says who looks after an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Our value of it.
pub const MANAGER: &str = "kubectl-infer";
/// The label that names the workload whose canary an object belongs to.
pub const CANARY_OF: &str = "kubectl-infer.dev/canary-of";
/// The annotation that names the run which created an object.
pub const CANARY_RUN: &str = "kubectl-infer.dev/canary-run";

/// The longest label value, and the longest name of a Service (kubernetes/apimachinery
/// pkg/util/validation/validation.go `LabelValueMaxLength`, `DNS1035LabelMaxLength`).
const LONGEST: usize = 63;

/// What the canary's names end with.
const SUFFIX: &str = "-canary";

/// `NAME-canary`; where that has more than 63 characters, the name is cut and six digits of its
/// digest keep it apart from others that begin so.
pub(super) fn canary(name: &str) -> String {
    match name.is_empty() {
        true => SUFFIX.trim_start_matches('-').to_owned(),
        false => held(name, SUFFIX),
    }
}

/// A value that fits a label.
pub(super) fn label_value(name: &str) -> String {
    held(name, "")
}

fn held(name: &str, suffix: &str) -> String {
    const DIGITS: usize = 6;
    if name.len() + suffix.len() <= LONGEST {
        return format!("{name}{suffix}");
    }
    let digest = &digest(&json!(name))[..DIGITS];
    let room = LONGEST - suffix.len() - DIGITS - 1;
    // Names are ASCII; anything else the API server refuses.
    let kept: String = name.chars().filter(char::is_ascii).take(room).collect();
    let kept = kept.trim_end_matches(|it: char| !it.is_ascii_alphanumeric());
    format!("{kept}-{digest}{suffix}")
}

/// Says in an object's metadata whose it is.
pub(super) fn mark(object: &mut Value, workload: &str, run: &str) {
    let metadata = &mut object["metadata"];
    for (map, key, value) in [
        ("labels", MANAGED_BY, MANAGER.to_owned()),
        ("labels", CANARY_OF, label_value(workload)),
        ("annotations", CANARY_RUN, run.to_owned()),
    ] {
        if !metadata[map].is_object() {
            metadata[map] = json!({});
        }
        metadata[map][key] = Value::from(value);
    }
}

/// Whether an object is of a canary of this workload.
pub(super) fn is_ours(object: &Value, workload: &str) -> bool {
    infer_core::object::label(object, CANARY_OF) == Some(&label_value(workload))
        && infer_core::object::label(object, MANAGED_BY) == Some(MANAGER)
}
