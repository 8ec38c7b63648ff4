//! Which authority issues, which are trusted, and when there must be a new one: from what the Secret
//! holds and the time. No I/O.
//!
//! The life of an authority, from when it is made:
//!
//! 1. It is trusted from the first moment: every bundle gets it.
//! 2. After [`SETTLING`] it issues, and every replica takes a certificate from it. By then each API
//!    server trusts it.
//! 3. At two thirds of its life a second one is made. That one goes through 1 and 2.
//! 4. [`LEAF_LIFE`] after the second one has begun to issue, no certificate of the first is left
//!    anywhere, not even in a replica that could not reach the cluster: it is dropped.

use crate::authority::{Authority, HOUR, Held, LEAF_LIFE, Moment};

/// How long an authority is trusted before it issues. An API server hears of a new `caBundle` by a
/// watch, within a second; one whose watch is broken lists again within minutes.
pub(crate) const SETTLING: i64 = HOUR / 6;

/// What is to be done with the Secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// No authority lasts long enough: make one.
    pub(crate) make: bool,
    /// Names of those that are out of use.
    pub(crate) drop: Vec<String>,
}

/// What the Secret needs; `authorities` are oldest first.
pub(crate) fn upkeep(authorities: &[Authority], now: Moment) -> Upkeep {
    let lasting = |authority: &Authority| authority.has_key() && now < authority.renew_at();
    Upkeep {
        make: !authorities.iter().any(lasting),
        drop: authorities
            .iter()
            .filter(|it| !is_in_use(it, authorities, now))
            .map(|it| it.name().to_owned())
            .collect(),
    }
}

/// What clients must trust, PEM: every authority that is in use. The same for every replica that
/// reads the same Secret, so that none undoes what another wrote.
pub(crate) fn bundle(authorities: &[Authority], now: Moment) -> String {
    authorities
        .iter()
        .filter(|it| is_in_use(it, authorities, now))
        .map(Authority::pem)
        .collect()
}

/// Whether a certificate of this authority may still be served somewhere.
fn is_in_use(authority: &Authority, authorities: &[Authority], now: Moment) -> bool {
    let is_successor = |it: &&Authority| it.has_key() && it.made() > authority.made();
    let mut successors = authorities.iter().filter(is_successor);
    let is_over = successors.any(|it| now >= it.made() + SETTLING + LEAF_LIFE);
    authority.is_valid(now) && !is_over
}

/// Who issues a certificate for us now; `None` where the one that we hold is good.
///
/// `is_trusted` says whether every bundle holds an authority, as far as is known.
pub(crate) fn issuer<'a>(
    authorities: &'a [Authority],
    held: Option<&Held>,
    is_trusted: impl Fn(&Authority) -> bool,
    now: Moment,
) -> Option<&'a Authority> {
    let able = || {
        authorities
            .iter()
            .filter(|it| it.has_key() && is_in_use(it, authorities, now))
    };
    let settled = able().rfind(|it| now >= it.made() + SETTLING && is_trusted(it));
    // The older, the more likely is it known to everybody.
    let issuer = settled.or_else(|| able().next())?;
    let Some(held) = held else {
        return Some(issuer);
    };
    let current = authorities.iter().find(|it| it.issued(held));
    let is_lost = current.is_none_or(|it| !is_in_use(it, authorities, now));
    let is_passed = settled.is_some() && !issuer.issued(held);
    (is_lost || is_passed || now >= held.renew_at).then_some(issuer)
}

/// When something changes by itself, if it does: an authority has settled, or the certificate that
/// we hold is due. Other changes are days long and need no such care.
pub(crate) fn next(authorities: &[Authority], held: Option<&Held>, now: Moment) -> Option<Moment> {
    let settling = authorities.iter().map(|it| it.made() + SETTLING);
    let due = held.map(|held| held.renew_at);
    settling.chain(due).filter(|moment| *moment > now).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{DAY, entry_names, of_secret};
    use std::collections::BTreeMap;

    const MADE: Moment = 1_800_000_000;
    const YEAR: i64 = 365 * DAY;

    fn authority(made: Moment) -> Authority {
        Authority::make(made).unwrap()
    }

    fn held(authority: &Authority, now: Moment) -> Held {
        let names = ["a.b.svc".to_owned()];
        authority.issue(&names, now).unwrap().unwrap().held
    }

    fn name(authority: Option<&Authority>) -> Option<&str> {
        authority.map(Authority::name)
    }

    #[test]
    fn the_first_authority_issues_at_once_and_stays_for_two_thirds_of_its_life() {
        let nobody: &[Authority] = &[];
        assert!(upkeep(nobody, MADE).make);
        assert_eq!(name(issuer(nobody, None, |_| true, MADE)), None);
        let first = [authority(MADE)];
        for now in [MADE, MADE + SETTLING, MADE + YEAR * 2 / 3 - 1] {
            assert_eq!(
                upkeep(&first, now),
                Upkeep {
                    make: false,
                    drop: vec![]
                }
            );
            // Nobody trusts it yet, but there is no other.
            let issuer = issuer(&first, None, |_| false, now);
            assert_eq!(name(issuer), Some(first[0].name()));
            assert_eq!(bundle(&first, now), first[0].pem());
        }
        assert!(upkeep(&first, MADE + YEAR * 2 / 3).make);
    }

    #[test]
    fn a_successor_is_trusted_first_and_issues_when_it_has_settled() {
        let renewed = MADE + YEAR * 2 / 3;
        let both = [authority(MADE), authority(renewed)];
        let old = held(&both[0], renewed - 1);
        let pems = format!("{}{}", both[0].pem(), both[1].pem());
        for now in [renewed, renewed + SETTLING - 1] {
            assert_eq!(bundle(&both, now), pems);
            assert_eq!(name(issuer(&both, Some(&old), |_| true, now)), None);
            assert_eq!(
                name(issuer(&both, None, |_| true, now)),
                Some(both[0].name()),
                "a replica that starts meanwhile"
            );
            assert_eq!(next(&both, Some(&old), now), Some(renewed + SETTLING));
        }
        let now = renewed + SETTLING;
        assert_eq!(
            name(issuer(&both, Some(&old), |_| true, now)),
            Some(both[1].name())
        );
        let only_old = |it: &Authority| it.name() == both[0].name();
        assert_eq!(
            name(issuer(&both, Some(&old), only_old, now)),
            None,
            "a bundle that could not be written must not cost reviews"
        );
        let new = held(&both[1], now);
        assert_eq!(name(issuer(&both, Some(&new), |_| true, now)), None);
        assert!(!upkeep(&both, now).make);
    }

    #[test]
    fn the_old_one_is_trusted_until_no_certificate_of_it_can_be_left() {
        let renewed = MADE + YEAR * 2 / 3;
        let both = [authority(MADE), authority(renewed)];
        let gone = renewed + SETTLING + LEAF_LIFE;
        assert!(bundle(&both, gone - 1).contains(both[0].pem()));
        assert_eq!(upkeep(&both, gone - 1).drop, Vec::<String>::new());
        assert_eq!(bundle(&both, gone), both[1].pem());
        assert_eq!(upkeep(&both, gone).drop, [both[0].name()]);
        // The last certificate that the old one can have issued.
        let last = held(&both[0], renewed + SETTLING - 1);
        assert!(last.not_after < gone);
    }

    #[test]
    fn an_authority_that_has_expired_is_nobody_s_any_more() {
        let alone = [authority(MADE)];
        let last = held(&alone[0], MADE + YEAR - DAY);
        assert_eq!(last.not_after, MADE + YEAR, "no longer than its authority");
        let now = MADE + YEAR;
        assert_eq!(
            upkeep(&alone, now),
            Upkeep {
                make: true,
                drop: vec![alone[0].name().to_owned()]
            }
        );
        assert_eq!(bundle(&alone, now), "");
        assert_eq!(name(issuer(&alone, Some(&last), |_| true, now)), None);
        let both = [authority(MADE), authority(now)];
        assert_eq!(
            name(issuer(&both, Some(&last), |_| true, now)),
            Some(both[1].name()),
            "at once: the old one is trusted by nobody"
        );
    }

    #[test]
    fn a_certificate_is_replaced_at_two_thirds_of_its_life() {
        let only = [authority(MADE)];
        let now = MADE + 30 * DAY;
        let held = held(&only[0], now);
        let due = now + LEAF_LIFE * 2 / 3;
        assert_eq!((held.renew_at, held.not_after), (due, now + LEAF_LIFE));
        assert_eq!(next(&only, Some(&held), now), Some(due));
        assert_eq!(name(issuer(&only, Some(&held), |_| true, due - 1)), None);
        let issuer = issuer(&only, Some(&held), |_| true, due);
        assert_eq!(name(issuer), Some(only[0].name()));
    }

    #[test]
    fn after_a_deleted_secret_the_old_certificates_stay_good_until_the_new_authority_has_settled() {
        let now = MADE + 30 * DAY;
        let old = authority(MADE);
        let held = held(&old, now - DAY);
        let both = [old.without_key(), authority(now)];
        assert!(!upkeep(&both, now).make);
        assert!(bundle(&both, now).contains(old.pem()));
        assert_eq!(name(issuer(&both, Some(&held), |_| true, now)), None);
        let settled = now + SETTLING;
        assert_eq!(
            name(issuer(&both, Some(&held), |_| true, settled)),
            Some(both[1].name())
        );
        assert_eq!(upkeep(&both, settled + LEAF_LIFE).drop, [old.name()]);
        // Where nobody remembered the old one, its certificates are worth nothing.
        let fresh = [authority(now)];
        assert_eq!(
            name(issuer(&fresh, Some(&held), |_| true, now)),
            Some(fresh[0].name())
        );
    }

    #[test]
    fn clocks_that_differ_do_no_harm() {
        let ahead = [authority(MADE), authority(MADE + 200)];
        let now = MADE + 100;
        let held = held(&ahead[0], now);
        assert_eq!(name(issuer(&ahead, Some(&held), |_| true, now)), None);
        assert!(bundle(&ahead, now).contains(ahead[1].pem()));
    }

    #[test]
    fn the_secret_gives_back_what_was_put_in() {
        let (old, new) = (authority(MADE).without_key(), authority(MADE + DAY));
        let mut entries = new.entries();
        entries.extend(old.entries());
        entries.insert("note".to_owned(), b"by hand".to_vec());
        let (found, broken) = of_secret(&entries);
        assert_eq!(broken, Vec::<String>::new());
        let told = |it: &Authority| (it.name().to_owned(), it.has_key(), it.made());
        assert_eq!(
            found.iter().map(told).collect::<Vec<_>>(),
            [told(&old), told(&new)]
        );
        assert_eq!(bundle(&found, MADE + DAY), old.pem().to_owned() + new.pem());
    }

    #[test]
    fn what_is_broken_in_the_secret_is_named_and_does_not_count() {
        let (one, other) = (authority(MADE), authority(MADE + 1));
        let leaf = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let [_, key] = entry_names(other.name());
        let entries = BTreeMap::from([
            ("ca-1.crt".to_owned(), b"garbage".to_vec()),
            ("ca-2.crt".to_owned(), leaf.cert.pem().into_bytes()),
            ("ca-3.crt".to_owned(), one.pem().as_bytes().to_vec()),
            ("ca-3.key".to_owned(), other.entries()[&key].clone()),
            ("ca-4.crt".to_owned(), one.pem().as_bytes().to_vec()),
            ("ca-4.key".to_owned(), b"-----BEGIN".to_vec()),
            ("ca-5.key".to_owned(), b"an orphan".to_vec()),
        ]);
        let (found, broken) = of_secret(&entries);
        assert_eq!(found.len(), 0);
        let begin: Vec<&str> = broken
            .iter()
            .map(|it| it.split(':').next().unwrap())
            .collect();
        assert_eq!(
            begin,
            [
                "ca-1.crt is no PEM certificate",
                "ca-2.crt is not that of an authority",
                "ca-3.key is not the key of ca-3.crt",
                "ca-4.key is no private key",
            ]
        );
        assert!(upkeep(&found, MADE).make);
    }

    #[test]
    fn neither_debug_text_shows_a_key() {
        let one = authority(MADE);
        let text = format!("{one:?} {:?}", one.issue(&[], MADE).unwrap().unwrap());
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}
