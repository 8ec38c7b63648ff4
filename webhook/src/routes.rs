//! The paths of the server: bounds, parse, review, answer.

use crate::aside::{Aside, Undone};
use crate::body::{self, Unread, Whole};
use crate::bounds::Bounds;
use crate::metrics::{Metrics, Outcome, api_kind_label};
use crate::readiness::{Readiness, ready_text};
use crate::review_request::{self, Incoming, Path};
use crate::review_response;
use crate::reviewer::Review;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use infer_cluster::Store;
use infer_core::admission::Answer;
use infer_core::kind::Kind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// What the API server waits where it does not say (admission/v1 `timeoutSeconds`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Left for the way back.
const WAY_BACK: Duration = Duration::from_millis(100);
/// Changes of the store within this time make one new review: an `apply` of many files comes as a
/// burst.
const BURST: Duration = Duration::from_millis(5);

/// What every request shares.
pub(crate) struct Shared<R> {
    review: R,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    memory: Arc<Semaphore>,
    reviews: Semaphore,
    waiting: Semaphore,
    aside: Aside,
}

/// The router of the webhook: `/mutate`, `/validate`, `/healthz`, `/readyz`, `/metrics`.
///
/// It knows nothing of sockets; tests call it as a tower service.
pub fn router<R: Review>(
    review: R,
    bounds: &Bounds,
    metrics: &Arc<Metrics>,
    readiness: &Arc<Readiness>,
) -> Router {
    let shared = Arc::new(Shared {
        review,
        bounds: bounds.clone(),
        metrics: Arc::clone(metrics),
        readiness: Arc::clone(readiness),
        memory: body::memory(bounds),
        reviews: Semaphore::new(bounds.reviews),
        waiting: Semaphore::new(bounds.waiting),
        aside: Aside::start(),
    });
    Router::new()
        .route(
            "/mutate",
            post(|State(shared), request| review_at(Path::Mutate, shared, request)),
        )
        .route(
            "/validate",
            post(|State(shared), request| review_at(Path::Validate, shared, request)),
        )
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz::<R>))
        .route("/metrics", get(metrics_text::<R>))
        .with_state(shared)
}

async fn readyz<R: Review>(State(shared): State<Arc<Shared<R>>>) -> (StatusCode, String) {
    ready_text(&shared.readiness, shared.review.store())
}

async fn metrics_text<R: Review>(State(shared): State<Arc<Shared<R>>>) -> Response {
    let mut response = Response::new(Body::from(shared.metrics.text(shared.review.store())));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}

async fn review_at<R: Review>(path: Path, shared: Arc<Shared<R>>, request: Request) -> Response {
    let timeout = timeout_of(request.uri().query());
    let deadline = Instant::now() + timeout.saturating_sub(WAY_BACK);
    let (parts, body) = request.into_parts();
    let whole = match receive(&shared, &parts.headers, body, deadline).await {
        Ok(whole) => whole,
        Err(refusal) => {
            shared.metrics.review(path, "other", refusal.outcome, false);
            return refusal.response();
        }
    };
    let started = Instant::now();
    let is_long = whole.bytes.len() > Bounds::SMALL_BODY;
    // The text of a long body is not kept beside its values.
    let parsed = work_on(&shared, is_long, deadline, move || {
        review_request::parse(&whole.bytes)
    });
    let parsed = parsed.await.and_then(|parsed| {
        parsed
            .map(Arc::new)
            .map_err(|error| Refusal::bad(&error.to_string()))
    });
    let incoming = match parsed {
        Ok(incoming) => incoming,
        Err(refusal) => {
            shared.metrics.review(path, "other", refusal.outcome, false);
            return refusal.response();
        }
    };
    let answered = answer(path, &shared, &incoming, is_long, deadline).await;
    let kind = api_kind_label(incoming.kind());
    let dry_run = incoming.is_dry_run();
    let answered = answered.and_then(|answer| {
        review_response::to_bytes(&incoming.uid, &answer)
            .map(|bytes| (answer, bytes))
            .map_err(|error| Refusal::failed(format!("the answer does not serialize: {error}")))
    });
    match answered {
        Ok((answer, bytes)) => {
            let outcome = match &answer {
                Answer {
                    denied: Some(_), ..
                } => Outcome::Denied,
                Answer { patch: Some(_), .. } => Outcome::Patched,
                _ => Outcome::Untouched,
            };
            shared.metrics.review(path, kind, outcome, dry_run);
            if !dry_run {
                shared.metrics.rules(&answer.found, &answer.fixed);
                shared.metrics.took(path, started.elapsed());
            }
            json(StatusCode::OK, bytes)
        }
        Err(refusal) => {
            shared.metrics.review(path, kind, refusal.outcome, dry_run);
            refusal.response()
        }
    }
}

/// Takes the body in, within the bounds of bytes and time.
async fn receive<R: Review>(
    shared: &Shared<R>,
    headers: &HeaderMap,
    mut body: Body,
    deadline: Instant,
) -> Result<Whole, Refusal> {
    let bounds = &shared.bounds;
    let until = deadline.min(Instant::now() + bounds.body);
    let refusal = if is_json(headers) {
        match timeout_at(until, body::read(&mut body, bounds, &shared.memory)).await {
            Ok(Ok(whole)) => return Ok(whole),
            Ok(Err(Unread::TooLong)) => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!(
                    "the body has more than {} bytes, the most that a review may have",
                    bounds.body_bytes
                ),
            ),
            Ok(Err(Unread::Busy)) => Refusal::shed("too many long reviews are in memory"),
            Ok(Err(Unread::Broken)) => {
                return Err(Refusal::bad("the body ended before its announced end"));
            }
            Err(_) => {
                return Err(Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "Timeout",
                    "the body did not come in time".to_owned(),
                )
                .closing());
            }
        }
    } else {
        let seen = headers
            .get(header::CONTENT_TYPE)
            .map_or("missing".to_owned(), |value| {
                format!("{:?}", String::from_utf8_lossy(value.as_bytes()))
            });
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            format!("the content type is {seen}, wanted `application/json`"),
        )
    };
    // Whoever asks before it sends (`Expect: 100-continue`) needs no help to see the answer.
    if headers.contains_key(header::EXPECT) {
        return Err(refusal.closing());
    }
    match timeout_at(until, body::discard(&mut body, bounds)).await {
        Ok(()) => Err(refusal),
        Err(_) => Err(refusal.closing()),
    }
}

/// Runs work on one review: at once for a short one, aside for a long one.
async fn work_on<R: Review, T: Send + 'static>(
    shared: &Shared<R>,
    is_long: bool,
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if !is_long {
        return Ok(work());
    }
    shared
        .aside
        .run(deadline, work)
        .await
        .map_err(|undone| match undone {
            Undone::Late => Refusal::shed("too many long reviews are waiting for their turn"),
            Undone::Broken => Refusal::failed("the review failed inside".to_owned()),
        })
}

/// Reviews, and reviews again when the store changes while the answer misses an object.
async fn answer<R: Review>(
    path: Path,
    shared: &Arc<Shared<R>>,
    incoming: &Arc<Incoming>,
    is_long: bool,
    deadline: Instant,
) -> Result<Answer, Refusal> {
    if incoming.to_review().is_none() {
        return Ok(Answer::default());
    }
    let Ok(_permit) = shared.reviews.try_acquire() else {
        return Err(Refusal::shed("too many reviews are at work"));
    };
    let look = async || {
        let (them, it) = (Arc::clone(shared), Arc::clone(incoming));
        work_on(shared, is_long, deadline, move || once(path, &them, &it)).await?
    };
    // Taken before the first look, so that no change after it is missed. Where nobody looks for
    // Services, none will appear.
    let store = shared
        .review
        .store()
        .filter(|store| store.read().known().contains(Kind::Service));
    let changes = store.map(Store::changes);
    let mut answer = look().await?;
    let (true, Some(mut changes)) = (answer.waits, changes) else {
        return Ok(answer);
    };
    let Ok(_place) = shared.waiting.try_acquire() else {
        return Ok(answer);
    };
    let until = deadline.min(Instant::now() + shared.bounds.store_wait);
    while answer.waits && timeout_at(until, changes.next()).await.is_ok() {
        tokio::time::sleep_until(until.min(Instant::now() + BURST)).await;
        answer = look().await?;
    }
    Ok(answer)
}

/// One review. A panic in it is a bug; it ends this request only, as an error, so that the
/// `failurePolicy` decides.
fn once<R: Review>(path: Path, shared: &Shared<R>, incoming: &Incoming) -> Result<Answer, Refusal> {
    let Some(request) = incoming.to_review() else {
        return Ok(Answer::default());
    };
    // The engine is read-only and a store's lock is not poisoned by readers: nothing is left in a
    // broken state.
    let result = catch_unwind(AssertUnwindSafe(|| match path {
        Path::Mutate => shared.review.mutate(&request),
        Path::Validate => shared.review.validate(&request),
    }));
    result.map_err(|_| {
        shared.metrics.panicked();
        tracing::error!(
            path = path.label(),
            "a review panicked; please report this as a bug"
        );
        Refusal::failed("the review failed inside; see the webhook's log".to_owned())
    })
}

/// The time that the API server gives us: `?timeout=10s`. What cannot be read is the default.
fn timeout_of(query: Option<&str>) -> Duration {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let value = pairs
        .filter_map(|pair| pair.strip_prefix("timeout="))
        .next_back();
    let seconds = value.and_then(|value| value.strip_suffix('s').unwrap_or(value).parse().ok());
    // 1 to 30 s is what the API allows (admissionregistration/v1 `timeoutSeconds`).
    seconds.map_or(DEFAULT_TIMEOUT, |seconds: u64| {
        Duration::from_secs(seconds.clamp(1, 30))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = value.map(|value| value.split(';').next().unwrap_or_default().trim());
    media.is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
}

/// An answer other than a review: an error by HTTP status, so that `failurePolicy` decides.
struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
    outcome: Outcome,
    /// Whether the rest of the request is still on its way.
    close: bool,
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: String) -> Refusal {
        Refusal {
            code,
            reason,
            message,
            outcome: Outcome::Refused,
            close: false,
        }
    }

    fn bad(message: &str) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", message.to_owned())
    }

    fn shed(message: &str) -> Refusal {
        let code = StatusCode::SERVICE_UNAVAILABLE;
        let refusal = Refusal::new(code, "ServiceUnavailable", message.to_owned());
        Refusal {
            outcome: Outcome::Shed,
            ..refusal
        }
    }

    fn failed(message: String) -> Refusal {
        let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
        Refusal {
            outcome: Outcome::Failed,
            ..refusal
        }
    }

    fn closing(self) -> Refusal {
        Refusal {
            close: true,
            ..self
        }
    }

    /// A `Status` of the Kubernetes API: the API server logs its message.
    fn response(&self) -> Response {
        let status = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Status",
            "status": "Failure",
            "reason": self.reason,
            "message": self.message,
            "code": self.code.as_u16(),
        });
        let mut response = json(self.code, status.to_string().into_bytes());
        let headers = response.headers_mut();
        if self.outcome == Outcome::Shed {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn json(code: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_s_timeout_is_read() {
        for (query, wanted) in [
            (None, 10),
            (Some("timeout=2s"), 2),
            (Some("a=b&timeout=30s"), 30),
            (Some("timeout=0s"), 1),
            (Some("timeout=9999999s"), 30),
            (Some("timeout=soon"), 10),
            (Some("timeout=-1s"), 10),
        ] {
            assert_eq!(timeout_of(query), Duration::from_secs(wanted), "{query:?}");
        }
    }

    #[test]
    fn a_content_type_may_have_parameters() {
        let of = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(of("application/json") && of("Application/JSON; charset=utf-8"));
        assert!(!of("text/plain") && !of("application/jsonp") && !of(""));
        assert!(!is_json(&HeaderMap::new()));
    }
}
