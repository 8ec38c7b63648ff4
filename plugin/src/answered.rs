//! Who answered: from a response header, or from the access log of the proxy in front.

use crate::interrupt::Interrupt;
use crate::proxy;
use crate::route::{Gap, Route};
use infer_cluster::endpoints::History;
use infer_cluster::{Change, Cluster, Feed, LogLine, RequestError, Selector, Since, What};
use infer_traffic::attribution::{self, LogEntry};
use infer_traffic::{Clock, ConnectTo, Exchange};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long after the last answer its line in the log is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// A log that opens later than this many seconds may lack the first lines. The node counts them, so
/// its clock need not be ours.
const OPENED_WITHIN: u32 = 10;

/// How surely it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// A response header names it.
    Direct,
    /// The proxy's access log names it, joined by the request's own user agent.
    Joined,
}

impl Grade {
    /// Its name in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Grade::Direct => "A direct",
            Grade::Joined => "A joined",
        }
    }
}

/// Who answered one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Replica {
    /// Name of the pod.
    pub(crate) pod: Option<String>,
    /// Its address, as header or log name it.
    pub(crate) address: Option<String>,
    /// Every try of the proxy, in order; empty where they are unknown.
    pub(crate) attempts: Vec<Tried>,
    /// How surely; none is unknown.
    pub(crate) grade: Option<Grade>,
    /// What it was read from, or why it is unknown.
    pub(crate) reason: String,
}

/// One try of the proxy at one replica.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tried {
    /// Address of the replica.
    pub(crate) address: String,
    /// Its pod, where an EndpointSlice knew it.
    pub(crate) pod: Option<String>,
    /// What it answered; none where it did not.
    pub(crate) status: Option<u16>,
    /// For how long.
    pub(crate) seconds: Option<f64>,
}

impl Replica {
    /// Nobody knows, and why.
    pub(crate) fn unknown(reason: impl Into<String>) -> Replica {
        Replica {
            reason: reason.into(),
            ..Replica::default()
        }
    }

    /// The replica that a response header names.
    pub(crate) fn in_headers(
        headers: &[(String, String)],
        configured: Option<&str>,
        pod_of: impl Fn(&str) -> Option<String>,
    ) -> Option<Replica> {
        let served = attribution::served_by(headers, configured)?;
        let address = served.address.map(|address| address.to_string());
        let pod = match &address {
            Some(address) => pod_of(address),
            None => Some(served.value.clone()),
        };
        Some(Replica {
            pod,
            address,
            attempts: Vec::new(),
            grade: Some(Grade::Direct),
            reason: format!("response header {}", served.header),
        })
    }

    /// What counts hits: the pod, else the address, with the grade.
    pub(crate) fn name(&self) -> Option<(String, Grade)> {
        let grade = self.grade?;
        let name = self.pod.clone().or_else(|| self.address.clone())?;
        Some((name, grade))
    }
}

/// Logs and endpoints that are followed during a run. Following ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    heard: Arc<Mutex<Heard>>,
    tasks: JoinSet<()>,
    /// Logs that are followed.
    logs: usize,
    proxies: Option<usize>,
    gaps: Vec<Gap>,
}

/// What came in so far.
#[derive(Debug, Default)]
struct Heard {
    /// Lines about this run, by the number of the request.
    lines: HashMap<u64, LogEntry>,
    /// A line that names this run and cannot be read.
    unreadable: Option<String>,
    /// Logs that do not come in, and why.
    silent: Vec<RequestError>,
    history: History,
}

/// What was heard.
#[derive(Debug)]
pub(crate) struct Watched {
    /// How many of the proxy's pods there are.
    pub(crate) proxies: Option<usize>,
    /// What could not be read.
    pub(crate) gaps: Vec<Gap>,
    heard: Heard,
    /// The clock of the exchanges.
    clock: Clock,
    /// Why a request without a line is one of nobody.
    why: String,
}

impl Watch {
    /// Finds the proxy in front of a route and follows its logs, and the endpoints behind it.
    pub(crate) async fn start(cluster: &Cluster, route: &Route, run: &str) -> Watch {
        let mut watch = Watch {
            heard: Arc::default(),
            tasks: JoinSet::new(),
            logs: 0,
            proxies: None,
            gaps: Vec::new(),
        };
        for service in &route.services {
            let slices = Selector::slices_of(service);
            let slices = cluster.follow(What::EndpointSlice, Some(&route.namespace), &slices);
            watch.tasks.spawn(endpoints(slices, watch.heard.clone()));
        }
        let ConnectTo::Address(address) = route.target.connect_to else {
            return watch;
        };
        match proxy::in_front(cluster, address).await {
            Ok(proxies) => {
                watch.proxies = Some(proxies.pods);
                watch.logs = proxies.logs.len();
                for (pod, container) in proxies.logs {
                    let log = cluster.follow_log(
                        &pod.namespace,
                        &pod.name,
                        Some(&container),
                        Since::Seconds(OPENED_WITHIN),
                    );
                    let lines = lines(log, run.to_owned(), watch.heard.clone());
                    watch.tasks.spawn(lines);
                }
            }
            Err(gap) => watch.gaps.push(gap),
        }
        watch
    }

    /// Waits for the lines of these exchanges, a little while at most.
    pub(crate) async fn until_heard(
        mut self,
        exchanges: &[(u64, Exchange)],
        clock: Clock,
        interrupt: &Interrupt,
    ) -> Watched {
        let sent: Vec<u64> = exchanges
            .iter()
            .filter(|(_, exchange)| exchange.stamps.sent.is_some())
            .map(|(sequence, _)| *sequence)
            .collect();
        let complete = async {
            loop {
                {
                    let heard = lock(&self.heard);
                    let all = sent.iter().all(|it| heard.lines.contains_key(it));
                    if all || heard.silent.len() >= self.logs || heard.unreadable.is_some() {
                        return;
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        // Late lines are said as missing.
        let _ = interrupt.or(tokio::time::timeout(PATIENCE, complete)).await;
        self.tasks.abort_all();
        let heard = std::mem::take(&mut *lock(&self.heard));
        let mut gaps = self.gaps;
        for error in &heard.silent {
            let gap = Gap::of("what the proxy's log says", error);
            if !gaps.contains(&gap) {
                gaps.push(gap);
            }
        }
        let why = match (gaps.first(), &heard.unreadable) {
            (Some(gap), _) => gap.why.clone(),
            (None, Some(line)) => {
                format!("the proxy's log has another format than ingress-nginx's default: {line}")
            }
            (None, None) if self.logs == 0 => "no proxy was found whose log could tell".to_owned(),
            (None, None) => format!(
                "the proxy's log had no line of this request within {} s; --replica-header NAME \
                 where the server sends one",
                PATIENCE.as_secs()
            ),
        };
        Watched {
            proxies: self.proxies,
            gaps,
            heard,
            clock,
            why,
        }
    }
}

impl Watched {
    /// Nothing was followed, for this reason.
    pub(crate) fn nobody(why: &str, clock: Clock) -> Watched {
        Watched {
            proxies: None,
            gaps: Vec::new(),
            heard: Heard::default(),
            clock,
            why: why.to_owned(),
        }
    }

    /// Who answered the request of this number: the response header, then the proxy's log.
    pub(crate) fn replica(
        &self,
        sequence: u64,
        exchange: &Exchange,
        header: Option<&str>,
    ) -> Replica {
        let at = self.clock.instant(exchange.started).into_std();
        let pod_of = |address: &str| self.heard.history.who(address, at).map(str::to_owned);
        let line = self.heard.lines.get(&sequence);
        let attempts: Vec<Tried> = line
            .into_iter()
            .flat_map(|line| &line.attempts)
            .map(|attempt| Tried {
                pod: pod_of(&attempt.address),
                address: attempt.address.clone(),
                status: attempt.status,
                seconds: attempt.seconds,
            })
            .collect();
        if let Some(direct) = Replica::in_headers(&exchange.headers, header, pod_of) {
            return Replica { attempts, ..direct };
        }
        match (line, attempts.last()) {
            (Some(_), Some(last)) => Replica {
                pod: last.pod.clone(),
                address: Some(last.address.clone()),
                grade: Some(Grade::Joined),
                reason: "the proxy's log".to_owned(),
                attempts,
            },
            (Some(_), None) => Replica::unknown(
                "the proxy answered by itself: its log has no replica for this request",
            ),
            (None, _) if exchange.stamps.connected.is_none() => {
                Replica::unknown("there was no connection, so nobody answered")
            }
            (None, _) => Replica::unknown(self.why.clone()),
        }
    }
}

/// Keeps the history of a Service's endpoints.
async fn endpoints(mut slices: Feed<Change>, heard: Arc<Mutex<Heard>>) {
    while let Some(change) = slices.next().await {
        lock(&heard).history.apply(&change);
    }
}

/// Keeps the lines of a log that are about this run.
async fn lines(
    mut log: Feed<Result<LogLine, RequestError>>,
    run: String,
    heard: Arc<Mutex<Heard>>,
) {
    let named = format!("({run}/");
    while let Some(line) = log.next().await {
        match line {
            Err(error) if error.is_passing() => {}
            Err(error) => lock(&heard).silent.push(error),
            // Most lines are of other clients: those are not taken apart.
            Ok(line) if !line.text.contains(&named) => {}
            Ok(line) => {
                let entry = attribution::parse_log_line(&line.text);
                let token = entry.as_ref().and_then(|entry| entry.token.clone());
                let mut heard = lock(&heard);
                match (entry, token) {
                    (Some(entry), Some(token)) if token.run == run => {
                        heard.lines.insert(token.sequence, entry);
                    }
                    _ => heard.unreadable = Some(line.text),
                }
            }
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    // A panic elsewhere leaves whole entries behind.
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
