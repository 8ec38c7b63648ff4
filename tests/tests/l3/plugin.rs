//! `kubectl-infer` as a process of its own, as a shell starts it, and what a namespace holds before
//! and after it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use infer_tests::space::Space;
use serde_json::{Value, json};

/// Longer than any run here may take, whatever happens to it.
const PATIENCE: Duration = Duration::from_secs(40);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// What was said on stderr, its lines as one: where they break is of no interest.
    pub(crate) fn said(&self) -> String {
        flat(&self.err)
    }

    /// Whether it ended with this code and stderr holds all of these words.
    pub(crate) fn expect(&self, case: &str, code: i32, words: &[&str]) {
        let said = self.said();
        assert_eq!(self.code, Some(code), "{case}: {self:?}");
        for words in words {
            assert!(said.contains(words), "{case}: no {words:?} in {said}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A text with every run of white space as one space.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
    began: Instant,
}

impl Running {
    /// Starts it without a terminal.
    pub(crate) fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new("kubectl-infer");
        command.args(arguments);
        Running::of(command, Stdio::null())
    }

    /// Starts it in a terminal of its own (`script(1)`), where both streams are one and Ctrl-C is a
    /// key.
    pub(crate) fn in_a_terminal(arguments: &[&str]) -> Running {
        let line = format!("exec kubectl-infer {}", arguments.join(" "));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        Running::of(command, Stdio::piped())
    }

    fn of(mut command: Command, stdin: Stdio) -> Running {
        let mut child = command
            .env("NO_COLOR", "1")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (Arc::default(), Arc::default());
        let readers = [
            reader(child.stdout.take().unwrap(), &out),
            reader(child.stderr.take().unwrap(), &err),
        ];
        Running {
            stdin: child.stdin.take(),
            child,
            out,
            err,
            readers,
            began: Instant::now(),
        }
    }

    /// Waits until it has said these words.
    pub(crate) fn until_said(&mut self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.said().contains(words) {
            let ended = self.child.try_wait().unwrap();
            let said = self.said();
            assert!(
                ended.is_none() && Instant::now() < until,
                "{words:?} is never said ({ended:?}): {said}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn said(&self) -> String {
        let (out, err) = (self.out.lock().unwrap(), self.err.lock().unwrap());
        format!("{out}{err}")
    }

    /// Presses these keys in its terminal.
    pub(crate) fn press(&mut self, keys: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// What Ctrl-C sends, without a terminal.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Its end.
    pub(crate) fn end(mut self) -> Ended {
        let status = self.wait();
        drop(self.stdin);
        for reader in self.readers {
            reader.join().unwrap();
        }
        let text = |kept: &Mutex<String>| kept.lock().unwrap().clone();
        Ended {
            code: status.code(),
            out: text(&self.out),
            err: text(&self.err),
            took: self.began.elapsed(),
        }
    }

    fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("it does not end: {}", self.said());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn reader(mut stream: impl Read + Send + 'static, kept: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let kept = Arc::clone(kept);
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read) = stream.read(&mut buffer)
            && read > 0
        {
            let text = String::from_utf8_lossy(&buffer[..read]);
            kept.lock().unwrap().push_str(&text);
        }
    })
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Running::start(arguments).end()
}

/// What a namespace holds: each object's name, and what of it only a change changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listing(BTreeMap<String, Value>);

impl Listing {
    /// Everything in it that the API server lists, Events apart.
    pub(crate) fn of(space: &Space) -> Listing {
        static KINDS: OnceLock<String> = OnceLock::new();
        let kinds = KINDS.get_or_init(|| {
            let arguments = [
                "api-resources",
                "--namespaced",
                "--verbs=list",
                "-o",
                "name",
            ];
            let names = space.lab.kubectl_ok(&arguments, "").unwrap();
            let kept: Vec<&str> = names
                .lines()
                .filter(|name| !name.starts_with("events"))
                .collect();
            assert!(kept.contains(&"pods") && kept.contains(&"leases.coordination.k8s.io"));
            kept.join(",")
        });
        let output = space.run(&["get", kinds, "-o", "json"], "");
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut held = BTreeMap::new();
        for mut object in list["items"].as_array().unwrap().clone() {
            let kind = object["kind"].as_str().unwrap();
            let name = format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap());
            if kind == "Pod" {
                // A restart shows in the status alone.
                let statuses = object["status"]["containerStatuses"].as_array();
                let ran: Vec<Value> = statuses
                    .into_iter()
                    .flatten()
                    .map(|it| json!([it["name"], it["restartCount"], it["containerID"]]))
                    .collect();
                held.insert(format!("{name} containers"), Value::from(ran));
            }
            if let Some(endpoints) = object["endpoints"].as_array_mut() {
                endpoints.sort_by_key(ToString::to_string);
            }
            object.as_object_mut().unwrap().remove("status");
            let metadata = object["metadata"].as_object_mut().unwrap();
            for written in ["resourceVersion", "generation", "managedFields"] {
                metadata.remove(written);
            }
            if let Some(annotations) = metadata.get_mut("annotations") {
                let annotations = annotations.as_object_mut().unwrap();
                annotations.remove("endpoints.kubernetes.io/last-change-trigger-time");
            }
            held.insert(name, object);
        }
        assert!(held.contains_key("Deployment/llama"), "{held:?}");
        Listing(held)
    }

    /// The names of what is there in one of the two only, or is not the same.
    pub(crate) fn changes(&self, after: &Listing) -> Vec<String> {
        let names = self.0.keys().chain(after.0.keys());
        let mut changed: Vec<String> = names
            .filter(|name| self.0.get(*name) != after.0.get(*name))
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        changed
    }

    /// The same without its pods, and without the lists of who is ready.
    pub(crate) fn without_pods(&self) -> Listing {
        let mut held = self.0.clone();
        let of_pods = ["Pod/", "EndpointSlice/", "Endpoints/"];
        held.retain(|name, _| !of_pods.iter().any(|kind| name.starts_with(kind)));
        Listing(held)
    }
}

/// Writes a kubeconfig of the lab's cluster in which `change` was made; its path.
pub(crate) fn kubeconfig(space: &Space, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let view = ["config", "view", "--raw", "--minify", "-o", "json"];
    let mut config: Value =
        serde_json::from_str(&space.lab.kubectl_ok(&view, "").unwrap()).unwrap();
    change(&mut config);
    // JSON is YAML.
    let path = space.lab.state.join(format!("{name}.kubeconfig"));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}
