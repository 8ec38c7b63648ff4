//! What the cluster holds, kept by watches.

use crate::error::Error;
use crate::render::Objects;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::reflector::{Lookup, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Time to connect to the API server.
const CONNECT: Duration = Duration::from_secs(5);
/// Time without a byte from the API server. A quiet watch carries a bookmark about every minute
/// (kubernetes/apiserver `pkg/storage/cacher`, `bookmarkFrequency`).
const READ: Duration = Duration::from_secs(120);
/// For the first lists.
const LIST: Duration = Duration::from_secs(60);

/// A client from a kubeconfig, else from the pod's service account. It makes no request yet.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let config = async {
        match kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|it| chain(&it))?;
                let options = KubeConfigOptions::default();
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
                config.map_err(|it| chain(&it))
            }
            None => Config::incluster().map_err(|it| chain(&it)),
        }
    };
    let mut config = config.await.map_err(Error::Client)?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    // Else the time that a kept connection was idle counts against the next answer on it.
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|it| Error::Client(chain(&it)))
}

/// Three watches. They end when this is dropped.
pub(crate) struct Cluster {
    ingresses: Store<Ingress>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    changed: Arc<Notify>,
    _watches: JoinSet<()>,
}

impl Cluster {
    /// Starts the watches.
    pub(crate) fn watch(client: &Client) -> Cluster {
        let changed = Arc::new(Notify::new());
        let mut watches = JoinSet::new();
        Cluster {
            ingresses: follow(client, &changed, &mut watches),
            services: follow(client, &changed, &mut watches),
            slices: follow(client, &changed, &mut watches),
            changed,
            _watches: watches,
        }
    }

    /// Waits for the first lists.
    pub(crate) async fn listed(&self) -> Result<(), Error> {
        listed(&self.ingresses, "ingresses").await?;
        listed(&self.services, "services").await?;
        listed(&self.slices, "endpointslices").await
    }

    /// Waits until something changed since the last time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is there.
    pub(crate) fn objects(&self) -> Objects {
        Objects {
            ingresses: self.ingresses.state(),
            services: self.services.state(),
            slices: self.slices.state(),
        }
    }
}

async fn listed<K>(store: &Store<K>, resource: &'static str) -> Result<(), Error>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let ready = tokio::time::timeout(LIST, store.wait_until_ready()).await;
    match ready {
        Ok(Ok(())) => Ok(()),
        _ => Err(Error::NotListed {
            resource,
            seconds: LIST.as_secs(),
        }),
    }
}

fn follow<K>(client: &Client, changed: &Arc<Notify>, watches: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (reader, writer) = store();
    let api = Api::<K>::all(client.clone());
    let changed = changed.clone();
    watches.spawn(async move {
        // The default backoff: 0.8 s, doubling up to 30 s, with jitter.
        let events = watcher(api, watcher::Config::default())
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer);
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Ok(_) => changed.notify_one(),
                Err(error) => {
                    let resource = K::plural(&());
                    tracing::warn!(%resource, error = chain(&error), "watch failed, tried again");
                }
            }
        }
    });
    reader
}

/// An error with its causes on one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
