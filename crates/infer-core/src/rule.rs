//! The shape of a rule, of what it finds, and of what it would change.

use crate::kind::{Kind, KindSet};
use crate::lens::{Route, ServiceView, Workload};
use crate::object::ObjectRef;
use crate::route::{DestinationRule, HttpRoute, VirtualService};
use crate::world::World;
use serde_json::Value;

/// How bad a flaw is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Clients will notice.
    Warning,
    /// It cannot work.
    Error,
}

impl Level {
    /// As reports spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// When review runs a rule. Phases run in this order, each on what the one before left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Probes.
    Probes,
    /// Accelerators.
    Gpu,
    /// The drain plan.
    Drain,
    /// The route to the workload.
    Route,
    /// What changes nothing.
    Findings,
}

/// A rule: a value, never a type.
#[derive(Debug)]
pub struct Rule {
    /// Kebab-case name of the flaw. Fixed for ever.
    pub id: &'static str,
    /// The flaw in one line, without a final stop.
    pub summary: &'static str,
    /// The rule's page. Its `bad` and `good` blocks are its tests.
    pub page: &'static str,
    /// How bad.
    pub level: Level,
    /// When it runs.
    pub phase: Phase,
    /// The kinds that it reads beside its subject.
    pub reads: &'static [Kind],
    /// Those of `reads` without which it has nothing to say.
    pub needs: &'static [Kind],
    /// What it looks at, and how: one entry for each kind of subject.
    pub checks: &'static [Check],
}

impl Rule {
    /// `reads` as a set.
    pub fn reads(&self) -> KindSet {
        KindSet::of(self.reads)
    }
}

/// The subject of a rule, with the function that looks at it.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Inference workloads.
    Workload(fn(&World<'_>, &Workload<'_>, &mut Findings)),
    /// Ingresses that lead to inference workloads.
    Route(fn(&World<'_>, &Route<'_>, &mut Findings)),
    /// Those of them of which the controller is known, for what it does with them.
    Controller(fn(&World<'_>, &Route<'_>, &mut Findings)),
    /// Both of these, as the objects that they are.
    Object(fn(&World<'_>, &Value, &mut Findings)),
    /// Services that are meant for inference workloads.
    Service(fn(&World<'_>, &ServiceView<'_>, &mut Findings)),
    /// HTTPRoutes that lead to inference workloads.
    HttpRoute(fn(&World<'_>, &HttpRoute<'_>, &mut Findings)),
    /// Those of them of which a controller is known, for what it does with them.
    HttpRouteController(fn(&World<'_>, &HttpRoute<'_>, &mut Findings)),
    /// VirtualServices that lead to inference workloads, or are meant to.
    VirtualService(fn(&World<'_>, &VirtualService<'_>, &mut Findings)),
    /// DestinationRules for them.
    DestinationRule(fn(&World<'_>, &DestinationRule<'_>, &mut Findings)),
    /// Namespaces.
    Namespace(fn(&World<'_>, &Value, &mut Findings)),
}

/// Where rules put what they find.
#[derive(Debug, Default)]
pub struct Findings {
    /// In the order in which they were found.
    pub list: Vec<Finding>,
    rule: Option<&'static Rule>,
}

impl Findings {
    /// An empty list.
    pub fn new() -> Findings {
        Findings::default()
    }

    /// Says which rule speaks from now on.
    pub fn speaks(&mut self, rule: &'static Rule) {
        self.rule = Some(rule);
    }

    /// Adds a finding at `path` and returns it, to be completed.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) -> &mut Finding {
        let finding = Finding {
            rule: self.rule.expect("the engine says which rule speaks"),
            message: message.into(),
            path: path.into(),
            marks: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
            fix: Vec::new(),
        };
        self.list.push(finding);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}

/// One flaw of one object.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that found it.
    pub rule: &'static Rule,
    /// What is wrong: seen and wanted value, one line, no final stop.
    pub message: String,
    /// Where in the subject, as a JSON pointer. What is missing is pointed at by its parent.
    pub path: String,
    /// Other places that explain it.
    pub marks: Vec<Mark>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// How to fix it.
    pub help: Vec<String>,
    /// What admission would change; empty where it changes nothing.
    pub fix: Vec<Change>,
}

impl Finding {
    /// Adds a note.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Finding {
        self.notes.push(text.into());
        self
    }

    /// Adds a remedy.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Finding {
        self.help.push(text.into());
        self
    }

    /// Marks a place, in the subject or in another object.
    pub fn mark(
        &mut self,
        object: Option<ObjectRef>,
        path: impl Into<String>,
        text: impl Into<String>,
    ) -> &mut Finding {
        self.marks.push(Mark {
            object,
            path: path.into(),
            text: text.into(),
        });
        self
    }

    /// Adds a change to the fix.
    pub fn change(&mut self, change: Change) -> &mut Finding {
        self.fix.push(change);
        self
    }
}

/// A place that explains a finding.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The object, if it is not the subject.
    pub object: Option<ObjectRef>,
    /// Where in it.
    pub path: String,
    /// What is there to see.
    pub text: String,
}

/// One value that a fix sets where a person wrote none.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where, as a JSON pointer into the subject.
    pub path: String,
    /// The container in the path.
    pub container: Option<String>,
    /// The value, complete with the API's defaults, so that it is stored as it stands here.
    pub value: Value,
    /// The API default that it takes the place of.
    pub was: Option<Value>,
    /// Why this value, one line.
    pub reason: String,
}
