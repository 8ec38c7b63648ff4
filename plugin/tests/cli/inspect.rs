//! `inspect`: one golden screen for each controller, from recorded objects, and what is said where
//! something is missing.

use crate::cluster::Cluster;
use crate::sandbox::{Place, Run, session};
use serde_json::Value;
use std::path::Path;

/// An API server with these recordings.
fn recorded(names: &[&str]) -> Cluster {
    let cluster = Cluster::start();
    for object in objects(names) {
        put(&cluster, object);
    }
    cluster
}

fn objects(names: &[&str]) -> Vec<Value> {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/infer-inspect/tests/recorded");
    let mut found = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(directory.join(format!("{name}.yaml"))).unwrap();
        let parsed = infer_manifest::parse(&text);
        assert_eq!(parsed.errors, [], "{name}");
        found.extend(parsed.documents.into_iter().map(|it| it.object));
    }
    found
}

fn put(cluster: &Cluster, object: Value) {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let end = if kind.ends_with('s') { "es" } else { "s" };
    cluster.put(&format!("{kind}{end}"), object);
}

fn inspect(cluster: &Cluster, args: &[&str]) -> Run {
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    place.run(&[&["inspect", "--kubeconfig", "kubeconfig"], args].concat())
}

/// The screen, which must fit in 80 columns.
fn screen(run: &Run) -> &str {
    for line in run.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    &run.out
}

#[test]
fn every_controller_has_its_screen() {
    for (name, subject) in [
        ("ingress-nginx", "ingress/llama"),
        ("f5-nginx-ingress", "ingress/llama"),
        ("contour-ingress", "ingress/llama"),
        ("traefik-ingress", "ingress/llama"),
        ("nginx-gateway-fabric", "httproute/llama"),
        ("envoy-gateway", "httproute/llama"),
        ("contour-gateway", "httproute/llama"),
        ("istio", "virtualservice/llama"),
    ] {
        let cluster = recorded(&["server", name]);
        let run = inspect(&cluster, &[subject, "--think", "90s", "--stream", "20m"]);
        assert_eq!(run.err, "", "{name}");
        let name = format!("inspect-{name}.txt");
        session(
            &name,
            &format!("{}exit status {}\n", screen(&run), run.code),
        );
    }
}

#[test]
fn the_chapter_and_the_least_have_their_screens() {
    let chapter = Place::of_example("chapter/as-written");
    let args = [
        "inspect",
        "ingress/inference-ingress",
        "-f",
        "chapter/as-written",
    ];
    session("inspect-chapter.txt", screen(&chapter.run(&args)));
    let minimal = Place::of_example("minimal");
    let args = [
        "inspect",
        "ingress/llama",
        "-f",
        "minimal",
        "--think",
        "90s",
    ];
    let run = minimal.run(&args);
    session("inspect-minimal.txt", screen(&run));
    assert_eq!(run.code, 2, "a timer cuts it");
    // The control: what is shorter than every timer is not cut.
    let run = minimal.run(&[
        "inspect",
        "ingress/llama",
        "-f",
        "minimal",
        "--think",
        "30s",
    ]);
    assert_eq!(run.code, 0, "{}", run.out);
}

#[test]
fn what_rbac_hides_is_named_with_the_role_that_shows_it() {
    let cluster = recorded(&["server", "ingress-nginx"]);
    for part in ["/pods", "/endpointslices", "/ingressclasses"] {
        cluster.refuse(part);
    }
    let run = inspect(&cluster, &["ingress/llama"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
    for shown in [
        "kubectl create role infer-inspect -n inference --verb=get,list",
        "--resource=pods",
        "--resource=endpointslices.discovery.k8s.io",
        "kubectl create clusterrole infer-inspect",
        // What may be read is told all the same.
        "llama.cpp",
        "silence 1h: annotation nginx.ingress.kubernetes.io/proxy-read-timeout",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    session("inspect-forbidden.txt", screen(&run));
}

#[test]
fn a_service_without_endpoints_lets_nothing_through() {
    let cluster = Cluster::start();
    for mut object in objects(&["server", "ingress-nginx"]) {
        match object["kind"].as_str().unwrap() {
            // A pod of somebody else: the kind is served.
            "Pod" => object["metadata"]["labels"] = serde_json::json!({"app": "other"}),
            "EndpointSlice" => object["endpoints"] = serde_json::json!([]),
            "Deployment" => object["status"] = serde_json::json!({"replicas": 3}),
            _ => {}
        }
        put(&cluster, object);
    }
    let run = inspect(&cluster, &["ingress/llama"]);
    let text = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("No request gets through. service/llama:80: no endpoints."),
        "{text}"
    );
    assert!(run.out.contains("0 of 3 replicas"), "{}", run.out);
    screen(&run);
    // The control: with endpoints nothing of the kind is said.
    let run = inspect(&recorded(&["server", "ingress-nginx"]), &["ingress/llama"]);
    assert!(!run.out.contains("No request gets through"), "{}", run.out);
}

#[test]
fn of_two_ingresses_for_one_host_it_says_which_is_served() {
    let cluster = recorded(&["server", "ingress-nginx", "two-ingresses"]);
    let beside = |subject: &str| {
        let run = inspect(&cluster, &[subject, "-o", "json"]);
        let report = run.json();
        let all = report["notOnPath"].as_array().unwrap().clone();
        let why = |name: &str| {
            let of_name = |it: &&Value| it["object"]["name"] == name;
            let found = all.iter().find(of_name);
            found.map(|it| it["why"].as_str().unwrap().to_owned())
        };
        [why("copy"), why("docs"), why("llama")]
    };
    let [copy, docs, own] = beside("ingress/llama");
    assert!(
        copy.unwrap()
            .contains("is younger: ingress-nginx serves the older")
    );
    assert!(docs.unwrap().contains("other paths: those are its own"));
    assert_eq!(own, None);
    let [copy, _, older] = beside("ingress/copy");
    assert_eq!(copy, None);
    assert!(older.unwrap().contains("is OLDER"));
}

#[test]
fn from_the_end_of_a_route_its_entries_are_found() {
    let cluster = recorded(&["server", "ingress-nginx", "envoy-gateway"]);
    for subject in [
        "svc/llama",
        "service llama",
        "deploy/llama",
        "deployments.apps/llama",
        "pod/llama-6d9f7c8b5d-8xv4m",
    ] {
        let words: Vec<&str> = subject.split(' ').chain(["-o", "json"]).collect();
        let run = inspect(&cluster, &words);
        assert_eq!(run.code, 0, "{subject}: {run:?}");
        let report = run.json();
        let entries: Vec<&str> = report["ways"]
            .as_array()
            .unwrap()
            .iter()
            .map(|way| way["entry"]["kind"].as_str().unwrap())
            .collect();
        assert_eq!(entries, ["Ingress", "HTTPRoute"], "{subject}");
    }
    let run = inspect(&cluster, &["pod/llama-6d9f7c8b5d-8xv4m"]);
    assert!(run.out.contains("this one"), "{}", run.out);
    screen(&run);
}

#[test]
fn every_form_tells_the_same() {
    let cluster = recorded(&["server", "ingress-nginx"]);
    let json = inspect(&cluster, &["ingress/llama", "-o", "json"]);
    let report = json.json();
    assert_eq!(report["kind"], "InspectReport");
    assert_eq!(report["apiVersion"], "kubectl-infer.dev/v1alpha1");
    assert_eq!(
        report["ways"][0]["timers"][0]["rows"][1]["name"],
        "ingress-nginx"
    );
    let yaml = inspect(&cluster, &["ingress/llama", "-o", "yaml"]);
    let parsed = infer_manifest::parse(&yaml.out);
    assert_eq!(parsed.errors, []);
    assert_eq!(parsed.documents[0].object, report);
    let names = inspect(&cluster, &["ingress/llama", "-o", "name"]);
    assert_eq!(
        names.out,
        "ingress.networking.k8s.io/llama\nservice/llama\ndeployment.apps/llama\n\
         pod/llama-6d9f7c8b5d-tq7hd\npod/llama-6d9f7c8b5d-2kqzl\npod/llama-6d9f7c8b5d-8xv4m\n"
    );
    let wide = inspect(&cluster, &["ingress/llama", "-o", "wide"]);
    let shown = "a1b2c3-1234.elb.eu-west-1.amazonaws.com";
    assert!(wide.out.contains(shown), "{}", wide.out);
    let ascii = inspect(&cluster, &["ingress/llama", "--ascii"]);
    assert!(ascii.out.is_ascii(), "{}", ascii.out);
    screen(&ascii);
    assert!(ascii.out.contains("ok ready"), "{}", ascii.out);
}

#[test]
fn what_cannot_be_inspected_is_answered_with_the_way_out() {
    let cluster = recorded(&["server", "ingress-nginx"]);
    for (args, words) in [
        (&["ingress/lama"][..], "did you mean llama?"),
        (&["llama"], "ingress/llama"),
        (&["gateway/x"], "no route is read from this kind"),
        (&["httproute/x"], "httproutes"),
        (&["ingress/llama", "--think", "90"], "90s"),
    ] {
        let run = inspect(&cluster, args);
        assert_eq!(run.code, 1, "{args:?}: {run:?}");
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
        let run = inspect(&cluster, &[args, &["-o", "json"]].concat());
        let report = run.json();
        assert_eq!(report["kind"], "InspectReport", "{args:?}");
        assert!(!report["errors"].as_array().unwrap().is_empty(), "{args:?}");
    }
    let minimal = Place::of_example("minimal");
    let run = minimal.run(&["inspect", "ingress/lama", "-f", "minimal"]);
    assert!(run.err.contains("did you mean llama?"), "{run:?}");
}
