//! Two versions of a model server on a real node, behind the lab's NGINX: a stable one of two
//! replicas, and others of `xtask::images::flawed` beside it, made by hand.
//!
//! NGINX's own words say when it runs a weight ([`Versions::weigh`]), and its own log who served
//! ([`Versions::served`]).

mod client;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lab_nginx::observed::Observed;
use lab_nginx::status::SPLITS_PATH;
use serde_json::{Value, json};
pub use xtask::images::flawed::{
    CRASH, CUT_20, ERRORS_5, ERRORS_20, GOOD, NEVER_READY, SLOW_3, STABLE, Version,
};
use xtask::lab::exercise;

use crate::space::{Space, poll};
pub use client::{Answer, Ask, VERSION_HEADER};
use client::{exchange, send};

/// The name of the stable version's Deployment, Service and Ingress, and its label `app`.
pub const STABLE_NAME: &str = "llama";
/// The name of the canary Ingress of [`Versions::weigh`].
pub const CANARY_INGRESS: &str = "llama-canary";

/// NGINX's port for what it says of itself (tests/lab/nginx.yaml).
const STATUS_PORT: u16 = 10254;
/// How often NGINX is asked in a row what it runs, and how long between: longer than the 100 ms that
/// it lets old workers accept (nginx `src/os/unix/ngx_process_cycle.c`, `ngx_msleep(100)`).
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(40);
/// Between an answer and the next request of a client in the background: it is to notice a loss, not to
/// take the processors from those that are measured.
const BETWEEN_ASKS: Duration = Duration::from_millis(60);
/// For pods and for NGINX.
const LIMIT: Duration = Duration::from_secs(60);

/// A namespace with a stable version behind NGINX.
#[derive(Debug)]
pub struct Versions {
    /// The namespace.
    pub space: Space,
    /// The host of its Ingress.
    pub host: String,
    /// Where NGINX listens.
    pub nginx: SocketAddrV4,
}

impl Versions {
    /// Deploys `stable` with two replicas, Service and Ingress, all named [`STABLE_NAME`], and waits
    /// until NGINX serves it. [`STABLE`] says its name in each answer, [`Version`]s beside it do too.
    ///
    /// # Panics
    ///
    /// When that takes more than a minute.
    #[must_use]
    pub fn start(space: Space, stable: Version) -> Versions {
        let versions = Self::apply(space, stable);
        versions.until_ready(STABLE_NAME);
        let ask = Ask::list();
        poll("NGINX serves the stable version", || {
            versions.ask(&ask).status == 200
        });
        versions
    }

    /// As [`Versions::start`], without waiting for anything but NGINX itself.
    ///
    /// # Panics
    ///
    /// When the API server refuses.
    #[must_use]
    pub fn apply(space: Space, stable: Version) -> Versions {
        let nginx = exercise::nginx(&space.lab).expect("the lab's NGINX starts");
        let host = format!("{}.lab", space.name);
        let versions = Versions { space, host, nginx };
        let mut objects = versions.workload(STABLE_NAME, stable, 2);
        objects.push(versions.ingress(STABLE_NAME, STABLE_NAME, &json!({})));
        versions.apply_all(&objects);
        versions
    }

    /// Deploys another version, one replica, with a Service of its own; both are named
    /// [`beside`]`(version)`. Waits for nothing.
    ///
    /// # Panics
    ///
    /// When the API server refuses.
    pub fn deploy(&self, version: Version) {
        self.apply_all(&self.workload(&beside(version), version, 1));
    }

    /// Waits until a Deployment's replicas are ready.
    ///
    /// # Panics
    ///
    /// When they are not within a minute, with what the pods say.
    pub fn until_ready(&self, deployment: &str) {
        let deployment = format!("deployment/{deployment}");
        let timeout = format!("--timeout={}s", LIMIT.as_secs());
        let rollout = self
            .space
            .run(&["rollout", "status", &deployment, &timeout], "");
        if !rollout.status.success() {
            let pods = self.space.run(&["describe", "pods"], "");
            panic!(
                "{}\n{}",
                String::from_utf8_lossy(&rollout.stderr),
                String::from_utf8_lossy(&pods.stdout)
            );
        }
    }

    /// Makes the canary Ingress [`CANARY_INGRESS`] send `weight` of a hundred requests to a version
    /// that was deployed, and waits until NGINX runs it. Where the version has no ready pod, NGINX
    /// leaves it out whatever the weight; then this waits until NGINX has read the Ingress.
    ///
    /// # Panics
    ///
    /// When NGINX does not within a minute.
    pub fn weigh(&self, version: Version, weight: u32) {
        let service = beside(version);
        let annotations = json!({
            "nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": weight.to_string(),
        });
        let has_ready_pods = self.has_ready_pods(&service);
        if !has_ready_pods {
            // Made anew, so that NGINX's address in its status says that this one was read.
            self.space.ok(
                &["delete", "ingress", CANARY_INGRESS, "--ignore-not-found"],
                "",
            );
        }
        self.apply_all(&[self.ingress(CANARY_INGRESS, &service, &annotations)]);
        let split = (weight > 0 && has_ready_pods).then(|| Split {
            main: self.upstream(STABLE_NAME),
            canary: self.upstream(&service),
            share: format!("{weight}.00%"),
        });
        let until = Instant::now() + LIMIT;
        loop {
            let ingress = self.space.get(&format!("ingress/{CANARY_INGRESS}"));
            let is_read = !ingress["status"]["loadBalancer"]["ingress"].is_null();
            let split_now = self.split();
            if is_read && split_now == split && self.only_runs(split.as_ref()) {
                return;
            }
            let events = || self.space.run(&["events"], "");
            assert!(
                Instant::now() < until,
                "NGINX runs {split_now:?}, not {split:?}; the canary Ingress is read: {is_read}\n{}",
                String::from_utf8_lossy(&events().stdout)
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// What NGINX says that it runs for the stable version's Service: none where no request can go
    /// to a canary.
    ///
    /// # Panics
    ///
    /// When NGINX does not answer.
    #[must_use]
    pub fn split(&self) -> Option<Split> {
        let status = SocketAddrV4::new(*self.nginx.ip(), STATUS_PORT);
        let answer = exchange(status, &format!("GET {SPLITS_PATH} HTTP/1.0\r\n\r\n"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let main = self.upstream(STABLE_NAME);
        answer.body.lines().find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [of, canary, share] = words[..] else {
                panic!("{line:?} is no split")
            };
            (of == main).then(|| Split {
                main: of.to_owned(),
                canary: canary.to_owned(),
                share: share.to_owned(),
            })
        })
    }

    /// What NGINX's log calls the upstream of a Service of this namespace.
    #[must_use]
    pub fn upstream(&self, service: &str) -> String {
        format!("{}-{service}-80", self.space.name)
    }

    /// Where NGINX's log ends now.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.log().len())
    }

    /// How many requests to this namespace's host each upstream served since then, by NGINX's own
    /// log: [`Versions::upstream`] names them. Waits until the log has `wanted` of them.
    ///
    /// # Panics
    ///
    /// When it has not within five seconds.
    #[must_use]
    pub fn served(&self, since: Mark, wanted: usize) -> BTreeMap<String, usize> {
        let mut lines = Vec::new();
        poll(&format!("{wanted} requests in NGINX's log"), || {
            lines = self.log().split_off(since.0);
            lines.retain(|line| line.host == self.host);
            lines.len() >= wanted
        });
        let mut counts = BTreeMap::new();
        for line in lines {
            *counts.entry(line.served_by().to_owned()).or_default() += 1;
        }
        counts
    }

    /// NGINX's log, whole lines of all hosts.
    fn log(&self) -> Vec<Observed> {
        let path = exercise::observer_log(&self.space.lab);
        let text = std::fs::read_to_string(path).expect("NGINX's log is there");
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(Observed::parse);
        lines
            .map(|line| line.expect("a line of NGINX's log"))
            .collect()
    }

    /// Sends one request through NGINX, on a connection of its own.
    #[must_use]
    pub fn ask(&self, ask: &Ask) -> Answer {
        send(self.nginx, &self.host, ask)
    }

    /// Sends so many requests through NGINX, by `clients` at a time; the answers in no order.
    ///
    /// # Panics
    ///
    /// When a client panics.
    #[must_use]
    pub fn ask_often(&self, ask: &Ask, count: usize, clients: usize) -> Vec<Answer> {
        let left = AtomicUsize::new(count);
        let take =
            || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1));
        thread::scope(|scope| {
            let client = || {
                let mut answers = Vec::new();
                while take().is_ok() {
                    answers.push(self.ask(ask));
                }
                answers
            };
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            let answers = clients.into_iter();
            answers
                .flat_map(|it| it.join().expect("a client"))
                .collect()
        })
    }

    /// Starts clients that ask one request after the other, so many at a time, until [`Traffic::end`].
    #[must_use]
    pub fn traffic(&self, ask: &Ask, clients: usize) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let (stop, ask) = (stop.clone(), ask.clone());
            let (nginx, host) = (self.nginx, self.host.clone());
            thread::spawn(move || {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    answers.push(send(nginx, &host, &ask));
                    thread::sleep(BETWEEN_ASKS);
                }
                answers
            })
        };
        let clients = (0..clients).map(|_| client()).collect();
        Traffic { stop, clients }
    }

    /// The pods of a Deployment made here.
    ///
    /// # Panics
    ///
    /// When kubectl does not answer.
    #[must_use]
    pub fn pods(&self, deployment: &str) -> Vec<Value> {
        let label = format!("app={deployment}");
        let output = self
            .space
            .run(&["get", "pods", "-l", &label, "-o", "json"], "");
        let list: Value = serde_json::from_slice(&output.stdout).expect("kubectl lists pods");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Takes everything away, so that the next test has the machine to itself.
    pub fn end(self) {
        let all = [
            "delete",
            "deployment,ingress,service",
            "--all",
            "--wait=false",
        ];
        self.space.run(&all, "");
        let pods = [
            "delete",
            "pods",
            "--all",
            "--grace-period=0",
            "--force",
            "--timeout=20s",
        ];
        self.space.run(&pods, "");
    }

    /// Whether each of some looks in a row finds this split: after a reload the workers of the old
    /// configuration accept connections too for a while.
    fn only_runs(&self, split: Option<&Split>) -> bool {
        (0..LOOKS).all(|_| {
            thread::sleep(BETWEEN_LOOKS);
            self.split().as_ref() == split
        })
    }

    fn has_ready_pods(&self, deployment: &str) -> bool {
        self.space.get(&format!("deployment/{deployment}"))["status"]["readyReplicas"].is_u64()
    }

    fn apply_all(&self, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.space.apply(&list.to_string());
    }

    /// A Deployment and its Service.
    fn workload(&self, name: &str, version: Version, replicas: u32) -> Vec<Value> {
        let labels = json!({"app": name});
        let models = &self.space.lab.models;
        let pod = json!({
            // llama-server hangs at SIGTERM where it generates.
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "server",
                "image": version.image(),
                "imagePullPolicy": "Never",
                "args": ["-m", "/models/tiny.gguf", "--host", "0.0.0.0", "--port", "8080",
                         "-c", "8192", "-np", "8", "-t", "1", "--metrics"],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "1"}},
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 10001, "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": true}],
            }],
            "volumes": [{"name": "models", "hostPath": {"path": models}}],
        });
        vec![
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
                "replicas": replicas,
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            }}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
                "selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            }}),
        ]
    }

    fn ingress(&self, name: &str, service: &str, annotations: &Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"ingressClassName": "lab-nginx", "rules": [{"host": self.host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": service, "port": {"number": 80}}}},
        ]}}]}})
    }
}

/// The name of a version's Deployment and Service beside the stable one.
#[must_use]
pub fn beside(version: Version) -> String {
    format!("{STABLE_NAME}-{}", version.name)
}

/// A place in NGINX's log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

/// What NGINX runs for a canary, by the names of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The main upstream.
    pub main: String,
    /// The canary's.
    pub canary: String,
    /// The canary's share, such as `50.00%`.
    pub share: String,
}

/// Clients that ask until they are told to end.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Answer>>>,
}

impl Traffic {
    /// Lets each client finish the request that it is at; all answers, in no order.
    ///
    /// # Panics
    ///
    /// When a client panicked.
    #[must_use]
    pub fn end(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients
            .flat_map(|it| it.join().expect("a client"))
            .collect()
    }
}
