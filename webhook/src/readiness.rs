//! Whether the API server should send reviews here.

use axum::http::StatusCode;
use infer_cluster::{State, Store};
use infer_core::kind::Kind;
use infer_core::review::{Skipped, skipped};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Whether the server is on its way in or out.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    waiting: RwLock<Option<String>>,
}

impl Readiness {
    /// From now on `/readyz` says no and each answer closes its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// From now on `/readyz` says no for this reason; with `None`, as without one.
    pub(crate) fn wait_for(&self, reason: Option<String>) {
        *self.waiting.write().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn waiting(&self) -> Option<String> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        waiting.clone()
    }

    /// Whether [`Readiness::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// The answer of `/readyz`, with what is missing. A watch that may not be read does not make the
/// webhook unready: rules that need it are skipped, and the others go on.
pub(crate) fn ready_text(readiness: &Readiness, store: Option<&Store>) -> (StatusCode, String) {
    if readiness.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if let Some(reason) = readiness.waiting() {
        let text = format!("waiting: {reason}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let loading = store.is_some_and(|store| !store.is_settled());
    let code = if loading {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let mut text = if loading { "loading\n" } else { "ready\n" }.to_owned();
    text.push_str(&store.map(missing_text).unwrap_or_default());
    (code, text)
}

/// Watches that are not in step, and the rules that are skipped, a line each.
pub(crate) fn missing_text(store: &Store) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (resource, state) in store.watches() {
        let _ = match state {
            State::Synced => Ok(()),
            State::Loading => writeln!(text, "loading {}", resource.name()),
            State::Missing(why) => writeln!(text, "missing {}: {why}", resource.name()),
            State::Stale(why) => writeln!(text, "stale {}: {why}", resource.name()),
        };
    }
    let known = store.read().known();
    // What admission never reads is no lack of it: those rules are for `check` and `inspect`.
    let ours = |it: &Skipped| Kind::AT_ADMISSION.contains(it.needs);
    for skipped in skipped(known).into_iter().filter(ours) {
        let _ = writeln!(
            text,
            "skipped {}: needs {}",
            skipped.rule,
            skipped.needs.with_article()
        );
    }
    text
}
