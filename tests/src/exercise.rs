//! The chapter's exercise on a real node, in a namespace of a test's own.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::lab::exercise;
pub use xtask::lab::exercise::{NGINX_NAMESPACE, Wanted, observer_log};
use xtask::lab::session::Lab;

use crate::space::Space;

/// What was deployed.
#[derive(Debug)]
pub struct Exercise {
    /// Its namespace.
    pub space: Space,
    deployed: exercise::Exercise,
}

impl Deref for Exercise {
    type Target = exercise::Exercise;

    fn deref(&self) -> &exercise::Exercise {
        &self.deployed
    }
}

/// The lab, if it has a node; else said aloud.
#[must_use]
#[expect(clippy::print_stderr, reason = "a skip is said aloud")]
pub fn node_lab() -> Option<Lab> {
    let lab = Lab::current().filter(|lab| lab.level == "l3");
    if lab.is_none() {
        eprintln!("skipped: needs a real node; run `cargo xtask test` as root");
    }
    lab
}

impl Exercise {
    /// Deploys it and waits until every replica is ready and NGINX serves the Ingress.
    ///
    /// # Panics
    ///
    /// When that takes more than a minute.
    pub fn start(space: Space, wanted: &Wanted) -> Self {
        let exercise = Self::apply(space, wanted);
        exercise
            .until_ready(Duration::from_secs(60))
            .expect("the exercise is ready");
        exercise
    }

    /// Deploys it and waits for nothing.
    ///
    /// # Panics
    ///
    /// When the API server refuses.
    pub fn apply(space: Space, wanted: &Wanted) -> Self {
        let deployed = exercise::Exercise::apply(&space.lab, &space.name, wanted)
            .expect("the exercise is deployed");
        Self { space, deployed }
    }

    /// Its pods.
    ///
    /// # Panics
    ///
    /// When kubectl does not answer.
    pub fn pods(&self) -> Vec<Value> {
        self.deployed.pods().expect("kubectl lists pods")
    }

    /// Kills the server in a pod as the kernel does, by SIGKILL; an init above it lives on.
    ///
    /// # Panics
    ///
    /// When there is none, or it is PID 1.
    pub fn kill_server(&self, pod: &str) {
        let script = "for p in /proc/[0-9]*; do case \"$(cat $p/cmdline 2>/dev/null | tr '\\0' ' ')\" \
                      in *catatonit*) ;; *llama-server*-m*) kill -9 ${p#/proc/} && echo killed ;; \
                      esac; done";
        let output = self
            .space
            .run(&["exec", pod, "--", "/bin/sh", "-c", script], "");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "killed", "{output:?}");
    }

    /// Replaces its pods and waits until the new ones are ready: a container that crashes again and
    /// again is restarted later each time (the kubelet's back-off, 10 s and doubling).
    ///
    /// # Errors
    ///
    /// When they are not ready within a minute, with what they say.
    pub fn renew(&self) -> xtask::Result<()> {
        let names = |pods: &[Value]| -> BTreeSet<String> {
            let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
            pods.iter().filter_map(name).collect()
        };
        let old = names(&self.pods());
        let at_once = [
            "delete",
            "pods",
            "-l",
            "app=llama",
            "--grace-period=0",
            "--force",
        ];
        self.space.ok(&at_once, "");
        // Right after the deletion the Deployment still counts the old ones as ready.
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let new = names(&self.pods());
            if new.len() == old.len() && new.is_disjoint(&old) {
                break;
            }
            if Instant::now() > until {
                return Err(xtask::Error::Failed(format!(
                    "no new pods: {old:?}, {new:?}"
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let ready = [
            "wait",
            "--for=condition=Ready",
            "pods",
            "-l",
            "app=llama",
            "--timeout=60s",
        ];
        self.space.ok(&ready, "");
        self.until_ready(Duration::from_secs(60))
    }

    /// Takes it all away, so that the next test has the machine to itself.
    pub fn end(self) {
        let everything = [
            "delete",
            "deployment,ingress,service",
            "--all",
            "--wait=false",
        ];
        self.space.run(&everything, "");
        let at_once = [
            "delete",
            "pods",
            "--all",
            "--grace-period=0",
            "--force",
            "--timeout=20s",
        ];
        self.space.run(&at_once, "");
    }
}
