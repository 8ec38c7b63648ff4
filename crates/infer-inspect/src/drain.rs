//! The drain sheet: what happens to a response under way when a pod is told to go.
//!
//! preStop hooks of a pod's containers and the SIGTERM of those that have none come at once
//! (kubernetes/kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go,
//! `killContainersWithSyncResult`): a sidecar without a hook does not wait for the server's.

use crate::entry::Entry;
use crate::report::{DrainSheet, DrainStep, Reference};
use crate::view::Scene;
use infer_core::catalogue::{OnSigterm, Sidecar};
use infer_core::drain_plan::{DEFAULT_GRACE, written_sleep};
use infer_core::kind::pod_kind_of;
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::server::{Server, servers};
use serde_json::Value;

/// One sheet for each server behind an entry. What the proxy does is added by
/// [`crate::tables`].
pub(crate) fn sheets(scene: &Scene<'_>, entry: &Entry<'_>) -> Vec<DrainSheet> {
    let mut found = Vec::new();
    for workload in entry.workloads(scene) {
        let Some(kind) = pod_kind_of(workload) else {
            continue;
        };
        let Some(template) = workload.at(kind.template) else {
            continue;
        };
        for server in servers(scene.world.catalogue, template, kind.template) {
            found.push(sheet(scene, workload, template, &server));
        }
    }
    found
}

/// What a sidecar does at SIGTERM.
pub(crate) struct SidecarDrain<'a> {
    /// What it is.
    pub(crate) sidecar: &'a Sidecar,
    /// So many seconds after SIGTERM it goes.
    pub(crate) seconds: u64,
    /// What sets that.
    pub(crate) source: String,
    /// Whether an annotation does.
    pub(crate) written: bool,
}

/// The sidecars that are declared for a template and go before the server.
pub(crate) fn sidecars<'a>(
    scene: &Scene<'a>,
    workload: &Value,
    template: &Value,
) -> Vec<SidecarDrain<'a>> {
    let namespace = scene.world.reader.namespace(object::namespace(workload));
    let catalogue = scene.world.catalogue;
    let declared = catalogue
        .sidecars
        .iter()
        .filter(|sidecar| sidecar.declared(template, namespace).is_some());
    let drains = declared.map(|sidecar| {
        let own = object::annotation(template, &sidecar.annotation);
        match own.and_then(|own| sidecar.waits(own)) {
            Some(seconds) => SidecarDrain {
                sidecar,
                seconds,
                source: format!("annotation {}", sidecar.annotation),
                written: true,
            },
            None => SidecarDrain {
                sidecar,
                seconds: u64::from(sidecar.default_seconds),
                source: format!("default of {}", sidecar.title),
                written: false,
            },
        }
    });
    drains.collect()
}

fn sheet(scene: &Scene<'_>, workload: &Value, template: &Value, server: &Server<'_>) -> DrainSheet {
    let container = workload.at(&server.path).unwrap_or(&Value::Null);
    let grace_written = template
        .at("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_u64);
    let grace = grace_written.unwrap_or(u64::from(DEFAULT_GRACE));
    let has_hook = container
        .at("/lifecycle/preStop")
        .is_some_and(|hook| !hook.is_null());
    let sleep = match has_hook {
        false => Some(0),
        true => written_sleep(container).map(u64::from),
    };
    let drain = &server.runtime.drain;
    let serves = u64::from(server.serves_after_sigterm());
    let mut steps = Vec::new();
    let mut step = |who: &str, does: String| {
        steps.push(DrainStep {
            who: who.to_owned(),
            does,
        });
    };
    step(
        "preStop",
        match (has_hook, sleep) {
            (false, _) => "none: SIGTERM comes at once".to_owned(),
            (true, Some(seconds)) => format!("sleeps {}", short(seconds)),
            (true, None) => "a hook whose length cannot be read".to_owned(),
        },
    );
    step(
        "grace",
        match grace_written {
            Some(_) => format!("{}, preStop included, then SIGKILL", short(grace)),
            None => format!("{} (the API's default), then SIGKILL", short(grace)),
        },
    );
    let mut does = format!("{} {}", server.runtime.name, drain.explanation);
    if serves > 0 {
        does.push_str(&format!(
            "; its arguments let it serve on for {}",
            short(serves)
        ));
    }
    step("runtime", does);
    let sidecars = sidecars(scene, workload, template);
    if sidecars.is_empty() {
        step("sidecar", "none that would go first".to_owned());
    }
    for it in &sidecars {
        let after = short(it.seconds);
        let does = format!(
            "{} goes {after} after SIGTERM ({})",
            it.sidecar.title, it.source
        );
        step("sidecar", does);
    }
    // After SIGTERM the server goes on for as long as it says, or to the end of the grace.
    let served = match (sleep, drain.on_sigterm) {
        (Some(_), OnSigterm::Finish) => Some(grace),
        (Some(_), OnSigterm::Unknown) if serves == 0 => None,
        (Some(sleep), _) => Some(sleep + serves),
        (None, _) => None,
    };
    let mut limits: Vec<(u64, String)> = vec![(grace, "the grace period".to_owned())];
    limits.extend(sidecars.iter().map(|it| {
        (
            it.seconds,
            format!("the {} sidecar, which goes first", it.sidecar.title),
        )
    }));
    let (end, bound_by) = limits
        .into_iter()
        .min_by_key(|(seconds, _)| *seconds)
        .unwrap_or((grace, String::new()));
    let (window, bound_by) = match served {
        Some(served) if served <= end => {
            let by = match (has_hook, serves) {
                (false, 0) => format!("SIGTERM: {} {}", server.runtime.name, drain.explanation),
                (true, 0) => "the end of the preStop".to_owned(),
                _ => "the server's own drain".to_owned(),
            };
            (Some(served), by)
        }
        Some(_) => (Some(end), bound_by),
        None => (
            None,
            format!("unknown; {} at most, by {bound_by}", short(end)),
        ),
    };
    DrainSheet {
        workload: Reference::of(workload),
        container: server.name.clone(),
        runtime: server.runtime.name.clone(),
        steps,
        cut: cut(window),
        window_seconds: window,
        bound_by,
    }
}

/// What a window of so many seconds cuts.
pub(crate) fn cut(window: Option<u64>) -> String {
    match window {
        Some(0) => "every response under way, at once".to_owned(),
        Some(seconds) => format!("what is still under way after {}", short(seconds)),
        None => "cannot be said".to_owned(),
    }
}

/// `0s`, `90s`, `10m`, `1h`: seconds where they are no whole minutes, and below two minutes.
pub fn short(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) && seconds < 3600 => format!("{}m", seconds / 60),
        _ if seconds >= 3600 && seconds.is_multiple_of(60) => {
            format!("{}h{}m", seconds / 3600, seconds / 60 % 60)
        }
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0, "0s"),
            (15, "15s"),
            (90, "90s"),
            (60, "60s"),
            (600, "10m"),
            (601, "601s"),
            (3600, "1h"),
            (5400, "1h30m"),
        ] {
            assert_eq!(short(seconds), text);
        }
    }
}
