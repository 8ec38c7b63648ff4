//! A canary behind real NGINX: a good one is promoted, a bad one is taken back, and clients of the
//! stable version lose nothing either way. More versions, more often, and behind other routers:
//! `cargo xtask prove canary`.

use infer_tests::canary::{Way, image_of_stable, left, lost, run, run_as_a_job};
use infer_tests::exercise::node_lab;
use infer_tests::flawed::{Ask, ERRORS_5, GOOD, STABLE, Versions};
use infer_tests::space::Space;

/// Clients that ask one request after the other while the canary runs.
const CLIENTS: usize = 2;

#[test]
fn five_percent_errors_are_taken_back_and_a_good_one_is_promoted() {
    let Some(lab) = node_lab() else { return };
    let versions = Versions::start(Space::in_group(lab, "canary", None), STABLE);

    let clients = versions.traffic(&Ask::completion(4), CLIENTS);
    let ran = run(&versions, &Way::Nginx, ERRORS_5, "50");
    let answers = clients.end();
    println!("{} after {:?}", ran.told, ran.took);
    assert!(ran.is_taken_back(), "{} {:#}", ran.told, ran.report);
    let of_stable = answers.iter().filter(|it| it.is_of(STABLE)).count();
    assert!(of_stable > 100, "{of_stable}");
    let lost_by_stable = lost(&answers, &[STABLE]);
    assert!(lost_by_stable.is_empty(), "{lost_by_stable:#?}");
    assert_eq!(left(&versions), ["Deployment/llama-canary 0"]);
    assert_eq!(image_of_stable(&versions), STABLE.image());

    // The good one without a laptop: the same program as a Job, with the rights that are written down.
    let clients = versions.traffic(&Ask::completion(4), CLIENTS);
    run_as_a_job(&versions, GOOD);
    let answers = clients.end();
    let of_good = answers.iter().filter(|it| it.is_of(GOOD)).count();
    assert!(of_good > 20, "{of_good}");
    let lost_by_any = lost(&answers, &[STABLE, GOOD]);
    assert!(lost_by_any.is_empty(), "{lost_by_any:#?}");
    assert!(left(&versions).is_empty(), "{:?}", left(&versions));
    assert_eq!(image_of_stable(&versions), GOOD.image());
    versions.end();
}
