//! What clients may see at most.

use crate::moment::{Millis, span};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The budgets of a drill; none is kept where none is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    /// Longest outage of any GET or POST lane.
    #[serde(rename = "maxOutageMs", serialize_with = "as_millis")]
    pub max_outage: Option<Duration>,
    /// Highest share of GET and POST requests that failed, of those that were open at T0 or
    /// started after it and ended; from 0 to 1.
    pub max_error_rate: Option<f64>,
    /// Most streams that failed, of those that were open at T0 or started after it.
    pub max_lost_streams: Option<u64>,
}

fn as_millis<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(Millis).serialize(serializer)
}

impl Budgets {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Budgets::default()
    }
}

impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outage = self
            .max_outage
            .map(|most| format!("outage ≤ {}", span(most)));
        let errors = self
            .max_error_rate
            .map(|most| format!("errors ≤ {}", percent(most)));
        let streams = self
            .max_lost_streams
            .map(|most| format!("lost streams ≤ {most}"));
        let all: Vec<String> = [outage, errors, streams].into_iter().flatten().collect();
        if all.is_empty() {
            f.write_str("none: what clients see is told and not judged")
        } else {
            f.write_str(&all.join(", "))
        }
    }
}

/// A share for people: `1%`, `0.33%`, `0.005%`.
pub fn percent(share: f64) -> String {
    let text = match share * 100.0 {
        hundredths if hundredths < 0.01 => format!("{hundredths:.4}"),
        hundredths => format!("{hundredths:.2}"),
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

/// A share as it is written on a command line: `1%` or `0.01`.
///
/// # Errors
///
/// What is no share from 0 to 1.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    number
        .trim()
        .parse::<f64>()
        .ok()
        .map(|number| number / scale)
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share such as `1%` or `0.01`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_shown() {
        assert_eq!(parse_share("1%"), Ok(0.01));
        assert_eq!(parse_share("0.01"), Ok(0.01));
        assert_eq!(parse_share("0"), Ok(0.0));
        for wrong in ["101%", "-1%", "2", "x", "", "NaN"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
        assert_eq!(percent(0.01), "1%");
        assert_eq!(percent(0.003_322), "0.33%");
        assert_eq!(percent(0.000_05), "0.005%");
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(1.0), "100%");
    }

    #[test]
    fn budgets_are_said_as_they_are() {
        let budgets = Budgets {
            max_outage: Some(Duration::from_secs(2)),
            max_error_rate: Some(0.01),
            max_lost_streams: Some(0),
        };
        assert_eq!(
            budgets.to_string(),
            "outage ≤ 2s, errors ≤ 1%, lost streams ≤ 0"
        );
        assert!(Budgets::default().is_empty());
        assert!(Budgets::default().to_string().starts_with("none"));
    }
}
