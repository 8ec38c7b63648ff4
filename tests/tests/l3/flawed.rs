//! A canary Ingress splits as it says, and the second versions of the lab are bad as they say and in
//! no other way. What a client sees, in NGINX's own counts.

use std::collections::BTreeMap;
use std::time::Duration;

use infer_tests::exercise::node_lab;
use infer_tests::flawed::{
    Answer, Ask, CRASH, CUT_20, ERRORS_5, GOOD, NEVER_READY, SLOW_3, STABLE, STABLE_NAME, Version,
    Versions, beside,
};
use infer_tests::space::Space;

/// A prompt of so many words takes the server longer than all that lies between it and a client.
const LONG_PROMPT: usize = 150;

/// The answers of the stable version and of the canary.
fn by_version(answers: Vec<Answer>, canary: Version) -> (Vec<Answer>, Vec<Answer>) {
    let (of_canary, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.is_of(canary));
    let stranger = rest.iter().find(|it| !it.is_of(STABLE));
    assert!(stranger.is_none(), "neither version: {stranger:#?}");
    (rest, of_canary)
}

fn bad(answers: &[Answer]) -> Vec<&Answer> {
    answers.iter().filter(|it| !it.is_good()).collect()
}

fn median_first(answers: &[Answer]) -> Duration {
    let mut all: Vec<Duration> = answers.iter().filter_map(|it| it.first).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Sends as often behind a weight of 50 and gives the answers of both.
fn half(
    versions: &Versions,
    canary: Version,
    ask: &Ask,
    count: usize,
    clients: usize,
) -> (Vec<Answer>, Vec<Answer>) {
    versions.weigh(canary, 50);
    by_version(versions.ask_often(ask, count, clients), canary)
}

#[test]
fn a_canary_is_split_as_it_says_and_flawed_as_it_says() {
    let Some(lab) = node_lab() else { return };
    let versions = Versions::apply(Space::in_group(lab, "flawed", None), STABLE);
    let all = [GOOD, ERRORS_5, SLOW_3, CUT_20, CRASH, NEVER_READY];
    for version in all {
        versions.deploy(version);
    }
    for deployment in [STABLE_NAME.to_owned()]
        .into_iter()
        .chain(all[..4].iter().map(|it| beside(*it)))
    {
        versions.until_ready(&deployment);
    }

    it_is_split(&versions);
    good_is_good(&versions);
    errors_are_seen(&versions);
    slowness_is_seen(&versions);
    cuts_are_seen(&versions);
    who_is_not_ready_gets_nothing(&versions);
    versions.end();
}

/// Both serve at 50, by NGINX's own count and by the client's; at 0 nobody meets the canary, at 100
/// nobody the stable version.
fn it_is_split(versions: &Versions) {
    let [stable, canary] = [STABLE_NAME.to_owned(), beside(GOOD)].map(|it| versions.upstream(&it));
    for (weight, count) in [(50, 100), (0, 60), (100, 60)] {
        versions.weigh(GOOD, weight);
        let mark = versions.mark();
        let answers = versions.ask_often(&Ask::list(), count, 4);
        let (of_stable, of_canary) = by_version(answers, GOOD);
        let by_nginx = versions.served(mark, count);
        let seen = [(&stable, of_stable.len()), (&canary, of_canary.len())];
        let seen = seen.into_iter().filter(|(_, count)| *count > 0);
        let seen: BTreeMap<String, usize> =
            seen.map(|(name, count)| (name.clone(), count)).collect();
        assert_eq!(by_nginx, seen, "at {weight}");
        match weight {
            // Five standard deviations of a hundred draws.
            50 => assert!(of_canary.len().abs_diff(50) <= 25, "{seen:?}"),
            0 => assert_eq!(of_canary.len(), 0),
            _ => assert_eq!(of_stable.len(), 0),
        }
    }
}

/// The control of what follows: nothing is wrong with the good second version.
fn good_is_good(versions: &Versions) {
    let (stable, good) = half(versions, GOOD, &Ask::stream(12), 40, 4);
    assert!(
        bad(&stable).is_empty() && bad(&good).is_empty(),
        "{:#?}",
        bad(&good)
    );
    let once = Ask::stream(4).with_prompt(LONG_PROMPT);
    let (stable, good) = half(versions, GOOD, &once, 44, 1);
    assert!(
        bad(&stable).is_empty() && bad(&good).is_empty(),
        "{:#?}",
        bad(&good)
    );
    let (stable, good) = (median_first(&stable), median_first(&good));
    assert!(
        good < stable.mul_f64(1.8),
        "{good:?} of the good one, {stable:?} of the stable one"
    );
}

fn errors_are_seen(versions: &Versions) {
    let (stable, flawed) = half(versions, ERRORS_5, &Ask::completion(1), 400, 4);
    assert!(bad(&stable).is_empty(), "{:#?}", bad(&stable));
    let bad = bad(&flawed);
    assert!(
        bad.iter().all(|it| it.status == 500 && it.whole),
        "{bad:#?}"
    );
    // The draws of its seed: ten among 150 of them, twelve among 250.
    assert!(
        (8..=14).contains(&bad.len()),
        "{} of {}",
        bad.len(),
        flawed.len()
    );
}

fn slowness_is_seen(versions: &Versions) {
    let ask = Ask::stream(4).with_prompt(LONG_PROMPT);
    let (stable, flawed) = half(versions, SLOW_3, &ask, 44, 1);
    assert!(bad(&stable).is_empty(), "{:#?}", bad(&stable));
    assert!(bad(&flawed).is_empty(), "{:#?}", bad(&flawed));
    let (stable, slow) = (median_first(&stable), median_first(&flawed));
    assert!(
        slow > stable.mul_f64(2.2) && slow < stable.mul_f64(6.0),
        "{slow:?} of the slow one, {stable:?} of the stable one"
    );
}

fn cuts_are_seen(versions: &Versions) {
    let (stable, flawed) = half(versions, CUT_20, &Ask::stream(12), 200, 4);
    assert!(bad(&stable).is_empty(), "{:#?}", bad(&stable));
    // The draws of its seed: eleven among 70 streams, twenty-one among 130.
    let cut = bad(&flawed);
    // A cut stream begins as any other.
    assert!(
        cut.iter()
            .all(|it| it.status == 200 && !it.whole && it.body.starts_with("data: ")),
        "{cut:#?}"
    );
    assert!(
        (9..=24).contains(&cut.len()),
        "{} of {}",
        cut.len(),
        flawed.len()
    );
    let (_, whole) = half(versions, CUT_20, &Ask::completion(4), 24, 4);
    assert!(
        bad(&whole).is_empty(),
        "only streams are cut: {:#?}",
        bad(&whole)
    );
}

fn who_is_not_ready_gets_nothing(versions: &Versions) {
    versions.weigh(GOOD, 0);
    for version in [CRASH, NEVER_READY] {
        let pods = versions.pods(&beside(version));
        let status = &pods[0]["status"]["containerStatuses"][0];
        assert_eq!(status["ready"], false, "{status}");
        if version == CRASH {
            assert_eq!(status["lastState"]["terminated"]["exitCode"], 1, "{status}");
        }
        let traffic = versions.traffic(&Ask::stream(12), 2);
        versions.weigh(version, 50);
        let mark = versions.mark();
        let answers = versions.ask_often(&Ask::stream(12), 40, 4);
        let by_nginx = versions.served(mark, 40);
        let meanwhile = traffic.end();
        assert!(meanwhile.len() > 10, "{}", meanwhile.len());
        let answers = [answers, meanwhile].concat();
        assert!(
            bad(&answers).is_empty(),
            "{}: {:#?}",
            version.name,
            bad(&answers)
        );
        let (_, of_it) = by_version(answers, version);
        assert!(of_it.is_empty(), "{of_it:#?}");
        let only = versions.upstream(STABLE_NAME);
        assert!(by_nginx.keys().all(|it| *it == only), "{by_nginx:?}");
    }
}
