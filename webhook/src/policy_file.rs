//! The policy from a file.

use infer_core::policy::{self, Policy, PolicyError};
use infer_manifest::{ParseError, Parsed, position};
use std::fmt::Write;
use std::path::Path;

/// Everything that is wrong with a policy file, as text with file, line, column and remedy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFileError(String);

/// Reads the `InferencePolicy` of a file.
///
/// # Errors
///
/// Everything that is wrong with it, not only the first.
pub fn read(path: &Path) -> Result<Policy, PolicyFileError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| PolicyFileError(format!("{file}: cannot read the policy: {error}")))?;
    parse(&file, &text)
}

fn parse(file: &str, text: &str) -> Result<Policy, PolicyFileError> {
    let Parsed { documents, errors } = infer_manifest::parse(text);
    if !errors.is_empty() {
        let said = |error: &ParseError| {
            line(
                file,
                (error.line, error.column),
                &error.message,
                error.help.as_deref(),
            )
        };
        return Err(PolicyFileError(
            errors.iter().map(said).collect::<Vec<_>>().join("\n"),
        ));
    }
    let [document] = documents.as_slice() else {
        let found = documents.len();
        return Err(PolicyFileError(format!(
            "{file}: the file has {found} objects, wanted one {}\n  \
             = help: one policy rules; delete the others",
            policy::KIND
        )));
    };
    policy::parse(&document.object).map_err(|errors| {
        let said = |error: &PolicyError| {
            let at = position(text, document.places.field(&error.path).start);
            line(file, at, &error.message, error.help.as_deref())
        };
        PolicyFileError(errors.iter().map(said).collect::<Vec<_>>().join("\n"))
    })
}

fn line(file: &str, at: (usize, usize), message: &str, help: Option<&str>) -> String {
    let mut text = format!("{file}:{}:{}: {message}", at.0, at.1);
    if let Some(help) = help {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  = help: {help}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read() {
        let text = "apiVersion: kubectl-infer.dev/v1alpha1\nkind: InferencePolicy\n\
            metadata: {name: p}\nspec:\n  drainWindow: 90s\n";
        assert_eq!(parse("p.yaml", text).unwrap().drain_window, 90);
    }

    #[test]
    fn every_mistake_is_said_with_its_place() {
        let text = "apiVersion: kubectl-infer.dev/v1alpha1\nkind: InferencePolicy\nspec:\n  \
            drainWindow: soon\n  rules:\n  - rule: no-readines-probe\n";
        let said = parse("p.yaml", text).unwrap_err().to_string();
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].starts_with("p.yaml:4:3: `drainWindow` is"),
            "{said}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("p.yaml:6:5: ")),
            "{said}"
        );
        assert!(
            said.contains("= help: did you mean `no-readiness-probe`?"),
            "{said}"
        );
    }

    #[test]
    fn what_is_no_yaml_or_no_single_policy_is_said() {
        let said = |text: &str| parse("p.yaml", text).unwrap_err().to_string();
        assert!(said("a: [\n").starts_with("p.yaml:"), "{}", said("a: [\n"));
        assert!(said("").starts_with("p.yaml: the file has 0 objects, wanted one InferencePolicy"));
        assert!(said("a: 1\n---\nb: 2\n").starts_with("p.yaml: the file has 2 objects"));
    }
}
