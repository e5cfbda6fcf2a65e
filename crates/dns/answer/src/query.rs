//! Reading a query: a header, one question, perhaps an OPT record. Everything borrows from the packet.

use poterne_dns_wire::{KeyName, name, rtype};

use crate::{
    Rcode,
    edns::{self, Edns},
    plan::ExtendedError,
};

/// Octets of a header.
pub(crate) const HEADER: usize = 12;

const QUERY: u8 = 0;

/// RFC 1996.
pub(crate) const NOTIFY: u8 = 4;

/// SIG(0), RFC 2931.
const SIG: u16 = 24;

/// What came.
#[allow(clippy::large_enum_variant, reason = "it is made once a query and taken apart at once")]
pub(crate) enum Parsed<'q> {
    /// A query.
    Query(Query<'q>),
    /// Something that is answered with its header alone.
    Refused { header: Header, rcode: Rcode },
    /// Nothing that is answered: too short, or an answer itself. Answering answers, two servers would never stop.
    Nothing,
}

/// What of a query's header comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: [u8; 2],
    pub(crate) opcode: u8,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
}

/// A query that parses.
#[derive(Debug)]
pub(crate) struct Query<'q> {
    pub(crate) header: Header,
    /// None only where there is none.
    pub(crate) question: Option<Question<'q>>,
    pub(crate) edns: Option<Edns<'q>>,
    /// Whether it ends with a signature of its own.
    pub(crate) is_signed: bool,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question<'q> {
    /// As it came: uncompressed, in its own letters.
    pub(crate) name: &'q [u8],
    /// For looking it up.
    pub(crate) key: KeyName,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
}

/// Reads what came.
pub(crate) fn parse(octets: &[u8]) -> Parsed<'_> {
    let Some((&[id0, id1, flags, more, counts @ ..], _)) = octets.split_first_chunk::<HEADER>() else { return Parsed::Nothing };
    if flags & 0x80 != 0 {
        return Parsed::Nothing;
    }
    let header = Header {
        id: [id0, id1],
        opcode: flags >> 3 & 0x0f,
        recursion_desired: flags & 1 != 0,
        checking_disabled: more & 0x10 != 0,
    };
    let refused = |rcode| Parsed::Refused { header, rcode };
    match header.opcode {
        QUERY | NOTIFY => {}
        _ => return refused(Rcode::NotImp),
    }
    let count = |at: usize| usize::from(u16::from_be_bytes([counts[at], counts[at + 1]]));
    match sections(octets, header, count(0), count(2) + count(4), count(6)) {
        Some(query) => Parsed::Query(query),
        None => refused(Rcode::FormErr),
    }
}

/// None where anything is malformed. However many records the counts promise, each takes octets.
fn sections(octets: &[u8], header: Header, questions: usize, passed_over: usize, additional: usize) -> Option<Query<'_>> {
    let mut at = HEADER;
    let question = match questions {
        0 => None,
        1 => Some(question(octets, &mut at)?),
        // RFC 9619.
        _ => return None,
    };
    for _ in 0..passed_over {
        record(octets, &mut at)?;
    }
    let mut query = Query { header, question, edns: None, is_signed: false };
    for _ in 0..additional {
        let start = at;
        let record = record(octets, &mut at)?;
        match record.rtype {
            rtype::OPT => {
                // RFC 6891 §6.1.1: one, at the root.
                if query.edns.is_some() || octets.get(start) != Some(&0) {
                    return None;
                }
                query.edns = Some(edns::parse(record.class, record.ttl, record.data)?);
            }
            rtype::TSIG | SIG => query.is_signed = true,
            _ => {}
        }
    }
    (at == octets.len()).then_some(query)
}

fn question<'q>(octets: &'q [u8], at: &mut usize) -> Option<Question<'q>> {
    // A pointer here could only lead into the header.
    let rest = octets.get(*at..)?;
    let length = name::length(rest)?;
    let (name, rest) = rest.split_at(length);
    let [t0, t1, c0, c1] = *rest.first_chunk::<4>()?;
    *at += length + 4;
    Some(Question {
        name,
        key: KeyName::of_wire(name)?,
        rtype: u16::from_be_bytes([t0, t1]),
        class: u16::from_be_bytes([c0, c1]),
    })
}

pub(crate) struct Record<'q> {
    pub(crate) rtype: u16,
    class: u16,
    ttl: [u8; 4],
    pub(crate) data: &'q [u8],
}

pub(crate) fn record<'q>(octets: &'q [u8], at: &mut usize) -> Option<Record<'q>> {
    let start = name::skip(octets, *at)?;
    let [t0, t1, c0, c1, ttl @ .., l0, l1] = *octets.get(start..)?.first_chunk::<10>()?;
    let end = start + 10 + usize::from(u16::from_be_bytes([l0, l1]));
    let data = octets.get(start + 10..end)?;
    *at = end;
    Some(Record { rtype: u16::from_be_bytes([t0, t1]), class: u16::from_be_bytes([c0, c1]), ttl, data })
}

impl Question<'_> {
    /// Whether such a question is answered at all (edge-behaviour §1.11).
    pub(crate) fn verdict(&self) -> Result<(), (Rcode, Option<ExtendedError>)> {
        if self.class != rtype::CLASS_IN {
            return Err((Rcode::Refused, None));
        }
        match self.rtype {
            // RFC 9824 §3.5: it is only ever an answer's.
            rtype::NXNAME => Err((Rcode::FormErr, Some(ExtendedError::INVALID_TYPE))),
            rtype::OPT => Err((Rcode::FormErr, Some(ExtendedError::INVALID_TYPE))),
            rtype::AXFR | rtype::IXFR => Err((Rcode::Refused, Some(ExtendedError::PROHIBITED))),
            rtype::ANY => Ok(()),
            // RFC 6895 §3.1: questions that no data answers.
            129..=254 => Err((Rcode::NotImp, None)),
            _ => Ok(()),
        }
    }
}
