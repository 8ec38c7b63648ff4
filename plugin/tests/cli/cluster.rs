//! A small API server that holds objects, and a small proxy in front of replicas that are not there.
//! What the proxy writes is the log of its pod. The real ones are in the lab (`tests/tests`).

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What was given to the API server.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) address: SocketAddr,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    objects: Mutex<Vec<(String, Value)>>,
    log: Mutex<Vec<String>>,
    /// Paths that contain one of these are refused.
    refused: Mutex<Vec<&'static str>>,
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cluster = Cluster {
            address: listener.local_addr().unwrap(),
            held: Arc::default(),
        };
        let held = cluster.held.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let held = held.clone();
                thread::spawn(move || held.serve(connection));
            }
        });
        cluster
    }

    /// Puts an object at `/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME`.
    pub(crate) fn put(&self, plural: &str, object: Value) {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("")
        };
        let group = match text("/apiVersion") {
            "v1" => "/api/v1".to_owned(),
            version => format!("/apis/{version}"),
        };
        let namespace = match text("/metadata/namespace") {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        let path = format!("{group}{namespace}/{plural}/{}", text("/metadata/name"));
        self.held.objects.lock().unwrap().push((path, object));
    }

    pub(crate) fn refuse(&self, part: &'static str) {
        self.held.refused.lock().unwrap().push(part);
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c",
                "context": {"cluster": "c", "user": "u", "namespace": "inference"}}],
        })
        .to_string()
    }

    /// A proxy that answers each request with `answer` and writes `line` to its pod's log: USER in
    /// it becomes the user agent. Then a route through it, with two replicas behind.
    pub(crate) fn route(&self, answer: &'static str, line: &'static str, image: &str) {
        self.route_below("/", answer, line, image);
    }

    /// The same below a path of the Ingress.
    pub(crate) fn route_below(
        &self,
        path: &str,
        answer: &'static str,
        line: &'static str,
        image: &str,
    ) {
        self.route_by(path, answer, move |_| line.to_owned(), image);
    }

    /// The same with the line that stands for each request's number, from zero. The proxy's port.
    pub(crate) fn route_by(
        &self,
        path: &str,
        answer: &'static str,
        line: impl Fn(usize) -> String + Send + 'static,
        image: &str,
    ) -> u16 {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = proxy.local_addr().unwrap().port();
        let held = self.held.clone();
        thread::spawn(move || {
            for (number, mut connection) in proxy.incoming().flatten().enumerate() {
                let (head, _) = read_request(&mut connection);
                let _ = connection.write_all(answer.as_bytes());
                let agent = head.lines().find_map(|it| it.strip_prefix("user-agent: "));
                // After the answer, as a proxy does.
                let line = line(number).replace("USER", agent.unwrap_or("-"));
                held.log.lock().unwrap().push(line);
            }
        });
        let meta = |name: &str| json!({"name": name, "namespace": "inference", "uid": name});
        let backend = json!({"service": {"name": "back", "port": {"number": 8080}}});
        self.put(
            "ingresses",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta("front"),
                "spec": {"ingressClassName": "lab", "rules": [{"host": "inference.local",
                    "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1",
                    "ports": [{"port": port, "protocol": "TCP"}]}]}},
            }),
        );
        self.put(
            "ingressclasses",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
                "metadata": {"name": "lab"}, "spec": {"controller": "example.com/lab"},
            }),
        );
        self.put(
            "services",
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": meta("back"),
                "spec": {"selector": {"app": "llama"}, "ports": [{"port": 8080}]},
            }),
        );
        let mut metadata = meta("proxy-0");
        metadata["labels"] = json!({"app": "proxy"});
        self.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": {"containers": [{"name": "nginx", "image": "nginx"}]},
                "status": {"phase": "Running", "podIPs": [{"ip": "127.0.0.1"}]},
            }),
        );
        let mut metadata = meta("llama-0");
        metadata["labels"] = json!({"app": "llama"});
        self.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": {"containers": [{"name": "server", "image": image}]},
            }),
        );
        let mut metadata = meta("back-1");
        metadata["labels"] = json!({"kubernetes.io/service-name": "back"});
        let endpoint = |ip: &str, pod: &str| json!({"addresses": [ip], "targetRef": {"kind": "Pod", "name": pod}});
        self.put(
            "endpointslices",
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
                "addressType": "IPv4", "ports": [{"port": 8080}],
                "endpoints": [endpoint("10.0.0.8", "llama-0"), endpoint("10.0.0.9", "llama-1")],
            }),
        );
        port
    }
}

impl Cluster {
    /// A canary beside that route: an Ingress of ingress-nginx, a Service and one pod of a Deployment
    /// `llama-canary`, at 10.0.0.10.
    pub(crate) fn canary(&self) {
        let meta = |name: &str| json!({"name": name, "namespace": "inference", "uid": name});
        let mut metadata = meta("front-canary");
        metadata["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": "10"});
        let backend = json!({"service": {"name": "canary", "port": {"number": 8080}}});
        self.put(
            "ingresses",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
                "spec": {"ingressClassName": "lab", "rules": [{"host": "inference.local",
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
            }),
        );
        self.put(
            "services",
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": meta("canary"),
                "spec": {"selector": {"app": "canary"}, "ports": [{"port": 8080}]},
            }),
        );
        let pod = "llama-canary-6d9f8c-2kqzl";
        let mut metadata = meta(pod);
        metadata["labels"] = json!({"app": "canary", "pod-template-hash": "6d9f8c"});
        metadata["ownerReferences"] = json!([
            {"kind": "ReplicaSet", "name": "llama-canary-6d9f8c", "controller": true}]);
        self.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": {"containers": [{"name": "server", "image": "x"}]},
            }),
        );
        let mut metadata = meta("canary-1");
        metadata["labels"] = json!({"kubernetes.io/service-name": "canary"});
        self.put(
            "endpointslices",
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
                "addressType": "IPv4", "ports": [{"port": 8080}],
                "endpoints": [{"addresses": ["10.0.0.10"],
                    "targetRef": {"kind": "Pod", "name": pod}}],
            }),
        );
    }
}

impl Held {
    fn serve(&self, mut connection: TcpStream) {
        let (head, _) = read_request(&mut connection);
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if self
            .refused
            .lock()
            .unwrap()
            .iter()
            .any(|it| path.contains(it))
        {
            return answer(&mut connection, 403, &forbidden(path));
        }
        if path.ends_with("/log") {
            return self.follow(&mut connection);
        }
        if query.contains("watch=true") {
            let _ =
                connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let objects = self.objects.lock().unwrap();
        if let Some((_, object)) = objects.iter().find(|(known, _)| known == path) {
            return answer(&mut connection, 200, object);
        }
        // A list, perhaps over all namespaces.
        let (group, plural) = path.rsplit_once('/').unwrap_or_default();
        let selector = query
            .split('&')
            .find_map(|it| it.strip_prefix("labelSelector="));
        let selector =
            selector.map(|it| it.replace("%3D", "=").replace("%2F", "/").replace('+', " "));
        let in_list = |(known, object): &&(String, Value)| {
            let (folder, _) = known.rsplit_once('/').unwrap();
            folder.starts_with(group)
                && folder.ends_with(&format!("/{plural}"))
                && selector.as_deref().is_none_or(|it| has_label(object, it))
        };
        let items: Vec<&Value> = objects.iter().filter(in_list).map(|(_, it)| it).collect();
        let known = objects
            .iter()
            .any(|(path, _)| path.contains(&format!("/{plural}/")));
        if !known && !path.ends_with("/deployments") && !path.ends_with("/statefulsets") {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "message": "not found", "reason": "NotFound", "code": 404,
                "details": {"name": plural}});
            return answer(&mut connection, 404, &status);
        }
        let list = json!({"kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": "1"}, "items": items});
        answer(&mut connection, 200, &list);
    }

    /// The log, as far as it is written, and then what is written to it.
    fn follow(&self, connection: &mut TcpStream) {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
        let mut told = 0;
        loop {
            let lines: Vec<String> = self.log.lock().unwrap()[told..].to_vec();
            for line in lines {
                told += 1;
                // Each its own time: a line of the same time is taken for the same.
                let line = format!("2026-11-25T04:00:00.{told:09}Z {line}\n");
                if connection.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A refusal as RBAC words it: of a pod's subresource, or of a list.
fn forbidden(path: &str) -> Value {
    let last = path.rsplit('/').next().unwrap_or_default();
    let (verb, resource, group) = match last {
        "log" => ("get", format!("pods/{last}"), ""),
        plural => {
            let group = path
                .strip_prefix("/apis/")
                .and_then(|it| it.split('/').next());
            ("list", plural.to_owned(), group.unwrap_or_default())
        }
    };
    let place = if path.contains("/namespaces/") {
        "in the namespace \"inference\""
    } else {
        "at the cluster scope"
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": format!("{resource} is forbidden: User \"ann\" cannot {verb} resource \
            \"{resource}\" in API group \"{group}\" {place}"),
        "reason": "Forbidden", "code": 403})
}

fn has_label(object: &Value, selector: &str) -> bool {
    selector.split(',').all(|pair| {
        let (key, value) = pair.split_once('=').unwrap();
        object["metadata"]["labels"][key] == value
    })
}

fn answer(connection: &mut TcpStream, code: u16, body: &Value) {
    let body = body.to_string();
    let _ = write!(
        connection,
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// Head and body.
fn read_request(connection: &mut TcpStream) -> (String, String) {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = reader.read_exact(&mut body);
    (head, String::from_utf8_lossy(&body).into_owned())
}
