//! Field sections of ours: what the static table has is a number, all else is written out. No Huffman's code: it saves the visitor a fifth of
//! a head, and costs us more than the packet would.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, StatusCode};

use super::table::{ENTRIES, entries_of};

/// Where the table has `:status`.
const STATUS: u64 = 24;

/// The head of an answer.
pub(crate) fn encode_answer(to: &mut BytesMut, status: StatusCode, fields: &HeaderMap) {
    begin(to, fields);
    let known = match status.as_u16() {
        103 => Some(24),
        200 => Some(25),
        304 => Some(26),
        404 => Some(27),
        503 => Some(28),
        100 => Some(63),
        204 => Some(64),
        206 => Some(65),
        302 => Some(66),
        400 => Some(67),
        403 => Some(68),
        421 => Some(69),
        425 => Some(70),
        500 => Some(71),
        _ => None,
    };
    match known {
        Some(index) => integer(to, 0xc0, 6, index),
        None => {
            integer(to, 0x50, 4, STATUS);
            string(to, 0, 7, status.as_str().as_bytes());
        }
    }
    put(to, fields);
}

/// How large a field section is, as it is counted against what its reader takes (RFC 9114 §4.2.2): names and values as they are, and 32
/// octets for each line. `status`: of an answer's head; trailers have none.
pub(crate) fn section_bytes(status: Option<StatusCode>, fields: &HeaderMap) -> u64 {
    const OF_LINE: usize = 32;
    let status = status.map_or(0, |status| ":status".len() + status.as_str().len() + OF_LINE);
    let fields = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + OF_LINE).sum::<usize>();
    u64::try_from(status + fields).unwrap_or(u64::MAX)
}

/// The trailers of an answer.
pub(crate) fn encode_trailers(to: &mut BytesMut, fields: &HeaderMap) {
    begin(to, fields);
    put(to, fields);
}

/// No dynamic table, hence no count and no base (RFC 9204 §4.5.1).
fn begin(to: &mut BytesMut, fields: &HeaderMap) {
    to.reserve(16 + fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 8).sum::<usize>());
    to.put_slice(&[0, 0]);
}

fn put(to: &mut BytesMut, fields: &HeaderMap) {
    for (name, value) in fields {
        let entries = entries_of(name.as_str());
        let Some(first) = entries.first() else {
            string(to, 0x20, 3, name.as_str().as_bytes());
            string(to, 0, 7, value.as_bytes());
            continue;
        };
        match entries.iter().find(|entry| ENTRIES[usize::from(**entry)].1.as_bytes() == value.as_bytes()) {
            Some(entry) => integer(to, 0xc0, 6, u64::from(*entry)),
            None => {
                integer(to, 0x50, 4, u64::from(*first));
                string(to, 0, 7, value.as_bytes());
            }
        }
    }
}

/// An integer whose first octet has other bits above it (RFC 7541 §5.1).
fn integer(to: &mut BytesMut, above: u8, bits: u32, value: u64) {
    let mask = (1u64 << bits) - 1;
    let low = |value: u64| u8::try_from(value & 0xff).unwrap_or(0);
    if value < mask {
        return to.put_u8(above | low(value));
    }
    to.put_u8(above | low(mask));
    let mut rest = value - mask;
    while rest > 0x7f {
        to.put_u8(0x80 | low(rest & 0x7f));
        rest >>= 7;
    }
    to.put_u8(low(rest));
}

fn string(to: &mut BytesMut, above: u8, bits: u32, octets: &[u8]) {
    integer(to, above, bits, octets.len() as u64);
    to.put_slice(octets);
}
