//! Envoy's access log, in the formats that proxies have by default:
//!
//! - Envoy's own and Contour's: `[%START_TIME%] "REQUEST" CODE FLAGS RECEIVED SENT DURATION
//!   SERVICE_TIME "FORWARDED_FOR" "USER_AGENT" "REQUEST_ID" "AUTHORITY" "UPSTREAM_HOST"`
//!   (envoyproxy/envoy, `docs/root/configuration/observability/access_log/usage.rst`, "Default
//!   Format String"; projectcontour.io, "Access Logging", which has the same);
//! - Istio's: as that, with `DETAILS TERMINATION "FAILURE"` after the flags and
//!   `UPSTREAM_CLUSTER UPSTREAM_LOCAL DOWNSTREAM_LOCAL DOWNSTREAM_REMOTE SNI ROUTE` at the end
//!   (istio.io, "Envoy Access Logs", "Default access log format");
//! - JSON: Envoy Gateway's default has `user-agent`, `upstream_host`, `upstream_cluster`
//!   (gateway.envoyproxy.io, "Proxy Access Logs", "Default Access Log"); Istio with
//!   `accessLogEncoding: JSON` and Contour with `accesslog-format: json` have `user_agent` (run in
//!   the lab).
//!
//! Each has the last upstream only: how often Envoy tried before is in none of them.

use serde_json::Value;

use super::{Group, Logged, parse_user_agent};

/// Quoted fields that stand together: forwarded-for, user agent, request id, authority, upstream.
const TOGETHER: usize = 5;

/// Reads a line; `None` where it has another format.
pub(super) fn read(line: &str) -> Option<Logged> {
    let line = line.trim();
    if line.starts_with('{') {
        return read_json(line);
    }
    let (_time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let fields = fields(rest)?;
    let [
        Field::Quoted(_request),
        Field::Bare(code),
        Field::Bare(_),
        ..,
    ] = &fields[..]
    else {
        return None;
    };
    let at = fields
        .windows(TOGETHER)
        .position(|window| window.iter().all(Field::is_quoted))?;
    let [.., agent, _id, _authority, upstream] = &fields[at..at + TOGETHER] else {
        return None;
    };
    let cluster = fields.get(at + TOGETHER).map(Field::text);
    Some(logged(agent.text(), code, Some(upstream.text()), cluster))
}

fn read_json(line: &str) -> Option<Logged> {
    let object: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let agent = text("user-agent").or_else(|| text("user_agent"))?;
    // Without this key nobody can be named; with null in it the proxy answered by itself.
    object.get("upstream_host")?;
    let code = object.get("response_code");
    let code = code.map(|code| match code.as_str() {
        Some(text) => text.to_owned(),
        None => code.to_string(),
    });
    Some(logged(
        agent,
        code.as_deref().unwrap_or_default(),
        text("upstream_host"),
        text("upstream_cluster"),
    ))
}

fn logged(agent: &str, code: &str, upstream: Option<&str>, cluster: Option<&str>) -> Logged {
    Logged {
        token: parse_user_agent(agent),
        // 0 is an answer that never began.
        status: code.parse().ok().filter(|code| *code > 0),
        upstream: upstream
            .filter(|it| !it.is_empty() && *it != "-")
            .map(|it| {
                // Versions before v1.12 wrote it so.
                it.strip_prefix("tcp://").unwrap_or(it).to_owned()
            }),
        attempts: Vec::new(),
        group: cluster.and_then(group),
    }
}

/// The Service of a cluster's name.
///
/// Istio: `outbound|PORT|SUBSET|HOST` (istio/istio `pkg/config/model`, `BuildSubsetKey`). Contour:
/// `NAMESPACE_SERVICE_PORT`, its alt_stat_name, or `NAMESPACE/SERVICE/PORT/HASH`
/// (projectcontour/contour `internal/envoy/cluster.go`). Envoy Gateway names the rule of the route,
/// which tells no Service.
fn group(cluster: &str) -> Option<Group> {
    let service = |namespace: &str, name: &str, subset: &str| Group::Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subset: Some(subset.to_owned()).filter(|it| !it.is_empty()),
    };
    let parts: Vec<&str> = cluster.split('|').collect();
    if let ["outbound", _port, subset, host] = parts[..] {
        let mut labels = host.split('.');
        let (name, namespace) = (labels.next()?, labels.next()?);
        return (labels.next() == Some("svc")).then(|| service(namespace, name, subset));
    }
    let separator = if cluster.contains('/') { '/' } else { '_' };
    let parts: Vec<&str> = cluster.split(separator).collect();
    match parts[..] {
        // `httproute/NAMESPACE/NAME/rule/0` has five parts, and begins with a kind.
        [namespace, name, _port] | [namespace, name, _port, _]
            if parts.iter().all(|part| !part.is_empty()) =>
        {
            Some(service(namespace, name, ""))
        }
        _ => None,
    }
}

/// A field of a line.
#[derive(Debug)]
enum Field<'a> {
    Quoted(&'a str),
    Bare(&'a str),
}

impl<'a> Field<'a> {
    fn is_quoted(&self) -> bool {
        matches!(self, Field::Quoted(_))
    }

    fn text(&self) -> &'a str {
        match self {
            Field::Quoted(text) | Field::Bare(text) => text,
        }
    }
}

/// The fields of a line. Envoy escapes nothing: a quote ends a field only before a space or the end.
fn fields(mut rest: &str) -> Option<Vec<Field<'_>>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = match quoted.split_once("\" ") {
                Some(split) => split,
                None => (quoted.strip_suffix('"')?, ""),
            };
            found.push(Field::Quoted(text));
            rest = after;
        } else {
            let (text, after) = rest.split_once(' ').unwrap_or((rest, ""));
            found.push(Field::Bare(text));
            rest = after;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Token, user_agent};
    use super::*;

    fn service(namespace: &str, name: &str, subset: Option<&str>) -> Option<Group> {
        Some(Group::Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subset: subset.map(str::to_owned),
        })
    }

    /// The lines stand in the documentation of Envoy, Contour and Istio (see the module).
    #[test]
    fn lines_of_the_documentations() {
        let envoy = r#"[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80""#;
        let contour = r#"[2021-04-14T16:36:00.361Z] "GET /foo HTTP/1.1" 200 - 0 463 6 3 "-" "HTTPie/1.0.3" "837aa8dc-344f-4faa-b7d5-c9cce1028519" "localhost:8080" "127.0.0.1:8081""#;
        let istio = r#"[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 3 1 "-" "curl/7.73.0-DEV" "84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "10.44.1.27:80" outbound|8000||httpbin.foo.svc.cluster.local 10.44.1.23:37652 10.0.45.184:8000 10.44.1.23:46520 - default"#;
        for (line, status, upstream, group) in [
            (envoy, 204, "10.0.2.1:80", None),
            (contour, 200, "127.0.0.1:8081", None),
            (istio, 418, "10.44.1.27:80", service("foo", "httpbin", None)),
        ] {
            let logged = read(line).unwrap();
            assert_eq!(logged.status, Some(status));
            assert_eq!(logged.upstream.as_deref(), Some(upstream));
            assert_eq!(logged.group, group);
            assert_eq!((logged.token, logged.attempts), (None, Vec::new()));
        }
    }

    #[test]
    fn our_token_in_each_format() {
        let token = Token {
            run: "7f3a9c".to_owned(),
            sequence: 12,
        };
        let agent = user_agent("0.1.0", &token);
        let envoy = format!(
            r#"[t] "POST /v1 HTTP/1.1" 200 - 1 2 3 4 "-" "{agent}" "id" "host" "10.0.0.8:8080""#
        );
        let istio = format!(
            r#"[t] "POST /v1 HTTP/1.1" 503 UF upstream_reset_before_response_started{{connection_failure}} - "delayed connect error: 111" 1 2 3 - "10.0.0.1" "{agent}" "id" "host" "10.0.0.8:8080" outbound|80|canary|llama.ns.svc.cluster.local - 10.0.0.1:80 10.0.0.1:5 - -"#
        );
        // As Envoy Gateway, Istio and Contour write it, shortened.
        let gateway = format!(
            r#"{{":authority":"host","response_code":200,"upstream_cluster":"httproute/ns/r/rule/0","upstream_host":"10.0.0.8:8080","user-agent":"{agent}"}}"#
        );
        let contour = format!(
            r#"{{"response_code":200,"upstream_cluster":"ns_llama-canary_80","upstream_host":"10.0.0.8:8080","user_agent":"{agent}"}}"#
        );
        for (line, group) in [
            (envoy, None),
            (istio, service("ns", "llama", Some("canary"))),
            (gateway, None),
            (contour, service("ns", "llama-canary", None)),
        ] {
            let logged = read(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(logged.token.as_ref(), Some(&token), "{line}");
            assert_eq!(logged.upstream.as_deref(), Some("10.0.0.8:8080"), "{line}");
            assert_eq!(logged.group, group, "{line}");
        }
    }

    #[test]
    fn an_answer_of_envoy_itself_has_no_upstream() {
        let text = r#"[t] "GET /x HTTP/1.1" 404 NR 0 0 0 - "-" "curl" "id" "host" "-""#;
        let json = r#"{"response_code":404,"response_flags":"NR","upstream_host":null,"user_agent":"curl"}"#;
        for line in [text, json] {
            let logged = read(line).unwrap();
            assert_eq!((logged.status, logged.upstream), (Some(404), None));
        }
    }

    #[test]
    fn other_formats_are_none() {
        for line in [
            "",
            "[t] ",
            "[2026-11-25 10:00:00.000][1][warning][config] [source/x.cc:1] message",
            r#"[t] "GET / HTTP/1.1" 200 - 1 2 3 4 "-" "curl" "id" "host""#,
            r#"[t] "GET / HTTP/1.1" 200 - 1 2 "-" "unclosed"#,
            r#"{"msg":"started"}"#,
            r#"{"user_agent":"curl"}"#,
            "{",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn the_service_of_a_cluster_s_name() {
        assert_eq!(
            group("ns/llama/80/da39a3ee5e"),
            service("ns", "llama", None)
        );
        for other in [
            "PassthroughCluster",
            "inbound|8080||",
            "outbound|443||example.com",
            "httproute/ns/name/rule/0",
            "-",
            "",
        ] {
            assert_eq!(group(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>(), tail in "[\"x0-9a-f,: \\[\\]|/_-]{0,80}") {
            let _ = read(&line);
            let _ = read(&format!("[t] {tail}"));
            let _ = group(&tail);
        }
    }
}
