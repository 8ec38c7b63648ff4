//! What the gate says of samples.

use infer_canary::gate::{Arm, Limits, Metric, Samples, Strictness, Verdict, Whole, judge};

const LAST: Strictness = Strictness {
    steps: 3,
    next_weight: 100,
};

fn arm(requests: u64, errors: u64, lost: u64, first_token: f64) -> Arm {
    let mut arm = Arm::default();
    for index in 0..requests {
        let is_lost = index < lost;
        let is_error = index < errors;
        // A little spread, as real times have.
        let time = first_token * (1.0 + (index % 20) as f64 / 100.0);
        arm.add(
            is_error || is_lost,
            true,
            is_lost,
            (!is_error).then_some(time),
        );
    }
    arm
}

fn verdict_of(samples: &Samples, metric: Metric) -> Verdict {
    let gate = judge(samples, &Limits::default(), LAST);
    let found = gate.metrics.iter().find(|it| it.metric == metric);
    found.expect("each metric is judged").verdict
}

fn samples(stable: Arm, canary: Arm) -> Samples {
    let before = Whole {
        requests: 500,
        errors: 0,
    };
    Samples {
        stable,
        canary,
        unknown: Whole::default(),
        before,
    }
}

#[test]
fn a_good_canary_passes_with_enough_requests_and_not_before() {
    let good = samples(arm(1500, 0, 0, 0.2), arm(600, 0, 0, 0.2));
    assert_eq!(
        judge(&good, &Limits::default(), LAST).verdict,
        Verdict::Pass
    );
    let early = samples(arm(1500, 0, 0, 0.2), arm(60, 0, 0, 0.2));
    let gate = judge(&early, &Limits::default(), LAST);
    assert_eq!(gate.verdict, Verdict::Inconclusive);
    assert!(
        gate.needs()
            .is_some_and(|needs| (100..600).contains(&needs))
    );
    // The first step risks little, and asks for less.
    let first = Strictness {
        next_weight: 25,
        ..LAST
    };
    let some = samples(arm(1500, 0, 0, 0.2), arm(150, 0, 0, 0.2));
    assert_eq!(
        judge(&some, &Limits::default(), first).verdict,
        Verdict::Pass
    );
    assert_eq!(
        judge(&some, &Limits::default(), LAST).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn no_traffic_is_neither() {
    let nothing = judge(&Samples::default(), &Limits::default(), LAST);
    assert_eq!(nothing.verdict, Verdict::Inconclusive);
    assert!(
        nothing
            .metrics
            .iter()
            .all(|it| it.verdict == Verdict::Inconclusive)
    );
    // A canary alone proves nothing, and a stable version alone does not.
    let alone = samples(Arm::default(), arm(600, 60, 0, 0.2));
    assert_eq!(verdict_of(&alone, Metric::Errors), Verdict::Inconclusive);
    let other = samples(arm(600, 0, 0, 0.2), Arm::default());
    assert_eq!(
        judge(&other, &Limits::default(), LAST).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn each_metric_fails_alone() {
    let fails = |canary: Arm, metric| {
        let samples = samples(arm(1500, 0, 0, 0.2), canary);
        let gate = judge(&samples, &Limits::default(), LAST);
        assert_eq!(gate.verdict, Verdict::Fail, "{metric:?} {gate:#?}");
        assert!(gate.failing().any(|it| it.metric == metric), "{gate:#?}");
    };
    fails(arm(400, 40, 0, 0.2), Metric::Errors);
    fails(arm(400, 0, 12, 0.2), Metric::LostStreams);
    fails(arm(400, 0, 0, 0.6), Metric::FirstToken);
}

#[test]
fn the_same_errors_on_both_sides_are_none_of_the_canarys() {
    let noise = samples(arm(3000, 60, 0, 0.2), arm(1000, 20, 0, 0.2));
    assert_ne!(
        judge(&noise, &Limits::default(), LAST).verdict,
        Verdict::Fail
    );
}

#[test]
fn unknown_failures_stand_against_a_pass_and_can_fail_only_the_route() {
    let mut samples = samples(arm(1500, 0, 0, 0.2), arm(600, 0, 0, 0.2));
    samples.unknown = Whole {
        requests: 12,
        errors: 12,
    };
    assert_eq!(verdict_of(&samples, Metric::Errors), Verdict::Inconclusive);
    assert_eq!(verdict_of(&samples, Metric::Route), Verdict::Inconclusive);
    // A canary that is too broken to be recognised: the route was better before.
    samples.unknown = Whole {
        requests: 150,
        errors: 150,
    };
    assert_eq!(verdict_of(&samples, Metric::Errors), Verdict::Inconclusive);
    assert_eq!(verdict_of(&samples, Metric::Route), Verdict::Fail);
    let whole = judge(&samples, &Limits::default(), LAST);
    assert_eq!(whole.verdict, Verdict::Fail, "{whole:#?}");
    // Where it was no better before, it is not the canary's.
    samples.before = Whole {
        requests: 500,
        errors: 40,
    };
    assert_ne!(verdict_of(&samples, Metric::Route), Verdict::Fail);
}

#[test]
fn without_streams_there_is_none_to_lose() {
    let mut stable = Arm::default();
    let mut canary = Arm::default();
    for _ in 0..800 {
        stable.add(false, false, false, Some(0.2));
        canary.add(false, false, false, Some(0.2));
    }
    let gate = judge(&samples(stable, canary), &Limits::default(), LAST);
    assert_eq!(gate.verdict, Verdict::Pass, "{gate:#?}");
}
