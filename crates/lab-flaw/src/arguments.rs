//! The server's arguments: where it would listen, and how it is told to listen elsewhere.

use crate::error::Error;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// llama-server's flags, which take their value as the next argument, and the variables that stand
/// for them (ggml-org/llama.cpp tools/server/README.md).
const HOST: &str = "--host";
const PORT: &str = "--port";
const HOST_VARIABLE: &str = "LLAMA_ARG_HOST";
const PORT_VARIABLE: &str = "LLAMA_ARG_PORT";

/// The variables that must not reach the server.
pub(crate) const VARIABLES: [&str; 2] = [HOST_VARIABLE, PORT_VARIABLE];

/// The server's defaults.
const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_PORT: u16 = 8080;

/// The server's arguments without the place where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Where it would listen.
    pub(crate) listen: SocketAddr,
    rest: Vec<OsString>,
}

impl Arguments {
    /// Takes them apart; `variable` looks an environment variable up. A flag beats its variable, and
    /// of one that is there twice the last counts.
    pub(crate) fn read(
        arguments: &[OsString],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Arguments, Error> {
        let mut host = variable(HOST_VARIABLE).map(|value| (HOST_VARIABLE, value));
        let mut port = variable(PORT_VARIABLE).map(|value| (PORT_VARIABLE, value));
        let mut rest = Vec::new();
        let mut all = arguments.iter();
        while let Some(argument) = all.next() {
            let (place, flag) = match argument.to_str() {
                Some(HOST) => (&mut host, HOST),
                Some(PORT) => (&mut port, PORT),
                _ => {
                    rest.push(argument.clone());
                    continue;
                }
            };
            let value = all
                .next()
                .map(OsString::as_os_str)
                .unwrap_or(OsStr::new(""));
            *place = Some((flag, value.to_string_lossy().into_owned()));
        }
        let host = parsed(host, DEFAULT_HOST, "an IP address")?;
        let port = parsed(port, DEFAULT_PORT, "a port")?;
        Ok(Arguments {
            listen: SocketAddr::new(host, port),
            rest,
        })
    }

    /// The arguments with which it listens on `at`.
    pub(crate) fn listening_on(&self, at: SocketAddr) -> Vec<OsString> {
        let mut all = self.rest.clone();
        all.extend([HOST.into(), at.ip().to_string().into()]);
        all.extend([PORT.into(), at.port().to_string().into()]);
        all
    }
}

fn parsed<T: std::str::FromStr>(
    written: Option<(&'static str, String)>,
    default: T,
    wanted: &'static str,
) -> Result<T, Error> {
    match written {
        None => Ok(default),
        Some((flag, value)) => value.parse().map_err(|_| Error::Argument {
            flag,
            value,
            wanted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Arguments, Error> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        Arguments::read(&arguments, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn host_and_port_are_taken_out_and_the_rest_passes_through_in_its_order() {
        let all = [
            "-m", "/m.gguf", "--host", "0.0.0.0", "--port", "8000", "-np", "8",
        ];
        let arguments = read(&all, &[("LLAMA_ARG_PORT", "1")]).unwrap();
        assert_eq!(arguments.listen, "0.0.0.0:8000".parse().unwrap());
        let elsewhere = arguments.listening_on("127.0.0.1:9".parse().unwrap());
        let wanted = [
            "-m",
            "/m.gguf",
            "-np",
            "8",
            "--host",
            "127.0.0.1",
            "--port",
            "9",
        ];
        assert_eq!(elsewhere, wanted);
    }

    #[test]
    fn without_flags_the_variables_count_and_then_the_server_s_defaults() {
        let variables = [("LLAMA_ARG_HOST", "0.0.0.0"), ("LLAMA_ARG_PORT", "9000")];
        let of = |it: Result<Arguments, Error>| it.unwrap().listen.to_string();
        assert_eq!(of(read(&[], &variables)), "0.0.0.0:9000");
        assert_eq!(of(read(&[], &[])), "127.0.0.1:8080");
    }

    #[test]
    fn what_is_no_address_is_said_with_its_flag() {
        for (arguments, flag, value) in [
            (&["--port", "many"][..], "--port", "many"),
            (&["--port"], "--port", ""),
            (&["--host", "localhost"], "--host", "localhost"),
        ] {
            let said = read(arguments, &[]).unwrap_err().to_string();
            assert!(
                said.contains(flag) && said.contains(&format!("{value:?}")),
                "{said}"
            );
        }
    }
}
