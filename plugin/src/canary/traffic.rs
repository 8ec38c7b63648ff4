//! Our own traffic through the route: which version answered, and how.

use crate::answered::{Replica, Watch, is_named_after};
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::route::Route;
use crate::smoke::Smoke;
use infer_canary::shift::Shift;
use infer_cluster::Cluster;
use infer_traffic::attribution::{Token, user_agent};
use infer_traffic::{Call, Cause, Clock, Exchange, Header, Target, schedule, send};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Requests that may be open at once: each has a socket.
const MOST_OPEN: usize = 200;
/// How long after an answer the proxy's line about it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is kept: nothing of it is looked into.
const KEPT: usize = 0;
/// How much of a list of models is read, and for how long it is waited for.
const KEPT_MODELS: usize = 256 * 1024;
const ASK: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    target: Target,
    call: Call,
    /// Gives each request a prompt of its own, where it is the smoke request.
    smoke: Option<Smoke>,
    rate: f64,
    header: Option<String>,
}

/// Which version answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Stable,
    Canary,
    /// Nobody knows.
    Unknown,
}

/// One request that is over.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// When it was started, on the run's clock.
    pub(crate) started: Duration,
    pub(crate) version: Version,
    /// The status or the cause; `None` is a good answer.
    pub(crate) failure: Option<String>,
    /// Whether it was a stream that began.
    pub(crate) is_stream: bool,
    /// Whether that stream did not end as it should.
    pub(crate) is_lost: bool,
    /// From the start to the first token, or to the first byte of what is no stream, in seconds.
    pub(crate) first_token: Option<f64>,
}

/// Traffic that flows until this is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    clock: Clock,
    watch: Watch,
    header: Option<String>,
    shared: Arc<Shared>,
    pending: Vec<(u64, Exchange)>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: Mutex<Vec<(u64, Exchange)>>,
    open: AtomicU64,
}

impl Load {
    /// The load of a route: the smoke request of what serves there, or what the flags say.
    ///
    /// # Errors
    ///
    /// Where nothing is known to send.
    pub(crate) async fn of(
        route: &Route,
        flags: &RequestFlags,
        headers: Vec<Header>,
        data: Option<Vec<u8>>,
        rate: f64,
        clock: Clock,
    ) -> Result<Load, Problem> {
        let mut target = route.target.clone();
        let mut smoke = route.smoke.clone().filter(|_| data.is_none());
        let mut headers = headers;
        headers.retain(|header| !header.name.eq_ignore_ascii_case("user-agent"));
        if let Some(smoke) = &mut smoke
            && let Some(list) = smoke.asks().map(str::to_owned)
        {
            let at = Target {
                path: list,
                ..target.clone()
            };
            let call = Call {
                method: "GET".to_owned(),
                headers: headers.clone(),
                body: None,
                stream: false,
                limits: infer_traffic::Limits {
                    whole: ASK,
                    ..flags.limits(KEPT_MODELS)
                },
            };
            let answer = send(&at, &call, clock, clock.now()).await;
            // Without a name the request goes without one.
            smoke.answered(&answer.body);
        }
        match (&flags.path, &route.smoke) {
            (Some(path), _) => target.path.clone_from(path),
            (None, Some(smoke)) => target.path.clone_from(&smoke.path),
            (None, None) if data.is_some() => {}
            (None, None) => {
                return Err(Problem::new(
                    "what serves behind this route is not known, so there is no request to send",
                )
                .help("`--data FILE --path PATH` says what to POST"));
            }
        }
        let typed = |header: &Header| header.name.eq_ignore_ascii_case("content-type");
        if !headers.iter().any(typed) {
            headers.insert(0, Header::new("content-type", "application/json"));
        }
        let is_stream = match (&data, &smoke) {
            (Some(data), _) => asks_for_stream(data),
            (None, smoke) => smoke.is_some(),
        };
        let body = data.or_else(|| Some(smoke.as_ref()?.body(true, None).into_bytes()));
        Ok(Load {
            target,
            call: Call {
                method: flags.method.clone().unwrap_or_else(|| "POST".to_owned()),
                headers,
                body: body.map(Into::into),
                stream: is_stream,
                limits: flags.limits(KEPT),
            },
            smoke,
            rate,
            header: flags.replica_header.clone(),
        })
    }

    fn call(&self, run: &str, number: u64) -> Call {
        let mut call = self.call.clone();
        if let Some(smoke) = &self.smoke {
            let body = smoke.numbered(number).body(true, None);
            call.body = Some(body.into_bytes().into());
        }
        let token = Token {
            run: run.to_owned(),
            sequence: number,
        };
        let agent = user_agent(env!("CARGO_PKG_VERSION"), &token);
        call.headers.insert(0, Header::new("user-agent", agent));
        call
    }
}

fn asks_for_stream(data: &[u8]) -> bool {
    let body = serde_json::from_slice::<serde_json::Value>(data);
    body.is_ok_and(|body| body.get("stream") == Some(&serde_json::Value::Bool(true)))
}

impl Traffic {
    /// Starts it, and follows who answers.
    pub(crate) async fn start(
        cluster: &Cluster,
        route: &Route,
        shift: &Shift,
        token: &str,
        load: Load,
        clock: Clock,
    ) -> Traffic {
        let mut route = route.clone();
        // Before its first share the route does not lead to the canary.
        if !route.services.contains(&shift.canary.service) {
            route.services.push(shift.canary.service.clone());
            route.selectors.push(shift.canary.pods.clone());
        }
        let names = [
            shift.stable.workload.as_str(),
            shift.canary.workload.as_str(),
        ];
        let watch = Watch::start(cluster, &route, token, &names).await;
        let shared = Arc::new(Shared::default());
        let (stop, mut stopped) = watch::channel(false);
        let header = load.header.clone();
        let (load, kept, token) = (Arc::new(load), Arc::clone(&shared), token.to_owned());
        let task = tokio::spawn(async move {
            let plan = schedule::Plan {
                begin: clock.now(),
                rate: load.rate,
                count: None,
                in_flight: MOST_OPEN,
            };
            let stop = async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            schedule::open_loop(clock, plan, stop, |slot| {
                let number = slot.index + 1;
                let (call, load, kept) = (load.call(&token, number), load.clone(), kept.clone());
                kept.open.fetch_add(1, Ordering::Relaxed);
                async move {
                    let exchange = send(&load.target, &call, clock, slot.intended).await;
                    kept.open.fetch_sub(1, Ordering::Relaxed);
                    let mut ended = kept.ended.lock().unwrap_or_else(PoisonError::into_inner);
                    ended.push((number, exchange));
                }
            })
            .await;
        });
        Traffic {
            clock,
            watch,
            header,
            shared,
            pending: Vec::new(),
            stop,
            task,
        }
    }

    /// The time on its clock.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The requests of which it became known who answered, or of which it is not waited for any
    /// longer.
    pub(crate) fn take(&mut self, shift: &Shift) -> Vec<Answer> {
        {
            let mut ended = self
                .shared
                .ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.pending.append(&mut ended);
        }
        let now = self.clock.now();
        let mut answers = Vec::new();
        self.pending.retain(|(number, exchange)| {
            let header = self.header.as_deref();
            let replica = self.watch.replica(*number, exchange, self.clock, header);
            let version = version_of(&replica, shift);
            let is_old = exchange
                .stamps
                .end
                .is_none_or(|end| now.saturating_sub(end) > PATIENCE);
            let is_settled = version != Version::Unknown || is_old;
            if is_settled {
                answers.push(answer(exchange, version));
            }
            !is_settled
        });
        answers
    }

    /// Starts no more requests, and lets those that are open end within this time.
    pub(crate) async fn stop(mut self, within: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn answer(exchange: &Exchange, version: Version) -> Answer {
    let first = match &exchange.stream {
        Some(_) => exchange.stamps.first_token,
        None => exchange.stamps.first_byte,
    };
    let failure = exchange
        .failure
        .as_ref()
        .map(|failure| match failure.cause {
            Cause::Http => exchange
                .status
                .map_or_else(|| "http".to_owned(), |status| status.to_string()),
            cause => cause.as_str().to_owned(),
        });
    Answer {
        started: exchange.started,
        version,
        is_stream: exchange.stream.is_some(),
        is_lost: exchange.stream.is_some() && failure.is_some(),
        first_token: first
            .filter(|_| exchange.status.is_some_and(|status| status < 400))
            .map(|at| at.saturating_sub(exchange.intended).as_secs_f64()),
        failure,
    }
}

/// Which version a replica is of: by its Service, its workload, or its name.
fn version_of(replica: &Replica, shift: &Shift) -> Version {
    let of = |is: &dyn Fn(&infer_canary::shift::Side) -> bool| match (
        is(&shift.stable),
        is(&shift.canary),
    ) {
        (true, false) => Some(Version::Stable),
        (false, true) => Some(Version::Canary),
        _ => None,
    };
    if replica.grade.is_none() {
        return Version::Unknown;
    }
    let pod = replica.pod.as_deref().or(replica.header.as_deref());
    of(&|side| replica.services.contains(&side.service))
        .or_else(|| of(&|side| replica.workload.as_ref() == Some(&side.workload)))
        .or_else(|| of(&|side| pod.is_some_and(|pod| is_named_after(pod, &side.workload))))
        .unwrap_or(Version::Unknown)
}
