//! The lanes of a drill: what is sent, and what became of each request, also of those that are
//! still open.

use infer_drill::lane::{Lane, Load};
use infer_drill::sample::{Attempt, End, Sample};
use infer_drill::{Moment, timeline};
use infer_traffic::attribution::{Token, user_agent};
use infer_traffic::{Call, Clock, Exchange, Header, Target, schedule, send};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Requests of a lane that may be open at once: each has a socket.
const MOST_OPEN: usize = 200;
/// From the start of a stream to the start of the next in its slot, at least: a route that refuses
/// streams is not asked as fast as it refuses.
const SLOT: Duration = Duration::from_millis(250);
/// Between the first starts of two streams, so that they do not all end at the same moment.
const STAGGER: Duration = Duration::from_millis(120);

/// What one lane sends, without the user agent.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Which lane.
    pub(crate) lane: Lane,
    /// Where to.
    pub(crate) target: Target,
    /// What.
    pub(crate) call: Call,
}

/// A request as it was begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    lane: Lane,
    sequence: u64,
    number: u64,
    intended: Duration,
    started: Duration,
}

/// A request that has ended.
#[derive(Clone, Debug)]
struct Ended {
    begun: Begun,
    exchange: Exchange,
}

#[derive(Debug, Default)]
struct Kept {
    open: HashMap<u64, Begun>,
    ended: Vec<Ended>,
    skipped: u64,
}

/// The traffic of a run. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    lanes: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    run: String,
    numbers: AtomicU64,
    kept: Mutex<Kept>,
}

impl Traffic {
    /// Starts all lanes. Needs a tokio runtime.
    pub(crate) fn start(clock: Clock, run: &str, load: &Load, templates: Vec<Template>) -> Traffic {
        let shared = Arc::new(Shared {
            clock,
            run: run.to_owned(),
            numbers: AtomicU64::new(1),
            kept: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut lanes = JoinSet::new();
        let begin = clock.now();
        for (index, template) in templates.into_iter().enumerate() {
            let template = Arc::new(template);
            if template.lane.is_open_loop() {
                // Lanes that start in step would hit the same moment each time.
                let offset = load.precision() / 2 * u32::try_from(index).unwrap_or_default();
                let plan = schedule::Plan {
                    begin: begin + offset,
                    rate: load.rate,
                    count: None,
                    in_flight: MOST_OPEN,
                };
                lanes.spawn(Arc::clone(&shared).scheduled(plan, template, stopped.clone()));
                continue;
            }
            for slot in 0..load.streams {
                let start = begin + STAGGER * slot;
                let template = Arc::clone(&template);
                lanes.spawn(Arc::clone(&shared).slot(slot, start, template, stopped.clone()));
            }
        }
        Traffic {
            shared,
            stop,
            lanes,
        }
    }

    /// Starts no more requests and lets go of streams. Short requests that are open may end within
    /// this time; the others are let go too.
    pub(crate) async fn stop(&mut self, settle: Duration) {
        self.stop.send_replace(true);
        let ended = async { while self.lanes.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(settle, ended).await;
        self.lanes.shutdown().await;
    }

    /// How many requests were left out because too many were open.
    pub(crate) fn skipped(&self) -> u64 {
        self.shared.lock().skipped
    }

    /// How many requests of a lane are open.
    pub(crate) fn open(&self, lane: Lane) -> usize {
        let kept = self.shared.lock();
        kept.open.values().filter(|it| it.lane == lane).count()
    }

    /// Every request so far, with T0 at this time of the run's clock. `attempts` says where the
    /// proxy sent the request of a number.
    pub(crate) fn samples(
        &self,
        t0: Duration,
        attempts: impl Fn(u64) -> Option<Vec<Attempt>>,
    ) -> Vec<Sample> {
        let now = self.shared.clock.now();
        let kept = self.shared.lock();
        let moment = |at: Duration| moment(at, t0);
        let begun = |begun: &Begun| Sample {
            lane: begun.lane,
            sequence: begun.sequence,
            token: format!("{}/{}", self.shared.run, begun.number),
            local_port: None,
            intended: moment(begun.intended),
            started: moment(begun.started),
            ended: moment(now),
            end: End::Open,
            status: None,
            bytes: 0,
            content_events: 0,
            last_content: None,
            attempts: attempts(begun.number),
        };
        let ended = kept.ended.iter().map(|ended| {
            let exchange = &ended.exchange;
            let stream = exchange.stream.as_ref();
            Sample {
                local_port: exchange.local.map(|local| local.port()),
                started: moment(exchange.started),
                ended: moment(exchange.stamps.end.unwrap_or(now)),
                end: match &exchange.failure {
                    None => End::Answered,
                    Some(failure) => End::Failed {
                        cause: failure.cause.as_str().to_owned(),
                        message: failure.message.clone(),
                    },
                },
                status: exchange.status,
                bytes: exchange.bytes,
                content_events: stream.map_or(0, |seen| seen.content_events),
                last_content: stream
                    .and_then(|seen| seen.content_stamps.last())
                    .map(|at| moment(*at)),
                ..begun(&ended.begun)
            }
        });
        let open = kept.open.values().map(begun);
        ended.chain(open).collect()
    }

    /// Numbers of the requests that got an answer of HTTP and whose log line is therefore to come.
    pub(crate) fn answered(&self) -> Vec<u64> {
        let kept = self.shared.lock();
        let answered = kept.ended.iter().filter(|it| it.exchange.status.is_some());
        answered.map(|it| it.begun.number).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves whole entries behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn scheduled(
        self: Arc<Shared>,
        plan: schedule::Plan,
        template: Arc<Template>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let stop = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let shared = Arc::clone(&self);
        let driven = schedule::open_loop(self.clock, plan, stop, move |slot| {
            let shared = Arc::clone(&shared);
            let template = Arc::clone(&template);
            async move { shared.one(&template, slot.index, Some(slot.intended)).await }
        })
        .await;
        self.lock().skipped += driven.skipped.len() as u64;
    }

    /// Keeps one stream open, starting the next where one ends.
    async fn slot(
        self: Arc<Shared>,
        slot: u32,
        start: Duration,
        template: Arc<Template>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let work = async {
            let mut next = start;
            let mut sequence = u64::from(slot) << 32;
            loop {
                tokio::time::sleep_until(self.clock.instant(next)).await;
                next = self.clock.now() + SLOT;
                self.one(&template, sequence, None).await;
                sequence += 1;
            }
        };
        tokio::select! {
            () = work => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn one(&self, template: &Template, sequence: u64, intended: Option<Duration>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let token = Token {
            run: self.run.clone(),
            sequence: number,
        };
        let mut call = template.call.clone();
        let agent = user_agent(env!("CARGO_PKG_VERSION"), &token);
        call.headers.insert(0, Header::new("user-agent", agent));
        let started = self.clock.now();
        let begun = Begun {
            lane: template.lane,
            sequence,
            number,
            intended: intended.unwrap_or(started),
            started,
        };
        self.lock().open.insert(number, begun);
        let exchange = send(&template.target, &call, self.clock, begun.intended).await;
        let mut kept = self.lock();
        kept.open.remove(&number);
        kept.ended.push(Ended { begun, exchange });
    }
}

/// A time of the run's clock as a moment of the drill.
pub(crate) fn moment(at: Duration, t0: Duration) -> Moment {
    if at >= t0 {
        Moment::after(at - t0)
    } else {
        Moment::before(t0 - at)
    }
}

/// An event of the cluster, on the run's clock.
#[derive(Clone, Debug)]
pub(crate) struct Stamped {
    /// When.
    pub(crate) at: Duration,
    /// The event, but for its time.
    pub(crate) event: timeline::Event,
}

impl Stamped {
    /// With T0 at this time.
    pub(crate) fn event(&self, t0: Duration) -> timeline::Event {
        timeline::Event {
            at: moment(self.at, t0),
            ..self.event.clone()
        }
    }
}
