//! Durations on the command line, as kubectl takes them: `30s`, `5m`, `1h30m`, `500ms`.

use std::time::Duration;

/// Reads one.
///
/// # Errors
///
/// What is wrong with the text, with the way out: a number without a unit is refused, because one
/// reader takes it for seconds and the next for milliseconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("a duration has a unit: `{text}s`, `{text}m`"));
    }
    let wrong = || "a duration is written as `30s`, `5m`, `1h30m` or `500ms`".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (value, after) = rest.split_at(number);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let value: f64 = value.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(value * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    if total.is_zero() {
        return Err("a duration above zero is wanted".to_owned());
    }
    Ok(total)
}

/// Writes one as [`parse`] reads it.
pub(crate) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if !millis.is_multiple_of(1000) && millis < 10_000 => format!("{millis}ms"),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let part = |number: u64, unit: &str| match number {
                0 => String::new(),
                _ => format!("{number}{unit}"),
            };
            format!(
                "{}{}{}",
                part(hours, "h"),
                part(minutes, "m"),
                part(rest, "s")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_takes_is_read() {
        for (text, millis) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1m500ms", 60_500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_number_alone_is_refused_with_what_may_be_meant() {
        assert_eq!(
            parse("30"),
            Err("a duration has a unit: `30s`, `30m`".to_owned())
        );
        for text in ["", "s", "5 m", "-5s", "1d", "m10", "1..5s", "1e3s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("0s").unwrap_err().contains("above zero"));
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["30s", "5m", "1h30m", "500ms", "1500ms", "1h1s"] {
            assert_eq!(show(parse(text).unwrap()), *text);
        }
    }
}
