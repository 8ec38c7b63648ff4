//! The log on stderr: for people on a terminal, JSON elsewhere. Never the content of an object.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// kube repeats each failure that `infer_cluster` tells once, and at length.
const QUIET: &str = "warn,infer_webhook=info,infer_cluster=info,kube_client=off,kube_runtime=off";

/// Starts the log. `RUST_LOG` chooses what is said; by default our own `info` and others' `warn`.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // An error means that a log is there already, as in a test.
    let _ = if std::io::stderr().is_terminal() {
        log.try_init()
    } else {
        log.json().flatten_event(true).with_target(false).try_init()
    };
    std::panic::set_hook(Box::new(|panic| {
        // A message that was made at run time may quote an object; a literal cannot.
        let message = panic.payload().downcast_ref::<&str>().copied();
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, message = message.unwrap_or("(withheld)"), "panic");
    }));
}
