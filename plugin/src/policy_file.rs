//! The policy that a person names with `--policy`.

use crate::manifests;
use crate::place;
use crate::problem::Problem;
use infer_core::policy::{self, Policy};
use infer_manifest::Source;
use std::io;
use std::sync::Arc;

/// Reads it; the built-in baseline where none is named.
///
/// # Errors
///
/// Everything that is wrong with the file.
pub(crate) fn read(path: Option<&str>) -> Result<Policy, Vec<Problem>> {
    let Some(path) = path else {
        return Ok(Policy::baseline());
    };
    if path == "-" {
        let problem = Problem::new("a policy is not read from stdin");
        return Err(vec![problem.help("write it to a file: `--policy FILE`")]);
    }
    let loaded = infer_manifest::load(&[path.to_owned()], &mut io::empty());
    let sources: Vec<Arc<Source>> = loaded.sources.into_iter().map(Arc::new).collect();
    if !loaded.errors.is_empty() {
        let errors = loaded.errors.into_iter();
        return Err(errors
            .map(|error| manifests::unreadable(&sources, error))
            .collect());
    }
    let ([document], Some(source)) = (loaded.documents.as_slice(), sources.first()) else {
        let message = match loaded.documents.len() {
            0 => "no InferencePolicy in it".to_owned(),
            many => format!("{many} objects, where one InferencePolicy is wanted"),
        };
        return Err(vec![Problem::new(message).file(path)]);
    };
    policy::parse(&document.object).map_err(|errors| {
        let problem = |error: policy::PolicyError| {
            let span = place::span(
                &document.object,
                &document.places,
                &source.text,
                &error.path,
            );
            let problem = Problem::new(error.message).at(source, span);
            Problem {
                help: error.help,
                ..problem
            }
        };
        errors.into_iter().map(problem).collect()
    })
}
