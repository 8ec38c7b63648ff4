//! One watch, for ever: what breaks is tried again, what is forbidden is said once.

use crate::client::chain;
use crate::mirror::Mirror;
use crate::resource::Resource;
use crate::store::{State, Store};
use futures::StreamExt;
use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use std::time::Duration;

/// How long to wait after an answer that will not change by itself.
const SLOWLY: Duration = Duration::from_secs(60);

/// Keeps the store equal to one resource of the cluster.
pub(crate) async fn follow(store: Store, client: kube::Client, resource: &'static Resource) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource.api());
    let mut mirror = Mirror::new(store.clone(), resource);
    loop {
        // The default backoff: 0.8 s, doubling up to 30 s, with jitter.
        let events = watcher(api.clone(), watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => mirror.apply(event),
                Err(error) => {
                    if failed(&store, resource, &error) {
                        break;
                    }
                }
            }
        }
        // A watch that starts anew lists anew: so the store knows when it is whole again.
        tokio::time::sleep(SLOWLY).await;
    }
}

/// Takes note of an error; true where trying again at once is pointless.
fn failed(store: &Store, resource: &'static Resource, error: &watcher::Error) -> bool {
    let (cause, code) = match error {
        watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause) => {
            match cause {
                // Its own Display prints the whole `Status`.
                kube::Error::Api(status) => (status.message.clone(), Some(status.code)),
                other => (chain(other), None),
            }
        }
        // A watch ends every few minutes (410 Gone included) and is taken up again.
        other => {
            tracing::debug!(resource = %resource.name(), error = %chain(other), "watch ended");
            return false;
        }
    };
    let lasting = matches!(code, Some(401 | 403 | 404));
    let known = store
        .watches()
        .into_iter()
        .find(|(it, _)| *it == resource)
        .map(|(_, it)| it);
    let state = match known {
        // Without a definite answer the data may be young still, and nobody hears of a recovery.
        Some(State::Synced) if !lasting => State::Synced,
        Some(State::Synced | State::Stale(_)) => State::Stale(cause.clone()),
        _ => State::Missing(cause.clone()),
    };
    let before = store.set_state(resource, state.clone());
    if before == state {
        tracing::debug!(resource = %resource.name(), error = cause, "still cannot be watched");
    } else if matches!(code, Some(401 | 403)) {
        tracing::warn!(
            resource = %resource.name(),
            error = cause,
            add_to_cluster_role = resource.rbac(),
            "may not be watched: rules that need it are skipped",
        );
    } else {
        tracing::warn!(
            resource = %resource.name(),
            error = cause,
            "cannot be watched: rules that need it are skipped",
        );
    }
    lasting
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::kind::{Kind, KindSet};
    use infer_core::snapshot::Snapshot;
    use kube::core::Status;

    fn refused(code: u16) -> watcher::Error {
        let status = Status {
            code,
            message: format!("refused {code}"),
            ..Status::default()
        };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_missing_permission_settles_the_store_and_leaves_the_kind_unknown() {
        let store = Store::with(Snapshot::default(), KindSet::of(&[Kind::Service]));
        let [(resource, State::Loading)] = store.watches()[..] else {
            panic!("one watch")
        };
        assert!(!store.is_settled());
        assert!(
            failed(&store, resource, &refused(403)),
            "no use in trying at once"
        );
        assert!(store.is_settled() && !store.is_synced(Kind::Service));
        assert!(!store.read().known().contains(Kind::Service));
        assert!(matches!(store.watches()[0].1, State::Missing(ref why) if why.contains("403")));
        assert!(resource.rbac().contains(r#"resources: ["services"]"#));
    }

    #[test]
    fn what_was_known_stays_when_the_watch_is_refused_later() {
        let store = Store::with(Snapshot::default(), KindSet::of(&[Kind::Service]));
        let resource = store.watches()[0].0;
        let mut mirror = Mirror::new(store.clone(), resource);
        mirror.apply(watcher::Event::Init);
        mirror.apply(watcher::Event::InitDone);
        assert!(
            !failed(&store, resource, &refused(500)),
            "the backoff tries again"
        );
        assert!(store.is_synced(Kind::Service));
        assert!(failed(&store, resource, &refused(403)));
        assert!(matches!(store.watches()[0].1, State::Stale(_)));
        assert!(store.read().known().contains(Kind::Service), "last good");
    }
}
