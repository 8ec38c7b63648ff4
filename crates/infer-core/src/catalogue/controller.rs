//! The schema of an ingress controller's entry.

use super::Tier;
use crate::duration;
use serde::Deserialize;
use serde_json::Value;

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
    /// Globs on the last segments of the repository of its own image, as many as the glob has:
    /// where its Deployment is found, and with it its version.
    #[serde(default)]
    pub images: Vec<String>,
    /// Prefixes of its annotations.
    #[serde(default)]
    pub annotation_prefixes: Vec<String>,
    /// How it tells an Ingress that is meant for it.
    #[serde(default)]
    pub class_by: ClassBy,
    /// What it does with an Ingress without a class.
    #[serde(default)]
    pub without_class: WithoutClass,
    /// What it does with an annotation whose value it cannot read; none where it reads none.
    pub unreadable: Option<Unreadable>,
    /// What forwards the requests.
    pub proxy: Proxy,
    /// Whether its proxy evaluates VirtualServices and DestinationRules.
    #[serde(default)]
    pub reads_mesh: bool,
    /// The annotation with which it hands requests to the Service's own address, so that a mesh's
    /// sidecar in its pods sees a Service and applies the mesh's rules.
    pub to_service: Option<Setting>,
    /// How it splits requests by weight itself, in words: what to write.
    pub split: Option<String>,
    /// How a second Ingress of the same hosts and paths takes a share of their requests; none where
    /// it does not.
    pub canary: Option<CanaryIngress>,
    /// Where it says that of two Ingresses for one host and path the older one is served; none
    /// where it does not say which one is.
    pub oldest_wins: Option<String>,
    /// Its timers.
    pub timers: Vec<Timer>,
    /// What it makes of fields of an HTTPRoute that an implementation may leave out.
    pub http_route: Option<HttpRouteSupport>,
    /// How it repeats requests.
    pub retries: Option<Retries>,
    /// Its limit for request bodies.
    pub body: Option<BodyLimit>,
    /// What it does with an answer that comes piece by piece; none where it hands each piece on.
    pub buffering: Option<Buffering>,
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

/// How an Ingress says that it takes a share of another one's requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryIngress {
    /// What marks it as one.
    pub enabled: Setting,
    /// The annotation that holds its share, as whole percent.
    pub weight: String,
    /// Annotations under which the share means something else, or something else decides.
    #[serde(default)]
    pub deciding_too: Vec<String>,
    /// Where that was read.
    pub sources: Vec<String>,
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
    /// Google Cloud's load balancer, outside of the cluster.
    GoogleCloud,
}

impl Proxy {
    /// As its makers spell it.
    pub fn title(self) -> &'static str {
        match self {
            Proxy::Nginx => "NGINX",
            Proxy::Envoy => "Envoy",
            Proxy::Traefik => "Traefik",
            Proxy::GoogleCloud => "Google Cloud's load balancer",
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
    /// The conditions of a VirtualService's `retryOn` under which it repeats a request that has
    /// reached the server. A status code in that list is one, whichever it is.
    #[serde(default)]
    pub retry_on: Vec<String>,
}

/// An annotation that lets a controller repeat a POST that was sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replay {
    /// The annotation: words apart by spaces or commas.
    pub annotation: String,
    /// The words in its value that do; none listed means any value.
    #[serde(default)]
    pub words: Vec<String>,
    /// The annotation and the value that switch repeating off all the same.
    pub unless: Option<Setting>,
}

impl Replay {
    /// The words of this value that let a sent POST be repeated.
    pub fn words_in<'v>(&self, value: &'v str) -> Vec<&'v str> {
        let each = value.split([' ', ',', '\t']).filter(|it| !it.is_empty());
        let counts = |word: &&str| self.words.is_empty() || self.words.iter().any(|w| w == word);
        each.filter(counts).collect()
    }
}

/// What a controller does with an answer that comes piece by piece.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Buffering {
    /// Whether it collects the pieces where nothing is set. A server that sends
    /// `X-Accel-Buffering: no` switches that off for its answer (nginx/nginx.org
    /// ngx_http_proxy_module.xml, `proxy_buffering`).
    pub by_default: bool,
    /// The annotation of the Ingress that switches it.
    pub annotation: Option<String>,
    /// The annotation's value that switches it on.
    pub on: Option<String>,
    /// The annotation's value that switches it off.
    pub off: Option<String>,
    /// What else sets it and is not read here, in words.
    pub elsewhere: Option<String>,
}

/// How a controller tells an Ingress that is meant for it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ClassBy {
    /// By `spec.controller` of the IngressClass.
    #[default]
    Controller,
    /// By the name of the class alone: the IngressClass is not read.
    Name,
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

/// A timer, and what sets it. Where several fields set it, the shortest counts.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timer {
    /// What it measures.
    pub role: TimerRole,
    /// The annotation of the Ingress that sets it.
    pub annotation: Option<String>,
    /// The annotation's older name, which counts where `annotation` is not there.
    pub alias: Option<String>,
    /// The fields of routes and traffic policies that set it.
    #[serde(default)]
    pub fields: Vec<TimerField>,
    /// What else sets it and is not read here, in words: a ConfigMap, a policy kind.
    pub elsewhere: Option<String>,
    /// How its value is written in the annotation, or elsewhere; a field's own is Gateway API's.
    pub unit: Unit,
    /// Its value where nothing sets it, in seconds; none where there is no limit.
    pub default_seconds: Option<u32>,
    /// What its default is at least where a route sets the timer of the whole answer, in seconds: it
    /// then follows that timer, and is off where that is.
    pub default_beside_whole: Option<u32>,
    /// The annotation's values that switch it off.
    #[serde(default)]
    pub off: Vec<String>,
    /// Whether a zero in the annotation means the default, and not zero or off.
    #[serde(default)]
    pub zero_is_default: bool,
    /// What ends the requests, for the role `drain`.
    #[serde(default)]
    pub at: Vec<DrainAt>,
    /// A trap, in words.
    pub note: Option<String>,
}

impl Timer {
    /// The annotation that sets this timer on an object, by whichever name, with its value.
    pub fn annotated<'a>(&'a self, object: &'a Value) -> Option<(&'a str, &'a str)> {
        let names = self.annotation.iter().chain(&self.alias);
        let mut set = names
            .filter_map(|name| Some((name.as_str(), crate::object::annotation(object, name)?)));
        set.next()
    }

    /// Whether this value of the annotation switches the timer off.
    pub fn is_off(&self, text: &str) -> bool {
        self.off.iter().any(|off| off == text)
    }

    /// Whether the controller can read this value of the annotation.
    pub fn reads(&self, text: &str) -> bool {
        self.is_off(text) || self.unit.read(text).is_some()
    }
}

/// What makes a proxy end the requests that are under way.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum DrainAt {
    /// It reads a changed configuration: any route anywhere.
    Reload,
    /// Its pod ends.
    End,
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
    fn a_list_of_conditions_is_apart_by_spaces_or_commas() {
        let some = Replay {
            annotation: "x".to_owned(),
            words: vec!["5xx".to_owned(), "reset".to_owned()],
            unless: None,
        };
        assert_eq!(some.words_in("connect-failure, 5xx"), ["5xx"]);
        assert_eq!(some.words_in("error reset"), ["reset"]);
        assert!(some.words_in("reset-before-request").is_empty());
        let any = Replay {
            words: Vec::new(),
            ..some
        };
        assert_eq!(any.words_in("true"), ["true"]);
        assert!(any.words_in(" ").is_empty());
    }

    #[test]
    fn bare_seconds_take_no_suffix() {
        assert_eq!(Unit::Seconds.read("3600"), Some(3600));
        assert_eq!(Unit::Seconds.read("3600s"), None);
        assert_eq!(Unit::NginxTime.read("3600s"), Some(3600));
    }
}
