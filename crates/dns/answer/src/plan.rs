//! What is answered: which record sets, under which names, in which sections. Nothing is written yet.
//!
//! RFC 1034 §4.3.2, RFC 4592 for wildcards, RFC 2308 for what is not there, RFC 6604 for the code at the end of a chain, and
//! edge-behaviour §1.5 (proxied names), §1.6 (flattening) and §1.11.

mod challenge;
mod flatten;
mod suffix;
pub(crate) mod types;
pub(crate) mod whole;

use std::net::IpAddr;

use poterne_dns_wire::{KeyName, RecordSet, RecordSets, Sets, rtype};
use poterne_model::{AccountId, Name, TunnelId, chain::CHAIN_LENGTH_MAX, name::is_within};
use poterne_snapshot::{Found, NameView, Shows, Snapshot, Zone, ZoneDns, ZoneHead, transfer::Standing};
use smallvec::SmallVec;

use crate::{Elsewhere, Kind, Rcode, Sought, query::Question};
pub(crate) use challenge::Texts;
use flatten::Flattened;

/// TTL of what is made of the edges' addresses, in seconds (edge-behaviour §1.5).
pub(crate) const EDGE_TTL_SECS: u32 = 300;

/// TTL of the answer to "anything", in seconds (edge-behaviour §1.11).
pub(crate) const ANY_TTL_SECS: u32 = 3600;

/// What answers are made of.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// What names of others lead to, where somebody looks that up.
    pub(crate) elsewhere: Option<&'a Elsewhere>,
    /// Seconds since the Unix epoch, modulo 2^32.
    pub(crate) now_secs: u32,
}

impl<'a> Sources<'a> {
    /// The snapshot alone: what leads elsewhere is not looked up.
    fn alone(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, elsewhere: None, now_secs: 0 }
    }
}

/// An answer, undecided in nothing but its octets.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) rcode: Rcode,
    pub(crate) is_authoritative: bool,
    /// By section, in their order.
    pub(crate) items: SmallVec<[Item<'a>; 4]>,
    pub(crate) why: Option<ExtendedError>,
    pub(crate) kind: Kind,
    pub(crate) zone: Option<&'a ZoneHead>,
    /// The name that is not there, or has not what was asked for, or is delegated; and its zone.
    pub(crate) denied: Option<(&'a Zone, Owner<'a>)>,
    /// The addresses that [`Data::Elsewhere`] means.
    pub(crate) elsewhere: Option<RecordSets>,
    /// What should be looked up, and whether the answer is none without it.
    pub(crate) sought: Option<Box<Sought>>,
    pub(crate) lacks: bool,
}

/// An extended error (RFC 8914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    pub(crate) code: u16,
    pub(crate) text: &'static str,
}

impl ExtendedError {
    /// RFC 8914 §4.15.
    pub(crate) const NOT_READY: Self = Self { code: 14, text: "the zone is not whole on this node yet" };
    /// RFC 8914 §4.15.
    pub(crate) const NOT_COPIED: Self = Self { code: 14, text: "the zone has not come from its primaries yet" };
    /// RFC 8914 §4.25.
    pub(crate) const EXPIRED: Self = Self { code: 24, text: "the zone has expired: its primaries are not heard of" };
    /// RFC 8914 §4.19.
    pub(crate) const PROHIBITED: Self = Self { code: 18, text: "" };
    /// RFC 8914 §4.21.
    pub(crate) const NOT_AUTHORITATIVE: Self = Self { code: 20, text: "" };
    /// RFC 9824 §3.6.
    pub(crate) const INVALID_TYPE: Self = Self { code: 30, text: "" };
    /// RFC 8914 §4.1: other.
    pub(crate) const CNAME_LOOP: Self = Self { code: 0, text: "a CNAME chain comes back to itself" };
    /// RFC 8914 §4.1: other.
    pub(crate) const LEADS_AWAY: Self =
        Self { code: 0, text: "the apex has a CNAME to another zone, and nobody to ask where that is" };
    /// RFC 8914 §4.23.
    pub(crate) const UNREACHED: Self = Self { code: 22, text: "what the CNAME leads to cannot be found" };
    /// RFC 8914 §4.4.
    pub(crate) const STALE: Self = Self { code: 3, text: "what the CNAME leads to cannot be found anew" };
    /// RFC 8914 §4.16.
    pub(crate) const BLOCKED: Self = Self { code: 15, text: "the CNAME leads to private addresses alone" };
}

/// One record set of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) section: Section,
    pub(crate) owner: Owner<'a>,
    pub(crate) rtype: u16,
    pub(crate) ttl_secs: u32,
    pub(crate) data: Data<'a>,
    /// Whose word it is.
    pub(crate) zone: Option<&'a Zone>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// Whose records.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// The name that was asked for.
    Question,
    /// An ancestor of it, whose text has this many octets.
    Above(usize),
    /// Labels, as they stand in the snapshot.
    Wire(&'a [u8]),
    /// A zone's apex.
    Apex(&'a Name),
}

/// What of the edges' ways is told: hints of these families, and which protocols are among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    pub(crate) http2: bool,
    pub(crate) http3: bool,
}

/// What they say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    /// As they are kept.
    Set(RecordSet<'a>),
    /// The zone's keys or what is said of them to the parent: control has made and signed them.
    OfKeys(RecordSet<'a>),
    /// The edges' addresses of the item's type.
    Edge,
    /// Addresses found at another provider: [`Plan::elsewhere`].
    Elsewhere,
    /// How to reach the edges over HTTP.
    Service(Ways),
    /// The start of authority of a zone of that name.
    Soa(&'a Name, &'a ZoneDns),
    /// Challenges, and the user's own TXT records beside them.
    Texts(Texts<'a>),
    /// Name servers, and the user's own beside them.
    NameServers(&'a [Name], Option<RecordSet<'a>>),
    /// RFC 8482 §4.2.
    Minimal,
    /// The record that denies (`sign`).
    Nsec,
    /// The signature of that number (`sign`).
    Signature(usize),
    /// One record as it is kept.
    Raw(&'a [u8]),
}

impl Plan<'_> {
    /// An answer without records.
    pub(crate) fn error(rcode: Rcode, why: Option<ExtendedError>) -> Self {
        let (items, kind) = (SmallVec::new(), Kind::Error);
        let (zone, denied, elsewhere, sought) = (None, None, None, None);
        Self { rcode, is_authoritative: false, items, why, kind, zone, denied, elsewhere, sought, lacks: false }
    }

    /// No error, and nothing beside.
    pub(crate) fn empty() -> Self {
        Self { kind: Kind::NoData, ..Self::error(Rcode::NoError, None) }
    }
}

/// Answers a question that is one.
pub(crate) fn of<'a>(sources: Sources<'a>, question: &Question<'_>) -> Plan<'a> {
    let mut walk = Walk::new(sources, question.rtype);
    walk.run(question);
    walk.plan.zone = walk.zone.map(|(zone, _)| zone.head());
    walk.plan
}

struct Walk<'a> {
    sources: Sources<'a>,
    snapshot: &'a Snapshot,
    rtype: u16,
    plan: Plan<'a>,
    /// The zone that was asked, first of all.
    zone: Option<(&'a Zone, &'a ZoneDns)>,
    /// The zone that is answered from now.
    standing: Option<&'a Zone>,
    /// The node's suffix, where it is a name below that which is asked for.
    suffix: Option<&'a Name>,
    /// The targets that CNAMEs have led to.
    passed: SmallVec<[&'a [u8]; 8]>,
}

/// A name to be answered for, in its zone.
#[derive(Clone, Copy)]
struct Place<'a, 'n> {
    zone: &'a Zone,
    dns: &'a ZoneDns,
    name: &'n str,
    owner: Owner<'a>,
}

impl<'a> Walk<'a> {
    fn run(&mut self, question: &Question<'_>) {
        if self.is_of_suffix(question) {
            return;
        }
        let Some(zone) = self.zone_of(question) else { return self.fail(Rcode::Refused, ExtendedError::NOT_AUTHORITATIVE) };
        let Some(dns) = &zone.head().dns else { return self.fail(Rcode::ServFail, ExtendedError::NOT_READY) };
        if let Some(why) = unanswered(zone) {
            return self.fail(Rcode::ServFail, why);
        }
        self.zone = Some((zone, dns));
        self.plan.is_authoritative = true;
        let mut follow = self.at(Place { zone, dns, name: question.key.as_str(), owner: Owner::Question });
        while let Some(target) = follow {
            let Some(key) = KeyName::of_wire(target) else { return };
            if key.as_str() == question.key.as_str() || self.passed.contains(&target) {
                return self.fail(Rcode::ServFail, ExtendedError::CNAME_LOOP);
            }
            self.passed.push(target);
            // Who asked goes on from there by himself.
            if self.passed.len() > CHAIN_LENGTH_MAX {
                return;
            }
            let account = zone.head().account;
            let Some((zone, dns)) = self.own_zone_over(&key, account) else { return };
            if zone.cut(key.as_str()).is_some() {
                return;
            }
            follow = self.at(Place { zone, dns, name: key.as_str(), owner: Owner::Wire(target) });
        }
    }

    /// The zone a question is answered from. The digest of a zone's keys stands in the zone above it (RFC 4035 §3.1.4.1).
    fn zone_of(&self, question: &Question<'_>) -> Option<&'a Zone> {
        let name = question.key.as_str();
        let zone = self.snapshot.zone_over(name)?;
        if question.rtype == rtype::DS
            && zone.head().apex.as_str() == name
            && let Some((_, above)) = name.split_once('.')
            && let Some(parent) = self.snapshot.zone_over(above)
        {
            return Some(parent);
        }
        Some(zone)
    }

    /// The zone over a name that a chain leads to, if the same account's and whole.
    fn own_zone_over(&self, key: &KeyName, account: AccountId) -> Option<(&'a Zone, &'a ZoneDns)> {
        own_zone_over(self.snapshot, account, key.as_str())
    }

    /// Answers for a name; returns what its CNAME leads to, if that is to be followed.
    fn at(&mut self, place: Place<'a, '_>) -> Option<&'a [u8]> {
        self.standing = Some(place.zone);
        if let Some((cut, chunk)) = place.zone.cut(place.name) {
            if self.rtype == rtype::DS && cut == place.name {
                return self.set_or_nothing(place, &chunk.sets);
            }
            self.refer(place.zone, cut, &chunk.sets);
            return None;
        }
        if self.rtype == rtype::DS && is_of_a_zone_below(self.snapshot, place.zone, place.name) {
            // As at any cut: what else stands there is hidden by the zone below.
            return match place.zone.name(place.name) {
                Some(chunk) => self.set_or_nothing(place, &chunk.sets),
                None => self.no_data(place),
            };
        }
        if self.is_of_tunnel(place.name) {
            return self.no_data(place);
        }
        let found = place.zone.find(place.name);
        let texts = self.texts(place, found);
        match (found, texts) {
            (_, Some(texts)) if self.rtype == rtype::TXT => {
                self.challenged(place, texts);
                None
            }
            (Found::Name(chunk) | Found::Wildcard(chunk), _) => self.name(place, chunk),
            (Found::Empty, _) if place.is_apex() => self.apex(place, None),
            (Found::Empty | Found::Nothing, Some(_)) if matches!(self.rtype, rtype::ANY | rtype::RRSIG) => {
                self.minimal(place.owner)
            }
            (Found::Empty, _) | (Found::Nothing, Some(_)) => self.no_data(place),
            (Found::Nothing, None) => {
                self.plan.rcode = Rcode::NxDomain;
                self.plan.kind = Kind::NoName;
                self.soa(place);
                None
            }
        }
    }

    /// Names of tunnels mean something to the edge alone (edge-behaviour §1.7).
    fn is_of_tunnel(&self, name: &str) -> bool {
        let domain = self.snapshot.node().tunnel_domain.as_ref();
        let label = domain.and_then(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'));
        label.is_some_and(|label| label.parse::<TunnelId>().is_ok())
    }

    fn apex(&mut self, place: Place<'a, '_>, chunk: Option<NameView<'a>>) -> Option<&'a [u8]> {
        match self.rtype {
            rtype::SOA => {
                let Place { zone, dns, .. } = place;
                self.put(Section::Answer, place.owner, rtype::SOA, dns.soa.ttl, Data::Soa(&zone.head().apex, dns));
                None
            }
            rtype::NS => {
                let Some(servers) = self.name_servers(place, chunk) else { return self.no_data(place) };
                self.put(Section::Answer, place.owner, rtype::NS, ns_ttl_secs(place, chunk), servers);
                None
            }
            rtype if types::is_of_keys(rtype) && place.dns.keys.is_some() => {
                let set = place.dns.keys.as_ref().and_then(|keys| keys.signed.get(rtype));
                let Some(set) = set else { return self.no_data(place) };
                self.put(Section::Answer, place.owner, rtype, set.ttl_secs, Data::OfKeys(set));
                None
            }
            rtype::ANY | rtype::RRSIG => self.minimal(place.owner),
            _ => match chunk {
                Some(chunk) => self.shown(place, chunk),
                None => self.no_data(place),
            },
        }
    }

    fn name_servers(&self, place: Place<'a, '_>, chunk: Option<NameView<'a>>) -> Option<Data<'a>> {
        let given = &*place.dns.name_servers;
        let given = match place.zone.transfer() {
            // A copy says what its primary says.
            Some(transfer) if transfer.incoming.is_some() => &[],
            _ if given.is_empty() => &*self.snapshot.node().nameservers,
            _ => given,
        };
        let own = chunk.filter(|_| given.is_empty() || place.dns.multi_provider).and_then(|chunk| chunk.sets.get(rtype::NS));
        (!given.is_empty() || own.is_some()).then_some(Data::NameServers(given, own))
    }

    fn name(&mut self, place: Place<'a, '_>, chunk: NameView<'a>) -> Option<&'a [u8]> {
        if place.is_apex() {
            return self.apex(place, Some(chunk));
        }
        match self.rtype {
            rtype::ANY | rtype::RRSIG if chunk.shows != Shows::Records || !chunk.sets.is_empty() => self.minimal(place.owner),
            _ => self.shown(place, chunk),
        }
    }

    fn shown(&mut self, place: Place<'a, '_>, chunk: NameView<'a>) -> Option<&'a [u8]> {
        if chunk.shows != Shows::Records {
            return self.proxied(place, chunk);
        }
        let Some(cname) = chunk.sets.get(rtype::CNAME) else { return self.set_or_nothing(place, &chunk.sets) };
        let Some(target) = cname.records().next() else { return self.set_or_nothing(place, &chunk.sets) };
        match self.flattened(place, &cname, target) {
            Flattened::Shown if self.rtype == rtype::CNAME => self.set_or_nothing(place, &chunk.sets),
            Flattened::Shown => {
                self.put(Section::Answer, place.owner, rtype::CNAME, cname.ttl_secs, Data::Set(cname));
                Some(target)
            }
            _ if self.rtype == rtype::CNAME => self.no_data(place),
            // A CNAME that is not seen stands beside others, and only addresses come from what it leads to.
            _ if !matches!(self.rtype, rtype::A | rtype::AAAA) => self.set_or_nothing(place, &chunk.sets),
            Flattened::Set(set, ttl_secs) => {
                self.put(Section::Answer, place.owner, set.rtype, ttl_secs, Data::Set(set));
                None
            }
            Flattened::Elsewhere(ttl_secs) => {
                self.put(Section::Answer, place.owner, self.rtype, ttl_secs, Data::Elsewhere);
                None
            }
            Flattened::Edge(shows) => self.edge(place, shows),
            Flattened::Nothing => self.no_data(place),
            Flattened::Unknown => {
                self.fail(Rcode::ServFail, ExtendedError::UNREACHED);
                self.plan.lacks = self.plan.sought.is_some();
                None
            }
            Flattened::Failed => {
                self.fail(Rcode::ServFail, ExtendedError::UNREACHED);
                None
            }
            Flattened::Loop => {
                self.fail(Rcode::ServFail, ExtendedError::CNAME_LOOP);
                None
            }
            Flattened::Away => {
                self.fail(Rcode::ServFail, ExtendedError::LEADS_AWAY);
                None
            }
        }
    }

    fn proxied(&mut self, place: Place<'a, '_>, chunk: NameView<'a>) -> Option<&'a [u8]> {
        match self.rtype {
            rtype::A | rtype::AAAA => self.edge(place, chunk.shows),
            // The user's own takes precedence (edge-behaviour §1.9).
            rtype::HTTPS if chunk.sets.get(rtype::HTTPS).is_none() => {
                let (ipv4, ipv6) = (self.edge_has(chunk.shows, rtype::A), self.edge_has(chunk.shows, rtype::AAAA));
                if !(ipv4 || ipv6) || self.snapshot.node().edge_protocols.is_empty() {
                    return self.no_data(place);
                }
                let head = place.zone.head();
                let service = Ways { ipv4, ipv6, http2: head.edge.http2, http3: head.edge.http3 };
                self.put(Section::Answer, place.owner, rtype::HTTPS, EDGE_TTL_SECS, Data::Service(service));
                None
            }
            _ => self.set_or_nothing(place, &chunk.sets),
        }
    }

    fn edge(&mut self, place: Place<'a, '_>, shows: Shows) -> Option<&'a [u8]> {
        if !self.edge_has(shows, self.rtype) {
            return self.no_data(place);
        }
        self.put(Section::Answer, place.owner, self.rtype, EDGE_TTL_SECS, Data::Edge);
        None
    }

    fn edge_has(&self, shows: Shows, rtype: u16) -> bool {
        let shown = match shows {
            Shows::Edge => true,
            Shows::EdgeIpv4 => rtype == rtype::A,
            Shows::EdgeIpv6 => rtype == rtype::AAAA,
            Shows::Records => false,
        };
        shown && self.snapshot.node().edge_addresses.iter().any(|address| is_of(rtype, address))
    }

    fn minimal(&mut self, owner: Owner<'a>) -> Option<&'a [u8]> {
        self.put(Section::Answer, owner, rtype::HINFO, ANY_TTL_SECS, Data::Minimal);
        None
    }

    fn set_or_nothing(&mut self, place: Place<'a, '_>, sets: &Sets<'a>) -> Option<&'a [u8]> {
        match sets.get(self.rtype) {
            Some(set) => {
                self.put(Section::Answer, place.owner, set.rtype, set.ttl_secs, Data::Set(set));
                None
            }
            None => self.no_data(place),
        }
    }

    fn no_data(&mut self, place: Place<'a, '_>) -> Option<&'a [u8]> {
        self.plan.kind = Kind::NoData;
        self.soa(place);
        None
    }

    /// RFC 2308 §3: how long it may be kept in mind that something is not there.
    fn soa(&mut self, place: Place<'a, '_>) {
        if self.suffix.is_some() {
            return self.nothing_of_suffix();
        }
        let head = place.zone.head();
        let owner = match place.owner {
            Owner::Question => Owner::Above(head.apex.as_str().len()),
            _ => Owner::Apex(&head.apex),
        };
        let ttl_secs = place.dns.soa.ttl.min(place.dns.soa.min_ttl);
        self.plan.denied = Some((place.zone, place.owner));
        self.add(Section::Authority, owner, rtype::SOA, ttl_secs, Data::Soa(&head.apex, place.dns));
    }

    /// RFC 1034 §4.3.2 3b: who answers instead, and where he is when that is below what he answers for (RFC 9471).
    fn refer(&mut self, zone: &'a Zone, cut: &str, sets: &Sets<'a>) {
        let Some(servers) = sets.get(rtype::NS) else { return };
        self.plan.is_authoritative = false;
        self.plan.kind = Kind::Referral;
        self.plan.denied = Some((zone, Owner::Above(cut.len())));
        self.add(Section::Authority, Owner::Above(cut.len()), rtype::NS, servers.ttl_secs, Data::Set(servers));
        for server in servers.records() {
            let Some(key) = KeyName::of_wire(server).filter(|key| is_within(key.as_str(), zone.head().apex.as_str())) else {
                continue;
            };
            let Some(chunk) = zone.name(key.as_str()) else { continue };
            for set in [rtype::A, rtype::AAAA].iter().filter_map(|rtype| chunk.sets.get(*rtype)) {
                self.add(Section::Additional, Owner::Wire(server), set.rtype, set.ttl_secs, Data::Set(set));
            }
        }
    }

    fn put(&mut self, section: Section, owner: Owner<'a>, rtype: u16, ttl_secs: u32, data: Data<'a>) {
        self.plan.kind = Kind::Data;
        self.add(section, owner, rtype, ttl_secs, data);
    }

    fn add(&mut self, section: Section, owner: Owner<'a>, rtype: u16, ttl_secs: u32, data: Data<'a>) {
        self.plan.items.push(Item { section, owner, rtype, ttl_secs, data, zone: self.standing });
    }

    fn fail(&mut self, rcode: Rcode, why: ExtendedError) {
        let sought = self.plan.sought.take();
        self.plan = Plan { sought, ..Plan::error(rcode, Some(why)) };
    }
}

/// Why a zone that is another server's is not answered for.
fn unanswered(zone: &Zone) -> Option<ExtendedError> {
    match zone.transfer()?.incoming.as_ref()?.standing {
        Standing::Whole => None,
        Standing::Waiting => Some(ExtendedError::NOT_COPIED),
        Standing::Expired => Some(ExtendedError::EXPIRED),
    }
}

/// TTL of an apex' NS records.
fn ns_ttl_secs(place: Place<'_, '_>, chunk: Option<NameView<'_>>) -> u32 {
    let is_copy = place.zone.transfer().is_some_and(|transfer| transfer.incoming.is_some());
    let copied = chunk.filter(|_| is_copy).and_then(|chunk| chunk.sets.get(rtype::NS));
    copied.map_or(place.dns.ns_ttl_secs, |set| set.ttl_secs)
}

/// What is answered to "what changed" over UDP, where it never fits: which version there is (RFC 1995 §2). None where nobody may have the
/// zone.
pub(crate) fn of_difference<'a>(snapshot: &'a Snapshot, question: &Question<'_>) -> Option<Plan<'a>> {
    let zone = snapshot.zone_over(question.key.as_str()).filter(|zone| zone.head().apex.as_str() == question.key.as_str())?;
    zone.transfer()?.outgoing.as_ref()?;
    let mut walk = Walk::new(Sources::alone(snapshot), rtype::SOA);
    walk.run(question);
    walk.plan.zone = walk.zone.map(|(zone, _)| zone.head());
    Some(walk.plan)
}

impl Place<'_, '_> {
    fn is_apex(&self) -> bool {
        self.name == self.zone.head().apex.as_str()
    }
}

fn own_zone_over<'a>(snapshot: &'a Snapshot, account: AccountId, name: &str) -> Option<(&'a Zone, &'a ZoneDns)> {
    if suffix::before(snapshot, name).is_some() {
        return None;
    }
    let zone = snapshot.zone_over(name).filter(|zone| zone.head().account == account)?;
    Some((zone, zone.head().dns.as_ref().filter(|_| unanswered(zone).is_none())?))
}

/// Whether this account's zones here say what is at a name, so that nobody else need be asked.
pub fn is_own(snapshot: &Snapshot, account: AccountId, name: &Name) -> bool {
    own_zone_over(snapshot, account, name.as_str()).is_some_and(|(zone, _)| zone.cut(name.as_str()).is_none())
}

/// Whether a name is the apex of a zone here that lies below this one, which need not say so by NS records: whoever asks this server is
/// answered from the zone below, and whoever validates asks the zone above whether that is meant.
pub(crate) fn is_of_a_zone_below(snapshot: &Snapshot, zone: &Zone, name: &str) -> bool {
    let is_apex = || snapshot.zone_over(name).is_some_and(|below| below.head().apex.as_str() == name);
    name != zone.head().apex.as_str() && (is_apex() || suffix::is_suffix(snapshot, name))
}

/// Whether an address is one of that type's.
pub(crate) fn is_of(rtype: u16, address: &IpAddr) -> bool {
    match rtype {
        rtype::A => address.is_ipv4(),
        rtype::AAAA => address.is_ipv6(),
        _ => false,
    }
}
