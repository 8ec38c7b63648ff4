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
    /// Values of `IngressClass.spec.controller`.
    pub controllers: Vec<String>,
    /// Names that its IngressClass usually has: evidence where no IngressClass can be seen.
    pub class_names: Vec<String>,
    /// Prefixes of its annotations.
    pub annotation_prefixes: Vec<String>,
    /// What it does with an Ingress without a class.
    pub without_class: WithoutClass,
    /// What it does with a value that it cannot read.
    pub unreadable: Unreadable,
    /// Its timers.
    pub timers: Vec<Timer>,
    /// Its limit for request bodies.
    pub body: Option<BodyLimit>,
}

impl Controller {
    /// The timer of this role.
    pub fn timer(&self, role: TimerRole) -> Option<&Timer> {
        self.timers.iter().find(|timer| timer.role == role)
    }
}

/// What a controller does with an Ingress without a class.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutClass {
    /// It leaves it alone.
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

/// A timer that an annotation sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timer {
    /// What it measures.
    pub role: TimerRole,
    /// The annotation that sets it.
    pub annotation: String,
    /// How its value is written.
    pub unit: Unit,
    /// Its value where nothing sets it, in seconds.
    pub default_seconds: u32,
}

/// What a timer measures.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum TimerRole {
    /// Silence between two reads from the server.
    Read,
    /// Silence between two writes to the server.
    Send,
    /// Opening the connection to the server.
    Connect,
}

/// How a duration is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Whole seconds, no suffix allowed.
    Seconds,
    /// NGINX's own: `60`, `60s`, `5m`, `1h30m`; bare is seconds.
    NginxTime,
}

impl Unit {
    /// Reads a value, in seconds; `None` where the controller could not.
    pub fn read(self, text: &str) -> Option<u64> {
        match self {
            Unit::Seconds => text.parse().ok(),
            Unit::NginxTime => duration::parse_nginx(text),
        }
    }

    /// Writes seconds.
    pub fn write(self, seconds: u32) -> String {
        match self {
            Unit::Seconds => seconds.to_string(),
            Unit::NginxTime => format!("{seconds}s"),
        }
    }

    /// How a value is to be written, for messages.
    pub fn hint(self) -> &'static str {
        match self {
            Unit::Seconds => "whole seconds without a unit",
            Unit::NginxTime => "an NGINX time such as `600s` or `10m`",
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
