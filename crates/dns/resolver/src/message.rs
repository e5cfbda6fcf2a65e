//! Questions and replies. The wire is read by the `domain` crate and turned into `model`'s records here; a record that those cannot be
//! (an owner name with odd octets, data of a type that is not read) is left out, or kept as its type's number.

use domain::{
    base::{Message, ParsedName, iana::Class},
    rdata::AllRecordData,
};
use poterne_dns_wire::Rcode;
use poterne_model::{
    Name, Rdata, Rtype,
    rdata::{Host, Hosts},
};

/// Largest reply over UDP that is asked for, in octets: what passes every path whole (DNS flag day 2020).
pub const UDP_OCTETS_MAX: u16 = 1232;

/// Most records of one reply that are looked at.
pub const RECORDS_MAX: usize = 4096;

const CLASS_IN: u16 = 1;
const TYPE_OPT: u16 = 41;
const TYPE_SOA: u16 = 6;
/// DNSSEC OK (RFC 3225), in the OPT record's flags.
const FLAG_DO: u16 = 0x8000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Of which name.
    pub name: Name,
    /// Of which type.
    pub rtype: Rtype,
}

/// One record of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its owner.
    pub owner: Name,
    /// In seconds.
    pub ttl_secs: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Data that a zone here could hold.
    Held(Rdata),
    /// A zone's authority.
    Soa {
        /// Its serial.
        serial: u32,
        /// For how long nothing is nothing, in seconds (RFC 2308 §4).
        minimum_secs: u32,
    },
    /// Something else, of this type.
    Unread(u16),
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// How it went.
    pub code: Rcode,
    /// The server speaks for the zone (AA).
    pub authoritative: bool,
    /// It did not fit (TC).
    pub truncated: bool,
    /// A resolver has validated it (AD).
    pub authentic: bool,
    /// The answer.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// The additional section.
    pub additionals: Vec<Record>,
}

/// Why octets are no reply to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// To something else, or from somebody else: it is passed over, since anybody can send it.
    #[error("it answers another question")]
    Foreign,
    /// It cannot be read.
    #[error("it cannot be read")]
    Malformed,
}

impl Question {
    /// Of a name and type.
    pub fn new(name: Name, rtype: Rtype) -> Self {
        Self { name, rtype }
    }

    /// The query in octets. `recursion` asks the server to go on for us; `dnssec` asks for signatures too.
    pub fn query(&self, id: u16, recursion: bool, dnssec: bool) -> Vec<u8> {
        self.query_of(self.rtype.number(), id, recursion, Some(if dnssec { FLAG_DO } else { 0 }))
    }

    /// The same without EDNS, for servers that do not know it (RFC 6891 §7).
    pub fn plain_query(&self, id: u16, recursion: bool) -> Vec<u8> {
        self.query_of(self.rtype.number(), id, recursion, None)
    }

    /// The same of a type that is none of a record's, as AXFR; without EDNS where `edns` is none.
    pub(crate) fn query_of(&self, qtype: u16, id: u16, recursion: bool, edns: Option<u16>) -> Vec<u8> {
        let mut octets = Vec::with_capacity(300);
        let flags: u16 = if recursion { 0x0100 } else { 0 };
        let counts = [1, 0, 0, u16::from(edns.is_some())];
        for word in [id, flags].into_iter().chain(counts) {
            octets.extend(word.to_be_bytes());
        }
        for label in self.name.as_str().split('.') {
            octets.push(u8::try_from(label.len()).unwrap_or(63));
            octets.extend(label.as_bytes());
        }
        octets.push(0);
        octets.extend(qtype.to_be_bytes());
        octets.extend(CLASS_IN.to_be_bytes());
        if let Some(flags) = edns {
            octets.push(0);
            for word in [TYPE_OPT, UDP_OCTETS_MAX, 0, flags, 0] {
                octets.extend(word.to_be_bytes());
            }
        }
        octets
    }

    /// The reply to it that octets are.
    ///
    /// # Errors
    /// They are none.
    pub fn reply(&self, id: u16, octets: &[u8]) -> Result<Reply, ReplyError> {
        self.read(self.rtype.number(), id, octets, false)
    }

    fn read(&self, qtype: u16, id: u16, octets: &[u8], may_lack_question: bool) -> Result<Reply, ReplyError> {
        let message = Message::from_octets(octets).map_err(|_| ReplyError::Malformed)?;
        let header = message.header();
        if header.id() != id || !header.qr() {
            return Err(ReplyError::Foreign);
        }
        let code = Rcode::from(u16::from(header.rcode().to_int()));
        match message.sole_question() {
            Ok(asked) if self.is(asked.qname(), asked.qtype().to_int(), qtype) => {}
            Ok(_) => return Err(ReplyError::Foreign),
            // Servers that understood nothing have nothing to repeat; the id alone vouches for them, and they say nothing.
            Err(_) if may_lack_question && message.header_counts().qdcount() == 0 => {}
            Err(_) if code != Rcode::NoError && code != Rcode::NxDomain && message.header_counts().ancount() == 0 => {}
            Err(_) => return Err(ReplyError::Foreign),
        }
        let mut reply = Reply {
            code,
            authoritative: header.aa(),
            truncated: header.tc(),
            authentic: header.ad(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        };
        if reply.truncated {
            return Ok(reply);
        }
        let (_, answers, authorities, additionals) = message.sections().map_err(|_| ReplyError::Malformed)?;
        let mut left = RECORDS_MAX;
        for (section, into) in
            [(answers, &mut reply.answers), (authorities, &mut reply.authorities), (additionals, &mut reply.additionals)]
        {
            for parsed in section {
                let parsed = parsed.map_err(|_| ReplyError::Malformed)?;
                left = left.checked_sub(1).ok_or(ReplyError::Malformed)?;
                if parsed.class() != Class::IN || parsed.rtype().to_int() == TYPE_OPT {
                    continue;
                }
                let Ok(owner) = Name::parse(&parsed.owner().to_string()) else { continue };
                let (number, ttl_secs) = (parsed.rtype().to_int(), parsed.ttl().as_secs());
                let data = match parsed.to_any_record::<AllRecordData<_, ParsedName<_>>>() {
                    Ok(record) => data(number, record.data()),
                    Err(_) => return Err(ReplyError::Malformed),
                };
                into.push(Record { owner, ttl_secs: ttl(ttl_secs), data });
            }
        }
        Ok(reply)
    }

    /// A message of a transfer: those after the first need not repeat the question (RFC 5936 §2.2.1).
    pub(crate) fn part_of_transfer(&self, qtype: u16, id: u16, octets: &[u8], begun: bool) -> Result<Reply, ReplyError> {
        self.read(qtype, id, octets, begun)
    }

    fn is(&self, name: &ParsedName<&[u8]>, number: u16, qtype: u16) -> bool {
        number == qtype && Name::parse(&name.to_string()).is_ok_and(|name| name == self.name)
    }
}

/// A TTL with its highest bit set is zero (RFC 2181 §8).
pub(crate) const fn ttl(secs: u32) -> u32 {
    if secs > i32::MAX.unsigned_abs() { 0 } else { secs }
}

pub(crate) fn data(number: u16, read: &AllRecordData<&[u8], ParsedName<&[u8]>>) -> Data {
    if let AllRecordData::Soa(soa) = read {
        return Data::Soa { serial: soa.serial().into_int(), minimum_secs: soa.minimum().as_secs() };
    }
    let rtype = Rtype::of_number(number);
    if number == TYPE_SOA || matches!(rtype, Rtype::Unknown(0 | 46 | 47 | 50 | 128..=255)) {
        return Data::Unread(number);
    }
    let text = match read {
        // That crate shows a text's strings without what is between them.
        AllRecordData::Txt(txt) => txt.iter_charstrs().map(|string| quoted(string.as_slice())).collect::<Vec<_>>().join(" "),
        // And the root as "..".
        read => read.to_string().replace(" ..", " ."),
    };
    Rdata::parse(rtype, &text, None, Hosts::default()).map_or(Data::Unread(number), Data::Held)
}

/// A string as a zone file has it (RFC 1035 §5.1).
fn quoted(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() + 2);
    text.push('"');
    for octet in octets {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(*octet)]),
            b' '..=b'~' => text.push(char::from(*octet)),
            octet => text.push_str(&format!("\\{octet:03}")),
        }
    }
    text.push('"');
    text
}

impl Record {
    /// The data, where a zone here could hold it.
    pub fn held(&self) -> Option<&Rdata> {
        match &self.data {
            Data::Held(rdata) => Some(rdata),
            Data::Soa { .. } | Data::Unread(_) => None,
        }
    }

    /// Its type's number.
    pub fn number(&self) -> u16 {
        match &self.data {
            Data::Held(rdata) => rdata.rtype().number(),
            Data::Soa { .. } => TYPE_SOA,
            Data::Unread(number) => *number,
        }
    }

    /// The name server it names, where it is an NS record.
    pub fn name_server(&self) -> Option<&Name> {
        match &self.data {
            Data::Held(Rdata::Ns(Host::Name(name))) => Some(name),
            _ => None,
        }
    }

    /// The address it holds.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        match &self.data {
            Data::Held(Rdata::A(address)) => Some((*address).into()),
            Data::Held(Rdata::Aaaa(address)) => Some((*address).into()),
            _ => None,
        }
    }
}

impl Reply {
    /// For how long nothing is nothing, as its authority says, in seconds (RFC 2308 §5).
    pub fn negative_ttl_secs(&self) -> Option<u32> {
        self.authorities.iter().find_map(|record| match record.data {
            Data::Soa { minimum_secs, .. } => Some(minimum_secs.min(record.ttl_secs)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        Question::new(Name::parse("www.Example.com").unwrap(), Rtype::A)
    }

    #[test]
    fn a_query_is_what_the_rfc_draws() {
        let octets = question().query(0x1234, true, true);
        let expected = [
            &[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..],
            b"\x03www\x07example\x03com\x00",
            &[0, 1, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0],
        ];
        assert_eq!(octets, expected.concat());
        assert!(Message::from_octets(octets).unwrap().opt().is_some());
    }

    #[test]
    fn what_answers_another_question_is_passed_over() {
        let mut octets = question().query(7, false, false);
        assert_eq!(question().reply(7, &octets), Err(ReplyError::Foreign), "a query is no reply");
        octets[2] |= 0x80;
        assert!(question().reply(7, &octets).is_ok());
        assert_eq!(question().reply(8, &octets), Err(ReplyError::Foreign));
        let other = Question::new(Name::parse("www.example.com").unwrap(), Rtype::Aaaa);
        assert_eq!(other.reply(7, &octets), Err(ReplyError::Foreign));
    }

    proptest! {
        #[test]
        fn no_octets_break_it(octets in proptest::collection::vec(any::<u8>(), 0..200), tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = question().reply(7, &octets);
            let mut begun = question().query(7, false, false);
            begun[2] |= 0x80;
            begun[7] = 3;
            begun.extend(tail);
            let _ = question().reply(7, &begun);
        }
    }
}
