use super::backend::Hit;
use super::*;
use std::collections::BTreeSet;

fn wanted(shares: &[(&str, f64)]) -> Vec<Wanted> {
    let each = shares.iter().map(|(name, share)| Wanted {
        name: (*name).to_owned(),
        target: Target::new(*share),
    });
    each.collect()
}

fn of_pod(pod: &str, services: &[&str]) -> Replica {
    Replica {
        pod: Some(pod.to_owned()),
        grade: Some(Grade::Joined),
        services: services.iter().map(|it| (*it).to_owned()).collect(),
        ..Replica::default()
    }
}

fn of_header(value: &str) -> Replica {
    Replica {
        pod: Some(value.to_owned()),
        header: Some(value.to_owned()),
        grade: Some(Grade::Direct),
        ..Replica::default()
    }
}

fn replies<'a>(replicas: &'a [Replica], fingerprints: &'a [Fingerprint]) -> Vec<Reply<'a>> {
    let each = replicas.iter().zip(fingerprints).zip(1..);
    each.map(|((replica, fingerprint), sequence)| Reply {
        sequence,
        replica,
        fingerprint,
    })
    .collect()
}

fn plain(replicas: &[Replica]) -> Vec<Fingerprint> {
    vec![Fingerprint::default(); replicas.len()]
}

/// What each reply is of the first name.
fn hits(shares: &[(&str, f64)], behind: &Behind, replicas: &[Replica]) -> (Option<By>, Vec<Hit>) {
    let (wanted, none) = (wanted(shares), plain(replicas));
    let replies = replies(replicas, &none);
    let backends = backend::resolve(&wanted, behind, &replies);
    let first = &backends[0];
    (first.by, replies.iter().map(|it| first.hit(it)).collect())
}

fn behind(services: &[&str], workloads: &[&str]) -> Behind {
    Behind {
        services: services.iter().map(|it| (*it).to_owned()).collect(),
        workloads: workloads.iter().map(|it| (*it).to_owned()).collect(),
        pods: BTreeSet::new(),
    }
}

#[test]
fn a_service_goes_before_a_workload_of_the_same_name() {
    let both = behind(&["llama"], &["llama"]);
    let replicas = [
        of_pod("llama-2kqzl", &["llama"]),
        of_pod("llama-8xv4m", &["x"]),
    ];
    let (by, found) = hits(&[("llama", 0.5)], &both, &replicas);
    assert_eq!((by, found), (Some(By::Service), vec![Hit::Yes, Hit::No]));
    let (by, found) = hits(&[("llama", 0.5)], &behind(&["x"], &["llama"]), &replicas);
    assert_eq!((by, found), (Some(By::Workload), vec![Hit::Yes, Hit::Yes]));
}

#[test]
fn a_pod_behind_two_services_that_are_compared_is_of_nobody() {
    let known = behind(&["stable", "canary", "all"], &[]);
    let replicas = [
        of_pod("a", &["stable", "all"]),
        of_pod("b", &["stable", "canary"]),
        of_pod("c", &[]),
        of_pod("d", &["all"]),
    ];
    let shares = [("stable", 0.9), ("canary", 0.1)];
    let (_, found) = hits(&shares, &known, &replicas);
    assert_eq!(found, [Hit::Yes, Hit::Unknown, Hit::Unknown, Hit::No]);
}

#[test]
fn a_header_s_value_is_a_name_or_the_name_of_a_pod() {
    let url = Behind::default();
    let replicas = ["canary", "stable", "canary-6d9f8c-2kqzl"].map(of_header);
    let (by, found) = hits(&[("canary", 0.1)], &url, &replicas);
    assert_eq!(
        (by, found),
        (Some(By::Header), vec![Hit::Yes, Hit::No, Hit::No])
    );
    let (by, found) = hits(&[("canary", 0.1)], &url, &replicas[1..]);
    assert_eq!((by, found), (Some(By::ItsName), vec![Hit::No, Hit::Yes]));
    let (by, found) = hits(&[("nobody", 0.1)], &url, &replicas);
    assert_eq!((by, found), (Some(By::Header), vec![Hit::No; 3]));
    let (by, found) = hits(&[("canary", 0.1)], &url, &[Replica::unknown("x")]);
    assert_eq!((by, found), (None, vec![Hit::Unknown]));
}

#[test]
fn a_header_that_names_no_pods_is_not_held_against_objects() {
    let known = behind(&["stable", "canary"], &["canary"]);
    let replicas = ["canary", "stable"].map(of_header);
    let (by, found) = hits(&[("canary", 0.1)], &known, &replicas);
    assert_eq!((by, found), (Some(By::Header), vec![Hit::Yes, Hit::No]));
    // One that names pods is.
    let mut replicas = ["canary-2kqzl", "stable-8xv4m"].map(of_header);
    replicas[0].services = vec!["canary".to_owned()];
    replicas[1].services = vec!["stable".to_owned()];
    let (by, found) = hits(&[("canary", 0.1)], &known, &replicas);
    assert_eq!((by, found), (Some(By::Service), vec![Hit::Yes, Hit::No]));
}

#[test]
fn one_unknown_reply_in_the_beginning_keeps_a_run_from_ending() {
    let wanted = wanted(&[("canary", 0.1)]);
    let mut replicas = vec![of_header("stable"); 400];
    let none = plain(&replicas);
    let found =
        |replicas: &[Replica]| silent(&wanted, &Behind::default(), &replies(replicas, &none));
    let ended = found(&replicas).unwrap();
    assert_eq!((ended.backend.as_str(), ended.requests), ("canary", 400));
    replicas[300] = Replica::unknown("x");
    assert_eq!(found(&replicas).map(|it| it.requests), Some(300));
    replicas[50] = Replica::unknown("x");
    assert_eq!(found(&replicas), None);
    replicas[50] = of_header("stable");
    replicas[399] = of_header("canary");
    assert_eq!(found(&replicas), None, "a later hit");
    assert_eq!(found(&replicas[..90]), None, "too few");
}

#[test]
fn a_number_that_is_missing_is_an_answer_that_is_not_there_yet() {
    let wanted = wanted(&[("canary", 0.1)]);
    let replicas = vec![of_header("stable"); 400];
    let none = plain(&replicas);
    let mut replies = replies(&replicas, &none);
    replies.remove(50);
    assert_eq!(silent(&wanted, &Behind::default(), &replies), None);
}
