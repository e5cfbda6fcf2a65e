//! Signed zones: their keys, what the parent is seen to say of them, and when that changes.
//!
//! Keys are made here. The key that signs the keys is opened here and nowhere else; what it signs (the DNSKEY, CDS and CDNSKEY sets) is kept
//! ready, and so is the other key, wrapped for the node: publishing only reads. When which key is shown and signs, `dns/sign` decides
//! ([`KeySet`]).
//!
//! **The parent.** A zone is `pending` until [`App::ds_seen`] or [`App::ds_at_parent`] says that its parent shows the DS records it should
//! have ([`App::ds_wanted`]), and `pending-disabled` until they say that it shows none, and the longest TTL of a DS has passed. Whoever
//! looks at delegations (`control/scout`) calls them; until then nothing is taken for seen.

use std::collections::HashMap;

use poterne_control_store::{Micros, Session, SignedHead, Zone, ZoneSigning};
use poterne_dns_sign::{
    Algorithm, KeyError, KeyPair, KeySet, Validity, ZoneKey,
    key::{self, DIGEST_SHA_256, ENTRY_FLAGS},
    keyset::{KEYS_TTL_SECS, Role, Status},
};
use poterne_dns_wire::RecordSets;
use poterne_keys::{Purpose, Secret};
use poterne_model::{Name, ZoneId};
use serde_json::{Value, json};

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

/// How long the signatures of the keys hold, in seconds: two weeks, and they are made anew after one. So long may control be away.
const SIGNED_SECS: u32 = 14 * 86_400;

/// Most zones looked after in one round.
const ZONES_AT_ONCE: u32 = 1000;

/// How a zone is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnssec {
    /// The zone's name.
    pub apex: Name,
    /// How it stands.
    pub status: Status,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// Of the key that the parent should name: its flags.
    pub flags: u16,
    /// Its tag.
    pub key_tag: u16,
    /// The key, as a DNSKEY record holds it.
    pub public_key: Vec<u8>,
    /// How its digest is made.
    pub digest_type: u8,
    /// The digest.
    pub digest: Vec<u8>,
    /// When the zone began or ceased to be signed.
    pub modified_at: Micros,
}

/// Keys under way: as they are kept, and what was made meanwhile.
struct Keys {
    set: KeySet,
    made: HashMap<u32, Secret>,
}

impl App {
    /// How a zone is signed; none: it is not.
    pub async fn zone_dnssec(&self, caller: &Caller, zone: ZoneId) -> Result<Option<Dnssec>, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_read()).await?;
        session.zone_signing(zone.id).await?.map(|kept| told(&zone, &kept)).transpose()
    }

    /// Signs a zone, or goes on with it; with which algorithm, only the first time says. The parent is told by the zone (CDS), and by
    /// whoever called.
    pub async fn zone_dnssec_enable(&self, caller: &Caller, zone: ZoneId, algorithm: Algorithm) -> Result<Dnssec, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        Self::needs_delegation(&zone, "dnssec")?;
        let before = session.zone_signing(zone.id).await?;
        let mut keys = match &before {
            Some(kept) => Keys::kept(&kept.keyset)?,
            None => Keys::begin(algorithm, self.now_secs())?,
        };
        keys.set.want(true);
        self.keys_changed(session, caller, &zone, before, keys).await
    }

    /// Signs a zone no more, as soon as nobody can have a DS of it in mind: until then it stays signed and asks its parent to take the DS
    /// away. None: it was not signed.
    pub async fn zone_dnssec_disable(&self, caller: &Caller, zone: ZoneId) -> Result<Option<Dnssec>, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let Some(before) = session.zone_signing(zone.id).await? else { return Ok(None) };
        let mut keys = Keys::kept(&before.keyset)?;
        keys.set.want(false);
        self.keys_changed(session, caller, &zone, Some(before), keys).await.map(Some)
    }

    /// Forgets a zone's keys: at once where nobody can have a DS of it in mind, else as soon as nobody can ([`App::tend_zone_keys`]).
    ///
    /// # Errors
    /// The zone is to be signed.
    pub async fn zone_dnssec_delete(&self, caller: &Caller, zone: ZoneId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let Some(before) = session.zone_signing(zone.id).await? else { return Ok(()) };
        let set = Keys::kept(&before.keyset)?.set;
        if set.is_wanted() {
            let why = "its parent may show the DS record, and resolvers would find the zone false: set the status to \"disabled\" and take \
                       the DS away at the registrar; the keys go two days after it is gone";
            return Err(AppError::InUse { what: "DNSSEC of the zone", name: zone.apex.to_string(), why: why.into() });
        }
        // They go by themselves, and a caller that had to come again in two days would not (Terraform forgets what it has destroyed).
        if !set.is_over(self.now_secs()) {
            return Ok(());
        }
        session.delete_zone_signing(zone.id).await?;
        self.trace(&mut session, caller, traced(&zone, Some(told(&zone, &before)?), None)).await?;
        self.finish(session).await
    }

    /// Begins to roll a key: the one that signs keys, whose digest the parent must take over, or the other.
    pub async fn zone_dnssec_roll(&self, caller: &Caller, zone: ZoneId, role: Role) -> Result<Dnssec, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let before = session.zone_signing(zone.id).await?.ok_or(AppError::NotFound("signed zone"))?;
        let mut keys = Keys::kept(&before.keyset)?;
        if !keys.with(|set, make| set.roll(role, self.now_secs(), make))? {
            let why = "such a key is being rolled already, or the zone is to be signed no more".to_owned();
            return Err(AppError::InUse { what: "keys of the zone", name: zone.apex.to_string(), why });
        }
        self.keys_changed(session, caller, &zone, Some(before), keys).await
    }

    /// The DS records that a zone's parent should show, as data; none: it should show none.
    pub async fn ds_wanted(&self, zone: ZoneId) -> Result<Vec<Vec<u8>>, AppError> {
        let mut session = self.0.store.read().await?;
        let (Some(zone), Some(kept)) = (session.zone(zone).await?, session.zone_signing(zone).await?) else {
            return Ok(Vec::new());
        };
        let mut wanted = Keys::kept(&kept.keyset)?.set.sets(&labels(&zone.apex), self.now_secs())?.cds;
        wanted.retain(|data| *data != key::CDS_DELETE);
        Ok(wanted)
    }

    /// Takes in what a zone's parent is seen to show: true, every DS record that it should ([`App::ds_wanted`]); false, no DS record at
    /// all. Anything between is told by [`App::ds_at_parent`]. Of a zone that is not signed nothing is taken in.
    pub async fn ds_seen(&self, zone: ZoneId, seen: bool) -> Result<(), AppError> {
        let shown = if seen { self.ds_wanted(zone).await? } else { Vec::new() };
        if seen && shown.is_empty() {
            return Ok(());
        }
        self.ds_at_parent(zone, &shown).await
    }

    /// Whether a zone's parent was last seen to show a DS record of one of its keys.
    pub(crate) async fn ds_is_seen(&self, session: &mut Session, zone: ZoneId) -> Result<bool, AppError> {
        let Some(kept) = session.zone_signing(zone).await? else { return Ok(false) };
        Ok(Keys::kept(&kept.keyset)?.set.keys().iter().any(|key| key.seen_since.is_some()))
    }

    /// Whether a zone's parent should show other DS records than it was seen to.
    pub(crate) async fn waits_for_parent(&self, session: &mut Session, zone: ZoneId) -> Result<bool, AppError> {
        let Some(kept) = session.zone_signing(zone).await? else { return Ok(false) };
        Ok(Keys::kept(&kept.keyset)?.set.waits_for_parent())
    }

    /// Takes in which DS records a zone's parent shows now, as data (RFC 4034 §5.1).
    pub async fn ds_at_parent(&self, zone: ZoneId, shown: &[Vec<u8>]) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let (Some(zone), Some(before)) = (session.zone(zone).await?, session.zone_signing(zone).await?) else { return Ok(()) };
        let mut keys = Keys::kept(&before.keyset)?;
        let (set_before, now) = (keys.set.clone(), self.now_secs());
        keys.set.told(&labels(&zone.apex), shown, now);
        if keys.set == set_before {
            return Ok(());
        }
        if keys.set.status() != set_before.status() {
            tracing::info!(zone = %zone.apex, account = %zone.account, status = keys.set.status().as_str(), "the parent's DS changed");
        }
        self.keep_keys(&mut session, &zone, Some(before), keys).await?;
        self.finish(session).await
    }

    /// Does what is due with zones' keys: rolls them, signs them anew, forgets those of zones that are signed no more. Returns how many
    /// zones that were.
    pub async fn tend_zone_keys(&self) -> Result<usize, AppError> {
        let (now, node) = (self.now(), self.0.node_key.id());
        let due = self.0.store.read().await?.zone_signings_due(now, node, ZONES_AT_ONCE).await?;
        let mut tended = 0;
        for id in due {
            // Each by itself: one whose keys cannot be used keeps no other waiting.
            match self.tend_keys_of(id).await {
                Ok(()) => tended += 1,
                Err(error @ AppError::Store(_)) => return Err(error),
                Err(error) => tracing::error!(zone = %id, %error, "a zone's keys could not be looked after; trying again"),
            }
        }
        Ok(tended)
    }

    async fn tend_keys_of(&self, id: ZoneId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let (Some(zone), Some(before)) = (session.zone(id).await?, session.zone_signing(id).await?) else { return Ok(()) };
        let mut keys = Keys::kept(&before.keyset)?;
        if keys.set.is_over(self.now_secs()) {
            session.delete_zone_signing(id).await?;
            tracing::info!(zone = %zone.apex, account = %zone.account, "the zone is signed no more");
        } else {
            if keys.with(|set, make| set.step(self.now_secs(), make))? {
                tracing::info!(zone = %zone.apex, account = %zone.account, "the zone's keys took a step");
            }
            self.keep_keys(&mut session, &zone, Some(before), keys).await?;
        }
        session.commit().await?;
        Ok(())
    }

    /// Keeps what a caller changed, and says how it stands.
    async fn keys_changed(
        &self,
        mut session: Session,
        caller: &Caller,
        zone: &Zone,
        before: Option<ZoneSigning>,
        keys: Keys,
    ) -> Result<Dnssec, AppError> {
        let old = before.as_ref().map(|kept| told(zone, kept)).transpose()?;
        let is_same = before.as_ref().is_some_and(|kept| Keys::kept(&kept.keyset).is_ok_and(|old| old.set == keys.set));
        if let (true, Some(old)) = (is_same, &old) {
            return Ok(old.clone());
        }
        let kept = self.keep_keys(&mut session, zone, before, keys).await?;
        let new = told(zone, &kept)?;
        self.trace(&mut session, caller, traced(zone, old, Some(new.clone()))).await?;
        self.look_for_ds(&mut session, zone.id).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, status = new.status.as_str(), "the zone's signing changed");
        Ok(new)
    }

    /// Writes keys, with what name servers are to have of them.
    async fn keep_keys(
        &self,
        session: &mut Session,
        zone: &Zone,
        before: Option<ZoneSigning>,
        keys: Keys,
    ) -> Result<ZoneSigning, AppError> {
        let Keys { set, made } = keys;
        let mut sealed = session.zone_keys(zone.id).await?;
        for (number, secret) in made {
            let seal = self.0.keys.seal(Purpose::ZoneKey, &subject(zone.id, number), secret.expose());
            session.insert_zone_key(zone.id, number, &seal).await?;
            sealed.insert(number, seal);
        }
        for number in sealed.keys().filter(|number| !set.keys().iter().any(|key| key.number == **number)) {
            session.delete_zone_key(zone.id, *number).await?;
        }
        let secret = |number: u32| -> Result<Secret, AppError> {
            let sealed = sealed.get(&number).ok_or(AppError::Signing(KeyError::Secret))?;
            Ok(self.0.keys.open(Purpose::ZoneKey, &subject(zone.id, number), sealed)?)
        };
        let now = self.now_secs();
        let (signed, validity) = self.signed_keys(zone, &set, before.as_ref(), now, &secret)?;
        let wrapped = self.wrapped_key(zone.id, &set, before.as_ref(), &secret)?;
        let head = SignedHead { signed, algorithm: set.algorithm()?.number(), wrapped };
        let anew = now + i64::from(validity.half_at().wrapping_sub(seconds(now)));
        let next_at = set.next_at(now).map_or(anew, |at| at.min(anew)).saturating_mul(1_000_000);
        let status = |keyset: &str| Keys::kept(keyset).map(|keys| keys.set.status());
        let is_shown = before.as_ref().is_none_or(|before| before.head != head);
        let keyset = serde_json::to_string(&set).expect("the keys are plain data");
        let modified_at = match &before {
            Some(before) if status(&before.keyset)? == set.status() => before.modified_at,
            _ => self.now(),
        };
        let kept = ZoneSigning { zone: zone.id, keyset, head, next_at, modified_at };
        session.put_zone_signing(&kept, is_shown).await?;
        Ok(kept)
    }

    /// The sets of keys with their signatures: those of before where they say the same and hold long enough.
    fn signed_keys(
        &self,
        zone: &Zone,
        set: &KeySet,
        before: Option<&ZoneSigning>,
        now: i64,
        secret: &impl Fn(u32) -> Result<Secret, AppError>,
    ) -> Result<(Vec<u8>, Validity), AppError> {
        let apex = labels(&zone.apex);
        let sets = set.sets(&apex, now)?;
        if let Some(before) = before
            && let Ok(signed) = postcard::from_bytes::<RecordSets>(&before.head.signed)
            && let Some(validity) = sets.stand_in(&signed).filter(|validity| !validity.is_past_half(seconds(now)))
        {
            return Ok((before.head.signed.clone(), validity));
        }
        let signs = set.signing(Role::Entry).ok_or(AppError::Signing(KeyError::Secret))?;
        let pair = KeyPair::of_secret(set.algorithm()?, secret(signs.number)?.expose())?;
        let validity = Validity::from_now(seconds(now), SIGNED_SECS, &apex);
        let signed = sets.signed(&[ZoneKey::new(pair, ENTRY_FLAGS, &apex)], KEYS_TTL_SECS, validity)?;
        Ok((postcard::to_allocvec(&signed).expect("octets always serialize into memory"), validity))
    }

    /// The key that signs everything else, wrapped for the node: as before where that opens and is the same key.
    fn wrapped_key(
        &self,
        zone: ZoneId,
        set: &KeySet,
        before: Option<&ZoneSigning>,
        secret: &impl Fn(u32) -> Result<Secret, AppError>,
    ) -> Result<Vec<u8>, AppError> {
        let signs = set.signing(Role::Zone).ok_or(AppError::Signing(KeyError::Secret))?;
        let secret = secret(signs.number)?;
        if let Some(before) = before
            && let Ok(opened) = self.0.node_key.open(Purpose::ZoneKey, zone.as_bytes(), &before.head.wrapped)
            && opened.digest() == secret.digest()
        {
            return Ok(before.head.wrapped.clone());
        }
        Ok(self.0.node_key.seal(Purpose::ZoneKey, zone.as_bytes(), secret.expose()))
    }

    fn now_secs(&self) -> i64 {
        self.now().div_euclid(1_000_000)
    }
}

impl Keys {
    fn begin(algorithm: Algorithm, now: i64) -> Result<Self, AppError> {
        let mut made = HashMap::new();
        let set = KeySet::begin(algorithm, now, &mut make(algorithm, &mut made))?;
        Ok(Self { set, made })
    }

    fn kept(keyset: &str) -> Result<Self, AppError> {
        let set = serde_json::from_str(keyset).map_err(|_| AppError::Signing(KeyError::Secret))?;
        Ok(Self { set, made: HashMap::new() })
    }

    /// Does something that may make keys.
    fn with(
        &mut self,
        work: impl FnOnce(&mut KeySet, &mut dyn FnMut(Role, u32) -> Result<Vec<u8>, KeyError>) -> Result<bool, KeyError>,
    ) -> Result<bool, AppError> {
        let algorithm = self.set.algorithm()?;
        Ok(work(&mut self.set, &mut make(algorithm, &mut self.made))?)
    }
}

fn make(algorithm: Algorithm, made: &mut HashMap<u32, Secret>) -> impl FnMut(Role, u32) -> Result<Vec<u8>, KeyError> {
    move |_, number| {
        let (pair, secret) = KeyPair::generate(algorithm)?;
        made.insert(number, Secret::new(secret.to_vec()));
        Ok(pair.public().to_vec())
    }
}

/// How the zone stands, by what is kept.
fn told(zone: &Zone, kept: &ZoneSigning) -> Result<Dnssec, AppError> {
    let set = Keys::kept(&kept.keyset)?.set;
    let algorithm = set.algorithm()?;
    let signs = set.signing(Role::Entry).ok_or(AppError::Signing(KeyError::Secret))?;
    let dnskey = key::dnskey(ENTRY_FLAGS, algorithm, &signs.public);
    let digest = key::ds(&labels(&zone.apex), &dnskey).split_off(4);
    Ok(Dnssec {
        apex: zone.apex.clone(),
        status: set.status(),
        algorithm,
        flags: ENTRY_FLAGS,
        key_tag: key::key_tag(&dnskey),
        public_key: signs.public.clone(),
        digest_type: DIGEST_SHA_256,
        digest,
        modified_at: kept.modified_at,
    })
}

fn traced(zone: &Zone, old: Option<Dnssec>, new: Option<Dnssec>) -> Traced {
    let shown = |dnssec: Dnssec| -> Value {
        json!({ "status": dnssec.status.as_str(), "algorithm": dnssec.algorithm.number(), "key_tag": dnssec.key_tag })
    };
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action: "set",
        kind: "zone_dnssec",
        id: zone.id.to_string(),
        old: old.map(shown),
        new: new.map(shown),
    }
}

fn labels(apex: &Name) -> Vec<u8> {
    let mut labels = Vec::new();
    poterne_dns_wire::name::push(apex.as_str(), &mut labels);
    labels
}

/// What a private part is sealed as.
fn subject(zone: ZoneId, number: u32) -> Vec<u8> {
    [&zone.as_bytes()[..], &number.to_be_bytes()].concat()
}

/// Seconds as signatures count them.
fn seconds(now: i64) -> u32 {
    u32::try_from(now.rem_euclid(1 << 32)).unwrap_or_default()
}
