//! Durations as people write them, in whole seconds.

/// Reads `600`, `600s`, `10m`, `1h30m`; `None` for anything else, fractions and zero-unit text too.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..unit_at].parse().ok()?;
        let (factor, length) = match rest.as_bytes()[unit_at] {
            b's' => (1, 1),
            b'm' => (60, 1),
            b'h' => (3600, 1),
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[unit_at + length..];
    }
    Some(total)
}

/// Reads a duration as Go's `time.ParseDuration` and Gateway API (GEP-2257) write it, `1h30m`,
/// `1.5s`, `300ms`; a number needs its unit, but for `0`. Fractions of a second are rounded up:
/// what is above zero stays so.
pub fn parse_go(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut millis: f64 = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        rest = &rest[unit_at..];
        let units = [
            ("ms", 1.0),
            ("s", 1e3),
            ("m", 6e4),
            ("h", 3.6e6),
            ("us", 1e-3),
            ("ns", 1e-6),
        ];
        let (unit, factor) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        millis += number * factor;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some((millis / 1e3).ceil() as u64)
}

/// Reads an NGINX time: as [`parse`], days too, spaces allowed between the parts.
pub fn parse_nginx(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut seen = false;
    for part in text.split_whitespace() {
        seen = true;
        let seconds = match part.strip_suffix('d') {
            Some(days) => days.parse::<u64>().ok()?.checked_mul(86_400)?,
            None => parse(part)?,
        };
        total = total.checked_add(seconds)?;
    }
    seen.then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_need_their_unit() {
        assert_eq!(parse_go("1h30m"), Some(5400));
        assert_eq!(parse_go("1.5s"), Some(2));
        assert_eq!(parse_go("300ms"), Some(1));
        assert_eq!(parse_go("0s"), Some(0));
        assert_eq!(parse_go("0"), Some(0));
        for bad in ["", "60", "5 m", "1d", "-5s", "infinity"] {
            assert_eq!(parse_go(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_people_write() {
        assert_eq!(parse("600"), Some(600));
        assert_eq!(parse("10m"), Some(600));
        assert_eq!(parse("1h30m"), Some(5400));
        for bad in [
            "",
            "s",
            "1d",
            "5 m",
            "-5s",
            "1.5h",
            "m10",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn nginx_times() {
        assert_eq!(parse_nginx("1h 30m"), Some(5400));
        assert_eq!(parse_nginx("1d"), Some(86_400));
        assert_eq!(parse_nginx("3600 seconds"), None);
        assert_eq!(parse_nginx(""), None);
    }
}
