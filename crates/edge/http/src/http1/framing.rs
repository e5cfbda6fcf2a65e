//! Bodies of requests. Pure: bytes to pieces.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::trim;
use crate::{Limits, fields::is_forbidden_trailer, strict::Refusal};

/// Longest chunk line, size and extensions together: 16 digits and 256 bytes of extensions (edge-behaviour §5.8).
pub(crate) const CHUNK_LINE_BYTES_MAX: usize = 16 + 256;

/// How a request's body ends (RFC 9112 §6.3).
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many more bytes.
    Length(u64),
    /// By itself.
    Chunked(Chunked),
}

/// Where in a chunked body the next byte belongs (RFC 9112 §7.1).
#[derive(Debug, PartialEq, Eq)]
pub enum Chunked {
    /// The line before a chunk.
    Size,
    /// So many bytes of a chunk are still to come.
    Data(u64),
    /// The CRLF after a chunk.
    DataEnd,
    /// The trailers so far, and how many bytes they took.
    Trailers(Box<(HeaderMap, usize, usize)>),
    /// All was read.
    Ended,
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A part of the body.
    Data(Bytes),
    /// Its end, perhaps with trailers.
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

    /// Takes the next piece off `buf`.
    ///
    /// # Errors
    /// The body is not chunked as RFC 9112 §7.1 writes it, or its trailers are larger than a head may be.
    pub fn decode(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Piece, Refusal> {
        match self {
            Self::Length(0) => Ok(Piece::End(None)),
            Self::Length(left) => Ok(take(buf, left)),
            Self::Chunked(at) => at.decode(buf, limits),
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
    fn decode(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Piece, Refusal> {
        loop {
            match self {
                Self::Size => {
                    let too_long = Refusal::Malformed("a chunk line is too long");
                    let Some(end) = line_end(buf, CHUNK_LINE_BYTES_MAX, too_long)? else { return Ok(Piece::Wait) };
                    *self = match size(line(&buf[..end])?)? {
                        0 => Self::Trailers(Box::default()),
                        size => Self::Data(size),
                    };
                    buf.advance(end + 1);
                }
                Self::Data(0) => *self = Self::DataEnd,
                Self::Data(left) => return Ok(take(buf, left)),
                Self::DataEnd => match buf[..] {
                    [b'\r', b'\n', ..] => {
                        buf.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::Wait),
                    _ => return Err(Refusal::Malformed("a chunk is longer than its size")),
                },
                Self::Trailers(section) => {
                    let (trailers, fields, bytes) = &mut **section;
                    let room = limits.head_bytes_max.saturating_sub(*bytes);
                    let Some(end) = line_end(buf, room, Refusal::HeadTooLarge)? else { return Ok(Piece::Wait) };
                    let line = line(&buf[..end])?;
                    if line.is_empty() {
                        let trailers = std::mem::take(trailers);
                        buf.advance(end + 1);
                        *self = Self::Ended;
                        return Ok(Piece::End((!trailers.is_empty()).then_some(trailers)));
                    }
                    *fields += 1;
                    *bytes += end + 1;
                    if *fields > limits.fields_max || line.len() > limits.field_bytes_max {
                        return Err(Refusal::HeadTooLarge);
                    }
                    let (name, value) = trailer(line)?;
                    if !is_forbidden_trailer(&name) {
                        trailers.try_append(name, value).map_err(|_| Refusal::HeadTooLarge)?;
                    }
                    buf.advance(end + 1);
                }
                Self::Ended => return Ok(Piece::End(None)),
            }
        }
    }
}

/// Where the LF of the first line is, if it has come; the line before its CRLF may have `max` bytes.
fn line_end(buf: &[u8], max: usize, too_long: Refusal) -> Result<Option<usize>, Refusal> {
    let end = memchr::memchr(b'\n', buf);
    if end.unwrap_or(buf.len()) >= max + 2 { Err(too_long) } else { Ok(end) }
}

/// A line without its CR, if it has one and no other control.
fn line(line: &[u8]) -> Result<&[u8], Refusal> {
    let line = line.strip_suffix(b"\r").ok_or(Refusal::Malformed("a line ends without CR"))?;
    // Bytes beyond ASCII (obs-text) are let through, controls are not.
    if line.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(Refusal::Malformed("a control character in a line"));
    }
    Ok(line)
}

/// 1 to 16 hexadecimal digits, then perhaps extensions, which are dropped.
fn size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    let extended = extensions.is_empty() || trim(extensions).first() == Some(&b';');
    let size = std::str::from_utf8(size).ok().filter(|size| (1..=16).contains(&size.len()) && extended);
    size.and_then(|size| u64::from_str_radix(size, 16).ok()).ok_or(Refusal::Malformed("a chunk size is no hexadecimal number"))
}

fn trailer(line: &[u8]) -> Result<(HeaderName, HeaderValue), Refusal> {
    if matches!(line[0], b' ' | b'\t') {
        return Err(Refusal::Malformed("a field is folded over two lines"));
    }
    let colon = memchr::memchr(b':', line).ok_or(Refusal::Malformed("a field line has no colon"))?;
    let name = HeaderName::from_bytes(&line[..colon])
        .map_err(|_| Refusal::Malformed("a field name has a character that is not allowed"))?;
    let value =
        HeaderValue::from_bytes(trim(&line[colon + 1..])).map_err(|_| Refusal::Malformed("a control character in a line"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, the trailers, and how many bytes were left.
    type Read = (Vec<u8>, Option<HeaderMap>, usize);

    fn read(text: &str) -> Result<Option<Read>, Refusal> {
        let (mut framing, mut buf, mut data) = (Framing::chunked(), BytesMut::from(text), Vec::new());
        loop {
            match framing.decode(&mut buf, &Limits::default())? {
                Piece::Data(bytes) => data.extend_from_slice(&bytes),
                Piece::End(trailers) => return Ok(Some((data, trailers, buf.len()))),
                Piece::Wait => return Ok(None),
            }
        }
    }

    #[test]
    fn chunks_are_put_together_and_extensions_dropped() {
        let (data, trailers, left) =
            read("5;a=b\r\nhello\r\n00006 ; x\r\n world\r\n0\r\nX-T: 1\r\nHost: b\r\nX_T: 2\r\n\r\nGET").unwrap().unwrap();
        assert_eq!((&data[..], left), (&b"hello world"[..], 3));
        let trailers = trailers.unwrap();
        assert_eq!((&trailers["x-t"], trailers.len()), (&HeaderValue::from_static("1"), 1));
        assert_eq!(read("0\r\n\r\n").unwrap().unwrap().1, None);
        for begun in ["", "5", "5\r", "5\r\nhel", "5\r\nhello", "5\r\nhello\r", "0\r\n", "0\r\nX: y\r\n", "0\r\nX: y\r\n\r"] {
            assert_eq!(read(begun).unwrap(), None, "{begun:?}");
        }
    }

    #[test]
    fn odd_chunks_are_refused() {
        for wrong in [
            "0x5\r\nhello\r\n",
            "+5\r\n",
            "5 5\r\n",
            "5 \r\n",
            "\r\n",
            "_5\r\n",
            "-1\r\n",
            ";x\r\n",
            "12345678901234567\r\n",
            "5\nhello\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello\n",
            "5;a\u{0}\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX y: z\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
        ] {
            assert!(matches!(read(wrong), Err(Refusal::Malformed(_))), "{wrong:?}");
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let extended = |bytes: usize| read(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(bytes)));
        assert!(extended(CHUNK_LINE_BYTES_MAX - 2).is_ok());
        assert_eq!(extended(CHUNK_LINE_BYTES_MAX - 1).unwrap_err(), Refusal::Malformed("a chunk line is too long"));
        assert_eq!(read(&"1".repeat(CHUNK_LINE_BYTES_MAX + 2)).unwrap_err(), Refusal::Malformed("a chunk line is too long"));
        assert_eq!(read(&format!("0\r\n{}", "X: y\r\n".repeat(101))).unwrap_err(), Refusal::HeadTooLarge);
        assert_eq!(read(&format!("0\r\nX: {}\r\n", "y".repeat(17_000))).unwrap_err(), Refusal::HeadTooLarge);
        let long = format!("X: {}\r\n", "y".repeat(1_000));
        assert_eq!(read(&format!("0\r\n{}", long.repeat(40))).unwrap_err(), Refusal::HeadTooLarge);
    }
}
