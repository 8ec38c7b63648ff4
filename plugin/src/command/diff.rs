//! `diff`: what the webhook would change in manifests, each change with its rule and reason.

use super::{Outcome, Session, next, nothing_in};
use crate::exit::Exit;
use crate::flags::{ManifestFlags, Output};
use crate::manifests::{Locator, Manifests, Place};
use crate::policy_file;
use crate::print::text::{GOOD, STRONG, count, printable, wrap};
use crate::print::{self, json};
use crate::problem::Problem;
use crate::report::Report;
use crate::terminal::Look;
use infer_core::Engine;
use infer_core::catalogue::Catalogue;
use infer_core::check::{self, Changed};
use infer_core::object::ObjectRef;
use infer_core::{pointer, review::Fixing};
use infer_scaffold::yaml;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Kind of the document for programs.
const KIND: &str = "DiffReport";

const EXAMPLES: &str = "\
Examples:
  # Show what the webhook would fill in
  kubectl infer diff -f k8s/

  # The same, with what the cluster knows: its namespaces and ingress classes
  kubectl infer diff -n inference -f cluster/ -f k8s/
";

const EXIT_CODES: &str = "\
Exit codes:
  0  done, whether or not anything would change
  1  bad usage, something that cannot be read, or no manifest at all
";

/// Show what the webhook would change in manifests
///
/// Prints each object that would be stored in another form than the one that is written, and each
/// change with its rule and reason. Reads files only, asks no cluster, and changes nothing.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    manifests: ManifestFlags,
    /// Print the result in this form
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORM",
        default_value_t,
        help_heading = "Output"
    )]
    output: Output,
}

/// An object that would be changed, and where it stands.
struct Entry<'m> {
    object: ObjectRef,
    place: Place<'m>,
    before: &'m Value,
    changed: Changed,
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    let request = args.manifests.request();
    let mut manifests = Manifests::load(&request, session.stdin);
    let policy = match policy_file::read(request.policy.as_deref()) {
        Ok(policy) => policy,
        Err(mut problems) => {
            problems.append(&mut manifests.problems);
            return session.failed(&problems, (args.output == Output::Json).then_some(empty));
        }
    };
    let mut problems = std::mem::take(&mut manifests.problems);
    if manifests.objects.is_empty() && problems.is_empty() {
        problems.push(nothing_in(&request));
    }
    let engine = Engine::new(Catalogue::builtin(), policy);
    let locator = Locator::new(&manifests);
    let entries: Vec<Entry<'_>> = check::diff(&engine, &manifests.objects)
        .into_iter()
        .filter_map(|changed| {
            let before = manifests.objects.get(changed.object)?;
            Some(Entry {
                object: ObjectRef::of(before),
                place: locator.place(changed.object, "")?,
                before,
                changed,
            })
        })
        .collect();
    // A change that is not made for lack of an object must not look like one that is not needed.
    let checked = check::check(&engine, &manifests.objects);
    let report = Report::new(&manifests, &engine, checked);
    let out = match args.output {
        Output::Json => {
            let body = Changes {
                changed: entries.iter().map(ChangedObject::of).collect(),
                skipped: report.skipped.iter().map(json::Skipped::of).collect(),
            };
            json::render(KIND, body, &problems)
        }
        Output::Text => {
            let mut out: String = entries
                .iter()
                .map(|entry| show(entry, session.out) + "\n")
                .collect();
            if !manifests.objects.is_empty() {
                out.push_str(&sum(&entries, &report));
                out.push_str(&print::findings::skipped(&report.skipped, session.out));
                let open = report.findings.len() - report.fixed();
                let mut commands = Vec::new();
                if open > 0 {
                    let word = format!("what no webhook fills in ({})", count(open, "finding"));
                    commands.push((session.command("check", &request), word));
                }
                if let Some(fixing) = entries.iter().flat_map(|e| &e.changed.changes).next() {
                    let explain = format!("{} explain {}", session.program, fixing.rule.id);
                    commands.push((explain, String::new()));
                }
                out.push_str(&next(&commands));
            }
            out
        }
    };
    Outcome {
        out,
        err: print::problem::render(&problems, session.err),
        exit: if problems.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        },
    }
}

/// The document of a diff that could not be made.
pub(crate) fn empty(problems: &[Problem]) -> String {
    json::render(KIND, Changes::default(), problems)
}

/// One object: where it stands, the diff, and why.
fn show(entry: &Entry<'_>, look: Look) -> String {
    let Entry { object, place, .. } = entry;
    let mut title = object.to_string();
    if !object.namespace.is_empty() {
        title.push_str(" in ");
        title.push_str(&object.namespace);
    }
    let mut out = format!(
        "{}  {}:{}\n",
        look.paint(STRONG, &printable(&title)),
        printable(&place.source.name),
        place.line
    );
    let before = yaml::plain(entry.before);
    let after = yaml::plain(&entry.changed.after);
    out.push_str(&print::diff::render(&before, &after, look));
    out.push('\n');
    for Fixing { rule, change } in &entry.changed.changes {
        let sign = match entry.before.pointer(&change.path) {
            None => "+",
            Some(_) => "~",
        };
        let path = printable(&readable(entry.before, &change.path)).into_owned();
        out.push_str(&format!("{} {path}\n", look.paint(GOOD, sign)));
        let reason = format!("{}: {}", rule.id, printable(&change.reason));
        for line in wrap(&reason, look.width.saturating_sub(4)) {
            out.push_str(&format!("    {line}\n"));
        }
    }
    out
}

/// A pointer as people write paths: items of a list by their name, keys with dots in brackets.
fn readable(object: &Value, path: &str) -> String {
    let mut out = String::new();
    let mut at = Some(object);
    for token in pointer::tokens(path) {
        let next = match at {
            Some(Value::Array(items)) => {
                let item = token.parse().ok().and_then(|index: usize| items.get(index));
                let name = item
                    .and_then(|item| item.get("name"))
                    .and_then(Value::as_str);
                out.push_str(&format!("[{}]", name.unwrap_or(&token)));
                item
            }
            _ => {
                if token.contains(['.', '/']) {
                    out.push_str(&format!("[{token}]"));
                } else {
                    let dot = if out.is_empty() { "" } else { "." };
                    out.push_str(&format!("{dot}{token}"));
                }
                at.and_then(|value| value.get(&*token))
            }
        };
        at = next;
    }
    out
}

fn sum(entries: &[Entry<'_>], report: &Report<'_>) -> String {
    let whole = format!(
        "{} ({})",
        count(report.objects, "object"),
        count(report.files, "file")
    );
    if entries.is_empty() {
        return format!("nothing would change in {whole}\n");
    }
    let changes = entries.iter().flat_map(|entry| &entry.changed.changes);
    let rules: BTreeSet<&str> = changes.clone().map(|fixing| fixing.rule.id).collect();
    format!(
        "{} by {} in {} of {whole}\n",
        count(changes.count(), "change"),
        count(rules.len(), "rule"),
        entries.len(),
    )
}

#[derive(Default, Serialize)]
struct Changes<'a> {
    changed: Vec<ChangedObject<'a>>,
    skipped: Vec<json::Skipped<'a>>,
}

#[derive(Serialize)]
struct ChangedObject<'a> {
    object: json::Object<'a>,
    #[serde(flatten)]
    position: json::Position<'a>,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    rule: &'a str,
    #[serde(flatten)]
    set: json::Set<'a>,
}

impl<'a> ChangedObject<'a> {
    fn of(entry: &'a Entry<'_>) -> ChangedObject<'a> {
        let change = |fixing: &'a Fixing| Change {
            rule: fixing.rule.id,
            set: json::Set::of(&fixing.change),
        };
        ChangedObject {
            object: json::Object::of(&entry.object),
            position: json::Position::of(&entry.place),
            changes: entry.changed.changes.iter().map(change).collect(),
        }
    }
}
