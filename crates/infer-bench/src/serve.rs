//! The server under test: the webhook's own server library, with the engine or with a constant.
//!
//! Both are this one program, so that nothing but the review differs: same code generation, same
//! allocator, same parse.

use crate::corpus::{Corpus, REVIEWS};
use crate::error::{Error, Result};
use infer_cluster::Store;
use infer_core::Engine;
use infer_webhook::bounds::Bounds;
use infer_webhook::metrics::Metrics;
use infer_webhook::readiness::Readiness;
use infer_webhook::reviewer::{ConstantPatch, EngineReview};
use infer_webhook::routes::router;
use infer_webhook::server::{Server, Stop};
use infer_webhook::tls::Certificates;
use serde_json::json;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serve reviews until stdin ends
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Answer every review with one patch
    #[arg(long)]
    floor: bool,
    #[arg(long)]
    tls_cert_file: PathBuf,
    #[arg(long)]
    tls_private_key_file: PathBuf,
}

/// Four operations of the size that a review makes: the floor of `admission.md` §2d.
fn constant() -> Result<json_patch::Patch> {
    let container = "/spec/template/spec/containers/0";
    let probe = json!({"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"},
        "periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 3});
    let operations = json!([
        {"op": "add", "path": format!("{container}/readinessProbe"), "value": probe},
        {"op": "add", "path": format!("{container}/lifecycle"),
            "value": {"preStop": {"sleep": {"seconds": 60}}}},
        {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 70},
        {"op": "add", "path": "/metadata/annotations/bench.example.com~1constant", "value": "true"},
    ]);
    serde_json::from_value(operations).map_err(Error::of("making the constant patch"))
}

/// Runs it; says on stderr where it listens.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(Error::io("starting tokio"))?;
    runtime.block_on(serve(arguments))?;
    runtime.shutdown_background();
    Ok(())
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let certificates =
        Certificates::load(&arguments.tls_cert_file, &arguments.tls_private_key_file)
            .map_err(Error::of("reading the bench's certificate"))?;
    let tls = Arc::new(certificates)
        .server_config()
        .map_err(Error::of("setting up TLS"))?;
    let (bounds, metrics) = (Bounds::default(), Arc::new(Metrics::default()));
    let readiness = Arc::new(Readiness::default());
    let router = if arguments.floor {
        router(ConstantPatch(constant()?), &bounds, &metrics, &readiness)
    } else {
        let engine = Engine::builtin();
        let store = Store::of(Corpus::new(&engine, REVIEWS).snapshot);
        router(
            EngineReview::new(engine, store),
            &bounds,
            &metrics,
            &readiness,
        )
    };
    let doing = "listening on 127.0.0.1";
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(Error::io(doing))?;
    let address = listener.local_addr().map_err(Error::io(doing))?;
    let said = json!({ "address": address.to_string() });
    writeln!(std::io::stderr(), "{said}").map_err(Error::io("saying where we listen"))?;
    let server = Server {
        listener,
        tls,
        router,
        bounds,
        metrics,
        readiness,
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Its end is all that matters.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = stop.send(Stop::Now);
    });
    server
        .run(async { stopped.await.unwrap_or(Stop::Now) })
        .await;
    Ok(())
}
