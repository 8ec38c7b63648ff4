//! What a container is started with: its words, with environment and shell strings resolved as far
//! as they can be.

use serde_json::Value;

/// A word of the command line; `None` where it cannot be known.
pub type Word = Option<String>;

/// What a container is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `command` and `args` in one, or the words of the last command of a shell string.
    pub words: Vec<Word>,
    /// Whether `command` is set, so that the image's entrypoint does not run.
    pub replaces_entrypoint: bool,
}

impl CommandLine {
    /// Reads a container. Other types than strings are words that cannot be known.
    pub fn of(container: &Value) -> CommandLine {
        let env = Environment::of(container);
        let list = |member: &str| -> Vec<Word> {
            let items = container.get(member).and_then(Value::as_array);
            items
                .into_iter()
                .flatten()
                .map(|word| env.expand(word.as_str()?))
                .collect()
        };
        let command = list("command");
        let args = list("args");
        let replaces_entrypoint = !command.is_empty();
        let words: Vec<Word> = command.into_iter().chain(args).collect();
        let words = match shell_script(&words) {
            Some(script) => last_command(&script, &env),
            None => words,
        };
        CommandLine {
            words,
            replaces_entrypoint,
        }
    }

    /// The words after the first place where `marker` stands, a program being compared by the last
    /// segment of its path.
    pub fn after(&self, marker: &str) -> Option<&[Word]> {
        let wanted: Vec<&str> = marker.split(' ').collect();
        let matches = |window: &[Word]| {
            window.iter().zip(&wanted).all(|(word, wanted)| {
                word.as_deref()
                    .is_some_and(|word| word == *wanted || word.rsplit('/').next() == Some(*wanted))
            })
        };
        let at = self.words.windows(wanted.len()).position(matches)?;
        Some(&self.words[at + wanted.len()..])
    }
}

/// The flags of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    words: Vec<Word>,
}

/// The value of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag<'a> {
    /// Not set.
    Absent,
    /// Set, to this; a flag that stands alone has the empty value.
    Set(&'a str),
    /// Set, or perhaps set, to something that cannot be known.
    Unknown,
}

impl Flags {
    /// The flags among these words.
    pub fn new(words: &[Word]) -> Flags {
        Flags {
            words: words.to_vec(),
        }
    }

    /// The last value given to any spelling of a flag: `--a-b v`, `--a-b=v` and `--a_b v` are the
    /// same.
    pub fn get(&self, spellings: &[String]) -> Flag<'_> {
        let mut found = Flag::Absent;
        let mut words = self.words.iter().enumerate();
        while let Some((index, word)) = words.next() {
            let Some(word) = word else {
                continue;
            };
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            if !spellings.iter().any(|spelling| same_flag(spelling, name)) {
                continue;
            }
            found = match (value, self.words.get(index + 1)) {
                (Some(value), _) => Flag::Set(value),
                (None, None) => Flag::Set(""),
                (None, Some(None)) => Flag::Unknown,
                (None, Some(Some(next))) if is_flag(next) => Flag::Set(""),
                (None, Some(Some(next))) => {
                    words.next();
                    Flag::Set(next)
                }
            };
        }
        // A word that cannot be known may be any flag.
        let hidden = self.words.iter().enumerate().any(|(index, word)| {
            let follows_flag = index > 0
                && self.words[index - 1]
                    .as_deref()
                    .is_some_and(|before| is_flag(before) && !before.contains('='));
            word.is_none() && !follows_flag
        });
        if hidden && found == Flag::Absent {
            Flag::Unknown
        } else {
            found
        }
    }

    /// Whether any spelling is set; `None` where that cannot be known.
    pub fn has(&self, spellings: &[String]) -> Option<bool> {
        match self.get(spellings) {
            Flag::Absent => Some(false),
            Flag::Set(_) => Some(true),
            Flag::Unknown => None,
        }
    }

    /// The first word, if it is no flag.
    pub fn positional(&self) -> Option<&Word> {
        self.words
            .first()
            .filter(|word| word.as_deref().is_none_or(|word| !is_flag(word)))
    }

    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Whether a word is a flag: a dash and then something that is no number.
fn is_flag(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn same_flag(spelling: &str, word: &str) -> bool {
    spelling.len() == word.len()
        && spelling
            .bytes()
            .zip(word.bytes())
            .all(|(left, right)| left == right || (left == b'-' && right == b'_'))
        && word.starts_with('-')
}

/// The literal environment of a container.
#[derive(Debug)]
pub struct Environment<'a> {
    container: &'a Value,
}

/// The value of an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable<'a> {
    /// Set nowhere that can be seen.
    Absent,
    /// A literal.
    Literal(&'a str),
    /// From a ConfigMap, a Secret or another place.
    Elsewhere,
}

impl<'a> Environment<'a> {
    /// Reads a container's `env`; `envFrom` is a place that is not seen.
    pub fn of(container: &'a Value) -> Environment<'a> {
        Environment { container }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Variable<'a> {
        let list = self.container.get("env").and_then(Value::as_array);
        let named = |item: &&Value| item.get("name").and_then(Value::as_str) == Some(name);
        let Some(item) = list.into_iter().flatten().rev().find(named) else {
            let from = self.container.get("envFrom").and_then(Value::as_array);
            return if from.is_some_and(|list| !list.is_empty()) {
                Variable::Elsewhere
            } else {
                Variable::Absent
            };
        };
        match item.get("value").and_then(Value::as_str) {
            Some(value) if !value.contains("$(") => Variable::Literal(value),
            Some(_) => Variable::Elsewhere,
            None if item.get("valueFrom").is_some() => Variable::Elsewhere,
            None => Variable::Literal(""),
        }
    }

    /// Expands `$(NAME)` as Kubernetes does (kubernetes/kubernetes
    /// third_party/forked/golang/expansion/expand.go): `$$` is a dollar, an undefined name stays as
    /// it is. `None` where a value cannot be known.
    fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = rest
                .strip_prefix('(')
                .and_then(|inner| inner.split_once(')'))
            {
                match self.get(name) {
                    Variable::Literal(value) => out.push_str(value),
                    Variable::Elsewhere => return None,
                    Variable::Absent => {
                        out.push_str("$(");
                        out.push_str(name);
                        out.push(')');
                    }
                }
                rest = after;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        Some(out)
    }
}

/// The script of `sh -c SCRIPT`, with any flags before `-c` (`-lc`, `-exc`).
fn shell_script(words: &[Word]) -> Option<String> {
    let program = words.first()?.as_deref()?;
    if !matches!(
        program.rsplit('/').next()?,
        "sh" | "bash" | "ash" | "dash" | "zsh"
    ) {
        return None;
    }
    let at = words.iter().position(|word| {
        word.as_deref()
            .is_some_and(|word| word.starts_with('-') && word.ends_with('c'))
    })?;
    words.get(at + 1)?.clone()
}

/// The words of the last command of a script that is not a mere shell built-in, with `exec` and
/// leading assignments taken off. Here-documents are dropped.
fn last_command(script: &str, env: &Environment<'_>) -> Vec<Word> {
    let mut commands: Vec<Vec<Word>> = vec![Vec::new()];
    for token in tokens(script) {
        match token {
            Token::End => commands.push(Vec::new()),
            Token::Word(text) => {
                if let Some(command) = commands.last_mut() {
                    command.push(text.and_then(|text| shell_expand(&text, env)));
                }
            }
        }
    }
    let mut best = Vec::new();
    for mut command in commands {
        let is_prefix = |word: &Word| {
            word.as_deref().is_some_and(|word| {
                word == "exec"
                    || word.split_once('=').is_some_and(|(name, _)| {
                        !name.is_empty()
                            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    })
            })
        };
        while command.first().is_some_and(is_prefix) {
            command.remove(0);
        }
        let built_in = matches!(
            command.first().map(Option::as_deref),
            None | Some(Some(
                "cd" | "set" | "export" | "echo" | "source" | "." | "wait" | "trap"
            ))
        );
        if !built_in {
            best = command;
        }
    }
    best
}

/// Expands `$NAME` and `${NAME}` from the literal environment; `None` where a value is not there.
fn shell_expand(text: &str, env: &Environment<'_>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, after) = if let Some(inner) = rest.strip_prefix('{') {
            inner.split_once('}')?
        } else {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            rest.split_at(end)
        };
        match env.get(name) {
            Variable::Literal(value) => out.push_str(value),
            Variable::Absent | Variable::Elsewhere => return None,
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

enum Token {
    /// A word; `None` where a substitution hides it.
    Word(Option<String>),
    /// The end of a command.
    End,
}

/// Splits a script into words and ends of commands. Quotes are taken off; a single-quoted `$` is
/// kept from expansion; command substitution makes its word unknown.
fn tokens(script: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut hidden = false;
    let mut chars = script.chars().peekable();
    let mut heredoc: Option<String> = None;
    let flush = |word: &mut Option<String>, hidden: &mut bool, out: &mut Vec<Token>| {
        if let Some(text) = word.take() {
            out.push(Token::Word((!*hidden).then_some(text)));
        }
        *hidden = false;
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            '\'' => {
                let text = word.get_or_insert_default();
                for c in chars.by_ref().take_while(|c| *c != '\'') {
                    hidden |= c == '$';
                    text.push(c);
                }
            }
            '"' => {
                let text = word.get_or_insert_default();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => text.extend(chars.next()),
                        '`' => hidden = true,
                        '$' if chars.peek() == Some(&'(') => hidden = true,
                        c => text.push(c),
                    }
                }
            }
            '`' => {
                word.get_or_insert_default();
                hidden = true;
            }
            '$' if chars.peek() == Some(&'(') => {
                word.get_or_insert_default();
                hidden = true;
            }
            '#' if word.is_none() => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
            }
            '<' if chars.peek() == Some(&'<') => {
                chars.next();
                let mark: String =
                    std::iter::from_fn(|| chars.next_if(|c| !c.is_whitespace())).collect();
                heredoc = Some(mark.trim_matches(['-', '\'', '"']).to_owned());
            }
            '\n' => {
                flush(&mut word, &mut hidden, &mut out);
                out.push(Token::End);
                if let Some(mark) = heredoc.take() {
                    loop {
                        let line: String =
                            std::iter::from_fn(|| chars.next_if(|c| *c != '\n')).collect();
                        if chars.next().is_none() || line.trim() == mark {
                            break;
                        }
                    }
                }
            }
            ';' | '&' | '|' => {
                flush(&mut word, &mut hidden, &mut out);
                out.push(Token::End);
            }
            c if c.is_whitespace() => flush(&mut word, &mut hidden, &mut out),
            c => word.get_or_insert_default().push(c),
        }
    }
    flush(&mut word, &mut hidden, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(container: &Value) -> Vec<String> {
        let line = CommandLine::of(container);
        line.words
            .into_iter()
            .map(|word| word.unwrap_or_else(|| "?".to_owned()))
            .collect()
    }

    fn flags(words: &[&str]) -> Flags {
        let words: Vec<Word> = words
            .iter()
            .map(|w| (*w != "?").then(|| (*w).to_owned()))
            .collect();
        Flags::new(&words)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn kubernetes_expands_its_own_references_only() {
        let container = json!({"command": ["vllm", "serve", "$(MODEL)", "--port=$(PORT)", "$$(X)", "$HOME", "$(NOPE)"],
            "env": [{"name": "MODEL", "value": "m"},
                    {"name": "PORT", "valueFrom": {"configMapKeyRef": {}}}]});
        assert_eq!(
            words(&container),
            ["vllm", "serve", "m", "?", "$(X)", "$HOME", "$(NOPE)"]
        );
    }

    #[test]
    fn a_shell_string_gives_its_last_command() {
        let container = json!({"command": ["/bin/bash", "-exc"], "args": [
            "apt-get install -y x && cat <<EOF > /f\nvllm serve not-this\nEOF\ncd /m; A=1 exec vllm serve 'a b' \\\n --port $PORT --x $(cat f) # the end"],
            "env": [{"name": "PORT", "value": "9000"}]});
        assert_eq!(
            words(&container)[..6],
            ["vllm", "serve", "a b", "--port", "9000", "--x"]
        );
    }

    #[test]
    fn flags_in_each_spelling() {
        let flags = flags(&[
            "m",
            "--tensor_parallel_size",
            "4",
            "--port=9",
            "-ngl",
            "-1",
            "--metrics",
        ]);
        assert_eq!(
            flags.get(&names(&["--tensor-parallel-size", "-tp"])),
            Flag::Set("4")
        );
        assert_eq!(flags.get(&names(&["--port"])), Flag::Set("9"));
        assert_eq!(flags.get(&names(&["-ngl"])), Flag::Set("-1"));
        assert_eq!(flags.get(&names(&["--metrics"])), Flag::Set(""));
        assert_eq!(flags.get(&names(&["--host"])), Flag::Absent);
        assert_eq!(flags.positional(), Some(&Some("m".to_owned())));
    }

    #[test]
    fn an_unknown_word_may_hide_any_flag_but_not_a_value() {
        assert_eq!(flags(&["?"]).get(&names(&["--port"])), Flag::Unknown);
        assert_eq!(
            flags(&["--model", "?"]).get(&names(&["--port"])),
            Flag::Absent
        );
        assert_eq!(
            flags(&["--port", "?"]).get(&names(&["--port"])),
            Flag::Unknown
        );
    }

    #[test]
    fn a_program_is_known_by_the_end_of_its_path() {
        let line = CommandLine::of(&json!({"command": ["/app/llama-server", "-m", "x"]}));
        assert_eq!(line.after("llama-server").map(<[Word]>::len), Some(2));
        assert_eq!(line.after("vllm serve"), None);
    }
}
