//! Passes requests on, and puts the flaw into the answers.

use crate::body::{Broken, Relayed};
use crate::flaw::{Draw, Flaw};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Says in each answer which version gave it.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("x-lab-version");

/// Says in each answer which pod gave it: a pod's name is the host name of its containers.
pub const POD_HEADER: HeaderName = HeaderName::from_static("x-lab-pod");

/// The kernel's own word for the host name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// To connect to the server, which is on this machine.
const CONNECT: Duration = Duration::from_secs(2);
/// For the head of the server's answer: longer than any answer of the lab takes.
const HEAD: Duration = Duration::from_secs(600);
/// For a client's head on a kept connection: longer than a proxy keeps it, so that no request is sent
/// into a connection that closes (NGINX's upstream `keepalive_timeout` is 60 s).
const KEPT: Duration = Duration::from_secs(75);
/// For what is in flight at the end. The kubelet's grace ends before.
const DRAIN: Duration = Duration::from_secs(600);
/// After a connection could not be accepted: the limit on open files, say.
const AGAIN: Duration = Duration::from_millis(50);
/// So much of a request is read before it is answered 500.
const BODY: usize = 8 << 20;

/// Headers of one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Body = UnsyncBoxBody<Bytes, Broken>;

/// The version: a server, a name, a flaw.
#[derive(Debug)]
pub struct Proxy {
    /// Where the server listens.
    pub server: SocketAddr,
    /// What [`VERSION_HEADER`] says.
    pub name: HeaderValue,
    /// What is wrong.
    pub flaw: Flaw,
    /// Which requests have it.
    pub draw: Draw,
}

/// Answers on `listener` until `stop` ends; then nothing more is accepted, and this ends when what
/// is in flight is answered.
pub async fn listen(listener: TcpListener, proxy: Proxy, stop: impl Future<Output = ()>) {
    let proxy = Arc::new(proxy);
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            sleep(AGAIN).await;
            continue;
        };
        // Tokens are small, and each is wanted at once.
        let _ = stream.set_nodelay(true);
        let proxy = proxy.clone();
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { proxy.answer(request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(KEPT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        // It fails where a body was cut or a client left.
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = timeout(DRAIN, connections.shutdown()).await;
}

impl Proxy {
    /// The answer; an error closes the connection without one, as a server does that dies.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
        if self.flaw == Flaw::NeverReady {
            return Ok(self.own(loading(), request).await);
        }
        // What generates; probes, metrics and lists are GETs.
        let flaw = match *request.method() {
            Method::POST => self.flaw,
            _ => Flaw::None,
        };
        if matches!(flaw, Flaw::Errors(percent) if self.draw.hits(percent)) {
            return Ok(self.own(failed(), request).await);
        }
        let began = Instant::now();
        let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(self.server)).await else {
            // It has not begun to listen yet.
            return Ok(self.own(loading(), request).await);
        };
        let _ = stream.set_nodelay(true);
        let answer = timeout(HEAD, pass_on(stream, request))
            .await
            .map_err(|_| Broken::Silent)??;
        let (mut head, mut body) = answer.into_parts();
        remove_hop_by_hop(&mut head.headers);
        self.sign(&mut head.headers);
        let relayed = match flaw {
            Flaw::Slow(factor) => {
                let first = body.frame().await.transpose()?;
                sleep(began.elapsed().mul_f64(factor - 1.0)).await;
                Relayed::whole(first, body)
            }
            Flaw::Cut(percent) if is_stream(&head.headers) && self.draw.hits(percent) => {
                Relayed::cut(body)
            }
            _ => Relayed::whole(None, body),
        };
        let body = relayed.boxed_unsync();
        Ok(Response::from_parts(head, body))
    }

    /// An answer of our own, after the request was read: what is left unread closes the connection.
    async fn own(
        &self,
        (status, text): (StatusCode, String),
        request: Request<Incoming>,
    ) -> Response<Body> {
        // A body that cannot be read has nobody who reads the answer.
        let _ = Limited::new(request.into_body(), BODY).collect().await;
        let body = Full::new(Bytes::from(text)).map_err(|it: Infallible| match it {});
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, json);
        self.sign(headers);
        response
    }

    /// Says who answers.
    fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(VERSION_HEADER, self.name.clone());
        let pod = std::fs::read_to_string(HOST_NAME).ok();
        if let Some(pod) = pod.and_then(|name| HeaderValue::from_str(name.trim()).ok()) {
            headers.insert(POD_HEADER, pod);
        }
    }
}

/// Sends the request on a connection of its own; the head of the answer.
async fn pass_on(
    stream: TcpStream,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Broken> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body, also where the client leaves before that: then the server sees
    // a closed connection and stops generating.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    remove_hop_by_hop(request.headers_mut());
    Ok(sender.send_request(request).await?)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"))
}

/// llama-server's answer while its model loads (seen in the lab, 2026).
fn loading() -> (StatusCode, String) {
    error(
        StatusCode::SERVICE_UNAVAILABLE,
        "Loading model",
        "unavailable_error",
    )
}

/// The flaw of [`Flaw::Errors`], in the shape of llama-server's errors.
fn failed() -> (StatusCode, String) {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "failed on purpose",
        "server_error",
    )
}

fn error(status: StatusCode, message: &str, kind: &str) -> (StatusCode, String) {
    let error = serde_json::json!({"message": message, "type": kind, "code": status.as_u16()});
    (status, serde_json::json!({ "error": error }).to_string())
}
