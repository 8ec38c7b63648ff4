//! Annotations that are directives of NGINX under another spelling.
//!
//! Nothing is parsed: the value goes into the directive as it is, and `nginx -t` judges it.

use crate::canary::CANARY;
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// ingress-nginx's prefix (`internal/ingress/annotations/parser/main.go`, `DefaultAnnotationsPrefix`).
pub const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// A directive of NGINX and the annotation that sets it.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// The annotation's name after [`PREFIX`].
    pub annotation: &'static str,
    /// NGINX's name for it.
    pub directive: &'static str,
    /// What ingress-nginx renders without the annotation (`config.go`, `NewDefault`); none where it
    /// leaves the directive out.
    pub default: Option<&'static str>,
}

/// Name and directive differ by `-` and `_` only, but for `proxy-body-size`, which ingress-nginx's
/// template renders as `client_max_body_size`. Not here: `proxy-buffer-size`, which sets two
/// directives there (`proxy_buffers` too), so that copying it into one would be another thing.
pub const DIRECTIVES: [Directive; 15] = [
    directive("proxy-connect-timeout", "proxy_connect_timeout", "5s"),
    directive("proxy-send-timeout", "proxy_send_timeout", "60s"),
    directive("proxy-read-timeout", "proxy_read_timeout", "60s"),
    directive(
        "proxy-next-upstream",
        "proxy_next_upstream",
        "error timeout",
    ),
    directive(
        "proxy-next-upstream-timeout",
        "proxy_next_upstream_timeout",
        "0",
    ),
    directive(
        "proxy-next-upstream-tries",
        "proxy_next_upstream_tries",
        "3",
    ),
    directive("proxy-buffering", "proxy_buffering", "off"),
    directive("proxy-request-buffering", "proxy_request_buffering", "on"),
    directive("proxy-http-version", "proxy_http_version", "1.1"),
    directive("proxy-body-size", "client_max_body_size", "1m"),
    directive("client-body-buffer-size", "client_body_buffer_size", "8k"),
    Directive {
        annotation: "proxy-busy-buffers-size",
        directive: "proxy_busy_buffers_size",
        default: None,
    },
    directive(
        "proxy-max-temp-file-size",
        "proxy_max_temp_file_size",
        "1024m",
    ),
    directive("proxy-cookie-domain", "proxy_cookie_domain", "off"),
    directive("proxy-cookie-path", "proxy_cookie_path", "off"),
];

const fn directive(
    annotation: &'static str,
    directive: &'static str,
    default: &'static str,
) -> Directive {
    Directive {
        annotation,
        directive,
        default: Some(default),
    }
}

/// The directives of an Ingress that is no canary with these annotations, each with its value verbatim or with the
/// default, in the order of [`DIRECTIVES`].
///
/// # Errors
///
/// When an annotation with [`PREFIX`] is unknown, or a value would break out of its directive.
pub fn directives(
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, Refusal> {
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        // `false`, or `crate::canary` had it.
        if name == CANARY {
            continue;
        }
        if !DIRECTIVES.iter().any(|it| it.annotation == name) {
            return Err(Refusal::UnknownAnnotation(key.clone()));
        }
        check(key, value)?;
    }
    let value_of = |it: &Directive| {
        let written = annotations.get(&format!("{PREFIX}{}", it.annotation));
        written.map(String::as_str).or(it.default)
    };
    Ok(DIRECTIVES
        .iter()
        .filter_map(|it| Some((it.directive, value_of(it)?.to_owned())))
        .collect())
}

/// Refuses what ends a directive or a token in `nginx.conf`: NGINX's reader
/// (`src/core/ngx_conf_file.c`, `ngx_conf_read_token`) ends a directive at `;`, opens and closes
/// blocks at braces, quotes, escapes with a backslash, and takes `#` for a comment that would
/// swallow our `;`.
///
/// # Errors
///
/// With the first such character, a control character included.
pub fn check(place: &str, value: &str) -> Result<(), Refusal> {
    let breaks_out = |it: &char| it.is_control() || ";{}'\"\\#".contains(*it);
    match value.chars().find(breaks_out) {
        None => Ok(()),
        Some(character) => Err(Refusal::BreaksOut {
            place: place.to_owned(),
            character,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, Refusal> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        directives(&annotations.iter().map(owned).collect())
    }

    fn value(annotations: &[(&str, &str)], directive: &str) -> String {
        let all = of(annotations).unwrap();
        let found: Vec<_> = all.iter().filter(|(name, _)| *name == directive).collect();
        assert_eq!(
            found.len(),
            1,
            "NGINX refuses a directive that is there twice"
        );
        found[0].1.clone()
    }

    #[test]
    fn the_name_is_nginx_s_with_dashes_but_for_one() {
        let renamed: Vec<_> = DIRECTIVES
            .iter()
            .filter(|it| it.directive != it.annotation.replace('-', "_"))
            .map(|it| it.annotation)
            .collect();
        assert_eq!(renamed, ["proxy-body-size"]);
    }

    #[test]
    fn a_value_is_copied_as_it_is_even_where_ingress_nginx_reads_it_otherwise() {
        let read = "nginx.ingress.kubernetes.io/proxy-read-timeout";
        assert_eq!(value(&[(read, "3600")], "proxy_read_timeout"), "3600");
        assert_eq!(value(&[(read, "3600s")], "proxy_read_timeout"), "3600s");
        assert_eq!(value(&[(read, "soon")], "proxy_read_timeout"), "soon");
        assert_eq!(value(&[], "proxy_read_timeout"), "60s");
        let next = "nginx.ingress.kubernetes.io/proxy-next-upstream";
        let words = "error timeout http_503 non_idempotent";
        assert_eq!(value(&[(next, words)], "proxy_next_upstream"), words);
    }

    #[test]
    fn an_annotation_that_is_not_known_stops_the_ingress_and_others_do_not() {
        let canary = "nginx.ingress.kubernetes.io/canary-weight";
        let refused = of(&[(canary, "10")]).unwrap_err();
        assert_eq!(refused, Refusal::UnknownAnnotation(canary.to_owned()));
        assert!(refused.to_string().contains(canary), "{refused}");
        assert!(of(&[("nginx.org/proxy-read-timeout", "1h"), ("note", "a;b")]).is_ok());
    }

    #[test]
    fn a_value_that_would_break_out_is_refused() {
        let read = "nginx.ingress.kubernetes.io/proxy-read-timeout";
        for (value, character) in [
            ("1s; return 200", ';'),
            ("1s}", '}'),
            ("1s {", '{'),
            ("1s\nreturn", '\n'),
            ("\"1s", '"'),
            ("'1s", '\''),
            ("1s\\", '\\'),
            ("1s #", '#'),
            ("1s\0", '\0'),
        ] {
            let refused = of(&[(read, value)]).unwrap_err();
            let place = read.to_owned();
            assert_eq!(
                refused,
                Refusal::BreaksOut { place, character },
                "{value:?}"
            );
        }
    }
}
