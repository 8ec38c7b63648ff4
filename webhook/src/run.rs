//! The program: arguments, start, signals, exit code.

use crate::args::{Args, SecretName};
use crate::authority;
use crate::bounds::Bounds;
use crate::metrics::Metrics;
use crate::policy_file::{self, PolicyFileError};
use crate::readiness::{Readiness, missing_text};
use crate::registrar::{self, Registrar};
use crate::reviewer::{self, EngineReview};
use crate::routes::router;
use crate::server::{Server, Stop};
use crate::tls::{self, Certificates, Served, TlsError};
use clap::Parser;
use infer_cluster::registration::Registrations;
use infer_cluster::{Client, ClientError, Store};
use infer_core::Engine;
use infer_core::catalogue::Catalogue;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often start-up looks whether the store has settled.
const SETTLING: Duration = Duration::from_millis(100);

/// Why the webhook does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("TLS cannot be set up: {0}")]
    Protocols(#[from] rustls::Error),
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    #[error(transparent)]
    Cluster(#[from] ClientError),
    #[error(
        "--certificate-secret needs a cluster, and this is no pod\n  \
         = help: give --kubeconfig FILE, or certificates of your own by --tls-cert-file and \
         --tls-private-key-file"
    )]
    NoCluster,
    #[error(transparent)]
    Certificate(#[from] authority::MakeError),
    #[error(
        "cannot listen on {address}: {source}\n  \
         = help: wanted HOST:PORT of this machine with a free port, such as 0.0.0.0:8443"
    )]
    Listen { address: String, source: io::Error },
    #[error("{what} cannot be set up: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },
}

/// Runs the program with the process's arguments. Exit codes: 0 after SIGTERM or SIGINT, and for
/// `--help`; 1 where it cannot start, wrong usage included.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A closed stderr leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    crate::logging::start();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<(), StartError> {
    let runtime = tokio::runtime::Runtime::new().map_err(|source| StartError::System {
        what: "the runtime",
        source,
    })?;
    let result = runtime.block_on(serve(args));
    // Watches and whatever did not end in time are cut.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Args) -> Result<(), StartError> {
    let policy = args.policy.as_deref().map(policy_file::read).transpose()?;
    let engine = match policy {
        Some(policy) => Engine::new(Catalogue::builtin(), policy),
        None => Engine::builtin(),
    };
    let signals = Signals::install().map_err(|source| StartError::System {
        what: "signal handling",
        source,
    })?;
    let client = client(args).await?;
    let readiness = Arc::new(Readiness::default());
    let certificates = certificates(args, client.as_ref(), &readiness)?;
    let tls = certificates.server_config()?;
    let store = store(client.as_ref());
    let listen = |source| StartError::Listen {
        address: args.listen.clone(),
        source,
    };
    let listener = TcpListener::bind(&args.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    tokio::spawn(say_what_is_skipped(store.clone()));
    let review = EngineReview::new(engine, store);
    let (bounds, metrics) = (Bounds::default(), Arc::new(Metrics::default()));
    let router = router(review, &bounds, &metrics, &readiness);
    certificates.keep();
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    let server = Server {
        listener,
        tls,
        router,
        bounds,
        metrics,
        readiness,
    };
    server.run(signals.stop()).await;
    tracing::info!("stopped");
    Ok(())
}

async fn client(args: &Args) -> Result<Option<Client>, StartError> {
    if args.kubeconfig.is_none() && !infer_cluster::is_in_cluster() {
        return Ok(None);
    }
    Ok(Some(
        infer_cluster::connect(args.kubeconfig.as_deref()).await?,
    ))
}

fn store(client: Option<&Client>) -> Store {
    let Some(client) = client else {
        tracing::warn!("no cluster: give --kubeconfig FILE for the rules that are skipped");
        return Store::offline();
    };
    Store::start(client, reviewer::reads())
}

/// Where certificates come from.
enum Source {
    Files(Arc<Certificates>),
    Own(Arc<Served>, Box<Registrar>),
}

fn certificates(
    args: &Args,
    client: Option<&Client>,
    readiness: &Arc<Readiness>,
) -> Result<Source, StartError> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert_file, &args.tls_private_key_file) {
        let certificates = Certificates::load(certificate, key)?;
        return Ok(Source::Files(Arc::new(certificates)));
    }
    // The command line has one or the other.
    let (Some(secret), Some(service)) = (&args.certificate_secret, &args.service) else {
        return Err(StartError::NoCluster);
    };
    let client = client.ok_or(StartError::NoCluster)?;
    let SecretName { namespace, name } = secret.clone();
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    // The API server asks for the first (kubernetes/apiserver pkg/util/webhook/client.go).
    let names = vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    let placeholder = authority::placeholder(&names, registrar::now())?;
    let served = Arc::new(Served::new(placeholder));
    let registrations = Registrations::new(
        client.clone(),
        namespace,
        name,
        service.clone(),
        args.register.clone(),
    );
    let registrar = Registrar::new(
        registrations,
        names,
        Arc::clone(&served),
        Arc::clone(readiness),
    );
    Ok(Source::Own(served, Box::new(registrar)))
}

impl Source {
    fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        match self {
            Source::Files(certificates) => certificates.server_config(),
            Source::Own(served, _) => served.server_config(),
        }
    }

    /// Keeps them fresh from now on.
    fn keep(self) {
        match self {
            Source::Files(certificates) => tokio::spawn(certificates.keep_fresh(tls::RELOAD)),
            Source::Own(_, registrar) => tokio::spawn(registrar.run()),
        };
    }
}

/// Names the rules that are skipped, once it is clear what can be seen.
async fn say_what_is_skipped(store: Store) {
    while !store.is_settled() {
        tokio::time::sleep(SETTLING).await;
    }
    // The watches have told themselves what they miss.
    let text = missing_text(&store);
    for line in text.lines().filter(|line| line.starts_with("skipped ")) {
        tracing::warn!("{line}");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The first signal. A second one ends the process at once.
    async fn stop(mut self) -> Stop {
        let stop = self.next().await;
        tracing::info!(?stop, "asked to stop");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(1);
        });
        stop
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            // From a kubelet: the cluster still sends reviews for a moment.
            _ = self.terminate.recv() => Stop::Gently,
            // From a person at a terminal.
            _ = self.interrupt.recv() => Stop::Now,
        }
    }
}
