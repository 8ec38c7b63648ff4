//! What is sent, and how far it is trusted and waited for: the flags that tests and drills share.

use crate::duration;
use crate::problem::Problem;
use infer_traffic::{ConnectTo, Header, Limits, Target, Tls, TlsOptions};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A body on the command line that is larger than this is a mistake.
const MOST_DATA: u64 = 64 * 1024 * 1024;
/// The same for a file of headers, or of certificates.
const MOST_TEXT: u64 = 1024 * 1024;

/// What is sent, to which address, and for how long it may take.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestFlags {
    /// Send the content of this file, or stdin, instead of the smoke request
    #[arg(long, value_name = "FILE|-")]
    pub(crate) data: Option<String>,
    /// Method; default: POST with a body, else GET
    #[arg(long, value_parser = method)]
    pub(crate) method: Option<String>,
    /// Path and query, instead of the smoke request's
    #[arg(long, value_parser = path)]
    pub(crate) path: Option<String>,
    /// Send this header too; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Send the headers in this file too, and show none of their values
    #[arg(long = "header-file", value_name = "FILE")]
    pub(crate) header_files: Vec<String>,
    /// Host to ask for, where the route has none or a wildcard
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Use this address for this host and port, as curl does; may be repeated
    #[arg(long, value_name = "HOST:PORT:ADDRESS", value_parser = resolve)]
    pub(crate) resolve: Vec<Resolve>,
    /// Time for a whole request
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Time of silence inside an answer's body
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub(crate) stall: Duration,
    /// Time to connect, TLS included
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) connect_timeout: Duration,
    /// Trust the authorities in this file for the tested address, instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_skip_tls_verify")]
    pub(crate) certificate_authority: Option<String>,
    /// Do not check the certificate of the tested address
    #[arg(long)]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Response header that names the pod that answered
    #[arg(long, value_name = "NAME")]
    pub(crate) replica_header: Option<String>,
}

/// One `--resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolve {
    host: String,
    port: u16,
    address: IpAddr,
}

impl Resolve {
    /// The host that it is for.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port that it is for.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }
}

impl std::fmt::Display for Resolve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Resolve {
            host,
            port,
            address,
        } = self;
        match address {
            IpAddr::V4(address) => write!(f, "{host}:{port}:{address}"),
            IpAddr::V6(address) => write!(f, "{host}:{port}:[{address}]"),
        }
    }
}

impl RequestFlags {
    /// The headers of the flags and of the files.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or a line of it that is no header.
    pub(crate) fn all_headers(&self) -> Result<Vec<Header>, Problem> {
        let plain = self.headers.iter();
        let mut headers: Vec<Header> = plain
            .map(|(name, value)| Header::new(name, value))
            .collect();
        for file in &self.header_files {
            let text = read_text(file)?;
            for (index, line) in text.lines().enumerate() {
                // curl's own rule for `-H @FILE`: empty lines and those that begin with `#` are none.
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                // The message names the line only: it may hold a secret.
                let (name, value) = header(line).map_err(|_| {
                    Problem::new(format!("line {} is no header", index + 1))
                        .file(file)
                        .help("write `NAME: VALUE`, one on a line")
                })?;
                headers.push(Header {
                    name,
                    value,
                    secret: true,
                });
            }
        }
        Ok(headers)
    }

    /// The body; none without `--data`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is far too large.
    pub(crate) fn body(&self, stdin: &mut dyn Read) -> Result<Option<Vec<u8>>, Problem> {
        let Some(file) = &self.data else {
            return Ok(None);
        };
        let read = |from: &mut dyn Read| {
            let mut body = Vec::new();
            from.take(MOST_DATA + 1).read_to_end(&mut body)?;
            Ok::<_, std::io::Error>(body)
        };
        let body = if file == "-" {
            read(stdin)
        } else {
            std::fs::File::open(file).and_then(|mut file| read(&mut file))
        };
        let name = if file == "-" { "<stdin>" } else { file };
        let body = body.map_err(|error| {
            let problem = Problem::new(format!("cannot be read: {error}")).file(name);
            if file.trim_start().starts_with(['{', '[']) {
                problem
                    .help("--data names a file: write the JSON to one, or pipe it into `--data -`")
            } else if let Some(rest) = file.strip_prefix('@') {
                problem.help(format!("without curl's `@`: `--data {rest}`"))
            } else {
                problem
            }
        })?;
        if body.len() as u64 > MOST_DATA {
            let limit = MOST_DATA >> 20;
            return Err(Problem::new(format!("more than {limit} MiB to send")).file(name));
        }
        Ok(Some(body))
    }

    /// Whom to trust, for an address that speaks TLS.
    ///
    /// # Errors
    ///
    /// Authorities that cannot be read, or a machine that trusts nobody.
    pub(crate) fn tls(&self) -> Result<Tls, Problem> {
        let pem = self.certificate_authority.as_deref().map(read_text);
        let pem = pem.transpose()?.map(String::into_bytes);
        let options = TlsOptions {
            insecure_skip_verify: self.insecure_skip_tls_verify,
            certificate_authority_pem: pem,
            certificate_authority_file: self.certificate_authority.as_ref().map(PathBuf::from),
        };
        Tls::new(options).map_err(|error| {
            let problem = Problem::new(error.to_string());
            match &self.certificate_authority {
                Some(file) => problem.file(file),
                None => problem,
            }
        })
    }

    /// The limits of one request, keeping this many bytes of its answer.
    pub(crate) fn limits(&self, kept_body: usize) -> Limits {
        Limits {
            connect: self.connect_timeout.min(self.timeout),
            whole: self.timeout,
            stall: Some(self.stall),
            kept_body,
        }
    }

    /// Applies `--resolve` to a target; true where one applied.
    ///
    /// # Errors
    ///
    /// Where there are some and none is for this host and port: the person meant another one.
    pub(crate) fn pin(&self, target: &mut Target) -> Result<bool, Problem> {
        let fits =
            |it: &&Resolve| it.host.eq_ignore_ascii_case(&target.host) && it.port == target.port;
        if let Some(resolve) = self.resolve.iter().find(fits) {
            target.connect_to = ConnectTo::Address(SocketAddr::new(resolve.address, target.port));
            return Ok(true);
        }
        let Some(other) = self.resolve.first() else {
            return Ok(false);
        };
        let Resolve {
            host,
            port,
            address,
        } = other;
        Err(Problem::new(format!(
            "--resolve is for {host}:{port}, and {}:{} is tested",
            target.host, target.port
        ))
        .help(format!(
            "`--resolve {}:{}:{address}`",
            target.host, target.port
        )))
    }
}

fn read_text(file: &str) -> Result<String, Problem> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(file)?
            .take(MOST_TEXT)
            .read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    read().map_err(|error| Problem::new(format!("cannot be read: {error}")).file(file))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(token)
}

fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or("a header is written `NAME: VALUE`")?;
    if !is_token(name) {
        return Err("a header's name has letters, digits and `-`".to_owned());
    }
    let value = value.trim();
    if value.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a header's value stands on one line".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn method(text: &str) -> Result<String, String> {
    if !is_token(text) {
        return Err("a method is a word: GET, POST".to_owned());
    }
    Ok(text.to_ascii_uppercase())
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("a path begins with `/`: `/{text}`"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a path has no spaces: write them as `%20`".to_owned());
    }
    Ok(text.to_owned())
}

fn resolve(text: &str) -> Result<Resolve, String> {
    let wrong = || "as curl takes it: `HOST:PORT:ADDRESS`, ADDRESS an IP".to_owned();
    let (host, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (port, address) = rest.split_once(':').ok_or_else(wrong)?;
    let address = address
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(address);
    Ok(Resolve {
        host: host.to_owned(),
        port: port.parse().map_err(|_| wrong())?,
        address: address.parse().map_err(|_| wrong())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_takes_as_an_address_is_taken() {
        let read = |text| resolve(text).map(|it| (it.host, it.port, it.address.to_string()));
        assert_eq!(
            read("a.local:80:10.0.0.1"),
            Ok(("a.local".to_owned(), 80, "10.0.0.1".to_owned()))
        );
        assert_eq!(read("a:443:[::1]").unwrap().2, "::1");
        assert_eq!(read("a:443:::1").unwrap().2, "::1");
        for wrong in ["a", "a:80", "a:x:1.2.3.4", "a:80:b.local"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_one_line() {
        assert_eq!(
            header("X-A:  b c "),
            Ok(("X-A".to_owned(), "b c".to_owned()))
        );
        for wrong in ["x", ": b", "a b: c", "a: b\r\nc: d"] {
            assert!(header(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn paths_and_methods_are_held_to_http() {
        assert!(path("/v1/models?x=1").is_ok() && path("v1").is_err() && path("/a b").is_err());
        assert_eq!(method("post"), Ok("POST".to_owned()));
        assert!(method("GET /").is_err());
    }
}
