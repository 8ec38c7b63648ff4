//! Documents for programs: one on each run, whatever happened.

use crate::manifests::Place;
use crate::problem::Problem;
use crate::report::{Entry, Report, Skip};
use infer_core::object::ObjectRef;
use infer_core::policy::API_VERSION;
use infer_core::rule::Change;
use serde::Serialize;
use serde_json::Value;

/// A document of one kind: its members beside `apiVersion` and `kind`, and what went wrong.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a, T: Serialize> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    body: T,
    errors: Vec<Error<'a>>,
}

/// One of our documents as YAML.
pub(crate) fn as_yaml(document: &str) -> String {
    let value: Value = serde_json::from_str(document).expect("a document of ours is JSON");
    infer_scaffold::yaml::plain(&value)
}

/// Renders a document.
pub(crate) fn render<T: Serialize>(kind: &'static str, body: T, problems: &[Problem]) -> String {
    let document = Document {
        api_version: API_VERSION,
        kind,
        body,
        errors: problems.iter().map(Error::of).collect(),
    };
    let mut text = serde_json::to_string_pretty(&document)
        .expect("strings, numbers and JSON values always serialize");
    text.push('\n');
    text
}

/// What could not be read or done.
#[derive(Debug, Serialize)]
struct Error<'a> {
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> Error<'a> {
    fn of(problem: &'a Problem) -> Error<'a> {
        Error {
            file: problem.file.as_deref(),
            line: problem.position.map(|(line, _)| line),
            column: problem.position.map(|(_, column)| column),
            message: &problem.message,
            help: problem.help.as_deref(),
        }
    }
}

/// An object's identity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object<'a> {
    api_version: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Object<'a> {
    /// Of this reference.
    pub(crate) fn of(object: &'a ObjectRef) -> Object<'a> {
        Object {
            api_version: &object.api_version,
            kind: &object.kind,
            namespace: &object.namespace,
            name: &object.name,
        }
    }
}

/// A place in a file.
#[derive(Debug, Serialize)]
pub(crate) struct Position<'a> {
    file: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Position<'a> {
    /// Of this place.
    pub(crate) fn of(place: &'a Place<'_>) -> Position<'a> {
        Position {
            file: &place.source.name,
            line: place.line,
            column: place.column,
        }
    }
}

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings<'a> {
    findings: Vec<Finding<'a>>,
    skipped: Vec<Skipped<'a>>,
}

impl<'a> Findings<'a> {
    /// Of this report.
    pub(crate) fn of(report: &'a Report<'_>) -> Findings<'a> {
        Findings {
            findings: report.findings.iter().map(Finding::of).collect(),
            skipped: report.skipped.iter().map(Skipped::of).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Finding<'a> {
    rule: &'a str,
    level: &'a str,
    message: &'a str,
    object: Object<'a>,
    path: &'a str,
    #[serde(flatten)]
    position: Position<'a>,
    fix: Option<Fix<'a>>,
    notes: &'a [String],
    help: &'a [String],
}

impl<'a> Finding<'a> {
    fn of(entry: &'a Entry<'_>) -> Finding<'a> {
        let finding = &entry.finding;
        let changes: Vec<Set<'a>> = entry.fix.iter().map(Set::of).collect();
        Finding {
            rule: finding.rule.id,
            level: finding.rule.level.as_str(),
            message: &finding.message,
            object: Object::of(&entry.object),
            path: &finding.path,
            position: Position::of(&entry.place),
            fix: (!changes.is_empty()).then_some(Fix { changes }),
            notes: &finding.notes,
            help: &finding.help,
        }
    }
}

#[derive(Debug, Serialize)]
struct Fix<'a> {
    changes: Vec<Set<'a>>,
}

/// One value that a fix sets.
#[derive(Debug, Serialize)]
pub(crate) struct Set<'a> {
    path: &'a str,
    value: &'a Value,
    reason: &'a str,
}

impl<'a> Set<'a> {
    /// Of this change.
    pub(crate) fn of(change: &'a Change) -> Set<'a> {
        Set {
            path: &change.path,
            value: &change.value,
            reason: &change.reason,
        }
    }
}

/// Something that was not looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Skipped<'a> {
    object: Object<'a>,
    #[serde(flatten)]
    position: Position<'a>,
    /// Empty where the object was not read at all.
    rules: &'a [&'static str],
    reason: &'a str,
}

impl<'a> Skipped<'a> {
    /// Of this one.
    pub(crate) fn of(skip: &'a Skip<'_>) -> Skipped<'a> {
        Skipped {
            object: Object::of(&skip.object),
            position: Position::of(&skip.place),
            rules: &skip.rules,
            reason: &skip.reason,
        }
    }
}
