//! A canary's objects, weights and journal against a real API server: what is created is valid under
//! strict validation, what is patched is read back, a conflicting writer is found, and what is taken
//! out leaves a route as it was. No controller is needed: nothing here runs.

use infer_canary::shift::{
    CANARY_OF, Named, Refusal, Shift, Stable, Wanted, Weight, plan, promote, scale,
};
use infer_canary::version::{Changed, Image, SetArg, Version};
use infer_cluster::{
    Bound, Cluster, ConnectionOptions, Found, LeaseError, RequestError, Selector, What, WriteError,
};
use infer_core::catalogue::Catalogue;
use infer_tests::crds::{self, Crds};
use infer_tests::space::Space;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

const WORKLOAD: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: { name: llama, labels: { app: llama, app.kubernetes.io/instance: prod } }
spec:
  replicas: 2
  selector: { matchLabels: { app: llama } }
  template:
    metadata: { labels: { app: llama, gpu: none } }
    spec:
      containers:
        - name: server
          image: ghcr.io/ggml-org/llama.cpp:server-b4790
          args: [-m, /m.gguf, --port, '8080']
          ports: [{ name: http, containerPort: 8080 }]
---
apiVersion: v1
kind: Service
metadata: { name: llama }
spec:
  type: NodePort
  selector: { app: llama }
  ports: [{ name: http, port: 80, targetPort: http }]
";

const INGRESS: &str = r"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: llm
  annotations: { nginx.ingress.kubernetes.io/proxy-read-timeout: '3600' }
spec:
  ingressClassName: shift-public
  tls: [{ hosts: [llm.example.com], secretName: llm }]
  rules:
    - host: llm.example.com
      http:
        paths:
          - { path: /v1, pathType: Prefix, backend: { service: { name: llama, port: { name: http } } } }
          - { path: /docs, pathType: Prefix, backend: { service: { name: docs, port: { number: 80 } } } }
";

const HTTP_ROUTE: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: llm }
spec:
  parentRefs: [{ name: gw }]
  rules:
    - matches: [{ path: { type: PathPrefix, value: /v1 } }]
      timeouts: { request: 0s }
      backendRefs: [{ name: llama, port: 80 }]
    - matches: [{ path: { type: PathPrefix, value: /docs } }]
      backendRefs: [{ name: docs, port: 80 }]
    - backendRefs:
        - name: llama
          port: 80
          weight: 7
          filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x, value: some }] } }]
";

const VIRTUAL_SERVICE: &str = r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: llm }
spec:
  hosts: [llm.example.com]
  gateways: [gw]
  http:
    - match: [{ uri: { prefix: /v1 } }]
      timeout: 600s
      route: [{ destination: { host: llama, port: { number: 80 } } }]
    - route: [{ destination: { host: llama.NAMESPACE.svc.cluster.local, subset: v1 }, weight: 100 }]
";

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await });
    ended.expect("a test of a shift ends within 30 s")
}

async fn connect(space: &Space) -> Cluster {
    let options = ConnectionOptions {
        kubeconfig: Some(space.lab.kubeconfig.clone()),
        namespace: Some(space.name.clone()),
        ..ConnectionOptions::default()
    };
    Cluster::connect(&options).await.unwrap()
}

fn wanted() -> Wanted {
    Wanted {
        version: Version::Changed(Changed {
            image: Some(Image::parse("ghcr.io/ggml-org/llama.cpp:server-b4812").unwrap()),
            arguments: vec![SetArg::parse("--ctx-size=8192").unwrap()],
        }),
        route: None,
        replicas: 1,
        run: "run-1".to_owned(),
    }
}

/// A namespace with the workload and this route, and what is read of it. There is no kubelet, so
/// that the workload is ready is only said.
async fn stable(space: &Space, route: &str, kind: What) -> (Cluster, Stable) {
    space.apply(WORKLOAD);
    space.apply(&route.replace("NAMESPACE", &space.name));
    let cluster = connect(space).await;
    let namespace = Some(space.name.as_str());
    let all = Selector::all();
    let mut workload = cluster
        .get(What::Deployment, namespace, "llama")
        .await
        .unwrap();
    workload["status"]["readyReplicas"] = json!(2);
    let stable = Stable {
        workload,
        services: cluster.list(What::Service, namespace, &all).await.unwrap(),
        routes: cluster.list(kind, namespace, &all).await.unwrap(),
        // In no namespace, where other tests would see it: it is not stored.
        others: vec![json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "shift-public"}, "spec": {"controller": "k8s.io/ingress-nginx"},
        })],
    };
    (cluster, stable)
}

fn shift_of(stable: &Stable) -> Shift {
    plan(&Catalogue::builtin(), stable, &wanted()).unwrap()
}

async fn create(cluster: &Cluster, shift: &Shift) -> Vec<Value> {
    let mut created = Vec::new();
    for object in &shift.objects {
        cluster.create(object, true).await.unwrap();
        created.push(cluster.create(object, false).await.unwrap());
    }
    created
}

/// The object as it is stored.
async fn read(cluster: &Cluster, shift: &Shift, named: &Named) -> Value {
    let kind = match named.kind.as_str() {
        "Ingress" => What::Ingress,
        "HTTPRoute" => What::HttpRoute,
        "VirtualService" => What::VirtualService,
        _ => What::Deployment,
    };
    let namespace = Some(shift.namespace.as_str());
    cluster.get(kind, namespace, &named.name).await.unwrap()
}

async fn set(cluster: &Cluster, shift: &Shift, share: u8) -> Value {
    let before = read(cluster, shift, &shift.carrier).await;
    let patch = shift.set_weight(&before, share).unwrap();
    cluster.patch(&before, &patch, true).await.unwrap();
    cluster.patch(&before, &patch, false).await.unwrap();
    let after = read(cluster, shift, &shift.carrier).await;
    assert_eq!(shift.weight_of(&after), Weight::Share(share), "{after}");
    after
}

/// Somebody writes between our reading and our writing: we do not.
async fn conflict(cluster: &Cluster, space: &Space, shift: &Shift) {
    let before = read(cluster, shift, &shift.carrier).await;
    let patch = shift.set_weight(&before, 77).unwrap();
    let name = shift.carrier.to_string();
    space.ok(
        &[
            "annotate",
            "--field-manager=somebody",
            &name,
            "example.com/a=b",
        ],
        "",
    );
    let error = cluster.patch(&before, &patch, false).await.unwrap_err();
    let WriteError::Conflict {
        found: Found::Changed { places, by, .. },
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(places[0].starts_with("/metadata/annotations"), "{error}");
    assert_eq!(by, &["somebody"], "{error}");
    let after = read(cluster, shift, &shift.carrier).await;
    assert_eq!(after["spec"], before["spec"], "nothing was written");
    assert_eq!(shift.weight_of(&after), shift.weight_of(&before));
    // The control: from what is there, the same patch is taken.
    let patch = shift.set_weight(&after, 77).unwrap();
    cluster.patch(&after, &patch, false).await.unwrap();
    let replaced = shift.set_weight(&after, 1).unwrap();
    let error = cluster.patch(&after, &replaced, false).await.unwrap_err();
    assert!(
        matches!(error, WriteError::Conflict { .. }),
        "our own write counts, too"
    );
}

/// Every share, a conflict, and out again: the spec is byte for byte what it was.
async fn there_and_back(cluster: &Cluster, space: &Space, shift: &Shift) {
    let before = read(cluster, shift, &shift.carrier).await;
    assert_eq!(shift.weight_of(&before), Weight::Absent);
    let original = shift.original_of(&before).unwrap();
    for share in [0, 5, 100, 50] {
        set(cluster, shift, share).await;
    }
    conflict(cluster, space, shift).await;
    let last = set(cluster, shift, 0).await;
    let patch = shift.take_out(&last, &original).unwrap();
    let out = cluster.patch(&last, &patch, false).await.unwrap();
    assert_eq!(out["spec"].to_string(), before["spec"].to_string());
    assert_eq!(shift.weight_of(&out), Weight::Absent);
}

#[test]
fn a_canary_ingress_is_created_weighed_and_deleted() {
    let Some(space) = Space::plain("shift-ingress") else {
        return;
    };
    run(async {
        let (cluster, stable) = stable(&space, INGRESS, What::Ingress).await;
        let shift = shift_of(&stable);
        let created = create(&cluster, &shift).await;
        let main = read(&cluster, &shift, &shift.entry).await;
        assert_eq!(shift.weight_of(&created[2]), Weight::Share(0));
        for share in [5, 25, 100, 0] {
            set(&cluster, &shift, share).await;
        }
        conflict(&cluster, &space, &shift).await;
        assert_eq!(
            read(&cluster, &shift, &shift.entry).await,
            main,
            "never touched"
        );
        // Each version's Service selects its own pods alone, as kubectl counts them.
        let labels = &created[0]["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels, &json!({"app": "llama-canary", "gpu": "none"}));
        assert_eq!(
            created[1]["spec"]["selector"],
            json!({"app": "llama-canary"})
        );
        assert_ne!(
            created[1]["spec"]["clusterIP"],
            stable.services[0]["spec"]["clusterIP"]
        );
        let container = &created[0]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            container["image"],
            "ghcr.io/ggml-org/llama.cpp:server-b4812"
        );
        assert_eq!(
            container["args"],
            json!(["-m", "/m.gguf", "--port", "8080", "--ctx-size", "8192"])
        );
        let again = cluster.create(&shift.objects[1], false).await.unwrap_err();
        assert!(
            matches!(again, WriteError::AlreadyExists { .. }),
            "{again:?}"
        );
        // Planned again while it is there, as a resumed run does.
        let mut now = stable.clone();
        now.routes.push(created[2].clone());
        now.services.push(created[1].clone());
        now.others.push(created[0].clone());
        assert_eq!(shift_of(&now).objects, shift.objects);
        for object in created.iter().rev() {
            let stale = cluster.delete(object, Bound::Version, true).await;
            if object["kind"] == "Ingress" {
                assert!(
                    matches!(stale, Err(WriteError::Conflict { .. })),
                    "{stale:?}"
                );
            }
            assert!(cluster.delete(object, Bound::Uid, false).await.unwrap());
        }
        let ours = format!("{CANARY_OF}=llama");
        for kind in [What::Deployment, What::Service, What::Ingress] {
            let left = cluster
                .list(kind, Some(&space.name), &Selector::labels(&ours))
                .await;
            assert_eq!(left.unwrap(), Vec::<Value>::new());
        }
        assert!(
            !cluster
                .delete(&created[1], Bound::Uid, false)
                .await
                .unwrap(),
            "gone already"
        );
    });
}

#[test]
fn a_field_that_the_api_does_not_know_is_refused_and_nothing_is_created() {
    let Some(space) = Space::plain("shift-strict") else {
        return;
    };
    run(async {
        let (cluster, stable) = stable(&space, INGRESS, What::Ingress).await;
        let shift = shift_of(&stable);
        let mut odd = shift.objects[1].clone();
        odd["spec"]["selectors"] = json!({});
        let error = cluster.create(&odd, false).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("unknown field \"spec.selectors\""),
            "{error}"
        );
        let name = Named::of(&odd).to_string();
        assert!(!space.run(&["get", &name], "").status.success());
        // Of a patch, too: it is the object that is at fault, and no conflict.
        let before = read(&cluster, &shift, &shift.entry).await;
        let mut patch = shift.set_weight(&before, 5).unwrap();
        patch.0.truncate(2);
        let odd = json!({"op": "add", "path": "/spec/unheard", "value": 1});
        patch.0.push(serde_json::from_value(odd).unwrap());
        let error = cluster.patch(&before, &patch, false).await.unwrap_err();
        assert!(matches!(error, WriteError::Invalid { .. }), "{error:?}");
    });
}

#[test]
fn an_http_route_is_weighed_and_is_what_it_was_afterwards() {
    let Some(space) = Space::plain("shift-http-route") else {
        return;
    };
    if !crds::install(&space.lab, &[Crds::GatewayApi]) {
        return;
    }
    run(async {
        let (cluster, stable) = stable(&space, HTTP_ROUTE, What::HttpRoute).await;
        let shift = shift_of(&stable);
        create(&cluster, &shift).await;
        let before = read(&cluster, &shift, &shift.entry).await;
        there_and_back(&cluster, &space, &shift).await;
        assert_eq!(before["spec"]["rules"][2]["backendRefs"][0]["weight"], 7);
    });
}

#[test]
fn a_virtual_service_is_weighed_and_is_what_it_was_afterwards() {
    let Some(space) = Space::plain("shift-virtual-service") else {
        return;
    };
    if !crds::install(&space.lab, &[Crds::Istio]) {
        return;
    }
    run(async {
        let (cluster, stable) = stable(&space, VIRTUAL_SERVICE, What::VirtualService).await;
        let shift = shift_of(&stable);
        create(&cluster, &shift).await;
        there_and_back(&cluster, &space, &shift).await;
    });
}

#[test]
fn the_stable_deployment_is_promoted_and_scaled_unless_somebody_was_faster() {
    let Some(space) = Space::plain("shift-promote") else {
        return;
    };
    run(async {
        let (cluster, stable) = stable(&space, INGRESS, What::Ingress).await;
        let shift = shift_of(&stable);
        let named = Named::new("Deployment", "llama");
        let before = read(&cluster, &shift, &named).await;
        let catalogue = Catalogue::builtin();
        let patch = promote(&catalogue, &before, &wanted().version, None).unwrap();
        space.ok(
            &["set", "image", "deployment/llama", "server=llama:by-hand"],
            "",
        );
        let error = cluster.patch(&before, &patch, false).await.unwrap_err();
        assert!(error.message().contains("containers/0/image"), "{error}");
        let now = read(&cluster, &shift, &named).await;
        let image = "/spec/template/spec/containers/0/image";
        assert_eq!(now.pointer(image), Some(&json!("llama:by-hand")));
        let patch = promote(&catalogue, &now, &wanted().version, None).unwrap();
        let promoted = cluster.patch(&now, &patch, false).await.unwrap();
        assert!(
            promoted
                .pointer(image)
                .unwrap()
                .as_str()
                .unwrap()
                .ends_with("b4812")
        );
        let again = promote(&catalogue, &promoted, &wanted().version, None).unwrap_err();
        assert!(matches!(again, Refusal::SameVersion { .. }), "{again:?}");
        let down = cluster
            .patch(&promoted, &scale(&promoted, 0), false)
            .await
            .unwrap();
        assert_eq!(down["spec"]["replicas"], 0);
    });
}

#[test]
fn a_journal_has_one_holder_hears_wishes_and_outlives_its_run() {
    let Some(space) = Space::plain("shift-journal") else {
        return;
    };
    run(async {
        let cluster = connect(&space).await;
        let journal = |holder| cluster.journal(&space.name, "llama", holder, 30);
        let (mut first, mut second) = (journal("first"), journal("second"));
        assert_eq!(second.read().await.unwrap(), None);
        let none = second.wish("abort").await.unwrap_err();
        assert!(matches!(none, RequestError::NotFound { .. }), "{none:?}");
        first.acquire("begun").await.unwrap();
        let held = second.acquire("mine").await.unwrap_err();
        assert!(
            matches!(&held, LeaseError::Held { by, .. } if by == "first"),
            "{held}"
        );
        let lost = second.write("mine").await.unwrap_err();
        assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
        first.write("step 1").await.unwrap();
        let seen = second.read().await.unwrap().unwrap();
        assert_eq!(seen.text.as_deref(), Some("step 1"));
        assert!(seen.is_held());
        second.wish("abort").await.unwrap();
        assert_eq!(first.renew().await.unwrap().wish.as_deref(), Some("abort"));
        assert_eq!(first.clear_wish("abort").await.unwrap().wish, None);
        let large = "x".repeat(infer_cluster::LARGEST_JOURNAL);
        first.write(&large).await.unwrap();
        first.write("done").await.unwrap();
        first.release().await.unwrap();
        let left = second.read().await.unwrap().unwrap();
        assert_eq!((left.text.as_deref(), left.holder), (Some("done"), None));
        let labels = &space.get("lease/infer-canary-llama")["metadata"]["labels"];
        assert_eq!(labels[CANARY_OF], "llama");
        second.acquire("next").await.unwrap();
        assert!(matches!(first.remove().await, Err(LeaseError::Held { .. })));
        second.remove().await.unwrap();
        assert_eq!(second.read().await.unwrap(), None);
    });
}

#[test]
fn a_journal_of_a_run_that_died_is_taken_over_whole() {
    let Some(space) = Space::plain("shift-takeover") else {
        return;
    };
    run(async {
        let cluster = connect(&space).await;
        let mut dead = cluster.journal(&space.name, "llama", "dead", 1);
        let mut next = cluster.journal(&space.name, "llama", "next", 30);
        dead.acquire("weight 25").await.unwrap();
        assert!(next.acquire("mine").await.is_err(), "not yet");
        let since = Instant::now();
        let taken = loop {
            if let Ok(taken) = next.acquire("mine").await {
                break taken;
            }
            assert!(since.elapsed() < Duration::from_secs(5), "it never expires");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!(taken.text.as_deref(), Some("weight 25"));
        assert_eq!(taken.holder.as_deref(), Some("next"));
        for lost in [dead.write("late").await, dead.renew().await] {
            let lost = lost.unwrap_err();
            assert!(
                matches!(&lost, LeaseError::Lost { by: Some(by), .. } if by == "next"),
                "{lost}"
            );
        }
        dead.release().await.unwrap();
        let now = next.renew().await.unwrap();
        assert_eq!(now.text.as_deref(), Some("weight 25"));
    });
}
