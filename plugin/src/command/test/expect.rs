//! The shares that a person expects, and how many requests show them.

use super::Args;
use crate::problem::Problem;
use crate::tested::split::Wanted;
use infer_verdict::split::{Target, planned};

/// `NAME=SHARE` as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    name: String,
    /// Of one.
    share: f64,
    /// As it was written, for commands that are shown.
    written: String,
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.written)
    }
}

/// Reads one share.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let (name, written) = text
        .rsplit_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("a share is written `NAME=SHARE`, in percent: `canary=10`")?;
    let (number, has_sign) = match written.strip_suffix('%') {
        Some(number) => (number, true),
        None => (written, false),
    };
    let percent: f64 = number
        .parse()
        .map_err(|_| format!("`{written}` is no share in percent: `10` or `0.5%`"))?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("`{written}`: a share is from 0 to 100 percent"));
    }
    if !has_sign && percent > 0.0 && percent < 1.0 {
        let of_one = percent * 100.0;
        return Err(format!(
            "`{written}` says not which it is: `{number}%`, or as a part of one `{of_one}%`"
        ));
    }
    Ok(Share {
        name: name.to_owned(),
        share: percent / 100.0,
        written: written.to_owned(),
    })
}

/// Reads a tolerance, in percentage points.
pub(super) fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(points) if points > 0.0 && points < 100.0 => Ok(points),
        _ => Err("percentage points, above 0 and below 100: `5`, `0.5`".to_owned()),
    }
}

/// The shares with their tolerances.
///
/// # Errors
///
/// Where a backend is named twice, or all together get more than there is.
pub(super) fn wanted(args: &Args) -> Result<Vec<Wanted>, Problem> {
    for (index, share) in args.expect.iter().enumerate() {
        if args.expect[..index].iter().any(|it| it.name == share.name) {
            let problem = Problem::new(format!("--expect names {} twice", share.name));
            return Err(problem.help("one share for each backend"));
        }
    }
    let sum: f64 = args.expect.iter().map(|it| it.share).sum();
    if sum > 1.0 + 1e-9 {
        let percent = (sum * 1e4).round() / 100.0;
        let problem = Problem::new(format!("the shares of --expect add up to {percent} %"));
        return Err(problem.help("up to 100 %; what is left is of others, and not judged"));
    }
    let target = |share: f64| match args.tolerance {
        Some(points) => Target {
            share,
            tolerance: points / 100.0,
        },
        None => Target::new(share),
    };
    let wanted = args.expect.iter().map(|it| Wanted {
        name: it.name.clone(),
        target: target(it.share),
    });
    Ok(wanted.collect())
}

/// How many requests are sent, and what to say of that number.
///
/// # Errors
///
/// Where more are needed than a run may have.
pub(super) fn requests(args: &Args, wanted: &[Wanted]) -> Result<(u32, Option<String>), Problem> {
    if let Some(requests) = args.requests {
        return Ok((requests, None));
    }
    if wanted.is_empty() {
        return Ok((1, None));
    }
    let targets: Vec<Target> = wanted.iter().map(|it| it.target).collect();
    let needed = planned(&targets);
    let fits = needed
        .and_then(|needed| u32::try_from(needed).ok())
        .filter(|needed| i64::from(*needed) <= super::MOST_REQUESTS);
    let Some(fits) = fits else {
        let needed = needed.map_or("more than a million".to_owned(), |it| it.to_string());
        return Err(Problem::new(format!(
            "{needed} requests would settle these shares, and a run has {} at most",
            super::MOST_REQUESTS
        ))
        .help("a wider `--tolerance POINTS`, or `--requests N` for what fewer can show"));
    };
    let note = format!("{fits} requests: settles in 9 of 10 runs if the shares are right");
    Ok((fits, Some(note)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_percent() {
        for (text, name, of_one) in [
            ("canary=10", "canary", 0.1),
            ("canary=10%", "canary", 0.1),
            ("canary=0.5%", "canary", 0.005),
            ("canary=0", "canary", 0.0),
            ("canary=1", "canary", 0.01),
            ("canary=1.5", "canary", 0.015),
            ("a=b=100", "a=b", 1.0),
        ] {
            let share = share(text).unwrap();
            assert_eq!(share.name, name, "{text}");
            assert!((share.share - of_one).abs() < 1e-12, "{text}");
            assert_eq!(share.to_string(), text);
        }
    }

    #[test]
    fn what_may_mean_two_things_is_refused_with_both() {
        let refusal = share("canary=0.1").unwrap_err();
        assert!(
            refusal.contains("`0.1%`") && refusal.contains("`10%`"),
            "{refusal}"
        );
        for wrong in [
            "canary",
            "=10",
            "canary=",
            "canary=ten",
            "canary=101",
            "canary=-1",
            "c=NaN",
        ] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0", "-1", "100", "5%", "x"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }
}
