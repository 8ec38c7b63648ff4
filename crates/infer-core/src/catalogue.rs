//! What is known about runtimes, controllers and sidecars: data, one file each under `catalogue/`.
//!
//! The same schema is read from a platform's own files, so nothing here may assume that an entry
//! is built in. Rules ask the catalogue; no rule names an entry.

mod controller;
mod runtime;
mod sidecar;

pub use controller::{
    BodyLimit, Buffering, CanaryIngress, ClassBy, Controller, DrainAt, HttpRouteSupport,
    IgnoredHow, Proxy, Replay, Retired, Retries, Setting, Timer, TimerField, TimerRole, Unit,
    Unreadable, WithoutClass, nginx_size,
};
pub use runtime::{
    Gpu, GpuCount, GpuEvidence, GpuRole, Health, Host, Model, ModelIs, OnSigterm, Port, Runtime,
    Scaffold, Smoke, SmokeModel,
};
pub use sidecar::{Conflict, Declared, Mark, Sidecar};

use serde::Deserialize;
use serde_json::Value;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// How well a fact is known. Fixes rest on the first two.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Seen on the real thing.
    Run,
    /// Read in its source.
    SourceRead,
    /// Good enough to explain, not to change anything.
    ExplainOnly,
}

impl Tier {
    /// Whether a fix may rest on facts of this tier.
    pub fn carries_fixes(self) -> bool {
        self != Tier::ExplainOnly
    }
}

/// Every runtime, controller and sidecar that the engine knows.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Inference servers.
    pub runtimes: Vec<Runtime>,
    /// Ingress controllers.
    pub controllers: Vec<Controller>,
    /// Proxies that a mesh puts beside the server.
    pub sidecars: Vec<Sidecar>,
}

/// The catalogue's version: this crate's, and a digest of the data, so that it changes with any
/// change of a fact. Every record carries it.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "+",
    env!("INFER_CATALOGUE_DIGEST")
);

impl Catalogue {
    /// The catalogue that is compiled in.
    pub fn builtin() -> Catalogue {
        Catalogue {
            runtimes: load(RUNTIMES),
            controllers: load(CONTROLLERS),
            sidecars: load(SIDECARS),
        }
    }
}

/// The entry of a runtime as its file says it; `None` where there is none of this name.
pub fn runtime_document(name: &str) -> Option<Value> {
    document(RUNTIMES, name)
}

/// The entry of a controller as its file says it; `None` where there is none of this name.
pub fn controller_document(name: &str) -> Option<Value> {
    document(CONTROLLERS, name)
}

fn document(files: &[(&str, &str)], name: &str) -> Option<Value> {
    let is_of = |file: &str| file.strip_suffix(".yaml") == Some(name);
    let (_, text) = files.iter().find(|(file, _)| is_of(file))?;
    serde_json::from_str(text).ok()
}

/// Parses embedded entries. A test loads every one of them, so that a broken entry fails there.
fn load<T: for<'a> Deserialize<'a>>(files: &[(&str, &str)]) -> Vec<T> {
    files
        .iter()
        .map(|(file, text)| match serde_json::from_str(text) {
            Ok(entry) => entry,
            Err(error) => panic!("catalogue/{file}: {error}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_loads_has_sources_and_its_file_s_name() {
        let catalogue = Catalogue::builtin();
        let names = |files: &[(&str, &str)]| -> Vec<String> {
            files
                .iter()
                .map(|(file, _)| file.trim_end_matches(".yaml").to_owned())
                .collect()
        };
        let runtimes: Vec<_> = catalogue
            .runtimes
            .iter()
            .map(|entry| entry.name.clone())
            .collect();
        assert_eq!(runtimes, names(RUNTIMES));
        let controllers: Vec<_> = catalogue
            .controllers
            .iter()
            .map(|entry| entry.name.clone())
            .collect();
        assert_eq!(controllers, names(CONTROLLERS));
        let sidecars: Vec<_> = catalogue
            .sidecars
            .iter()
            .map(|entry| entry.name.clone())
            .collect();
        assert_eq!(sidecars, names(SIDECARS));
        assert!(
            catalogue
                .runtimes
                .iter()
                .all(|entry| !entry.sources.is_empty())
        );
        assert!(
            catalogue
                .controllers
                .iter()
                .all(|entry| !entry.sources.is_empty())
        );
        assert!(
            catalogue
                .sidecars
                .iter()
                .all(|entry| !entry.sources.is_empty())
        );
    }

    #[test]
    fn every_smoke_request_is_an_object_that_says_nothing_twice() {
        for runtime in Catalogue::builtin().runtimes {
            let (name, smoke) = (&runtime.name, &runtime.smoke);
            let body: Value = serde_json::from_str(&smoke.body).unwrap();
            let body = body.as_object().unwrap_or_else(|| panic!("{name}: {body}"));
            assert!(
                smoke.path.starts_with('/') && !smoke.source.is_empty(),
                "{name}"
            );
            // What the client sets is not there already.
            assert!(!body.contains_key(&smoke.stream_field), "{name}");
            assert!(body[&smoke.tokens_field].is_u64(), "{name}");
            if let Some(model) = &smoke.model {
                assert!(!body.contains_key(&model.field), "{name}");
                assert!(model.list.starts_with('/'), "{name}");
            }
        }
    }
}
