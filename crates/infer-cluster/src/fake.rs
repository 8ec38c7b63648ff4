//! An API server for tests: a function from requests to answers.

use crate::connection::Cluster;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Clients and tests share it: a client is bound to the runtime that it was made in.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
/// The time of every answer, as the `Date` header has it.
const DATE: &str = "Wed, 25 Nov 2026 12:00:00 GMT";
/// The deadline of its clients: short, because tests wait for it.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(300);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Null when there is none.
    pub(crate) body: Value,
}

/// What is answered.
pub(crate) enum Reply {
    Json(u16, Value),
    /// One document a line, as a watch has it; then the answer ends.
    Lines(Vec<Value>),
    Text(String),
    /// A document, after this time.
    Late(Duration, Value),
    /// No answer.
    Never,
}

/// What was asked so far.
pub(crate) type Record = Arc<Mutex<Vec<Asked>>>;

/// A cluster that answers so.
pub(crate) fn cluster(
    answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (Cluster, Record) {
    let record = Record::default();
    let answer = Arc::new(answer);
    let seen = Arc::clone(&record);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let asked = Asked {
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            };
            let reply = answer(&asked);
            seen.lock().unwrap().push(asked);
            let (code, body) = match reply {
                Reply::Json(code, body) => (code, body.to_string()),
                Reply::Lines(lines) => {
                    let lines: Vec<String> = lines.iter().map(|it| format!("{it}\n")).collect();
                    (200, lines.concat())
                }
                Reply::Text(text) => (200, text),
                Reply::Late(time, body) => {
                    tokio::time::sleep(time).await;
                    (200, body.to_string())
                }
                Reply::Never => std::future::pending().await,
            };
            let answer = http::Response::builder().status(code).header("date", DATE);
            Ok::<_, Infallible>(answer.body(Body::from(body.into_bytes())).unwrap())
        }
    });
    let _inside = RUNTIME.enter();
    let client = kube::Client::new(service, "default");
    (Cluster::with(client, TIMEOUT), record)
}

/// A refusal as the API server words it.
pub(crate) fn status(code: u16, reason: &str, message: &str, name: &str) -> Reply {
    let details = if name.is_empty() {
        Value::Null
    } else {
        json!({"name": name})
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": message, "details": details,
    });
    Reply::Json(code, body)
}

/// A list of these objects.
pub(crate) fn list(version: &str, items: &[Value]) -> Reply {
    Reply::Json(
        200,
        json!({"kind": "List", "metadata": {"resourceVersion": version}, "items": items}),
    )
}

/// An object of this name; its uid is `uid-NAME`.
pub(crate) fn object(name: &str, version: &str) -> Value {
    json!({"metadata": {
        "name": name, "namespace": "n", "uid": format!("uid-{name}"), "resourceVersion": version,
    }})
}

/// Runs a test that awaits.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await })
        .expect("a test ends within 20 s")
}
