//! A namespace of its own on the lab's API server, for one test, under a webhook.

use serde_json::Value;
use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use xtask::lab::session::Lab;
use xtask::lab::webhook::{Options, SCOPE_LABEL, Webhook};

/// The label that says which of several webhooks a test's namespace is under.
pub const GROUP: &str = "infer-test";

/// A namespace in which one test works. It stays until the lab ends.
#[derive(Debug)]
pub struct Space {
    /// The lab.
    pub lab: Lab,
    /// The namespace's name.
    pub name: String,
}

/// The webhook that most tests share: the built-in baseline, seeing the cluster. Its log goes with
/// the lab.
///
/// # Panics
///
/// When it does not start or cannot be registered.
pub fn shared_webhook(lab: &Lab) -> &'static Webhook {
    static SHARED: OnceLock<Webhook> = OnceLock::new();
    SHARED.get_or_init(|| {
        let options = Options {
            with_cluster: true,
            ..Options::default()
        };
        own_webhook(lab, "shared", &options)
    })
}

/// A webhook of one test, for namespaces of the group `group`.
///
/// # Panics
///
/// When it does not start or cannot be registered.
pub fn own_webhook(lab: &Lab, group: &str, options: &Options) -> Webhook {
    let webhook = Webhook::start(lab, options).expect("the webhook starts");
    webhook
        .register(
            lab,
            &format!("infer-{group}"),
            &[SCOPE_LABEL, (GROUP, group)],
        )
        .expect("the API server takes the registration");
    webhook
}

impl Space {
    /// A namespace under the shared webhook; `None`, said aloud, outside of a lab.
    pub fn enrolled(name: &str) -> Option<Space> {
        let lab = Space::lab()?;
        shared_webhook(&lab);
        Some(Space::in_group(lab, name, Some("shared")))
    }

    /// A namespace that no webhook knows; `None`, said aloud, outside of a lab.
    pub fn plain(name: &str) -> Option<Space> {
        Some(Space::in_group(Space::lab()?, name, None))
    }

    /// The lab, if there is one.
    #[expect(clippy::print_stderr, reason = "a skip is said aloud")]
    pub fn lab() -> Option<Lab> {
        let lab = Lab::current();
        if lab.is_none() {
            eprintln!("skipped: needs a real API server; run `cargo xtask test`");
        }
        lab
    }

    /// Makes the namespace, under the webhook of this group.
    ///
    /// # Panics
    ///
    /// When the API server refuses.
    pub fn in_group(lab: Lab, name: &str, group: Option<&str>) -> Space {
        let labels = group.map_or(
            serde_json::json!({}),
            |group| serde_json::json!({SCOPE_LABEL.0: SCOPE_LABEL.1, GROUP: group}),
        );
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels}});
        lab.kubectl_ok(&["apply", "-f", "-"], &object.to_string())
            .expect("a namespace is made");
        Space {
            lab,
            name: name.to_owned(),
        }
    }

    /// Runs kubectl in this namespace, whatever comes of it.
    ///
    /// # Panics
    ///
    /// When there is no kubectl.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let arguments = [&["-n", &self.name], arguments].concat();
        self.lab
            .kubectl_with(&arguments, input)
            .expect("kubectl runs")
    }

    /// Runs kubectl in this namespace and returns its stderr, where warnings are.
    ///
    /// # Panics
    ///
    /// When it does not succeed.
    pub fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {arguments:?}: {said}");
        said
    }

    /// `kubectl apply -f -`.
    pub fn apply(&self, manifest: &str) -> String {
        self.ok(&["apply", "-f", "-"], manifest)
    }

    /// A stored object, managed fields included.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn get(&self, what: &str) -> Value {
        let output = self.run(&["get", what, "-o", "json", "--show-managed-fields"], "");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "{what}: {error}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// The stored pod template.
    pub fn template(&self, what: &str) -> Value {
        self.get(what)["spec"]["template"].clone()
    }

    /// Asks until `wanted` holds of a stored object, for at most five seconds.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        poll(&format!("{what} is as wanted"), || wanted(&self.get(what)));
    }
}

/// Asks until something holds, for at most five seconds.
///
/// # Panics
///
/// When it does not.
pub fn poll(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < until, "not within 5 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a webhook's store holds so many objects of a kind.
///
/// # Panics
///
/// When it does not within five seconds.
pub fn until_stored(webhook: &Webhook, kind: &str, count: usize) {
    let client = webhook.client().expect("a client of the webhook");
    let line = format!("infer_webhook_store_objects{{kind=\"{kind}\"}} ");
    poll(&format!("{count} of {kind} in the store"), || {
        let answer = client
            .get(webhook.address(), "/metrics")
            .map(|(_, text)| text);
        answer.is_ok_and(|text| {
            let number = text
                .lines()
                .find_map(|l| l.strip_prefix(&line)?.trim().parse().ok());
            number.is_some_and(|seen: f64| seen >= count as f64)
        })
    });
}
