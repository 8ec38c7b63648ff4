//! Pages that are derived from the engine: written by `cargo xtask generate`, committed, and held
//! fresh by `tests/tests/freshness.rs`.

use infer_core::catalogue::{Catalogue, Timer, TimerField, TimerRole};
use infer_core::rule::Phase;
use infer_core::rules;
use std::fmt::Write;

/// A derived page: its path from the repository's root, and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Path from the root.
    pub path: &'static str,
    /// Whole text.
    pub text: String,
}

/// Every derived page.
#[must_use]
pub fn all() -> Vec<Page> {
    let catalogue = Catalogue::builtin();
    vec![
        Page {
            path: "docs/rules.md",
            text: rules_page(),
        },
        Page {
            path: "docs/runtimes.md",
            text: runtimes_page(&catalogue),
        },
        Page {
            path: "docs/controllers.md",
            text: controllers_page(&catalogue),
        },
    ]
}

const MADE: &str = "<!-- Made by `cargo xtask generate`; edits here are lost. -->\n";

fn rules_page() -> String {
    let mut text = format!(
        "{MADE}# Rules\n\nEach links to its page, which `kubectl infer explain RULE` shows and \
         which is the rule's test.\n\n| rule | level | admission fixes it | the flaw |\n|---|---|---|---|\n"
    );
    for rule in rules::ALL {
        let file = rule.id.replace('-', "_");
        let fixes = if rule.phase == Phase::Findings {
            ""
        } else {
            "yes"
        };
        line(
            &mut text,
            &format!(
                "| [`{}`](../crates/infer-core/src/rules/{file}.md) | {} | {fixes} | {} |",
                rule.id,
                rule.level.as_str(),
                rule.summary
            ),
        );
    }
    text
}

fn runtimes_page(catalogue: &Catalogue) -> String {
    let mut text = format!(
        "{MADE}# Runtimes\n\nWhat the catalogue knows of inference servers. One file each in \
         `crates/infer-core/catalogue/runtimes`.\n"
    );
    for runtime in &catalogue.runtimes {
        let certain = if runtime.port.certain {
            ""
        } else {
            " (not in every version: a declared port must agree)"
        };
        line(&mut text, &format!("\n## {}\n", runtime.name));
        for (what, value) in [
            ("images", code(&runtime.images.names)),
            ("started by", code(&runtime.argv)),
            ("port", format!("{}{certain}", runtime.port.default)),
            ("health", format!("`{}`", runtime.health.path)),
            (
                "a probe's timeout",
                format!("{} s at least", runtime.health.timeout_seconds),
            ),
            (
                "loading may take",
                format!("{} s", runtime.startup_budget_seconds),
            ),
            ("at SIGTERM", runtime.drain.explanation.clone()),
            (
                "smoke request",
                format!(
                    "`POST {}` with `{}`",
                    runtime.smoke.path, runtime.smoke.body
                ),
            ),
            ("known from", runtime.sources.join("; ")),
        ] {
            line(&mut text, &format!("- {what}: {value}"));
        }
    }
    text
}

fn controllers_page(catalogue: &Catalogue) -> String {
    let mut text = format!(
        "{MADE}# Controllers\n\nWhat the catalogue knows of ingress controllers. One file each in \
         `crates/infer-core/catalogue/controllers`.\n"
    );
    for controller in &catalogue.controllers {
        line(&mut text, &format!("\n## {}\n", controller.title));
        if let Some(retired) = &controller.retired {
            line(
                &mut text,
                &format!(
                    "- **retired**: {} of {} was its last release ({})",
                    retired.last_version, retired.since, retired.source
                ),
            );
        }
        for (what, names) in [
            ("`IngressClass.spec.controller`", &controller.controllers),
            (
                "`GatewayClass.spec.controllerName`",
                &controller.gateway_controllers,
            ),
            ("annotations", &controller.annotation_prefixes),
        ] {
            if !names.is_empty() {
                line(&mut text, &format!("- {what}: {}", code(names)));
            }
        }
        line(&mut text, &format!("- proxy: {}", controller.proxy.title()));
        for timer in &controller.timers {
            let role = match timer.role {
                TimerRole::Read => "silence of the server",
                TimerRole::Send => "silence while the request is sent",
                TimerRole::Connect => "connecting",
                TimerRole::FirstByte => "until the head of the answer",
                TimerRole::Whole => "the whole answer",
                TimerRole::Drain => "drain of the proxy",
            };
            line(&mut text, &format!("- {role}: {}", timer_text(timer)));
        }
        if let Some(body) = &controller.body {
            line(
                &mut text,
                &format!(
                    "- request body: `{}`, default {} KiB",
                    body.annotation,
                    body.default_bytes >> 10
                ),
            );
        }
        line(
            &mut text,
            &format!("- known from: {}", controller.sources.join("; ")),
        );
    }
    text
}

/// What sets a timer, and its default.
fn timer_text(timer: &Timer) -> String {
    let mut set_by: Vec<String> = Vec::new();
    if let Some(annotation) = &timer.annotation {
        set_by.push(format!("`{annotation}`, {}", timer.unit.hint()));
    }
    set_by.extend(timer.fields.iter().map(|field| match field {
        TimerField::HttpRouteRequest => "HTTPRoute `timeouts.request`".to_owned(),
        TimerField::HttpRouteBackendRequest => "HTTPRoute `timeouts.backendRequest`".to_owned(),
        TimerField::VirtualServiceTimeout => "VirtualService `timeout`".to_owned(),
        TimerField::DestinationRuleConnectTimeout => {
            "DestinationRule `connectionPool.tcp.connectTimeout`".to_owned()
        }
    }));
    set_by.extend(timer.elsewhere.iter().map(|it| format!("{it} (not read)")));
    set_by.push(match timer.default_seconds {
        Some(seconds) => format!("default {seconds} s"),
        None => "no limit by default".to_owned(),
    });
    if let Some(note) = &timer.note {
        set_by.push(note.clone());
    }
    set_by.join(", ")
}

fn code(names: &[String]) -> String {
    let each: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    each.join(", ")
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
