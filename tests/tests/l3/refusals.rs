//! What `drill` and `test` do where they cannot or may not: a message that helps, its exit code, and
//! a namespace that holds what it held. Each refusal stands beside a run that is not refused.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::space::Space;
use serde_json::{Value, json};

use crate::plugin::{Ended, Listing, flat, kubeconfig, run};

const LEASE: &str = "infer-drill-llama";
/// More than the time to wait for one answer that these runs are given.
const IN_TIME: Duration = Duration::from_secs(6);

fn drill(space: &Space, more: &[&str]) -> Ended {
    run(&[&["drill", "ingress/llama", "-n", &space.name], more].concat())
}

/// Runs a drill that is refused: with exit code 1 and these words.
fn refused(case: &str, space: &Space, more: &[&str], words: &[&str]) {
    // Short, so that one that is not refused fails soon.
    let load = ["--baseline=1s", "--duration=1s", "--yes"];
    let ended = drill(space, &[more, &load].concat());
    ended.expect(case, 1, words);
    assert_eq!(ended.out, "", "{case}: no plan, no report");
}

/// The control: the same drill is planned.
fn planned(case: &str, space: &Space, more: &[&str]) {
    let ended = drill(space, &[more, &["--dry-run"]].concat());
    assert_eq!(ended.code, Some(0), "{case}: {ended:?}");
    assert!(ended.out.starts_with("PLAN\n"), "{case}: {ended:?}");
}

/// Sees that these runs change nothing.
fn unchanged(space: &Space, runs: impl FnOnce()) {
    let before = Listing::of(space);
    runs();
    assert_eq!(before.changes(&Listing::of(space)), [""; 0]);
}

#[test]
fn a_refusal_says_why_and_leaves_the_cluster_as_it_was() {
    let Some(lab) = node_lab() else { return };
    let wanted = Wanted {
        replicas: 1,
        init: false,
        ..Wanted::default()
    };
    let exercise = Exercise::start(Space::in_group(lab, "refusals", None), &wanted);
    let space = &exercise.space;
    let delete = ["--fault", "delete"];
    let words = [
        "Deployment/llama has 1 ready of 1 pods, a drill needs two",
        "`kubectl scale deployment/llama --replicas=2`",
    ];
    unchanged(space, || {
        refused("one ready replica", space, &delete, &words);
    });
    space.ok(&["scale", "deployment/llama", "--replicas=2"], "");
    exercise.until_ready(Duration::from_secs(60)).unwrap();
    space.until("endpointslices", |slices| ready_addresses(slices) == 2);
    unchanged(space, || planned("two ready replicas", space, &delete));
    the_budget(space);
    the_server_is_pid_1(&exercise);
    the_way_in(space);
    let all = partial_rbac(space);
    the_lease(space, &all);
    exercise.end();
}

fn ready_addresses(slices: &Value) -> usize {
    let slices = slices["items"].as_array().into_iter().flatten();
    slices
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .count()
}

fn the_budget(space: &Space) {
    let budget = |least: u32, allowed: u32| {
        let object = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "llama"},
            "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "llama"}}}});
        space.apply(&object.to_string());
        space.until("pdb/llama", |budget| {
            budget["status"]["observedGeneration"] == budget["metadata"]["generation"]
                && budget["status"]["disruptionsAllowed"] == allowed
        });
    };
    budget(2, 0);
    let words = [
        "PodDisruptionBudget/llama would break",
        "`kubectl describe pdb llama`",
    ];
    unchanged(space, || {
        for fault in ["delete", "force-delete", "crash"] {
            refused("a budget without room", space, &["--fault", fault], &words);
        }
    });
    budget(1, 1);
    planned("a budget with room", space, &["--fault", "delete"]);
    space.ok(&["delete", "pdb", "llama"], "");
}

/// The control is in `interrupted.rs`: under an init the same server is killed.
fn the_server_is_pid_1(exercise: &Exercise) {
    let space = &exercise.space;
    let instead = format!(
        "`kubectl infer drill ingress/llama -n {} --fault force-delete --baseline 1s --duration 1s \
         --yes`",
        space.name
    );
    let reason = "is PID 1 of its container: the kernel drops SIGKILL";
    let pod = exercise.pods()[0]["metadata"]["name"].clone();
    let pod = pod.as_str().unwrap();
    unchanged(space, || {
        refused("PID 1", space, &["--fault", "crash"], &[reason, &instead]);
        // The reason is true: nothing happens, and kill says nothing of it.
        let kill = ["exec", pod, "--", "/bin/sh", "-c", "kill -9 1; echo $?"];
        let output = space.run(&kill, "");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "0\n", "{output:?}");
        std::thread::sleep(Duration::from_secs(1));
    });
}

/// An Ingress that does not exist, and one that nobody serves.
fn the_way_in(space: &Space) {
    let pending = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "pending"},
        "spec": {"ingressClassName": "nobody", "rules": [{"host": "pending.lab", "http": {"paths": [
            {"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "llama", "port": {"number": 80}}}}]}}]}});
    space.apply(&pending.to_string());
    let missing = format!("\"lama\" in namespace {}", space.name);
    unchanged(space, || {
        no_way_in(space, "lama", &[&missing, "did you mean llama?"]);
        let no_address = "ingress/pending has no address yet: status.loadBalancer is empty";
        let no_class = "there is no IngressClass \"nobody\"";
        let resolve = "--resolve pending.lab:80:";
        no_way_in(space, "pending", &[no_address, no_class, resolve]);
    });
}

fn no_way_in(space: &Space, name: &str, words: &[&str]) {
    let route = format!("ingress/{name}");
    for command in [
        &["test", &route][..],
        &["drill", &route, "--fault", "delete", "--yes"],
    ] {
        let ended = run(&[command, &["-n", &space.name]].concat());
        ended.expect(&format!("{command:?}"), 1, words);
        assert_eq!(ended.out, "", "{command:?}");
    }
}

/// What a ServiceAccount may do: API group, resource, verbs.
type Rights = Vec<(&'static str, &'static str, &'static [&'static str])>;

/// A ServiceAccount with these rights in the namespace, and no other; its kubeconfig.
fn somebody(space: &Space, name: &str, rights: &Rights) -> String {
    let rules: Vec<Value> = rights
        .iter()
        .map(|(group, resource, verbs)| {
            json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
        })
        .collect();
    let group = "rbac.authorization.k8s.io";
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": name},
            "rules": rules},
        {"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": space.name}]},
    ]});
    space.apply(&objects.to_string());
    let output = space.run(&["create", "token", name], "");
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let path = kubeconfig(space, name, |config| {
        config["users"][0]["user"] = json!({"token": token});
    });
    path.display().to_string()
}

/// Returns the kubeconfig of one who may do all that a deletion needs, and nothing else.
fn partial_rbac(space: &Space) -> String {
    const READ: &[&str] = &["get", "list", "watch"];
    let route = vec![("networking.k8s.io", "ingresses", READ)];
    let more: Rights = vec![
        ("", "services", READ),
        ("", "pods", READ),
        ("discovery.k8s.io", "endpointslices", READ),
        ("policy", "poddisruptionbudgets", READ),
        ("apps", "replicasets", READ),
        ("apps", "deployments", READ),
    ];
    let reads = [route.clone(), more].concat();
    let deletes = [reads.clone(), vec![("", "pods", &["delete"])]].concat();
    let holds: &[&str] = &["get", "create", "update", "delete"];
    let all = [
        deletes.clone(),
        vec![("coordination.k8s.io", "leases", holds)],
    ]
    .concat();
    let [route, reads, deletes, all] = [
        ("sees-the-route", &route),
        ("reads", &reads),
        ("deletes", &deletes),
        ("may-drill", &all),
    ]
    .map(|(name, rights)| somebody(space, name, rights));

    let cases = [
        (
            &route,
            "delete",
            "not allowed to get services in namespace refusals",
            r#"{apiGroups: [""], resources: ["services"], verbs: ["get"]}"#,
        ),
        (
            &reads,
            "crash",
            "you may not create, get pods/exec in namespace refusals",
            r#"{apiGroups: [""], resources: ["pods/exec"], verbs: ["create", "get"]}"#,
        ),
        (
            &reads,
            "delete",
            "you may not delete pods in namespace refusals",
            r#"{apiGroups: [""], resources: ["pods"], verbs: ["delete"]}"#,
        ),
        (
            &deletes,
            "delete",
            "you may not get, create, update leases in namespace refusals",
            r#"{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"]}"#,
        ),
    ];
    unchanged(space, || {
        for (who, fault, right, rule) in cases {
            let arguments = ["--fault", fault, "--kubeconfig", who];
            refused(
                right,
                space,
                &arguments,
                &[right, rule, "kubectl auth can-i "],
            );
        }
        planned(
            "all that it needs",
            space,
            &["--fault", "delete", "--kubeconfig", &all],
        );
        a_test_by_one_who_sees_only_the_route(space, &route);
    });
    all
}

fn a_test_by_one_who_sees_only_the_route(space: &Space, who: &str) {
    let test = |more: &[&str]| {
        let always = [
            "test",
            "ingress/llama",
            "-n",
            &space.name,
            "--path",
            "/health",
        ];
        run(&[&always, more].concat())
    };
    let ended = test(&["--kubeconfig", who, "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.json();
    let request = &report["requests"][0];
    assert_eq!(request["status"], 200, "{report}");
    assert_eq!(request["replica"]["grade"], Value::Null, "{report}");
    assert_eq!(request["replica"]["pod"], Value::Null, "{report}");
    let gaps = report["gaps"].to_string();
    for words in ["who answered", "list services", "kubectl auth can-i"] {
        assert!(gaps.contains(words), "no {words:?} in {gaps}");
    }
    let told = test(&["--kubeconfig", who]);
    assert!(flat(&told.out).contains("replica unknown"), "{told:?}");
    // The control: who may read the proxy's log knows.
    let report = test(&["-o", "json"]).json();
    assert_eq!(
        report["requests"][0]["replica"]["grade"], "A joined",
        "{report}"
    );
}

/// A Lease that another holds, and the same when it has expired.
fn the_lease(space: &Space, who: &str) {
    let object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE},
        "spec": {"holderIdentity": "kim@laptop", "leaseDurationSeconds": 3600,
            "acquireTime": moment("now"), "renewTime": moment("now")}});
    space.ok(&["create", "-f", "-"], &object.to_string());
    let stored = |space: &Space| space.get(&format!("lease/{LEASE}"));
    let (held, before) = (stored(space), Listing::of(space));
    let arguments = [
        "--fault",
        "force-delete",
        "--kubeconfig",
        who,
        "--yes",
        "--baseline=1s",
        "--duration=1s",
        "--streams=1",
        "-o",
        "json",
    ];
    let ended = drill(space, &arguments);
    let report = ended.json();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let error = &report["errors"][0];
    let told = format!("{} {}", error["message"], error["help"]);
    for words in [
        "another drill is running on Deployment/llama: Lease/infer-drill-llama is held by \
         kim@laptop since 20",
        "wait for it",
        "kubectl get lease infer-drill-llama",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert_eq!(stored(space), held, "with its resourceVersion");
    assert_eq!(before.changes(&Listing::of(space)), [""; 0]);

    // The control: a run that died keeps nobody out, and one with no more than these rights drills.
    let expired = json!({"spec": {"leaseDurationSeconds": 30, "renewTime": moment("1 hour ago")}});
    let name = format!("lease/{LEASE}");
    space.ok(
        &["patch", &name, "--type=merge", "-p", &expired.to_string()],
        "",
    );
    let ended = drill(space, &arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.json();
    assert_eq!(report["fault"]["state"], "verified", "{report}");
    let changes = before
        .without_pods()
        .changes(&Listing::of(space).without_pods());
    assert_eq!(
        changes,
        [format!("Lease/{LEASE}")],
        "it is gone, and nothing else"
    );
    let left = space.run(&["get", "leases", "-o", "name"], "");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

/// As a Lease writes it.
fn moment(when: &str) -> String {
    let format = "+%Y-%m-%dT%H:%M:%S.000000Z";
    let output = Command::new("date")
        .args(["-u", "-d", when, format])
        .output();
    String::from_utf8(output.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// `plugin/tests/cli` has the same without TLS.
#[test]
fn a_cluster_that_does_not_answer_ends_in_its_time() {
    let Some(lab) = node_lab() else { return };
    let space = Space::in_group(lab, "refusals", None);
    // The connection is made by the kernel; nobody ever says a word of TLS.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let unused = {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap()
    };
    assert!(TcpStream::connect(unused).is_err(), "nobody is there");
    for (name, address, words) in [
        (
            "silent",
            silent.local_addr().unwrap(),
            "did not answer within 1 s",
        ),
        ("unused", unused, "cannot be reached"),
    ] {
        let path = kubeconfig(&space, name, |config| {
            config["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
        });
        let case = |command: &[&str]| asked_in_vain(name, command, &path, words);
        case(&["test", "ingress/llama"]);
        case(&["drill", "ingress/llama", "--fault", "delete", "--yes"]);
    }
}

fn asked_in_vain(name: &str, command: &[&str], kubeconfig: &Path, words: &str) {
    let began = Instant::now();
    let kubeconfig = kubeconfig.display().to_string();
    let flags = ["--kubeconfig", &kubeconfig, "--request-timeout", "1s"];
    let ended = run(&[command, &flags].concat());
    ended.expect(name, 1, &[words, "`kubectl cluster-info`"]);
    assert!(began.elapsed() < IN_TIME, "{name}: {:?}", ended.took);
}
