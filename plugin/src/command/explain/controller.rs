//! All that the catalogue knows of a controller.

use super::entry::{Page, seconds, tier};
use crate::terminal::Look;
use infer_core::catalogue::{
    ClassBy, Controller, DrainAt, IgnoredHow, Timer, TimerField, TimerRole, Unreadable,
    WithoutClass,
};

/// Renders it.
pub(super) fn render(entry: &Controller, look: Look) -> String {
    let mut page = Page::new(&format!("controller/{}", entry.name), &entry.title, look);
    if let Some(retired) = &entry.retired {
        page.fact(
            "retired",
            &[format!(
                "its last release is {} of {} ({})",
                retired.last_version, retired.since, retired.source
            )],
        );
    }
    page.fact("proxy", &[entry.proxy.title()]);
    recognised(entry, &mut page);
    page.heading("Timers");
    for timer in &entry.timers {
        page.fact(role(timer.role), &self::timer(timer));
    }
    page.heading("Requests and answers");
    limits(entry, &mut page);
    page.heading("How this is known");
    page.fact("tier", &[tier(entry.tier)]);
    page.fact("sources", &entry.sources);
    page.end()
}

/// By which it is known.
fn recognised(entry: &Controller, page: &mut Page) {
    let mut by = Vec::new();
    for name in &entry.controllers {
        by.push(format!("IngressClass with `spec.controller: {name}`"));
    }
    for name in &entry.gateway_controllers {
        by.push(format!("GatewayClass with `spec.controllerName: {name}`"));
    }
    if !entry.annotation_prefixes.is_empty() {
        by.push(format!(
            "annotations {}…",
            entry.annotation_prefixes.join("…, ")
        ));
    }
    if !entry.images.is_empty() {
        by.push(format!("image {}", entry.images.join(", ")));
    }
    page.fact("known by", &by);
    if !entry.controllers.is_empty() {
        let mut class = Vec::new();
        if !entry.class_names.is_empty() {
            let names = entry.class_names.join(", ");
            class.push(format!("usually called {names}, which proves nothing"));
        }
        if entry.class_by == ClassBy::Name {
            class.push("it looks at the class's name only, not at the IngressClass".to_owned());
        }
        class.push(match entry.without_class {
            WithoutClass::Ignored => "an Ingress without a class is left alone".to_owned(),
            WithoutClass::Served => "an Ingress without a class is served".to_owned(),
        });
        page.fact("class", &class);
    }
}

fn role(role: TimerRole) -> &'static str {
    match role {
        TimerRole::Connect => "connect",
        TimerRole::FirstByte => "first byte",
        TimerRole::Read => "silence",
        TimerRole::Send => "sending",
        TimerRole::Whole => "whole answer",
        TimerRole::Drain => "drain",
    }
}

fn field(field: TimerField) -> &'static str {
    match field {
        TimerField::HttpRouteRequest => "HTTPRoute `timeouts.request`",
        TimerField::HttpRouteBackendRequest => "HTTPRoute `timeouts.backendRequest`",
        TimerField::VirtualServiceTimeout => "VirtualService `http[].timeout`",
        TimerField::DestinationRuleConnectTimeout => {
            "DestinationRule `trafficPolicy.connectionPool.tcp.connectTimeout`"
        }
    }
}

/// A timer's lines.
fn timer(timer: &Timer) -> Vec<String> {
    let default = match timer.default_seconds {
        Some(number) => format!("{} where nothing sets it", seconds(number)),
        None => "no limit where nothing sets it".to_owned(),
    };
    let beside = timer.default_beside_whole.map(|least| {
        format!(
            "; where a route sets the whole answer it follows that, {} at least",
            seconds(least)
        )
    });
    let mut lines = vec![default + &beside.unwrap_or_default()];
    if let Some(annotation) = &timer.annotation {
        lines.push(format!("set by `{annotation}`: {}", timer.unit.hint()));
    }
    if let Some(alias) = &timer.alias {
        lines.push(format!("older name `{alias}`"));
    }
    for one in &timer.fields {
        lines.push(format!("set by {}", field(*one)));
    }
    if let Some(elsewhere) = &timer.elsewhere {
        lines.push(format!("set by {elsewhere} (not read here)"));
    }
    if !timer.off.is_empty() {
        lines.push(format!("off with `{}`", timer.off.join("`, `")));
    }
    if timer.zero_is_default {
        lines.push("a zero is the default, not off".to_owned());
    }
    for at in &timer.at {
        lines.push(match at {
            DrainAt::Reload => "runs when any route anywhere changes".to_owned(),
            DrainAt::End => "runs when its pod ends".to_owned(),
        });
    }
    lines.extend(timer.note.clone());
    lines
}

fn limits(entry: &Controller, page: &mut Page) {
    if let Some(unreadable) = entry.unreadable {
        let what = match unreadable {
            Unreadable::FallsBack => "it uses its default, and says so in its own log only",
            Unreadable::Rejected => "it refuses the whole Ingress",
        };
        page.fact("bad value", &[what]);
    }
    if let Some(retries) = &entry.retries {
        let mut lines = vec![format!("by default: {}", retries.default)];
        for replay in &retries.replays_post {
            let words = match replay.words.as_slice() {
                [] => String::new(),
                words => format!(" with `{}`", words.join("`, `")),
            };
            lines.push(format!(
                "`{}`{words} repeats a POST that was sent",
                replay.annotation
            ));
        }
        if !retries.retry_on.is_empty() {
            let words = retries.retry_on.join("`, `");
            lines.push(format!(
                "`retryOn` of `{words}` or a status code repeats a sent request"
            ));
        }
        page.fact("retries", &lines);
    }
    if let Some(support) = &entry.http_route {
        let word = |honoured: bool| if honoured { "honoured" } else { "ignored" };
        let how = match support.ignored_how {
            Some(IgnoredHow::Silently) => "what is ignored is accepted without a word",
            Some(IgnoredHow::UnsupportedField) => {
                "what is ignored shows as reason UnsupportedField of Accepted"
            }
            None => "",
        };
        page.fact(
            "HTTPRoute",
            &[
                format!(
                    "`timeouts` {}, `retry` {}",
                    word(support.timeouts),
                    word(support.retry)
                ),
                how.to_owned(),
            ],
        );
    }
    if let Some(body) = &entry.body {
        let mut lines = vec![format!(
            "{} KiB, set by `{}` (NGINX size)",
            body.default_bytes >> 10,
            body.annotation
        )];
        if let Some(spooled) = &body.spooled_unless {
            lines.push(format!(
                "a body is written to the controller's disk unless `{}: \"{}\"`",
                spooled.annotation, spooled.value
            ));
        }
        page.fact("body limit", &lines);
    }
    if let Some(buffering) = &entry.buffering {
        let mut lines = vec![if buffering.by_default {
            "collects the pieces of an answer where nothing is set: tokens come in clumps"
                .to_owned()
        } else {
            "hands each piece of an answer on where nothing is set".to_owned()
        }];
        if let Some(annotation) = &buffering.annotation {
            let values = [("on", &buffering.on), ("off", &buffering.off)];
            let values: Vec<String> = values
                .into_iter()
                .filter_map(|(what, value)| Some(format!("{what} with `{}`", value.as_ref()?)))
                .collect();
            lines.push(format!("`{annotation}`: {}", values.join(", ")));
        }
        if let Some(elsewhere) = &buffering.elsewhere {
            lines.push(format!("set by {elsewhere} (not read here)"));
        }
        page.fact("buffering", &lines);
    }
    if let Some(split) = &entry.split {
        page.fact("split", &[split]);
    }
    let mesh = match (&entry.to_service, entry.reads_mesh) {
        (_, true) => "its proxy evaluates VirtualServices and DestinationRules".to_owned(),
        (Some(setting), false) => format!(
            "`{}: \"{}\"` lets a sidecar in its pods apply the mesh's rules",
            setting.annotation, setting.value
        ),
        (None, false) => "its proxy evaluates no VirtualService and no DestinationRule".to_owned(),
    };
    page.fact("mesh", &[mesh]);
}
