//! What a report says of recorded routes: limits, what binds them, what cuts a generation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_core::Engine;
use infer_core::kind::{KindSet, stored_kind_of};
use infer_inspect::{
    Asked, Facts, Limit, Outcome, Place, Question, Report, Source, Subject, SubjectKind, TimerKind,
    inspect,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn recorded(names: &[&str]) -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut found = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(directory.join(format!("{name}.yaml"))).unwrap();
        let parsed = infer_manifest::parse(&text);
        assert_eq!(parsed.errors, [], "{name}");
        found.extend(parsed.documents.into_iter().map(|it| it.object));
    }
    found
}

fn report(objects: Vec<Value>, kind: SubjectKind, name: &str, asked: Asked) -> Report {
    let objects: Vec<Arc<Value>> = objects.into_iter().map(Arc::new).collect();
    let known = objects.iter().filter_map(|it| stored_kind_of(it));
    let facts = Facts {
        subject: Subject {
            kind,
            namespace: "inference".to_owned(),
            name: name.to_owned(),
        },
        source: Source::Cluster,
        known: known.fold(KindSet::NONE, KindSet::with),
        objects,
        gaps: Vec::new(),
    };
    inspect(&Engine::builtin(), &facts, asked)
}

fn ingress(name: &str, asked: Asked) -> Report {
    report(
        recorded(&["server", name]),
        SubjectKind::Ingress,
        "llama",
        asked,
    )
}

fn http_route(name: &str, asked: Asked) -> Report {
    report(
        recorded(&["server", name]),
        SubjectKind::HttpRoute,
        "llama",
        asked,
    )
}

fn think(seconds: u64) -> Asked {
    Asked {
        think: Some(seconds),
        ..Asked::default()
    }
}

fn stream(seconds: u64) -> Asked {
    Asked {
        stream: Some(seconds),
        ..Asked::default()
    }
}

/// After how long, where and by which timer the one answer says that it is cut.
fn cut(report: &Report) -> Option<(u64, Place, TimerKind)> {
    let answer = &report.ways[0].timers[0].answers[0];
    match &answer.outcome {
        Outcome::Cut {
            after,
            place,
            timer,
            ..
        } => Some((*after, *place, *timer)),
        _ => None,
    }
}

fn effective(report: &Report, timer: TimerKind) -> (Limit, Option<Place>) {
    let table = &report.ways[0].timers[0];
    let found = table.effective.iter().find(|it| it.timer == timer).unwrap();
    (found.seconds, found.bound_by)
}

#[test]
fn each_controller_cuts_a_silent_generation_at_its_own_time() {
    let proxy = |seconds, timer| Some((seconds, Place::Proxy, timer));
    for (report, wanted) in [
        // 3600 by annotation.
        (ingress("ingress-nginx", think(90)), None),
        // 90s by annotation: at the limit itself it is a race, and told as cut.
        (
            ingress("f5-nginx-ingress", think(90)),
            proxy(90, TimerKind::Silence),
        ),
        (ingress("f5-nginx-ingress", think(89)), None),
        (
            ingress("contour-ingress", think(90)),
            proxy(15, TimerKind::WholeResponse),
        ),
        (ingress("traefik-ingress", think(90)), None),
        (
            http_route("nginx-gateway-fabric", think(90)),
            proxy(60, TimerKind::Silence),
        ),
        (http_route("envoy-gateway", think(90)), None),
        (
            http_route("envoy-gateway", think(1200)),
            proxy(1200, TimerKind::WholeResponse),
        ),
        (
            http_route("contour-gateway", think(90)),
            proxy(15, TimerKind::WholeResponse),
        ),
    ] {
        let found = cut(&report);
        assert_eq!(found, wanted, "{:?}", report.ways[0].hops);
    }
}

#[test]
fn a_stream_is_cut_by_the_whole_answer_s_timer_and_by_no_other() {
    // 60 s of silence cut nothing that goes on.
    let report = http_route("nginx-gateway-fabric", stream(1200));
    assert_eq!(cut(&report), None);
    let answer = &report.ways[0].timers[0].answers[0];
    assert_eq!(answer.question, Question::Stream);
    let Outcome::Survives { gap, .. } = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(gap, Some(60));
    assert_eq!(answer.rollout_cuts_after, Some(60));
    let contour = ingress("contour-ingress", stream(20));
    assert_eq!(
        cut(&contour),
        Some((15, Place::Proxy, TimerKind::WholeResponse))
    );
    assert_eq!(cut(&ingress("contour-ingress", stream(14))), None);
}

#[test]
fn a_load_balancer_is_unknown_until_a_person_says() {
    let report = ingress("ingress-nginx", think(90));
    let answer = &report.ways[0].timers[0].answers[0];
    assert_eq!(answer.unless, ["the load balancer"]);
    assert_eq!(
        effective(&report, TimerKind::Silence),
        (Limit::Seconds(3600), Some(Place::Proxy))
    );
    let told = ingress(
        "ingress-nginx",
        Asked {
            lb_idle: Some(60),
            ..think(90)
        },
    );
    assert_eq!(
        cut(&told),
        Some((60, Place::LoadBalancer, TimerKind::Silence))
    );
    assert!(told.ways[0].timers[0].answers[0].unless.is_empty());
    // An address that is no name tells nothing; a note says so.
    let plain = ingress("traefik-ingress", think(90));
    assert!(plain.ways[0].timers[0].answers[0].unless.is_empty());
    assert!(plain.notes[0].contains("--lb-idle-timeout"));
}

#[test]
fn the_window_is_the_least_of_preventing_grace_and_sidecar() {
    let sheet = |change: &dyn Fn(&mut Value)| {
        let mut objects = recorded(&["server", "ingress-nginx"]);
        objects.iter_mut().for_each(change);
        let report = report(objects, SubjectKind::Ingress, "llama", Asked::default());
        let sheet = report.ways[0].drain[0].clone();
        (sheet.window_seconds, sheet.bound_by)
    };
    let deployment = |object: &mut Value, pointer: &str, value: Value| {
        if object["kind"] == "Deployment" {
            *object.pointer_mut(pointer).unwrap() = value;
        }
    };
    assert_eq!(
        sheet(&|_| {}),
        (Some(60), "the end of the preStop".to_owned())
    );
    let pod = "/spec/template/spec";
    let grace = |object: &mut Value| {
        deployment(
            object,
            &format!("{pod}/terminationGracePeriodSeconds"),
            json!(40),
        );
    };
    assert_eq!(sheet(&grace), (Some(40), "the grace period".to_owned()));
    let no_hook = |object: &mut Value| {
        deployment(object, &format!("{pod}/containers/0/lifecycle"), json!({}));
    };
    assert_eq!(sheet(&no_hook).0, Some(0));
    let unreadable = |object: &mut Value| {
        let hook = json!({"preStop": {"exec": {"command": ["./drain.sh"]}}});
        deployment(object, &format!("{pod}/containers/0/lifecycle"), hook);
    };
    let (window, by) = sheet(&unreadable);
    assert!(window.is_none() && by.contains("70s at most"), "{by}");
    let sidecar = |object: &mut Value| {
        if object["kind"] == "Namespace" {
            object["metadata"]["labels"] = json!({"istio-injection": "enabled"});
        }
    };
    let (window, by) = sheet(&sidecar);
    assert!(window == Some(5) && by.contains("Istio"), "{window:?} {by}");
}

#[test]
fn a_split_that_no_proxy_reads_is_told_with_what_does_the_same() {
    let mut objects = recorded(&["server", "ingress-nginx"]);
    let istio = recorded(&["istio"]);
    // For sidecars only: what enters by the Ingress passes it by.
    objects.extend(
        istio
            .into_iter()
            .filter(|it| it["kind"] != "Gateway")
            .map(|mut it| {
                if let Some(spec) = it["spec"].as_object_mut() {
                    spec.remove("gateways");
                }
                it
            }),
    );
    let report = report(objects, SubjectKind::Ingress, "llama", Asked::default());
    let beside = report
        .not_on_path
        .iter()
        .find(|it| it.object.kind == "VirtualService")
        .unwrap();
    assert!(beside.declares.starts_with("90/10 split"), "{beside:?}");
    assert!(beside.why.starts_with("never consulted"), "{beside:?}");
    assert!(beside.certain);
    assert!(beside.instead.as_ref().unwrap().contains("canary"));
    // The control: entered by its own Gateway, it is the way itself.
    let objects = recorded(&["server", "istio"]);
    let report = self::report(
        objects,
        SubjectKind::VirtualService,
        "llama",
        Asked::default(),
    );
    assert!(report.not_on_path.is_empty(), "{:?}", report.not_on_path);
    assert_eq!(report.on_path().len(), 8);
}

#[test]
fn pods_alone_stand_for_the_workload_that_may_not_be_read() {
    let mut objects = recorded(&["server", "ingress-nginx"]);
    objects.retain(|it| it["kind"] != "Deployment");
    for object in &mut objects {
        if object["kind"] == "Pod" {
            object["spec"]["containers"][0]["args"] = json!(["-m", "x", "--port", "8080"]);
        }
    }
    let report = report(objects, SubjectKind::Ingress, "llama", think(90));
    let hops = report.ways[0].hops[0].walk();
    assert!(hops.iter().any(|hop| hop.kind == "llama.cpp"), "{hops:?}");
    assert_eq!(
        report.ways[0].drain.len(),
        1,
        "one sheet for the three pods"
    );
}

#[test]
fn odd_shapes_are_silence_and_no_panic() {
    let odd = [json!(null), json!(7), json!("x"), json!([]), json!({})];
    for value in odd {
        for pointer in ["/spec", "/status", "/spec/rules", "/metadata/annotations"] {
            let mut objects = recorded(&["server", "ingress-nginx", "istio", "envoy-gateway"]);
            for object in &mut objects {
                if let Some(place) = object.pointer_mut(pointer) {
                    *place = value.clone();
                }
            }
            for kind in SubjectKind::all() {
                let _ = report(objects.clone(), kind, "llama", think(90));
            }
        }
    }
}
