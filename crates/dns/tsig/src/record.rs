//! The TSIG record (RFC 8945 §4.2): the last of a message, or nowhere.

use poterne_dns_wire::{name, rtype};

/// Octets of a message's header.
const HEADER: usize = 12;

/// The class that such a record has.
const CLASS_ANY: u16 = 255;

/// What the record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tsig {
    /// The key's name: labels in lower case.
    pub name: Vec<u8>,
    /// The algorithm's name, likewise.
    pub algorithm: Vec<u8>,
    /// When it was signed, in seconds since the Unix epoch; 48 bits.
    pub time: u64,
    /// How far clocks may be apart, in seconds.
    pub fudge: u16,
    /// The code.
    pub mac: Vec<u8>,
    /// The id that the message was signed with.
    pub original_id: [u8; 2],
    /// What was wrong with the request (RFC 8945 §3).
    pub error: u16,
    /// More on that: of a clock that is wrong, the server's time.
    pub other: Vec<u8>,
}

/// A record that was found, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The record.
    pub tsig: Tsig,
    /// The message's octets before it.
    pub at: usize,
}

/// A message that does not parse, or a record that stands where none may (RFC 8945 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message, or its signature, does not parse")]
pub struct Malformed;

/// The record at the end of a message; none where it is not signed. Nothing is followed beyond the message's end, and no name for longer
/// than a name can be.
///
/// # Errors
/// The message does not parse, or such a record stands before its end.
pub fn find(message: &[u8]) -> Result<Option<Found>, Malformed> {
    let count = |at: usize| message.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    let [questions, answers, authorities, additional] = [4, 6, 8, 10].map(count);
    let (questions, additional) = (questions.ok_or(Malformed)?, additional.ok_or(Malformed)?);
    let before = answers.ok_or(Malformed)? + authorities.ok_or(Malformed)?;
    let mut at = HEADER;
    for _ in 0..questions {
        at = name::skip(message, at).ok_or(Malformed)? + 4;
    }
    for number in 0..before + additional {
        let start = at;
        let head = name::skip(message, at).ok_or(Malformed)?;
        let [t0, t1, c0, c1, ttl @ .., l0, l1] =
            *message.get(head..).and_then(|rest| rest.first_chunk::<10>()).ok_or(Malformed)?;
        let end = head + 10 + usize::from(u16::from_be_bytes([l0, l1]));
        let data = message.get(head + 10..end).ok_or(Malformed)?;
        at = end;
        if u16::from_be_bytes([t0, t1]) != rtype::TSIG {
            continue;
        }
        let is_last = number + 1 == before + additional && additional > 0 && at == message.len();
        if !is_last || u16::from_be_bytes([c0, c1]) != CLASS_ANY || ttl != [0; 4] {
            return Err(Malformed);
        }
        let name = expanded(message, start).ok_or(Malformed)?;
        return Ok(Some(Found { tsig: data_of(name, data).ok_or(Malformed)?, at: start }));
    }
    if at == message.len() { Ok(None) } else { Err(Malformed) }
}

/// RFC 8945 §4.2: the data's own names are not compressed.
fn data_of(name: Vec<u8>, data: &[u8]) -> Option<Tsig> {
    let (algorithm, rest) = data.split_at(name::length(data)?);
    let [t0, t1, t2, t3, t4, t5, f0, f1, l0, l1] = *rest.first_chunk::<10>()?;
    let mac_end = 10 + usize::from(u16::from_be_bytes([l0, l1]));
    let mac = rest.get(10..mac_end)?;
    let [i0, i1, e0, e1, l0, l1] = *rest.get(mac_end..)?.first_chunk::<6>()?;
    let other = rest.get(mac_end + 6..)?;
    if other.len() != usize::from(u16::from_be_bytes([l0, l1])) {
        return None;
    }
    Some(Tsig {
        name,
        algorithm: algorithm.to_ascii_lowercase(),
        time: u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]),
        fudge: u16::from_be_bytes([f0, f1]),
        mac: mac.to_vec(),
        original_id: [i0, i1],
        error: u16::from_be_bytes([e0, e1]),
        other: other.to_vec(),
    })
}

/// The name at `at`, whole and in lower case. Pointers lead back (RFC 1035 §4.1.4), so that there is an end.
fn expanded(message: &[u8], mut at: usize) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut before = at;
    loop {
        let length = *message.get(at)?;
        if length >= 0xc0 {
            let to = usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            if to >= before {
                return None;
            }
            (at, before) = (to, to);
            continue;
        }
        if length > name::LABEL_OCTETS_MAX {
            return None;
        }
        let end = at + 1 + usize::from(length);
        labels.extend(message.get(at..end)?.iter().map(u8::to_ascii_lowercase));
        if labels.len() > name::NAME_OCTETS_MAX {
            return None;
        }
        if length == 0 {
            return Some(labels);
        }
        at = end;
    }
}

impl Found {
    /// The message as it was signed: without the record, and with the id it had then (RFC 8945 §4.3.2).
    pub fn unsigned(&self, message: &[u8]) -> Vec<u8> {
        let mut unsigned = message[..self.at].to_vec();
        unsigned[..2].copy_from_slice(&self.tsig.original_id);
        let count = u16::from_be_bytes([unsigned[10], unsigned[11]]).saturating_sub(1);
        unsigned[10..12].copy_from_slice(&count.to_be_bytes());
        unsigned
    }
}

impl Tsig {
    /// Octets that an answer's record takes at most, of the same key.
    pub fn octets_at_most(&self) -> usize {
        // The longest code, and a time.
        self.name.len() + 10 + self.algorithm.len() + 16 + 64 + 6
    }

    /// Puts it at the end of a message, and counts it.
    pub fn append(&self, message: &mut Vec<u8>) {
        let word = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        message.extend(&self.name);
        message.extend(rtype::TSIG.to_be_bytes());
        message.extend(CLASS_ANY.to_be_bytes());
        message.extend([0; 4]);
        message.extend(word(self.algorithm.len() + 16 + self.mac.len() + self.other.len()));
        message.extend(&self.algorithm);
        message.extend(self.timers());
        message.extend(word(self.mac.len()));
        message.extend(&self.mac);
        message.extend(self.original_id);
        message.extend(self.error.to_be_bytes());
        message.extend(word(self.other.len()));
        message.extend(&self.other);
        let count = u16::from_be_bytes([message[10], message[11]]).saturating_add(1);
        message[10..12].copy_from_slice(&count.to_be_bytes());
    }

    /// What of it is signed in the first message of an exchange (RFC 8945 §4.3.3).
    pub(crate) fn variables(&self) -> Vec<u8> {
        let mut octets = self.name.clone();
        octets.extend(CLASS_ANY.to_be_bytes());
        octets.extend([0; 4]);
        octets.extend(&self.algorithm);
        octets.extend(self.timers());
        octets.extend(self.error.to_be_bytes());
        octets.extend(u16::try_from(self.other.len()).unwrap_or(u16::MAX).to_be_bytes());
        octets.extend(&self.other);
        octets
    }

    /// What of it is signed in those that follow (RFC 8945 §5.3.1).
    pub(crate) fn timers(&self) -> [u8; 8] {
        let [_, _, t0, t1, t2, t3, t4, t5] = self.time.to_be_bytes();
        let [f0, f1] = self.fudge.to_be_bytes();
        [t0, t1, t2, t3, t4, t5, f0, f1]
    }
}
