//! Field sections (RFC 9204), without the dynamic table: we announce none and use none of the visitor's. So a section says all of itself, no
//! stream waits for another, and nothing is kept between requests. Pure.
//!
//! * `table`: the static table; `huffman`: strings in Huffman's code;
//! * [`Section`]: a section, line by line; [`encode`]: one of ours.

mod encode;
mod huffman;
mod table;

use bytes::Bytes;

pub(crate) use encode::{encode_answer, encode_trailers, section_bytes};

/// What a field takes beside its octets, as sections are measured (RFC 9114 §4.2.2).
const LINE_BYTES: usize = 32;

/// Why a section is not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// It is none, or refers to a table that is not there. No later section can be trusted to mean what its sender thinks (RFC 9204 §2.2.3).
    #[error("a field section does not decode: {0}")]
    Undecodable(&'static str),
    /// Its fields are larger than was allowed.
    #[error("the fields are too large")]
    TooLarge,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its name, which need not be a valid one.
    pub name: LineName,
    /// Its value, the same.
    pub value: Bytes,
}

/// How a name was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineName {
    /// One of the table's.
    Known(usize),
    /// Written out.
    Literal(Bytes),
}

impl LineName {
    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Known(index) => table::ENTRIES[*index].0.as_bytes(),
            Self::Literal(name) => name,
        }
    }
}

/// A section that is being read.
#[derive(Debug)]
pub struct Section {
    rest: Bytes,
    /// Of what was allowed.
    room: usize,
}

impl Section {
    /// Reads a section whose fields may measure so many bytes.
    ///
    /// # Errors
    /// It refers to the dynamic table, or has no beginning.
    pub fn new(mut block: Bytes, bytes_max: usize) -> Result<Self, SectionError> {
        let required = integer(&mut block, 8)?;
        if required != 0 {
            return Err(SectionError::Undecodable("it needs the dynamic table"));
        }
        let is_negative = block.first().is_some_and(|first| first & 0x80 != 0);
        integer(&mut block, 7)?;
        // RFC 9204 §4.5.1.2: a base cannot be below nought.
        if is_negative {
            return Err(SectionError::Undecodable("its base is below nought"));
        }
        Ok(Self { rest: block, room: bytes_max })
    }

    /// The next field; none after the last.
    ///
    /// # Errors
    /// See [`SectionError`]; nothing comes after one.
    pub fn next_line(&mut self) -> Result<Option<Line>, SectionError> {
        let Some(&first) = self.rest.first() else { return Ok(None) };
        let rest = &mut self.rest;
        // RFC 9204 §4.5.2, §4.5.4 and §4.5.6; the others refer to the dynamic table.
        let line = match first {
            0xc0.. => {
                let index = known(integer(rest, 6)?)?;
                Line { name: LineName::Known(index), value: Bytes::from_static(table::ENTRIES[index].1.as_bytes()) }
            }
            0x50..=0x5f | 0x70..=0x7f => {
                let index = known(integer(rest, 4)?)?;
                Line { name: LineName::Known(index), value: string(rest, 7)? }
            }
            0x20..=0x3f => Line { name: LineName::Literal(string(rest, 3)?), value: string(rest, 7)? },
            _ => return Err(SectionError::Undecodable("it refers to the dynamic table")),
        };
        let size = line.name.as_bytes().len() + line.value.len() + LINE_BYTES;
        self.room = self.room.checked_sub(size).ok_or(SectionError::TooLarge)?;
        Ok(Some(line))
    }
}

fn known(index: u64) -> Result<usize, SectionError> {
    let index = usize::try_from(index).ok().filter(|index| *index < table::ENTRIES.len());
    index.ok_or(SectionError::Undecodable("the static table has no such entry"))
}

/// An integer that begins in the lowest bits of the first octet (RFC 7541 §5.1); at most 2^32, which no length here is near.
fn integer(from: &mut Bytes, bits: u32) -> Result<u64, SectionError> {
    const CUT: SectionError = SectionError::Undecodable("it ends in a number");
    let mask = (1u64 << bits) - 1;
    let mut value = u64::from(*from.first().ok_or(CUT)?) & mask;
    let (mut taken, mut shift) = (1, 0);
    if value == mask {
        loop {
            let octet = u64::from(*from.get(taken).ok_or(CUT)?);
            taken += 1;
            value += (octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return Err(SectionError::Undecodable("it has a number beyond all bounds"));
            }
        }
    }
    bytes::Buf::advance(from, taken);
    Ok(value)
}

/// A string: whether it is in Huffman's code, its length, its octets.
fn string(from: &mut Bytes, bits: u32) -> Result<Bytes, SectionError> {
    let is_coded = from.first().is_some_and(|first| first & (1 << bits) != 0);
    let length = integer(from, bits)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= from.len());
    let octets = from.split_to(length.ok_or(SectionError::Undecodable("it ends in a string"))?);
    if !is_coded {
        return Ok(octets);
    }
    huffman::decode(&octets).ok_or(SectionError::Undecodable("a string is not in Huffman's code"))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
    use proptest::prelude::*;

    use super::*;

    fn read(block: impl Into<Bytes>, bytes_max: usize) -> Result<Vec<(String, String)>, SectionError> {
        let mut section = Section::new(block.into(), bytes_max)?;
        let mut lines = Vec::new();
        while let Some(line) = section.next_line()? {
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            lines.push((text(line.name.as_bytes()), text(&line.value)));
        }
        Ok(lines)
    }

    fn pairs(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_form_is_read() {
        // The first is RFC 9204, Appendix B.1.
        let block = b"\0\0\x51\x0b/index.html\xd1\xc1\x23foo\x03bar\x27\x01x-origin\x03yes".to_vec();
        let expected = [(":path", "/index.html"), (":method", "GET"), (":path", "/"), ("foo", "bar"), ("x-origin", "yes")];
        assert_eq!(read(block, 1_000), Ok(pairs(&expected)));
    }

    #[test]
    fn what_needs_a_table_or_has_no_end_is_refused() {
        for wrong in [
            &b""[..],
            b"\0",
            b"\x01\0",
            b"\0\x80",
            b"\0\0\x80",
            b"\0\0\x10",
            b"\0\0\x40\0",
            b"\0\0\0\0",
            b"\0\0\x51",
            b"\0\0\x51\x05abcd",
            b"\0\0\xff\x24",
            b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\0\0\x51\x81\xff",
        ] {
            assert!(matches!(read(wrong.to_vec(), 1_000), Err(SectionError::Undecodable(_))), "{wrong:?}");
        }
    }

    #[test]
    fn fields_are_measured_as_they_are_read() {
        let block = b"\0\0\xd1\xd1".to_vec();
        let one = ":method".len() + "GET".len() + LINE_BYTES;
        assert!(read(block.clone(), 2 * one).is_ok());
        assert_eq!(read(block, 2 * one - 1), Err(SectionError::TooLarge));
    }

    #[test]
    fn an_answer_is_read_as_it_was_meant() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_TYPE, "text/x-odd"),
            (header::SET_COOKIE, "a=b"),
            (HeaderName::from_static("x-none-of-theirs"), "1"),
            (header::SERVER, "poterne"),
        ] {
            fields.append(name, HeaderValue::from_static(value));
        }
        for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::IM_A_TEAPOT] {
            let mut block = BytesMut::new();
            encode_answer(&mut block, status, &fields);
            let lines = read(block, 10_000).unwrap();
            assert_eq!(lines[0], (":status".to_owned(), status.as_str().to_owned()));
            let expected: Vec<_> =
                fields.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            assert_eq!(lines[1..], expected);
        }
    }

    proptest! {
        #[test]
        fn no_octets_are_beyond_it(block in prop::collection::vec(any::<u8>(), 0..300), bytes_max in 0usize..2_000) {
            let lines = read(block, bytes_max).unwrap_or_default();
            let size: usize = lines.iter().map(|(name, _)| name.len() + LINE_BYTES).sum();
            prop_assert!(size <= bytes_max);
        }

        #[test]
        fn trailers_of_any_size_come_back(values in prop::collection::vec("[ -~]{0,400}", 0..10)) {
            let mut fields = HeaderMap::new();
            for (at, value) in values.iter().enumerate() {
                let name = HeaderName::try_from(format!("x-{}", "n".repeat(at * 60))).unwrap();
                fields.append(name, HeaderValue::try_from(value.as_str()).unwrap());
            }
            let mut block = BytesMut::new();
            encode_trailers(&mut block, &fields);
            let lines = read(block, 100_000).unwrap();
            let expected: Vec<_> =
                fields.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            prop_assert_eq!(lines, expected);
        }
    }
}
