//! The stage that signs: it goes over the plan of an answer, puts the record that denies into negative ones, and a signature behind each
//! record set.
//!
//! ```text
//! Plan ──deny──→ NSEC at the name that was asked for (RFC 9824), or the DS of a delegation
//!      ──each set──→ canonical octets → digest ─┬─ remembered ──→ signature
//!                                               └─ budget of the zone ── sign ──→ signature, remembered
//! ```
//!
//! Nothing is signed beforehand but the keys themselves, which control signs: the zone's chain of names does not exist, so that nobody
//! walks it, and a wildcard's answer is signed as if it stood there. A signature is remembered under the octets it is over and the key
//! that made it, and knows nothing of generations: a zone that changes keeps all signatures of what did not.
//!
//! **Bounds.** So many signatures are remembered (what is asked for once gives way to what is asked for again, so that a flood of random
//! names does not push out the rest); so many are made a second for each zone, apart for those whose address is not proven. Beyond it
//! such a client is told to come over TCP, where others have a budget of their own; beyond that one it is SERVFAIL, for that zone alone
//! (edge-behaviour §5.11). A remembered signature that is past half its life is still given when the budget is spent.

mod canonical;

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use poterne_dns_sign::{
    Algorithm, KeyPair, Set, Signature, Validity, ZoneKey,
    key::ZONE_FLAGS,
    nsec::{NsecData, nsec},
    rrsig::ANSWER_SECS,
};
use poterne_dns_wire::{KeyName, RecordSets, rtype};
use poterne_keys::{NodeKey, Purpose};
use poterne_model::ZoneId;
use poterne_snapshot::{Zone, ZoneHead, ZoneKeys, transfer::PeerKey};
use quick_cache::sync::Cache;
use smallvec::SmallVec;

use crate::{
    Kind, Rcode, Signed,
    plan::{Data, ExtendedError, Item, Owner, Plan, Section, Sources, types},
    query::Question,
    write::labels,
};
use canonical::{Apart, Canonical};

/// The bounds of signing.
#[derive(Debug, Clone, Copy)]
pub struct SignerLimits {
    /// Signatures remembered. Default 65,536, at some 200 bytes each; fewer cost more signing, which a flood makes anyway.
    pub signatures_max: usize,
    /// Keys of zones held open. Default 16,384; of more zones those asked for least are opened again when they are.
    pub zones_max: usize,
    /// Signatures made a second for one zone for clients whose address is not proven, and as many again for others. Default 2,000: a
    /// tenth of what one core can make.
    pub made_per_sec_max: u32,
}

impl Default for SignerLimits {
    fn default() -> Self {
        Self { signatures_max: 65_536, zones_max: 16_384, made_per_sec_max: 2000 }
    }
}

/// Signs answers with the keys that zones' heads carry.
pub struct Signer {
    node_key: NodeKey,
    limits: SignerLimits,
    zones: Cache<ZoneId, Arc<OpenZone>>,
    signatures: Cache<u128, Signature>,
    /// Keyed at random: nobody can choose names whose digests meet.
    digests: [RandomState; 2],
    next_key: AtomicU64,
}

/// A zone's key, ready to sign.
pub(crate) struct OpenZone {
    pub(crate) key: ZoneKey,
    sealed: Bytes,
    /// Another number for each key that is opened.
    number: u64,
    /// Second and count of signatures made, for clients that are not proven and for others.
    spent: [AtomicU64; 2],
}

/// Who is answered, and what.
pub(crate) struct Asked<'a, 'q> {
    pub(crate) sources: Sources<'a>,
    pub(crate) question: &'q Question<'q>,
    pub(crate) turn: u32,
    /// Whether the client is where it says it is.
    pub(crate) is_proven: bool,
    /// Whether it takes NXDOMAIN beside a record that denies (RFC 9824 §5.1).
    pub(crate) compact_ok: bool,
}

/// What signing adds to a plan beside its items.
#[derive(Default)]
pub(crate) struct More {
    pub(crate) signed: Signed,
    pub(crate) signatures: SmallVec<[Signature; 4]>,
    pub(crate) nsec: NsecData,
}

/// Why an answer is not signed though its zone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// Its zone's budget is spent.
    Limited,
    /// Its key cannot be used on this node.
    NoKey,
}

impl Unsigned {
    pub(crate) fn why(self) -> ExtendedError {
        match self {
            Self::Limited => ExtendedError { code: 0, text: "too many signatures are asked for of this zone" },
            Self::NoKey => ExtendedError { code: 0, text: "the zone's key does not open on this node" },
        }
    }
}

impl Signer {
    /// A signer for the node whose key the zones' keys are wrapped with.
    pub fn new(node_key: NodeKey, limits: SignerLimits) -> Self {
        Self {
            node_key,
            limits,
            zones: Cache::new(limits.zones_max),
            signatures: Cache::new(limits.signatures_max),
            digests: [RandomState::new(), RandomState::new()],
            next_key: AtomicU64::new(0),
        }
    }

    /// A secret that is shared with another name server; none where it does not open on this node.
    pub fn peer_key(&self, key: &PeerKey) -> Option<poterne_dns_tsig::Key> {
        let secret = self.node_key.open(Purpose::TsigKey, &key.id, &key.sealed);
        let secret =
            secret.inspect_err(|error| tracing::error!(key = %key.name, %error, "a TSIG key does not open on this node"));
        let algorithm = poterne_dns_tsig::Algorithm::parse(&key.algorithm)?;
        Some(poterne_dns_tsig::Key::new(key.name.as_str(), algorithm, secret.ok()?.expose()))
    }

    /// Signs a plan's record sets, those of zones that are signed.
    pub(crate) fn sign<'a>(&self, asked: &Asked<'a, '_>, plan: &mut Plan<'a>, more: &mut More) -> Result<(), Unsigned> {
        deny(asked, plan, more);
        let items = std::mem::take(&mut plan.items);
        let elsewhere = plan.elsewhere.clone();
        for item in items {
            plan.items.push(item);
            let Some(head) = item.zone.map(Zone::head) else { continue };
            let Some(keys) = head.dns.as_ref().and_then(|dns| dns.keys.as_ref()) else { continue };
            // Neither what delegates nor glue is the zone's own word (RFC 4035 §2.2).
            if item.section == Section::Additional || (item.rtype == rtype::NS && plan.kind == Kind::Referral) {
                continue;
            }
            let signed = |data| Item { rtype: rtype::RRSIG, data, ..item };
            if let Data::OfKeys(set) = item.data {
                let signatures = keys.signed.get(rtype::RRSIG);
                let own =
                    signatures.iter().flat_map(|set| set.records()).filter(|data| data.starts_with(&set.rtype.to_be_bytes()));
                plan.items.extend(own.map(|data| signed(Data::Raw(data))));
                continue;
            }
            let signature = self.signature(asked, &item, elsewhere.as_ref(), (head, keys), more)?;
            plan.items.push(signed(Data::Signature(more.signatures.len())));
            more.signatures.push(signature);
        }
        Ok(())
    }

    fn signature(
        &self,
        asked: &Asked<'_, '_>,
        item: &Item<'_>,
        elsewhere: Option<&RecordSets>,
        (head, keys): (&ZoneHead, &ZoneKeys),
        more: &mut More,
    ) -> Result<Signature, Unsigned> {
        let now_secs = asked.sources.now_secs;
        let zone = self.zone(head, keys).ok_or(Unsigned::NoKey)?;
        let owner = owner(item.owner, asked.question);
        let canonical =
            Canonical::of(item, &owner, asked.sources.snapshot.node(), asked.turn, &Apart { nsec: &more.nsec, elsewhere });
        let digest = self.digest(zone.number, item, &canonical);
        let found = self.signatures.get(&digest).filter(|signature| signature.validity.holds(now_secs));
        if let Some(signature) = &found
            && !signature.validity.is_past_half(now_secs)
        {
            more.signed.remembered = more.signed.remembered.saturating_add(1);
            return Ok(*signature);
        }
        if !zone.spend(now_secs, asked.is_proven, self.limits.made_per_sec_max) {
            more.signed.is_refused = true;
            return found.ok_or(Unsigned::Limited);
        }
        let records = canonical.records();
        let set = Set { owner: &owner, rtype: item.rtype, ttl_secs: item.ttl_secs, records: &records };
        let validity = Validity::from_now(now_secs, ANSWER_SECS, &owner);
        let signature = zone.key.sign(&set, validity).map_err(|_| Unsigned::NoKey)?;
        more.signed.made = more.signed.made.saturating_add(1);
        self.signatures.insert(digest, signature);
        Ok(signature)
    }

    /// The zone's key, opened once.
    pub(crate) fn zone(&self, head: &ZoneHead, keys: &ZoneKeys) -> Option<Arc<OpenZone>> {
        if let Some(zone) = self.zones.get(&head.id).filter(|zone| zone.sealed == keys.key) {
            return Some(zone);
        }
        let secret = self.node_key.open(Purpose::ZoneKey, head.id.as_bytes(), &keys.key).ok()?;
        let pair = KeyPair::of_secret(Algorithm::try_from(keys.algorithm).ok()?, secret.expose()).ok()?;
        let key = ZoneKey::new(pair, ZONE_FLAGS, &labels(&head.apex));
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        let zone = Arc::new(OpenZone { key, sealed: keys.key.clone(), number, spent: [AtomicU64::new(0), AtomicU64::new(0)] });
        self.zones.insert(head.id, Arc::clone(&zone));
        Some(zone)
    }

    /// Of a set that another name server is given, and the key that signs it, as it is sealed.
    pub(crate) fn digest_of(&self, sealed: &[u8], set: &Set<'_>) -> u128 {
        let mut records: SmallVec<[&[u8]; 8]> = SmallVec::from_slice(set.records);
        records.sort_unstable();
        let [low, high] = [0, 1].map(|half: usize| {
            let mut hasher = self.digests[half].build_hasher();
            let mut write = |octets: &[u8]| {
                hasher.write_usize(octets.len());
                hasher.write(octets);
            };
            write(sealed);
            write(set.owner);
            write(&set.rtype.to_be_bytes());
            write(&set.ttl_secs.to_be_bytes());
            records.iter().for_each(|data| write(data));
            u128::from(hasher.finish())
        });
        high << 64 | low
    }

    fn digest(&self, key: u64, item: &Item<'_>, canonical: &Canonical) -> u128 {
        let mut first = [0; 14];
        first[..8].copy_from_slice(&key.to_be_bytes());
        first[8..10].copy_from_slice(&item.rtype.to_be_bytes());
        first[10..].copy_from_slice(&item.ttl_secs.to_be_bytes());
        let [low, high] = [0, 1].map(|half: usize| {
            let mut hasher = self.digests[half].build_hasher();
            hasher.write(&first);
            hasher.write(canonical.octets());
            u128::from(hasher.finish())
        });
        high << 64 | low
    }
}

impl OpenZone {
    /// Whether one more signature may be made in this second.
    fn spend(&self, now_secs: u32, is_proven: bool, per_sec_max: u32) -> bool {
        let second = u64::from(now_secs) << 32;
        let next = |spent: u64| match spent.checked_sub(second).filter(|count| *count <= u64::from(u32::MAX)) {
            Some(count) => (count < u64::from(per_sec_max)).then_some(spent + 1),
            None => (per_sec_max > 0).then_some(second + 1),
        };
        self.spent[usize::from(is_proven)].fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Puts in what a negative answer or a referral of a signed zone needs.
fn deny<'a>(asked: &Asked<'a, '_>, plan: &mut Plan<'a>, more: &mut More) {
    // There is one at every name, beside a CNAME too.
    let is_asked = asked.question.rtype == rtype::NSEC && plan.kind != Kind::Referral;
    let first = plan.items.first().and_then(|item| item.zone).filter(|_| is_asked);
    let Some((zone, denied)) = first.map(|zone| (zone, Owner::Question)).or(plan.denied) else { return };
    let Some(dns) = zone.head().dns.as_ref().filter(|dns| dns.keys.is_some()) else { return };
    let labels = owner(denied, asked.question);
    let Some(name) = KeyName::of_wire(&labels) else { return };
    let item = |section, rtype, ttl_secs, data| Item { section, owner: denied, rtype, ttl_secs, data, zone: Some(zone) };
    if plan.kind == Kind::Referral
        && let Some((_, chunk)) = zone.cut(name.as_str())
        && let Some(ds) = chunk.sets.get(rtype::DS)
    {
        // Before any glue.
        let at = plan.items.iter().take_while(|item| item.section != Section::Additional).count();
        return plan.items.insert(at, item(Section::Authority, rtype::DS, ds.ttl_secs, Data::Set(ds)));
    }
    let mut types = types::types(asked.sources, zone, dns, name.as_str());
    if plan.kind == Kind::NoName && (is_asked || !asked.compact_ok) {
        plan.rcode = Rcode::NoError;
    }
    let mut section = Section::Authority;
    if is_asked {
        (section, plan.kind) = (Section::Answer, Kind::Data);
        plan.items.clear();
    } else if plan.kind == Kind::NoData && asked.question.rtype != rtype::RRSIG {
        // It cannot be; a denial that says otherwise would be a lie to whoever validates it.
        types.retain(|rtype| *rtype != asked.question.rtype);
    }
    more.nsec = nsec(&labels, &types);
    // RFC 9077 §3: no longer than the absence may be kept in mind.
    let ttl_secs = dns.soa.ttl.min(dns.soa.min_ttl);
    let at = plan.items.iter().take_while(|item| item.section != Section::Additional).count();
    plan.items.insert(at, item(section, rtype::NSEC, ttl_secs, Data::Nsec));
}

/// An owner's labels in lower case.
fn owner(owner: Owner<'_>, question: &Question<'_>) -> SmallVec<[u8; 128]> {
    let mut octets: SmallVec<[u8; 128]> = match owner {
        Owner::Question => SmallVec::from_slice(question.name),
        // Labels and their text are as long, but for the first length and the root.
        Owner::Above(text_length) => SmallVec::from_slice(&question.name[question.name.len().saturating_sub(text_length + 2)..]),
        Owner::Wire(labels) => SmallVec::from_slice(labels),
        Owner::Apex(name) => SmallVec::from_slice(&labels(name)),
    };
    // Lengths are below the letters.
    octets.make_ascii_lowercase();
    octets
}
