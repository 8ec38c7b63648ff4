//! A cluster in which what is decided happens, unless a fault is put in.

use infer_canary::gate::{Compared, Gate, Limits, Metric, Verdict, Whole};
use infer_canary::machine::{
    Act, Canary, Decision, End, Fresh, Plan, Reason, Seen, StableSeen, State, Stored, Wish, decide,
};

pub(crate) const STEP: u64 = 60_000;

pub(crate) fn plan() -> Plan {
    Plan {
        steps: vec![5, 25, 50],
        step_millis: STEP,
        ready_millis: 600_000,
        outage_millis: 30_000,
        proof_millis: 120_000,
        rollout_millis: 300_000,
        limits: Limits::default(),
        second_workload: false,
    }
}

pub(crate) fn gate(verdict: Verdict) -> Gate {
    Gate {
        metrics: vec![Compared {
            metric: Metric::Errors,
            stable: Some(0.0),
            canary: Some(0.0),
            counts: [(0, 0); 2],
            difference: (0.0, None),
            limit: 0.01,
            verdict,
            needs: None,
        }],
        verdict,
        unknown: Whole::default(),
    }
}

/// A cluster in which what is decided happens, unless a fault is put in.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) stored: Option<Stored>,
    pub(crate) canary: Option<Canary>,
    pub(crate) stable: Option<StableSeen>,
    pub(crate) gate: Option<Gate>,
    pub(crate) fresh: Fresh,
    pub(crate) wish: Option<Wish>,
    pub(crate) is_clear: bool,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            now: 1_000_000,
            stored: Some(Stored::Weight(0)),
            canary: Some(Canary {
                exists: true,
                ready: 1,
                wanted: 1,
                restarts: 0,
                last_death: None,
            }),
            stable: Some(StableSeen::default()),
            gate: None,
            fresh: Fresh::default(),
            wish: None,
            is_clear: false,
        }
    }

    pub(crate) fn decide(&self, plan: &Plan, state: &State) -> Decision {
        let seen = Seen {
            now: self.now,
            stored: self.stored.clone(),
            canary: self.canary.clone(),
            stable: self.stable,
            gate: self.gate.as_ref(),
            fresh: self.fresh,
            wish: self.wish,
            is_clear: self.is_clear,
        };
        decide(plan, state, &seen)
    }

    pub(crate) fn obey(&mut self, act: &Act) {
        match act {
            Act::Wait => {}
            Act::Create => {
                self.canary = World::new().canary;
                self.stored = Some(Stored::Weight(0));
            }
            Act::SetWeight(weight) => self.stored = Some(Stored::Weight(*weight)),
            Act::StartSamples => self.gate = None,
            Act::StartProof => self.fresh = Fresh::default(),
            Act::UpdateStable => {
                self.stable = Some(StableSeen {
                    is_new: true,
                    is_rolled_out: true,
                    updated: 2,
                });
            }
            Act::Clear => {
                self.stored = Some(Stored::Absent);
                self.is_clear = true;
            }
        }
    }

    pub(crate) fn weight(&self) -> u8 {
        match self.stored {
            Some(Stored::Weight(weight)) => weight,
            _ => 0,
        }
    }
}

/// Every state that a run can be in, with a world as it is in it.
pub(crate) fn every_state() -> Vec<(State, World)> {
    let with = |weight: u8| World {
        stored: Some(Stored::Weight(weight)),
        ..World::new()
    };
    let since = World::new().now;
    let reason = || Reason::Gate(vec!["errors".to_owned()]);
    vec![
        (State::Preparing { since }, with(0)),
        (State::Shifting { step: 0 }, with(0)),
        (State::Shifting { step: 1 }, with(5)),
        (
            State::Analysing {
                step: 1,
                since,
                unready: None,
            },
            with(25),
        ),
        (
            State::Paused {
                step: 1,
                why: "somebody".to_owned(),
            },
            with(7),
        ),
        (State::Promoting { since, updated: 0 }, with(50)),
        (State::Emptying, with(50)),
        (
            State::RollingBack {
                reason: reason(),
                weight: 25,
                since,
            },
            with(25),
        ),
        (
            State::Proving {
                reason: reason(),
                weight: 25,
                since,
            },
            with(0),
        ),
        (State::Clearing { end: End::Promoted }, with(0)),
        (State::Ended { end: End::Promoted }, with(0)),
    ]
}

/// Goes on until the end; gives the states and the weights on the way.
pub(crate) fn go_on(
    plan: &Plan,
    mut state: State,
    world: &mut World,
    verdict: Verdict,
) -> (State, Vec<u8>) {
    let mut weights = vec![world.weight()];
    for _ in 0..1000 {
        if let State::Ended { .. } = state {
            return (state, weights);
        }
        world.now += 1000;
        if let State::Analysing { .. } = state {
            world.gate = Some(gate(verdict));
        }
        if let State::Proving { .. } = state {
            world.fresh.requests += 10;
            world.fresh.since_hit += 10;
        }
        let decision = world.decide(plan, &state);
        if decision.wish_done {
            world.wish = None;
        }
        state = decision.state;
        world.obey(&decision.act);
        if weights.last() != Some(&world.weight()) {
            weights.push(world.weight());
        }
    }
    (state, weights)
}
