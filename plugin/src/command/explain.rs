//! `explain`: what a rule knows, in full.

use super::{Outcome, Session, next};
use crate::exit::Exit;
use crate::print;
use crate::print::text::STRONG;
use crate::problem::Problem;
use infer_core::policy::nearest;
use infer_core::rule::{Check, Phase, Rule};
use infer_core::rules;
use std::fmt::Write;

const EXAMPLES: &str = "\
Examples:
  # List all rules
  kubectl infer explain

  # Explain one of them
  kubectl infer explain no-delay-before-sigterm
";

/// Explain a rule, or list all of them
///
/// What is wrong, why it is wrong, and what to write instead. Needs no file and no cluster.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the rule, as findings carry it
    #[arg(value_name = "RULE")]
    rule: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &Session<'_>) -> Outcome {
    let Some(name) = &args.rule else {
        return list(session);
    };
    let Some(rule) = rules::find(name) else {
        let all = format!("`{} explain` lists them all", session.program);
        let near = nearest(name, rules::ALL.iter().map(|rule| rule.id));
        let help = match near {
            Some(near) => format!("{near} {all}"),
            None => all,
        };
        let problem = Problem::new(format!("there is no rule `{name}`")).help(help);
        return session.failed(&[problem], None);
    };
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
    Outcome {
        out,
        err: String::new(),
        exit: Exit::Done,
    }
}

fn list(session: &Session<'_>) -> Outcome {
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
    let explain = format!("{} explain RULE", session.program);
    out.push_str(&next(&[(
        explain,
        "what it is about, and what to write".to_owned(),
    )]));
    Outcome {
        out,
        err: String::new(),
        exit: Exit::Done,
    }
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
