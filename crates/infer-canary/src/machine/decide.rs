//! The transitions.

use super::{Act, Decision, End, Fresh, Millis, Plan, Proof, Reason, Seen, State, Stored, Wish};
use crate::gate::Verdict;

/// How many restarts are a crash loop. Kubernetes' own back-off begins with the second.
const CRASHES: u32 = 2;
/// How seldom a rollback that failed passes for one that is proven.
const PROOF_ERROR: f64 = 0.001;

/// How many fresh requests prove that a canary which had this share has none.
#[must_use]
pub fn proof_requests(weight: u8) -> u64 {
    match weight {
        0 => 0,
        100.. => 1,
        weight => {
            let share = f64::from(weight) / 100.0;
            (PROOF_ERROR.ln() / (-share).ln_1p()).ceil() as u64
        }
    }
}

/// Decides what is next.
#[must_use]
pub fn decide(plan: &Plan, state: &State, seen: &Seen<'_>) -> Decision {
    let machine = Machine { plan, seen };
    match state {
        State::Preparing { since } => machine.preparing(*since),
        State::Shifting { step } => machine.shifting(*step),
        State::Analysing {
            step,
            since,
            unready,
        } => machine.analysing(*step, *since, *unready),
        State::Paused { step, why } => machine.paused(*step, why),
        State::Promoting { since, updated } => machine.promoting(*since, *updated),
        State::Emptying => machine.emptying(),
        State::RollingBack {
            reason,
            weight,
            since,
        } => machine.rolling_back(reason, *weight, *since),
        State::Proving {
            reason,
            weight,
            since,
        } => machine.proving(reason, *weight, *since),
        State::Clearing { end } => machine.clearing(end),
        State::Ended { end } => stay(State::Ended { end: end.clone() }),
    }
}

fn stay(state: State) -> Decision {
    act(state, Act::Wait)
}

fn act(state: State, act: Act) -> Decision {
    Decision {
        state,
        act,
        wish_done: false,
        say: None,
    }
}

impl Decision {
    fn say(self, what: impl Into<String>) -> Decision {
        Decision {
            say: Some(what.into()),
            ..self
        }
    }

    fn granted(self) -> Decision {
        Decision {
            wish_done: true,
            ..self
        }
    }
}

#[derive(Clone, Copy)]
struct Machine<'a> {
    plan: &'a Plan,
    seen: &'a Seen<'a>,
}

impl Machine<'_> {
    fn since(&self, then: Millis) -> Millis {
        self.seen.now.saturating_sub(then)
    }

    fn roll_back(&self, reason: Reason, weight: u8) -> Decision {
        let say = format!("rolling back: {}", reason.message());
        let aborted = reason == Reason::Abort;
        let state = State::RollingBack {
            reason,
            weight,
            since: self.seen.now,
        };
        // Before a share was given there may be nothing to write it to.
        let what = if weight == 0 {
            Act::Wait
        } else {
            Act::SetWeight(0)
        };
        let decision = act(state, what).say(say);
        if aborted {
            decision.granted()
        } else {
            decision
        }
    }

    fn promote(&self) -> Decision {
        let state = State::Promoting {
            since: self.seen.now,
            updated: 0,
        };
        let what = if self.plan.second_workload {
            Act::SetWeight(100)
        } else {
            Act::UpdateStable
        };
        act(state, what)
    }

    /// A crash loop, while the canary has or awaits a share.
    fn crash_loop(&self) -> Option<Reason> {
        let canary = self.seen.canary.as_ref()?;
        (canary.restarts >= CRASHES && canary.ready < canary.wanted.max(1)).then(|| {
            let last = canary.last_death.clone();
            Reason::CrashLoop(last.unwrap_or_else(|| format!("{} restarts", canary.restarts)))
        })
    }

    fn preparing(self, since: Millis) -> Decision {
        let here = State::Preparing { since };
        match self.seen.wish {
            Some(Wish::Abort) => return self.roll_back(Reason::Abort, 0),
            Some(Wish::Promote) => {
                return stay(here)
                    .granted()
                    .say("not promoted: the canary is not ready yet, and had no traffic");
            }
            Some(Wish::Resume) => return stay(here).granted(),
            None => {}
        }
        if let Some(reason) = self.crash_loop() {
            return self.roll_back(reason, 0);
        }
        match &self.seen.canary {
            None => stay(here),
            Some(canary) if !canary.exists => act(here, Act::Create),
            Some(canary) if canary.ready >= canary.wanted.max(1) => {
                let weight = self.plan.weight(0);
                act(State::Shifting { step: 0 }, Act::SetWeight(weight))
                    .say(format!("the canary is ready: weight 0 → {weight}"))
            }
            Some(_) if self.since(since) >= self.plan.ready_millis => {
                self.roll_back(Reason::NeverReady, 0)
            }
            Some(_) => stay(here),
        }
    }

    fn shifting(self, step: usize) -> Decision {
        let here = State::Shifting { step };
        if self.seen.wish == Some(Wish::Abort) {
            return self.roll_back(Reason::Abort, self.plan.weight(step));
        }
        if let Some(reason) = self.crash_loop() {
            return self.roll_back(reason, self.plan.weight(step));
        }
        let wanted = self.plan.weight(step);
        let before = match step {
            0 => 0,
            _ => self.plan.weight(step - 1),
        };
        match &self.seen.stored {
            None => stay(here),
            Some(Stored::Weight(weight)) if *weight == wanted => {
                let state = State::Analysing {
                    step,
                    since: self.seen.now,
                    unready: None,
                };
                act(state, Act::StartSamples)
            }
            Some(Stored::Weight(weight)) if *weight == before => act(here, Act::SetWeight(wanted)),
            // Before the first share the entry may not be there yet.
            Some(Stored::Absent) if step == 0 => act(here, Act::SetWeight(wanted)),
            Some(other) => self.pause(step, other),
        }
    }

    fn pause(self, step: usize, stored: &Stored) -> Decision {
        let wanted = self.plan.weight(step);
        let why = match stored {
            Stored::Weight(weight) => {
                format!("somebody else set the weight to {weight}; {wanted} was written")
            }
            Stored::Absent => {
                format!("somebody else took the canary out of the route; its weight was {wanted}")
            }
            Stored::Foreign(what) => format!("somebody else changed the route: {what}"),
        };
        let say = format!("paused: {why}");
        stay(State::Paused { step, why }).say(say)
    }

    fn analysing(self, step: usize, since: Millis, unready: Option<Millis>) -> Decision {
        if self.seen.wish == Some(Wish::Abort) {
            return self.roll_back(Reason::Abort, self.plan.weight(step));
        }
        if let Some(reason) = self.crash_loop() {
            return self.roll_back(reason, self.plan.weight(step));
        }
        let unready = match &self.seen.canary {
            Some(canary) if canary.ready > 0 => None,
            Some(_) => unready.or(Some(self.seen.now)),
            None => unready,
        };
        let here = State::Analysing {
            step,
            since,
            unready,
        };
        if unready.is_some_and(|then| self.since(then) >= self.plan.outage_millis) {
            return self.roll_back(Reason::Outage, self.plan.weight(step));
        }
        if let Some(stored) = &self.seen.stored
            && *stored != Stored::Weight(self.plan.weight(step))
        {
            return self.pause(step, stored);
        }
        if self.seen.wish == Some(Wish::Promote) {
            return self
                .promote()
                .granted()
                .say("promoting: a person wished it, whatever the gate says");
        }
        let decision = match self.seen.gate.map(|gate| (gate, gate.verdict)) {
            Some((gate, Verdict::Fail)) => {
                let failing = gate.failing().map(|it| it.metric.as_str().to_owned());
                return self.roll_back(Reason::Gate(failing.collect()), self.plan.weight(step));
            }
            Some((_, Verdict::Pass))
                if unready.is_none() && self.since(since) >= self.plan.step_millis =>
            {
                let weight = self.plan.weight(step);
                match self.plan.steps.get(step + 1) {
                    Some(next) => act(State::Shifting { step: step + 1 }, Act::SetWeight(*next))
                        .say(format!(
                            "passed at weight {weight}: weight {weight} → {next}"
                        )),
                    None => self
                        .promote()
                        .say(format!("passed at weight {weight}: promoting")),
                }
            }
            _ => stay(here),
        };
        if self.seen.wish == Some(Wish::Resume) {
            return decision.granted();
        }
        decision
    }

    fn paused(self, step: usize, why: &str) -> Decision {
        let here = State::Paused {
            step,
            why: why.to_owned(),
        };
        match self.seen.wish {
            Some(Wish::Abort) => self.roll_back(Reason::Abort, self.plan.weight(step)),
            Some(Wish::Promote) => self
                .promote()
                .granted()
                .say("promoting: a person wished it"),
            Some(Wish::Resume) => {
                let weight = self.plan.weight(step);
                act(State::Shifting { step }, Act::SetWeight(weight))
                    .granted()
                    .say(format!("going on: weight → {weight}"))
            }
            None => stay(here),
        }
    }

    fn promoting(self, since: Millis, updated: u32) -> Decision {
        let here = State::Promoting { since, updated };
        let decision = if self.plan.second_workload {
            match &self.seen.stored {
                Some(Stored::Weight(100)) => stay(State::Ended { end: End::Promoted })
                    .say("promoted: all requests go to the second workload"),
                Some(_) => act(here, Act::SetWeight(100)),
                None => stay(here),
            }
        } else {
            match self.seen.stable {
                None => stay(here),
                Some(stable) if !stable.is_new => act(here, Act::UpdateStable),
                Some(stable) if stable.is_rolled_out => act(State::Emptying, Act::SetWeight(0))
                    .say("the stable workload runs the new version: weight → 0"),
                Some(stable) if stable.updated > updated => stay(State::Promoting {
                    since: self.seen.now,
                    updated: stable.updated,
                }),
                Some(_) if self.since(since) >= self.plan.rollout_millis => {
                    let state = State::Promoting {
                        since: self.seen.now,
                        updated,
                    };
                    stay(state).say(
                        "the stable workload's rollout does not get on; the canary keeps its share",
                    )
                }
                Some(_) => stay(here),
            }
        };
        match self.seen.wish {
            None => decision,
            Some(Wish::Abort) => decision.granted().say(
                "not aborted: the stable workload is being updated; kubectl rollout undo takes that \
                 back",
            ),
            Some(Wish::Promote | Wish::Resume) => decision.granted(),
        }
    }

    fn emptying(self) -> Decision {
        match &self.seen.stored {
            None => stay(State::Emptying),
            Some(Stored::Weight(0) | Stored::Absent) => {
                act(State::Clearing { end: End::Promoted }, Act::Clear)
            }
            Some(Stored::Weight(_)) => act(State::Emptying, Act::SetWeight(0)),
            // Somebody made another thing of it: what is ours there is taken out, no more.
            Some(Stored::Foreign(_)) => act(State::Clearing { end: End::Promoted }, Act::Clear),
        }
    }

    fn rolling_back(self, reason: &Reason, weight: u8, since: Millis) -> Decision {
        let here = State::RollingBack {
            reason: reason.clone(),
            weight,
            since,
        };
        let prove = || {
            let state = State::Proving {
                reason: reason.clone(),
                weight,
                since: self.seen.now,
            };
            act(state, Act::StartProof)
        };
        match &self.seen.stored {
            None => stay(here),
            Some(Stored::Weight(0) | Stored::Absent) => prove(),
            // What somebody else made of the route cannot be written forever; requests tell whether
            // it still leads to the canary.
            Some(Stored::Foreign(what)) if self.since(since) >= self.plan.outage_millis => {
                prove().say(format!("the weight cannot be set to 0: {what}"))
            }
            Some(Stored::Weight(_) | Stored::Foreign(_)) => act(here, Act::SetWeight(0)),
        }
    }

    fn proving(self, reason: &Reason, weight: u8, since: Millis) -> Decision {
        if let Some(Stored::Weight(1..)) = self.seen.stored {
            let state = State::RollingBack {
                reason: reason.clone(),
                weight,
                since: self.seen.now,
            };
            return act(state, Act::SetWeight(0))
                .say("somebody else gave the canary a share again: weight → 0");
        }
        let clear = |proof| {
            let end = End::RolledBack {
                reason: reason.clone(),
                proof,
            };
            act(State::Clearing { end }, Act::Clear)
        };
        let Fresh {
            requests,
            hits,
            since_hit,
            unknown,
        } = self.seen.fresh;
        if weight == 0 {
            return clear(Proof::NotNeeded);
        }
        if since_hit >= proof_requests(weight) {
            let proof = Proof::Proven {
                requests: since_hit,
            };
            return clear(proof).say(format!(
                "proved from outside: 0 of {since_hit} requests reached the canary"
            ));
        }
        if self.since(since) >= self.plan.proof_millis {
            let proof = Proof::NotProven {
                requests,
                hits,
                unknown,
            };
            return clear(proof).say(format!(
                "not proved from outside: of {requests} requests {hits} reached the canary, and of \
                 {unknown} nobody knows who answered"
            ));
        }
        stay(State::Proving {
            reason: reason.clone(),
            weight,
            since,
        })
    }

    fn clearing(self, end: &End) -> Decision {
        if !self.seen.is_clear {
            return act(State::Clearing { end: end.clone() }, Act::Clear);
        }
        let say = match end {
            End::Promoted => "promoted".to_owned(),
            End::RolledBack { reason, .. } => format!("rolled back: {}", reason.message()),
        };
        stay(State::Ended { end: end.clone() }).say(say)
    }
}
