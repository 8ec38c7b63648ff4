//! The command line.

use crate::flaw::{Flaw, Percent};
use clap::{ArgGroup, Parser};
use std::ffi::OsString;

/// The lab's second version of a model server: the server after `--`, bad in one way
///
/// Listens where the server would, starts it on another port of loopback and passes every request
/// on. Without a flaw it is a good second version.
#[derive(Clone, Debug, Parser)]
#[command(name = "lab-flaw", version, group = ArgGroup::new("flaw"))]
pub(crate) struct Options {
    /// Answer 500 to so many of a hundred POSTs
    #[arg(long, value_name = "PERCENT", group = "flaw")]
    errors: Option<Percent>,
    /// Send the first byte of a POST's answer after so many times what the server took
    #[arg(long, value_name = "FACTOR", group = "flaw", value_parser = factor)]
    slow: Option<f64>,
    /// Close the connection in the middle of so many of a hundred streams
    #[arg(long, value_name = "PERCENT", group = "flaw")]
    cut: Option<Percent>,
    /// Exit with code 1 instead of serving
    #[arg(long, group = "flaw")]
    crash: bool,
    /// Answer 503 to everything, as a server does whose model never finishes loading
    #[arg(long, group = "flaw")]
    never_ready: bool,
    /// What the header x-lab-version of each answer says
    #[arg(long, value_name = "NAME", default_value = "flaw", value_parser = token)]
    pub(crate) name: String,
    /// Which requests are touched follows from this and their number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The server and its arguments; its --host and --port say where to listen
    #[arg(last = true, required = true, value_name = "SERVER")]
    pub(crate) server: Vec<OsString>,
}

impl Options {
    /// The one flaw, if any.
    pub(crate) fn flaw(&self) -> Flaw {
        let of_three = self
            .errors
            .map(Flaw::Errors)
            .or(self.slow.map(Flaw::Slow))
            .or(self.cut.map(Flaw::Cut));
        match of_three {
            Some(flaw) => flaw,
            None if self.crash => Flaw::Crash,
            None if self.never_ready => Flaw::NeverReady,
            None => Flaw::None,
        }
    }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (1.0..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("a number from 1 to 1000 is wanted".to_owned()),
    }
}

/// What may stand in a header without quotes.
fn token(text: &str) -> Result<String, String> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits and ._- are wanted".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Result<Options, clap::Error> {
        let server = ["--", "llama-server", "--port", "8080"];
        Options::try_parse_from([&["lab-flaw"], flags, &server].concat())
    }

    #[test]
    fn one_flaw_at_most_and_what_follows_the_dashes_is_the_server_s() {
        for (flags, flaw) in [
            (&[][..], Flaw::None),
            (&["--errors", "5"], Flaw::Errors("5".parse().unwrap())),
            (&["--slow=3"], Flaw::Slow(3.0)),
            (&["--cut", "12.5"], Flaw::Cut("12.5".parse().unwrap())),
            (&["--crash"], Flaw::Crash),
            (&["--never-ready"], Flaw::NeverReady),
        ] {
            let options = parsed(flags).unwrap();
            assert_eq!(options.flaw(), flaw, "{flags:?}");
            assert_eq!(options.server, ["llama-server", "--port", "8080"]);
        }
        for wrong in [
            &["--errors", "5", "--crash"][..],
            &["--errors", "101"],
            &["--cut", "-1"],
            &["--slow", "0.5"],
            &["--name", "a b"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
        assert!(Options::try_parse_from(["lab-flaw", "--errors", "5"]).is_err());
    }
}
