//! `kubectl infer inspect` on a real API server: what real RBAC hides, and how many bytes are read
//! where the cluster is full of other things.

use infer_tests::space::Space;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Pods of other people, and in how many namespaces. These variables tell of more: 500 pods take
/// 2.5 s to make.
const PODS: (&str, usize) = ("INFER_INSPECT_PODS", 500);
const NAMESPACES: (&str, usize) = ("INFER_INSPECT_NAMESPACES", 50);
/// So many kubectl make them at a time.
const AT_A_TIME: usize = 8;

const ROUTE: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
  annotations: { nginx.ingress.kubernetes.io/proxy-read-timeout: "60" }
spec:
  rules:
    - host: llama.local
      http:
        paths: [{ path: /, pathType: Prefix, backend: { service: { name: back, port: { number: 80 } } } }]
---
apiVersion: v1
kind: Service
metadata: { name: back }
spec: { selector: { app: llama }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: llama }
spec:
  selector: { matchLabels: { app: llama } }
  template:
    metadata: { labels: { app: llama } }
    spec:
      containers:
        - name: server
          image: ghcr.io/ggml-org/llama.cpp:server
          args: [-m, /models/model.gguf, --port, "8080"]
---
apiVersion: v1
kind: Pod
metadata:
  name: llama-0
  labels: { app: llama, pod-template-hash: 6d9f }
  # No controller acts here: the ReplicaSet is a name.
  ownerReferences: [{ apiVersion: apps/v1, kind: ReplicaSet, name: llama-6d9f, uid: "1", controller: true }]
spec: { automountServiceAccountToken: false, containers: [{ name: server, image: x }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: back-0, labels: { kubernetes.io/service-name: back } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [10.244.0.7], targetRef: { kind: Pod, name: llama-0 } }]
"#;

/// Runs the plugin on the route; the document and the exit code.
fn inspect(space: &Space, args: &[&str]) -> (Value, i32) {
    let kubeconfig = space.lab.kubeconfig.to_str().unwrap();
    let output = Command::new("kubectl-infer")
        .args(["inspect", "ingress/front", "-o", "json", "-n", &space.name])
        .args(["--kubeconfig", kubeconfig])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (document, output.status.code().unwrap())
}

/// The resources of the gaps that RBAC makes.
fn forbidden(document: &Value) -> Vec<String> {
    let gaps = document["gaps"].as_array().unwrap().iter();
    let mut found: Vec<String> = gaps
        .filter(|gap| gap["why"] == "forbidden")
        .map(|gap| gap["right"]["resource"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

fn kinds(document: &Value) -> Vec<&str> {
    fn walk<'a>(hop: &'a Value, found: &mut Vec<&'a str>) {
        found.push(hop["kind"].as_str().unwrap());
        for next in hop["next"].as_array().unwrap() {
            walk(next, found);
        }
    }
    let mut found = Vec::new();
    for hop in document["ways"][0]["hops"].as_array().unwrap() {
        walk(hop, &mut found);
    }
    found
}

#[test]
fn real_rbac_hides_facts_by_name_and_the_rest_is_told() {
    let Some(space) = Space::plain("inspect-rbac") else {
        return;
    };
    space.apply(ROUTE);
    // The control: whoever may read everything has no such gap.
    let (document, code) = inspect(&space, &["--think", "90s"]);
    assert_eq!(forbidden(&document), [""; 0], "{document}");
    assert_eq!(code, 2, "60 s of silence cut it: {document}");
    let all = kinds(&document);
    for kind in ["Ingress", "Service", "Deployment", "Pod", "llama.cpp"] {
        assert!(all.contains(&kind), "{all:?}");
    }
    space.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: some}\nrules:\n\
         - {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get]}\n\
         - {apiGroups: [\"\"], resources: [services], verbs: [list]}\n\
         - {apiGroups: [apps], resources: [deployments], verbs: [get, list]}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: some}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: some}\n\
         subjects: [{kind: User, name: ann, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    let (document, code) = inspect(&space, &["--think", "90s", "--as", "ann"]);
    let hidden = forbidden(&document);
    for resource in [
        "endpointslices",
        "ingresses",
        "ingressclasses",
        "pods",
        "statefulsets",
    ] {
        assert!(
            hidden.iter().any(|it| it == resource),
            "{resource}: {hidden:?}"
        );
    }
    let all = kinds(&document);
    assert!(
        all.contains(&"llama.cpp") && !all.contains(&"Pod"),
        "{all:?}"
    );
    assert_eq!(code, 2, "the timer is told all the same: {document}");
}

/// Passes bytes on to the API server, and counts those that come from it.
struct Counted {
    url: String,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    fn in_front_of(space: &Space) -> Counted {
        let config = std::fs::read_to_string(&space.lab.kubeconfig).unwrap();
        let server = config
            .split(['"', ' ', '\n'])
            .find_map(|it| it.strip_prefix("https://"))
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = TcpStream::connect(&server).unwrap();
                pass(
                    client.try_clone().unwrap(),
                    upstream.try_clone().unwrap(),
                    None,
                );
                pass(upstream, client, Some(Arc::clone(&counter)));
            }
        });
        Counted { url, bytes }
    }

    /// The bytes that the API server sends to one run.
    fn read(&self, space: &Space) -> u64 {
        let before = self.bytes.load(Ordering::SeqCst);
        let (document, _) = inspect(space, &["--server", &self.url]);
        assert!(kinds(&document).contains(&"Pod"), "{document}");
        self.bytes.load(Ordering::SeqCst) - before
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counter: Option<Arc<AtomicU64>>) {
    thread::spawn(move || {
        let mut part = [0; 16 << 10];
        while let Ok(read) = from.read(&mut part) {
            if read == 0 || to.write_all(&part[..read]).is_err() {
                break;
            }
            if let Some(counter) = &counter {
                counter.fetch_add(read as u64, Ordering::SeqCst);
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Pods that carry the very labels of the route, in namespaces of other people.
fn fill(space: &Space, namespaces: usize, pods: usize) {
    let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items});
    let name = |index: usize| format!("inspect-other-{index}");
    let spaces = (0..namespaces).map(
        |index| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name(index)}}),
    );
    let spaces = list(spaces.collect()).to_string();
    space
        .lab
        .kubectl_ok(&["apply", "-f", "-"], &spaces)
        .unwrap();
    let pod = |index: usize| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("llama-{index}"), "namespace": name(index % namespaces),
                "labels": {"app": "llama"}},
            "spec": {"automountServiceAccountToken": false,
                "containers": [{"name": "c", "image": "x"}]}})
    };
    thread::scope(|scope| {
        for worker in 0..AT_A_TIME {
            let items = (worker..pods).step_by(AT_A_TIME).map(pod);
            let items = list(items.collect()).to_string();
            scope.spawn(move || {
                let arguments = ["create", "--validate=false", "-f", "-"];
                space.lab.kubectl_ok(&arguments, &items).unwrap();
            });
        }
    });
}

fn number((variable, default): (&str, usize)) -> usize {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn what_is_read_does_not_grow_with_the_cluster() {
    let Some(space) = Space::plain("inspect-bytes") else {
        return;
    };
    space.apply(ROUTE);
    let counted = Counted::in_front_of(&space);
    let before = counted.read(&space);
    assert!(before > 1_000, "the count is of this run: {before}");
    let (namespaces, pods) = (number(NAMESPACES), number(PODS));
    let begun = Instant::now();
    fill(&space, namespaces, pods);
    let filled = begun.elapsed();
    let begun = Instant::now();
    let after = counted.read(&space);
    let took = begun.elapsed();
    eprintln!(
        "{pods} pods in {namespaces} namespaces, made in {filled:?}: {before} bytes before, \
         {after} after, read in {took:?}"
    );
    // Other tests add a class or a CRD meanwhile; 500 pods would be 300 kB.
    assert!(
        after < before + 20_000,
        "{before} bytes before, {after} after"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    // The control: the same labels in the route's own namespace are read.
    let more = json!({"apiVersion": "v1", "kind": "List", "items": (1..101).map(|index| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("llama-{index}"), "labels": {"app": "llama"}},
            "spec": {"automountServiceAccountToken": false,
                "containers": [{"name": "c", "image": "x"}]}})
    }).collect::<Vec<_>>()});
    space.ok(
        &["create", "--validate=false", "-f", "-"],
        &more.to_string(),
    );
    let own = counted.read(&space);
    assert!(
        own > after + 20_000,
        "{after} bytes before, {own} with pods of its own"
    );
}
