//! One request on a connection of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::body;
use crate::call::Call;
use crate::clock::Clock;
use crate::exchange::{Cause, Exchange, Failure, Stamps};
use crate::head::LARGEST_HEAD;
use crate::target::{ConnectTo, Target};
use crate::tls::Tls;
use crate::wire::{Plain, Socket, Watch, is_reset};

/// The most headers of an answer.
const MOST_HEADERS: usize = 256;
const FIRST_FAILING_STATUS: u16 = 400;
/// 101 is final too (RFC 9110, 15.2.2), and no answer to what is sent here.
const FIRST_FINAL_STATUS: u16 = 200;
/// What is shown instead of a secret.
const HIDDEN: &str = "***";

/// Sends one request and reads its answer to the end, within `call.limits`.
///
/// It never errors and never hangs: every failure is in the [`Exchange`]. `intended` is when the
/// schedule wanted it to start; pass `clock.now()` where there is none. Dropping the future closes
/// the connection.
///
/// The machine's resolver cannot be interrupted: where it outlasts the limit, its thread ends later.
/// End the runtime with `Runtime::shutdown_background` or `shutdown_timeout`, so that the program
/// does not wait for it.
pub async fn send(target: &Target, call: &Call, clock: Clock, intended: Duration) -> Exchange {
    let started = clock.now();
    let mut exchange = Exchange {
        intended,
        started,
        stamps: Stamps::default(),
        status: None,
        version: None,
        reason: None,
        request_head: Vec::new(),
        headers: Vec::new(),
        bytes: 0,
        body: Vec::new(),
        failure: None,
        stream: None,
        local: None,
        peer: None,
    };
    let watch = Watch::new(call.body.as_ref().map_or(0, |body| body.len() as u64));
    let mut reading = body::Reading::new(call);
    let whole = deadline(clock, started, call.limits.whole);
    let run = run(target, call, clock, &watch, &mut reading, &mut exchange);
    let failure = match timeout_at(whole, run).await {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(Failure {
            cause: Cause::Timeout,
            message: format!(
                "not done after {:?}, {}",
                call.limits.whole,
                progress(&exchange.stamps, &watch)
            ),
        }),
    };
    exchange.stamps.end = Some(clock.now());
    exchange.failure = failure;
    wire_facts(&mut exchange, call, &watch);
    reading.conclude(&mut exchange);
    judge_status(&mut exchange, &watch);
    exchange
}

/// How far it came, in words.
fn progress(stamps: &Stamps, watch: &Watch) -> &'static str {
    let seen = watch.seen();
    match stamps {
        Stamps { resolved: None, .. } => "while the name was resolved",
        Stamps {
            connected: None, ..
        } => "while the connection was opened",
        _ if seen.answer.complete() => "inside the body",
        _ if seen.answer.first_byte.is_some() => "inside the answer's head",
        _ if seen.sent.is_some() => "while the answer was waited for",
        _ if seen.written.started() => "while the request was written",
        _ => "during the TLS handshake",
    }
}

fn wire_facts(exchange: &mut Exchange, call: &Call, watch: &Watch) {
    let seen = watch.seen();
    exchange.stamps.sent = seen.sent;
    exchange.stamps.first_byte = seen.answer.first_byte;
    exchange.request_head = seen.written.headers();
    for (name, value) in &mut exchange.request_head {
        let secret = call
            .headers
            .iter()
            .any(|header| header.secret && header.name.eq_ignore_ascii_case(name));
        if secret {
            HIDDEN.clone_into(value);
        }
    }
    let head = seen.answer.head();
    if head
        .status
        .is_some_and(|status| status >= FIRST_FINAL_STATUS)
    {
        exchange.status = head.status;
        exchange.version = Some(head.version);
        exchange.reason = Some(head.reason);
        exchange.headers = head.headers;
    }
}

/// A status of 400 and above is the failure, whatever became of the body: `curl --fail` does not
/// read it either. A head that was cut stays that.
fn judge_status(exchange: &mut Exchange, watch: &Watch) {
    let Some(status) = exchange.status.filter(|code| *code >= FIRST_FAILING_STATUS) else {
        return;
    };
    if !watch.seen().answer.complete() {
        return;
    }
    let reason = exchange.reason.as_deref().unwrap_or_default();
    let server = exchange
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("server"))
        .map(|(_, value)| format!(", from {value}"))
        .unwrap_or_default();
    let body = exchange
        .failure
        .take()
        .map(|failure| format!("; its body: {}", failure.message))
        .unwrap_or_default();
    exchange.failure = Some(Failure {
        cause: Cause::Http,
        message: format!("answered {status} {reason}{server}{body}"),
    });
}

async fn run(
    target: &Target,
    call: &Call,
    clock: Clock,
    watch: &Watch,
    reading: &mut body::Reading,
    exchange: &mut Exchange,
) -> Result<(), Failure> {
    // A request that HTTP does not allow is refused before anything is connected.
    let request = request(target, call)?;
    let until = deadline(clock, exchange.started, call.limits.connect);
    let addresses = resolve(target, until, call.limits.connect).await?;
    exchange.stamps.resolved = Some(clock.now());
    let stream = connect(&addresses, until, call.limits.connect, exchange).await?;
    exchange.stamps.connected = Some(clock.now());
    exchange.local = stream.local_addr().ok();
    // Without it the last part of a request waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, clock, watch.clone());
    match &target.tls {
        None => {
            let plain = Plain::new(socket, watch.clone());
            speak(plain, request, clock, watch, reading).await
        }
        Some(tls) => {
            let stream = handshake(tls, &target.host, socket, until, watch).await?;
            exchange.stamps.tls = Some(clock.now());
            let plain = Plain::new(stream, watch.clone());
            speak(plain, request, clock, watch, reading).await
        }
    }
}

fn request(target: &Target, call: &Call) -> Result<Request<Full<Bytes>>, Failure> {
    let invalid = |what: &str| Failure {
        cause: Cause::Protocol,
        message: format!("not sent: {what}"),
    };
    let method = Method::from_bytes(call.method.as_bytes())
        .map_err(|_| invalid(&format!("{:?} is no method", call.method)))?;
    let mut request = Request::new(Full::new(call.body.clone().unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = target
        .path
        .parse()
        .map_err(|error| invalid(&format!("the path {:?}: {error}", target.path)))?;
    let headers = request.headers_mut();
    let given = |name: &HeaderName| {
        call.headers
            .iter()
            .any(|header| header.name.eq_ignore_ascii_case(name.as_str()))
    };
    if !given(&HOST) {
        let host = HeaderValue::from_str(&target.host_header())
            .map_err(|_| invalid(&format!("{:?} is no host", target.host)))?;
        headers.insert(HOST, host);
    }
    for header in &call.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| invalid(&format!("{:?} is no header name", header.name)))?;
        // The value may be a secret and is not shown.
        let value = HeaderValue::from_str(&header.value)
            .map_err(|_| invalid(&format!("the value of {name} is no header value")))?;
        headers.append(name, value);
    }
    if !given(&ACCEPT) {
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    }
    Ok(request)
}

async fn resolve(
    target: &Target,
    until: Instant,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Failure> {
    if let ConnectTo::Address(address) = target.connect_to {
        return Ok(vec![address]);
    }
    if let Ok(ip) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, target.port)]);
    }
    let host = &target.host;
    let lookup = tokio::net::lookup_host((host.as_str(), target.port));
    let found = timeout_at(until, lookup).await.map_err(|_| Failure {
        cause: Cause::ConnectTimeout,
        message: format!("{host} was not resolved within {limit:?}"),
    })?;
    let unknown = |why: &str| Failure {
        cause: Cause::Resolve,
        message: format!("{host} has no address: {why}"),
    };
    let addresses: Vec<SocketAddr> = found
        .map_err(|error| unknown(&error.to_string()))?
        .collect();
    if addresses.is_empty() {
        return Err(unknown("the resolver gave none"));
    }
    Ok(addresses)
}

/// Tries the addresses in the resolver's order, each with its share of the time that is left.
async fn connect(
    addresses: &[SocketAddr],
    until: Instant,
    limit: Duration,
    exchange: &mut Exchange,
) -> Result<TcpStream, Failure> {
    let mut failure = None;
    for (index, address) in addresses.iter().enumerate() {
        exchange.peer = Some(*address);
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = Instant::now() + until.saturating_duration_since(Instant::now()) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = Some(connect_failure(*address, &error)),
            Err(_) => {
                failure = Some(Failure {
                    cause: Cause::ConnectTimeout,
                    message: format!("no connection to {address} within {limit:?}"),
                });
            }
        }
    }
    Err(failure.unwrap_or(Failure {
        cause: Cause::Resolve,
        message: "there is no address to connect to".to_owned(),
    }))
}

fn connect_failure(address: SocketAddr, error: &io::Error) -> Failure {
    let (cause, what) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (Cause::Refused, "refused the connection"),
        io::ErrorKind::TimedOut => (Cause::ConnectTimeout, "did not answer"),
        _ => (Cause::Unreachable, "cannot be reached"),
    };
    Failure {
        cause,
        message: format!("{address} {what}: {error}"),
    }
}

async fn handshake(
    tls: &Tls,
    host: &str,
    socket: Socket,
    until: Instant,
    watch: &Watch,
) -> Result<tokio_rustls::client::TlsStream<Socket>, Failure> {
    let failed = |message: String| Failure {
        cause: Cause::Tls,
        message,
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| failed(format!("{host:?} cannot be a name in a certificate")))?;
    let connector = tokio_rustls::TlsConnector::from(tls.config.clone());
    match timeout_at(until, connector.connect(name, socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let seen = watch.seen();
            Err(failed(match (&seen.read_error, seen.closed) {
                (Some(error), _) => format!("the TLS handshake with {host} was cut: {error}"),
                (None, true) => {
                    format!("{host} closed the connection during the TLS handshake")
                }
                (None, false) if speaks_no_tls(&error) => {
                    format!("what {host} answered to the TLS handshake is not TLS: {error}")
                }
                (None, false) => format!("the TLS handshake with {host} failed: {error}"),
            }))
        }
        Err(_) => Err(Failure {
            cause: Cause::ConnectTimeout,
            message: format!("connected, but the TLS handshake with {host} was not done in time"),
        }),
    }
}

/// A plain HTTP port answers `HTTP/1.1 400`, which is no TLS record.
fn speaks_no_tls(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        tls,
        Some(rustls::Error::InvalidMessage(
            rustls::InvalidMessage::InvalidContentType
        ))
    )
}

async fn speak<S>(
    plain: Plain<S>,
    request: Request<Full<Bytes>>,
    clock: Clock,
    watch: &Watch,
    reading: &mut body::Reading,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::Builder::new()
        .max_headers(MOST_HEADERS)
        .max_header_size(LARGEST_HEAD)
        .handshake(TokioIo::new(plain))
        .await;
    let (mut sender, connection) = shaken.map_err(|error| failure(watch, &error))?;
    // Request, connection and body are polled by this one task, and the body before the connection.
    // So nothing is read from the socket before the frame of the read before it was stamped.
    let mut connection = Driven(Some(Box::pin(connection)));
    let response = {
        let mut response = pin!(sender.send_request(request));
        std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(response) = response.as_mut().poll(cx) {
                    return Poll::Ready(response);
                }
                if connection.poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    };
    let response: Response<Incoming> = response.map_err(|error| failure(watch, &error))?;
    reading.begin(&response);
    reading
        .read(response.into_body(), &mut connection, clock, watch)
        .await
}

/// hyper's connection, which moves bytes only when it is polled.
pub(crate) struct Driven<C>(Option<Pin<Box<C>>>);

impl<C: Future> Driven<C> {
    /// Ready once, when the connection ended. What its end means is read from the [`Watch`].
    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.0 else {
            return Poll::Pending;
        };
        match connection.as_mut().poll(cx) {
            Poll::Ready(_) => {
                self.0 = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What the wire says of a failure that hyper reports.
pub(crate) fn failure(watch: &Watch, error: &hyper::Error) -> Failure {
    let seen = watch.seen();
    let in_body = seen.answer.complete();
    let place = if in_body {
        "inside the body"
    } else if seen.answer.first_byte.is_some() {
        "inside the answer's head"
    } else if seen.sent.is_some() {
        "before an answer"
    } else {
        "while the request was written"
    };
    let kernel = seen.read_error.as_ref().or(seen.write_error.as_ref());
    if let Some(kernel) = kernel {
        return Failure {
            cause: if in_body {
                Cause::ResetInBody
            } else {
                Cause::ResetBeforeHeaders
            },
            message: if is_reset(kernel) {
                format!("the connection was reset {place}: {kernel}")
            } else {
                format!("the connection broke {place}: {kernel}")
            },
        };
    }
    // An alert after the handshake, as TLS 1.3 servers send where they want a client certificate.
    if let Some(tls) = tls_error(error) {
        return Failure {
            cause: Cause::Tls,
            message: format!("TLS broke {place}: {tls}"),
        };
    }
    if seen.closed {
        return Failure {
            cause: if in_body {
                Cause::ClosedInBody
            } else {
                Cause::ClosedBeforeHeaders
            },
            message: format!("the server closed the connection {place}"),
        };
    }
    Failure {
        cause: Cause::Protocol,
        message: format!("what came {place} is not HTTP/1.1: {}", with_sources(error)),
    }
}

fn tls_error(error: &hyper::Error) -> Option<&rustls::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref())
        {
            return Some(tls);
        }
        source = error.source();
    }
    None
}

fn with_sources(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn deadline(clock: Clock, started: Duration, limit: Duration) -> Instant {
    // A limit that is beyond the clock is none; a day is beyond any request.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    clock.instant(started + limit.min(LONGEST))
}
