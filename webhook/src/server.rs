//! The listener: TLS, connections and their end.

use crate::bounds::Bounds;
use crate::connection::Guarded;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::throttle::Throttle;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

/// Most that hyper buffers of a head; the API server's has less than 2 KiB.
const HEAD_BYTES: usize = 64 * 1024;

/// A server that is ready to be run.
#[derive(Debug)]
pub struct Server {
    /// Where to accept.
    pub listener: TcpListener,
    /// Certificate and protocols: [`crate::tls::Certificates::server_config`].
    pub tls: Arc<rustls::ServerConfig>,
    /// What answers: [`crate::routes::router`].
    pub router: Router,
    /// Limits of connections and times.
    pub bounds: Bounds,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
    /// Told when the server is asked to stop.
    pub readiness: Arc<Readiness>,
}

/// What every connection shares.
struct Shared {
    tls: TlsAcceptor,
    router: Router,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    handshakes: Throttle,
}

/// A line of this kind is written once in this time, however many clients deserve it.
const QUIET: Duration = Duration::from_secs(10);

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// New connections are served for [`Bounds::lame_duck`] more: not everybody has heard yet.
    Gently,
    /// No new connections; what is in flight is finished.
    Now,
}

impl Server {
    /// Serves until `stop`, then finishes what is in flight.
    pub async fn run(self, stop: impl Future<Output = Stop> + Send) {
        let Server {
            listener,
            tls,
            router,
            bounds,
            metrics,
            readiness,
        } = self;
        let places = Arc::new(Semaphore::new(bounds.connections));
        let closing = watch::Sender::new(false);
        let crowded = Throttle::new(QUIET);
        let shared = Arc::new(Shared {
            tls: TlsAcceptor::from(tls),
            router,
            bounds,
            metrics,
            readiness,
            handshakes: Throttle::new(QUIET),
        });
        let mut stop = std::pin::pin!(stop);
        let mut end: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                how = &mut stop, if end.is_none() => {
                    shared.readiness.drain();
                    if how == Stop::Now {
                        break;
                    }
                    end = Some(Instant::now() + shared.bounds.lame_duck);
                    continue;
                }
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    accept_failed(&error).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                shared.metrics.closed("too-many");
                if let Some(unsaid) = crowded.ask() {
                    let limit = shared.bounds.connections;
                    tracing::warn!(limit, unsaid, "too many connections: the newest is closed");
                }
                continue;
            };
            let (shared, mut closing) = (Arc::clone(&shared), closing.subscribe());
            tokio::spawn(async move {
                shared.connection(stream, &mut closing).await;
                drop(place);
            });
        }
        drop(listener);
        closing.send_replace(true);
        let all = u32::try_from(shared.bounds.connections).unwrap_or(u32::MAX);
        // Every place is free again when the last connection has ended.
        if timeout(shared.bounds.drain, places.acquire_many(all))
            .await
            .is_err()
        {
            let open = shared.bounds.connections - places.available_permits();
            tracing::warn!(open, "connections did not end in time and are cut");
        }
    }
}

/// Waits a little where accepting fails for want of something (files, memory); a client that
/// vanished before it was accepted is no reason to wait.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::error!(%error, "cannot accept connections; trying again");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

impl Shared {
    async fn connection(&self, stream: TcpStream, closing: &mut watch::Receiver<bool>) {
        // Answers are small and complete: nothing to wait for.
        let _ = stream.set_nodelay(true);
        let stream = match timeout(self.bounds.handshake, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.metrics.closed("handshake-failed");
                // "UnknownCA" and "BadCertificate" are said by an API server whose `caBundle` does
                // not fit: worth a line, but a port scan must not fill the log.
                if let Some(unsaid) = self.handshakes.ask() {
                    tracing::warn!(%error, unsaid, "a client did not get through the TLS handshake");
                }
                return;
            }
            Err(_) => {
                self.metrics.closed("handshake-timeout");
                tracing::debug!("the TLS handshake took too long");
                return;
            }
        };
        let (stream, stage) = Guarded::new(stream, &self.bounds);
        let service = service_fn(|request: Request<Incoming>| {
            stage.busy();
            let mut router = self.router.clone();
            let stage = stage.clone();
            async move {
                // A `Router` is always ready.
                let mut response =
                    tower_service::Service::call(&mut router, request.map(Body::new)).await?;
                if self.readiness.is_draining() {
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                stage.answered();
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        // Times are kept by `Guarded`: see there why not by hyper.
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            () = closed(closing) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            let reason = closed_for(&error);
            self.metrics.closed(reason);
            tracing::debug!(%error, reason, "connection closed");
        }
    }
}

/// Returns when the server closes its connections.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone: closed as well.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// The label of the reason for which a connection ended early.
fn closed_for(error: &hyper::Error) -> &'static str {
    let cause = std::error::Error::source(error).and_then(|it| it.downcast_ref::<io::Error>());
    if cause.is_some_and(|it| it.kind() == io::ErrorKind::TimedOut) {
        "timeout"
    } else if error.is_parse() {
        "not-http"
    } else {
        "broken"
    }
}
