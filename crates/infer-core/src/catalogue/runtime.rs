//! The schema of an inference server's entry.

use super::Tier;
use serde::Deserialize;

/// One inference server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Runtime {
    /// Name, as its project spells it; also the file's name.
    pub name: String,
    /// How well the facts below are known.
    pub tier: Tier,
    /// Where the facts were read.
    pub sources: Vec<String>,
    /// How its images are recognised.
    pub images: Images,
    /// Words that start it, in the order in which they stand: `vllm serve`.
    pub argv: Vec<String>,
    /// Words that start another program of the same project.
    #[serde(default)]
    pub not_server_argv: Vec<String>,
    /// Where its API listens.
    pub port: Port,
    /// On which address.
    pub host: Host,
    /// Flags that, all set, make it speak HTTPS.
    pub tls_flags: Vec<String>,
    /// Flags with which it has no HTTP API that a probe could ask.
    #[serde(default)]
    pub no_http_flags: Vec<String>,
    /// Flags whose value above 0 makes it a follower without an API.
    #[serde(default)]
    pub follower_flags: Vec<String>,
    /// Its health endpoint.
    pub health: Health,
    /// How long loading the weights may take, in seconds.
    pub startup_budget_seconds: u32,
    /// What it does at SIGTERM.
    pub drain: Drain,
    /// How it is told which model to serve.
    pub model: Model,
    /// The smallest request that shows that it generates.
    pub smoke: Smoke,
    /// Whether its API takes HTTP/2 without TLS (h2c); none where nobody looked.
    #[serde(default)]
    pub http2: Option<bool>,
    /// Its accelerators.
    pub gpu: Gpu,
    /// How a manifest starts it from nothing; none where nobody wrote that down.
    #[serde(default)]
    pub scaffold: Option<Scaffold>,
}

/// How a server's images are recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Images {
    /// Globs on the last path segment.
    pub names: Vec<String>,
    /// Globs on the tag of images that start something else.
    pub not_server_tags: Vec<String>,
}

/// Where the API listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// Flags that set it.
    pub flags: Vec<String>,
    /// Environment variables that set it.
    pub env: Vec<String>,
    /// The port where nothing sets it.
    pub default: u16,
    /// Whether the default holds in every version.
    pub certain: bool,
}

/// On which address the API listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// Flags that set it.
    pub flags: Vec<String>,
    /// Environment variables that set it.
    pub env: Vec<String>,
    /// The address where nothing sets it.
    pub default: String,
    /// The same in the project's own images.
    pub image_default: String,
}

/// The health endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// Path that answers 200 only with a loaded model.
    pub path: String,
    /// Flags whose value stands in front of the path.
    pub prefix_flags: Vec<String>,
    /// Flags that, together with a prefix, close the path to a probe.
    pub prefix_unless_flags: Vec<String>,
    /// What a probe's timeout must be at least, in seconds.
    pub timeout_seconds: u32,
}

/// What a server does at SIGTERM.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// What happens to a request in flight.
    pub on_sigterm: OnSigterm,
    /// Flags whose value is how many seconds it surely goes on serving.
    #[serde(default)]
    pub finishes_flags: Vec<String>,
    /// The same in words, without a subject.
    pub explanation: String,
}

/// What happens at SIGTERM to a request in flight.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum OnSigterm {
    /// It is cut.
    Abort,
    /// Neither ended nor served until SIGKILL.
    Hang,
    /// It is finished, however long that takes.
    Finish,
    /// Nobody knows.
    Unknown,
}

/// How a server is told which model to serve.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// Flags that name it.
    pub flags: Vec<String>,
    /// Environment variables that name it.
    pub env: Vec<String>,
    /// Whether the first word that is no flag names it.
    #[serde(default)]
    pub positional: bool,
    /// What to write, for messages.
    pub example: String,
}

/// The smallest request that shows that a server generates: a POST of JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Smoke {
    /// Path of the API, without the prefix of `health.prefixFlags`.
    pub path: String,
    /// The body: an object as JSON text, in which only the model is missing.
    pub body: String,
    /// Member of the body that, true, asks for server-sent events.
    pub stream_field: String,
    /// Member of the body that bounds how many tokens are generated.
    pub tokens_field: String,
    /// How the body names the model; none where one server serves one model and wants no name.
    #[serde(default)]
    pub model: Option<SmokeModel>,
    /// Where this was read or run.
    pub source: String,
}

/// How a request names the model.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SmokeModel {
    /// Member of the body that names it.
    pub field: String,
    /// Flags whose value is the name, the one that beats the others first.
    pub flags: Vec<String>,
    /// Path that lists the names, as OpenAI's `GET /v1/models` does.
    pub list: String,
}

/// A server's accelerators.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gpu {
    /// Images that are built for an accelerator.
    pub evidence: Vec<GpuEvidence>,
    /// Globs on the image name of builds without one.
    #[serde(default)]
    pub cpu_images: Vec<String>,
    /// How arguments make the count.
    pub count: Vec<GpuCount>,
}

/// Images that are built for an accelerator.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuEvidence {
    /// The extended resource that it asks for.
    pub resource: String,
    /// Globs on the tag.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Globs on the image name.
    #[serde(default)]
    pub images: Vec<String>,
}

/// What an argument says about the count.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuCount {
    /// Spellings of the flag.
    pub flags: Vec<String>,
    /// What it does to the count.
    pub role: GpuRole,
    /// The value that `cpu-when` and `unknown-when` speak of.
    pub value: Option<String>,
    /// Flags that count in its absence.
    #[serde(default)]
    pub otherwise: Vec<String>,
}

/// What an argument does to the count of accelerators.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum GpuRole {
    /// Multiplies it.
    Multiply,
    /// Divides it.
    Divide,
    /// Is a comma-separated list, one each.
    List,
    /// With this value the server uses no accelerator.
    CpuWhen,
    /// With this value the count cannot be known.
    UnknownWhen,
    /// Set at all, the count cannot be known.
    Unknown,
}

/// What a manifest needs that starts a server from nothing. In words, `{path}`, `{repo}`, `{file}`,
/// `{name}`, `{port}`, `{gpus}` and `{seconds}` are filled in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scaffold {
    /// The image without an accelerator, pinned.
    pub image: String,
    /// The image for accelerators, pinned.
    pub gpu_image: String,
    /// Words of every start: address and port are said, whatever the defaults are.
    pub args: Vec<String>,
    /// What a local model is.
    pub model_is: ModelIs,
    /// Words that name a local model by `{path}`; they come first.
    pub model_path: Vec<String>,
    /// Words that give a local model the `{name}` that requests use.
    #[serde(default)]
    pub model_name: Vec<String>,
    /// Words that make it download `{repo}` from Hugging Face; they come first.
    pub hub: Vec<String>,
    /// The same for one `{file}` of `{repo}`; empty where it takes whole repositories only.
    #[serde(default)]
    pub hub_file: Vec<String>,
    /// The environment variable that says where it keeps downloads.
    pub cache_env: String,
    /// The environment variable that holds a token of Hugging Face.
    pub token_env: String,
    /// Words that spread the model over `{gpus}` accelerators, where it does not by itself.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// Words that make it serve on for `{seconds}` after SIGTERM, where it can.
    #[serde(default)]
    pub drain: Vec<String>,
    /// Whether several accelerators talk through `/dev/shm`, which is 64 MiB in a container.
    #[serde(default)]
    pub shared_memory: bool,
    /// Where this was read.
    pub source: String,
}

/// What a local model is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ModelIs {
    /// One file.
    File,
    /// A directory.
    Directory,
}
