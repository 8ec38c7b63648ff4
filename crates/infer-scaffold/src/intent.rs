//! What a person wants, and whether it can be written.

use crate::entry::Via;
use crate::model::ModelSource;
use crate::refusal::Refusal;
use infer_core::Engine;
use infer_core::catalogue::{ModelIs, Runtime, Scaffold};
use infer_core::drain::{EXIT, PROPAGATION};
use infer_core::image;

/// What a person wants. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The name of every object.
    pub name: String,
    /// The namespace of every object; none leaves it to whoever applies them.
    pub namespace: Option<String>,
    /// The inference server, by the catalogue's name.
    pub runtime: String,
    /// Another image than the catalogue's.
    pub image: Option<String>,
    /// Where the model comes from.
    pub model: ModelSource,
    /// A PersistentVolumeClaim that keeps what is downloaded.
    pub cache_claim: Option<String>,
    /// How many pods.
    pub replicas: u32,
    /// How many accelerators each of them has.
    pub gpus: u32,
    /// What lets clients in.
    pub via: Via,
    /// The host name that clients use; by default the name and `.local`.
    pub host: Option<String>,
    /// The IngressClass or GatewayClass; by default the one that its makers use.
    pub class: Option<String>,
    /// The label of Istio's gateway pods; by default that of its Helm chart.
    pub gateway_selector: Option<(String, String)>,
    /// How long clients wait for an answer at most.
    pub longest_generation: u32,
    /// How long a pod goes on serving after it was told to go; by default the longest generation.
    pub drain_window: Option<u32>,
    /// How long loading may take; by default what the catalogue says.
    pub startup_budget: Option<u32>,
}

impl Intent {
    /// The host name that clients use.
    #[must_use]
    pub fn host(&self) -> String {
        let own = || format!("{}.local", self.name);
        self.host.clone().unwrap_or_else(own)
    }
}

/// An intent that can be written.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) intent: &'a Intent,
    pub(crate) runtime: &'a Runtime,
    pub(crate) facts: &'a Scaffold,
    pub(crate) host: String,
    /// How long a pod goes on serving; what the platform's longest grace period leaves of it.
    pub(crate) window: u32,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(engine: &'a Engine, intent: &'a Intent) -> Result<Wanted<'a>, Vec<Refusal>> {
        let mut refusals = Vec::new();
        refusals.extend(names(intent));
        refusals.extend(numbers(intent));
        refusals.extend(entrance(intent));
        let known = runtime(engine, &intent.runtime);
        match known {
            Ok((runtime, facts)) => {
                refusals.extend(model(intent, runtime, facts));
                if refusals.is_empty() {
                    return Ok(Wanted {
                        intent,
                        runtime,
                        facts,
                        host: intent.host(),
                        window: window(engine, intent, facts),
                    });
                }
            }
            Err(refusal) => refusals.push(refusal),
        }
        Err(refusals)
    }

    /// How long the server itself serves on after SIGTERM.
    pub(crate) fn serves(&self) -> u32 {
        if self.facts.drain.is_empty() {
            0
        } else {
            self.window
        }
    }
}

/// The drain window that fits into the longest grace period of the platform.
fn window(engine: &Engine, intent: &Intent, facts: &Scaffold) -> u32 {
    // A server that serves on needs only to be kept from SIGTERM until the world has heard.
    let beside = if facts.drain.is_empty() {
        EXIT
    } else {
        EXIT + PROPAGATION
    };
    let room = engine.policy.max_grace_period.saturating_sub(beside).max(1);
    intent
        .drain_window
        .unwrap_or(intent.longest_generation)
        .min(room)
}

fn runtime<'a>(engine: &'a Engine, name: &str) -> Result<(&'a Runtime, &'a Scaffold), Refusal> {
    let all = || {
        let each = engine.catalogue.runtimes.iter();
        each.filter_map(|runtime| Some((runtime, runtime.scaffold.as_ref()?)))
    };
    all()
        .find(|(runtime, _)| runtime.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = all()
                .map(|(runtime, _)| format!("`{}`", runtime.name))
                .collect();
            let is_known = engine
                .catalogue
                .runtimes
                .iter()
                .any(|known| known.name == name);
            let message = if is_known {
                format!("how to start `{name}` from nothing is not in the catalogue")
            } else {
                format!("there is no runtime `{name}` in the catalogue")
            };
            Refusal::new(message).help(format!("it is one of {}", names.join(", ")))
        })
}

fn names(intent: &Intent) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    // A Service's name begins with a letter (RFC 1035), every other one may begin with a digit.
    if !is_label(&intent.name) || !intent.name.starts_with(|c: char| c.is_ascii_lowercase()) {
        refusals.push(
            Refusal::new(format!("`{}` cannot be the name of a Service", intent.name)).help(
                "write at most 63 lower case letters, digits and `-`, a letter first, no `-` last",
            ),
        );
    }
    let labels = [("a namespace", intent.namespace.as_deref())];
    for (what, name) in labels {
        if let Some(name) = name
            && !is_label(name)
        {
            refusals.push(
                Refusal::new(format!("`{name}` cannot be the name of {what}")).help(
                    "write at most 63 lower case letters, digits and `-`, no `-` first or last",
                ),
            );
        }
    }
    let claim = match &intent.model {
        ModelSource::Claim { name, .. } => Some(name.as_str()),
        _ => None,
    };
    let subdomains = [
        ("a PersistentVolumeClaim", claim),
        ("a PersistentVolumeClaim", intent.cache_claim.as_deref()),
        ("a class", intent.class.as_deref()),
        ("a host", intent.host.as_deref()),
    ];
    for (what, name) in subdomains {
        if let Some(name) = name
            && !is_subdomain(name)
        {
            refusals.push(
                Refusal::new(format!("`{name}` cannot be the name of {what}")).help(
                    "write lower case letters, digits and `-`, in parts with a `.` between them",
                ),
            );
        }
    }
    if let Some((key, value)) = &intent.gateway_selector
        && !(is_label_text(key.rsplit('/').next().unwrap_or_default()) && is_label_text(value))
    {
        refusals.push(
            Refusal::new(format!("`{key}={value}` is no label"))
                .help("write the label of Istio's gateway pods, such as `istio=ingressgateway`"),
        );
    }
    if let Some(reference) = &intent.image {
        let blank = reference.is_empty() || reference.contains(char::is_whitespace);
        let flaw = image::flaw(reference).or(blank.then(|| "it is empty or has spaces".to_owned()));
        if let Some(flaw) = flaw {
            refusals.push(Refusal::new(format!(
                "no registry can hold the image `{reference}`: {flaw}"
            )));
        }
    }
    refusals
}

fn numbers(intent: &Intent) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if intent.replicas == 0 {
        refusals.push(Refusal::new("0 replicas serve nobody").help("write at least 1"));
    }
    // What one node has; infer-core counts no further either.
    if intent.gpus > 16 {
        refusals.push(
            Refusal::new(format!("no node has {} GPUs for one pod", intent.gpus))
                .help("write at most 16; a model over several nodes is not written here"),
        );
    }
    let times = [
        ("the longest generation", Some(intent.longest_generation)),
        ("the drain window", intent.drain_window),
        ("the startup budget", intent.startup_budget),
    ];
    for (what, seconds) in times {
        if let Some(seconds) = seconds
            && !(1..=86_400).contains(&seconds)
        {
            refusals.push(
                Refusal::new(format!("{what} is {seconds} s"))
                    .help("write at least 1 s and at most a day"),
            );
        }
    }
    refusals
}

/// What is said of an entry that is not there.
fn entrance(intent: &Intent) -> Vec<Refusal> {
    let via = intent.via;
    let mut refusals = Vec::new();
    let mut unused = |given: bool, what: &str| {
        if given {
            refusals.push(Refusal::new(format!(
                "{what} is given, and an entry via `{}` has none",
                via.as_str()
            )));
        }
    };
    unused(intent.host.is_some() && via == Via::None, "a host");
    unused(
        intent.class.is_some() && matches!(via, Via::None | Via::Istio),
        "a class",
    );
    unused(
        intent.gateway_selector.is_some() && via != Via::Istio,
        "a selector of gateway pods",
    );
    refusals
}

fn model(intent: &Intent, runtime: &Runtime, facts: &Scaffold) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let name = &runtime.name;
    match &intent.model {
        ModelSource::Hub { repository, file } => {
            let file = file
                .as_deref()
                .or(repository.split_once(':').map(|(_, tail)| tail));
            if let Some(file) = file
                && facts.hub_file.is_empty()
            {
                refusals.push(
                    Refusal::new(format!(
                        "{name} loads a whole repository, not `{file}` of it"
                    ))
                    .help("write `hf:OWNER/REPO`"),
                );
            }
        }
        ModelSource::Claim { name: claim, path }
            if path.is_empty() && facts.model_is == ModelIs::File =>
        {
            refusals.push(
                Refusal::new(format!(
                    "{name} loads one file, and `pvc:{claim}` is a directory"
                ))
                .help(format!(
                    "write `pvc:{claim}/model.gguf`, the file's path on the volume"
                )),
            );
        }
        ModelSource::Claim { .. } | ModelSource::Path(_) => {}
    }
    if intent.cache_claim.is_some() && !matches!(intent.model, ModelSource::Hub { .. }) {
        refusals.push(
            Refusal::new("a claim for downloads is given, and nothing is downloaded")
                .help("a claim that holds the model is the source itself: `pvc:CLAIM/PATH`"),
        );
    }
    refusals
}

/// A DNS label (RFC 1123), as Kubernetes has it.
fn is_label(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A label's value, or the name in its key.
fn is_label_text(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=63).contains(&text.len())
        && text.chars().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}
