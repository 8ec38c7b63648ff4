//! The state machine through every transition, and with every fault in every state.

mod world;

use infer_canary::gate::Verdict;
use infer_canary::machine::{
    Act, Canary, End, Fresh, Plan, Proof, Reason, StableSeen, State, Stored, Wish, proof_requests,
};
use world::{STEP, World, every_state, gate, go_on, plan};

#[test]
fn a_good_canary_goes_step_by_step() {
    let mut world = World::new();
    world.canary = Some(Canary::default());
    let start = State::Preparing { since: world.now };
    let (state, weights) = go_on(&plan(), start, &mut world, Verdict::Pass);
    assert_eq!(state, State::Ended { end: End::Promoted });
    assert_eq!(weights, [0, 5, 25, 50, 0]);
    assert_eq!(world.stable.map(|stable| stable.is_new), Some(true));
}

#[test]
fn no_step_is_shorter_than_it_should_be() {
    let plan = plan();
    let mut world = World::new();
    world.stored = Some(Stored::Weight(5));
    world.gate = Some(gate(Verdict::Pass));
    let since = world.now;
    let state = State::Analysing {
        step: 0,
        since,
        unready: None,
    };
    world.now = since + STEP - 1;
    assert_eq!(world.decide(&plan, &state).act, Act::Wait);
    world.now = since + STEP;
    assert_eq!(world.decide(&plan, &state).act, Act::SetWeight(25));
}

#[test]
fn without_evidence_it_holds() {
    let mut world = World::new();
    let start = State::Preparing { since: world.now };
    let (state, weights) = go_on(&plan(), start, &mut world, Verdict::Inconclusive);
    assert!(
        matches!(state, State::Analysing { step: 0, .. }),
        "{state:?}"
    );
    assert_eq!(weights, [0, 5]);
    // And without a gate at all.
    world.gate = None;
    assert_eq!(world.decide(&plan(), &state).act, Act::Wait);
}

#[test]
fn a_bad_canary_is_taken_back_and_that_is_proven() {
    let mut world = World::new();
    let start = State::Preparing { since: world.now };
    let (state, weights) = go_on(&plan(), start, &mut world, Verdict::Fail);
    let State::Ended {
        end: End::RolledBack { reason, proof },
    } = state
    else {
        panic!("{state:?}");
    };
    assert_eq!(reason, Reason::Gate(vec!["errors".to_owned()]));
    assert!(matches!(proof, Proof::Proven { requests } if requests >= proof_requests(5)));
    assert_eq!(weights, [0, 5, 0]);
}

#[test]
fn what_cannot_be_proven_is_said() {
    let plan = plan();
    let (state, mut world) = every_state().remove(8);
    world.now += plan.proof_millis;
    world.fresh = Fresh {
        requests: 90,
        hits: 3,
        since_hit: 2,
        unknown: 80,
    };
    let decision = world.decide(&plan, &state);
    let State::Clearing {
        end: End::RolledBack { proof, .. },
    } = decision.state
    else {
        panic!("{decision:?}");
    };
    let seen = Proof::NotProven {
        requests: 90,
        hits: 3,
        unknown: 80,
    };
    assert_eq!(proof, seen);
}

#[test]
fn how_many_requests_prove_it() {
    assert_eq!(proof_requests(0), 0);
    assert_eq!(proof_requests(10), 66);
    assert_eq!(proof_requests(5), 135);
    assert_eq!(proof_requests(25), 25);
    assert_eq!(proof_requests(100), 1);
}

#[test]
fn pods_that_do_not_come_or_do_not_stay() {
    let plan = plan();
    let since = World::new().now;
    let preparing = State::Preparing { since };
    let mut world = World::new();
    let not_ready = Canary {
        ready: 0,
        ..world.canary.clone().unwrap_or_default()
    };
    world.canary = Some(not_ready.clone());
    world.now = since + plan.ready_millis - 1;
    assert_eq!(world.decide(&plan, &preparing).act, Act::Wait);
    world.now += 1;
    let decision = world.decide(&plan, &preparing);
    assert!(
        matches!(
            &decision.state,
            State::RollingBack {
                reason: Reason::NeverReady,
                weight: 0,
                ..
            }
        ),
        "{decision:?}"
    );

    // A crash loop is not waited out.
    world.now = since + 1;
    world.canary = Some(Canary {
        restarts: 2,
        last_death: Some("exit code 1".to_owned()),
        ..not_ready.clone()
    });
    let decision = world.decide(&plan, &preparing);
    let State::RollingBack { reason, .. } = &decision.state else {
        panic!("{decision:?}");
    };
    assert_eq!(*reason, Reason::CrashLoop("exit code 1".to_owned()));

    // One restart of a pod that serves again is none.
    world.canary = Some(Canary {
        restarts: 2,
        ready: 1,
        ..not_ready.clone()
    });
    let decision = world.decide(&plan, &preparing);
    assert!(matches!(decision.state, State::Shifting { step: 0 }));

    // With a share, a canary without a ready pod has the time that the plan gives.
    let analysing = State::Analysing {
        step: 1,
        since,
        unready: None,
    };
    world.stored = Some(Stored::Weight(25));
    world.canary = Some(not_ready);
    let decision = world.decide(&plan, &analysing);
    assert_eq!(decision.act, Act::Wait);
    world.now += plan.outage_millis;
    let decision = world.decide(&plan, &decision.state);
    assert!(
        matches!(
            decision.state,
            State::RollingBack {
                reason: Reason::Outage,
                weight: 25,
                ..
            }
        ),
        "{decision:?}"
    );
    // And it passes nothing meanwhile.
    let unready = State::Analysing {
        step: 1,
        since: since - 10 * STEP,
        unready: Some(world.now),
    };
    world.gate = Some(gate(Verdict::Pass));
    assert_eq!(world.decide(&plan, &unready).act, Act::Wait);
}

#[test]
fn a_conflicting_writer_is_not_fought() {
    let plan = plan();
    for stored in [
        Stored::Weight(60),
        Stored::Weight(0),
        Stored::Absent,
        Stored::Foreign("two canaries".to_owned()),
    ] {
        for (state, mut world) in every_state() {
            if !matches!(state, State::Analysing { .. }) {
                continue;
            }
            world.stored = Some(stored.clone());
            world.gate = Some(gate(Verdict::Pass));
            let decision = world.decide(&plan, &state);
            assert!(matches!(decision.state, State::Paused { .. }), "{stored:?}");
            assert_eq!(decision.act, Act::Wait, "{stored:?}");
            assert!(decision.say.is_some());
            // It stays so until a person decides.
            let again = world.decide(&plan, &decision.state);
            assert_eq!(again.act, Act::Wait);
            world.wish = Some(Wish::Resume);
            let on = world.decide(&plan, &decision.state);
            assert_eq!((on.act, on.wish_done), (Act::SetWeight(25), true));
            world.wish = Some(Wish::Abort);
            let back = world.decide(&plan, &decision.state);
            assert_eq!((back.act, back.wish_done), (Act::SetWeight(0), true));
        }
    }
    // A failing gate comes before: a safe share is what matters.
    let (state, mut world) = every_state().remove(3);
    world.stored = Some(Stored::Weight(60));
    world.canary = Some(Canary {
        restarts: 3,
        ready: 0,
        wanted: 1,
        exists: true,
        last_death: None,
    });
    assert_eq!(world.decide(&plan, &state).act, Act::SetWeight(0));
}

#[test]
fn a_share_that_comes_back_during_the_proof_is_taken_again() {
    let (state, mut world) = every_state().remove(8);
    world.stored = Some(Stored::Weight(25));
    let decision = world.decide(&plan(), &state);
    assert!(matches!(decision.state, State::RollingBack { .. }));
    assert_eq!(decision.act, Act::SetWeight(0));
}

#[test]
fn what_cannot_be_written_does_not_stop_a_rollback() {
    let plan = plan();
    let (state, mut world) = every_state().remove(7);
    world.stored = Some(Stored::Foreign("another route".to_owned()));
    assert_eq!(world.decide(&plan, &state).act, Act::SetWeight(0));
    world.now += plan.outage_millis;
    assert_eq!(world.decide(&plan, &state).act, Act::StartProof);
}

#[test]
fn wishes() {
    let plan = plan();
    for (state, mut world) in every_state() {
        world.wish = Some(Wish::Abort);
        let (end, _) = go_on(
            &plan,
            state.clone(),
            &mut world.clone(),
            Verdict::Inconclusive,
        );
        match state {
            // Too late: it says so, and goes on.
            State::Promoting { .. }
            | State::Emptying
            | State::Clearing { .. }
            | State::Ended { .. } => {
                assert_eq!(end, State::Ended { end: End::Promoted }, "{state:?}");
            }
            _ => assert!(
                matches!(
                    &end,
                    State::Ended {
                        end: End::RolledBack { .. }
                    }
                ),
                "{state:?} {end:?}"
            ),
        }
    }
    for (state, mut world) in every_state() {
        world.wish = Some(Wish::Promote);
        let decision = world.decide(&plan, &state);
        match state {
            State::Analysing { .. } | State::Paused { .. } => {
                assert_eq!(
                    (decision.act, decision.wish_done),
                    (Act::UpdateStable, true)
                );
            }
            // Never of a version that had no traffic.
            State::Preparing { .. } => assert!(decision.wish_done && decision.say.is_some()),
            State::RollingBack { .. } | State::Proving { .. } => {
                assert_ne!(decision.act, Act::UpdateStable);
            }
            _ => {}
        }
    }
}

#[test]
fn a_second_workload_is_promoted_by_its_share() {
    let plan = Plan {
        second_workload: true,
        ..plan()
    };
    let mut world = World::new();
    let start = State::Preparing { since: world.now };
    let (state, weights) = go_on(&plan, start, &mut world, Verdict::Pass);
    assert_eq!(state, State::Ended { end: End::Promoted });
    assert_eq!(weights, [0, 5, 25, 50, 100]);
    assert_eq!(world.stable, Some(StableSeen::default()), "never touched");
}

#[test]
fn a_rollout_that_stands_still_keeps_the_share_and_is_said() {
    let plan = plan();
    let (state, mut world) = every_state().remove(5);
    world.stable = Some(StableSeen {
        is_new: true,
        is_rolled_out: false,
        updated: 0,
    });
    world.now += plan.rollout_millis;
    let decision = world.decide(&plan, &state);
    assert_eq!(decision.act, Act::Wait);
    assert!(decision.say.is_some());
    world.stable = Some(StableSeen {
        is_new: true,
        is_rolled_out: false,
        updated: 1,
    });
    let decision = world.decide(&plan, &state);
    assert!(matches!(
        decision.state,
        State::Promoting { updated: 1, .. }
    ));
}

/// In every state: whatever cannot be read, nothing is written that would raise the share, and the
/// run is not lost; once it can be read, it goes on to an end.
#[test]
fn an_api_server_that_is_away() {
    let plan = plan();
    for (state, world) in every_state() {
        let mut blind = world.clone();
        blind.stored = None;
        blind.canary = None;
        blind.stable = None;
        blind.now += 10 * STEP;
        let decision = blind.decide(&plan, &state);
        assert!(
            !matches!(
                decision.act,
                Act::SetWeight(1..) | Act::UpdateStable | Act::Create
            ),
            "{state:?} {decision:?}"
        );
        let mut back = world;
        back.now = blind.now;
        back.wish = match state {
            State::Paused { .. } => Some(Wish::Resume),
            _ => None,
        };
        let (end, _) = go_on(&plan, decision.state, &mut back, Verdict::Pass);
        assert!(matches!(end, State::Ended { .. }), "{state:?} {end:?}");
    }
}

/// Killed after the journal was written and before the act, or after both: whoever comes next does
/// it, and the share never was above that of the step in the journal.
#[test]
fn killed_at_any_moment() {
    let plan = plan();
    for verdict in [Verdict::Pass, Verdict::Fail] {
        for skip in 0..40 {
            let mut world = World::new();
            let mut state = State::Preparing { since: world.now };
            for tick in 0..1000 {
                if let State::Ended { .. } = state {
                    break;
                }
                world.now += 1000;
                if let State::Analysing { .. } = state {
                    world.gate = Some(gate(verdict));
                }
                world.fresh.since_hit += 10;
                let decision = world.decide(&plan, &state);
                let most = match &decision.state {
                    State::Shifting { step } | State::Analysing { step, .. } => plan.weight(*step),
                    State::Promoting { .. } | State::Emptying => 50,
                    _ => 25,
                };
                let is_change = decision.state != state;
                state = decision.state;
                // This act is lost with whoever was killed; samples with it.
                if tick == skip && is_change {
                    world.gate = None;
                    world.fresh = Fresh::default();
                } else {
                    world.obey(&decision.act);
                }
                assert!(world.weight() <= most, "{state:?} {}", world.weight());
            }
            let wanted = match verdict {
                Verdict::Pass => matches!(state, State::Ended { end: End::Promoted }),
                _ => matches!(
                    state,
                    State::Ended {
                        end: End::RolledBack { .. }
                    }
                ),
            };
            assert!(wanted, "killed at {skip}: {state:?}");
            assert_eq!(world.weight(), 0);
        }
    }
}

/// What is in the journal comes back as it was.
#[test]
fn the_journal_keeps_it() {
    for (state, _) in every_state() {
        let text = serde_json::to_string(&state).expect("a state is JSON");
        let back: State = serde_json::from_str(&text).expect("it comes back");
        assert_eq!(back, state, "{text}");
    }
    let text = serde_json::to_string(&plan()).expect("a plan is JSON");
    let back: Plan = serde_json::from_str(&text).expect("it comes back");
    assert_eq!(back, plan());
}

/// Over only when what was made is away.
#[test]
fn it_is_cleared_away_before_it_is_over() {
    let (state, mut world) = every_state().remove(9);
    world.is_clear = false;
    let decision = world.decide(&plan(), &state);
    assert_eq!((&decision.state, &decision.act), (&state, &Act::Clear));
    world.is_clear = true;
    let decision = world.decide(&plan(), &state);
    assert_eq!(decision.state, State::Ended { end: End::Promoted });
}
