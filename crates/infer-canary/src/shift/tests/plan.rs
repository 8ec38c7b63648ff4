use super::ingress_nginx::ingress;
use super::*;
use crate::owner::Tool;
use crate::version::SetArg;

#[test]
fn the_canary_is_a_copy_with_the_new_version_and_labels_of_its_own() {
    let shift = planned(&stable(ingress()));
    assert_eq!(
        shift.objects[0],
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "llama-canary", "namespace": "models",
                "labels": {
                    "app": "llama-canary", "team": "ml",
                    "app.kubernetes.io/managed-by": "kubectl-infer",
                    "kubectl-infer.dev/canary-of": "llama",
                },
                "annotations": {
                    "example.com/kept": "yes",
                    "kubectl-infer.dev/canary-run": "7f3a9c",
                },
            },
            "spec": {
                "replicas": 1, "progressDeadlineSeconds": 600,
                "selector": {"matchLabels": {"app": "llama-canary"}},
                "template": {
                    "metadata": {"labels": {"app": "llama-canary", "gpu": "a100"}},
                    "spec": {"containers": [{
                        "name": "server", "image": "server:b4812",
                        "args": ["-m", "/m.gguf", "--port", "8080"], "unknownToUs": {"a": 1},
                    }]},
                },
            },
        })
    );
    assert_eq!(
        shift.objects[1],
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "llama-canary", "namespace": "models",
                "labels": {
                    "app.kubernetes.io/managed-by": "kubectl-infer",
                    "kubectl-infer.dev/canary-of": "llama",
                },
                "annotations": {"kubectl-infer.dev/canary-run": "7f3a9c"},
            },
            "spec": {
                "type": "ClusterIP", "ipFamilies": ["IPv4"], "selector": {"app": "llama-canary"},
                "sessionAffinity": "None",
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
            },
        })
    );
    let side = |workload: &str| Side {
        workload: workload.to_owned(),
        service: workload.to_owned(),
        pods: format!("app={workload}"),
    };
    assert_eq!(
        (shift.stable.clone(), shift.canary.clone()),
        (side("llama"), side("llama-canary"))
    );
    assert!(shift.creates_workload());
    let text = serde_json::to_string(&shift).unwrap();
    assert_eq!(serde_json::from_str::<Shift>(&text).unwrap(), shift);
}

#[test]
fn what_is_missing_is_refused_in_order() {
    let good = stable(ingress());
    let check = |change: &dyn Fn(&mut Stable), wanted_text: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        let text = refused(&bad, &wanted()).to_string();
        assert!(text.starts_with(wanted_text), "{text}");
        assert!(text.contains("= help: "), "{text}");
    };
    check(
        &|it| it.workload["kind"] = json!("StatefulSet"),
        "statefulset/llama is no Deployment",
    );
    check(
        &|it| it.workload["status"]["readyReplicas"] = json!(1),
        "deployment/llama has 1 ready replicas",
    );
    check(
        &|it| it.services.clear(),
        "no Service selects the pods of deployment/llama",
    );
    check(
        &|it| it.services[0]["metadata"]["namespace"] = json!("other"),
        "no Service selects",
    );
    check(
        &|it| it.routes.clear(),
        "no Ingress, HTTPRoute or VirtualService of the namespace leads to deployment/llama \
         (service llama)",
    );
    check(
        &|it| {
            it.routes.push({
                let mut other = ingress();
                other["metadata"]["name"] = json!("second");
                other
            });
        },
        "several routes lead to it: ingress/llm, ingress/second",
    );
    check(
        &|it| {
            it.others
                .push(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "llama-canary", "namespace": "models"}}));
        },
        "deployment/llama-canary is there already",
    );
    check(
        &|it| {
            let mut second = service("metrics");
            second["spec"]["selector"] = json!({"gpu": "a100"});
            it.services.push(second);
            it.routes[0]["spec"]["rules"][0]["http"]["paths"][1]["backend"]["service"]["name"] =
                json!("metrics");
        },
        "ingress/llm leads to several Services of the workload: llama, metrics",
    );
}

#[test]
fn one_of_several_routes_can_be_chosen() {
    let mut two = stable(ingress());
    let mut other = ingress();
    other["metadata"]["name"] = json!("second");
    two.routes.push(other);
    let mut chosen = wanted();
    chosen.route = Named::route("ing/second");
    let shift = plan(&Catalogue::builtin(), &two, &chosen).unwrap();
    assert_eq!(shift.carrier.name, "second-canary");
    chosen.route = Named::route("HTTPRoute/second");
    let text = refused(&two, &chosen).message();
    assert!(
        text.starts_with("httproute/second does not lead to deployment/llama"),
        "{text}"
    );
}

#[test]
fn only_what_can_carry_a_share_is_a_route() {
    for text in ["", "llm", "ingress/", "service/llm", "gateway/llm"] {
        assert_eq!(Named::route(text), None, "{text}");
    }
    let named = Named::route("vs/llm").unwrap();
    assert_eq!(named, Named::new("VirtualService", "llm"));
}

#[test]
fn every_service_that_selects_the_stable_pods_loses_sight_of_the_canary_s() {
    let mut two = stable(ingress());
    let mut metrics = service("metrics");
    metrics["spec"]["selector"] = json!({"gpu": "a100"});
    two.services.push(metrics);
    let shift = planned(&two);
    assert_eq!(
        shift.objects[0]["spec"]["template"]["metadata"]["labels"],
        json!({"app": "llama-canary", "gpu": "a100-canary"})
    );
    assert_eq!(
        shift.objects[1]["spec"]["selector"],
        json!({"app": "llama-canary"})
    );
}

#[test]
fn long_names_are_held_to_63_characters_and_apart() {
    let name = "l".repeat(60);
    let long = |name: &str| {
        let mut long = stable(ingress());
        long.workload["metadata"]["name"] = json!(name);
        planned(&long)
    };
    let (one, two) = (long(&format!("{name}-a")), long(&format!("{name}-b")));
    for shift in [&one, &two] {
        let labels = &shift.objects[0]["metadata"]["labels"];
        assert!(shift.canary.workload.len() <= 63 && shift.canary.workload.ends_with("-canary"));
        assert!(labels[CANARY_OF].as_str().unwrap().len() <= 63);
    }
    assert_ne!(one.canary.workload, two.canary.workload);
}

#[test]
fn a_second_workload_that_exists_is_taken_as_it_is() {
    let mut both = stable(ingress());
    let mut second = deployment();
    second["metadata"]["name"] = json!("llama-next");
    second["spec"]["selector"]["matchLabels"] = json!({"app": "next"});
    second["spec"]["template"]["metadata"]["labels"] = json!({"app": "next"});
    both.others.push(second.clone());
    let mut existing = wanted();
    existing.version = Version::Existing("llama-next".to_owned());
    let shift = plan(&Catalogue::builtin(), &both, &existing).unwrap();
    assert_eq!(shift.canary.workload, "llama-next");
    assert!(!shift.creates_workload());
    let kinds: Vec<&Value> = shift.objects.iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["Service", "Ingress"]);
    assert_eq!(shift.objects[0]["spec"]["selector"], json!({"app": "next"}));
    // Its own Service carries the share where there is one with the ports.
    let mut own = service("next");
    own["spec"]["selector"] = json!({"app": "next"});
    both.services.push(own);
    let shift = plan(&Catalogue::builtin(), &both, &existing).unwrap();
    assert_eq!(
        (shift.canary.service.as_str(), shift.objects.len()),
        ("next", 1)
    );
    // One whose pods the stable Service selects, too, takes a share already.
    let last = both.others.len() - 1;
    both.others[last]["spec"]["template"]["metadata"]["labels"] = json!({"app": "llama"});
    assert!(matches!(
        refused(&both, &existing),
        Refusal::SameLabels { .. }
    ));
    existing.version = Version::Existing("gone".to_owned());
    assert!(matches!(
        refused(&both, &existing),
        Refusal::SecondMissing { .. }
    ));
    let promoted = promote(
        &Catalogue::builtin(),
        &deployment(),
        &Version::Existing("llama-next".to_owned()),
        Some(&second),
    );
    assert_eq!(
        promoted.unwrap().0.len(),
        2,
        "the same pod spec: only tests"
    );
}

#[test]
fn a_tool_that_would_undo_it_is_told_and_refused_on_writing() {
    let mut owned = stable(ingress());
    owned.workload["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
        json!("app:apps/Deployment:models/llama");
    let shift = planned(&owned);
    assert_eq!(shift.owned[0].owner.tool, Tool::ArgoCd);
    let text = shift.may_write().unwrap_err().to_string();
    assert!(
        text.starts_with("Argo CD holds deployment/llama to what is written elsewhere")
            && text.contains("`--print-patch` prints what to commit")
            && text.contains("`kubectl infer test --expect` works as the gate"),
        "{text}"
    );
    // A copy that carried the mark would be pruned.
    let annotations = shift.objects[0]["metadata"]["annotations"]
        .as_object()
        .unwrap();
    assert!(!annotations.keys().any(|key| key.contains("argocd")));
    let mut helm = stable(ingress());
    helm.workload["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("llama");
    let shift = planned(&helm);
    shift.may_write().unwrap();
    assert!(shift.notes[0].contains("Helm release"), "{:?}", shift.notes);
}

#[test]
fn scalers_and_claims_are_notes() {
    let mut scaled = stable(ingress());
    scaled.others.push(
        json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "llama"}}}),
    );
    scaled.workload["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "m", "persistentVolumeClaim": {"claimName": "models"}}]);
    let notes = planned(&scaled).notes;
    assert!(notes[0].starts_with("horizontalpodautoscaler/h scales deployment/llama only"));
    assert!(
        notes[1].contains("persistentvolumeclaim/models"),
        "{notes:?}"
    );
}

#[test]
fn promoting_gives_the_stable_one_the_version_and_scaling_its_replicas() {
    let version = Version::Changed(Changed {
        image: Some(Image::parse("server:b4812").unwrap()),
        arguments: vec![SetArg::parse("--port=9090").unwrap()],
    });
    let before = deployment();
    let patch = promote(&Catalogue::builtin(), &before, &version, None).unwrap();
    let after = patched(&before, &patch);
    let mut wanted = before.clone();
    let container = &mut wanted["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!("server:b4812");
    container["args"][3] = json!("9090");
    assert_eq!(after, wanted);
    let down = patched(&before, &scale(&before, 0));
    assert_eq!(down["spec"]["replicas"], 0);
}
