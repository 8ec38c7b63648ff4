//! Keeps our own certificates: reads what the cluster holds, lets `rotation` decide, and does it.
//!
//! Every replica does the same; what one has written the others find. A look goes in this order, so
//! that no replica ever writes what is older than what it found: registrations, then the Secret, then
//! the bundles, each write bound to the version that was read.

use crate::authority::{self, Authority, Held, MakeError, Moment, entry_names};
use crate::readiness::Readiness;
use crate::rotation::{self, Upkeep};
use crate::tls::Served;
use infer_cluster::registration::{
    Registration, RegistrationError, Registrations, SecretData, Written,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// How often the cluster is asked. A `caBundle` that somebody took away is back after this time.
const POLL: Duration = Duration::from_secs(30);
/// The first pause after a failure; it doubles up to [`POLL`].
const RETRY: Duration = Duration::from_secs(1);
/// How often one look begins anew because another replica was faster.
const OUTRUN: u32 = 10;

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Cluster(#[from] RegistrationError),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("others keep changing the Secret or the registration; trying again")]
    Outrun,
}

/// Keeps certificate, Secret and `caBundle` as they should be.
#[derive(Debug)]
pub(crate) struct Registrar {
    registrations: Registrations,
    /// The DNS names under which the API server calls us.
    names: Vec<String>,
    served: Arc<Served>,
    readiness: Arc<Readiness>,
    held: Option<Held>,
    /// The authorities that the last look found.
    known: Vec<Authority>,
    log: Repeating,
}

impl Registrar {
    /// Serves through `served`, says through `readiness` what is missing.
    pub(crate) fn new(
        registrations: Registrations,
        names: Vec<String>,
        served: Arc<Served>,
        readiness: Arc<Readiness>,
    ) -> Registrar {
        readiness.wait_for(Some("no certificate yet".to_owned()));
        Registrar {
            registrations,
            names,
            served,
            readiness,
            held: None,
            known: Vec::new(),
            log: Repeating::default(),
        }
    }

    /// Looks, and looks again, for ever.
    pub(crate) async fn run(mut self) {
        let mut pause = RETRY;
        loop {
            let looked = self.look().await;
            if let Err(error) = &looked {
                self.log.error(error);
                if self.held.is_none() {
                    self.readiness.wait_for(Some(error.to_string()));
                }
            }
            self.log.end_of_look();
            if looked.is_ok() {
                pause = RETRY;
                sleep(self.until_next()).await;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(POLL);
            }
        }
    }

    fn until_next(&self) -> Duration {
        let now = now();
        let next = rotation::next(&self.known, self.held.as_ref(), now);
        let left = next.and_then(|moment| u64::try_from(moment - now).ok());
        left.map_or(POLL, |seconds| Duration::from_secs(seconds).min(POLL))
    }

    async fn look(&mut self) -> Result<(), LookError> {
        for _ in 0..OUTRUN {
            if self.look_once().await? == Written::Done {
                return Ok(());
            }
        }
        Err(LookError::Outrun)
    }

    async fn look_once(&mut self) -> Result<Written, LookError> {
        let mut registrations = self.registrations.registrations().await?;
        let secret = self.registrations.secret().await?;
        let (authorities, broken) = match &secret {
            Some(secret) => authority::of_secret(&secret.entries),
            None => Default::default(),
        };
        for problem in broken {
            let text = format!("the Secret holds what cannot be used: {problem}");
            self.log.warn(&text);
        }
        let now = now();
        let upkeep = rotation::upkeep(&authorities, now);
        let mut kept = Ok(());
        if upkeep.make || !upkeep.drop.is_empty() {
            kept = self
                .keep_up(secret.as_ref(), &registrations, &upkeep, now)
                .await;
            if kept.is_ok() {
                // Whoever has written it, it must be read again.
                return Ok(Written::Outrun);
            }
        }
        let bundled = self
            .set_bundles(&mut registrations, &authorities, now)
            .await;
        // Whatever could not be written: a certificate that is due is taken all the same.
        self.take_certificate(&authorities, &registrations, now)?;
        if matches!(bundled, Ok(Written::Outrun)) {
            return bundled;
        }
        if let Some(held) = &self.held {
            let missing = self.missing(&authorities, &registrations, held);
            if let Some(missing) = &missing {
                self.log.warn(missing);
            }
            self.readiness.wait_for(missing);
        }
        self.known = authorities;
        kept.and(bundled)
    }

    /// Changes the Secret, unless another replica is faster.
    async fn keep_up(
        &self,
        secret: Option<&SecretData>,
        registrations: &[Registration],
        upkeep: &Upkeep,
        now: Moment,
    ) -> Result<(), LookError> {
        let made = upkeep.make.then(|| Authority::make(now)).transpose()?;
        let entries = made.as_ref().map(Authority::entries).unwrap_or_default();
        let written = match secret {
            Some(secret) => {
                let dropped = upkeep.drop.iter();
                let remove: Vec<String> = dropped.flat_map(|it| entry_names(it)).collect();
                self.registrations
                    .change_secret(secret, entries, &remove)
                    .await
            }
            None => {
                // Somebody has deleted it, or this is the beginning. Certificates of the authorities
                // that were in it may still be served.
                let bundles = registrations.iter().flat_map(Registration::bundles);
                let trusted = bundles.flat_map(authority::of_bundle);
                let before = self.known.iter().map(Authority::without_key);
                let valid = trusted.chain(before).filter(|it| it.is_valid(now));
                let mut all: BTreeMap<_, _> = valid.flat_map(|it| it.entries()).collect();
                all.extend(entries);
                self.registrations.create_secret(all).await
            }
        };
        if written? == Written::Done {
            let made = made.as_ref().map(Authority::name);
            tracing::info!(made, dropped = ?upkeep.drop, "certificate authorities changed");
        }
        Ok(())
    }

    /// Sets every bundle that is not as it should be.
    async fn set_bundles(
        &self,
        registrations: &mut [Registration],
        authorities: &[Authority],
        now: Moment,
    ) -> Result<Written, LookError> {
        let bundle = rotation::bundle(authorities, now);
        if bundle.is_empty() {
            // Every bundle is better than none: the Secret could not be written.
            return Ok(Written::Done);
        }
        let mut result = Ok(Written::Done);
        for registration in registrations {
            if registration.bundles().all(|it| it == bundle.as_bytes()) {
                continue;
            }
            let set = self
                .registrations
                .set_bundle(registration, bundle.as_bytes());
            match set.await {
                Ok(Written::Done) => {
                    tracing::info!(registration = registration.title(), "caBundle set");
                }
                other => result = other.map_err(LookError::from),
            }
        }
        result
    }

    /// Takes a new certificate where one is due.
    fn take_certificate(
        &mut self,
        authorities: &[Authority],
        registrations: &[Registration],
        now: Moment,
    ) -> Result<(), LookError> {
        let is_trusted = |authority: &Authority| is_trusted(authority, registrations);
        let issuer = rotation::issuer(authorities, self.held.as_ref(), is_trusted, now);
        let Some(issuer) = issuer else { return Ok(()) };
        if let Some(leaf) = issuer.issue(&self.names, now)? {
            let hours = (leaf.held.not_after - now) / authority::HOUR;
            tracing::info!(authority = issuer.name(), hours, "new certificate served");
            self.served.replace(leaf.pair);
            self.held = Some(leaf.held);
        }
        Ok(())
    }

    /// Why the API server does not call us, or would not trust us.
    fn missing(
        &self,
        authorities: &[Authority],
        registrations: &[Registration],
        held: &Held,
    ) -> Option<String> {
        let is_there = |name: &&String| registrations.iter().any(|it| it.name() == name.as_str());
        if let Some(name) = self.registrations.names().iter().find(|it| !is_there(it)) {
            return Some(format!(
                "there is no MutatingWebhookConfiguration or ValidatingWebhookConfiguration \
                 {name:?}, so nobody calls: `kubectl apply -k manifests/base` makes it"
            ));
        }
        let strange = registrations.iter().find(|it| it.bundles().count() == 0);
        if let Some(strange) = strange {
            return Some(format!(
                "no entry of {} calls the Service {}: its `clientConfig.service` must",
                strange.title(),
                self.registrations.service()
            ));
        }
        let authority = authorities.iter().find(|it| it.issued(held));
        if authority.is_some_and(|it| is_trusted(it, registrations)) {
            return None;
        }
        let names: Vec<String> = registrations.iter().map(Registration::title).collect();
        Some(format!(
            "the `caBundle` of {} does not hold the authority of our certificate",
            names.join(" or ")
        ))
    }
}

/// Whether every bundle holds the authority.
fn is_trusted(authority: &Authority, registrations: &[Registration]) -> bool {
    let mut bundles = registrations.iter().flat_map(Registration::bundles);
    bundles.all(|bundle| authority.is_in(bundle))
}

/// A log that says what lasts once, however many looks find it.
#[derive(Debug, Default)]
struct Repeating {
    /// What the last look said.
    before: Vec<String>,
    /// What this look says.
    now: Vec<String>,
}

impl Repeating {
    /// Whether this is news.
    fn note(&mut self, text: &str) -> bool {
        let is_new = !self.before.iter().chain(&self.now).any(|it| it == text);
        self.now.push(text.to_owned());
        is_new
    }

    fn warn(&mut self, text: &str) {
        if self.note(text) {
            tracing::warn!("{text}");
        }
    }

    fn error(&mut self, error: &LookError) {
        let text = error.to_string();
        if !self.note(&text) {
            return;
        }
        let what = "certificates and registration are not kept as they should be";
        match error {
            LookError::Cluster(RegistrationError::Forbidden { rule, role, .. }) => {
                tracing::warn!(error = text, role, add_rule = rule, "{what}");
            }
            _ => tracing::warn!(error = text, "{what}"),
        }
    }

    fn end_of_look(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

/// The clock of this machine.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 issues certificates that nobody accepts; its owner will see.
    since.map_or(0, |since| Moment::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
