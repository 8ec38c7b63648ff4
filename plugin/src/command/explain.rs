//! `explain`: what a rule, and what the catalogue knows, in full.

mod controller;
mod entry;
mod runtime;

use super::{Outcome, Session, next};
use crate::exit::Exit;
use crate::flags::Output;
use crate::print;
use crate::print::text::STRONG;
use crate::problem::Problem;
use infer_core::catalogue::{Catalogue, controller_document, runtime_document};
use infer_core::policy::nearest;
use infer_core::rule::{Check, Phase, Rule};
use infer_core::rules;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;

/// Kind of the document for programs.
const KIND: &str = "ExplainReport";
/// What stands before the name of a runtime.
const RUNTIME: &str = "runtime/";
/// What stands before the name of a controller.
const CONTROLLER: &str = "controller/";

const EXAMPLES: &str = "\
Examples:
  # List all rules, runtimes and controllers
  kubectl infer explain

  # Explain a rule
  kubectl infer explain no-delay-before-sigterm

  # Say what is known of a runtime or a controller, and from where
  kubectl infer explain runtime/vllm
  kubectl infer explain controller/ingress-nginx
";

/// Explain a rule, a runtime or a controller, or list all of them
///
/// Of a rule: what is wrong, why it is wrong, and what to write instead. Of a runtime or a controller:
/// everything that the catalogue knows, and from where. Needs no file and no cluster.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of a rule as findings carry it, runtime/NAME, or controller/NAME
    #[arg(value_name = "RULE|runtime/NAME|controller/NAME")]
    subject: Option<String>,
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

/// What the document holds.
#[derive(Debug, Default, Serialize)]
struct Body {
    #[serde(flatten)]
    explained: serde_json::Map<String, Value>,
}

/// The document of one thing, or of lists.
fn document(members: Value) -> String {
    let explained = match members {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    print::json::render(KIND, Body { explained }, &[])
}

/// The document where nothing is explained.
pub(crate) fn empty(problems: &[Problem]) -> String {
    print::json::render(KIND, Body::default(), problems)
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &Session<'_>) -> Outcome {
    let catalogue = Catalogue::builtin();
    let is_json = args.output == Output::Json;
    let Some(name) = &args.subject else {
        let out = if is_json {
            document(lists(&catalogue))
        } else {
            list(&catalogue, session)
        };
        return done(out);
    };
    if let Some(name) = name.strip_prefix(RUNTIME) {
        let found = catalogue.runtimes.iter().find(|it| it.name == name);
        return match found {
            Some(_) if is_json => done(document(json!({"runtime": runtime_document(name)}))),
            Some(entry) => done(runtime::render(entry, session.out)),
            None => unknown("runtime", name, &catalogue, session, is_json),
        };
    }
    if let Some(name) = name.strip_prefix(CONTROLLER) {
        let found = catalogue.controllers.iter().find(|it| it.name == name);
        return match found {
            Some(_) if is_json => done(document(json!({"controller": controller_document(name)}))),
            Some(entry) => done(controller::render(entry, session.out)),
            None => unknown("controller", name, &catalogue, session, is_json),
        };
    }
    match rules::find(name) {
        Some(rule) if is_json => done(document(json!({"rule": of_rule(rule, true)}))),
        Some(rule) => done(render_rule(rule, session)),
        None => unknown("rule", name, &catalogue, session, is_json),
    }
}

fn done(out: String) -> Outcome {
    Outcome {
        out,
        err: String::new(),
        exit: Exit::Done,
    }
}

/// What is said of a name that nobody has: the nearest, and, of runtimes and controllers, all.
fn unknown(
    what: &str,
    name: &str,
    catalogue: &Catalogue,
    session: &Session<'_>,
    is_json: bool,
) -> Outcome {
    let runtimes = || catalogue.runtimes.iter().map(|it| it.name.as_str());
    let controllers = || catalogue.controllers.iter().map(|it| it.name.as_str());
    let listed = |names: Vec<&str>| names.join(", ");
    let (near, all) = match what {
        "runtime" => (
            nearest(name, runtimes()),
            format!("the catalogue has {}", listed(runtimes().collect())),
        ),
        "controller" => (
            nearest(name, controllers()),
            format!("the catalogue has {}", listed(controllers().collect())),
        ),
        _ => {
            // The name of a runtime or a controller without its kind.
            let bare = runtimes()
                .map(|it| (it, RUNTIME))
                .chain(controllers().map(|it| (it, CONTROLLER)))
                .find(|(it, _)| *it == name)
                .map(|(it, kind)| format!("did you mean `{kind}{it}`?"));
            let near = bare.or_else(|| nearest(name, rules::ALL.iter().map(|rule| rule.id)));
            (
                near,
                format!("`{} explain` lists them all", session.program),
            )
        }
    };
    let help = match near {
        Some(near) => format!("{near} {all}"),
        None => all,
    };
    let problem = Problem::new(format!("there is no {what} `{name}`")).help(help);
    session.failed(
        &[problem],
        is_json.then_some(empty as fn(&[Problem]) -> String),
    )
}

fn render_rule(rule: &Rule, session: &Session<'_>) -> String {
    let look = session.out;
    let mut out = format!("{}  {}\n", look.paint(STRONG, rule.id), rule.level.as_str());
    for line in print::text::wrap(rule.summary, look.width) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
    let facts = [
        ("looks at", subjects(rule).to_owned()),
        ("reads", beside(rule)),
        ("webhook", admission(rule).to_owned()),
    ];
    for (title, text) in facts {
        let text = print::text::wrap(&text, look.width.saturating_sub(10)).join("\n          ");
        let _ = writeln!(out, "{title:<8}  {text}");
    }
    let page = body(rule);
    if !page.is_empty() {
        out.push('\n');
        out.push_str(&print::markdown::render(page, look));
    }
    out
}

/// A rule as data.
fn of_rule(rule: &Rule, with_page: bool) -> Value {
    let mut value = json!({
        "name": rule.id,
        "level": rule.level.as_str(),
        "summary": rule.summary,
        "fixes": fixes(rule),
    });
    if with_page {
        value["looksAt"] = Value::from(subjects(rule));
        value["page"] = Value::from(body(rule));
    }
    value
}

/// Everything that can be explained, as data.
fn lists(catalogue: &Catalogue) -> Value {
    let rules: Vec<Value> = rules::ALL.iter().map(|rule| of_rule(rule, false)).collect();
    let runtimes: Vec<Value> = catalogue
        .runtimes
        .iter()
        .map(|it| json!({"name": it.name, "tier": entry::tier_word(it.tier)}))
        .collect();
    let controllers: Vec<Value> = catalogue
        .controllers
        .iter()
        .map(|it| {
            json!({"name": it.name, "title": it.title, "tier": entry::tier_word(it.tier),
                "retired": it.retired.is_some()})
        })
        .collect();
    json!({"rules": rules, "runtimes": runtimes, "controllers": controllers})
}

fn list(catalogue: &Catalogue, session: &Session<'_>) -> String {
    let rows: Vec<[String; 4]> = rules::ALL
        .iter()
        .map(|rule| {
            [
                rule.id.to_owned(),
                rule.level.as_str().to_owned(),
                if fixes(rule) { "yes" } else { "no" }.to_owned(),
                rule.summary.to_owned(),
            ]
        })
        .collect();
    let header = ["RULE", "LEVEL", "FIX", "SUMMARY"];
    let mut out = print::table::render(header, &rows, session.out);
    out.push('\n');
    let runtimes: Vec<[String; 3]> = catalogue
        .runtimes
        .iter()
        .map(|it| {
            let tier = entry::tier_word(it.tier).to_owned();
            [
                format!("{RUNTIME}{}", it.name),
                tier,
                it.drain.explanation.clone(),
            ]
        })
        .collect();
    out.push_str(&print::table::render(
        ["RUNTIME", "TIER", "AT SIGTERM"],
        &runtimes,
        session.out,
    ));
    out.push('\n');
    let controllers: Vec<[String; 3]> = catalogue
        .controllers
        .iter()
        .map(|it| {
            let retired = if it.retired.is_some() {
                ", retired"
            } else {
                ""
            };
            let tier = entry::tier_word(it.tier).to_owned();
            [
                format!("{CONTROLLER}{}", it.name),
                tier,
                format!("{}{retired}", it.title),
            ]
        })
        .collect();
    out.push_str(&print::table::render(
        ["CONTROLLER", "TIER", "TITLE"],
        &controllers,
        session.out,
    ));
    out.push('\n');
    let explain = |what: &str| format!("{} explain {what}", session.program);
    out.push_str(&next(&[
        (
            explain("RULE"),
            "what it is about, and what to write".to_owned(),
        ),
        (
            explain("controller/NAME"),
            "its timers, limits and traps, and from where".to_owned(),
        ),
    ]));
    out
}

/// The page without its title, which is the rule's name.
fn body(rule: &Rule) -> &'static str {
    let page = rule.page.trim_start();
    let rest = page
        .strip_prefix("# ")
        .and_then(|page| page.strip_prefix(rule.id));
    rest.unwrap_or(page).trim_start()
}

/// Whether admission may fix what a rule finds: what runs last only reports.
fn fixes(rule: &Rule) -> bool {
    rule.phase != Phase::Findings
}

fn admission(rule: &Rule) -> &'static str {
    if fixes(rule) {
        "fills in what is not written, where it is sure"
    } else {
        "changes nothing"
    }
}

fn subjects(rule: &Rule) -> String {
    let each: Vec<&str> = rule.checks.iter().map(subject).collect();
    each.join("; ")
}

fn subject(check: &Check) -> &'static str {
    match check {
        Check::Workload(_) => "inference workloads",
        Check::Route(_) => "Ingresses that lead to inference workloads",
        Check::Controller(_) => {
            "Ingresses that lead to inference workloads, where their controller is known"
        }
        Check::Object(_) => "inference workloads, and Ingresses that lead to them",
        Check::Service(_) => "Services that are meant for inference workloads",
        Check::HttpRoute(_) => "HTTPRoutes that lead to inference workloads",
        Check::HttpRouteController(_) => {
            "HTTPRoutes that lead to inference workloads, where a controller is known"
        }
        Check::VirtualService(_) => {
            "VirtualServices that lead to inference workloads, or are meant to"
        }
        Check::DestinationRule(_) => "DestinationRules for inference workloads",
        Check::Namespace(_) => "Namespaces",
    }
}

fn beside(rule: &Rule) -> String {
    if rule.reads.is_empty() {
        return "nothing else".to_owned();
    }
    let each: Vec<String> = rule
        .reads
        .iter()
        .map(|kind| {
            let needed = if rule.needs.contains(kind) {
                ""
            } else {
                " (if there is one)"
            };
            format!("{}{needed}", kind.with_article())
        })
        .collect();
    format!("beside it {}", each.join(", "))
}
