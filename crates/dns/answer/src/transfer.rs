//! A zone whole (AXFR, RFC 5936), or what changed of it (IXFR, RFC 1995), as messages.
//!
//! ```text
//! query ─Transfer::begin─→ who asks may have it ─┬─ whole ───────→ lines ─Packer─→ messages of 16 KiB, each signed where the query was
//!                                                ├─ SignedWhole ─→ lines ─┤
//!                                                ├─ difference ──→ lines ─┤
//!                                                └─ SignedDifference ─→ ──┘
//! ```
//!
//! A signed zone is given with signatures ([`signed`]). To say what changed of it one must tell, too, which signatures went: those that a
//! version was given with are remembered ([`signatures`]).
//!
//! Everything comes from one snapshot, so that whoever gets it gets one version. What changed is found by comparing it with the snapshot
//! that the same peer was given last: there is no journal to keep beside, and nothing to be lost with it; where that snapshot is not at
//! hand any more the zone is given whole, which RFC 1995 §4 allows. Making a message waits for nothing and is bounded.

pub mod signatures;
pub mod signed;

use poterne_dns_tsig::{self as tsig, Answering};
use poterne_dns_wire::{name, rtype};
use poterne_model::{AccountId, ZoneId};
use poterne_snapshot::{Snapshot, Zone, ZoneDns, transfer::Standing};

use crate::{
    Client, Service, Transport, UDP_OCTETS_MAX,
    plan::whole::{lines, lines_at, start},
    query::{self, HEADER, Parsed},
    signed as signed_query,
    write::stands_at,
};

pub use crate::plan::whole::Line;

/// Octets of a message, without its signature, unless a single record takes more: names in it can be pointed to everywhere.
const MESSAGE_OCTETS: usize = 16 * 1024;

/// Most records that changed and are told one by one; where more did, the zone is given whole.
pub const CHANGES_MAX: usize = 50_000;

/// Most places remembered that a name can point to, in one message.
const PLACES_MAX: usize = 256;

/// QR and AA.
const ANSWER: u8 = 0x84;

/// A transfer that was asked for by somebody who may have it.
#[derive(Debug)]
pub struct Transfer {
    /// The zone.
    pub zone: ZoneId,
    /// Its owner.
    pub account: AccountId,
    /// The version that is given.
    pub serial: u32,
    /// Of whoever asks for what changed: the version there is.
    pub since: Option<u32>,
    /// Who asks.
    pub peer: [u8; 16],
    packer: Packer,
}

/// Whether a message asks for a zone, or for what changed of it. It may be malformed all the same.
pub fn is_asked(message: &[u8]) -> bool {
    let Some(&[_, _, flags, _, 0, 1, ..]) = message.first_chunk::<HEADER>() else { return false };
    let rest = &message[HEADER..];
    let asked = name::length(rest).and_then(|length| rest.get(length..length + 2));
    flags & 0xf8 == 0 && asked.is_some_and(|asked| matches!(u16::from_be_bytes([asked[0], asked[1]]), rtype::AXFR | rtype::IXFR))
}

impl Transfer {
    /// Of a query over a stream. None where the zone is not to be had by whoever asks, or not now: [`crate::answer`] says why.
    pub fn begin(snapshot: &Snapshot, service: &Service, client: &Client, message: &[u8]) -> Option<Self> {
        if client.transport == Transport::Udp {
            return None;
        }
        let Parsed::Query(query) = query::parse(message) else { return None };
        let question = query.question.as_ref().filter(|question| question.class == rtype::CLASS_IN)?;
        let apex = question.key.as_str();
        let zone = snapshot.zone_over(apex).filter(|zone| zone.head().apex.as_str() == apex)?;
        let found = tsig::find(message).ok()?;
        let known = match &found {
            Some(found) => Some(signed_query::known(snapshot, service, client, message, &query, found).ok()?),
            None if query.is_signed => return None,
            None => None,
        };
        let transfer = zone.transfer()?;
        if transfer.incoming.as_ref().is_some_and(|incoming| incoming.standing != Standing::Whole) {
            return None;
        }
        let peer = transfer.outgoing.as_ref()?.peer(client.address, known.as_ref().map(|known| known.key))?;
        if peer.over_tls && client.transport != Transport::Tls {
            return None;
        }
        let head = zone.head();
        let serial = head.dns.as_ref()?.serial;
        let since = match question.rtype {
            rtype::IXFR => Some(version(message)?).filter(|_| peer.takes_differences),
            rtype::AXFR => None,
            _ => return None,
        };
        let mut first = question.name.to_vec();
        first.extend(question.rtype.to_be_bytes());
        first.extend(question.class.to_be_bytes());
        let packer = Packer::new(query.header.id, first, query.edns.is_some(), known.map(|known| known.answering));
        Some(Self { zone: head.id, account: head.account, serial, since, peer: peer.id, packer })
    }

    /// Whether whoever asks has this version already, or a later one (RFC 1982).
    pub fn is_current(&self) -> bool {
        self.since.is_some_and(|since| since == self.serial || self.serial.wrapping_sub(since) >= 1 << 31)
    }

    /// What makes messages of lines.
    pub fn into_packer(self) -> Packer {
        self.packer
    }
}

/// The version that whoever asks for what changed has: that of the start of authority in the query's authority section (RFC 1995 §3).
fn version(message: &[u8]) -> Option<u32> {
    let count = |at: usize| Some(usize::from(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?])));
    let mut at = HEADER + name::length(message.get(HEADER..)?)? + 4;
    for _ in 0..count(6)? {
        query::record(message, &mut at)?;
    }
    if count(8)? == 0 {
        return None;
    }
    let record = query::record(message, &mut at)?;
    let numbers = record.data.last_chunk::<20>().filter(|_| record.rtype == rtype::SOA)?;
    Some(u32::from_be_bytes(*numbers.first_chunk()?))
}

/// A zone and what the name server says of it, where it is answered for.
fn parts(snapshot: &Snapshot, zone: ZoneId) -> Option<(&Zone, &ZoneDns)> {
    let zone = snapshot.zone(zone)?;
    Some((zone, zone.head().dns.as_ref()?))
}

/// Which version there is: the start of authority alone.
pub fn current(snapshot: &Snapshot, zone: ZoneId) -> Option<Line> {
    let (zone, dns) = parts(snapshot, zone)?;
    Some(start(snapshot, zone, dns))
}

/// The zone whole: between two starts of authority, in no order (RFC 5936 §2.2).
pub fn whole(snapshot: &Snapshot, zone: ZoneId) -> Option<impl Iterator<Item = Line> + '_> {
    let (zone, dns) = parts(snapshot, zone)?;
    let soa = start(snapshot, zone, dns);
    Some(std::iter::once(soa.clone()).chain(lines(snapshot, zone, dns)).chain(std::iter::once(soa)))
}

/// What changed of a zone between two snapshots, in one step (RFC 1995 §4): what went, what came. None where more than
/// [`CHANGES_MAX`] records did.
pub fn difference(old: &Snapshot, new: &Snapshot, zone: ZoneId) -> Option<Vec<Line>> {
    let ((before, before_dns), (after, after_dns)) = (parts(old, zone)?, parts(new, zone)?);
    let is_same_edge = old.node().edge_addresses == new.node().edge_addresses;
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let mut compare = |then: Vec<Line>, now: Vec<Line>| {
        let (only_then, only_now) = unlike(then, now);
        gone.extend(only_then);
        come.extend(only_now);
        (gone.len() + come.len() <= CHANGES_MAX).then_some(())
    };
    let apex = &after.head().apex;
    let then = lines_at(old, before, before_dns, apex, before.name(apex.as_str()));
    compare(then, lines_at(new, after, after_dns, apex, after.name(apex.as_str())))?;
    for (name, chunk) in after.names().filter(|(name, _)| name != apex) {
        let was = before.name(name.as_str());
        // What a CNAME comes to may have changed though it did not.
        if is_same_edge && was == Some(chunk) && chunk.sets.get(rtype::CNAME).is_none() {
            continue;
        }
        let then = was.map_or_else(Vec::new, |was| lines_at(old, before, before_dns, &name, Some(was)));
        compare(then, lines_at(new, after, after_dns, &name, Some(chunk)))?;
    }
    for (name, chunk) in before.names().filter(|(name, _)| name != apex && after.name(name.as_str()).is_none()) {
        compare(lines_at(old, before, before_dns, &name, Some(chunk)), Vec::new())?;
    }
    let (from, to) = (start(old, before, before_dns), start(new, after, after_dns));
    let mut lines = vec![to.clone(), from];
    lines.append(&mut gone);
    lines.push(to.clone());
    lines.append(&mut come);
    lines.push(to);
    Some(lines)
}

/// What is in one and not in the other.
fn unlike(then: Vec<Line>, now: Vec<Line>) -> (Vec<Line>, Vec<Line>) {
    if then == now {
        return (Vec::new(), Vec::new());
    }
    let gone = then.iter().filter(|line| !now.contains(line)).cloned().collect();
    let come = now.into_iter().filter(|line| !then.contains(line)).collect();
    (gone, come)
}

/// Makes messages of lines.
#[derive(Debug)]
pub struct Packer {
    id: [u8; 2],
    question: Vec<u8>,
    /// Whether the first message says something of itself, as the query did (RFC 6891 §7).
    has_opt: bool,
    signing: Option<Answering>,
    is_begun: bool,
    message: Vec<u8>,
    count: u16,
    /// Where labels begin that owners may end with.
    places: Vec<u16>,
}

impl Packer {
    fn new(id: [u8; 2], question: Vec<u8>, has_opt: bool, signing: Option<Answering>) -> Self {
        let mut packer =
            Self { id, question, has_opt, signing, is_begun: false, message: Vec::new(), count: 0, places: Vec::new() };
        packer.open();
        packer
    }

    fn open(&mut self) {
        self.message.clear();
        self.message.extend([self.id[0], self.id[1], ANSWER, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        (self.count, self.places) = (0, Vec::new());
        // Later ones need not repeat it (RFC 5936 §2.2.1).
        if !self.is_begun {
            self.message[5] = 1;
            self.message.extend(&self.question);
            self.remember(HEADER);
        }
    }

    /// Adds a record; returns the message that was full before it, at `now` (seconds since the Unix epoch).
    pub fn push(&mut self, line: &Line, now: u64) -> Option<Vec<u8>> {
        let takes = line.owner.len() + 10 + line.data.len();
        let full = (self.count > 0 && self.message.len() + takes > MESSAGE_OCTETS).then(|| self.close(now));
        self.owner(&line.owner);
        self.message.extend(line.rtype.to_be_bytes());
        self.message.extend(rtype::CLASS_IN.to_be_bytes());
        self.message.extend(line.ttl_secs.to_be_bytes());
        self.message.extend(u16::try_from(line.data.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.message.extend(&line.data[..line.data.len().min(usize::from(u16::MAX))]);
        self.count += 1;
        full
    }

    /// The last message; none where nothing is left.
    pub fn finish(mut self, now: u64) -> Option<Vec<u8>> {
        (self.count > 0).then(|| self.close(now))
    }

    fn close(&mut self, now: u64) -> Vec<u8> {
        self.message[6..8].copy_from_slice(&self.count.to_be_bytes());
        if self.has_opt && !self.is_begun {
            self.message[11] = 1;
            self.message.push(0);
            self.message.extend(rtype::OPT.to_be_bytes());
            self.message.extend(u16::try_from(UDP_OCTETS_MAX).unwrap_or(u16::MAX).to_be_bytes());
            self.message.extend([0; 6]);
        }
        let mut message = std::mem::take(&mut self.message);
        if let Some(signing) = &mut self.signing {
            signing.sign(&mut message, now);
        }
        self.is_begun = true;
        self.open();
        message
    }

    /// As many labels as no earlier owner ends with, then a pointer to the one that does.
    fn owner(&mut self, labels: &[u8]) {
        let mut at = 0;
        while let Some(&length) = labels.get(at).filter(|length| **length != 0) {
            if let Some(place) =
                self.places.iter().copied().find(|place| stands_at(&self.message, usize::from(*place), &labels[at..]))
            {
                let start = self.message.len();
                self.message.extend(&labels[..at]);
                self.remember_until(start, at);
                self.message.extend((0xc000 | place).to_be_bytes());
                return;
            }
            at += usize::from(length) + 1;
        }
        let start = self.message.len();
        self.message.extend(labels);
        self.remember(start);
    }

    fn remember(&mut self, start: usize) {
        let length = name::length(&self.message[start..]).unwrap_or(1);
        self.remember_until(start, length - 1);
    }

    /// Remembers each label of the first `length` octets that stand at `start`.
    fn remember_until(&mut self, start: usize, length: usize) {
        let mut at = start;
        while at < start + length && self.places.len() < PLACES_MAX {
            // Beyond MESSAGE_OCTETS nothing can be pointed to.
            if let Some(place) = u16::try_from(at).ok().filter(|place| usize::from(*place) < MESSAGE_OCTETS) {
                self.places.push(place);
            }
            at += usize::from(self.message[at]) + 1;
        }
    }
}
