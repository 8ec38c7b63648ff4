//! Words for numbers, names and days.

/// "1 namespace", "2 namespaces".
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Names by comma, so many at most; the others are counted.
pub(crate) fn listed(names: &[impl AsRef<str>], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let text = shown.join(", ");
    match names.len().saturating_sub(most) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// The day of a moment (seconds since 1970, UTC), as `2026-11-25`. The conversion is Howard
/// Hinnant's `civil_from_days` (howardhinnant.github.io/date_algorithms.html).
pub(crate) fn day(moment: i64) -> String {
    const DAY: i64 = 86_400;
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: i64 = 719_468;
    /// Days of 400 years.
    const ERA: i64 = 146_097;
    let days = moment.div_euclid(DAY) + EPOCH;
    let era = days.div_euclid(ERA);
    let of_era = days.rem_euclid(ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on.
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_the_calendar_s() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_795_564_800), "2026-11-25");
        assert_eq!(day(1_795_564_799), "2026-11-24");
        assert_eq!(day(-1), "1969-12-31");
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(listed(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(listed(&["a", "b"], 2), "a, b");
    }
}
