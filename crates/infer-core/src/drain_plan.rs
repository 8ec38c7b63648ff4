//! The drain plan of a workload's servers: what is written there, and what [`crate::drain`] makes
//! of it.

use crate::drain::{self, Needs, Plan};
use crate::lens::Workload;
use crate::pointer::Walk;
use crate::policy::Policy;
use crate::server::Server;
use serde_json::{Value, json};

/// The API's default for `terminationGracePeriodSeconds` (kubernetes/kubernetes
/// pkg/apis/core/v1/defaults.go).
pub const DEFAULT_GRACE: u32 = 30;

/// The plan for a server of this workload.
pub fn plan(policy: &Policy, workload: &Workload<'_>, server: &Server<'_>) -> Plan {
    let member = "terminationGracePeriodSeconds";
    let default = workload
        .written
        .is_default(&workload.spec(member), &json!(DEFAULT_GRACE));
    let written = workload.spec_seconds(member).unwrap_or(DEFAULT_GRACE);
    drain::plan(Needs {
        window: workload.drain_window(policy),
        serves: server.serves_after_sigterm(),
        cap: policy.max_grace_period,
        written_grace: (!default).then_some(written),
    })
}

/// How long a container's preStop sleeps, where it has one that sleeps and nothing else: the
/// `sleep` action, or `sleep N` in exec form or in a shell.
pub fn written_sleep(container: &Value) -> Option<u32> {
    let hook = container.at("/lifecycle/preStop")?;
    if let Some(seconds) = hook.at("/sleep/seconds").and_then(Value::as_u64) {
        return seconds.try_into().ok();
    }
    let command = hook.at("/exec/command")?.as_array()?;
    let words: Vec<&str> = command
        .iter()
        .filter_map(Value::as_str)
        .flat_map(str::split_whitespace)
        .collect();
    let words = match words.as_slice() {
        [shell, flag, rest @ ..] if shell.ends_with("sh") && flag.ends_with('c') => rest,
        words => words,
    };
    match words {
        [program, seconds] if program.rsplit('/').next() == Some("sleep") => {
            seconds.trim_end_matches('s').parse().ok()
        }
        _ => None,
    }
}

/// How long a server of this workload drains: its own preStop's sleep, or the planned one, and what
/// it serves after SIGTERM. `None` where its preStop cannot be read.
pub fn drain_seconds(policy: &Policy, workload: &Workload<'_>, server: &Server<'_>) -> Option<u32> {
    let container = workload.container(server);
    let has_hook = container
        .at("/lifecycle/preStop")
        .is_some_and(|hook| !hook.is_null());
    let sleep = if has_hook {
        written_sleep(container)?
    } else {
        plan(policy, workload, server).sleep.unwrap_or(0)
    };
    Some(sleep.saturating_add(server.serves_after_sigterm()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_only_sleeps_is_read() {
        let slept = |hook: Value| written_sleep(&json!({"lifecycle": {"preStop": hook}}));
        assert_eq!(slept(json!({"sleep": {"seconds": 20}})), Some(20));
        assert_eq!(
            slept(json!({"exec": {"command": ["/bin/sleep", "10"]}})),
            Some(10)
        );
        assert_eq!(
            slept(json!({"exec": {"command": ["sh", "-c", "sleep 10"]}})),
            Some(10)
        );
        assert_eq!(
            slept(json!({"exec": {"command": ["sh", "-c", "sleep 10 && x"]}})),
            None
        );
        assert_eq!(slept(json!({"httpGet": {"port": 1}})), None);
    }
}
