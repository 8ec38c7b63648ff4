//! Which form of each Ingress is rendered: the stored one, or the last that NGINX accepted.
//!
//! NGINX judges a whole file, so one bad value would hold everybody's changes up. In ingress-nginx
//! it does, but endpoints still move, through Lua. Here the old form of the one Ingress stays, and
//! everything else moves on.

use crate::error::Error;
use crate::name::Name;
use crate::render::{Objects, Rendered, Settings, by_age, render};
use k8s_openapi::api::networking::v1::Ingress;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What `nginx -t` says of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be loaded.
    Accepted,
    /// It cannot; NGINX's own words.
    Refused(String),
}

/// What became of the stored objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What NGINX accepts.
    pub rendered: Rendered,
    /// The Ingresses that are not served as they are stored, each with the reason.
    pub refused: BTreeMap<Name, String>,
}

/// The memory of what NGINX said of each Ingress.
#[derive(Debug, Default)]
pub struct Forms {
    accepted: BTreeMap<Name, Arc<Ingress>>,
    refused: BTreeMap<Name, (Arc<Ingress>, String)>,
    /// The text that holds the accepted forms: nothing to ask while it stays.
    settled: Option<Rendered>,
}

impl Forms {
    /// Finds what can be loaded. `judge` is asked once where nothing is wrong, and once for each
    /// changed Ingress and once more where something is.
    ///
    /// # Errors
    ///
    /// When NGINX cannot be asked, or refuses what it accepted before.
    pub async fn settle(
        &mut self,
        objects: &Objects,
        settings: &Settings,
        judge: &mut impl AsyncFnMut(&Rendered) -> Result<Verdict, Error>,
    ) -> Result<Settled, Error> {
        let stored: BTreeMap<Name, &Arc<Ingress>> = by_age(objects, &settings.ingress_class)
            .into_iter()
            .map(|ingress| (Name::of(ingress), ingress))
            .collect();
        self.accepted.retain(|name, _| stored.contains_key(name));
        self.refused
            .retain(|name, (form, _)| stored.get(name).is_some_and(|it| is_same(it, form)));

        let mut trial = self.trial(&stored, objects);
        let mut rendered = render(&trial, settings);
        if self.settled.as_ref() != Some(&rendered) && judge(&rendered).await? != Verdict::Accepted
        {
            self.single_out(objects, settings, judge).await?;
            trial = self.trial(&stored, objects);
            rendered = render(&trial, settings);
            if let Verdict::Refused(words) = judge(&rendered).await? {
                return Err(Error::Refused(words));
            }
        }
        self.accepted = trial
            .ingresses
            .into_iter()
            .map(|ingress| (Name::of(&ingress), ingress))
            .filter(|(name, _)| rendered.served.contains(name))
            .collect();
        self.settled = Some(rendered.clone());
        Ok(self.settled(rendered))
    }

    /// The stored objects, but the old form, or none, of what NGINX refused.
    fn trial(&self, stored: &BTreeMap<Name, &Arc<Ingress>>, objects: &Objects) -> Objects {
        let form = |(name, ingress): (&Name, &&Arc<Ingress>)| {
            if self.refused.contains_key(name) {
                self.accepted.get(name).cloned()
            } else {
                Some((*ingress).clone())
            }
        };
        Objects {
            ingresses: stored.iter().filter_map(form).collect(),
            ..objects.clone()
        }
    }

    /// Adds the changed Ingresses to the accepted ones, one after the other, and notes those that
    /// NGINX refuses. Its words name a line, but not always of the directive that is at fault.
    async fn single_out(
        &mut self,
        objects: &Objects,
        settings: &Settings,
        judge: &mut impl AsyncFnMut(&Rendered) -> Result<Verdict, Error>,
    ) -> Result<(), Error> {
        let changed: Vec<Arc<Ingress>> = by_age(objects, &settings.ingress_class)
            .into_iter()
            .filter(|it| {
                let name = Name::of(it);
                let old = self.accepted.get(&name);
                !self.refused.contains_key(&name) && !old.is_some_and(|old| is_same(old, it))
            })
            .cloned()
            .collect();
        let mut forms = self.accepted.clone();
        for ingress in changed {
            let name = Name::of(&ingress);
            let mut attempt = forms.clone();
            attempt.insert(name.clone(), ingress.clone());
            let trial = Objects {
                ingresses: attempt.values().cloned().collect(),
                ..objects.clone()
            };
            match judge(&render(&trial, settings)).await? {
                Verdict::Accepted => forms = attempt,
                Verdict::Refused(words) => {
                    self.refused.insert(name, (ingress, words));
                }
            }
        }
        Ok(())
    }

    fn settled(&self, rendered: Rendered) -> Settled {
        let before = rendered.refused.iter();
        let before = before.map(|it| (it.ingress.clone(), it.why.to_string()));
        let by_nginx = self.refused.iter().map(|(name, (_, words))| {
            let stays = if self.accepted.contains_key(name) {
                "its last accepted form stays in service"
            } else {
                "it is not served"
            };
            (name.clone(), format!("NGINX refuses it, {stays}: {words}"))
        });
        let refused = before.chain(by_nginx).collect();
        Settled { rendered, refused }
    }
}

/// Whether two forms of an Ingress ask for the same.
fn is_same(one: &Ingress, other: &Ingress) -> bool {
    one.spec == other.spec && one.metadata.annotations == other.metadata.annotations
}
