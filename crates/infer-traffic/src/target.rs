//! Where a request goes: name, address and path, apart from each other.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hyper::Uri;
use thiserror::Error;

use crate::call::Call;
use crate::tls::{CurlAuthority, Tls, TlsError, TlsOptions};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// curl asks for `100-continue` before a body of more than this many bytes (`lib/http.h` of curl
/// 7.88, `EXPECT_100_THRESHOLD`; 1 MiB since 7.65).
const CURL_EXPECTS_ABOVE: usize = 1024 * 1024;

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// TLS, or plain HTTP.
    pub tls: Option<Tls>,
    /// The name: the Host header without its port, and SNI. IPv6 without brackets.
    pub host: String,
    /// The port of the URL.
    pub port: u16,
    /// The address behind the name.
    pub connect_to: ConnectTo,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// How the address is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectTo {
    /// By the machine's resolver.
    Resolve,
    /// Given, as with curl's `--resolve` and `--connect-to`.
    Address(SocketAddr),
}

/// Why a URL is not a target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("{url:?} is not a URL: {reason}")]
    NotUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A URL of another scheme.
    #[error("{url:?} has scheme {scheme:?}: want http or https")]
    Scheme {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// User and password in the URL.
    #[error(
        "the URL holds a user or a password: put credentials into a file and name it with \
         --header-file"
    )]
    Credentials,
    /// No TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Target {
    /// Reads `http://` and `https://` URLs. For `https` without a `tls` the machine's own trust
    /// store is read. For `http` a `tls` is left out.
    ///
    /// # Errors
    /// When it is no such URL, or holds credentials.
    pub fn from_url(url: &str, tls: Option<Tls>) -> Result<Self, TargetError> {
        let not_url = |reason: &str| TargetError::NotUrl {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        // Credentials are looked for first, so that no message can show them.
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(TargetError::Credentials);
        }
        let uri: Uri = url
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| not_url(&error.to_string()))?;
        let scheme = uri
            .scheme_str()
            .ok_or_else(|| not_url("it has no scheme; want http://… or https://…"))?;
        let tls = match scheme {
            "http" => None,
            "https" => Some(match tls {
                Some(tls) => tls,
                None => Tls::new(TlsOptions::default())?,
            }),
            other => {
                return Err(TargetError::Scheme {
                    url: url.to_owned(),
                    scheme: other.to_owned(),
                });
            }
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| not_url("it has no host"))?;
        let port = uri
            .port_u16()
            .unwrap_or_else(|| default_port(tls.is_some()));
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        Ok(Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            connect_to: ConnectTo::Resolve,
            path,
        })
    }

    /// The URL, without its port where it is the scheme's own.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host_header(), self.path)
    }

    /// The Host header: the name, and the port where it is not the scheme's own (RFC 9110, 7.2).
    #[must_use]
    pub fn host_header(&self) -> String {
        let host = bracketed(&self.host);
        if self.port == default_port(self.tls.is_some()) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The equal curl line, quoted for a POSIX shell: the same connection, request and limits.
    ///
    /// Headers that are secret are `-H @FILE`: FILE stands for the file that holds them. What curl
    /// would add by itself and [`crate::send`] does not is taken out with `-H 'name:'`. A proxy of
    /// the environment is passed by with `--noproxy`, because `send` never uses one.
    #[must_use]
    pub fn curl(&self, call: &Call) -> String {
        let mut line = String::from("curl");
        let mut option = |words: &[&str]| {
            for word in words {
                line.push(' ');
                line.push_str(&quoted(word));
            }
        };
        option(&[if call.stream { "-N" } else { "-v" }]);
        option(&["--noproxy", "*"]);
        if let Some(tls) = &self.tls {
            // Without it curl offers HTTP/2.
            option(&["--http1.1"]);
            if tls.insecure_skip_verify {
                option(&["-k"]);
            } else if let Some(authority) = &tls.certificate_authority {
                match authority {
                    CurlAuthority::File(path) => option(&["--cacert", &path.to_string_lossy()]),
                    CurlAuthority::Unnamed => option(&["--cacert", "CA.pem"]),
                }
            }
        }
        if let Some(connection) = self.curl_connection() {
            option(&[connection.0, &connection.1]);
        }
        let method = call.method.as_str();
        match (method, &call.body) {
            ("HEAD", None) => option(&["--head"]),
            ("GET", None) | ("POST", Some(_)) => {}
            _ => option(&["-X", method]),
        }
        let given = |name: &str| {
            call.headers
                .iter()
                .any(|header| header.name.eq_ignore_ascii_case(name))
        };
        for header in call.headers.iter().filter(|header| !header.secret) {
            option(&["-H", &format!("{}: {}", header.name, header.value)]);
        }
        if call.headers.iter().any(|header| header.secret) {
            option(&["-H", "@FILE"]);
        }
        if !given("user-agent") {
            option(&["-H", "user-agent:"]);
        }
        if let Some(body) = &call.body {
            if !given("content-type") {
                option(&["-H", "content-type:"]);
            }
            if body.len() > CURL_EXPECTS_ABOVE && !given("expect") {
                option(&["-H", "expect:"]);
            }
            match std::str::from_utf8(body) {
                // `-d` would read a file where the text begins with `@`.
                Ok(text) if !text.contains('\0') => option(&["--data-raw", text]),
                _ => option(&["--data-binary", "@BODY"]),
            }
        }
        option(&["--connect-timeout", &seconds(call.limits.connect)]);
        option(&["--max-time", &seconds(call.limits.whole)]);
        if let Some(stall) = call.limits.stall {
            // curl counts whole seconds.
            let whole = stall.as_secs() + u64::from(stall.subsec_nanos() > 0);
            option(&["--speed-limit", "1", "--speed-time", &whole.to_string()]);
        }
        if self.path.contains(['{', '}', '[', ']']) || self.host.contains(':') {
            option(&["-g"]);
        }
        if self.path.contains("/.") {
            option(&["--path-as-is"]);
        }
        option(&[&self.url()]);
        line
    }

    fn curl_connection(&self) -> Option<(&'static str, String)> {
        let ConnectTo::Address(address) = self.connect_to else {
            return None;
        };
        let host = bracketed(&self.host);
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        if address.port() != self.port {
            return Some((
                "--connect-to",
                format!("{host}:{}:{ip}:{}", self.port, address.port()),
            ));
        }
        if self.host.parse() == Ok(address.ip()) {
            return None;
        }
        Some(("--resolve", format!("{host}:{}:{ip}", self.port)))
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { HTTPS_PORT } else { HTTP_PORT }
}

fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn seconds(duration: Duration) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{}", duration.as_secs_f64());
    text
}

/// The word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
