use super::*;
use crate::fake::{self, Asked as Request, Reply, object, run, status};
use serde_json::json;

fn forbidden(resource: &str, group: &str) -> Reply {
    let message = format!(
        "{resource} is forbidden: User \"u\" cannot list resource \"{resource}\" in API group \
         \"{group}\" at the cluster scope"
    );
    status(403, "Forbidden", &message, "")
}

/// An API server that refuses what contains `refused` over all namespaces, and never answers what
/// contains `silent`.
fn cluster(refused: &'static str, silent: &'static str) -> (Cluster, fake::Record) {
    fake::cluster(move |asked: &Request| {
        let path = asked.path.split('?').next().unwrap_or_default().to_owned();
        let is = |word: &str| !word.is_empty() && path.ends_with(word);
        if is(silent) {
            return Reply::Never;
        }
        if is(refused) && !path.contains("/namespaces/") {
            return forbidden(refused.trim_start_matches('/'), "apps");
        }
        match path.as_str() {
            "/version" => Reply::Json(200, json!({"gitVersion": "v1.36.3"})),
            "/apis" => Reply::Json(200, json!({"kind": "APIGroupDiscoveryList", "items": []})),
            it if it.contains("gateway") => status(404, "NotFound", "not found", ""),
            it if it.contains("/namespaces/n/") => fake::list("1", &[object("own", "1")]),
            _ => fake::list("1", &[object("a", "1")]),
        }
    })
}

#[test]
fn a_survey_asks_a_bounded_number_of_questions() {
    let (cluster, record) = cluster("", "");
    let survey = run(cluster.survey(&[]));
    assert_eq!(survey.version.unwrap(), "v1.36.3");
    assert!(survey.gateway_classes.items.is_empty() && survey.gateway_classes.error.is_none());
    assert_eq!(survey.gateway_definition.unwrap(), None);
    assert_eq!(survey.workloads[1].items[0]["kind"], "DaemonSet");
    assert_eq!(
        survey.mutating.items[0]["apiVersion"],
        "admissionregistration.k8s.io/v1"
    );
    let asked = record.lock().unwrap();
    assert_eq!(asked.len(), 12, "{asked:?}");
    assert!(
        asked.iter().all(|it| it.method == "GET"),
        "nothing is changed"
    );
    let lists = asked.iter().filter(|it| it.path.contains('?'));
    assert!(lists.clone().count() >= 9);
    assert!(
        lists.clone().all(|it| it.path.contains("limit=500")),
        "{asked:?}"
    );
}

#[test]
fn what_is_refused_or_silent_is_a_gap_and_the_rest_is_there() {
    let (cluster, _) = cluster("/deployments", "/nodes");
    let survey = run(cluster.survey(&[]));
    let error = survey.workloads[0].error.as_ref().unwrap();
    let help = error.help();
    assert!(
        help[0]
            .contains("- {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"list\"]}"),
        "{help:?}"
    );
    assert!(
        matches!(survey.nodes.error, Some(RequestError::TimedOut { .. })),
        "{:?}",
        survey.nodes.error
    );
    assert_eq!(survey.ingress_classes.items.len(), 1, "the control");
    assert!(survey.ingress_classes.error.is_none());
}

#[test]
fn workloads_are_then_asked_for_in_the_namespaces_that_are_meant() {
    let (cluster, record) = cluster("/deployments", "");
    let names = ["n".to_owned(), "m".to_owned()];
    let survey = run(cluster.survey(&names));
    let found: Vec<String> = survey.workloads[0]
        .items
        .iter()
        .map(|it| text(it, "/metadata/name"))
        .collect();
    assert_eq!(found, ["own", "a"]);
    assert!(survey.workloads[0].error.is_some(), "it stays a gap");
    let asked = record.lock().unwrap();
    let scoped = asked.iter().filter(|it| it.path.contains("/namespaces/"));
    assert_eq!(scoped.count(), 2);
    let many: Vec<String> = (0..100).map(|it| format!("n{it}")).collect();
    drop(asked);
    record.lock().unwrap().clear();
    run(cluster.survey(&many));
    assert_eq!(record.lock().unwrap().len(), 12 + MOST_NAMESPACES);
}

#[test]
fn a_list_without_end_is_cut_and_said() {
    let (cluster, record) = fake::cluster(|_| {
        let items = vec![json!({"metadata": {"name": "a", "managedFields": [1]}}); 500];
        let metadata = json!({"continue": "more"});
        Reply::Json(200, json!({"metadata": metadata, "items": items}))
    });
    let listed = run(cluster.read_list(read::DEPLOYMENT, None, &Selector::all()));
    assert_eq!(listed.items.len(), 10_000);
    let said = listed.error.unwrap().to_string();
    assert!(said.contains("only the first 10000 were read"), "{said}");
    assert_eq!(record.lock().unwrap().len(), 20);
    assert_eq!(listed.items[0]["metadata"], json!({"name": "a"}));
}

#[test]
fn of_a_node_only_its_room_is_kept() {
    let (cluster, _) = fake::cluster(|_| {
        let node = json!({"metadata": {"name": "a", "labels": {"x": "y"}, "annotations": {"z": "z"}},
            "spec": {"taints": [{"key": "k"}], "podCIDR": "10.0.0.0/8"},
            "status": {"allocatable": {"nvidia.com/gpu": "1"}, "images": [1, 2, 3]}});
        fake::list("1", &[node])
    });
    let listed = run(cluster.read_list(read::NODE, None, &Selector::all()));
    let node = &listed.items[0];
    assert_eq!(
        node["status"]["allocatable"],
        json!({"nvidia.com/gpu": "1"})
    );
    assert_eq!(node["spec"]["taints"], json!([{"key": "k"}]));
    assert!(!node.to_string().contains("images") && !node.to_string().contains("podCIDR"));
}

#[test]
fn a_rehearsal_is_a_create_that_is_not_stored() {
    let (cluster, record) = fake::cluster(|_| Reply::Json(201, json!({"kind": "Deployment"})));
    let answer = run(cluster.rehearse("n", &json!({"kind": "Deployment"}))).unwrap();
    assert_eq!(answer["kind"], "Deployment");
    let asked = record.lock().unwrap();
    assert_eq!(asked.len(), 1);
    let (method, path) = (&asked[0].method, &asked[0].path);
    assert_eq!(method, "POST");
    assert!(
        path.starts_with("/apis/apps/v1/namespaces/n/deployments?"),
        "{path}"
    );
    assert!(path.contains("dryRun=All"), "{path}");
}
