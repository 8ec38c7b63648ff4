//! Ctrl-C at each moment of a drill: what is said, the exit code, and that the cluster is as it was.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::space::{Space, poll};
use serde_json::{Value, json};

use crate::plugin::{Ended, Listing, Running, flat, kubeconfig};

const LEASE: &str = "infer-drill-llama";
/// From Ctrl-C to the end: the last lines of the proxy's log are waited for, and no answer.
const IN_TIME: Duration = Duration::from_secs(8);
/// From a second Ctrl-C to the end.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn ctrl_c_gives_everything_back() {
    let Some(lab) = node_lab() else { return };
    let exercise = Exercise::start(
        Space::in_group(lab, "interrupted", None),
        &Wanted::default(),
    );
    let before = Listing::of(&exercise.space);
    while_the_cluster_does_not_answer(&exercise.space);
    at_the_prompt(&exercise.space);
    in_the_baseline(&exercise.space);
    while_the_cluster_has_fallen_silent(&exercise.space);
    // Nothing so far touched a pod.
    assert_eq!(before.changes(&Listing::of(&exercise.space)), [""; 0]);
    after_the_fault(&exercise);
    at_the_fault(&exercise);
    exercise.end();
}

fn drill<'a>(space: &'a Space, more: &[&'a str]) -> Vec<&'a str> {
    [&["drill", "ingress/llama", "-n", &space.name], more].concat()
}

/// Interrupts it, and sees it end.
fn interrupted(running: Running) -> Ended {
    running.interrupt();
    let pressed = Instant::now();
    let ended = running.end();
    assert!(pressed.elapsed() < IN_TIME, "{ended:?}");
    assert_eq!(ended.code, Some(130), "{ended:?}");
    ended
}

fn holder(space: &Space) -> Option<String> {
    let holder = "jsonpath={.spec.holderIdentity}";
    let output = space.run(&["get", "lease", LEASE, "-o", holder], "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

fn no_lease(space: &Space) {
    let output = space.run(&["get", "leases", "-o", "name"], "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

fn while_the_cluster_does_not_answer(space: &Space) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let path = kubeconfig(space, "silent", |config| {
        config["clusters"][0]["cluster"]["server"] = json!(server);
    });
    let path = path.display().to_string();
    let flags = ["--fault", "delete", "--yes", "--kubeconfig", &path];
    let running = Running::start(&drill(space, &flags));
    // From its first connection on it listens for Ctrl-C.
    let _asked = silent.accept().unwrap();
    let ended = interrupted(running);
    let words = ["interrupted: nothing was done to the cluster"];
    ended.expect("silent", 130, &words);
    assert_eq!(ended.out, "");
}

fn at_the_prompt(space: &Space) {
    let asking = || {
        let flags = ["--fault", "delete", "--color", "never"];
        let mut running = Running::in_a_terminal(&drill(space, &flags));
        running.until_said("Proceed? [y/N]");
        running
    };
    let mut running = asking();
    running.press("\u{3}");
    let ended = running.end();
    // A process that Ctrl-C killed would say nothing: script(1) then ends with 130 too.
    let said = flat(&ended.out);
    assert_eq!(ended.code, Some(130), "{said}");
    assert!(
        said.contains("interrupted: nothing was done to the cluster"),
        "{said}"
    );
    no_lease(space);
    // The control: a no is another answer.
    let mut running = asking();
    running.press("n\n");
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        flat(&ended.out).contains("not confirmed: nothing was done"),
        "{ended:?}"
    );
    no_lease(space);
}

fn in_the_baseline(space: &Space) {
    let flags = ["--fault", "delete", "--yes", "--baseline=30s", "-o", "json"];
    let running = Running::start(&drill(space, &flags));
    poll("the Lease is held", || holder(space).is_some());
    let by = holder(space).unwrap();
    assert!(by.starts_with("kubectl-infer/"), "{by}");
    thread::sleep(Duration::from_secs(1));
    let ended = interrupted(running);
    no_lease(space);
    let report = ended.json();
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!(report["fault"]["state"], "not-sent", "{report}");
    let words = [
        "traffic ends, the Lease is given back",
        "Ctrl-C again exits at once",
    ];
    ended.expect("baseline", 130, &words);
    let done = report["done"].to_string();
    assert!(
        done.contains("infer-drill-llama taken and given back"),
        "{done}"
    );
}

/// The API server answers no more when Ctrl-C is pressed: the Lease cannot be given back, and that is
/// said. It names a holder until it expires, and then keeps nobody out.
fn while_the_cluster_has_fallen_silent(space: &Space) {
    let is_frozen = Arc::new(AtomicBool::new(false));
    let path = kubeconfig(space, "freezing", |config| {
        let cluster = &mut config["clusters"][0]["cluster"];
        let real = cluster["server"].as_str().unwrap();
        let real = real.strip_prefix("https://").unwrap().to_owned();
        let (host, _) = real.split_once(':').unwrap();
        cluster["tls-server-name"] = json!(host);
        let front = in_front_of(real.parse().unwrap(), &is_frozen);
        cluster["server"] = json!(format!("https://{front}"));
    });
    let path = path.display().to_string();
    let frozen = |timeout: &str| {
        let flags = [
            "--fault",
            "delete",
            "--yes",
            "--baseline=30s",
            "--kubeconfig",
            &path,
        ];
        let timeout = ["--request-timeout", timeout];
        is_frozen.store(false, Ordering::Relaxed);
        let mut running = Running::start(&drill(space, &[&flags[..], &timeout].concat()));
        running.until_said("traffic begins");
        is_frozen.store(true, Ordering::Relaxed);
        running
    };
    let left_behind = || {
        assert!(holder(space).is_some(), "nobody could give it back");
        space.ok(&["delete", "lease", LEASE], "");
    };
    let ended = interrupted(frozen("1s"));
    let said = flat(&ended.out);
    let left = "lease/infer-drill-llama taken and not given back";
    for words in [left, "did not answer within 1 s", "it expires by itself"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    left_behind();
    // A second press does not wait for an answer.
    let mut running = frozen("20s");
    running.interrupt();
    running.until_said("Ctrl-C again exits at once and leaves the Lease to expire");
    let pressed = Instant::now();
    interrupted(running);
    assert!(pressed.elapsed() < AT_ONCE, "{:?}", pressed.elapsed());
    left_behind();
}

/// Listens in front of a server, and passes bytes on until it is frozen.
fn in_front_of(server: SocketAddr, is_frozen: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let is_frozen = Arc::clone(is_frozen);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(server).unwrap();
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            for (from, to) in [(client, server), back] {
                let is_frozen = Arc::clone(&is_frozen);
                thread::spawn(move || pass(from, to, &is_frozen));
            }
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_frozen: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        if is_frozen.load(Ordering::Relaxed) {
            // Held open, and never another word.
            thread::park_timeout(Duration::from_secs(600));
        }
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

/// Started through the prompt, and interrupted by the key.
fn after_the_fault(exercise: &Exercise) {
    let space = &exercise.space;
    let before = Listing::of(space);
    let victim = name(&exercise.pods()[0]);
    let flags = [
        "--fault",
        "crash",
        "--pod",
        &victim,
        "--baseline=2s",
        "--duration=60s",
        "--streams=4",
        "--color",
        "never",
    ];
    let mut running = Running::in_a_terminal(&drill(space, &flags));
    running.until_said("Proceed? [y/N]");
    assert_eq!(holder(space), None, "nothing is held before the answer");
    running.press("y\n");
    running.until_said("verified: ");
    assert!(holder(space).is_some(), "it is held while it runs");
    // Time for requests after the fault to end.
    thread::sleep(Duration::from_secs(1));
    running.press("\u{3}");
    let ended = running.end();
    let said = flat(&ended.out);
    assert_eq!(ended.code, Some(130), "{said}");
    let process = format!("in pod/{victim} got SIGKILL");
    for words in [
        "WHAT CLIENTS SAW",
        "streams",
        "interrupted: what came later is not known",
        "lease/infer-drill-llama taken and given back",
        &process,
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    no_lease(space);
    exercise.until_ready(Duration::from_secs(60)).unwrap();
    in_rotation(space);
    let changed = format!("Pod/{victim} containers");
    assert_eq!(
        before.changes(&Listing::of(space)),
        [changed],
        "one restart"
    );
}

/// Ctrl-C while the fault is on its way: it is told whether it happened, and the workload heals.
fn at_the_fault(exercise: &Exercise) {
    let space = &exercise.space;
    let before = Listing::of(space);
    let victim = name(&exercise.pods()[1]);
    let flags = [
        "--fault",
        "force-delete",
        "--pod",
        &victim,
        "--yes",
        "--baseline=1s",
        "--duration=60s",
        "--streams=2",
    ];
    let mut running = Running::start(&drill(space, &flags));
    running.until_said("fault sent");
    let ended = interrupted(running);
    let said = flat(&ended.out);
    let deleted = format!("pod/{victim} deleted, grace 0s");
    for words in ["WHAT CLIENTS SAW", &deleted, "taken and given back"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    no_lease(space);
    exercise.until_ready(Duration::from_secs(60)).unwrap();
    let after = Listing::of(space);
    assert_eq!(
        before.without_pods().changes(&after.without_pods()),
        [""; 0]
    );
    let names: Vec<String> = exercise.pods().iter().map(name).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!names.contains(&victim), "{names:?}");
}

/// Waits until both replicas are in the EndpointSlices.
fn in_rotation(space: &Space) {
    space.until("endpointslices", |slices| {
        let endpoints = slices["items"][0]["endpoints"].as_array();
        let ready = |it: &&Value| it["conditions"]["ready"] == true;
        endpoints.is_some_and(|all| all.iter().filter(ready).count() == 2)
    });
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}
