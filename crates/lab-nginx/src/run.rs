//! The program: watch, settle, load, report; for ever.

use crate::cluster::{self, Cluster};
use crate::error::Error;
use crate::forms::Forms;
use crate::name::Name;
use crate::nginx::Nginx;
use crate::options::Options;
use crate::render::{Objects, Rendered, Settings};
use crate::report::Report;
use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tracing_subscriber::EnvFilter;

/// How long changes gather before one rendering. ingress-nginx: at most 0.3 syncs a second
/// (`pkg/flags/flags.go`, `--sync-rate-limit`), that is 3.3 s; the lab is faster so that tests are.
const GATHER: Duration = Duration::from_millis(100);
/// After a round that did not succeed.
const AGAIN: Duration = Duration::from_secs(5);
/// kube repeats each failure that we tell once, and at length.
const LOG: &str = "warn,lab_nginx=info,kube_client=off,kube_runtime=off";

/// Runs the program with the arguments of this process; ends at SIGTERM or SIGINT.
pub fn run() -> ExitCode {
    let options = Options::parse();
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(serve(&options)),
        Err(error) => Err(Error::Signals(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // An error means that a log is there already, as in a test.
    let _ = log.try_init();
}

async fn serve(options: &Options) -> Result<(), Error> {
    let mut stop = Stop::new()?;
    let settings = options.settings();
    let client = cluster::connect(options.kubeconfig.as_deref()).await?;
    let mut controller = Controller {
        nginx: Nginx::new(&options.nginx, &settings)?,
        forms: Forms::default(),
        loaded: None,
        report: Report::new(client.clone(), options.publish_address),
        settings,
    };
    let cluster = Cluster::watch(&client);
    let ended = tokio::select! {
        () = stop.asked() => Ok(()),
        ended = controller.follow(&cluster) => ended,
    };
    drop(cluster);
    if let Some(status) = controller.nginx.stop().await {
        tracing::info!(%status, "NGINX ended");
    }
    ended
}

struct Controller {
    nginx: Nginx,
    forms: Forms,
    /// What NGINX runs.
    loaded: Option<Rendered>,
    report: Report,
    settings: Settings,
}

impl Controller {
    async fn follow(&mut self, cluster: &Cluster) -> Result<(), Error> {
        cluster.listed().await?;
        loop {
            let again = match self.round(cluster.objects()).await {
                Ok(true) => None,
                Ok(false) => Some(AGAIN),
                // Without a first configuration there is nothing that could stay.
                Err(error) if self.loaded.is_none() => return Err(error),
                Err(error) => {
                    tracing::error!("{error}");
                    Some(AGAIN)
                }
            };
            tokio::select! {
                error = self.nginx.ended() => return Err(error),
                () = cluster.changed() => sleep(GATHER).await,
                () = after(again) => {}
            }
        }
    }

    /// Brings NGINX and the cluster's view of it up to `objects`; false where the cluster could
    /// not be told.
    async fn round(&mut self, objects: Objects) -> Result<bool, Error> {
        let nginx = &self.nginx;
        let mut judge = async |rendered: &Rendered| nginx.test(rendered).await;
        let settled = self
            .forms
            .settle(&objects, &self.settings, &mut judge)
            .await?;
        let Rendered { text, digest, .. } = &settled.rendered;
        if self.loaded.as_ref().is_none_or(|it| it.text != *text) {
            self.nginx.load(&settled.rendered).await?;
            let ingresses = settled.rendered.served.len();
            tracing::info!(configuration = digest, ingresses, "loaded");
            self.loaded = Some(settled.rendered.clone());
        }
        self.report
            .refused(&objects.ingresses, &settled.refused)
            .await;
        let is_served = |name: &Name| {
            settled.rendered.served.contains(name) && !settled.refused.contains_key(name)
        };
        let mut served = objects.ingresses;
        served.retain(|it| is_served(&Name::of(it)));
        Ok(self.report.served(&served).await)
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Stop, Error> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate()).map_err(Error::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(Error::Signals)?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}
