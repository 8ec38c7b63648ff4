//! The schema of an ingress controller's entry.

use super::Tier;
use crate::duration;
use serde::Deserialize;

/// One ingress controller.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controller {
    /// Name; also the file's name.
    pub name: String,
    /// What messages call it.
    pub title: String,
    /// How well the facts below are known.
    pub tier: Tier,
    /// Where the facts were read.
    pub sources: Vec<String>,
    /// Why nobody should install it any more, where its makers say so.
    pub retired: Option<Retired>,
    /// Values of `IngressClass.spec.controller`; empty where it serves no Ingress.
    #[serde(default)]
    pub controllers: Vec<String>,
    /// Values of `GatewayClass.spec.controllerName`; empty where it serves no Gateway.
    #[serde(default)]
    pub gateway_controllers: Vec<String>,
    /// Names that its IngressClass usually has: evidence where no IngressClass can be seen.
    #[serde(default)]
    pub class_names: Vec<String>,
    /// Prefixes of its annotations.
    #[serde(default)]
    pub annotation_prefixes: Vec<String>,
    /// What it does with an Ingress without a class.
    #[serde(default)]
    pub without_class: WithoutClass,
    /// What it does with a value that it cannot read.
    pub unreadable: Unreadable,
    /// What forwards the requests.
    pub proxy: Proxy,
    /// Whether its proxy evaluates VirtualServices and DestinationRules.
    #[serde(default)]
    pub reads_mesh: bool,
    /// Its timers.
    pub timers: Vec<Timer>,
    /// What it makes of fields of an HTTPRoute that an implementation may leave out.
    pub http_route: Option<HttpRouteSupport>,
    /// How it repeats requests.
    pub retries: Option<Retries>,
    /// Its limit for request bodies.
    pub body: Option<BodyLimit>,
}

impl Controller {
    /// The timer of this role.
    pub fn timer(&self, role: TimerRole) -> Option<&Timer> {
        self.timers.iter().find(|timer| timer.role == role)
    }

    /// The timer of this role that an annotation of the Ingress sets, with that annotation.
    pub fn annotated_timer(&self, role: TimerRole) -> Option<(&Timer, &String)> {
        let timer = self.timer(role)?;
        Some((timer, timer.annotation.as_ref()?))
    }
}

/// That a controller is not made any more.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retired {
    /// The day of its last release, as `2026-03-20`.
    pub since: String,
    /// That release.
    pub last_version: String,
    /// Where that was read.
    pub source: String,
}

/// What forwards the requests: it decides what its timers mean.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Proxy {
    /// NGINX.
    Nginx,
    /// Envoy.
    Envoy,
    /// Traefik, which is its own.
    Traefik,
}

impl Proxy {
    /// As its makers spell it.
    pub fn title(self) -> &'static str {
        match self {
            Proxy::Nginx => "NGINX",
            Proxy::Envoy => "Envoy",
            Proxy::Traefik => "Traefik",
        }
    }
}

/// What an implementation makes of fields of an HTTPRoute (sigs.k8s.io/gateway-api
/// apis/v1/httproute_types.go, support: Extended, Experimental).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRouteSupport {
    /// Whether `timeouts` are honoured.
    pub timeouts: bool,
    /// Whether `retry` is honoured.
    pub retry: bool,
    /// What it does with such a field where it ignores it, for messages.
    pub ignored_how: Option<IgnoredHow>,
}

/// How an implementation shows that it ignores a field.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum IgnoredHow {
    /// Not at all: the route is `Accepted: True`.
    Silently,
    /// `Accepted: True` with reason `UnsupportedField`.
    UnsupportedField,
}

/// How a controller repeats requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retries {
    /// What it does where nothing is set, in words.
    pub default: String,
    /// Annotations that let it repeat a POST that was sent.
    #[serde(default)]
    pub replays_post: Vec<Replay>,
}

/// An annotation that lets a controller repeat a POST that was sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replay {
    /// The annotation.
    pub annotation: String,
    /// The words in its value that do; none listed means any value.
    #[serde(default)]
    pub words: Vec<String>,
}

/// What a controller does with an Ingress without a class.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutClass {
    /// It leaves it alone.
    #[default]
    Ignored,
    /// It serves it.
    Served,
}

/// What a controller does with a value that it cannot read.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    /// It uses its default and says so only in its own log.
    FallsBack,
    /// It refuses the whole Ingress.
    Rejected,
}

/// A timer, and what sets it. Where several places set it, the first that does counts, in the order
/// `annotation`, `fields`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timer {
    /// What it measures.
    pub role: TimerRole,
    /// The annotation of the Ingress that sets it.
    pub annotation: Option<String>,
    /// The fields of routes and traffic policies that set it.
    #[serde(default)]
    pub fields: Vec<TimerField>,
    /// What else sets it and is not read here, in words: a ConfigMap, a policy kind.
    pub elsewhere: Option<String>,
    /// How its value is written in the annotation; a field's own is Gateway API's.
    pub unit: Unit,
    /// Its value where nothing sets it, in seconds; none where there is no limit.
    pub default_seconds: Option<u32>,
    /// The value that switches it off.
    pub off: Option<String>,
    /// A trap, in words.
    pub note: Option<String>,
}

/// A field that sets a timer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum TimerField {
    /// `timeouts.request` of an HTTPRoute's rule.
    HttpRouteRequest,
    /// `timeouts.backendRequest` of an HTTPRoute's rule.
    HttpRouteBackendRequest,
    /// `http[].timeout` of a VirtualService.
    VirtualServiceTimeout,
    /// `trafficPolicy.connectionPool.tcp.connectTimeout` of a DestinationRule.
    DestinationRuleConnectTimeout,
}

/// What a timer measures.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum TimerRole {
    /// Opening the connection to the server.
    Connect,
    /// Until the head of the answer.
    FirstByte,
    /// Silence between two reads from the server.
    Read,
    /// Silence between two writes to the server.
    Send,
    /// The whole answer, from the end of the request on.
    Whole,
    /// How long requests under way survive the end or the reload of the proxy.
    Drain,
}

/// How a duration is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Whole seconds, no suffix allowed.
    Seconds,
    /// NGINX's own: `60`, `60s`, `5m`, `1h30m`; bare is seconds.
    NginxTime,
    /// Go's: `15s`, `5m`, `1h30m`, `1.5s`; a suffix is needed.
    GoDuration,
}

impl Unit {
    /// Reads a value, in seconds; `None` where the controller could not.
    pub fn read(self, text: &str) -> Option<u64> {
        match self {
            Unit::Seconds => text.parse().ok(),
            Unit::NginxTime => duration::parse_nginx(text),
            Unit::GoDuration => duration::parse_go(text),
        }
    }

    /// Writes seconds.
    pub fn write(self, seconds: u32) -> String {
        match self {
            Unit::Seconds => seconds.to_string(),
            Unit::NginxTime | Unit::GoDuration => format!("{seconds}s"),
        }
    }

    /// How a value is to be written, for messages.
    pub fn hint(self) -> &'static str {
        match self {
            Unit::Seconds => "whole seconds without a unit",
            Unit::NginxTime => "an NGINX time such as `600s` or `10m`",
            Unit::GoDuration => "a duration with its unit such as `600s` or `10m`",
        }
    }
}

/// The limit for request bodies.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BodyLimit {
    /// The annotation that sets it, in NGINX's size unit.
    pub annotation: String,
    /// Its value where nothing sets it.
    pub default_bytes: u64,
    /// The setting without which a whole body is written to the controller's disk.
    pub spooled_unless: Option<Setting>,
}

/// An annotation and a value of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// The annotation.
    pub annotation: String,
    /// The value.
    pub value: String,
}

/// Reads a size as NGINX does: digits and one of `b`, `k`, `m`, `g`, in either case.
pub fn nginx_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_nginx_s() {
        assert_eq!(nginx_size("10G"), Some(10 << 30));
        assert_eq!(nginx_size("1m"), Some(1 << 20));
        assert_eq!(nginx_size("0"), Some(0));
        assert_eq!(nginx_size("10Gi"), None);
        assert_eq!(nginx_size("ten"), None);
    }

    #[test]
    fn bare_seconds_take_no_suffix() {
        assert_eq!(Unit::Seconds.read("3600"), Some(3600));
        assert_eq!(Unit::Seconds.read("3600s"), None);
        assert_eq!(Unit::NginxTime.read("3600s"), Some(3600));
    }
}
