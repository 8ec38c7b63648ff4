//! All that the catalogue knows of a runtime.

use super::entry::{Page, seconds, tier};
use crate::terminal::Look;
use infer_core::catalogue::{GpuRole, OnSigterm, Runtime};

/// Renders it.
pub(super) fn render(entry: &Runtime, look: Look) -> String {
    let mut page = Page::new(&format!("runtime/{}", entry.name), "", look);
    recognised(entry, &mut page);
    page.heading("Where it listens");
    listens(entry, &mut page);
    page.heading("Its life");
    life(entry, &mut page);
    page.heading("What it is asked");
    asked(entry, &mut page);
    gpus(entry, &mut page);
    page.heading("How this is known");
    page.fact("tier", &[tier(entry.tier)]);
    page.fact("sources", &entry.sources);
    page.end()
}

fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn recognised(entry: &Runtime, page: &mut Page) {
    let mut by = vec![format!("command {}", quoted(&entry.argv))];
    by.push(format!("image {}", entry.images.names.join(", ")));
    if !entry.images.not_server_tags.is_empty() {
        let tags = entry.images.not_server_tags.join(", ");
        by.push(format!(
            "not with the tags {tags}: they start something else"
        ));
    }
    page.fact("known by", &by);
    if !entry.not_server_argv.is_empty() {
        page.fact("no server", &[quoted(&entry.not_server_argv)]);
    }
    let mut without = entry.no_http_flags.clone();
    without.extend(
        entry
            .follower_flags
            .iter()
            .map(|flag| format!("{flag} above 0")),
    );
    if !without.is_empty() {
        page.fact("no API", &[format!("with {}", quoted(&without))]);
    }
}

fn listens(entry: &Runtime, page: &mut Page) {
    let certain = if entry.port.certain {
        ""
    } else {
        ", which moves between versions: alone it proves nothing"
    };
    page.fact(
        "port",
        &[
            format!("{}{certain}", entry.port.default),
            set_by(&entry.port.flags, &entry.port.env),
        ],
    );
    page.fact(
        "address",
        &[
            format!(
                "{}; {} in the project's own images",
                entry.host.default, entry.host.image_default
            ),
            set_by(&entry.host.flags, &entry.host.env),
        ],
    );
    if !entry.tls_flags.is_empty() {
        page.fact(
            "HTTPS",
            &[format!("with all of {}", quoted(&entry.tls_flags))],
        );
    }
    if let Some(http2) = entry.http2 {
        let speaks = if http2 {
            "speaks HTTP/2 without TLS, too"
        } else {
            "speaks HTTP/1.1 only: HTTP/2 forced on it fails"
        };
        page.fact("protocol", &[speaks]);
    }
}

fn set_by(flags: &[String], env: &[String]) -> String {
    let each: Vec<String> = flags
        .iter()
        .chain(env)
        .map(|it| format!("`{it}`"))
        .collect();
    match each.is_empty() {
        true => String::new(),
        false => format!("set by {}", each.join(", ")),
    }
}

fn life(entry: &Runtime, page: &mut Page) {
    let health = &entry.health;
    let mut lines = vec![format!(
        "`GET {}` answers 200 only with a loaded model; a probe's timeout: {} at least",
        health.path,
        seconds(health.timeout_seconds)
    )];
    if !health.prefix_flags.is_empty() {
        let unless = match health.prefix_unless_flags.is_empty() {
            true => String::new(),
            false => format!(
                ", and is closed then with {}",
                quoted(&health.prefix_unless_flags)
            ),
        };
        lines.push(format!(
            "{} stands in front of it{unless}",
            quoted(&health.prefix_flags)
        ));
    }
    page.fact("health", &lines);
    page.fact(
        "loading",
        &[format!(
            "up to {} are allowed for the weights",
            seconds(entry.startup_budget_seconds)
        )],
    );
    let in_flight = match entry.drain.on_sigterm {
        OnSigterm::Abort => "a request in flight is cut",
        OnSigterm::Hang => "a request in flight is neither ended nor served until SIGKILL",
        OnSigterm::Finish => "a request in flight is finished, however long that takes",
        OnSigterm::Unknown => "nobody knows what becomes of a request in flight",
    };
    let mut lines = vec![format!("{}: {in_flight}", entry.drain.explanation)];
    if !entry.drain.finishes_flags.is_empty() {
        let flags = quoted(&entry.drain.finishes_flags);
        lines.push(format!("{flags}: so many seconds it goes on serving"));
    }
    page.fact("SIGTERM", &lines);
}

fn asked(entry: &Runtime, page: &mut Page) {
    let mut model = set_by(&entry.model.flags, &entry.model.env);
    if entry.model.positional {
        model.push_str(", or by the first word that is no flag");
    }
    page.fact(
        "model",
        &[model, format!("such as {}", entry.model.example)],
    );
    let smoke = &entry.smoke;
    let mut lines = vec![
        format!("`POST {}` of `{}`", smoke.path, smoke.body),
        format!(
            "`{}` asks for a stream, `{}` bounds it",
            smoke.stream_field, smoke.tokens_field
        ),
    ];
    if let Some(model) = &smoke.model {
        lines.push(format!(
            "`{}` names the model; `GET {}` lists them",
            model.field, model.list
        ));
    }
    lines.push(format!("from {}", smoke.source));
    page.fact("request", &lines);
}

fn gpus(entry: &Runtime, page: &mut Page) {
    page.heading("GPUs");
    for evidence in &entry.gpu.evidence {
        let mut by = Vec::new();
        if !evidence.tags.is_empty() {
            by.push(format!("tags {}", evidence.tags.join(", ")));
        }
        if !evidence.images.is_empty() {
            by.push(format!("images {}", evidence.images.join(", ")));
        }
        page.fact(
            "meant for",
            &[format!("{}: {}", evidence.resource, by.join("; "))],
        );
    }
    if !entry.gpu.cpu_images.is_empty() {
        page.fact(
            "without",
            &[format!("images {}", entry.gpu.cpu_images.join(", "))],
        );
    }
    let count: Vec<String> = entry
        .gpu
        .count
        .iter()
        .map(|rule| {
            let value = rule.value.as_deref().unwrap_or_default();
            let flags = quoted(&rule.flags);
            match rule.role {
                GpuRole::Multiply => format!("{flags} multiplies the count"),
                GpuRole::Divide => format!("{flags} divides the count"),
                GpuRole::List => format!("{flags} lists them, one each"),
                GpuRole::CpuWhen => format!("{flags} `{value}`: none is used"),
                GpuRole::UnknownWhen => format!("{flags} `{value}`: the count is not known"),
                GpuRole::Unknown => format!("{flags}: the count is not known"),
            }
        })
        .collect();
    page.fact("count", &count);
    if let Some(scaffold) = &entry.scaffold {
        page.heading("How it is started");
        page.fact("image", &[&scaffold.image]);
        page.fact("GPU image", &[&scaffold.gpu_image]);
        page.fact("arguments", &[format!("`{}`", scaffold.args.join(" "))]);
        page.fact("from", &[&scaffold.source]);
    }
}
