//! Image references: their parts, whether a registry could hold them, and globs over them.

/// The parts of an image reference that recognition uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Everything before tag and digest.
    pub repository: &'a str,
    /// The last path segment of the repository.
    pub name: &'a str,
    /// The tag, empty where there is none.
    pub tag: &'a str,
}

impl<'a> Image<'a> {
    /// Splits a reference; every text has parts.
    pub fn parse(reference: &'a str) -> Image<'a> {
        let without_digest = reference.split('@').next().unwrap_or_default();
        let slash = without_digest.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match without_digest[slash..].find(':') {
            Some(colon) => (
                &without_digest[..slash + colon],
                &without_digest[slash + colon + 1..],
            ),
            None => (without_digest, ""),
        };
        Image {
            repository,
            name: &repository[slash.min(repository.len())..],
            tag,
        }
    }

    /// The numbers of a version tag such as `v0.18.0` or `0.9.1.post1`; `None` for other tags.
    pub fn version(&self) -> Option<Vec<u32>> {
        let digits = self.tag.strip_prefix('v').unwrap_or(self.tag);
        let numbers: Vec<u32> = digits
            .split(['.', '-', '+'])
            .map_while(|part| part.parse().ok())
            .collect();
        (numbers.len() >= 2).then_some(numbers)
    }
}

/// What is wrong with a reference that no registry can hold, or `None`.
///
/// The grammar is distribution/reference's (`reference/regexp.go`): path components are lower case
/// letters, digits and separators; the first component may be a host, which has a dot, a colon or
/// is `localhost`. A text that is a placeholder (`${IMAGE}`, `IMAGE_PLACEHOLDER`) is not judged.
pub fn flaw(reference: &str) -> Option<String> {
    if reference.is_empty() || is_placeholder(reference) {
        return None;
    }
    let image = Image::parse(reference);
    let mut components: Vec<&str> = image.repository.split('/').collect();
    let first = components[0];
    if components.len() > 1 && (first.contains(['.', ':']) || first == "localhost") {
        components.remove(0);
    }
    for component in components {
        if component.chars().any(|c| c.is_ascii_uppercase()) {
            return Some(format!("`{component}` has upper-case letters"));
        }
        if component.is_empty() {
            return Some("it has an empty path component".to_owned());
        }
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if let Some(odd) = component.chars().find(|c| !allowed(*c)) {
            return Some(format!("`{component}` has the character `{odd}`"));
        }
        let edge = |c: char| c.is_ascii_alphanumeric();
        if !component.starts_with(edge) || !component.ends_with(edge) {
            return Some(format!("`{component}` begins or ends with a separator"));
        }
    }
    let tag_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if image.tag.chars().any(|c| !tag_char(c)) || image.tag.len() > 128 {
        return Some(format!("`{}` is no tag", image.tag));
    }
    None
}

/// Whether a text stands for an image that something else will fill in.
pub fn is_placeholder(reference: &str) -> bool {
    reference.contains(['$', '{', '}', '<', '>'])
        || reference
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        || reference.starts_with("replaced-by-")
}

/// Whether `text` matches `glob`: `*` is any text, `[0-9]` one digit, the rest itself.
pub fn glob(glob: &str, text: &str) -> bool {
    if let Some(rest) = glob.strip_prefix('*') {
        return text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| self::glob(rest, &text[at..]));
    }
    if let Some(rest) = glob.strip_prefix("[0-9]") {
        return text.starts_with(|c: char| c.is_ascii_digit()) && self::glob(rest, &text[1..]);
    }
    match (glob.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(wanted), Some(seen)) if wanted == seen => {
            self::glob(&glob[wanted.len_utf8()..], &text[seen.len_utf8()..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_ports_and_digests() {
        let image = Image::parse("registry:5000/a/vllm-openai:v0.9.1@sha256:00");
        assert_eq!(
            image,
            Image {
                repository: "registry:5000/a/vllm-openai",
                name: "vllm-openai",
                tag: "v0.9.1"
            }
        );
        assert_eq!(image.version(), Some(vec![0, 9, 1]));
        assert_eq!(Image::parse("localhost:5000").tag, "5000");
        assert_eq!(Image::parse("a/b").version(), None);
    }

    #[test]
    fn flaws_are_what_a_registry_refuses() {
        assert_eq!(flaw("ghcr.io/ggml-org/llama.cpp:server"), None);
        assert_eq!(flaw("localhost:5000/x:1@sha256:00"), None);
        assert_eq!(
            flaw("ghcr.io/gventroulingenAI/llama.cpp:latest").as_deref(),
            Some("`gventroulingenAI` has upper-case letters")
        );
        assert_eq!(
            flaw("a//b").as_deref(),
            Some("it has an empty path component")
        );
        assert_eq!(
            flaw("a/b c").as_deref(),
            Some("`b c` has the character ` `")
        );
        assert_eq!(
            flaw("a/-b").as_deref(),
            Some("`-b` begins or ends with a separator")
        );
        assert_eq!(flaw("a:b/c:x y").as_deref(), Some("`x y` is no tag"));
    }

    #[test]
    fn placeholders_are_not_judged() {
        for text in [
            "${VLLM_IMAGE}",
            "IMAGE_PLACEHOLDER",
            "{{ .Values.image }}",
            "<image>",
        ] {
            assert_eq!(flaw(text), None, "{text}");
        }
    }

    #[test]
    fn globs_match_tags() {
        assert!(glob("*-cuda-b[0-9]*", "server-cuda-b9660"));
        assert!(!glob("*-cuda", "server-cuda13"));
        assert!(glob("*-cuda1[0-9]", "server-cuda13"));
        assert!(!glob("light-*", "light"));
    }
}
