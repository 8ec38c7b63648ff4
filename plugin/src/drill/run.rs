//! The drill itself: baseline, fault, proof, and traffic to the end; then what is needed to report
//! it, however it ended.

use super::follow::Watch;
use super::gather::{Ground, UNKNOWN};
use super::inject::{self, Sent};
use super::lease::Held;
use super::live::Live;
use super::traffic::{Stamped, Template, Traffic, moment};
use crate::interrupt::Interrupt;
use crate::print;
use infer_cluster::Cluster;
use infer_drill::fault::Fault;
use infer_drill::lane::Lane;
use infer_drill::moment::span;
use infer_drill::plan::Plan;
use infer_drill::report::Run;
use infer_drill::sample::Sample;
use infer_drill::timeline::{self, Event, Known, Mood};
use infer_drill::verdict::FaultState;
use infer_drill::verify::{Before, Proof, Verified, verify};
use infer_drill::{Moment, account};
use infer_traffic::Clock;
use std::time::Duration;

/// How long the first look at pods and EndpointSlices may take.
const LISTED: Duration = Duration::from_secs(15);
/// How long the fault may take to be seen, if the traffic does not flow longer anyway.
const VERIFY: Duration = Duration::from_secs(30);
/// How long short requests may take to end after the last was started.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the last lines of the proxy's log may take.
const LAST_LINES: Duration = Duration::from_secs(3);
/// How often things are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often the timeline of clients is made, at first.
const LOOK: Duration = Duration::from_millis(250);
/// A baseline with more failures than this has nothing to say about a fault. Fewer are doubts.
const MOST_BASELINE_ERRORS: f64 = 0.1;
/// Seconds of requests that may be open at once in a lane before the route counts as too slow for
/// the load.
const MOST_BACKLOG: f64 = 10.0;

/// What a drill needs.
#[derive(Debug)]
pub(crate) struct Drill<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) clock: Clock,
    pub(crate) ground: &'a Ground,
    pub(crate) plan: &'a Plan,
    pub(crate) templates: Vec<Template>,
    pub(crate) lease: &'a Held,
    pub(crate) interrupt: &'a Interrupt,
}

/// How it stands while it runs.
struct Standing<'a> {
    drill: &'a Drill<'a>,
    watch: Watch,
    traffic: Traffic,
    /// When the fault is to be sent; when it was, once it was.
    t0: Duration,
    /// Events of our own.
    own: Vec<Stamped>,
    pods: Vec<String>,
    verified: Option<(Duration, Verified)>,
    next_look: Duration,
    done: Vec<String>,
}

impl Drill<'_> {
    /// Runs it to its end, or to the interruption.
    pub(crate) async fn run(mut self, live: &mut Live) -> Run {
        let templates = std::mem::take(&mut self.templates);
        let followed = self.ground.followed(&self.plan.run);
        let watch = Watch::start(self.cluster, self.clock, followed);
        let listed = self.interrupt.or(watch.listed(LISTED)).await;
        let load = self.plan.load;
        let traffic = match &listed {
            Some(Ok(())) => Traffic::start(self.clock, &self.plan.run, &load, templates),
            _ => Traffic::start(self.clock, &self.plan.run, &load, Vec::new()),
        };
        let mut standing = Standing {
            watch,
            traffic,
            t0: self.clock.now() + load.baseline,
            own: Vec::new(),
            pods: Vec::new(),
            verified: None,
            next_look: Duration::ZERO,
            done: Vec::new(),
            drill: &self,
        };
        live.print(&print::drill::header(live.look()));
        let state = match listed {
            Some(Ok(())) => standing.until_the_end(live).await,
            Some(Err(reason)) => FaultState::NotSent(reason),
            None => FaultState::NotSent("interrupted before".to_owned()),
        };
        standing.close(state, live).await
    }
}

impl Standing<'_> {
    fn now(&self) -> Duration {
        self.drill.clock.now()
    }

    fn is_interrupted(&self) -> bool {
        self.drill.interrupt.is_pressed()
    }

    fn own(&mut self, at: Duration, what: &'static str, mood: Mood, text: impl Into<String>) {
        let event = Event::cluster(Moment::T0, what, mood, text);
        self.own.push(Stamped { at, event });
    }

    fn samples(&self) -> Vec<Sample> {
        self.traffic
            .samples(self.t0, |number| self.watch.attempts(number))
    }

    fn cluster_events(&self) -> Vec<Event> {
        let mut stamped = self.watch.events();
        stamped.extend(self.own.clone());
        stamped.sort_by_key(|stamped| stamped.at);
        stamped.iter().map(|it| it.event(self.t0)).collect()
    }

    fn known(&self) -> Known<'_> {
        Known {
            pods: &self.pods,
            restarts: self.drill.plan.fault == Fault::Crash,
            verified: self.verified.as_ref().map(|(at, _)| moment(*at, self.t0)),
        }
    }

    async fn until_the_end(&mut self, live: &mut Live) -> FaultState {
        let load = self.drill.plan.load;
        self.own(
            self.now(),
            "baseline-begins",
            Mood::Plain,
            format!("{} ready, traffic begins", self.drill.plan.ready),
        );
        while self.now() < self.t0 {
            if self.is_interrupted() {
                return FaultState::NotSent("interrupted in the baseline".to_owned());
            }
            live.tell(&self.cluster_events(), moment(self.now(), self.t0));
            tokio::time::sleep(TICK).await;
        }
        let before = match self.ready_for_it() {
            Ok(before) => before,
            Err(reason) => return FaultState::NotSent(reason),
        };
        let failed = self.samples().iter().filter(|it| it.is_failed()).count();
        self.pods = self.watch.pods().into_iter().map(|pod| pod.name).collect();
        let looks = self.watch.looks(0).len();
        let drill = self.drill;
        let (cluster, plan) = (drill.cluster.clone(), drill.plan.clone());
        self.t0 = self.now();
        let sending = tokio::spawn(async move {
            inject::send(&cluster, &plan.namespace, &plan.victim, plan.fault).await
        });
        let begun = timeline::baseline(Moment::T0, failed, self.traffic.open(Lane::STREAMS), None);
        live.tell(std::slice::from_ref(&begun), Moment::after(VERIFY));
        self.own(self.t0, "fault-sent", Mood::Plain, "fault sent");
        let state = self.prove(sending, &before, looks, live).await;
        if matches!(state, FaultState::NotSent(_)) || self.is_interrupted() {
            return state;
        }
        let end = self.t0 + load.duration;
        while self.now() < end && !self.is_interrupted() {
            self.tick(live).await;
        }
        state
    }

    /// Whether the baseline lets the fault be seen, and the cluster still is as it was planned for.
    fn ready_for_it(&self) -> Result<Before, String> {
        let drill = self.drill;
        if let Some(reason) = drill.lease.lost() {
            return Err(reason);
        }
        let samples = self.samples();
        let ended: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.is_answered() || sample.is_failed())
            .collect();
        let failed: Vec<&&Sample> = ended.iter().filter(|sample| sample.is_failed()).collect();
        if ended.is_empty() {
            return Err("no request was answered in the baseline".to_owned());
        }
        if failed.len() as f64 / ended.len() as f64 > MOST_BASELINE_ERRORS
            && let Some(first) = failed.first()
        {
            return Err(format!(
                "the route fails already: {} of {} requests failed in the baseline, the first with {}",
                failed.len(),
                ended.len(),
                first.cause().unwrap_or("http")
            ));
        }
        let most = (drill.plan.load.rate * MOST_BACKLOG).max(10.0);
        if let Some(lane) = [Lane::GET, Lane::POST]
            .into_iter()
            .find(|lane| self.traffic.open(*lane) as f64 > most)
        {
            return Err(format!(
                "the route does not keep up with the load: {} requests of lane {lane} are open; a lower --rate or fewer --streams make a drill of it",
                self.traffic.open(lane)
            ));
        }
        let ready = self
            .watch
            .pods()
            .iter()
            .filter(|pod| pod.is_ready && !pod.is_terminating)
            .count();
        if ready < 2 {
            return Err(format!("{ready} pods are still ready, a drill needs two"));
        }
        let victim = &drill.plan.victim;
        let pod = self
            .watch
            .pod(&victim.uid)
            .filter(|pod| pod.is_ready && !pod.is_terminating)
            .ok_or_else(|| format!("pod/{} is not ready any more", victim.pod))?;
        let planned = drill.ground.pods.iter().find(|it| it.uid == victim.uid);
        if planned.is_some_and(|planned| planned.server.id != pod.server.id) {
            return Err(format!("pod/{} has restarted meanwhile", victim.pod));
        }
        Ok(Before {
            uid: pod.uid,
            container_id: pod.server.id,
            restart_count: pod.server.restarts,
        })
    }

    /// Waits until the fault is seen to have happened.
    async fn prove(
        &mut self,
        sending: tokio::task::JoinHandle<Sent>,
        before: &Before,
        looks: usize,
        live: &mut Live,
    ) -> FaultState {
        let mut sending = Some(sending);
        let mut unknown = None;
        let mut seen = looks;
        let end = self.t0 + VERIFY.max(self.drill.plan.load.duration);
        loop {
            if let Some(task) = sending.take_if(|task| task.is_finished()) {
                match task.await {
                    Ok(Sent::Taken(what)) => self.done.push(what),
                    Ok(Sent::Refused(reason)) => {
                        let text = format!("fault refused: {reason}");
                        self.own(self.now(), "fault-refused", Mood::Doubtful, text);
                        return FaultState::NotSent(reason);
                    }
                    Ok(Sent::Unknown(reason)) => {
                        self.done
                            .push(format!("the fault was sent, and no answer came: {reason}"));
                        unknown = Some(reason);
                    }
                    Err(error) => unknown = Some(error.to_string()),
                }
            }
            for (at, look) in self.watch.looks(seen) {
                seen += 1;
                match verify(self.drill.plan.fault, before, &look) {
                    Proof::NotYet => {}
                    Proof::SomethingElse(what) => {
                        self.abandon(sending).await;
                        return FaultState::NotVerified(what);
                    }
                    Proof::Verified(verified) => {
                        let text = format!("verified: {}", verified.what);
                        self.own(at, "verified", Mood::Good, text);
                        self.verified = Some((at, verified));
                        self.abandon(sending).await;
                        return FaultState::Verified;
                    }
                }
            }
            if self.is_interrupted() || self.now() >= end {
                self.abandon(sending).await;
                let waited = span(self.now() - self.t0);
                let by = self.drill.plan.fault.verified_by();
                let reason = unknown
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default();
                return FaultState::NotVerified(format!("no sign of it in {waited}: {by}{reason}"));
            }
            self.tick(live).await;
        }
    }

    /// What was sent is sent: its answer is still waited for a moment, so that it can be told.
    async fn abandon(&mut self, sending: Option<tokio::task::JoinHandle<Sent>>) {
        let Some(task) = sending else {
            return;
        };
        match tokio::time::timeout(Duration::from_secs(2), task).await {
            Ok(Ok(Sent::Taken(what))) => self.done.push(what),
            Ok(Ok(Sent::Refused(reason) | Sent::Unknown(reason))) => self
                .done
                .push(format!("the fault was sent, and no answer came: {reason}")),
            _ => self
                .done
                .push("the fault was sent, and no answer came".to_owned()),
        }
    }

    async fn tick(&mut self, live: &mut Live) {
        let now = self.now();
        if now >= self.next_look {
            let samples = self.samples();
            let clients = timeline::clients(&samples, self.known());
            let events = timeline::merge(&self.cluster_events(), clients);
            live.tell(&events, moment(now, self.t0));
            // A long drill has many samples; looking at them must not become the load.
            let took = self.now() - now;
            self.next_look = now + LOOK.max(took * 20);
        }
        tokio::time::sleep(TICK).await;
    }

    /// Stops the traffic and gathers what is left to know.
    async fn close(mut self, state: FaultState, live: &mut Live) -> Run {
        let is_interrupted = self.is_interrupted();
        let settle = if is_interrupted || matches!(state, FaultState::NotSent(_)) {
            Duration::ZERO
        } else {
            SETTLE
        };
        self.traffic.stop(settle).await;
        let is_logging = !self.drill.ground.proxies.is_empty();
        let wait = if is_interrupted {
            LAST_LINES / 3
        } else {
            LAST_LINES
        };
        let end = self.now() + wait;
        let answered = self.traffic.answered();
        while is_logging && self.now() < end && self.watch.lines_of(&answered) < answered.len() {
            tokio::time::sleep(TICK).await;
        }
        let samples = self.samples();
        let cluster = self.cluster_events();
        let is_sent = !matches!(state, FaultState::NotSent(_));
        let clients = if is_sent {
            timeline::clients(&samples, self.known())
        } else {
            Vec::new()
        };
        live.tell(&timeline::merge(&cluster, clients), Moment(i64::MAX));
        let verified = self
            .verified
            .take()
            .map(|(at, verified)| (moment(at, self.t0), verified));
        let mut plan = self.drill.plan.clone();
        let is_log_read = self.watch.is_log_read();
        if is_logging && !is_log_read && account::lag(&samples).count > 0 {
            let trouble = self.watch.log_trouble();
            let reason = trouble.unwrap_or_else(|| {
                "no line of the proxy's log is about this run, or its format is another".to_owned()
            });
            plan.gaps.push(format!("{UNKNOWN}{reason}"));
        }
        let ground = self.drill.ground;
        Run {
            plan,
            fault: state,
            verified,
            cluster,
            pods: self.pods,
            is_log_read,
            at_sigterm: ground.runtime.at_sigterm,
            at_sigterm_words: ground.runtime.at_sigterm_words.clone(),
            findings: ground.findings.clone(),
            is_interrupted,
            skipped: self.traffic.skipped(),
            done: self.done,
            samples,
        }
    }
}
