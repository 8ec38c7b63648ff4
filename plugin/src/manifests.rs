//! The objects that a command looks at, each with its place.

use crate::namespace;
use crate::place;
use crate::problem::Problem;
use infer_manifest::{Document, Lines, LoadError, Places, Source};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

/// What to read, and how to take it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Files, directories and `-`.
    pub(crate) paths: Vec<String>,
    /// Namespace of objects that name none.
    pub(crate) namespace: Option<String>,
    /// Policy file.
    pub(crate) policy: Option<String>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    /// The sources, in order.
    pub(crate) sources: Vec<Arc<Source>>,
    /// The objects, in order of sources and texts.
    pub(crate) objects: Vec<Arc<Value>>,
    /// Where they stand: one for each object.
    homes: Vec<Home>,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
}

#[derive(Debug)]
struct Home {
    source: usize,
    places: Places,
}

impl Manifests {
    /// Reads what a request names.
    pub(crate) fn load(request: &Request, stdin: &mut dyn Read) -> Manifests {
        let loaded = infer_manifest::load(&request.paths, stdin);
        let mut manifests = Manifests {
            sources: loaded.sources.into_iter().map(Arc::new).collect(),
            ..Manifests::default()
        };
        for error in loaded.errors {
            let problem = unreadable(&manifests.sources, error);
            manifests.problems.push(problem);
        }
        for document in loaded.documents {
            manifests.take(document, request.namespace.as_deref());
        }
        // Both kinds of problem of one file in the order of its lines; files that could not be
        // read at all come first.
        let order: HashMap<String, usize> = manifests
            .sources
            .iter()
            .enumerate()
            .map(|(index, source)| (source.name.clone(), index + 1))
            .collect();
        manifests.problems.sort_by_key(|problem| {
            let file = problem.file.as_ref().and_then(|file| order.get(file));
            (file.copied().unwrap_or_default(), problem.position)
        });
        manifests
    }

    /// Index of the source in which an object stands.
    pub(crate) fn source_of(&self, object: usize) -> Option<usize> {
        self.homes.get(object).map(|home| home.source)
    }

    fn take(&mut self, document: Document, namespace: Option<&str>) {
        let Document {
            mut object,
            source,
            places,
        } = document;
        if let Some(lack) = lack(&object) {
            if let Some(source) = self.sources.get(source) {
                let span = place::span(&object, &places, &source.text, "");
                let problem = Problem::new(format!("no Kubernetes object: {lack}"));
                self.problems.push(
                    problem
                        .help(way_out(&object, &source.name))
                        .at(source, span),
                );
            }
            return;
        }
        if let Some(namespace) = namespace {
            namespace::fill(&mut object, namespace);
        }
        self.objects.push(Arc::new(object));
        self.homes.push(Home { source, places });
    }
}

/// What an object lacks to be one of Kubernetes.
fn lack(object: &Value) -> Option<String> {
    let mut missing = Vec::new();
    for member in ["apiVersion", "kind"] {
        match object.get(member) {
            Some(Value::String(text)) if !text.is_empty() => {}
            None | Some(Value::Null | Value::String(_)) => missing.push(format!("`{member}`")),
            Some(_) => return Some(format!("its `{member}` is not text")),
        }
    }
    match missing.as_slice() {
        [] => None,
        missing => Some(format!("it has no {}", missing.join(" and no "))),
    }
}

/// Files that stand beside manifests and are none.
fn way_out(object: &Value, file: &str) -> &'static str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let chart = object.get("apiVersion").is_some() && object.get("version").is_some();
    match name {
        "kustomization.yaml" | "kustomization.yml" => {
            "render it first: `kubectl kustomize DIR | kubectl infer check -f -`"
        }
        "values.yaml" | "values.yml" | "Chart.yaml" => {
            "render it first: `helm template NAME CHART | kubectl infer check -f -`"
        }
        _ if chart => "render it first: `helm template NAME CHART | kubectl infer check -f -`",
        _ => "if it is none, keep it out of `-f`",
    }
}

/// A file, or a document in it, that could not be read.
pub(crate) fn unreadable(sources: &[Arc<Source>], error: LoadError) -> Problem {
    let position = error.line.map(|line| (line, error.column.unwrap_or(1)));
    // A file that is named twice is read twice, to the same text.
    let source = sources.iter().find(|source| source.name == error.file);
    let excerpt = position.zip(source).map(|(position, source)| {
        let start = place::offset(&source.text, position);
        let width = source.text[start..]
            .chars()
            .next()
            .map_or(0, char::len_utf8);
        (Arc::clone(source), start..start + width)
    });
    Problem {
        file: Some(error.file),
        position,
        message: error.message,
        help: error.help,
        excerpt,
    }
}

/// Finds places in manifests; reads the line starts of a source once, and only where asked.
pub(crate) struct Locator<'m> {
    manifests: &'m Manifests,
    lines: Vec<OnceCell<Lines<'m>>>,
}

/// A place in a source.
#[derive(Clone, Debug)]
pub(crate) struct Place<'m> {
    /// Index of the source: the order of files.
    pub(crate) index: usize,
    /// The source.
    pub(crate) source: &'m Source,
    /// Bytes of its text.
    pub(crate) span: Range<usize>,
    /// 1-based.
    pub(crate) line: usize,
    /// 1-based, in characters.
    pub(crate) column: usize,
}

impl<'m> Locator<'m> {
    /// Over these manifests.
    pub(crate) fn new(manifests: &'m Manifests) -> Locator<'m> {
        Locator {
            manifests,
            lines: manifests.sources.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// Where to look for `pointer` of the object with this index.
    pub(crate) fn place(&self, object: usize, pointer: &str) -> Option<Place<'m>> {
        let home = self.manifests.homes.get(object)?;
        let source: &'m Source = self.manifests.sources.get(home.source)?;
        let value = self.manifests.objects.get(object)?;
        let span = place::span(value, &home.places, &source.text, pointer);
        let lines = self.lines.get(home.source)?;
        let lines = lines.get_or_init(|| Lines::new(&source.text));
        let (line, column) = lines.position(span.start);
        Some(Place {
            index: home.source,
            source,
            span,
            line,
            column,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, namespace: Option<&str>) -> Manifests {
        let request = Request {
            paths: vec!["-".to_owned()],
            namespace: namespace.map(str::to_owned),
            policy: None,
        };
        Manifests::load(&request, &mut text.as_bytes())
    }

    #[test]
    fn what_is_no_object_is_a_problem_with_its_place() {
        let manifests = read(
            "apiVersion: v1\nkind: Pod\n---\nkind: Pod\n---\na: 1\n---\nkind: 1\n",
            None,
        );
        let said: Vec<_> = manifests
            .problems
            .iter()
            .map(|p| (p.position, p.message.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                (Some((4, 1)), "no Kubernetes object: it has no `apiVersion`"),
                (
                    Some((6, 1)),
                    "no Kubernetes object: it has no `apiVersion` and no `kind`"
                ),
                (Some((8, 1)), "no Kubernetes object: its `kind` is not text"),
            ]
        );
        assert_eq!(manifests.objects.len(), 1);
    }

    #[test]
    fn objects_keep_their_places_beside_problems() {
        let manifests = read(
            "a: 1\n---\napiVersion: v1\nkind: Pod\nspec: {a: b}\n",
            Some("n"),
        );
        let locator = Locator::new(&manifests);
        let place = locator.place(0, "/spec/a").unwrap();
        assert_eq!((place.line, place.column), (5, 11));
        assert_eq!(&place.source.text[place.span], "b");
        assert_eq!(manifests.objects[0]["metadata"]["namespace"], "n");
    }
}
