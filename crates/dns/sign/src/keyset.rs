//! The keys of a zone in time: which are shown, which sign, what the parent should have, and when that changes. Pure: whoever keeps it
//! hands in `now`, makes keys when asked for them, and says what the parent shows.
//!
//! ```text
//! zone signing key     Published ──(TTL of the keys)──→ Signing ──(successor signs)──→ Retired ──(TTL of the data)──→ gone
//! key signing key      Announced ──(DS seen, its TTL)──→ Signing ──(successor signs)──→ Retired ──(DS gone)──→ gone
//! the zone             wanted: pending ⇄ active ──(disabled)──→ pending-disabled ──(DS gone, its TTL)──→ over
//! ```
//!
//! Zone signing keys are rolled by pre-publication (RFC 6781 §4.1.1.1, RFC 7583 §3.2.1), every 30 days. Key signing keys are rolled by
//! double DS (RFC 6781 §4.1.2, RFC 7583 §3.3.2), when somebody asks for it: the parent has the digests of both before the new key takes
//! the old one's place, and a zone's answers never hold more than one. Neither is retired before every validator can have heard of its
//! successor, however long that takes: where the parent shows nothing, nothing goes on.

use serde::{Deserialize, Serialize};

use crate::{
    Algorithm, KeyError, KeySets,
    key::{CDNSKEY_DELETE, CDS_DELETE, ENTRY_FLAGS, ZONE_FLAGS, dnskey, ds},
};

/// TTL of the key sets, in seconds.
pub const KEYS_TTL_SECS: u32 = 3600;

/// How long a change may be under way to every name server, in seconds, beside TTLs.
pub const MARGIN_SECS: i64 = 3600;

/// The longest TTL that a zone's records have, in seconds (edge-behaviour §1.4).
pub const DATA_TTL_SECS_MAX: i64 = 86_400;

/// How long a DS may be kept in mind after the parent no longer shows it, in seconds: parents give theirs a day or less, and this is two.
pub const DS_TTL_SECS_MAX: i64 = 2 * 86_400;

/// How long a zone signing key signs, in seconds.
pub const ZSK_SECS: i64 = 30 * 86_400;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It signs the keys, and never leaves control.
    Entry,
    /// It signs everything else, on name servers.
    Zone,
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Told of and not used yet: a zone signing key among the keys, a key signing key to the parent.
    Coming,
    /// It signs.
    Signing,
    /// It signs no more; what it signed may still be in caches.
    Retired,
}

/// One key, without its private part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Another number for each key of the zone.
    pub number: u32,
    /// What it is for.
    pub role: Role,
    /// As a DNSKEY record holds it.
    pub public: Vec<u8>,
    /// Where it stands.
    pub stage: Stage,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
    /// Of a key signing key: since when the parent is seen to have its digest.
    pub seen_since: Option<i64>,
}

/// The keys of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    algorithm: u8,
    /// Whether the zone is to be signed. Otherwise the parent is to take the DS away, and then the keys go.
    wanted: bool,
    keys: Vec<Key>,
    /// Since when the parent is seen to have no digest of this zone; none: it has, or nobody looked since the zone is no longer wanted.
    none_since: Option<i64>,
    next_number: u32,
}

/// How it stands, as the API says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Signed, and the parent is not seen to say so yet.
    Pending,
    /// Signed, and validators know.
    Active,
    /// To be signed no more, once the parent no longer says it is.
    PendingDisabled,
}

impl Status {
    /// The API's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::PendingDisabled => "pending-disabled",
        }
    }
}

/// Makes a key of that role under that number, keeps its private part, and returns the public one.
pub type Make<'m> = &'m mut dyn FnMut(Role, u32) -> Result<Vec<u8>, KeyError>;

impl KeySet {
    /// New keys, which sign from now on.
    ///
    /// # Errors
    /// What `make` says.
    pub fn begin(algorithm: Algorithm, now: i64, make: Make<'_>) -> Result<Self, KeyError> {
        let mut set = Self { algorithm: algorithm.number(), wanted: true, keys: Vec::new(), none_since: None, next_number: 0 };
        // Nobody has kept in mind anything of a zone that was not signed: no key need come before it is used.
        for role in [Role::Entry, Role::Zone] {
            set.add(role, Stage::Signing, now, make)?;
        }
        Ok(set)
    }

    fn add(&mut self, role: Role, stage: Stage, now: i64, make: Make<'_>) -> Result<(), KeyError> {
        let number = self.next_number;
        let public = make(role, number)?;
        self.next_number += 1;
        self.keys.push(Key { number, role, public, stage, since: now, seen_since: None });
        Ok(())
    }

    /// How the zone is signed.
    ///
    /// # Errors
    /// It was kept by a program that knows other algorithms.
    pub fn algorithm(&self) -> Result<Algorithm, KeyError> {
        Algorithm::try_from(self.algorithm)
    }

    /// Every key.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of that role that signs.
    pub fn signing(&self, role: Role) -> Option<&Key> {
        self.of(role, Stage::Signing)
    }

    fn of(&self, role: Role, stage: Stage) -> Option<&Key> {
        self.keys.iter().find(|key| key.role == role && key.stage == stage)
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        match self.signing(Role::Entry).and_then(|key| key.seen_since) {
            _ if !self.wanted => Status::PendingDisabled,
            Some(_) => Status::Active,
            None => Status::Pending,
        }
    }

    /// The zone is to be signed, or no more. What the parent was seen to have before it was to be signed no more says nothing of what was
    /// put there meanwhile: it must be looked at again.
    pub fn want(&mut self, wanted: bool) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.none_since = None;
        }
    }

    /// Whether the zone is to be signed.
    pub const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the keys may go: nobody can have a DS in mind that names one.
    pub fn is_over(&self, now: i64) -> bool {
        !self.wanted && self.none_since.is_some_and(|since| now >= since + DS_TTL_SECS_MAX)
    }

    /// Whether the parent should show other DS records than it was seen to.
    pub fn waits_for_parent(&self) -> bool {
        if !self.wanted {
            return self.none_since.is_none();
        }
        let mut keys = self.keys.iter().filter(|key| key.role == Role::Entry);
        keys.any(|key| (key.stage == Stage::Retired) == key.seen_since.is_some())
    }

    /// Begins to roll a key; does nothing while one of its role is being rolled, or the zone is to be signed no more.
    ///
    /// # Errors
    /// What `make` says.
    pub fn roll(&mut self, role: Role, now: i64, make: Make<'_>) -> Result<bool, KeyError> {
        let is_rolled = self.keys.iter().any(|key| key.role == role && key.stage != Stage::Signing);
        if is_rolled || !self.wanted {
            return Ok(false);
        }
        self.add(role, Stage::Coming, now, make)?;
        Ok(true)
    }

    /// Takes in which DS records the parent shows (their data), as of now.
    pub fn told(&mut self, apex: &[u8], shown: &[Vec<u8>], now: i64) {
        let algorithm = self.algorithm();
        for key in self.keys.iter_mut().filter(|key| key.role == Role::Entry) {
            let digest = algorithm.map(|algorithm| ds(apex, &dnskey(ENTRY_FLAGS, algorithm, &key.public)));
            let is_shown = digest.is_ok_and(|digest| shown.contains(&digest));
            key.seen_since = if is_shown { key.seen_since.or(Some(now)) } else { None };
        }
        self.none_since = if shown.is_empty() { self.none_since.or(Some(now)) } else { None };
    }

    /// Does what is due. Says whether anything was.
    ///
    /// # Errors
    /// What `make` says; what was done before stays done.
    pub fn step(&mut self, now: i64, make: Make<'_>) -> Result<bool, KeyError> {
        let before = self.keys.clone();
        for role in [Role::Entry, Role::Zone] {
            let comes = self.of(role, Stage::Coming).filter(|key| self.may_sign(key, now)).map(|key| key.number);
            for key in self.keys.iter_mut().filter(|key| key.role == role && comes.is_some()) {
                let stage = match key.stage {
                    Stage::Signing => Stage::Retired,
                    _ if comes == Some(key.number) => Stage::Signing,
                    stage => stage,
                };
                if stage != key.stage {
                    (key.stage, key.since) = (stage, now);
                }
            }
        }
        self.keys.retain(|key| key.stage != Stage::Retired || !is_forgotten(key, now));
        if self.signing(Role::Zone).is_some_and(|key| now >= key.since + ZSK_SECS) {
            self.roll(Role::Zone, now, make)?;
        }
        Ok(self.keys != before)
    }

    fn may_sign(&self, key: &Key, now: i64) -> bool {
        match key.role {
            Role::Zone => now >= key.since + i64::from(KEYS_TTL_SECS) + MARGIN_SECS,
            Role::Entry => key.seen_since.is_some_and(|since| now >= since + DS_TTL_SECS_MAX),
        }
    }

    /// When something is due after `now`, if nothing is told before.
    pub fn next_at(&self, now: i64) -> Option<i64> {
        let of_key = |key: &Key| match (key.role, key.stage) {
            (Role::Zone, Stage::Coming) => Some(key.since + i64::from(KEYS_TTL_SECS) + MARGIN_SECS),
            (Role::Zone, Stage::Signing) => self.wanted.then_some(key.since + ZSK_SECS),
            (Role::Zone, Stage::Retired) => Some(key.since + DATA_TTL_SECS_MAX + MARGIN_SECS),
            (Role::Entry, Stage::Coming) => key.seen_since.map(|since| since + DS_TTL_SECS_MAX),
            (Role::Entry, Stage::Signing) => None,
            (Role::Entry, Stage::Retired) => Some(key.since + i64::from(KEYS_TTL_SECS) + MARGIN_SECS),
        };
        let over = self.none_since.filter(|_| !self.wanted).map(|since| since + DS_TTL_SECS_MAX);
        self.keys.iter().filter_map(of_key).chain(over).filter(|at| *at > now).min()
    }

    /// What the apex says of the keys now. `apex` is the zone's name as labels, in lower case.
    ///
    /// # Errors
    /// As [`KeySet::algorithm`].
    pub fn sets(&self, apex: &[u8], now: i64) -> Result<KeySets, KeyError> {
        let algorithm = self.algorithm()?;
        let mut sets = KeySets::default();
        for key in &self.keys {
            let flags = if key.role == Role::Entry { ENTRY_FLAGS } else { ZONE_FLAGS };
            let data = dnskey(flags, algorithm, &key.public);
            if key.role == Role::Entry && self.wanted && is_asked_for(key, now) {
                sets.cds.push(ds(apex, &data));
                sets.cdnskey.push(data.clone());
            }
            if key.role == Role::Zone || key.stage == Stage::Signing {
                sets.dnskey.push(data);
            }
        }
        if !self.wanted {
            sets.cds.push(CDS_DELETE.to_vec());
            sets.cdnskey.push(CDNSKEY_DELETE.to_vec());
        }
        Ok(sets)
    }
}

/// Whether the parent should have the digest of a key signing key: while its successor may not be known everywhere, of both.
fn is_asked_for(key: &Key, now: i64) -> bool {
    key.stage != Stage::Retired || now < key.since + i64::from(KEYS_TTL_SECS) + MARGIN_SECS
}

/// Whether nobody needs a retired key any more.
fn is_forgotten(key: &Key, now: i64) -> bool {
    match key.role {
        Role::Zone => now >= key.since + DATA_TTL_SECS_MAX + MARGIN_SECS,
        // As long as the parent shows it, it is told what to take away.
        Role::Entry => !is_asked_for(key, now) && key.seen_since.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const APEX: &[u8] = b"\x07example\0";
    const HOUR: i64 = 3600;
    const DAY: i64 = 86_400;

    fn make(_: Role, number: u32) -> Result<Vec<u8>, KeyError> {
        Ok(vec![u8::try_from(number % 251).unwrap(); 64])
    }

    fn begun() -> KeySet {
        KeySet::begin(Algorithm::EcdsaP256Sha256, 0, &mut make).unwrap()
    }

    fn digest(set: &KeySet, number: u32) -> Vec<u8> {
        let key = set.keys().iter().find(|key| key.number == number).unwrap();
        ds(APEX, &dnskey(ENTRY_FLAGS, Algorithm::EcdsaP256Sha256, &key.public))
    }

    fn shown(set: &KeySet, now: i64) -> (usize, usize) {
        let sets = set.sets(APEX, now).unwrap();
        assert_eq!(sets.cds.len(), sets.cdnskey.len());
        (sets.dnskey.len(), sets.cds.len())
    }

    fn numbers(set: &KeySet) -> Vec<(u32, Stage)> {
        set.keys().iter().map(|key| (key.number, key.stage)).collect()
    }

    #[test]
    fn a_zone_is_active_while_the_parent_shows_its_key() {
        let mut set = begun();
        assert_eq!((set.status(), shown(&set, 0)), (Status::Pending, (2, 1)));
        set.told(APEX, &[vec![1, 2, 3]], HOUR);
        assert_eq!(set.status(), Status::Pending, "somebody else's");
        let own = digest(&set, 0);
        set.told(APEX, &[vec![1, 2, 3], own], HOUR);
        assert_eq!(set.status(), Status::Active);
        set.told(APEX, &[], 2 * HOUR);
        assert_eq!(set.status(), Status::Pending);
        assert!(!set.is_over(100 * DAY), "it is wanted");
    }

    #[test]
    fn keys_stay_while_a_ds_may_be_in_mind() {
        let mut set = begun();
        set.told(APEX, &[], 0);
        set.want(false);
        assert_eq!(set.status(), Status::PendingDisabled);
        assert_eq!(set.sets(APEX, 0).unwrap().cds, [CDS_DELETE.to_vec()]);
        assert_eq!(set.sets(APEX, 0).unwrap().cdnskey, [CDNSKEY_DELETE.to_vec()]);
        assert!(!set.is_over(100 * DAY), "nobody looked since");
        set.told(APEX, &[digest(&set, 0)], 100 * DAY);
        assert!(!set.is_over(200 * DAY));
        set.told(APEX, &[], 200 * DAY);
        set.told(APEX, &[], 201 * DAY);
        assert_eq!(set.next_at(201 * DAY), Some(202 * DAY));
        assert_eq!((set.is_over(202 * DAY - 1), set.is_over(202 * DAY)), (false, true));
        set.want(true);
        assert!(!set.is_over(300 * DAY));
        assert_eq!(set.status(), Status::Pending);
    }

    #[test]
    fn a_zone_signing_key_is_known_before_it_signs_and_after() {
        let mut set = begun();
        assert!(!set.step(30 * DAY - 1, &mut make).unwrap());
        assert_eq!(set.next_at(0), Some(30 * DAY));
        assert!(set.step(30 * DAY, &mut make).unwrap());
        assert_eq!(numbers(&set), [(0, Stage::Signing), (1, Stage::Signing), (2, Stage::Coming)]);
        assert_eq!((shown(&set, 30 * DAY), set.next_at(30 * DAY)), ((3, 1), Some(30 * DAY + 2 * HOUR)));
        assert!(!set.step(30 * DAY + 2 * HOUR - 1, &mut make).unwrap());
        let signs = 30 * DAY + 2 * HOUR;
        assert!(set.step(signs, &mut make).unwrap());
        assert_eq!(numbers(&set), [(0, Stage::Signing), (1, Stage::Retired), (2, Stage::Signing)]);
        assert_eq!((shown(&set, signs), set.next_at(signs)), ((3, 1), Some(signs + 25 * HOUR)));
        assert!(set.step(signs + 25 * HOUR, &mut make).unwrap());
        assert_eq!(numbers(&set), [(0, Stage::Signing), (2, Stage::Signing)]);
        assert_eq!(set.next_at(signs + 25 * HOUR), Some(signs + 30 * DAY));
    }

    #[test]
    fn a_key_signing_key_takes_over_once_the_parent_has_both() {
        let mut set = begun();
        let old = digest(&set, 0);
        set.told(APEX, std::slice::from_ref(&old), 0);
        assert!(set.roll(Role::Entry, DAY, &mut make).unwrap());
        assert!(!set.roll(Role::Entry, DAY, &mut make).unwrap(), "one at a time");
        let new = digest(&set, 2);
        assert_eq!(shown(&set, DAY), (2, 2), "asked for, and not among the keys");
        assert!(!set.step(20 * DAY, &mut make).unwrap(), "however long the parent takes");
        set.told(APEX, &[old.clone(), new.clone()], 20 * DAY);
        assert!(!set.step(22 * DAY - 1, &mut make).unwrap());
        assert_eq!(set.next_at(20 * DAY), Some(22 * DAY));
        // The parent forgets it again: it begins anew.
        set.told(APEX, std::slice::from_ref(&old), 21 * DAY);
        set.told(APEX, &[old.clone(), new.clone()], 21 * DAY);
        assert!(!set.step(22 * DAY, &mut make).unwrap());
        assert!(set.step(23 * DAY, &mut make).unwrap());
        assert_eq!(numbers(&set), [(0, Stage::Retired), (1, Stage::Signing), (2, Stage::Signing)]);
        assert_eq!((set.status(), shown(&set, 23 * DAY)), (Status::Active, (2, 2)));
        assert_eq!(shown(&set, 23 * DAY + 2 * HOUR), (2, 1), "the old one is not asked for any more");
        assert!(!set.step(24 * DAY, &mut make).unwrap(), "the parent has it still");
        set.told(APEX, &[new], 25 * DAY);
        assert!(set.step(25 * DAY, &mut make).unwrap());
        assert_eq!(numbers(&set), [(1, Stage::Signing), (2, Stage::Signing)]);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut set = begun();
        set.roll(Role::Entry, 5, &mut make).unwrap();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<KeySet>(&text).unwrap(), set);
    }

    #[derive(Debug, Clone)]
    enum Event {
        Wait(i64),
        Roll(Role),
        Want(bool),
        /// The parent takes over what is asked for, or some of it.
        Parent(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => (0i64..20 * DAY).prop_map(Event::Wait),
            2 => prop::bool::ANY.prop_map(|entry| Event::Roll(if entry { Role::Entry } else { Role::Zone })),
            1 => any::<bool>().prop_map(Event::Want),
            4 => (0usize..4).prop_map(Event::Parent),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order, also where the parent does not do what it is asked: whoever keeps the zone's keys and its
        /// answers in mind as long as he may finds the key that signed them, and keys go only when he can have no DS in mind.
        #[test]
        fn no_answer_is_ever_left_without_its_key(events in prop::collection::vec(event(), 0..60)) {
            let (mut set, mut now) = (begun(), 0i64);
            let mut at_parent: Vec<Vec<u8>> = Vec::new();
            // What was shown until when: of DS sets, of keys, of signing keys.
            let (mut parents, mut keys) = (vec![(0i64, at_parent.clone())], Vec::<(i64, Vec<Vec<u8>>)>::new());
            let mut signers: Vec<(i64, Vec<u8>)> = Vec::new();
            for event in events {
                match event {
                    Event::Wait(secs) => {
                        // As the clock of whoever keeps it would do.
                        let until = now + secs;
                        while let Some(at) = set.next_at(now).filter(|at| *at <= until) {
                            now = at;
                            set.step(now, &mut make).unwrap();
                            record(&set, now, &mut keys, &mut signers);
                        }
                        now = until;
                    }
                    Event::Roll(role) => drop(set.roll(role, now, &mut make).unwrap()),
                    Event::Want(wanted) => set.want(wanted),
                    Event::Parent(first) => {
                        let asked = set.sets(APEX, now).unwrap().cds;
                        at_parent = asked.into_iter().filter(|data| *data != CDS_DELETE).skip(first.min(1)).collect();
                        if first > 1 {
                            at_parent.extend(set.sets(APEX, now).unwrap().cds.into_iter().filter(|data| *data != CDS_DELETE).take(1));
                        }
                        at_parent.dedup();
                        parents.push((now, at_parent.clone()));
                        set.told(APEX, &at_parent, now);
                    }
                }
                record(&set, now, &mut keys, &mut signers);
                if set.is_over(now) {
                    // Every DS that may be in mind was empty for as long.
                    let kept: Vec<_> = in_mind(&parents, now, DS_TTL_SECS_MAX - 1);
                    prop_assert!(kept.iter().all(|shown| shown.is_empty()));
                    break;
                }
                let key_sets = in_mind(&keys, now, i64::from(KEYS_TTL_SECS));
                for signer in in_mind(&signers, now, DATA_TTL_SECS_MAX) {
                    prop_assert!(key_sets.iter().all(|keys| keys.contains(signer)), "a signing key is not known everywhere");
                }
            }
        }
    }

    proptest! {
        /// A parent that does what it is asked, however late: whoever keeps a DS set in mind as long as he may finds a key that it names in
        /// any key set that he may have in mind.
        #[test]
        fn no_ds_is_ever_left_without_its_key(events in prop::collection::vec(event(), 0..60)) {
            let (mut set, mut now) = (begun(), 0i64);
            let (mut parents, mut keys) = (vec![(0i64, Vec::new())], Vec::new());
            for event in events {
                match event {
                    Event::Wait(secs) => {
                        let until = now + secs;
                        while let Some(at) = set.next_at(now).filter(|at| *at <= until) {
                            now = at;
                            set.step(now, &mut make).unwrap();
                            record(&set, now, &mut keys, &mut Vec::new());
                        }
                        now = until;
                    }
                    Event::Roll(role) => drop(set.roll(role, now, &mut make).unwrap()),
                    Event::Want(wanted) => set.want(wanted),
                    Event::Parent(_) => {
                        let mut shown = set.sets(APEX, now).unwrap().cds;
                        shown.retain(|data| *data != CDS_DELETE);
                        set.told(APEX, &shown, now);
                        parents.push((now, shown));
                        // He may have had it for a moment before it was looked at.
                        set.step(now, &mut make).unwrap();
                    }
                }
                record(&set, now, &mut keys, &mut Vec::new());
                if set.is_over(now) {
                    break;
                }
                for shown in in_mind(&parents, now, DS_TTL_SECS_MAX).into_iter().filter(|shown| !shown.is_empty()) {
                    for keys in in_mind(&keys, now, i64::from(KEYS_TTL_SECS)) {
                        prop_assert!(keys.iter().any(|key| shown.contains(&ds(APEX, key))), "a DS names no key");
                    }
                }
            }
        }
    }

    fn record(set: &KeySet, now: i64, keys: &mut Vec<(i64, Vec<Vec<u8>>)>, signers: &mut Vec<(i64, Vec<u8>)>) {
        keys.push((now, set.sets(APEX, now).unwrap().dnskey));
        let signer = set.signing(Role::Zone).unwrap();
        signers.push((now, dnskey(ZONE_FLAGS, Algorithm::EcdsaP256Sha256, &signer.public)));
    }

    /// What was shown at some moment of the last `secs`.
    fn in_mind<T>(shown: &[(i64, T)], now: i64, secs: i64) -> Vec<&T> {
        let until = |at: usize| shown.get(at + 1).map_or(i64::MAX, |(at, _)| *at);
        shown.iter().enumerate().filter(|(at, _)| until(*at) > now - secs).map(|(_, (_, what))| what).collect()
    }
}
