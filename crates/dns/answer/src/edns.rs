//! What a query and an answer say of themselves (RFC 6891).

use smallvec::SmallVec;

use crate::{Rcode, UDP_OCTETS_MAX, cookie::PAIR, plan::ExtendedError};

const NSID: u16 = 3;
const COOKIE: u16 = 10;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

/// Answers that are padded have a multiple of this many octets (RFC 8467 §4.1).
const PADDED_TO: usize = 468;

/// The first octet of the flags: DO (RFC 3225), and the bit beside it, CO (RFC 9824 §5.1).
const DNSSEC_OK: u8 = 0x80;
const COMPACT_OK: u8 = 0x40;

/// The fixed part of an OPT record: root, type, class, TTL, length.
const HEAD: usize = 11;

/// Room for what stays of one when its answer is cut.
pub(crate) type Cut = SmallVec<[u8; 64]>;

/// A query's OPT record.
#[derive(Debug, Default)]
pub(crate) struct Edns<'q> {
    /// The longest answer it takes over UDP.
    pub(crate) udp_octets: u16,
    version: u8,
    pub(crate) dnssec_ok: bool,
    /// RFC 9824 §5.1.
    pub(crate) compact_ok: bool,
    pub(crate) asks_nsid: bool,
    /// Of 8, or of 16 to 40 octets.
    pub(crate) cookie: Option<&'q [u8]>,
    pub(crate) is_padded: bool,
}

impl Edns<'_> {
    /// RFC 6891 §6.1.3: only version 0 is known; what another one's options mean is not.
    pub(crate) fn is_of_another_version(&self) -> bool {
        self.version != 0
    }
}

/// Reads an OPT record; none where it is malformed. Options that are not known are passed over.
pub(crate) fn parse(class: u16, ttl: [u8; 4], data: &[u8]) -> Option<Edns<'_>> {
    let [_, version, flags, _] = ttl;
    let mut edns = Edns { udp_octets: class, version, dnssec_ok: flags & DNSSEC_OK != 0, ..Edns::default() };
    edns.compact_ok = flags & COMPACT_OK != 0;
    let mut rest = data;
    while !rest.is_empty() && version == 0 {
        let [c0, c1, l0, l1] = *rest.first_chunk::<4>()?;
        let end = 4 + usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(4..end)?;
        rest = &rest[end..];
        match u16::from_be_bytes([c0, c1]) {
            NSID => edns.asks_nsid = true,
            PADDING => edns.is_padded = true,
            // RFC 7873 §5.2: of several the first counts, and another length is malformed.
            COOKIE if edns.cookie.is_none() => {
                edns.cookie = Some(value).filter(|value| matches!(value.len(), 8 | 16..=40));
                edns.cookie?;
            }
            _ => {}
        }
    }
    Some(edns)
}

/// An answer's OPT record.
pub(crate) struct OptReply<'a> {
    pub(crate) rcode: Rcode,
    pub(crate) dnssec_ok: bool,
    pub(crate) compact_ok: bool,
    pub(crate) nsid: Option<&'a [u8]>,
    pub(crate) cookie: Option<[u8; PAIR]>,
    pub(crate) why: Option<ExtendedError>,
    /// Whether it is made as long as others, so that its length tells little.
    pub(crate) pads: bool,
}

impl OptReply<'_> {
    /// Octets it takes, without padding.
    pub(crate) fn length(&self) -> usize {
        let option = |value: Option<usize>| value.map_or(0, |length| 4 + length);
        HEAD + option(self.nsid.map(<[u8]>::len))
            + option(self.cookie.map(|pair| pair.len()))
            + option(self.why.map(|why| 2 + why.text.len()))
    }

    /// Writes it where a message of `at` octets ends; returns the message's length then. There is room for [`OptReply::length`].
    pub(crate) fn write(&self, out: &mut [u8], at: usize, limit: usize) -> usize {
        let plain = at + self.length();
        // An option of no octets takes four; what would go beyond the limit is padded up to it (RFC 8467 §4.1).
        let padding = if self.pads && plain + 4 <= limit {
            Some((plain + 4).next_multiple_of(PADDED_TO).min(limit) - plain - 4)
        } else {
            None
        };
        let end = plain + padding.map_or(0, |length| 4 + length);
        let mut to = Octets { out, at };
        to.put(&[0]);
        to.put(&poterne_dns_wire::rtype::OPT.to_be_bytes());
        to.put(&u16::try_from(UDP_OCTETS_MAX).unwrap_or(u16::MAX).to_be_bytes());
        let [_, high] = (self.rcode.number() >> 4).to_be_bytes();
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        to.put(&[high, 0, flag(self.dnssec_ok, DNSSEC_OK) | flag(self.compact_ok, COMPACT_OK), 0]);
        to.number(end - at - HEAD);
        if let Some(nsid) = self.nsid {
            to.option(NSID, nsid.len());
            to.put(nsid);
        }
        if let Some(pair) = self.cookie {
            to.option(COOKIE, pair.len());
            to.put(&pair);
        }
        if let Some(why) = self.why {
            to.option(EXTENDED_ERROR, 2 + why.text.len());
            to.put(&why.code.to_be_bytes());
            to.put(why.text.as_bytes());
        }
        if let Some(length) = padding {
            to.option(PADDING, length);
            to.out[to.at..end].fill(0);
        }
        end
    }
}

/// What of an answer's OPT record stays when the answer is cut: its head, and its cookie. None where it is none of ours.
pub(crate) fn cut(record: &[u8]) -> Option<Cut> {
    let (head, mut rest) = record.split_first_chunk::<HEAD>()?;
    let mut kept = Cut::from_slice(head);
    kept[HEAD - 2..].fill(0);
    while let Some((&[c0, c1, l0, l1], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let end = 4 + length;
        if u16::from_be_bytes([c0, c1]) == COOKIE && length == PAIR {
            kept.extend_from_slice(rest.get(..end)?);
            kept[HEAD - 1] = u8::try_from(end).ok()?;
            break;
        }
        rest = after.get(length..)?;
    }
    Some(kept)
}

struct Octets<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Octets<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.out[self.at..self.at + octets.len()].copy_from_slice(octets);
        self.at += octets.len();
    }

    fn number(&mut self, number: usize) {
        self.put(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
    }

    fn option(&mut self, code: u16, length: usize) {
        self.put(&code.to_be_bytes());
        self.number(length);
    }
}
