//! The server's container, but for what its drain plan and its probes say: image, words, volumes.

use crate::document::Document;
use crate::intent::Wanted;
use crate::model::ModelSource;
use infer_core::catalogue::Runtime;
use infer_core::image::{self, Image};
use infer_core::pointer::join;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    PersistentVolumeClaimVolumeSource, ResourceRequirements, SeccompProfile, SecretKeySelector,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// The container's name.
pub(crate) const SERVER: &str = "server";
/// The name of its port, and of the Service's: Istio tells the protocol by it.
pub(crate) const PORT_NAME: &str = "http";
/// The Secret that holds a token of Hugging Face, and its key.
const TOKEN: (&str, &str) = ("hf-token", "token");
const MODELS: &str = "/models";
const CACHE: &str = "/cache";

/// A container and the volumes that it mounts, with what is to be said of them.
pub(crate) struct Server {
    pub(crate) container: Container,
    pub(crate) volumes: Vec<Volume>,
    /// Comments by pointer, from the container.
    of_container: Vec<(String, String)>,
    /// Comments by index of the volume.
    of_volumes: Vec<(usize, String)>,
}

impl Server {
    pub(crate) fn of(wanted: &Wanted<'_>) -> Server {
        let image = image(wanted);
        let mut server = Server {
            container: Container {
                name: SERVER.to_owned(),
                ports: Some(vec![ContainerPort {
                    name: Some(PORT_NAME.to_owned()),
                    container_port: i32::from(wanted.runtime.port.default),
                    protocol: Some("TCP".to_owned()),
                    ..ContainerPort::default()
                }]),
                security_context: Some(SecurityContext {
                    allow_privilege_escalation: Some(false),
                    seccomp_profile: Some(SeccompProfile {
                        type_: "RuntimeDefault".to_owned(),
                        ..SeccompProfile::default()
                    }),
                    ..SecurityContext::default()
                }),
                ..Container::default()
            },
            volumes: Vec::new(),
            of_container: Vec::new(),
            of_volumes: Vec::new(),
        };
        if wanted.intent.image.is_none() {
            server.say(
                "/image",
                "Pinned: with a tag that moves, a restart may bring another server.",
            );
        }
        server.words(wanted, &image);
        server.container.image = Some(image.clone());
        server.model(wanted);
        server.gpus(wanted, &image);
        server
    }

    /// Puts the comments on the document whose container and volumes these are.
    pub(crate) fn comment(&self, document: &mut Document, container: &str, volumes: &str) {
        for (pointer, text) in &self.of_container {
            document.comment(&format!("{container}{pointer}"), text);
        }
        for (index, text) in &self.of_volumes {
            document.comment(&format!("{volumes}/{index}"), text);
        }
    }

    fn say(&mut self, pointer: &str, text: impl Into<String>) {
        self.of_container.push((pointer.to_owned(), text.into()));
    }

    fn words(&mut self, wanted: &Wanted<'_>, image: &str) {
        let runtime = wanted.runtime;
        if !is_recognised(runtime, image) {
            let start = runtime.argv.first().map(String::as_str).unwrap_or_default();
            self.container.command = Some(start.split(' ').map(str::to_owned).collect());
            self.say(
                "/command",
                "The image's name does not tell which server it runs: this does.",
            );
        }
        let facts = wanted.facts;
        let mut args = Vec::new();
        let mut add = |words: &[String]| {
            let at = args.len();
            args.extend(words.iter().map(|word| fill(word, wanted)));
            at
        };
        match &wanted.intent.model {
            ModelSource::Hub { file: Some(_), .. } => add(&facts.hub_file),
            ModelSource::Hub { file: None, .. } => add(&facts.hub),
            ModelSource::Claim { .. } | ModelSource::Path(_) => add(&facts.model_path),
        };
        if !matches!(wanted.intent.model, ModelSource::Hub { .. }) {
            add(&facts.model_name);
        }
        let start = add(&facts.args);
        if wanted.intent.gpus > 1 {
            add(&facts.gpus);
        }
        let drain = (!facts.drain.is_empty()).then(|| add(&facts.drain));
        let place = |flags: &[String]| {
            let words = args[start..].iter();
            let found = words.clone().position(|word| flags.contains(word));
            found.map(|index| format!("/args/{}", start + index))
        };
        let (host, port) = (place(&runtime.host.flags), place(&runtime.port.flags));
        self.container.args = Some(args);
        if let Some(host) = host
            && runtime.host.default.starts_with("127.")
        {
            self.say(
                &host,
                "By itself it listens on loopback, where neither probe nor Service gets in.",
            );
        }
        if let Some(port) = port
            && !runtime.port.certain
        {
            self.say(&port, "Said, because its default differs between versions.");
        }
        if let Some(drain) = drain {
            self.say(
                &format!("/args/{drain}"),
                "How many seconds it goes on with what is in flight after SIGTERM; by default none.",
            );
        }
    }

    fn model(&mut self, wanted: &Wanted<'_>) {
        match &wanted.intent.model {
            ModelSource::Hub { .. } => {
                self.cache(wanted);
            }
            ModelSource::Claim { name, .. } => {
                let volume = Volume {
                    persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                        claim_name: name.clone(),
                        read_only: Some(true),
                    }),
                    ..named("models")
                };
                let read_only = true;
                self.mount(volume, MODELS, read_only);
                if wanted.intent.replicas > 1 {
                    self.say_of_volume(
                        "Several pods mount it: its access mode is ReadOnlyMany or ReadWriteMany.",
                    );
                }
            }
            ModelSource::Path(_) => {}
        }
    }

    /// Where a server that downloads its model keeps it, and the token that it shows.
    fn cache(&mut self, wanted: &Wanted<'_>) {
        let facts = wanted.facts;
        let volume = match &wanted.intent.cache_claim {
            Some(claim) => Volume {
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim.clone(),
                    ..PersistentVolumeClaimVolumeSource::default()
                }),
                ..named("cache")
            },
            None => Volume {
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..named("cache")
            },
        };
        let has_claim = wanted.intent.cache_claim.is_some();
        let read_only = false;
        self.mount(volume, CACHE, read_only);
        if !has_claim {
            self.say_of_volume(
                "Every new pod downloads the model again; a PersistentVolumeClaim would keep it.",
            );
        } else if wanted.intent.replicas > 1 {
            self.say_of_volume("Several pods mount it: its access mode is ReadWriteMany.");
        }
        let token = EnvVar {
            name: facts.token_env.clone(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: TOKEN.0.to_owned(),
                    key: TOKEN.1.to_owned(),
                    optional: Some(true),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        };
        let cache = EnvVar {
            name: facts.cache_env.clone(),
            value: Some(CACHE.to_owned()),
            ..EnvVar::default()
        };
        self.container.env = Some(vec![cache, token]);
        self.say(
            "/env/1",
            format!(
                "For gated models: kubectl create secret generic {} --from-file={}=FILE",
                TOKEN.0, TOKEN.1
            ),
        );
    }

    fn gpus(&mut self, wanted: &Wanted<'_>, image: &str) {
        let gpus = wanted.intent.gpus;
        if gpus == 0 {
            return;
        }
        let resource = resource(wanted.runtime, image);
        self.container.resources = Some(ResourceRequirements {
            limits: Some(BTreeMap::from([(
                resource.clone(),
                Quantity(gpus.to_string()),
            )])),
            ..ResourceRequirements::default()
        });
        self.say(
            &join("/resources/limits", &resource),
            "Without it the pod may land on a node without a GPU. A limit is a request, too.",
        );
        if gpus > 1 && wanted.facts.shared_memory {
            let volume = Volume {
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: Some("Memory".to_owned()),
                    ..EmptyDirVolumeSource::default()
                }),
                ..named("shm")
            };
            let read_only = false;
            self.mount(volume, "/dev/shm", read_only);
            self.say_of_volume(
                "Its processes talk through shared memory; a container has 64 MiB by itself.",
            );
        }
    }

    fn mount(&mut self, volume: Volume, at: &str, read_only: bool) {
        let mounts = self.container.volume_mounts.get_or_insert_default();
        mounts.push(VolumeMount {
            name: volume.name.clone(),
            mount_path: at.to_owned(),
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
        self.volumes.push(volume);
    }

    fn say_of_volume(&mut self, text: &str) {
        let last = self.volumes.len().saturating_sub(1);
        self.of_volumes.push((last, text.to_owned()));
    }
}

fn named(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        ..Volume::default()
    }
}

fn image(wanted: &Wanted<'_>) -> String {
    match &wanted.intent.image {
        Some(image) => image.clone(),
        None if wanted.intent.gpus > 0 => wanted.facts.gpu_image.clone(),
        None => wanted.facts.image.clone(),
    }
}

/// Whether the engine knows the server by its image alone: asked as it asks itself.
fn is_recognised(runtime: &Runtime, image: &str) -> bool {
    let template = serde_json::json!({"spec": {"containers": [{"name": SERVER, "image": image}]}});
    let catalogue = infer_core::catalogue::Catalogue {
        runtimes: vec![runtime.clone()],
        controllers: Vec::new(),
        sidecars: Vec::new(),
    };
    !infer_core::server::servers(&catalogue, &template, "").is_empty()
}

/// The accelerator that an image is built for; the first that its runtime knows where nothing tells.
pub(crate) fn resource(runtime: &Runtime, reference: &str) -> String {
    let image = Image::parse(reference);
    let all = &runtime.gpu.evidence;
    let built_for = all.iter().find(|evidence| {
        let tag = evidence
            .tags
            .iter()
            .any(|glob| image::glob(glob, image.tag));
        tag || evidence
            .images
            .iter()
            .any(|glob| image::glob(glob, image.name))
    });
    built_for
        .or(all.first())
        .map_or("nvidia.com/gpu", |evidence| &evidence.resource)
        .to_owned()
}

/// A word of the catalogue with what is wanted filled in.
fn fill(word: &str, wanted: &Wanted<'_>) -> String {
    let intent = wanted.intent;
    let (path, repository, file) = match &intent.model {
        ModelSource::Hub { repository, file } => ("", repository.as_str(), file.as_deref()),
        ModelSource::Claim { path, .. } if path.is_empty() => (MODELS, "", None),
        ModelSource::Claim { path, .. } => {
            let whole = format!("{MODELS}/{path}");
            return fill_words(word, wanted, &whole, "", "");
        }
        ModelSource::Path(path) => (path.as_str(), "", None),
    };
    fill_words(word, wanted, path, repository, file.unwrap_or_default())
}

fn fill_words(word: &str, wanted: &Wanted<'_>, path: &str, repository: &str, file: &str) -> String {
    // One pass over the catalogue's own word: what is filled in is never looked at again.
    let values = [
        ("{path}", path.to_owned()),
        ("{repo}", repository.to_owned()),
        ("{file}", file.to_owned()),
        ("{name}", wanted.intent.name.clone()),
        ("{port}", wanted.runtime.port.default.to_string()),
        ("{gpus}", wanted.intent.gpus.to_string()),
        ("{seconds}", wanted.serves().to_string()),
    ];
    let found = values.iter().find(|(mark, _)| *mark == word);
    found.map_or_else(|| word.to_owned(), |(_, value)| value.clone())
}
