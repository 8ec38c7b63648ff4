//! Canary Ingresses: which share of a main Ingress' requests goes to another Service.
//!
//! ingress-nginx draws for each request in Lua, `math.random(weightTotal) <= weight`
//! (`rootfs/etc/nginx/lua/balancer.lua`, `route_to_alternative_balancer`). Here NGINX's own
//! `split_clients` draws, on `$request_id`, which is random and new for each request. Unlike a
//! directive's value a weight must be read for that; one that cannot be read stops its Ingress, where
//! ingress-nginx would take 0 or 100 for it (`internal/ingress/annotations/canary/main.go`, `Parse`).

use crate::annotation::PREFIX;
use crate::refusal::Refusal;
use std::collections::BTreeMap;
use std::fmt;

/// The annotation that makes an Ingress a canary.
pub const CANARY: &str = "canary";
const WEIGHT: &str = "canary-weight";
const TOTAL: &str = "canary-weight-total";

/// What a weight is a share of without `canary-weight-total`. A smaller total counts as this one
/// (`balancer.lua`: `weightTotal > 100`).
const DEFAULT_TOTAL: i64 = 100;

/// Annotations that ingress-nginx honours on a canary too (`docs/user-guide/nginx-configuration/
/// annotations.md`, Canary), by their beginnings. None of them is served here.
const HONOURED: [&str; 5] = [
    "canary-",
    "load-balance",
    "upstream-hash-by",
    "affinity",
    "session-cookie-",
];

/// A share of requests in hundredths of a percent, which is as fine as `split_clients` takes it
/// (`src/http/modules/ngx_http_split_clients_module.c`: `ngx_atofp(…, 2)`); 0 to [`Share::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// No request.
    pub const NONE: Share = Share(0);
    /// Every request.
    pub const ALL: Share = Share(10_000);
}

/// As `split_clients` takes it, `12.50%`.
impl fmt::Display for Share {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

/// The share that an Ingress with these annotations takes of its main Ingress' requests; none where
/// it is no canary. All that ingress-nginx ignores on a canary is ignored.
///
/// # Errors
///
/// When a value cannot be read, a weight is written and the Ingress is no canary (an error there
/// too), or an annotation is written that ingress-nginx would honour on a canary.
pub fn share(annotations: &BTreeMap<String, String>) -> Result<Option<Share>, Refusal> {
    let written = |name: &str| {
        let (key, value) = annotations.get_key_value(&format!("{PREFIX}{name}"))?;
        Some((key.as_str(), value.as_str()))
    };
    let enabled = written(CANARY).map_or(Ok(false), |(key, value)| truth(key, value))?;
    if !enabled {
        let canary_s = |key: &&String| key.starts_with(&format!("{PREFIX}{CANARY}-"));
        return match annotations.keys().find(canary_s) {
            None => Ok(None),
            Some(key) => Err(Refusal::NoCanary(key.clone())),
        };
    }
    for key in annotations.keys() {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let is_honoured = HONOURED.iter().any(|it| name.starts_with(it));
        if is_honoured && ![WEIGHT, TOTAL].contains(&name) {
            return Err(Refusal::UnknownAnnotation(key.clone()));
        }
    }
    let whole = |name: &str| written(name).map(|(key, value)| number(key, value));
    let weight = whole(WEIGHT).transpose()?.unwrap_or(0);
    let total = whole(TOTAL).transpose()?.unwrap_or(DEFAULT_TOTAL);
    let total = total.max(DEFAULT_TOTAL);
    let parts = weight.clamp(0, total) * i64::from(Share::ALL.0);
    match u32::try_from(parts / total) {
        Ok(hundredths) if parts % total == 0 => Ok(Some(Share(hundredths))),
        _ => Err(Refusal::TooFine { weight, total }),
    }
}

/// Go's `strconv.ParseBool`, with which ingress-nginx reads it.
fn truth(annotation: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(unreadable(annotation, value, "`true` or `false`")),
    }
}

/// Go's `strconv.Atoi`, within 32 bits.
fn number(annotation: &str, value: &str) -> Result<i64, Refusal> {
    let read = value.parse::<i32>().map(i64::from);
    read.map_err(|_| unreadable(annotation, value, "a whole number"))
}

fn unreadable(annotation: &str, value: &str, wanted: &'static str) -> Refusal {
    Refusal::Unreadable {
        annotation: annotation.to_owned(),
        value: value.to_owned(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &[(&str, &str)]) -> Result<Option<Share>, Refusal> {
        let prefixed =
            |(name, value): &(&str, &str)| (format!("{PREFIX}{name}"), value.to_string());
        share(&annotations.iter().map(prefixed).collect())
    }

    fn percent(weight: &str, total: Option<&str>) -> String {
        let mut all = vec![("canary", "true"), ("canary-weight", weight)];
        all.extend(total.map(|total| ("canary-weight-total", total)));
        of(&all).unwrap().unwrap().to_string()
    }

    #[test]
    fn a_weight_is_a_share_of_its_total_in_hundredths_of_a_percent() {
        assert_eq!(percent("10", None), "10.00%");
        assert_eq!(percent("5", Some("1000")), "0.50%");
        assert_eq!(percent("125", Some("10000")), "1.25%");
        assert_eq!(of(&[("canary", "true")]), Ok(Some(Share::NONE)));
        assert_eq!(percent("-5", None), Share::NONE.to_string());
        assert_eq!(percent("100", None), Share::ALL.to_string());
        assert_eq!(percent("300", Some("200")), Share::ALL.to_string());
        // balancer.lua takes only a total above 100.
        assert_eq!(percent("10", Some("20")), "10.00%");
    }

    #[test]
    fn what_cannot_be_read_or_drawn_is_refused_and_not_taken_for_something_else() {
        for (annotation, value) in [
            ("canary", "yes"),
            ("canary-weight", "0.5"),
            ("canary-weight", ""),
            ("canary-weight-total", "all"),
        ] {
            let refused = of(&[("canary", "true"), (annotation, value)]).unwrap_err();
            let said = refused.to_string();
            assert!(
                said.contains(annotation) && said.contains(&format!("{value:?}")),
                "{said}"
            );
        }
        let too_fine = of(&[
            ("canary", "true"),
            ("canary-weight", "1"),
            ("canary-weight-total", "30000"),
        ]);
        assert_eq!(
            too_fine,
            Err(Refusal::TooFine {
                weight: 1,
                total: 30_000
            })
        );
    }

    #[test]
    fn without_canary_true_a_weight_is_an_error_and_nothing_else_is() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(
            of(&[("canary", "false"), ("proxy-read-timeout", "1h")]),
            Ok(None)
        );
        for off in [
            &[("canary-weight", "10")][..],
            &[("canary-weight", "10"), ("canary", "0")],
        ] {
            let weight = format!("{PREFIX}canary-weight");
            assert_eq!(of(off), Err(Refusal::NoCanary(weight)));
        }
    }

    #[test]
    fn what_ingress_nginx_ignores_on_a_canary_is_ignored_and_what_it_honours_is_refused() {
        let with = |name, value| of(&[("canary", "true"), ("canary-weight", "10"), (name, value)]);
        for name in ["proxy-read-timeout", "server-snippet", "rewrite-target"] {
            assert_eq!(with(name, "1s; {"), Ok(Some(Share(1_000))), "{name}");
        }
        for name in [
            "canary-by-header",
            "canary-by-cookie",
            "load-balance",
            "upstream-hash-by",
            "affinity",
            "affinity-canary-behavior",
            "session-cookie-name",
        ] {
            let refused = Refusal::UnknownAnnotation(format!("{PREFIX}{name}"));
            assert_eq!(with(name, "x"), Err(refused), "{name}");
        }
    }
}
