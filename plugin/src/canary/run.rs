//! The loop: look, decide, write the journal, obey; until it is over or somebody else has it.

use super::live::{Live, View};
use super::obey::{Done, obey};
use super::observe::{self, Look};
use super::traffic::{Answer, Traffic, Version};
use super::{SECONDS, now};
use crate::interrupt::Interrupt;
use crate::problem::Problem;
use infer_canary::gate::{self, Gate, Samples, Whole};
use infer_canary::journal::Journal;
use infer_canary::machine::{Act, Fresh, Seen, State, Wish, decide};
use infer_cluster::{Cluster, LeaseError};
use infer_core::catalogue::Catalogue;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked.
const TICK: Duration = Duration::from_secs(1);
/// How often the Lease is renewed where the journal is not written.
const RENEW: Duration = Duration::from_secs(3);
/// How often what the gate says is kept in the journal while a step runs, for who looks from elsewhere.
const KEEP: Duration = Duration::from_secs(20);
/// How long open requests may take to end with the run.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the Lease may go without being renewed before we stop acting: below what it is ours for.
const UNRENEWED: Duration = Duration::from_secs(SECONDS as u64 - 5);
/// Requests before the first share, from which on a route where nearly all fail is said to.
const LEAST_BEFORE: u64 = 20;

/// How driving it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The run is over.
    Over,
    /// Paused: somebody else changed what we wrote.
    Paused,
    /// It holds for longer than was to be waited for.
    Held,
    /// Ctrl-C. The run goes on where it stands when somebody resumes it.
    Interrupted,
    /// It cannot go on without a person.
    Stopped(Problem),
}

/// Who drives a run.
pub(crate) struct Driver<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) lease: infer_cluster::Journal,
    pub(crate) journal: Journal,
    pub(crate) traffic: Traffic,
    pub(crate) interrupt: &'a Interrupt,
    /// How long a step may hold before this command gives up; the run stays as it is.
    pub(crate) hold: Option<Duration>,
    /// A wish of the person who drives.
    pub(crate) wish: Option<Wish>,
}

/// What a driver counts.
#[derive(Default)]
struct Counted {
    samples: Samples,
    fresh: Fresh,
    /// Requests that were started before are of an earlier share.
    from: Duration,
    gate: Option<Gate>,
}

impl Driver<'_> {
    /// Drives it to an end. The journal comes back as it was written last.
    pub(crate) async fn drive(mut self, live: &mut Live) -> (Journal, Ended) {
        let mut counted = Counted {
            from: self.traffic.now(),
            ..Counted::default()
        };
        counted.samples.before = self.journal.before;
        let ended = self.until_the_end(&mut counted, live).await;
        if let Some(gate) = &counted.gate {
            self.journal.gate = serde_json::to_value(gate).ok();
        }
        live.close();
        self.traffic.stop(SETTLE).await;
        // Where it is not ours any more there is nothing to give back, and else it expires.
        let _ = self.lease.release().await;
        (self.journal, ended)
    }

    async fn until_the_end(&mut self, counted: &mut Counted, live: &mut Live) -> Ended {
        let mut renewed = Instant::now();
        let mut kept = Instant::now();
        let mut held_since = Instant::now();
        let mut told_not_yet = String::new();
        let mut stored_wish: Option<String> = None;
        loop {
            for answer in self.traffic.take(&self.journal.shift) {
                self.count(counted, &answer);
            }
            let look = observe::look(self.cluster, self.catalogue, &self.journal).await;
            if let Some(error) = &look.error {
                self.once(live, &mut told_not_yet, error);
            }
            let wish = self.wish.or(match stored_wish.as_deref() {
                Some("abort") => Some(Wish::Abort),
                Some("promote") => Some(Wish::Promote),
                _ => None,
            });
            let decision = {
                let seen = self.seen(counted, &look, wish);
                decide(&self.journal.plan, &self.journal.state, &seen)
            };
            live.show(&View {
                journal: &self.journal,
                look: &look,
                gate: counted.gate.as_ref(),
                fresh: counted.fresh,
            });
            // Going on is wished once: what happens then is another matter.
            if decision.wish_done || self.wish == Some(Wish::Resume) {
                self.wish = None;
            }
            if decision.wish_done
                && let Some(heard) = stored_wish.take()
                && let Err(error) = self.lease.clear_wish(&heard).await
                && let Some(ended) = lost(&error)
            {
                return ended;
            }
            // A step that is over leaves what it saw in the journal.
            if decision.state != self.journal.state
                && let Some(gate) = &counted.gate
            {
                self.journal.gate = serde_json::to_value(gate).ok();
            }
            let is_change = decision.say.is_some()
                || std::mem::discriminant(&decision.state)
                    != std::mem::discriminant(&self.journal.state)
                || matches!(decision.act, Act::SetWeight(_) | Act::UpdateStable);
            if matches!(self.journal.state, State::Preparing { .. }) {
                self.journal.before = counted.samples.before;
                if let (State::Shifting { .. }, Some(problem)) = (&decision.state, self.hopeless())
                {
                    return Ended::Stopped(problem);
                }
            }
            self.journal.state = decision.state;
            if let Some(text) = &decision.say {
                self.tell(live, text);
            }
            // What is counted is ours alone, and needs no journal.
            match decision.act {
                Act::StartSamples => {
                    let before = counted.samples.before;
                    *counted = Counted {
                        from: self.traffic.now(),
                        ..Counted::default()
                    };
                    counted.samples.before = before;
                    held_since = Instant::now();
                }
                Act::StartProof => {
                    counted.from = self.traffic.now();
                    counted.fresh = Fresh::default();
                    counted.gate = None;
                }
                _ => {}
            }
            let is_kept = is_change || kept.elapsed() >= KEEP;
            if is_kept
                && !is_change
                && let Some(gate) = &counted.gate
            {
                self.journal.gate = serde_json::to_value(gate).ok();
            }
            // The journal before the act: who comes next finds what was decided.
            if is_kept || renewed.elapsed() >= RENEW {
                let written = if is_kept {
                    self.lease.write(&self.journal.text()).await
                } else {
                    self.lease.renew().await
                };
                match written {
                    Ok(stored) => {
                        renewed = Instant::now();
                        kept = if is_kept { renewed } else { kept };
                        stored_wish = stored.wish;
                        self.forget_unknown(&mut stored_wish).await;
                    }
                    Err(error) => {
                        if let Some(ended) = lost(&error) {
                            return ended;
                        }
                        self.once(
                            live,
                            &mut told_not_yet,
                            &format!("the journal is not written: {error}"),
                        );
                        // Nothing is done that is not in the journal, but for what harms nobody.
                        let is_safe = decision.act == Act::SetWeight(0);
                        if (is_change && !is_safe) || renewed.elapsed() >= UNRENEWED {
                            if self.pause().await {
                                return Ended::Interrupted;
                            }
                            continue;
                        }
                    }
                }
            }
            let looked = look.stored.as_ref();
            match obey(
                self.cluster,
                self.catalogue,
                &self.journal,
                &decision.act,
                looked,
            )
            .await
            {
                Done::Yes(told) => {
                    for text in told {
                        self.tell(live, &text);
                    }
                }
                Done::NotYet(why) => self.once(live, &mut told_not_yet, &why),
                Done::No(problem) => {
                    // A rollback is tried on and on; what a person must mend ends the command else.
                    if matches!(
                        self.journal.state,
                        State::RollingBack { .. } | State::Clearing { .. }
                    ) {
                        let why = problem.message.clone();
                        self.once(live, &mut told_not_yet, &why);
                    } else {
                        return Ended::Stopped(problem);
                    }
                }
            }
            match &self.journal.state {
                State::Ended { .. } => {
                    // What was told since is kept, too.
                    let _ = self.lease.write(&self.journal.text()).await;
                    return Ended::Over;
                }
                State::Paused { .. } if self.wish.is_none() => return Ended::Paused,
                State::Analysing { .. }
                    if self.hold.is_some_and(|hold| held_since.elapsed() >= hold) =>
                {
                    return Ended::Held;
                }
                _ => {}
            }
            if self.pause().await {
                return Ended::Interrupted;
            }
        }
    }

    /// Waits for the next look; true where Ctrl-C was pressed.
    async fn pause(&self) -> bool {
        let _ = self.interrupt.or(tokio::time::sleep(TICK)).await;
        self.interrupt.is_pressed()
    }

    fn tell(&mut self, live: &mut Live, text: &str) {
        let at = now();
        self.journal.tell(at, text);
        live.tell(at, text);
    }

    /// Says it where it was not the last thing said.
    fn once(&mut self, live: &mut Live, last: &mut String, text: &str) {
        if last != text {
            text.clone_into(last);
            live.tell(now(), &format!("{text}; trying again"));
        }
    }

    async fn forget_unknown(&mut self, wish: &mut Option<String>) {
        if let Some(text) = wish
            && !matches!(text.as_str(), "abort" | "promote")
        {
            let _ = self.lease.clear_wish(text).await;
            *wish = None;
        }
    }

    fn seen<'a>(&self, counted: &'a mut Counted, look: &Look, wish: Option<Wish>) -> Seen<'a> {
        if let State::Analysing { step, .. } = &self.journal.state {
            let plan = &self.journal.plan;
            let strictness = plan.strictness(*step);
            counted.gate = Some(gate::judge(&counted.samples, &plan.limits, strictness));
        }
        Seen {
            now: now(),
            stored: look.stored.clone(),
            canary: look.canary.clone(),
            stable: look.stable,
            gate: counted.gate.as_ref(),
            fresh: counted.fresh,
            wish,
            is_clear: look.is_clear,
        }
    }

    fn count(&mut self, counted: &mut Counted, answer: &Answer) {
        if answer.started < counted.from {
            return;
        }
        let failed = answer.failure.is_some();
        match self.journal.state {
            State::Preparing { .. } => add(&mut counted.samples.before, failed),
            State::Analysing { .. } => {
                let arm = match answer.version {
                    Version::Stable => &mut counted.samples.stable,
                    Version::Canary => {
                        if let Some(failure) = &answer.failure {
                            self.journal.count(failure);
                        }
                        &mut counted.samples.canary
                    }
                    Version::Unknown => return add(&mut counted.samples.unknown, failed),
                };
                arm.add(
                    failed,
                    answer.is_stream || failed,
                    answer.is_lost,
                    answer.first_token,
                );
            }
            State::Proving { .. } => {
                let fresh = &mut counted.fresh;
                fresh.requests += 1;
                match answer.version {
                    Version::Stable => fresh.since_hit += 1,
                    Version::Canary => {
                        fresh.hits += 1;
                        fresh.since_hit = 0;
                    }
                    Version::Unknown => fresh.unknown += 1,
                }
            }
            _ => {}
        }
    }

    /// A route on which nearly everything fails before the canary has a share.
    fn hopeless(&self) -> Option<Problem> {
        let Whole { requests, errors } = self.journal.before;
        (requests >= LEAST_BEFORE && errors * 10 >= requests * 9).then(|| {
            Problem::new(format!(
                "{errors} of {requests} requests failed before the canary had a share, so nothing \
                 could be told of it"
            ))
            .help(format!(
                "`kubectl infer test {} -n {}` shows why; `--header-file FILE` gives a key. The \
                 canary has no share; start again without a version to go on",
                self.journal.shift.entry, self.journal.shift.namespace
            ))
        })
    }
}

fn add(whole: &mut Whole, failed: bool) {
    whole.requests += 1;
    whole.errors += u64::from(failed);
}

fn lost(error: &LeaseError) -> Option<Ended> {
    matches!(error, LeaseError::Lost { .. } | LeaseError::Held { .. })
        .then(|| Ended::Stopped(Problem::new(error.message()).ways_out(&error.help())))
}
