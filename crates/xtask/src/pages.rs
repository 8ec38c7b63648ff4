//! Pages that are derived from the engine: written by `cargo xtask generate`, committed, and held
//! fresh by `tests/tests/freshness.rs`.

use infer_core::catalogue::{
    Buffering, Catalogue, ClassBy, Controller, DrainAt, HttpRouteSupport, IgnoredHow, Timer,
    TimerField, TimerRole, WithoutClass,
};
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
        controller_section(&mut text, controller);
    }
    text
}

fn controller_section(text: &mut String, controller: &Controller) {
    line(text, &format!("\n## {}\n", controller.title));
    let mut say = |what: &str, value: String| line(text, &format!("- {what}: {value}"));
    if let Some(retired) = &controller.retired {
        say(
            "**retired**",
            format!(
                "{} of {} was its last release ({})",
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
            say(what, code(names));
        }
    }
    if controller.class_by == ClassBy::Name {
        let names = code(&controller.class_names);
        say(
            "class",
            format!("by its name alone, {names} unless told otherwise"),
        );
    }
    if controller.without_class == WithoutClass::Served {
        say("an Ingress without a class", "served".to_owned());
    }
    say("proxy", controller.proxy.title().to_owned());
    if controller.reads_mesh {
        say(
            "VirtualService, DestinationRule",
            "its proxy evaluates them".to_owned(),
        );
    }
    for timer in &controller.timers {
        let role = match timer.role {
            TimerRole::Read => "silence of the server",
            TimerRole::Send => "silence while the request is sent",
            TimerRole::Connect => "connecting",
            TimerRole::FirstByte => "until the head of the answer",
            TimerRole::Whole => "the whole answer",
            TimerRole::Drain => "drain of the proxy",
        };
        let at = timer.at.iter().map(|at| match at {
            DrainAt::Reload => "at a reload",
            DrainAt::End => "at its end",
        });
        let words: Vec<&str> = std::iter::once(role).chain(at).collect();
        let words = words.join(", ");
        say(&words, timer_text(timer));
    }
    if let Some(support) = &controller.http_route {
        say("HTTPRoute", support_text(*support));
    }
    if let Some(retries) = &controller.retries {
        say("repeats a request", retries.default.clone());
        for replay in &retries.replays_post {
            let words = match replay.words.as_slice() {
                [] => String::new(),
                words => format!(" with {}", code(words)),
            };
            say(
                "repeats a POST that was sent",
                format!("`{}`{words}", replay.annotation),
            );
        }
        if !retries.retry_on.is_empty() {
            let words = code(&retries.retry_on);
            say(
                "repeats a POST that was sent",
                format!("VirtualService `retries.retryOn` with {words} or a status code"),
            );
        }
    }
    if let Some(body) = &controller.body {
        say(
            "request body",
            format!(
                "`{}`, default {} KiB",
                body.annotation,
                body.default_bytes >> 10
            ),
        );
    }
    if let Some(buffering) = &controller.buffering {
        say("buffering of answers", buffering_text(buffering));
    }
    say("known from", controller.sources.join("; "));
}

/// What an implementation makes of an HTTPRoute's optional fields.
fn support_text(support: HttpRouteSupport) -> String {
    let how = match support.ignored_how {
        Some(IgnoredHow::Silently) => "ignored in silence",
        Some(IgnoredHow::UnsupportedField) => "ignored, with reason `UnsupportedField`",
        None => "ignored",
    };
    let honoured = |is: bool| if is { "honoured" } else { how };
    format!(
        "`timeouts` {}, `retry` {}",
        honoured(support.timeouts),
        honoured(support.retry)
    )
}

/// What switches buffering, and its default.
fn buffering_text(buffering: &Buffering) -> String {
    let mut words = vec![if buffering.by_default { "on" } else { "off" }.to_owned()];
    words[0].push_str(" by default");
    if let (Some(annotation), Some(on), Some(off)) =
        (&buffering.annotation, &buffering.on, &buffering.off)
    {
        words.push(format!("`{annotation}: \"{on}\"` or `\"{off}\"`"));
    }
    words.extend(
        buffering
            .elsewhere
            .iter()
            .map(|it| format!("{it} (not read)")),
    );
    words.join(", ")
}

/// What sets a timer, and its default.
fn timer_text(timer: &Timer) -> String {
    let mut set_by: Vec<String> = Vec::new();
    if let Some(annotation) = &timer.annotation {
        set_by.push(format!("`{annotation}`, {}", timer.unit.hint()));
    }
    set_by.extend(
        timer
            .alias
            .iter()
            .map(|alias| format!("`{alias}` where that is not there")),
    );
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
    if let Some(least) = timer.default_beside_whole {
        set_by.push(format!(
            "at least {least} s where the whole answer's timer is set"
        ));
    }
    if !timer.off.is_empty() {
        set_by.push(format!("off with {}", code(&timer.off)));
    }
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
