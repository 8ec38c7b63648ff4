//! What keeps a command from looking: a file, a document or a policy that cannot be read, a cluster
//! that does not answer.

use infer_cluster::address::NoEntrance;
use infer_cluster::{ClientError, RequestError};
use infer_manifest::Source;
use std::ops::Range;
use std::sync::Arc;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The file as shown; none where no file is to blame.
    pub(crate) file: Option<String>,
    /// 1-based line and column; none where the file as a whole is meant.
    pub(crate) position: Option<(usize, usize)>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it; each line is a way out of its own.
    pub(crate) help: Option<String>,
    /// The text to show.
    pub(crate) excerpt: Option<(Arc<Source>, Range<usize>)>,
}

impl Problem {
    /// A problem that no file is to blame for.
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem {
            file: None,
            position: None,
            message: message.into(),
            help: None,
            excerpt: None,
        }
    }

    /// With a way out.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// In a file, which is to blame as a whole.
    pub(crate) fn file(mut self, file: impl Into<String>) -> Problem {
        self.file = Some(file.into());
        self
    }

    /// At a place of a source.
    pub(crate) fn at(mut self, source: &Arc<Source>, span: Range<usize>) -> Problem {
        self.position = Some(infer_manifest::position(&source.text, span.start));
        self.file = Some(source.name.clone());
        self.excerpt = Some((Arc::clone(source), span));
        self
    }
}

impl Problem {
    /// With several ways out.
    pub(crate) fn ways_out(self, help: &[String]) -> Problem {
        Problem {
            help: (!help.is_empty()).then(|| help.join("\n")),
            ..self
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Problem {
        Problem::new(error.message()).ways_out(&error.help())
    }
}

impl From<NoEntrance> for Problem {
    fn from(error: NoEntrance) -> Problem {
        Problem::new(error.message()).ways_out(&error.help())
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Problem {
        // Its text carries the ways out as it prints them.
        let text = error.to_string();
        let mut parts = text.split("\n  = help: ");
        let message = parts.next().unwrap_or_default().to_owned();
        let help: Vec<String> = parts
            .map(|part| part.replace("\n          ", " "))
            .collect();
        Problem::new(message).ways_out(&help)
    }
}
