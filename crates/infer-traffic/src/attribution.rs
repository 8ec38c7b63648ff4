//! Who answered: the token that a request carries, and where it comes back. Pure.
//!
//! The token travels in the user agent, because that is in the default access log of ingress-nginx,
//! Istio and Envoy Gateway, while request ids are replaced on the way.

mod envoy;
mod logged;

pub use logged::{Group, Logged};

use std::net::SocketAddr;

/// What tells one request of one run from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// The run: letters, digits and hyphens.
    pub run: String,
    /// The request's number in it.
    pub sequence: u64,
}

const PRODUCT: &str = "kubectl-infer/";

/// The user agent that carries the token: `kubectl-infer/<version> (<run>/<sequence>)`.
#[must_use]
pub fn user_agent(version: &str, token: &Token) -> String {
    format!("{PRODUCT}{version} ({}/{})", token.run, token.sequence)
}

/// The token of a user agent; `None` where it is not ours.
#[must_use]
pub fn parse_user_agent(agent: &str) -> Option<Token> {
    let (version, token) = agent.strip_prefix(PRODUCT)?.split_once(" (")?;
    let (run, sequence) = token.strip_suffix(')')?.rsplit_once('/')?;
    let plain = |text: &str| !text.is_empty() && !text.contains([' ', '(', ')', '/']);
    let number = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
    if !(plain(version) && plain(run) && number) {
        return None;
    }
    Some(Token {
        run: run.to_owned(),
        sequence: sequence.parse().ok()?,
    })
}

/// A line of ingress-nginx's access log in its default format (kubernetes/ingress-nginx,
/// `docs/user-guide/nginx-configuration/log-format.md`).
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Our token; `None` where another client sent the request.
    pub token: Option<Token>,
    /// `$remote_addr`.
    pub remote_addr: String,
    /// `$time_local`.
    pub time_local: String,
    /// `$request`: the request line.
    pub request: String,
    /// `$status`: what the client got. 499 is NGINX's own word for a client that left.
    pub status: u16,
    /// `$body_bytes_sent`.
    pub body_bytes_sent: u64,
    /// `$request_time`, in seconds.
    pub request_seconds: Option<f64>,
    /// `$proxy_upstream_name`: `NAMESPACE-SERVICE-PORT`.
    pub upstream_name: Option<String>,
    /// `$proxy_alternative_upstream_name`: the same for the canary, where it was chosen.
    pub alternative_name: Option<String>,
    /// Every attempt, in order; empty where NGINX answered without asking anybody.
    pub attempts: Vec<Attempt>,
    /// `$req_id`.
    pub request_id: String,
}

/// One try at one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// `$upstream_addr`: address and port, `unix:PATH`, or the upstream's name where no server
    /// could be selected.
    pub address: String,
    /// `$upstream_status`; `None` where nothing is known.
    pub status: Option<u16>,
    /// `$upstream_response_time`.
    pub seconds: Option<f64>,
}

/// Reads a line of ingress-nginx's access log; `None` where the line has another format.
#[must_use]
pub fn parse_log_line(line: &str) -> Option<LogEntry> {
    let line = line.trim();
    let (remote_addr, rest) = line.split_once(" - ")?;
    let (_user, rest) = rest.split_once(" [")?;
    let (time_local, rest) = rest.split_once("] ")?;
    let (request, rest) = quoted(rest)?;
    let (status, rest) = rest.trim_start().split_once(' ')?;
    let (body_bytes_sent, rest) = rest.split_once(' ')?;
    let (_referer, rest) = quoted(rest)?;
    let (agent, rest) = quoted(rest.trim_start())?;
    let (_request_length, rest) = rest.trim_start().split_once(' ')?;
    let (request_time, rest) = rest.split_once(' ')?;
    let (upstream_name, rest) = bracketed(rest)?;
    let (alternative, rest) = bracketed(rest)?;
    let mut words = rest.split_whitespace().peekable();
    let addresses = list(&mut words)?;
    let _lengths = list(&mut words)?;
    let times = list(&mut words)?;
    let statuses = list(&mut words)?;
    let request_id = words.next()?;
    if words.next().is_some() {
        return None;
    }
    Some(LogEntry {
        token: parse_user_agent(&agent),
        remote_addr: remote_addr.to_owned(),
        time_local: time_local.to_owned(),
        request,
        status: status.parse().ok()?,
        body_bytes_sent: body_bytes_sent.parse().ok()?,
        request_seconds: request_time.parse().ok(),
        upstream_name: given(upstream_name).map(str::to_owned),
        alternative_name: given(alternative).map(str::to_owned),
        attempts: addresses
            .iter()
            .enumerate()
            .filter_map(|(index, address)| {
                let of = |list: &[&str]| list.get(index).copied().unwrap_or("-").to_owned();
                Some(Attempt {
                    address: given(address)?.to_owned(),
                    status: of(&statuses).parse().ok(),
                    seconds: of(&times).parse().ok(),
                })
            })
            .collect(),
        request_id: request_id.to_owned(),
    })
}

fn given(word: &str) -> Option<&str> {
    (!word.is_empty() && word != "-").then_some(word)
}

fn bracketed(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('[')?.split_once(']')
}

/// A quoted string. NGINX writes `"`, `\` and what is not printable as `\xXX`, and with
/// `escape=json` as `\"` and `\\` (nginx.org, ngx_http_log_module, `log_format`).
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [b'"', ..] => {
                let after = text.len() - rest.len() + 1;
                let unescaped = String::from_utf8_lossy(&bytes).into_owned();
                return Some((unescaped, text.get(after..)?));
            }
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() => {
                bytes.push(hexadecimal(*high)? << 4 | hexadecimal(*low)?);
                rest = tail;
            }
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                bytes.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

fn hexadecimal(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// One value for each attempt, separated by `, `; where an internal redirect went to another group
/// of servers, by ` : ` (nginx.org, ngx_http_upstream_module, `$upstream_addr`).
fn list<'a>(
    words: &mut std::iter::Peekable<std::str::SplitWhitespace<'a>>,
) -> Option<Vec<&'a str>> {
    let mut values = Vec::new();
    loop {
        let word = words.next()?;
        let value = word.strip_suffix(',');
        values.push(value.unwrap_or(word));
        let redirected = words.next_if_eq(&":").is_some();
        if value.is_none() && !redirected {
            return Some(values);
        }
    }
}

/// What a response header says of who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The header's name, in lower case.
    pub header: String,
    /// Its value: a pod's name, or an address.
    pub value: String,
    /// Address and port, where the value is that.
    pub address: Option<SocketAddr>,
}

/// Headers that name the replica which gave the final answer: AIBrix's gateway plugin, the llm-d
/// simulator, and the Gateway API Inference Extension's endpoint picker protocol.
const REPLICA_HEADERS: [&str; 3] = [
    "target-pod",
    "x-inference-pod",
    "x-gateway-destination-endpoint-served",
];

/// The replica that a response header names. `configured` is a header that the user named; it goes
/// before those that are known. It says nothing of attempts before the final one.
#[must_use]
pub fn served_by(headers: &[(String, String)], configured: Option<&str>) -> Option<Served> {
    configured
        .into_iter()
        .chain(REPLICA_HEADERS)
        .find_map(|name| {
            let (_, value) = headers
                .iter()
                .find(|(header, value)| header.eq_ignore_ascii_case(name) && !value.is_empty())?;
            Some(Served {
                header: name.to_ascii_lowercase(),
                value: value.clone(),
                address: value.parse().ok(),
            })
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> Token {
        Token {
            run: "7f3a9c".to_owned(),
            sequence: 12,
        }
    }

    #[test]
    fn the_agent_comes_back() {
        let agent = user_agent("0.1.0", &token());
        assert_eq!(agent, "kubectl-infer/0.1.0 (7f3a9c/12)");
        assert_eq!(parse_user_agent(&agent), Some(token()));
        for other in [
            "curl/7.88.1",
            "kubectl-infer/0.1.0",
            "kubectl-infer/0.1.0 (7f3a9c)",
            "kubectl-infer/0.1.0 (7f3a9c/x)",
            "kubectl-infer/0.1.0 (7f3a9c/+1)",
            "kubectl-infer/0.1.0 (/1)",
            "kubectl-infer/0.1.0 (7f3a9c/1) x",
            "x kubectl-infer/0.1.0 (7f3a9c/1)",
        ] {
            assert_eq!(parse_user_agent(other), None, "{other}");
        }
    }

    #[test]
    fn a_hidden_retry() {
        let entry = parse_log_line(
            r#"10.244.0.1 - - [22/Nov/2026:10:00:00 +0000] "GET /v1/models HTTP/1.1" 200 615 "-" "kubectl-infer/0.1.0 (7f3a9c/12)" 120 0.004 [inference-llama-8080] [] 10.244.1.17:8080, 10.244.1.18:8080 0, 615 0.001, 0.003 502, 200 0f3d"#,
        )
        .unwrap();
        assert_eq!(entry.token, Some(token()));
        assert_eq!((entry.status, entry.body_bytes_sent), (200, 615));
        assert_eq!(entry.request, "GET /v1/models HTTP/1.1");
        assert_eq!(entry.upstream_name.as_deref(), Some("inference-llama-8080"));
        assert_eq!(entry.request_id, "0f3d");
        let attempt = |address: &str, status, seconds| Attempt {
            address: address.to_owned(),
            status: Some(status),
            seconds: Some(seconds),
        };
        assert_eq!(
            entry.attempts,
            [
                attempt("10.244.1.17:8080", 502, 0.001),
                attempt("10.244.1.18:8080", 200, 0.003)
            ]
        );
    }

    #[test]
    fn redirects_missing_values_and_escapes() {
        let entry = parse_log_line(
            r#"2001:db8::1 - alice [22/Nov/2026:10:00:00 +0000] "GET /\x22a\x5C HTTP/1.1" 502 0 "http://a/\"b" "x \xC3\xA9" 1 60.001 [-] [] [2001:db8::2]:80, unix:/tmp/s : backend -, 0 : - -, 0.100 : - 504, - : 502 id"#,
        )
        .unwrap();
        assert_eq!(entry.request, r#"GET /"a\ HTTP/1.1"#);
        assert_eq!((entry.token, entry.upstream_name), (None, None));
        let seen: Vec<_> = entry
            .attempts
            .iter()
            .map(|attempt| (attempt.address.as_str(), attempt.status, attempt.seconds))
            .collect();
        assert_eq!(
            seen,
            [
                ("[2001:db8::2]:80", Some(504), None),
                ("unix:/tmp/s", None, Some(0.1)),
                ("backend", Some(502), None),
            ]
        );
    }

    #[test]
    fn an_answer_of_nginx_itself_has_no_attempts() {
        let entry = parse_log_line(
            r#"1.2.3.4 - - [t] "GET / HTTP/1.1" 404 146 "-" "-" 1 0.000 [upstream-default-backend] [] - - - - id"#,
        )
        .unwrap();
        assert_eq!(entry.attempts, []);
    }

    #[test]
    fn other_formats_are_none() {
        for line in [
            "",
            "I1122 10:00:00.000000       7 controller.go:190] Configuration changes detected",
            r#"1.2.3.4 - - [t] "GET / HTTP/1.1" 200 1 "-" "curl" "-""#,
            r#"1.2.3.4 - - [t] "GET / HTTP/1.1" 200 1 "-" "c" 1 0.1 [a] [] a:1 1 1 200 id more"#,
            r#"1.2.3.4 - - [t] "GET / HTTP/1.1" 200 1 "-" "unclosed"#,
        ] {
            assert_eq!(parse_log_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_header_that_names_the_replica() {
        let headers = [
            ("Server".to_owned(), "envoy".to_owned()),
            ("Target-Pod".to_owned(), "10.0.0.1:8000".to_owned()),
            ("x-mine".to_owned(), "pod-1".to_owned()),
        ];
        let served = served_by(&headers, None).unwrap();
        assert_eq!(served.header, "target-pod");
        assert_eq!(served.address, "10.0.0.1:8000".parse().ok());
        let served = served_by(&headers, Some("X-Mine")).unwrap();
        assert_eq!((served.value.as_str(), served.address), ("pod-1", None));
        assert_eq!(served_by(&headers[..1], None), None);
    }

    fn escaped(text: &str) -> String {
        text.bytes()
            .map(|byte| match byte {
                b'"' | b'\\' | 0..=31 | 127..=255 => format!("\\x{byte:02X}"),
                _ => char::from(byte).to_string(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_nginx_writes_is_read_back(
            request in any::<String>(),
            referer in any::<String>(),
            sequence in any::<u64>(),
            attempts in proptest::collection::vec(
                (1u16..65535, proptest::option::of(100u16..600), any::<bool>()), 1..6),
        ) {
            let sent = Token { run: "r".to_owned(), sequence };
            let join = |values: Vec<String>| {
                let mut text = String::new();
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        text.push_str(if attempts[index].2 { " : " } else { ", " });
                    }
                    text.push_str(value);
                }
                text
            };
            let statuses = attempts.iter()
                .map(|attempt| attempt.1.map_or("-".to_owned(), |status| status.to_string()));
            let line = format!(
                "1.2.3.4 - - [now] \"{}\" 200 7 \"{}\" \"{}\" 9 0.5 [a] [] {} {} {} {} id",
                escaped(&request),
                escaped(&referer),
                user_agent("1", &sent),
                join(attempts.iter().map(|attempt| format!("10.0.0.1:{}", attempt.0)).collect()),
                join(vec!["1".to_owned(); attempts.len()]),
                join(vec!["0.250".to_owned(); attempts.len()]),
                join(statuses.collect()),
            );
            let entry = parse_log_line(&line).unwrap();
            prop_assert_eq!(entry.token, Some(sent));
            prop_assert_eq!(entry.request, request);
            let read: Vec<_> = entry.attempts.iter()
                .map(|attempt| (attempt.address.clone(), attempt.status)).collect();
            let want: Vec<_> = attempts.iter()
                .map(|attempt| (format!("10.0.0.1:{}", attempt.0), attempt.1)).collect();
            prop_assert_eq!(read, want);
        }

        #[test]
        fn no_line_panics(line in any::<String>(), tail in "[\"\\\\x0-9a-f,: \\[\\]-]{0,80}") {
            let _ = parse_log_line(&line);
            let _ = parse_log_line(&format!("a - - [t] \"{tail}"));
        }
    }
}
