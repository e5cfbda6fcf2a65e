//! Bodies of HTTP/1.1 messages. Pure.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest chunk line, its size and extensions together (edge-behaviour §5.8): 16 digits and 256 bytes of extensions.
const CHUNK_LINE_BYTES_MAX: usize = 16 + 256;
/// Longest trailer section, in bytes.
const TRAILER_BYTES_MAX: usize = 64 * 1024;

/// How an answer's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After this many more bytes.
    Length(u64),
    /// By itself.
    Chunked(Chunked),
    /// With the connection.
    UntilClose,
}

/// Where in a chunked body the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunked {
    /// In a chunk's line.
    Size,
    /// In a chunk's data, of which so many bytes are left.
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    /// In the trailer section.
    Trailers,
    /// Nowhere any more.
    Ended,
}

/// A body that is not framed as it says. Culprit: the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its chunked body is malformed: {0}")]
pub struct BodyFault(&'static str);

/// A line that ends as only some readers take it (edge-behaviour §5.8).
const BARE_LF: BodyFault = BodyFault("a line in it ends in LF alone");

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data.
    Data(Bytes),
    /// The end, perhaps with trailers.
    End(Option<HeaderMap>),
    /// More bytes are needed.
    Wait,
}

impl Framing {
    /// A chunked body from its beginning.
    pub const fn chunked() -> Self {
        Self::Chunked(Chunked::Size)
    }

    /// Whether nothing is left of the body.
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Ended))
    }

    /// Takes the next piece off `buf`. `forgiving`: as [`crate::Rules::forgiving`].
    ///
    /// # Errors
    /// What the bytes say is no body of this framing.
    pub fn decode(&mut self, buf: &mut BytesMut, forgiving: bool) -> Result<Piece, BodyFault> {
        match self {
            Self::Length(0) => Ok(Piece::End(None)),
            Self::Length(left) => Ok(take(buf, left)),
            Self::UntilClose if buf.is_empty() => Ok(Piece::Wait),
            Self::UntilClose => Ok(Piece::Data(buf.split().freeze())),
            Self::Chunked(at) => at.decode(buf, forgiving),
        }
    }
}

/// At most `left` bytes.
fn take(buf: &mut BytesMut, left: &mut u64) -> Piece {
    if buf.is_empty() {
        return Piece::Wait;
    }
    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
    *left -= len as u64;
    Piece::Data(buf.split_to(len).freeze())
}

impl Chunked {
    fn decode(&mut self, buf: &mut BytesMut, forgiving: bool) -> Result<Piece, BodyFault> {
        loop {
            match self {
                Self::Size => match line(buf, CHUNK_LINE_BYTES_MAX, "a chunk line is too long", forgiving)? {
                    None => return Ok(Piece::Wait),
                    Some(line) => *self = size(&line, forgiving)?,
                },
                Self::Data(0) => *self = Self::DataEnd,
                Self::Data(left) => return Ok(take(buf, left)),
                Self::DataEnd => match line(buf, 1, "a chunk is longer than its size", forgiving)? {
                    None => return Ok(Piece::Wait),
                    Some(line) if line.is_empty() => *self = Self::Size,
                    Some(_) => return Err(BodyFault("a chunk is longer than its size")),
                },
                Self::Trailers => {
                    let Some(trailers) = trailers(buf, forgiving)? else { return Ok(Piece::Wait) };
                    *self = Self::Ended;
                    return Ok(Piece::End((!trailers.is_empty()).then_some(trailers)));
                }
                Self::Ended => return Ok(Piece::End(None)),
            }
        }
    }
}

/// A line without its end, taken off; none while it is incomplete.
fn line(buf: &mut BytesMut, max: usize, too_long: &'static str, forgiving: bool) -> Result<Option<Bytes>, BodyFault> {
    match memchr::memchr(b'\n', buf) {
        None if buf.len() > max => Err(BodyFault(too_long)),
        None => Ok(None),
        Some(end) => {
            let mut line = buf.split_to(end + 1).freeze();
            let is_whole = line[..end].ends_with(b"\r");
            if !is_whole && !forgiving {
                return Err(BARE_LF);
            }
            line.truncate(if is_whole { end - 1 } else { end });
            if line.len() > max { Err(BodyFault(too_long)) } else { Ok(Some(line)) }
        }
    }
}

/// RFC 9112 §7.1: 1 to 16 hexadecimal digits, then perhaps extensions, which are dropped.
fn size(line: &[u8], forgiving: bool) -> Result<Chunked, BodyFault> {
    let wrong = BodyFault("a chunk size is no hexadecimal number");
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extensions = if forgiving { line[digits..].trim_ascii_start() } else { &line[digits..] };
    if !(1..=16).contains(&digits) || !matches!(extensions.first(), None | Some(b';')) {
        return Err(wrong);
    }
    let size = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    Ok(match size.ok_or(wrong)? {
        0 => Chunked::Trailers,
        size => Chunked::Data(size),
    })
}

/// The trailer section up to its empty line (RFC 9112 §7.1.2). Fields about framing or routing have no meaning there.
fn trailers(buf: &mut BytesMut, forgiving: bool) -> Result<Option<HeaderMap>, BodyFault> {
    let wrong = BodyFault("a trailer is malformed");
    let mut end = 0;
    loop {
        let Some(newline) = memchr::memchr(b'\n', &buf[end..]) else {
            return if buf.len() > TRAILER_BYTES_MAX { Err(BodyFault("the trailers are too long")) } else { Ok(None) };
        };
        let line = &buf[end..end + newline];
        if !forgiving && !line.ends_with(b"\r") {
            return Err(BARE_LF);
        }
        let is_last = matches!(line, b"" | b"\r");
        end += newline + 1;
        if is_last {
            break;
        }
    }
    let section = buf.split_to(end).freeze();
    let mut trailers = HeaderMap::new();
    for line in section.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()) {
        let colon = memchr::memchr(b':', line).ok_or(wrong)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| wrong)?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(line[colon + 1..].trim_ascii())).map_err(|_| wrong)?;
        if !is_forbidden(&name) {
            trailers.try_append(name, value).map_err(|_| wrong)?;
        }
    }
    Ok(Some(trailers))
}

/// RFC 9110 §6.5.1.
fn is_forbidden(name: &HeaderName) -> bool {
    use http::header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    };
    [AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING].contains(name)
}

/// The line before a chunk's data.
pub fn chunk_line(len: usize) -> Bytes {
    Bytes::from(format!("{len:x}\r\n"))
}

/// What ends a chunk's data.
pub const CHUNK_END: Bytes = Bytes::from_static(b"\r\n");

/// The end of a chunked body.
pub fn last_chunk(trailers: Option<&HeaderMap>) -> Bytes {
    let Some(trailers) = trailers else { return Bytes::from_static(b"0\r\n\r\n") };
    let mut out = BytesMut::from("0\r\n");
    for (name, value) in trailers.iter().filter(|(name, _)| !is_forbidden(name)) {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
    out.freeze()
}

/// Removes the first `len` bytes of a queue of buffers.
pub fn advance(queue: &mut std::collections::VecDeque<Bytes>, mut len: usize) {
    while let Some(first) = queue.front_mut() {
        if first.len() > len {
            first.advance(len);
            return;
        }
        len -= first.len();
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Body, trailers, and how many bytes were left over.
    type Read = (Vec<u8>, Option<HeaderMap>, usize);

    /// The whole body and its trailers, read in pieces of `cut` bytes; none if it does not end.
    fn read(framing: Framing, bytes: &[u8], cut: usize) -> Result<Option<Read>, BodyFault> {
        read_by(framing, bytes, cut, true)
    }

    fn read_by(mut framing: Framing, bytes: &[u8], cut: usize, forgiving: bool) -> Result<Option<Read>, BodyFault> {
        let mut buf = BytesMut::new();
        let mut body = Vec::new();
        let mut rest = bytes;
        loop {
            match framing.decode(&mut buf, forgiving)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End(trailers) => return Ok(Some((body, trailers, buf.len() + rest.len()))),
                Piece::Wait if rest.is_empty() => return Ok(None),
                Piece::Wait => {
                    let (piece, left) = rest.split_at(cut.min(rest.len()));
                    buf.extend_from_slice(piece);
                    rest = left;
                }
            }
        }
    }

    #[test]
    fn a_counted_body_ends_by_its_count() {
        assert_eq!(read(Framing::Length(5), b"hello!", 2), Ok(Some((b"hello".to_vec(), None, 1))));
        assert_eq!(read(Framing::Length(5), b"hell", 9), Ok(None));
    }

    #[test]
    fn chunks_are_joined_and_trailers_kept() {
        let text = b"5;a=b\r\nhello\r\n1 \r\n \r\n6\nworld!\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\nnext";
        for cut in 1..text.len() {
            let (body, trailers, left) = read(Framing::chunked(), text, cut).unwrap().unwrap();
            assert_eq!((&body[..], left), (&b"hello world!"[..], 4), "cut at {cut}");
            let trailers = trailers.unwrap();
            assert_eq!((trailers.len(), &trailers["x-t"]), (1, &HeaderValue::from_static("1")));
        }
    }

    #[test]
    fn who_does_not_forgive_wants_whole_line_ends_and_no_spaces() {
        let text = b"5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\nnext";
        let (body, trailers, left) = read_by(Framing::chunked(), text, 3, false).unwrap().unwrap();
        assert_eq!((&body[..], trailers.unwrap().len(), left), (&b"hello"[..], 1, 4));
        for wrong in
            ["5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "0\r\nX-T: 1\n\r\n", "0\r\n\n"]
        {
            assert!(read_by(Framing::chunked(), wrong.as_bytes(), 2, false).is_err(), "{wrong:?}");
            assert!(read_by(Framing::chunked(), wrong.as_bytes(), 2, true).is_ok_and(|read| read.is_some()), "{wrong:?}");
        }
    }

    #[test]
    fn odd_chunks_are_refused() {
        for wrong in ["0x5\r\n", "+5\r\n", "5 5\r\n", "\r\n", "12345678901234567\r\n", "5\r\nhello!\r\n", "0\r\nno colon\r\n\r\n"]
        {
            assert!(read(Framing::chunked(), wrong.as_bytes(), 3).is_err(), "{wrong:?}");
        }
        assert!(read(Framing::chunked(), format!("5;{}", "x".repeat(400)).as_bytes(), 50).is_err());
        assert!(read(Framing::chunked(), format!("0\r\nx: {}", "y".repeat(70_000)).as_bytes(), 9_000).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8), cut in 1usize..200) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(&chunk_line(piece.len()));
                wire.extend_from_slice(piece);
                wire.extend_from_slice(&CHUNK_END);
            }
            wire.extend_from_slice(&last_chunk(None));
            prop_assert_eq!(read(Framing::chunked(), &wire, cut), Ok(Some((pieces.concat(), None, 0))));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..50, forgiving in any::<bool>()) {
            let _ = read_by(Framing::chunked(), &bytes, cut, forgiving);
        }

        #[test]
        fn advancing_takes_what_was_written(lens in prop::collection::vec(0usize..9, 0..6), take in 0usize..40) {
            let all: Vec<u8> = (0..lens.iter().sum::<usize>()).map(|n| u8::try_from(n).unwrap()).collect();
            let mut rest = Bytes::from(all.clone());
            let mut queue: std::collections::VecDeque<Bytes> = lens.iter().map(|len| rest.split_to(*len)).collect();
            advance(&mut queue, take);
            let left: Vec<u8> = queue.iter().flatten().copied().collect();
            prop_assert_eq!(&left[..], &all[take.min(all.len())..]);
        }
    }
}
