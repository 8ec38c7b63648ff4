//! One request as `curl -v` shows it, and then its times as bars.

use super::text::{BAD, GOOD, Sign, count, printable, wrap};
use crate::terminal::Look;
use crate::tested::Answer;
use infer_traffic::statistics::{LEAST_SAMPLES, Percentiles};
use infer_traffic::{Buffered, Exchange};
use std::fmt::Write;
use std::time::Duration;

/// How much of a body is shown.
const SHOWN_BYTES: usize = 1024;
const SHOWN_LINES: usize = 12;
/// Columns of the bars, on a terminal of 100.
const BARS: usize = 32;

/// Request head, response head, and the beginning of the body.
pub(crate) fn heads(answer: &Answer, request_line: &str, look: Look) -> String {
    let exchange = &answer.exchange;
    let mut out = String::new();
    let mut line = |sign: &str, text: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", format!("{sign} {}", printable(text)).trim_end());
    };
    if !exchange.request_head.is_empty() {
        line(">", &format!("{request_line} HTTP/1.1"));
        for (name, value) in &exchange.request_head {
            line(">", &format!("{name}: {value}"));
        }
        line(">", "");
    }
    if let Some(status) = exchange.status {
        let version = exchange.version.as_deref().unwrap_or("HTTP/1.1");
        let reason = exchange.reason.as_deref().unwrap_or_default();
        line("<", format!("{version} {status} {reason}").trim_end());
        for (name, value) in &exchange.headers {
            line("<", &format!("{name}: {value}"));
        }
        line("<", "");
    }
    out.push_str(&body(exchange, look));
    out
}

/// The beginning of the body, line by line; nothing in it commands the terminal.
fn body(exchange: &Exchange, look: Look) -> String {
    if exchange.bytes == 0 {
        return String::new();
    }
    let kept = &exchange.body[..exchange.body.len().min(SHOWN_BYTES)];
    let text = match std::str::from_utf8(kept) {
        Ok(text) => text,
        // Cut inside of a character is text all the same.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&kept[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return format!("({} bytes that are no text)\n", exchange.bytes),
    };
    let mut out = String::new();
    let mut shown = 0;
    for line in text.split_inclusive('\n').take(SHOWN_LINES) {
        // A line that is cut off by our own bound is shown only where there is no other.
        let is_part = !line.ends_with('\n') && exchange.bytes > text.len() as u64;
        if is_part && shown > 0 {
            break;
        }
        shown += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        let _ = writeln!(out, "{}", cut(&printable(line), look));
    }
    let rest = exchange.bytes.saturating_sub(shown as u64);
    if rest > 0 {
        let dots = if look.ascii { "..." } else { "…" };
        let _ = writeln!(out, "{dots} {rest} more bytes");
    }
    out
}

/// A line that is no longer than the terminal is wide.
fn cut(line: &str, look: Look) -> String {
    if line.chars().count() <= look.width {
        return line.to_owned();
    }
    let dots = if look.ascii { "..." } else { "…" };
    let room = look.width.saturating_sub(dots.chars().count());
    line.chars().take(room).collect::<String>() + dots
}

/// Times since the intended start, each with a bar, and what is known of the stream.
pub(crate) fn timeline(answer: &Answer, resolves: bool, look: Look) -> String {
    let exchange = &answer.exchange;
    let stamps = &exchange.stamps;
    let whole = answer.latency().unwrap_or_default();
    let stream = exchange.stream.as_ref();
    let last = if stream.is_some() { "stream" } else { "body" };
    let reached = [
        ("resolve", stamps.resolved.filter(|_| resolves)),
        ("tcp", stamps.connected),
        ("tls", stamps.tls),
        ("headers", stamps.first_byte),
        ("ttft", stamps.first_token),
        (last, stamps.end.filter(|_| stamps.first_byte.is_some())),
    ];
    let mut out = String::new();
    let mut from = Duration::ZERO;
    for (title, stamp) in reached {
        let Some(at) = answer.since_start(stamp) else {
            continue;
        };
        let note = match title {
            "ttft" => role_only(answer),
            "stream" => flow(answer),
            "body" => count_bytes(exchange.bytes),
            _ => String::new(),
        };
        out.push_str(&row(title, at, from, whole, &note, look));
        from = at;
    }
    if stream.is_some() {
        out.push_str(&gaps(answer, look));
    }
    out.push_str(&replica(answer, look));
    out.push_str(&verdict(answer, look));
    out
}

fn row(
    title: &str,
    at: Duration,
    from: Duration,
    whole: Duration,
    note: &str,
    look: Look,
) -> String {
    let columns = BARS.min(look.width.saturating_sub(60)).max(12);
    let column = |time: Duration| {
        let part = time.as_secs_f64() / whole.as_secs_f64().max(f64::EPSILON);
        (part * columns as f64) as usize
    };
    let start = column(from).min(columns - 1);
    let end = column(at).clamp(start + 1, columns);
    let (border, block) = if look.ascii {
        ("|", "#")
    } else {
        ("▏", "█")
    };
    let bar = " ".repeat(start) + &block.repeat(end - start);
    let line = format!(
        "{title:<8}{:>9}  {border}{bar:<columns$}  {note}",
        millis(at)
    );
    format!("{}\n", line.trim_end())
}

fn role_only(answer: &Answer) -> String {
    let stream = answer.exchange.stream.as_ref();
    let role_only = stream.and_then(|stream| stream.role_only_at);
    match answer.since_start(role_only) {
        Some(at) => format!("event without content at {} not counted", millis(at)),
        None => String::new(),
    }
}

/// How much came, in tokens where the server counted them, else in events.
fn flow(answer: &Answer) -> String {
    let Some(stream) = &answer.exchange.stream else {
        return String::new();
    };
    let (number, noun) = match tokens(&answer.exchange) {
        Some(tokens) => (tokens, "token"),
        None => (stream.content_events, "event"),
    };
    let mut text = format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    if noun == "event" {
        text.push_str(" with content");
    }
    let first = answer.first_token();
    let time = answer
        .latency()
        .zip(first)
        .map(|(end, first)| (end.saturating_sub(first)).as_secs_f64());
    if let Some(seconds) = time
        && number > 1
        && seconds > 0.0
    {
        let rate = (number - 1) as f64 / seconds;
        let _ = write!(text, ", {rate:.1} {noun}s/s");
    }
    text
}

/// The count of generated tokens, where the server says it and the whole body was kept.
fn tokens(exchange: &Exchange) -> Option<u64> {
    if exchange.body.len() as u64 != exchange.bytes {
        return None;
    }
    let text = std::str::from_utf8(&exchange.body).ok()?;
    let (_, after) = text.rsplit_once("\"completion_tokens\":")?;
    let digits = after.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok().filter(|tokens| *tokens > 0)
}

fn gaps(answer: &Answer, look: Look) -> String {
    let Some(stream) = &answer.exchange.stream else {
        return String::new();
    };
    let gaps: Vec<Duration> = stream
        .content_stamps
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .collect();
    let Percentiles { p50, p95, .. } = Percentiles::of(&gaps);
    let dot = if look.ascii { "," } else { " ·" };
    let mut text = String::new();
    match (p50, p95) {
        (Some(p50), Some(p95)) => {
            let _ = write!(text, "p50 {}{dot} p95 {}{dot} ", millis(p50), millis(p95));
        }
        _ if stream.largest_gap.is_some() => {
            let _ = write!(text, "below {LEAST_SAMPLES}: no percentiles{dot} ");
        }
        _ => {}
    }
    match (
        stream.largest_gap,
        answer.since_start(stream.largest_gap_at),
    ) {
        (Some(gap), Some(at)) => {
            let _ = write!(text, "max {} at {}", millis(gap), millis(at));
        }
        _ => text.push_str("none: fewer than two events with content"),
    }
    let buffered = match stream.buffered {
        Buffered::Yes => "held back on the way (buffered)",
        Buffered::No => "not buffered",
        Buffered::Unknown => "buffered or not: unknown",
    };
    format!("{:<8}{text}{dot} {buffered}\n", "gaps")
}

fn replica(answer: &Answer, look: Look) -> String {
    let dot = if look.ascii { "," } else { " ·" };
    let replica = &answer.replica;
    let reason = printable(&replica.reason);
    let text = match (replica.name(), replica.grade) {
        (Some((name, _)), Some(grade)) => {
            let address = match &replica.address {
                Some(address) if *address != name => format!(" ({address})"),
                _ => String::new(),
            };
            let tries = match replica.attempts.len() {
                0 => String::new(),
                tries => format!(", {}", count(tries, "attempt")),
            };
            let grade = grade.as_str();
            let name = format!("{name}{address}");
            format!(
                "{}{dot} {reason}{tries}{dot} grade {grade}",
                printable(&name)
            )
        }
        _ => {
            let lines = wrap(&format!("unknown: {reason}"), look.width - 8);
            lines.join("\n        ")
        }
    };
    let mut out = format!("{:<8}{text}\n", "replica");
    if replica.attempts.len() > 1 {
        out.push_str(&format!("        {}\n", attempts(answer, look)));
    }
    out
}

/// Every try of the proxy: `POD 502 -> POD 200`.
pub(crate) fn attempts(answer: &Answer, look: Look) -> String {
    let each: Vec<String> = answer
        .replica
        .attempts
        .iter()
        .map(|tried| {
            let name = tried.pod.as_deref().unwrap_or(&tried.address);
            let status = tried.status.map(|status| status.to_string());
            let status = status.unwrap_or_else(|| "no answer".to_owned());
            format!("{} {status}", printable(name))
        })
        .collect();
    each.join(if look.ascii { " -> " } else { " → " })
}

fn verdict(answer: &Answer, look: Look) -> String {
    let exchange = &answer.exchange;
    match &exchange.failure {
        None => {
            let status = exchange.status.unwrap_or_default();
            let took = answer.latency().map(millis).unwrap_or_default();
            let sign = Sign::Good.show(look);
            let word = look.paint(GOOD, &status.to_string());
            format!("\n{sign} {word} in {took}\n")
        }
        Some(failure) => {
            let codes: Vec<String> = failure
                .cause
                .curl_exit()
                .iter()
                .map(ToString::to_string)
                .collect();
            let text = format!(
                "{}: {} (curl ends with {})",
                failure.cause,
                printable(&failure.message),
                codes.join(" or ")
            );
            let lines = wrap(&text, look.width - 2).join("\n  ");
            let lines = match lines.split_once(':') {
                Some((cause, rest)) => format!("{}:{rest}", look.paint(BAD, cause)),
                None => lines,
            };
            format!("\n{} {lines}\n", Sign::Bad.show(look))
        }
    }
}

fn count_bytes(bytes: u64) -> String {
    format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" })
}

/// A time as people read it: three digits, in the unit that fits.
pub(crate) fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        _ if ms < 10.0 => format!("{ms:.2}ms"),
        _ if ms < 1_000.0 => format!("{ms:.1}ms"),
        _ if ms < 100_000.0 => format!("{:.3}s", ms / 1e3),
        _ => format!("{:.0}s", ms / 1e3),
    }
}
