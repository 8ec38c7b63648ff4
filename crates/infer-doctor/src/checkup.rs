//! What a checkup says, as data.

use crate::facts::{Facts, Gap};
use serde::Serialize;

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// To know, not to act on.
    Note,
    /// It could not be found out.
    Unknown,
    /// It will hurt.
    Warning,
    /// It hurts.
    Error,
}

impl Status {
    /// The word that stands beside the sign.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Unknown => "unknown",
            Status::Warning => "warning",
            Status::Error => "error",
        }
    }
}

/// How a claim is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// It stands in a spec.
    Declared,
    /// A controller wrote it into a status.
    Reported,
    /// Seen in what runs.
    Observed,
    /// Somebody answered a request of ours.
    Answered,
    /// A default that nothing contradicts.
    Assumed,
}

impl Evidence {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Evidence::Declared => "declared",
            Evidence::Reported => "reported",
            Evidence::Observed => "observed",
            Evidence::Answered => "answered",
            Evidence::Assumed => "assumed",
        }
    }
}

/// A command to run next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// The command line.
    pub command: String,
    /// What it is good for; may be empty.
    pub why: String,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Name of the check; several objects may each have one of this name.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// The object in question as kubectl takes it; empty for the cluster.
    pub subject: String,
    /// What is so, on one line.
    pub message: String,
    /// How that is known; none where it is not.
    pub evidence: Option<Evidence>,
    /// Why, what it means, what to do.
    pub details: Vec<String>,
    /// What to run next.
    pub next: Option<Next>,
}

impl Check {
    /// A check of the whole cluster.
    pub(crate) fn new(id: &'static str, status: Status, message: impl Into<String>) -> Check {
        Check {
            id,
            status,
            subject: String::new(),
            message: message.into(),
            evidence: None,
            details: Vec::new(),
            next: None,
        }
    }

    /// What could not be found out.
    pub(crate) fn unknown(id: &'static str, message: impl Into<String>, gap: &Gap) -> Check {
        let check = Check::new(id, Status::Unknown, message);
        let check = check.detail(format!("{}: {}", gap.asked, gap.reason));
        gap.help.iter().fold(check, Check::detail)
    }

    pub(crate) fn subject(self, subject: impl Into<String>) -> Check {
        Check {
            subject: subject.into(),
            ..self
        }
    }

    pub(crate) fn evidence(self, evidence: Evidence) -> Check {
        Check {
            evidence: Some(evidence),
            ..self
        }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Check {
        self.details.push(detail.into());
        self
    }

    pub(crate) fn next(self, command: impl Into<String>, why: impl Into<String>) -> Check {
        Check {
            next: Some(Next {
                command: command.into(),
                why: why.into(),
            }),
            ..self
        }
    }
}

/// Checks of one matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Category {
    /// Name of the category.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its checks.
    pub checks: Vec<Check>,
}

/// A whole checkup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkup {
    /// The kubeconfig's context.
    pub context: Option<String>,
    /// The API server's version.
    pub server_version: Option<String>,
    /// The version of this program.
    pub client_version: String,
    /// The namespaces whose workloads are meant; empty for all of them.
    pub namespaces: Vec<String>,
    /// What was looked at.
    pub categories: Vec<Category>,
    /// What could not be asked.
    pub gaps: Vec<Gap>,
}

impl Checkup {
    pub(crate) fn new(facts: &Facts, categories: Vec<Category>) -> Checkup {
        Checkup {
            context: facts.context.clone(),
            server_version: facts.server_version.clone().ok(),
            client_version: facts.client_version.clone(),
            namespaces: facts.namespaces.clone(),
            categories,
            gaps: facts.gaps(),
        }
    }

    /// Every check, in order.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.categories.iter().flat_map(|category| &category.checks)
    }

    /// How many ended so.
    pub fn count(&self, status: Status) -> usize {
        self.checks().filter(|check| check.status == status).count()
    }

    /// How the worst of them ended.
    pub fn worst(&self) -> Status {
        let worst = self.checks().map(|check| check.status).max();
        worst.unwrap_or(Status::Ok)
    }

    /// What to run next: of the first of the worst checks that know, the worst first, each once.
    pub fn next(&self, most: usize) -> Vec<&Next> {
        let mut checks: Vec<&Check> = self.checks().collect();
        checks.sort_by_key(|check| std::cmp::Reverse(check.status));
        let mut next: Vec<&Next> = Vec::new();
        for found in checks
            .into_iter()
            .filter(|check| check.status > Status::Note)
            .filter_map(|check| check.next.as_ref())
        {
            if next.len() < most && next.iter().all(|known| known.command != found.command) {
                next.push(found);
            }
        }
        next
    }
}
