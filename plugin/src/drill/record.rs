//! Everything that a drill saw, one JSON object on a line.

use crate::problem::Problem;
use infer_drill::report::Run;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};

/// Writes a run: its plan, then every event of the cluster, then every request.
///
/// # Errors
///
/// Where the file cannot be written.
pub(crate) fn write(file: &str, run: &Run) -> Result<(), Problem> {
    let wrong = |error: std::io::Error| {
        Problem::new(format!("the record cannot be written: {error}")).file(file)
    };
    let file = std::fs::File::create(file).map_err(wrong)?;
    let mut out = BufWriter::new(file);
    let each = std::iter::once(line("plan", &run.plan))
        .chain(run.cluster.iter().map(|event| line("event", event)))
        .chain(run.samples.iter().map(|sample| line("request", sample)));
    for line in each {
        writeln!(out, "{line}").map_err(wrong)?;
    }
    out.flush().map_err(wrong)
}

fn line(what: &str, body: &impl Serialize) -> Value {
    // Strings, numbers and lists always serialize.
    let body = serde_json::to_value(body).unwrap_or_default();
    json!({ what: body })
}
