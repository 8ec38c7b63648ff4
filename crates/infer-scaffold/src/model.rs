//! Where a model comes from.

use crate::refusal::Refusal;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A repository of Hugging Face; the server downloads it when it starts.
    Hub {
        /// `OWNER/NAME`; a quantisation may follow after a colon where the server knows that form.
        repository: String,
        /// One file of it.
        file: Option<String>,
    },
    /// A PersistentVolumeClaim that holds it.
    Claim {
        /// The claim's name.
        name: String,
        /// The model inside of it, without a leading slash; empty for the whole volume.
        path: String,
    },
    /// A path that is there when the container starts: in its image, or mounted by others.
    Path(String),
}

impl ModelSource {
    /// The forms that [`ModelSource::parse`] takes, for messages.
    pub const FORMS: &str = "`hf:OWNER/REPO` or `hf:OWNER/REPO:FILE` (downloaded at the start), \
                             `pvc:CLAIM/PATH` (on a PersistentVolumeClaim), `path:/PATH` (in the image)";

    /// Reads `hf:OWNER/REPO[:FILE]`, `pvc:CLAIM[/PATH]` or `path:/PATH`.
    ///
    /// # Errors
    ///
    /// Another form, or a part that is missing; the help names the forms.
    pub fn parse(text: &str) -> Result<ModelSource, Refusal> {
        let wrong = || {
            Refusal::new(format!("`{text}` is no source of a model"))
                .help(format!("it is one of {}", ModelSource::FORMS))
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
        match scheme {
            "hf" => {
                let (repository, after) = match rest.split_once(':') {
                    Some((repository, after)) => (repository, Some(after)),
                    None => (rest, None),
                };
                let parts: Vec<&str> = repository.split('/').collect();
                let plain = |part: &str| {
                    !part.is_empty()
                        && part
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                };
                let file_is_plain = after.is_none_or(|after| after.split('/').all(plain));
                if parts.len() != 2 || !parts.iter().all(|part| plain(part)) || !file_is_plain {
                    return Err(wrong());
                }
                // `OWNER/REPO:Q4_K_M` is llama.cpp's own form of a repository; a file has a suffix.
                Ok(match after {
                    Some(file) if file.contains('.') => ModelSource::Hub {
                        repository: repository.to_owned(),
                        file: Some(file.to_owned()),
                    },
                    _ => ModelSource::Hub {
                        repository: rest.to_owned(),
                        file: None,
                    },
                })
            }
            "pvc" => {
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                if name.is_empty() || !is_inside(path) {
                    return Err(wrong());
                }
                Ok(ModelSource::Claim {
                    name: name.to_owned(),
                    path: path.trim_end_matches('/').to_owned(),
                })
            }
            "path" if rest.starts_with('/') && rest.len() > 1 && is_inside(&rest[1..]) => {
                Ok(ModelSource::Path(rest.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

/// Whether a path stays below where it begins, and holds nothing that a kubelet would expand.
fn is_inside(path: &str) -> bool {
    !path.split('/').any(|part| part == "..")
        && !path.starts_with('/')
        && !path.contains("$(")
        && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let hub = |repository: &str, file: Option<&str>| ModelSource::Hub {
            repository: repository.to_owned(),
            file: file.map(str::to_owned),
        };
        for (text, source) in [
            ("hf:org/m", hub("org/m", None)),
            ("hf:org/m:m.gguf", hub("org/m", Some("m.gguf"))),
            ("hf:org/m:q/m.gguf", hub("org/m", Some("q/m.gguf"))),
            ("hf:org/m:Q4_K_M", hub("org/m:Q4_K_M", None)),
            (
                "pvc:models/a/m.gguf",
                ModelSource::Claim {
                    name: "models".to_owned(),
                    path: "a/m.gguf".to_owned(),
                },
            ),
            (
                "pvc:models",
                ModelSource::Claim {
                    name: "models".to_owned(),
                    path: String::new(),
                },
            ),
            ("path:/m.gguf", ModelSource::Path("/m.gguf".to_owned())),
        ] {
            assert_eq!(ModelSource::parse(text), Ok(source), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_forms() {
        for text in [
            "",
            "m.gguf",
            "org/m",
            "hf:",
            "hf:m",
            "hf:a/b/c",
            "hf:a/b c",
            "hf:a/b:",
            "pvc:",
            "pvc:/m",
            "pvc:m/../x",
            "pvc:m//x",
            "path:m",
            "path:/",
            "path:/a/../b",
            "path:/$(X)",
            "s3://b/m",
            "hf:a/$(B)",
        ] {
            let refusal = ModelSource::parse(text).expect_err(text);
            assert!(
                refusal
                    .help
                    .is_some_and(|help| help.contains("hf:OWNER/REPO")),
                "{text}"
            );
        }
    }
}
