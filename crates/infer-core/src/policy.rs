//! The platform's baseline: what admission does about each rule, and the numbers.
//!
//! Three steps on purpose: the YAML as people write it, [`parse`], and [`Policy`], which code uses.

use crate::duration;
use crate::object;
use crate::rule::{Level, Rule};
use crate::rules;
use serde_json::Value;
use std::collections::BTreeMap;

/// The policy's API version.
pub const API_VERSION: &str = "kubectl-infer.dev/v1alpha1";
/// The policy's kind.
pub const KIND: &str = "InferencePolicy";
/// Rules that a workload does not want to hear of, by comma; `deny` stays.
pub const SKIP: &str = "kubectl-infer.dev/skip";
/// A workload's own longest generation.
pub const LONGEST_GENERATION: &str = "kubectl-infer.dev/longest-generation";
/// A workload's own drain window.
pub const DRAIN_WINDOW: &str = "kubectl-infer.dev/drain-window";
/// A workload's own startup budget.
pub const STARTUP_BUDGET: &str = "kubectl-infer.dev/startup-budget";

/// What admission does about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing; the rule does not run.
    Off,
    /// An audit annotation.
    Audit,
    /// A warning to the client.
    Warn,
    /// A refusal.
    Deny,
}

/// What the platform says about one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulePolicy {
    /// What admission does; by default errors and warnings warn, notes are audited.
    pub action: Option<Action>,
    /// Whether it may fix.
    pub fix: bool,
}

/// The baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    rules: BTreeMap<&'static str, RulePolicy>,
    /// How long a generation may take, in seconds.
    pub longest_generation: u32,
    /// How long a pod goes on serving after it was told to go, in seconds.
    pub drain_window: u32,
    /// How long loading may take, in seconds; `None` leaves it to the runtime's entry.
    pub startup_budget: Option<u32>,
    /// What no grace period may exceed, in seconds.
    pub max_grace_period: u32,
}

impl Policy {
    /// The baseline where nobody wrote one.
    ///
    /// The cap of 600 s is Cluster Autoscaler's `--max-graceful-termination-sec`
    /// (kubernetes/autoscaler cluster-autoscaler/FAQ.md): what is longer is cut there.
    pub fn baseline() -> Policy {
        Policy {
            rules: BTreeMap::new(),
            longest_generation: 600,
            drain_window: 60,
            startup_budget: None,
            max_grace_period: 600,
        }
    }

    /// What admission does about a rule.
    pub fn action(&self, rule: &Rule) -> Action {
        let named = self.rules.get(rule.id).and_then(|policy| policy.action);
        named.unwrap_or(match rule.level {
            Level::Error | Level::Warning => Action::Warn,
            Level::Note => Action::Audit,
        })
    }

    /// Whether admission may fix what a rule finds.
    pub fn may_fix(&self, rule: &Rule) -> bool {
        self.rules.get(rule.id).is_none_or(|policy| policy.fix)
    }

    /// Whether any rule denies.
    pub fn denies(&self) -> bool {
        self.rules
            .values()
            .any(|policy| policy.action == Some(Action::Deny))
    }

    /// Sets what is said about one rule.
    pub fn set(&mut self, rule: &'static Rule, policy: RulePolicy) {
        self.rules.insert(rule.id, policy);
    }
}

/// Whether a workload does not want to hear of a rule.
pub fn skips(object: &Value, rule: &Rule) -> bool {
    object::annotation(object, SKIP)
        .is_some_and(|list| list.split(',').any(|name| name.trim() == rule.id))
}

/// A duration that a workload states for itself, in seconds; `None` where it states none that can
/// be read.
pub fn own_seconds(object: &Value, annotation: &str) -> Option<u32> {
    duration::parse(object::annotation(object, annotation)?)?
        .try_into()
        .ok()
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Where, as a JSON pointer.
    pub path: String,
    /// What is wrong, with the value seen and the value wanted.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

/// Reads an `InferencePolicy`.
///
/// # Errors
///
/// Everything that is wrong, not only the first.
pub fn parse(value: &Value) -> Result<Policy, Vec<PolicyError>> {
    let mut policy = Policy::baseline();
    let mut errors = Vec::new();
    let mut error = |path: &str, message: String, help: Option<String>| {
        errors.push(PolicyError {
            path: path.to_owned(),
            message,
            help,
        });
    };
    for (member, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let seen = value
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or("<none>");
        if seen != wanted {
            error(
                &format!("/{member}"),
                format!("`{member}` is `{seen}`, a policy has `{wanted}`"),
                None,
            );
        }
    }
    for (member, _) in value.as_object().into_iter().flatten() {
        if !["apiVersion", "kind", "metadata", "spec"].contains(&member.as_str()) {
            error(
                &format!("/{member}"),
                format!("a policy has no field `{member}`"),
                None,
            );
        }
    }
    for (member, given) in value
        .get("spec")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = format!("/spec/{member}");
        if member == "rules" {
            for problem in read_rules(given, &mut policy) {
                error(&problem.path, problem.message, problem.help);
            }
            continue;
        }
        let known = [
            "longestGeneration",
            "drainWindow",
            "startupBudget",
            "maxGracePeriod",
        ];
        if !known.contains(&member.as_str()) {
            let help = nearest(member, known.into_iter().chain(["rules"]));
            error(&path, format!("`spec` has no field `{member}`"), help);
            continue;
        }
        let Some(seconds) = seconds(given) else {
            error(
                &path,
                format!("`{member}` is `{given}`, which is no duration"),
                Some("write whole seconds or a duration such as `10m` or `1h30m`".to_owned()),
            );
            continue;
        };
        match member.as_str() {
            "longestGeneration" => policy.longest_generation = seconds,
            "drainWindow" => policy.drain_window = seconds,
            "startupBudget" => policy.startup_budget = Some(seconds),
            _ => policy.max_grace_period = seconds,
        }
    }
    if errors.is_empty() {
        Ok(policy)
    } else {
        Err(errors)
    }
}

/// A duration of at most a day: what is longer is a slip of a unit.
fn seconds(value: &Value) -> Option<u32> {
    let seconds = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => duration::parse(text)?,
        _ => return None,
    };
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0 && *seconds <= 86_400)
}

fn read_rules(given: &Value, policy: &mut Policy) -> Vec<PolicyError> {
    let mut errors = Vec::new();
    let mut error = |path: String, message: String, help: Option<String>| {
        errors.push(PolicyError {
            path,
            message,
            help,
        });
    };
    let Some(list) = given.as_array() else {
        error(
            "/spec/rules".to_owned(),
            "`rules` is not a list".to_owned(),
            Some("write `- rule: NAME` items with `action:` and `fix:`".to_owned()),
        );
        return errors;
    };
    for (index, item) in list.iter().enumerate() {
        let path = format!("/spec/rules/{index}");
        let name = item.get("rule").and_then(Value::as_str).unwrap_or_default();
        let Some(rule) = rules::find(name) else {
            let help = nearest(name, rules::ALL.iter().map(|rule| rule.id));
            error(
                format!("{path}/rule"),
                format!("there is no rule `{name}`"),
                help,
            );
            continue;
        };
        let mut entry = RulePolicy {
            action: None,
            fix: true,
        };
        for (member, value) in item.as_object().into_iter().flatten() {
            match (member.as_str(), value) {
                ("rule", _) => {}
                ("action", Value::String(text)) if action(text).is_some() => {
                    entry.action = action(text);
                }
                ("action", other) => error(
                    format!("{path}/action"),
                    format!("`action` is `{other}`"),
                    Some("it is one of `off`, `audit`, `warn`, `deny`".to_owned()),
                ),
                ("fix", Value::Bool(fix)) => entry.fix = *fix,
                ("fix", other) => error(
                    format!("{path}/fix"),
                    format!("`fix` is `{other}`, it is `true` or `false`"),
                    None,
                ),
                (other, _) => {
                    let help = nearest(other, ["rule", "action", "fix"].into_iter());
                    error(
                        format!("{path}/{other}"),
                        format!("a rule has no field `{other}`"),
                        help,
                    );
                }
            }
        }
        policy.set(rule, entry);
    }
    errors
}

fn action(text: &str) -> Option<Action> {
    match text {
        "off" => Some(Action::Off),
        "audit" => Some(Action::Audit),
        "warn" => Some(Action::Warn),
        "deny" => Some(Action::Deny),
        _ => None,
    }
}

/// The name that was probably meant, as a remedy.
pub fn nearest<'a>(seen: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (distance(seen, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3 + 1)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// Edit distance of two short names.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in right.chars().enumerate() {
            let change = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[right.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_read() {
        let policy = parse(&json!({"apiVersion": API_VERSION, "kind": KIND,
            "metadata": {"name": "x"}, "spec": {"longestGeneration": "20m", "drainWindow": 90,
            "rules": [{"rule": "no-readiness-probe", "action": "deny", "fix": false}]}}))
        .unwrap();
        let rule = rules::find("no-readiness-probe").unwrap();
        assert_eq!((policy.longest_generation, policy.drain_window), (1200, 90));
        assert_eq!(policy.action(rule), Action::Deny);
        assert!(!policy.may_fix(rule) && policy.denies());
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_place() {
        let errors = parse(&json!({"apiVersion": "v1", "kind": KIND, "spec": {
            "drainWindow": "soon", "drainWindows": 1, "rules": [
                {"rule": "no-readines-probe"}, {"rule": "body-limit", "action": "warning", "fixx": 1}]}}))
        .unwrap_err();
        let said: Vec<(&str, Option<&str>)> = errors
            .iter()
            .map(|e| (e.path.as_str(), e.help.as_deref()))
            .collect();
        assert_eq!(
            said,
            [
                ("/apiVersion", None),
                (
                    "/spec/drainWindow",
                    Some("write whole seconds or a duration such as `10m` or `1h30m`")
                ),
                ("/spec/drainWindows", Some("did you mean `drainWindow`?")),
                (
                    "/spec/rules/0/rule",
                    Some("did you mean `no-readiness-probe`?")
                ),
                (
                    "/spec/rules/1/action",
                    Some("it is one of `off`, `audit`, `warn`, `deny`")
                ),
                ("/spec/rules/1/fixx", Some("did you mean `fix`?")),
            ]
        );
    }
}
