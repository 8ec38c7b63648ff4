//! Second versions of the lab's model server: llama-server behind `lab-flaw` (crates/lab-flaw), bad in
//! one way or good. The tag alone says in which, so that a canary is made by another `image` and
//! nothing else; the arguments are llama-server's.

/// A second version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The tag of its image, and what the header `x-lab-version` of its answers says.
    pub name: &'static str,
    /// What `lab-flaw` is told.
    pub(super) flags: &'static [&'static str],
}

impl Version {
    /// Its image, which the node of a lab has.
    #[must_use]
    pub fn image(&self) -> String {
        // llama-server's own repository: the product knows the runtime by it.
        format!("docker.io/lab/llama-server:{}", self.name)
    }
}

/// A first version that says its name, else as [`GOOD`].
pub const STABLE: Version = version("stable", &[]);
/// A good second version.
pub const GOOD: Version = version("good", &[]);
/// Answers 500 to 5 % of what it is to generate.
pub const ERRORS_5: Version = version("errors-5", &["--errors", "5"]);
/// Answers 500 to 20 % of what it is to generate.
pub const ERRORS_20: Version = version("errors-20", &["--errors", "20"]);
/// Three times the time to the first byte.
pub const SLOW_3: Version = version("slow-3", &["--slow", "3"]);
/// Cuts 20 % of streams.
pub const CUT_20: Version = version("cut-20", &["--cut", "20"]);
/// Exits at its start.
pub const CRASH: Version = version("crash", &["--crash"]);
/// Answers 503 for ever, as while a model loads.
pub const NEVER_READY: Version = version("never-ready", &["--never-ready"]);

/// All of them.
pub const VERSIONS: [Version; 8] = [
    STABLE,
    GOOD,
    ERRORS_5,
    ERRORS_20,
    SLOW_3,
    CUT_20,
    CRASH,
    NEVER_READY,
];

const fn version(name: &'static str, flags: &'static [&'static str]) -> Version {
    Version { name, flags }
}
