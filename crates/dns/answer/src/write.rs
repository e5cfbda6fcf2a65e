//! Writing a response: copying sets out of the snapshot, with names compressed (RFC 1035 §4.1.4) where RFC 3597 §4 allows it.

use std::net::IpAddr;

use poterne_dns_sign::Signature;
use poterne_dns_wire::{RecordSet, RecordSets, name, rtype};
use poterne_model::Name;
use poterne_snapshot::{NodeChunk, ZoneDns};
use smallvec::SmallVec;

use crate::{
    Rcode,
    edns::{self, OptReply},
    plan::{self, Data, Item, Owner, Plan, Section, Ways},
    query::{HEADER, Header, Query},
    sign::More,
};

/// Most addresses of the edges in one answer (edge-behaviour §1.5).
const EDGE_ADDRESSES_MAX: usize = 4;

/// Most places remembered that a name can point to.
const PLACES_MAX: usize = 32;

/// The last place a pointer reaches.
const POINTER_MAX: usize = 0x3fff;

/// HINFO with the CPU `RFC8482` and no system.
pub(crate) const MINIMAL: &[u8] = b"\x07RFC8482\0";

const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;

/// A header and nothing else: what is said of a message that is no question.
pub(crate) fn header_only(header: &Header, rcode: Rcode, out: &mut [u8]) -> usize {
    put_header(out, header, 0, rcode, [0; 4]);
    HEADER
}

/// See [`crate::truncate`].
pub(crate) fn truncate(response: &mut [u8]) -> usize {
    if response.len() < HEADER || response[2] & 0x80 == 0 {
        return response.len();
    }
    let end = match response[4..6] {
        [0, 1] => name::length(&response[HEADER..]).map(|length| HEADER + length + 4).filter(|end| *end <= response.len()),
        _ => Some(HEADER),
    };
    let Some(end) = end else { return response.len() };
    // RFC 6891 §6.1.1: an answer in EDNS is one also when it is cut; and a cookie in it is what lets the client prove himself.
    let kept = opt_in(response, end).and_then(edns::cut);
    response[2] |= TRUNCATED;
    response[6..HEADER].fill(0);
    let Some(kept) = kept else { return end };
    response[HEADER - 1] = 1;
    response[end..end + kept.len()].copy_from_slice(&kept);
    end + kept.len()
}

/// The OPT record among the records that begin at `at`.
fn opt_in(response: &[u8], mut at: usize) -> Option<&[u8]> {
    let count = |at: usize| u32::from(u16::from_be_bytes([response[at], response[at + 1]]));
    for _ in 0..count(6) + count(8) + count(10) {
        let start = name::skip(response, at)?;
        let [t0, t1, .., l0, l1] = *response.get(start..)?.first_chunk::<10>()?;
        let end = start + 10 + usize::from(u16::from_be_bytes([l0, l1]));
        let record = response.get(at..end)?;
        if u16::from_be_bytes([t0, t1]) == rtype::OPT {
            return Some(record);
        }
        at = end;
    }
    None
}

/// Says of a response that there is more over TCP.
pub(crate) fn mark_cut(response: &mut [u8]) {
    response[2] |= TRUNCATED;
}

fn put_header(out: &mut [u8], header: &Header, flags: u8, rcode: Rcode, counts: [u16; 4]) {
    let [_, low] = rcode.number().to_be_bytes();
    out[..2].copy_from_slice(&header.id);
    out[2] = 0x80 | header.opcode << 3 | flags | u8::from(header.recursion_desired);
    // Recursion is never available.
    out[3] = u8::from(header.checking_disabled) << 4 | low & 0x0f;
    for (place, count) in out[4..HEADER].as_chunks_mut::<2>().0.iter_mut().zip(counts) {
        *place = count.to_be_bytes();
    }
}

/// A response under way.
pub(crate) struct Writer<'o, 'q> {
    out: &'o mut [u8],
    at: usize,
    /// Where it must end; what an OPT record takes is outside of it while records are written.
    limit: usize,
    /// Whether something did not fit.
    is_cut: bool,
    query: &'q Query<'q>,
    /// Where labels begin that names may end with.
    places: SmallVec<[u16; PLACES_MAX]>,
    /// What was made for signed answers.
    more: Option<&'q More>,
}

impl<'o, 'q> Writer<'o, 'q> {
    /// Into `out`, of which at most `limit` octets are written.
    pub(crate) fn new(out: &'o mut [u8], limit: usize, query: &'q Query<'q>, more: Option<&'q More>) -> Self {
        let limit = limit.min(out.len());
        Self { out, at: HEADER, limit, is_cut: false, query, places: SmallVec::new(), more }
    }

    /// Writes it all; returns its length, and none where not even a cut response fits, or where a whole one fits into no message.
    pub(crate) fn respond(mut self, plan: &Plan<'_>, node: &NodeChunk, turn: u32, opt: Option<&OptReply<'_>>) -> Option<usize> {
        let whole = self.limit;
        self.limit = whole.checked_sub(opt.map_or(0, OptReply::length))?;
        let mut counts = [0u16; 4];
        if let Some(question) = &self.query.question {
            self.put(question.name);
            self.put(&question.rtype.to_be_bytes());
            self.put(&question.class.to_be_bytes());
            self.remember(HEADER, question.name);
            counts[0] = 1;
        }
        if self.is_cut {
            return None;
        }
        let end = self.at;
        for item in &plan.items {
            let records = self.item(item, node, turn, plan.elsewhere.as_ref());
            let count = match item.section {
                Section::Answer => &mut counts[1],
                Section::Authority => &mut counts[2],
                Section::Additional => &mut counts[3],
            };
            *count += records;
        }
        let mut flags = if plan.is_authoritative { AUTHORITATIVE } else { 0 };
        if self.is_cut {
            // RFC 2181 §9: no part of a set, and TC says that there is more. Over a stream there is nowhere to go on.
            if whole == crate::MESSAGE_OCTETS_MAX {
                return None;
            }
            self.at = end;
            counts = [counts[0], 0, 0, 0];
            flags |= TRUNCATED;
        }
        if let Some(opt) = opt {
            self.at = opt.write(self.out, self.at, whole);
            counts[3] += 1;
        }
        put_header(self.out, &self.query.header, flags, plan.rcode, counts);
        Some(self.at)
    }

    /// Writes one set; returns how many records that were.
    fn item(&mut self, item: &Item<'_>, node: &NodeChunk, turn: u32, elsewhere: Option<&RecordSets>) -> u16 {
        match item.data {
            Data::Set(set) => self.set(item, &set, turn),
            Data::OfKeys(set) => self.records(item, set.records(), |writer, data| writer.put(data)),
            Data::Edge => self.records(item, edge_addresses(node, item.rtype, turn), |writer, address| match address {
                IpAddr::V4(address) => writer.put(&address.octets()),
                IpAddr::V6(address) => writer.put(&address.octets()),
            }),
            Data::Elsewhere => match elsewhere.and_then(|sets| sets.get(item.rtype)) {
                Some(set) => self.set(item, &set, turn),
                None => 0,
            },
            Data::Service(told) => {
                self.records(item, std::iter::once(()), |writer, ()| service(node, told, &mut |piece| writer.put(piece)))
            }
            Data::Soa(apex, dns) => self.records(item, std::iter::once(()), |writer, ()| {
                let (mname, rname, numbers) = soa(apex, dns, &node.nameservers);
                writer.name(&mname);
                writer.name(&rname);
                numbers.iter().for_each(|number| writer.put(&number.to_be_bytes()));
            }),
            Data::Texts(texts) => self.records(item, texts.data(), |writer, data| writer.put(data)),
            Data::NameServers(given, own) => {
                let mut count = self.records(item, given.iter(), |writer, name| writer.name_of(name));
                let is_given = |data: &&[u8]| given.iter().any(|name| *labels(name) == **data);
                let own = own.iter().flat_map(RecordSet::records).filter(|data| !is_given(data));
                count += self.records(item, own, |writer, data| writer.name(data));
                count
            }
            Data::Minimal => self.records(item, std::iter::once(()), |writer, ()| writer.put(MINIMAL)),
            Data::Raw(data) => self.records(item, std::iter::once(data), |writer, data| writer.put(data)),
            Data::Nsec => {
                let data = self.more.map(|more| &*more.nsec);
                self.records(item, data.into_iter(), |writer, data| writer.put(data))
            }
            Data::Signature(number) => {
                let signature = self.more.and_then(|more| more.signatures.get(number)).zip(item.zone);
                self.records(item, signature.into_iter(), |writer, (signature, zone)| {
                    let Signature { head, octets, .. } = signature;
                    writer.put(head);
                    // RFC 4034 §3.1.7: not compressed.
                    writer.put(&labels(&zone.head().apex));
                    writer.put(octets);
                })
            }
        }
    }

    fn set(&mut self, item: &Item<'_>, set: &RecordSet<'_>, turn: u32) -> u16 {
        match set.rtype {
            rtype::A | rtype::AAAA => {
                let first = turned(turn, set.count());
                let records = set.records().skip(first).chain(set.records().take(first));
                self.records(item, records, |writer, data| writer.put(data))
            }
            rtype::NS | rtype::CNAME | rtype::PTR => self.records(item, set.records(), |writer, data| writer.name(data)),
            rtype::MX => self.records(item, set.records(), |writer, data| {
                let (preference, host) = data.split_at(data.len().min(2));
                writer.put(preference);
                writer.name(host);
            }),
            // RFC 3597 §4: the names in no other type are compressed.
            _ => self.records(item, set.records(), |writer, data| writer.put(data)),
        }
    }

    fn records<T>(&mut self, item: &Item<'_>, records: impl Iterator<Item = T>, data: impl Fn(&mut Self, T)) -> u16 {
        let mut count = 0;
        for record in records {
            if self.is_cut {
                break;
            }
            self.owner(item.owner);
            self.put(&item.rtype.to_be_bytes());
            self.put(&rtype::CLASS_IN.to_be_bytes());
            self.put(&item.ttl_secs.to_be_bytes());
            let length_at = self.at;
            self.put(&[0, 0]);
            data(self, record);
            if !self.is_cut {
                let length = u16::try_from(self.at - length_at - 2).unwrap_or(u16::MAX);
                self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
                count += 1;
            }
        }
        count
    }

    fn owner(&mut self, owner: Owner<'_>) {
        match owner {
            Owner::Question => self.put(&[0xc0, 0x0c]),
            Owner::Above(text_length) => {
                // Labels and their text are as long, but for the first length and the root.
                let question = self.query.question.as_ref().map_or(0, |question| question.name.len());
                self.pointer(HEADER + question.saturating_sub(text_length + 2));
            }
            Owner::Wire(labels) => self.name(labels),
            Owner::Apex(name) => self.name_of(name),
        }
    }

    fn name_of(&mut self, name: &Name) {
        self.name(&labels(name));
    }

    /// Writes a name: as many labels as no earlier name ends with, then a pointer to the one that does.
    fn name(&mut self, labels: &[u8]) {
        let mut at = 0;
        while let Some(&length) = labels.get(at).filter(|length| **length != 0) {
            if let Some(place) = self.find(&labels[at..]) {
                self.put(&labels[..at]);
                self.remember_new(at, labels);
                self.pointer(usize::from(place));
                return;
            }
            at += usize::from(length) + 1;
        }
        self.put(labels);
        self.remember_new(at, labels);
    }

    /// Remembers the first `length` octets of `labels`, which were written last, or before what was written last.
    fn remember_new(&mut self, length: usize, labels: &[u8]) {
        if self.is_cut {
            return;
        }
        let written = if length == labels.len() - 1 { labels.len() } else { length };
        let start = self.at - written;
        let mut at = 0;
        while at < length {
            self.remember_place(start + at);
            at += usize::from(labels[at]) + 1;
        }
    }

    /// Remembers each label of a whole name that stands at `start`.
    fn remember(&mut self, start: usize, labels: &[u8]) {
        let mut at = 0;
        while let Some(&length) = labels.get(at).filter(|length| **length != 0) {
            self.remember_place(start + at);
            at += usize::from(length) + 1;
        }
    }

    fn remember_place(&mut self, place: usize) {
        if let (Ok(near), true) = (u16::try_from(place), place <= POINTER_MAX && self.places.len() < PLACES_MAX) {
            self.places.push(near);
        }
    }

    /// Where such a name stands already.
    fn find(&self, labels: &[u8]) -> Option<u16> {
        self.places.iter().copied().find(|place| stands_at(self.out, usize::from(*place), labels))
    }

    fn pointer(&mut self, place: usize) {
        let place = u16::try_from(place & POINTER_MAX).unwrap_or_default();
        self.put(&(0xc000 | place).to_be_bytes());
    }

    fn put(&mut self, octets: &[u8]) {
        match self.out[..self.limit].get_mut(self.at..self.at + octets.len()) {
            Some(place) if !self.is_cut => {
                place.copy_from_slice(octets);
                self.at += octets.len();
            }
            _ => self.is_cut = true,
        }
    }
}

/// Whether the name that stands at `place` of a message, whose pointers were all written here and lead back, is this one.
pub(crate) fn stands_at(message: &[u8], mut place: usize, labels: &[u8]) -> bool {
    let mut at = 0;
    loop {
        let Some(&length) = message.get(place) else { return false };
        if length >= 0xc0 {
            let low = message.get(place + 1).copied().unwrap_or_default();
            place = (usize::from(length & 0x3f) << 8) | usize::from(low);
            continue;
        }
        let end = usize::from(length) + 1;
        let (Some(written), Some(wanted)) = (message.get(place..place + end), labels.get(at..at + end)) else {
            return false;
        };
        if !written.eq_ignore_ascii_case(wanted) {
            return false;
        }
        if length == 0 {
            return true;
        }
        (place, at) = (place + end, at + end);
    }
}

/// The edges' addresses of a type that an answer shows, beginning with another one each turn.
pub(crate) fn edge_addresses(node: &NodeChunk, rtype: u16, turn: u32) -> impl Iterator<Item = &IpAddr> {
    let of_type = move || node.edge_addresses.iter().filter(move |address| plan::is_of(rtype, address));
    let first = turned(turn, of_type().count());
    of_type().skip(first).chain(of_type().take(first)).take(EDGE_ADDRESSES_MAX)
}

/// The data of the HTTPS record of proxied names, in pieces (RFC 9460 §2.2): priority 1, the name itself, parameters in the order of
/// their keys.
pub(crate) fn service(node: &NodeChunk, told: Ways, put: &mut dyn FnMut(&[u8])) {
    let Ways { ipv4, ipv6, http2, http3 } = told;
    let number = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    put(&[0, 1, 0]);
    let is_spoken = move |id: &&String| match id.as_str() {
        "h2" => http2,
        "h3" => http3,
        _ => true,
    };
    let ids = || node.edge_protocols.iter().filter(is_spoken).filter_map(|id| Some((u8::try_from(id.len()).ok()?, id)));
    // RFC 9460 §7.1.1: one that names none is malformed; HTTP/1.1 goes without saying.
    if ids().next().is_some() {
        put(&1u16.to_be_bytes());
        put(&number(ids().map(|(length, _)| usize::from(length) + 1).sum()));
    }
    for (length, id) in ids() {
        put(&[length]);
        put(id.as_bytes());
    }
    for (is_shown, key, octets) in [(ipv4, 4u16, 4), (ipv6, 6, 16)] {
        if !is_shown {
            continue;
        }
        let hints = || node.edge_addresses.iter().filter(|address| address.is_ipv4() == (key == 4)).take(EDGE_ADDRESSES_MAX);
        put(&key.to_be_bytes());
        put(&number(hints().count() * octets));
        for hint in hints() {
            match hint {
                IpAddr::V4(address) => put(&address.octets()),
                IpAddr::V6(address) => put(&address.octets()),
            }
        }
    }
}

/// What a start of authority says: its two names, and its numbers.
pub(crate) fn soa(apex: &Name, dns: &ZoneDns, nameservers: &[Name]) -> (Labels, Labels, [u32; 5]) {
    // What an export of the zone says, too.
    let mname = match dns.soa.mname.as_ref().or(dns.name_servers.first()).or(nameservers.first()) {
        Some(name) => labels(name),
        None => below("ns1", apex),
    };
    let rname = dns.soa.rname.as_ref().map_or_else(|| below("dns", apex), labels);
    (mname, rname, [dns.serial, dns.soa.refresh, dns.soa.retry, dns.soa.expire, dns.soa.min_ttl])
}

fn below(label: &str, apex: &Name) -> Labels {
    let mut below = Labels::new();
    push(label, &mut below);
    below.extend_from_slice(&labels(apex));
    below
}

pub(crate) type Labels = SmallVec<[u8; 64]>;

/// A name's labels and the root; without an allocation for all but very long names.
pub(crate) fn labels(name: &Name) -> Labels {
    let mut labels = Labels::new();
    for label in name.as_str().split('.') {
        push(label, &mut labels);
    }
    labels.push(0);
    labels
}

fn push(label: &str, to: &mut Labels) {
    to.push(u8::try_from(label.len()).unwrap_or_default());
    to.extend_from_slice(label.as_bytes());
}

/// Where to begin among so many.
fn turned(turn: u32, count: usize) -> usize {
    usize::try_from(turn).unwrap_or_default().checked_rem(count).unwrap_or_default()
}
