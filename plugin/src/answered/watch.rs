//! Logs, endpoints and pods that are followed during a run.

use super::{Grade, Replica, Tried, names};
use crate::interrupt::Interrupt;
use crate::proxy;
use crate::route::{Gap, Route};
use infer_cluster::endpoints::History;
use infer_cluster::{
    Change, Cluster, Feed, Happened, LogLine, RequestError, Selector, Since, What,
};
use infer_core::object;
use infer_traffic::attribution::Logged;
use infer_traffic::{Clock, ConnectTo, Exchange};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long after the last answer its line in the log is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// A log that opens later than this many seconds may lack the first lines. The node counts them, so
/// its clock need not be ours.
const OPENED_WITHIN: u32 = 10;

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
    /// Namespace of the Services.
    namespace: String,
    /// The Services behind the route.
    services: Vec<String>,
    /// Lines about this run, by the number of the request.
    lines: HashMap<u64, Logged>,
    /// A line that names this run and cannot be read.
    unreadable: Option<String>,
    /// Logs that do not come in, and why.
    silent: Vec<RequestError>,
    /// The endpoints of each Service.
    slices: BTreeMap<String, History>,
    /// The workload of each pod that was seen; none where it has no owner.
    pods: BTreeMap<String, Option<String>>,
    /// Workloads that were asked for by name and are there, with pods or without.
    workloads: BTreeSet<String>,
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

/// What there is behind a route, for names that a person gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behind {
    /// The Services.
    pub(crate) services: Vec<String>,
    /// The workloads whose pods are behind them.
    pub(crate) workloads: BTreeSet<String>,
    /// The pods behind them.
    pub(crate) pods: BTreeSet<String>,
}

impl Watch {
    /// Finds the proxy in front of a route and follows its logs, and the endpoints behind it; where
    /// backends are asked for by these names, the pods too.
    pub(crate) async fn start(
        cluster: &Cluster,
        route: &Route,
        run: &str,
        names: &[&str],
    ) -> Watch {
        let mut watch = Watch {
            heard: Arc::new(Mutex::new(Heard {
                namespace: route.namespace.clone(),
                services: route.services.clone(),
                ..Heard::default()
            })),
            tasks: JoinSet::new(),
            logs: 0,
            proxies: None,
            gaps: Vec::new(),
        };
        let namespace = Some(route.namespace.as_str());
        for service in &route.services {
            let slices = Selector::slices_of(service);
            let slices = cluster.follow(What::EndpointSlice, namespace, &slices);
            let task = endpoints(slices, service.clone(), watch.heard.clone());
            watch.tasks.spawn(task);
        }
        // One that is scaled to nothing has no pod that would tell of it.
        for name in names
            .iter()
            .filter(|it| route.services.iter().all(|own| own != *it))
        {
            for what in [What::Deployment, What::StatefulSet] {
                if cluster.get(what, namespace, name).await.is_ok() {
                    lock(&watch.heard).workloads.insert((*name).to_owned());
                }
            }
        }
        for selector in route.selectors.iter().filter(|_| !names.is_empty()) {
            let selected = Selector::labels(selector.clone());
            let selected = cluster.follow(What::Pod, namespace, &selected);
            watch.tasks.spawn(pods(selected, watch.heard.clone()));
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

    /// Who answered, as far as it is known while the run goes on.
    pub(crate) fn replica(
        &self,
        sequence: u64,
        exchange: &Exchange,
        clock: Clock,
        header: Option<&str>,
    ) -> Replica {
        let at = clock.instant(exchange.started).into_std();
        lock(&self.heard).replica(sequence, exchange, at, header, "")
    }

    /// What is behind the route, as far as it is known.
    pub(crate) fn behind(&self) -> Behind {
        lock(&self.heard).behind()
    }

    /// Waits for the lines of these exchanges, a little while at most.
    pub(crate) async fn until_heard(
        mut self,
        sent: &[u64],
        clock: Clock,
        interrupt: &Interrupt,
    ) -> Watched {
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
            (None, Some(line)) => format!(
                "the proxy's log has another format than the defaults of ingress-nginx and Envoy: \
                 {line}"
            ),
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
        self.heard
            .replica(sequence, exchange, at, header, &self.why)
    }

    /// What was behind the route.
    pub(crate) fn behind(&self) -> Behind {
        self.heard.behind()
    }
}

impl Heard {
    fn behind(&self) -> Behind {
        let now = Instant::now();
        let each = self.slices.values().flat_map(|slices| slices.at(now));
        let listed = each.filter_map(|it| it.pod.as_ref().map(|pod| pod.name.clone()));
        Behind {
            services: self.services.clone(),
            workloads: self
                .pods
                .values()
                .flatten()
                .chain(&self.workloads)
                .cloned()
                .collect(),
            pods: self.pods.keys().cloned().chain(listed).collect(),
        }
    }

    fn replica(
        &self,
        sequence: u64,
        exchange: &Exchange,
        at: Instant,
        header: Option<&str>,
        why: &str,
    ) -> Replica {
        let pod_of = |address: &str| self.pod_of(address, at);
        let line = self.lines.get(&sequence);
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
        let upstream = line.and_then(|line| line.upstream.clone());
        let mut replica =
            if let Some(direct) = Replica::in_headers(&exchange.headers, header, pod_of) {
                Replica { attempts, ..direct }
            } else {
                match (line, upstream) {
                    (Some(_), Some(address)) => Replica {
                        pod: pod_of(&address),
                        address: Some(address),
                        grade: Some(Grade::Joined),
                        reason: "the proxy's log".to_owned(),
                        attempts,
                        ..Replica::default()
                    },
                    (Some(_), None) => Replica::unknown(
                        "the proxy answered by itself: its log has no replica for this request",
                    ),
                    (None, _) if exchange.stamps.connected.is_none() => {
                        Replica::unknown("there was no connection, so nobody answered")
                    }
                    (None, _) => Replica::unknown(why),
                }
            };
        if replica.grade.is_some() {
            let group = line.and_then(|line| line.group.as_ref());
            let named = group.and_then(|group| group.among(&self.namespace, &self.services));
            replica.services = match named {
                Some(service) => vec![service.to_owned()],
                None => self.services_of(&replica, at),
            };
            replica.subset = group.and_then(|it| it.subset()).map(str::to_owned);
            let owner = replica.pod.as_ref().and_then(|pod| self.pods.get(pod));
            replica.workload = owner.cloned().flatten();
        }
        replica
    }

    fn pod_of(&self, address: &str, at: Instant) -> Option<String> {
        let mut each = self.slices.values();
        each.find_map(|slices| slices.who(address, at).map(str::to_owned))
    }

    /// The Services that have this pod or address among their endpoints.
    fn services_of(&self, replica: &Replica, at: Instant) -> Vec<String> {
        let address = replica.address.as_deref().and_then(split);
        let now = Instant::now();
        let has = |slices: &History| {
            // What a proxy knows is a little older or newer than what is told here.
            let mut known = slices.at(at).into_iter().chain(slices.at(now));
            known.any(|it| {
                let pod = it.pod.as_ref().map(|pod| &pod.name);
                let at = address.is_some_and(|(ip, port)| {
                    it.address.parse() == Ok(ip)
                        && port.is_none_or(|port| it.ports.is_empty() || it.ports.contains(&port))
                });
                at || (pod.is_some() && pod == replica.pod.as_ref())
            })
        };
        let each = self.slices.iter().filter(|(_, slices)| has(slices));
        each.map(|(service, _)| service.clone()).collect()
    }
}

/// Address and port of `10.244.0.7:8080`, or an address alone.
fn split(address: &str) -> Option<(IpAddr, Option<u16>)> {
    match address.parse::<SocketAddr>() {
        Ok(address) => Some((address.ip(), Some(address.port()))),
        Err(_) => Some((address.parse().ok()?, None)),
    }
}

/// Keeps the history of a Service's endpoints.
async fn endpoints(mut slices: Feed<Change>, service: String, heard: Arc<Mutex<Heard>>) {
    while let Some(change) = slices.next().await {
        let mut heard = lock(&heard);
        let history = heard.slices.entry(service.clone()).or_default();
        history.apply(&change);
    }
}

/// Keeps the workloads of pods. One that is gone may have answered before.
async fn pods(mut pods: Feed<Change>, heard: Arc<Mutex<Heard>>) {
    while let Some(change) = pods.next().await {
        if matches!(change.what, Happened::Appeared | Happened::Changed) {
            let workload = names::workload(&change.object);
            let name = object::name(&change.object).to_owned();
            lock(&heard).pods.insert(name, workload);
        }
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
                let entry = Logged::read(&line.text);
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
