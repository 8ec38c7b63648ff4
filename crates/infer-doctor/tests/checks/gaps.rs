//! What could not be asked is unknown, and never "all is well".

use crate::{NOW, of, of_facts, workload};
use infer_doctor::{Facts, Gap, Status};
use serde_json::json;

fn gap(asked: &str) -> Gap {
    Gap {
        asked: asked.into(),
        reason: "not allowed (RBAC)".into(),
        help: vec!["add this rule".into()],
    }
}

fn blind() -> Facts {
    let mut facts = Facts::of_objects(&[], NOW);
    facts.server_version = Err(gap("get /version"));
    facts.served = Err(gap("get /apis"));
    facts.ingress_classes = Err(gap("list ingressclasses"));
    facts.gateway_classes = Err(gap("list gatewayclasses"));
    facts.gateway_definition = Err(gap("get customresourcedefinitions"));
    facts.nodes = Err(gap("list nodes"));
    facts.namespace_objects = Err(gap("list namespaces"));
    facts.workload_gaps = vec![gap("list deployments")];
    facts.mutating = Err(gap("list mutatingwebhookconfigurations"));
    facts.validating = Err(gap("list validatingwebhookconfigurations"));
    facts
}

#[test]
fn who_may_see_nothing_is_told_nothing_but_gaps() {
    let checkup = of_facts(&blind());
    assert_eq!(checkup.worst(), Status::Unknown);
    for check in checkup.checks() {
        assert_eq!(check.status, Status::Unknown, "{check:#?}");
        assert!(
            check.details.iter().any(|it| it == "add this rule"),
            "{check:#?}"
        );
    }
    assert_eq!(checkup.gaps.len(), 10);
    // The control.
    let checkup = of_facts(&Facts::of_objects(&[], NOW));
    assert!(checkup.gaps.is_empty() && checkup.count(Status::Unknown) == 0);
}

#[test]
fn a_gap_is_named_once_and_the_rest_is_told() {
    let mut facts = Facts::of_objects(&[], NOW);
    facts.nodes = Err(gap("list nodes"));
    facts.workload_gaps = vec![gap("list nodes")];
    let checkup = of_facts(&facts);
    assert_eq!(checkup.gaps.len(), 1);
    assert!(checkup.count(Status::Note) > 0, "the others are told");
}

#[test]
fn the_worst_comes_first_in_what_to_run_next() {
    let class = |name: &str| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": name}, "spec": {"controller": "k8s.io/ingress-nginx"}})
    };
    let mut down = workload(
        "linkerd",
        "destination",
        "cr.l5d.io/linkerd/controller:edge-25.8.1",
    );
    down["metadata"]["labels"] = json!({"linkerd.io/control-plane-component": "destination"});
    down["status"] = json!({});
    let checkup = of(&[class("a"), class("b"), down]);
    let next: Vec<&str> = checkup
        .next(3)
        .iter()
        .map(|it| it.command.as_str())
        .collect();
    assert_eq!(
        next,
        [
            "kubectl -n linkerd get pods -l app=destination",
            "kubectl infer explain controller/ingress-nginx",
        ],
        "an error before warnings, each command once"
    );
    assert_eq!(checkup.next(1).len(), 1);
    let mut facts = Facts::of_objects(&[], NOW);
    facts.nodes = Err(gap("list nodes"));
    assert!(
        of_facts(&facts).next(3).is_empty(),
        "a note asks for nothing"
    );
    let document = serde_json::to_value(of_facts(&facts)).unwrap();
    assert_eq!(document["gaps"][0]["asked"], "list nodes");
    assert_eq!(document["categories"][0]["id"], "controllers");
}
