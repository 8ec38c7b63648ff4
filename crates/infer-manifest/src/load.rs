//! The only file access of this crate: files, directories and stdin, by kubectl's rules for `-f`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::parse::{LARGEST, ParseError, parse};
use crate::{Document, Source};

/// What the paths hold. Whatever could be read is there, beside the errors.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What was read, in order; also texts that hold no document.
    pub sources: Vec<Source>,
    /// The objects, in order of sources and texts.
    pub documents: Vec<Document>,
    /// What could not be read, in the same order.
    pub errors: Vec<LoadError>,
}

/// A file, or a document in it, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", place(*line, *column))]
pub struct LoadError {
    /// As shown: a path, or `<stdin>`.
    pub file: String,
    /// 1-based; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// 1-based, in characters.
    pub column: Option<usize>,
    /// What is wrong, without the place.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

fn place(line: Option<usize>, column: Option<usize>) -> String {
    [line, column]
        .iter()
        .flatten()
        .map(|number| format!(":{number}"))
        .collect()
}

/// Reads files, directories and, for `-`, the reader that is passed in.
///
/// A file is read whatever its name. A directory gives its `*.yaml`, `*.yml` and `*.json` files
/// sorted by name, not those of directories below it. That nothing was found is for the caller to
/// judge: it is no error here.
pub fn load(paths: &[String], stdin: &mut dyn Read) -> Loaded {
    let mut loaded = Loaded::default();
    let mut stdin = Some(stdin);
    for path in paths {
        if path == "-" {
            match stdin.take() {
                Some(reader) => loaded.read("<stdin>", reader),
                None => loaded.fail("<stdin>", "`-` is given twice", None),
            }
        } else if path.starts_with("http://") || path.starts_with("https://") {
            let help = format!("`curl -fsSL {path} | kubectl infer check -f -`");
            loaded.fail(path, "addresses are not fetched", Some(help));
        } else {
            loaded.path(Path::new(path));
        }
    }
    loaded
}

impl Loaded {
    fn path(&mut self, path: &Path) {
        let files = match fs::metadata(path) {
            Ok(found) if found.is_dir() => manifests(path),
            Ok(_) => Ok(vec![path.to_owned()]),
            Err(error) => Err(error),
        };
        match files {
            Ok(files) => files.iter().for_each(|file| self.file(file)),
            Err(error) => self.unreadable(&path.display().to_string(), &error),
        }
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(mut file) => self.read(&name, &mut file),
            Err(error) => self.unreadable(&name, &error),
        }
    }

    fn read(&mut self, name: &str, reader: &mut dyn Read) {
        let mut bytes = Vec::new();
        // One more than allowed, so that `parse` sees that there is more.
        let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
        if let Err(error) = reader.take(limit).read_to_end(&mut bytes) {
            self.unreadable(name, &error);
            return;
        }
        let text = match decode(bytes) {
            Ok(text) => text,
            Err((line, column)) => {
                self.errors.push(LoadError {
                    file: name.to_owned(),
                    line: Some(line),
                    column: Some(column),
                    message: "not UTF-8 text".to_owned(),
                    help: Some("save it as UTF-8".to_owned()),
                });
                return;
            }
        };
        let parsed = parse(&text);
        let source = self.sources.len();
        self.documents.extend(
            parsed
                .documents
                .into_iter()
                .map(|document| Document { source, ..document }),
        );
        self.errors
            .extend(parsed.errors.into_iter().map(|error| located(name, error)));
        self.sources.push(Source {
            name: name.to_owned(),
            text,
        });
    }

    fn unreadable(&mut self, name: &str, error: &io::Error) {
        let help = match error.kind() {
            io::ErrorKind::NotFound => Some("check the path; `-f -` reads stdin"),
            io::ErrorKind::PermissionDenied => Some("you may not read it: check its permissions"),
            io::ErrorKind::IsADirectory => Some("pass the directory itself with `-f`"),
            _ => None,
        };
        let message = format!("cannot be read: {error}");
        self.fail(name, &message, help.map(str::to_owned));
    }

    fn fail(&mut self, name: &str, message: &str, help: Option<String>) {
        self.errors.push(LoadError {
            file: name.to_owned(),
            line: None,
            column: None,
            message: message.to_owned(),
            help,
        });
    }
}

fn located(name: &str, error: ParseError) -> LoadError {
    LoadError {
        file: name.to_owned(),
        line: Some(error.line),
        column: Some(error.column),
        message: error.message,
        help: error.help,
    }
}

/// The manifests of a directory, sorted by name.
fn manifests(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        // A symbolic link counts as what it points to; a dangling one is told by opening it.
        if matches!(extension, Some("yaml" | "yml" | "json")) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Text of the bytes, without a byte order mark. The error is the line and column of the first
/// byte that is no UTF-8.
fn decode(bytes: Vec<u8>) -> Result<String, (usize, usize)> {
    // Windows tools write UTF-16 with a byte order mark, and kubectl reads it.
    let wide: Option<fn([u8; 2]) -> u16> = match bytes.as_slice() {
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
        _ => None,
    };
    if let Some(unit) = wide {
        let units: Vec<u16> = bytes[2..]
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]))
            .collect();
        return String::from_utf16(&units).map_err(|_| (1, 1));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let before = std::str::from_utf8(before).unwrap_or_default();
        crate::position(before, valid)
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}
