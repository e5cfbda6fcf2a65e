//! What a primary sends of a zone that is copied here, message by message: whole (AXFR, RFC 5936), or what changed of it (IXFR, RFC 1995).
//!
//! ```text
//! whole       SOA, records, SOA                                      both SOAs alike
//! changed     SOA new, (SOA old, what went, SOA, what came)…, SOA new
//! current     SOA                                                    the version there is already, or an older one
//! ```
//!
//! Pure. Everything is bounded, and nothing is passed over: a record that lies outside of the zone, is of another class, or cannot be kept
//! here refuses the whole, since a copy without it would not be one. A zone that its primary has signed is refused, too: the signatures
//! could not be kept together with what is put on top, and without them whoever validates would find the zone false.

use std::collections::HashSet;

use domain::{
    base::{Message, ParsedName, iana::Class},
    rdata::AllRecordData,
};
use poterne_dns_wire::Rcode;
use poterne_model::{Name, Rdata, Rtype, secondary::Held};

use crate::message::{Data, data, ttl};

/// Most records of one message that are looked at; no more fit in one.
const RECORDS_OF_MESSAGE_MAX: usize = 6000;

/// What signs a zone, and what denies (RFC 4034, RFC 5155).
const SIGNED: [u16; 5] = [46, 47, 48, 50, 51];

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRecord {
    /// Its owner.
    pub owner: Name,
    /// In seconds.
    pub ttl_secs: u32,
    /// What it says.
    pub rdata: Rdata,
}

/// What a transfer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// The version that is there already, or an older one.
    Current,
    /// The zone whole, each record once.
    Whole(Held, Vec<ZoneRecord>),
    /// What changed, in order: whether a record came, and which.
    Changes(Held, Vec<(bool, ZoneRecord)>),
}

/// What is taken at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records.
    pub records: usize,
    /// Octets of all messages.
    pub octets: usize,
}

/// Why a transfer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncomingError {
    /// It cannot be read, or does not go as a transfer does.
    #[error("what it sends is no transfer of the zone")]
    Malformed,
    /// The server says no.
    #[error("it answers {0}")]
    Refused(Rcode),
    /// Too much.
    #[error("the zone has more than {} records, or {} octets", .0.records, .0.octets)]
    TooLarge(Bounds),
    /// A record outside of the zone.
    #[error("it sends {0}, which does not lie in the zone")]
    Stray(String),
    /// A record that cannot be kept.
    #[error("it sends a record of {owner} that cannot be kept here ({why})")]
    Unkept {
        /// Its owner.
        owner: String,
        /// Its type, or what is wrong with the name.
        why: String,
    },
    /// A signed zone.
    #[error("the zone is signed by its primary: let it give the zone unsigned, and sign it here")]
    Signed,
}

impl PartialEq for Bounds {
    fn eq(&self, other: &Self) -> bool {
        (self.records, self.octets) == (other.records, other.octets)
    }
}

impl Eq for Bounds {}

/// Where reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before anything.
    Start,
    /// After the first start of authority.
    First,
    /// Among records of the whole zone.
    Whole,
    /// Among what went.
    Going,
    /// Among what came, with the version that has it.
    Coming(u32),
    /// After the last.
    End,
}

/// A transfer under way.
#[derive(Debug)]
pub struct Reader {
    apex: Name,
    /// The version that is there, where what changed was asked for.
    since: Option<u32>,
    id: [u8; 2],
    bounds: Bounds,
    octets: usize,
    stage: Stage,
    authority: Option<Held>,
    records: Vec<ZoneRecord>,
    seen: HashSet<(Name, Rtype, String)>,
    changes: Vec<(bool, ZoneRecord)>,
}

/// What a record is.
enum Piece {
    Authority(Held),
    Record(ZoneRecord),
}

impl Reader {
    /// Of a zone that was asked for with this id; `since`: what changed after that version was.
    pub fn new(apex: Name, id: [u8; 2], since: Option<u32>, bounds: Bounds) -> Self {
        Self {
            apex,
            since,
            id,
            bounds,
            octets: 0,
            stage: Stage::Start,
            authority: None,
            records: Vec::new(),
            seen: HashSet::new(),
            changes: Vec::new(),
        }
    }

    /// Takes in the next message; returns whether it was the last.
    ///
    /// # Errors
    /// The transfer is not taken.
    pub fn read(&mut self, octets: &[u8]) -> Result<bool, IncomingError> {
        self.octets = self.octets.saturating_add(octets.len());
        if self.octets > self.bounds.octets {
            return Err(IncomingError::TooLarge(self.bounds));
        }
        let message = Message::from_octets(octets).map_err(|_| IncomingError::Malformed)?;
        let header = message.header();
        if octets[..2] != self.id || !header.qr() || header.tc() || header.opcode().to_int() != 0 || self.stage == Stage::End {
            return Err(IncomingError::Malformed);
        }
        let code = Rcode::from(u16::from(header.rcode().to_int()));
        if code != Rcode::NoError {
            return Err(IncomingError::Refused(code));
        }
        let answers = message.answer().map_err(|_| IncomingError::Malformed)?;
        for (number, parsed) in answers.enumerate() {
            let parsed = parsed.map_err(|_| IncomingError::Malformed)?;
            if number == RECORDS_OF_MESSAGE_MAX || parsed.class() != Class::IN {
                return Err(IncomingError::Malformed);
            }
            let owner = Name::parse(&parsed.owner().to_string());
            let rtype = parsed.rtype().to_int();
            let ttl_secs = ttl(parsed.ttl().as_secs());
            let written = parsed.owner().to_string();
            let record = parsed.to_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(|_| IncomingError::Malformed)?;
            let unkept = |why: String| IncomingError::Unkept { owner: written.chars().take(260).collect(), why };
            let owner = owner.map_err(|error| unkept(error.to_string()))?;
            self.piece(self.piece_of(owner, rtype, ttl_secs, record.data(), unkept)?)?;
            if self.records.len() + self.changes.len() > self.bounds.records {
                return Err(IncomingError::TooLarge(self.bounds));
            }
        }
        // "Nothing changed" is a start of authority alone; a zone, whole or changed, goes on after it.
        let is_current = self.stage == Stage::First
            && self.authority.as_ref().zip(self.since).is_some_and(|(now, since)| !is_later(now.serial, since));
        if is_current {
            self.stage = Stage::End;
        }
        Ok(self.stage == Stage::End)
    }

    fn piece_of(
        &self,
        owner: Name,
        number: u16,
        ttl_secs: u32,
        read: &AllRecordData<&[u8], ParsedName<&[u8]>>,
        unkept: impl Fn(String) -> IncomingError,
    ) -> Result<Piece, IncomingError> {
        if let AllRecordData::Soa(soa) = read {
            if owner != self.apex {
                return Err(IncomingError::Stray(format!("a start of authority of {owner}")));
            }
            return Ok(Piece::Authority(Held {
                mname: text(soa.mname()),
                rname: text(soa.rname()),
                serial: soa.serial().into_int(),
                refresh: soa.refresh().as_secs(),
                retry: soa.retry().as_secs(),
                expire: soa.expire().as_secs(),
                minimum: soa.minimum().as_secs(),
                ttl: ttl_secs,
            }));
        }
        if !owner.is_within(&self.apex) {
            return Err(IncomingError::Stray(owner.to_string()));
        }
        if SIGNED.contains(&number) {
            return Err(IncomingError::Signed);
        }
        match data(number, read) {
            Data::Held(rdata) => Ok(Piece::Record(ZoneRecord { owner, ttl_secs, rdata })),
            Data::Soa { .. } | Data::Unread(_) => Err(unkept(Rtype::of_number(number).to_string())),
        }
    }

    fn piece(&mut self, piece: Piece) -> Result<(), IncomingError> {
        let last = self.authority.as_ref().map_or(0, |authority| authority.serial);
        self.stage = match (self.stage, piece) {
            (Stage::Start, Piece::Authority(authority)) => {
                self.authority = Some(authority);
                Stage::First
            }
            (Stage::First, Piece::Authority(authority)) if authority.serial == last => Stage::End,
            (Stage::First, Piece::Authority(authority)) if self.since == Some(authority.serial) => Stage::Going,
            (Stage::First | Stage::Whole, Piece::Record(record)) => {
                // A server that repeats itself fills nothing.
                if self.seen.insert((record.owner.clone(), record.rdata.rtype(), record.rdata.canonical())) {
                    self.records.push(record);
                }
                Stage::Whole
            }
            (Stage::Whole, Piece::Authority(authority)) if authority.serial == last => Stage::End,
            (Stage::Going, Piece::Authority(authority)) => Stage::Coming(authority.serial),
            (Stage::Coming(now), Piece::Authority(authority)) if now == last && authority.serial == last => Stage::End,
            (Stage::Coming(now), Piece::Authority(authority)) if authority.serial == now && now != last => Stage::Going,
            (stage @ (Stage::Going | Stage::Coming(_)), Piece::Record(record)) => {
                self.changes.push((stage != Stage::Going, record));
                stage
            }
            _ => return Err(IncomingError::Malformed),
        };
        Ok(())
    }

    /// The start of authority that came first.
    pub fn authority(&self) -> Option<Held> {
        self.authority.clone()
    }

    /// What it came to, after the last message.
    ///
    /// # Errors
    /// The last message did not come.
    pub fn finish(self) -> Result<Came, IncomingError> {
        let authority = self.authority.filter(|_| self.stage == Stage::End).ok_or(IncomingError::Malformed)?;
        if self.since.is_some_and(|since| !is_later(authority.serial, since)) {
            return Ok(Came::Current);
        }
        if self.changes.is_empty() && !self.records.is_empty() {
            return Ok(Came::Whole(authority, self.records));
        }
        match self.since {
            Some(_) => Ok(Came::Changes(authority, self.changes)),
            None => Ok(Came::Whole(authority, self.records)),
        }
    }
}

/// RFC 1982 §3.2.
fn is_later(serial: u32, than: u32) -> bool {
    serial != than && serial.wrapping_sub(than) < 1 << 31
}

fn text(name: &ParsedName<&[u8]>) -> String {
    name.to_string().trim_end_matches('.').chars().take(1100).collect()
}

#[cfg(test)]
mod tests;
