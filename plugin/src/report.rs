//! What a check found, each finding with its place in a file.

use crate::manifests::{Locator, Manifests, Place};
use infer_core::Engine;
use infer_core::check::Checked;
use infer_core::object::ObjectRef;
use infer_core::review;
use infer_core::rule::{Change, Finding, Level};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The findings in the order of files and lines, and what could not be looked at.
#[derive(Debug)]
pub(crate) struct Report<'m> {
    /// Findings.
    pub(crate) findings: Vec<Entry<'m>>,
    /// Objects that no rule reads, and rules that could not speak about an object.
    pub(crate) skipped: Vec<Skip<'m>>,
    /// How many objects were looked at.
    pub(crate) objects: usize,
    /// In how many files.
    pub(crate) files: usize,
    /// How many of the objects have to do with inference.
    pub(crate) subjects: usize,
}

/// A finding in its place.
#[derive(Debug)]
pub(crate) struct Entry<'m> {
    /// What was found.
    pub(crate) finding: Finding,
    /// In which object.
    pub(crate) object: ObjectRef,
    /// Where.
    pub(crate) place: Place<'m>,
    /// Other places that explain it, with what is there to see.
    pub(crate) marks: Vec<(Place<'m>, String)>,
    /// What admission would change about it, under this policy.
    pub(crate) fix: Vec<Change>,
}

/// Something that was not looked at.
#[derive(Debug)]
pub(crate) struct Skip<'m> {
    /// The object.
    pub(crate) object: ObjectRef,
    /// Where it stands.
    pub(crate) place: Place<'m>,
    /// The rules that said nothing; empty where the object was not read at all.
    pub(crate) rules: Vec<&'static str>,
    /// Why.
    pub(crate) reason: String,
}

impl<'m> Report<'m> {
    /// Puts what was found in its places.
    pub(crate) fn new(manifests: &'m Manifests, engine: &Engine, checked: Checked) -> Report<'m> {
        let locator = Locator::new(manifests);
        let identities: Vec<ObjectRef> = manifests
            .objects
            .iter()
            .map(|object| ObjectRef::of(object))
            .collect();
        // Of two objects of one name the later counts, as it does when both are applied.
        let by_identity: HashMap<&ObjectRef, usize> = identities
            .iter()
            .enumerate()
            .map(|(index, identity)| (identity, index))
            .collect();
        let mut fixes = fixes(manifests, engine, &checked);
        let mut findings: Vec<Entry<'m>> = Vec::with_capacity(checked.findings.len());
        for (number, found) in checked.findings.into_iter().enumerate() {
            let Some(place) = locator.place(found.object, &found.finding.path) else {
                continue;
            };
            let mark = |mark: &infer_core::rule::Mark| {
                let object = match &mark.object {
                    None => found.object,
                    Some(other) => *by_identity.get(other)?,
                };
                Some((locator.place(object, &mark.path)?, mark.text.clone()))
            };
            findings.push(Entry {
                object: identities[found.object].clone(),
                place,
                marks: found.finding.marks.iter().filter_map(mark).collect(),
                fix: fixes.remove(&number).unwrap_or_default(),
                finding: found.finding,
            });
        }
        findings.sort_by_key(|entry| {
            (
                entry.place.index,
                entry.place.span.start,
                Reverse(entry.finding.rule.level),
                entry.finding.rule.id,
            )
        });
        let unread: HashSet<usize> = checked
            .skipped
            .iter()
            .filter(|unseen| unseen.rules.is_empty())
            .map(|unseen| unseen.object)
            .collect();
        let files: HashSet<usize> = (0..manifests.objects.len())
            .filter(|object| !unread.contains(object))
            .filter_map(|object| manifests.source_of(object))
            .collect();
        let skipped = checked
            .skipped
            .into_iter()
            .filter_map(|unseen| {
                Some(Skip {
                    object: identities[unseen.object].clone(),
                    place: locator.place(unseen.object, "")?,
                    rules: unseen.rules,
                    reason: unseen.reason,
                })
            })
            .collect();
        Report {
            findings,
            skipped,
            objects: manifests.objects.len() - unread.len(),
            files: files.len(),
            subjects: checked.subjects,
        }
    }

    /// How many findings are of this level.
    pub(crate) fn count(&self, level: Level) -> usize {
        let of_level = |entry: &&Entry<'_>| entry.finding.rule.level == level;
        self.findings.iter().filter(of_level).count()
    }

    /// How many of the findings admission takes care of.
    pub(crate) fn fixed(&self) -> usize {
        let fixed = |entry: &&Entry<'_>| !entry.fix.is_empty();
        self.findings.iter().filter(fixed).count()
    }

    /// The first of the worst findings.
    pub(crate) fn worst(&self) -> Option<&Entry<'m>> {
        // Of equals `min_by_key` gives the first.
        self.findings
            .iter()
            .min_by_key(|entry| Reverse(entry.finding.rule.level))
    }
}

/// What admission would change about each finding, by the finding's number. A fix that the policy
/// or the object forbids is no fix.
fn fixes(manifests: &Manifests, engine: &Engine, checked: &Checked) -> HashMap<usize, Vec<Change>> {
    let mut by_object: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, found) in checked.findings.iter().enumerate() {
        if !found.finding.fix.is_empty() {
            by_object.entry(found.object).or_default().push(number);
        }
    }
    let mut fixes = HashMap::new();
    for (object, numbers) in by_object {
        let findings: Vec<Finding> = numbers
            .iter()
            .map(|number| checked.findings[*number].finding.clone())
            .collect();
        let changes = review::changes(engine, &manifests.objects[object], &findings, &[]);
        for (number, finding) in numbers.into_iter().zip(&findings) {
            let concerns = |change: &&Change| finding.fix.iter().any(|own| own.path == change.path);
            let own: Vec<Change> = changes
                .iter()
                .map(|fixing| &fixing.change)
                .filter(concerns)
                .cloned()
                .collect();
            fixes.insert(number, own);
        }
    }
    fixes
}
