//! Flags that several commands share.

use crate::manifests::Request;
use crate::terminal::Colour;

/// How output looks.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct LookFlags {
    /// When to colour
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        global = true,
        help_heading = "Output"
    )]
    pub(crate) color: Colour,
    /// Use ASCII characters only; the default where the locale is not UTF-8
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) ascii: bool,
}

/// The form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people; may change
    #[default]
    Text,
    /// For programs: one document, also on failure
    Json,
}

/// From which level on what was found makes the command fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FailOn {
    #[default]
    Error,
    Warning,
    Never,
}

impl FailOn {
    /// Whether the worst that was found, on whatever scale, makes it fail.
    pub(crate) fn fails<T: PartialOrd>(self, worst: &T, warning: &T, error: &T) -> bool {
        match self {
            FailOn::Error => worst >= error,
            FailOn::Warning => worst >= warning,
            FailOn::Never => false,
        }
    }
}

/// What to read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManifestFlags {
    /// Read a file, the files of a directory, or stdin (`-`); may be repeated
    ///
    /// A directory gives its *.yaml, *.yml and *.json files, not those of directories below it.
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        required = true,
        value_delimiter = ','
    )]
    pub(crate) filename: Vec<String>,
    /// Take this namespace for objects that name none
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Judge by this InferencePolicy instead of the built-in baseline
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<String>,
}

impl ManifestFlags {
    /// What they ask for, without clap.
    pub(crate) fn request(&self) -> Request {
        Request {
            paths: self.filename.clone(),
            namespace: self.namespace.clone().filter(|name| !name.is_empty()),
            policy: self.policy.clone(),
        }
    }
}
