//! What the cluster does during a drill, on the run's clock: pods, EndpointSlices, and the log of
//! the proxy in front.

use super::pods::Pod;
use super::traffic::Stamped;
use infer_cluster::endpoints::{History, PodName};
use infer_cluster::{
    Change, Cluster, Feed, Happened, LogLine, RequestError, Selector, Since, What,
};
use infer_drill::Moment;
use infer_drill::sample::Attempt;
use infer_drill::timeline::{Event, Mood};
use infer_drill::verify::Seen;
use infer_traffic::Clock;
use infer_traffic::attribution::{LogEntry, parse_log_line};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Lines from so long before the log opens: the first of a run may be written by then. The node
/// counts the seconds, so its clock need not be ours.
const OPENED: Since = Since::Seconds(10);

/// What is followed.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// Namespace of Service and pods.
    pub(crate) namespace: String,
    /// The Service behind the route.
    pub(crate) service: String,
    /// Its selector, as kubectl's `-l` takes it.
    pub(crate) selector: String,
    /// The server's container.
    pub(crate) container: String,
    /// Name of the victim.
    pub(crate) victim: String,
    /// Its address, without a port.
    pub(crate) victim_ip: String,
    /// The proxy's pods, each with the container that writes the log.
    pub(crate) proxies: Vec<(PodName, String)>,
    /// Name of the run.
    pub(crate) run: String,
}

/// Followers at work. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    followed: Followed,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    pods: BTreeMap<String, Pod>,
    are_pods_listed: bool,
    are_slices_listed: bool,
    history: History,
    /// What was seen of the pod of the victim's name, with the times.
    looks: Vec<(Duration, Seen)>,
    events: Vec<Stamped>,
    /// Lines of the proxy's log about this run, by the request's number.
    lines: HashMap<u64, (Instant, LogEntry)>,
    /// Why lines do not come in.
    log_trouble: Option<String>,
    /// Why news do not come in.
    trouble: Option<String>,
}

impl Watch {
    /// Starts to follow. Needs a tokio runtime.
    pub(crate) fn start(cluster: &Cluster, clock: Clock, followed: Followed) -> Watch {
        let mut tasks = JoinSet::new();
        let namespace = Some(followed.namespace.as_str());
        let pods = Selector::labels(followed.selector.clone());
        let pods = cluster.follow(What::Pod, namespace, &pods);
        let slices = Selector::slices_of(&followed.service);
        let slices = cluster.follow(What::EndpointSlice, namespace, &slices);
        let logs: Vec<_> = followed
            .proxies
            .iter()
            .map(|(pod, container)| {
                cluster.follow_log(&pod.namespace, &pod.name, Some(container), OPENED)
            })
            .collect();
        let shared = Arc::new(Shared {
            clock,
            followed,
            facts: Mutex::default(),
        });
        tasks.spawn(Arc::clone(&shared).follow(pods, Shared::pod));
        tasks.spawn(Arc::clone(&shared).follow(slices, Shared::slice));
        for log in logs {
            tasks.spawn(Arc::clone(&shared).log(log));
        }
        Watch {
            shared,
            _tasks: tasks,
        }
    }

    /// Returns when the first look at pods and EndpointSlices is complete.
    ///
    /// # Errors
    ///
    /// Where it is not, why not.
    pub(crate) async fn listed(&self, limit: Duration) -> Result<(), String> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            {
                let facts = self.shared.lock();
                if facts.are_pods_listed && facts.are_slices_listed {
                    return Ok(());
                }
                if let Some(trouble) = &facts.trouble {
                    return Err(trouble.clone());
                }
            }
            if tokio::time::Instant::now() >= end {
                return Err("pods and EndpointSlices were not listed in time".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The pod of this uid.
    pub(crate) fn pod(&self, uid: &str) -> Option<Pod> {
        self.shared.lock().pods.get(uid).cloned()
    }

    /// The pods behind the Service.
    pub(crate) fn pods(&self) -> Vec<Pod> {
        self.shared.lock().pods.values().cloned().collect()
    }

    /// What was seen of the victim since the first `after` looks.
    pub(crate) fn looks(&self, after: usize) -> Vec<(Duration, Seen)> {
        let facts = self.shared.lock();
        facts.looks.get(after..).unwrap_or_default().to_vec()
    }

    /// What happened, so far.
    pub(crate) fn events(&self) -> Vec<Stamped> {
        self.shared.lock().events.clone()
    }

    /// Where the proxy sent the request of this number; `None` where no line tells.
    pub(crate) fn attempts(&self, number: u64) -> Option<Vec<Attempt>> {
        let facts = self.shared.lock();
        let (at, entry) = facts.lines.get(&number)?;
        let followed = &self.shared.followed;
        let attempt = |attempt: &infer_traffic::attribution::Attempt| {
            let pod = facts.history.who(&attempt.address, *at);
            let ip = attempt.address.rsplit_once(':').map_or("", |(ip, _)| ip);
            let ip = ip.trim_start_matches('[').trim_end_matches(']');
            Attempt {
                is_victim: ip == followed.victim_ip && pod.is_none_or(|pod| pod == followed.victim),
                pod: pod.map(str::to_owned),
                address: attempt.address.clone(),
                status: attempt.status,
            }
        };
        Some(entry.attempts.iter().map(attempt).collect())
    }

    /// How many of these requests have a line.
    pub(crate) fn lines_of(&self, numbers: &[u64]) -> usize {
        let facts = self.shared.lock();
        let has = |number: &&u64| facts.lines.contains_key(number);
        numbers.iter().filter(has).count()
    }

    /// Whether any line of this run came.
    pub(crate) fn is_log_read(&self) -> bool {
        !self.shared.lock().lines.is_empty()
    }

    /// Why lines of the proxy's log do not come in.
    pub(crate) fn log_trouble(&self) -> Option<String> {
        self.shared.lock().log_trouble.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        // A panic elsewhere leaves whole entries behind.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(
        self: Arc<Shared>,
        mut feed: Feed<Change>,
        take: fn(&Shared, &mut Facts, &Change),
    ) {
        while let Some(change) = feed.next().await {
            let mut facts = self.lock();
            match &change.what {
                Happened::Interrupted(reason) => {
                    facts.trouble = Some(reason.clone());
                    let text = format!("news of the cluster interrupted: {reason}");
                    self.event(
                        &mut facts,
                        change.at,
                        "watch-interrupted",
                        Mood::Doubtful,
                        text,
                    );
                }
                Happened::Resumed => {
                    facts.trouble = None;
                    let text = "news of the cluster come in again".to_owned();
                    self.event(&mut facts, change.at, "watch-resumed", Mood::Plain, text);
                }
                Happened::Appeared | Happened::Changed | Happened::Gone | Happened::Listed => {
                    take(&self, &mut facts, &change);
                }
            }
        }
    }

    fn event(&self, facts: &mut Facts, at: Instant, what: &'static str, mood: Mood, text: String) {
        facts.events.push(Stamped {
            at: self.clock.at(at),
            event: Event::cluster(Moment::T0, what, mood, text),
        });
    }

    fn pod(&self, facts: &mut Facts, change: &Change) {
        if change.what == Happened::Listed {
            facts.are_pods_listed = true;
            return;
        }
        let pod = Pod::of(&change.object, &self.followed.container);
        let is_gone = change.what == Happened::Gone;
        if pod.name == self.followed.victim {
            let look = (self.clock.at(change.at), pod.seen(is_gone));
            facts.looks.push(look);
        }
        if is_gone {
            facts.pods.remove(&pod.uid);
            let text = format!("pod/{} gone", pod.name);
            self.event(facts, change.at, "pod-gone", Mood::Plain, text);
            return;
        }
        let before = facts.pods.insert(pod.uid.clone(), pod.clone());
        if !facts.are_pods_listed {
            return;
        }
        for (what, mood, text) in pod.changes(before.as_ref()) {
            self.event(facts, change.at, what, mood, text);
        }
    }

    fn slice(&self, facts: &mut Facts, change: &Change) {
        if change.what == Happened::Listed {
            facts.are_slices_listed = true;
            return;
        }
        let victim = &self.followed.victim;
        let look = |history: &History| {
            let victim_is_in = history
                .at(change.at)
                .iter()
                .any(|it| it.ready && it.pod.as_ref().is_some_and(|pod| pod.name == *victim));
            (history.count_at(change.at), victim_is_in)
        };
        let (before, was_in) = look(&facts.history);
        facts.history.apply(change);
        let (after, is_in) = look(&facts.history);
        if !facts.are_slices_listed || (before == after && was_in == is_in) {
            return;
        }
        let what = match (was_in, is_in) {
            (true, false) => "endpoint-left",
            (false, true) => "endpoint-joined",
            _ => "endpoints-changed",
        };
        let terminating = match after.terminating {
            0 => String::new(),
            number => format!(", {number} terminating"),
        };
        let of_victim = match (was_in, is_in) {
            (true, false) => ", victim out",
            (false, true) => ", victim in",
            _ => "",
        };
        let text = format!(
            "EndpointSlice {} ready{terminating}{of_victim}",
            after.ready
        );
        self.event(facts, change.at, what, Mood::Plain, text);
    }

    async fn log(self: Arc<Shared>, mut feed: Feed<Result<LogLine, RequestError>>) {
        while let Some(line) = feed.next().await {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    self.lock().log_trouble = Some(error.message());
                    continue;
                }
            };
            let Some(entry) = parse_log_line(&line.text) else {
                continue;
            };
            let Some(token) = entry.token.clone() else {
                continue;
            };
            if token.run == self.followed.run {
                self.lock().lines.insert(token.sequence, (line.at, entry));
            }
        }
    }
}
