//! Answers. Pure: meaning to bytes.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Method, StatusCode, Version, header, request, response::Parts};

use crate::{date, fields::belongs_to_heads, strict::parse_length};

/// Longest piece of a body that is copied beside its head rather than given to the socket by itself, in bytes.
const COPIED_BYTES_MAX: usize = 2 * 1024;
/// First size of the memory that heads are written to, in bytes: most fit.
const HEAD_BYTES: usize = 768;

/// What of a request decides how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// HTTP/1.0.
    pub is_http_10: bool,
    /// `TE: trailers`.
    pub takes_trailers: bool,
}

impl Asked {
    /// Of this request.
    pub fn of(head: &request::Parts, takes_trailers: bool) -> Self {
        Self { head_only: head.method == Method::HEAD, is_http_10: head.version == Version::HTTP_10, takes_trailers }
    }

    /// Of what could not be read.
    pub const UNKNOWN: Self = Self { head_only: false, is_http_10: false, takes_trailers: false };
}

/// How an answer's body is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// There is none.
    Nothing,
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks, then perhaps trailers.
    Chunked {
        /// The visitor takes them.
        trailers: bool,
    },
    /// Until the connection ends.
    UntilClose,
}

/// An answer's body is not as long as its head says. Culprit: whoever made the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// It had more.
    #[error("the answer's body is longer than its Content-Length")]
    Longer,
    /// It ended before.
    #[error("the answer's body ended {0} bytes before its Content-Length")]
    Shorter(u64),
}

/// Writes a head, and tells how its body goes. `exact`: the body's length where it is known without the field. `keep_alive` is told to the
/// visitor, and taken back where the body ends with the connection.
pub fn write_head(out: &mut Out, head: &Parts, exact: Option<u64>, asked: Asked, keep_alive: &mut bool) -> Sending {
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || head.status.is_informational();
    let said = head.headers.get(header::CONTENT_LENGTH).and_then(|length| parse_length(length.as_bytes()));
    let length = said.or(exact);
    let sending = match length {
        _ if bodiless || asked.head_only => Sending::Nothing,
        Some(length) => Sending::Length(length),
        None if asked.is_http_10 => Sending::UntilClose,
        None => Sending::Chunked { trailers: asked.takes_trailers },
    };
    if sending == Sending::UntilClose {
        *keep_alive = false;
    }

    let bytes = out.text();
    bytes.extend_from_slice(if asked.is_http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    bytes.extend_from_slice(head.status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(reason(head.status).as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let mut dated = false;
    for (name, value) in &head.headers {
        match *name {
            // Ours to say.
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING => continue,
            header::CONNECTION if head.status != StatusCode::SWITCHING_PROTOCOLS => continue,
            header::DATE => dated = true,
            _ => {}
        }
        field(bytes, name.as_str(), value.as_bytes());
    }
    match (sending, length) {
        (Sending::Chunked { .. }, _) => field(bytes, "transfer-encoding", b"chunked"),
        // RFC 9110 §8.6: never with 1xx and 204. To HEAD and with 304, what GET would have had, if somebody knows.
        (Sending::Nothing, _) if bodiless && head.status != StatusCode::NOT_MODIFIED => {}
        (Sending::Nothing, Some(0)) if said.is_none() => {}
        (_, Some(length)) => field(bytes, "content-length", itoa(length, &mut [0; 20])),
        (_, None) => {}
    }
    if !dated && !head.status.is_informational() {
        field(bytes, "date", date::now().as_bytes());
    }
    match (*keep_alive, asked.is_http_10) {
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => {}
        (false, _) => field(bytes, "connection", b"close"),
        (true, true) => field(bytes, "connection", b"keep-alive"),
        (true, false) => {}
    }
    bytes.extend_from_slice(b"\r\n");
    sending
}

fn field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.reserve(name.len() + value.len() + 4);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
fn itoa(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The words of a status line. A status that nobody registered has none of its own (RFC 9112 §4 allows that), but those that edges
/// answer with by custom (edge-behaviour §2.4) are told in words too, for whoever reads a bare status line.
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        520 => "Invalid Response From Origin",
        524 => "Origin Timeout",
        530 => "Origin Not Reachable",
        _ => status.canonical_reason().unwrap_or(""),
    }
}

impl Sending {
    /// Whether nothing more may come.
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Nothing | Self::Length(0))
    }

    /// Writes a piece of the body.
    ///
    /// # Errors
    /// It is longer than the head said. What may be sent of it was.
    pub fn data(&mut self, out: &mut Out, mut data: Bytes) -> Result<(), LengthError> {
        match self {
            _ if data.is_empty() => {}
            Self::Nothing => {}
            Self::Length(left) => {
                let rest = usize::try_from(*left).unwrap_or(usize::MAX);
                let longer = data.len() > rest;
                data.truncate(rest);
                *left -= data.len() as u64;
                out.data(data);
                if longer {
                    return Err(LengthError::Longer);
                }
            }
            Self::Chunked { .. } => {
                let line = chunk_line(data.len());
                out.text().extend_from_slice(line.as_slice());
                out.data(data);
                out.text().extend_from_slice(b"\r\n");
            }
            Self::UntilClose => out.data(data),
        }
        Ok(())
    }

    /// Ends the body. Trailers are sent where the framing has room for them and the visitor takes them.
    ///
    /// # Errors
    /// It is shorter than the head said.
    pub fn end(&mut self, out: &mut Out, trailers: Option<&HeaderMap>) -> Result<(), LengthError> {
        let ended = std::mem::replace(self, Self::Nothing);
        match ended {
            Self::Nothing | Self::Length(0) | Self::UntilClose => Ok(()),
            Self::Length(left) => Err(LengthError::Shorter(left)),
            Self::Chunked { trailers: taken } => {
                let bytes = out.text();
                bytes.extend_from_slice(b"0\r\n");
                let trailers = trailers.filter(|_| taken).into_iter().flatten();
                for (name, value) in trailers.filter(|(name, _)| !belongs_to_heads(name)) {
                    field(bytes, name.as_str(), value.as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}

/// The line before a chunk's data.
fn chunk_line(mut size: usize) -> ChunkLine {
    let mut line = ChunkLine { bytes: [0; 18], at: 16 };
    line.bytes[16..].copy_from_slice(b"\r\n");
    loop {
        line.at -= 1;
        line.bytes[line.at] = b"0123456789abcdef"[size & 15];
        size >>= 4;
        if size == 0 || line.at == 0 {
            return line;
        }
    }
}

struct ChunkLine {
    bytes: [u8; 18],
    at: usize,
}

impl ChunkLine {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

/// Bytes on their way to a visitor, in order: heads and small pieces are written one after the other into one memory, long pieces
/// are given to the socket as they came.
#[derive(Debug, Default)]
pub struct Out {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue.
    queued: usize,
    /// What comes after the queue; the part before `written` has gone.
    text: Vec<u8>,
    written: usize,
}

impl Out {
    /// Bytes that have not gone.
    pub fn len(&self) -> usize {
        self.queued + self.text.len() - self.written
    }

    /// Whether all has gone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to write what comes next.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text.reserve(HEAD_BYTES);
        }
        &mut self.text
    }

    fn data(&mut self, data: Bytes) {
        if data.len() <= COPIED_BYTES_MAX {
            return self.text().extend_from_slice(&data);
        }
        if self.text.len() > self.written {
            let text = Bytes::from(std::mem::take(&mut self.text)).split_off(self.written);
            self.queued += text.len();
            self.queue.push_back(text);
        } else {
            self.text.clear();
        }
        self.written = 0;
        self.queued += data.len();
        self.queue.push_back(data);
    }

    /// The only piece, where there is but one.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        match (self.queue.front(), self.text.get(self.written..)) {
            (None, Some(text)) => Some(text),
            (Some(data), None | Some([])) if self.queue.len() == 1 => Some(data),
            _ => None,
        }
    }

    /// What has not gone, for one system call; tells how many slices were filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let text = self.text.get(self.written..).filter(|text| !text.is_empty());
        let pieces = self.queue.iter().map(|data| &data[..]).chain(text);
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    /// So many bytes have gone.
    pub(crate) fn advance(&mut self, mut gone: usize) {
        while let Some(data) = self.queue.front_mut() {
            if gone < data.len() {
                self.queued -= gone;
                return data.advance(gone);
            }
            gone -= data.len();
            self.queued -= data.len();
            self.queue.pop_front();
        }
        self.written = (self.written + gone).min(self.text.len());
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
    }

    /// Gives memory back while nothing is to be sent.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response};
    use proptest::prelude::*;

    use super::*;

    const ASKED: Asked = Asked::UNKNOWN;

    /// Everything, taken in writes of `step` bytes.
    fn take(out: &mut Out, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = out.slices(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).take(step).collect();
            if let Some(single) = out.single() {
                assert_eq!(&bytes[..], &single[..bytes.len()]);
            }
            out.advance(bytes.len());
            all.extend(bytes);
        }
        all
    }

    fn answer(
        status: u16,
        fields: &[(&str, &str)],
        exact: Option<u64>,
        asked: Asked,
        keep_alive: bool,
    ) -> (String, Sending, bool) {
        let head = fields.iter().fold(Response::builder().status(status).header("date", "D"), |r, (n, v)| r.header(*n, *v));
        let (mut out, mut kept) = (Out::default(), keep_alive);
        let sending = write_head(&mut out, &head.body(()).unwrap().into_parts().0, exact, asked, &mut kept);
        (String::from_utf8(take(&mut out, 1_000)).unwrap(), sending, kept)
    }

    #[test]
    fn a_body_is_framed_by_what_is_known_of_it() {
        let framed = |fields: &[(&str, &str)], exact, asked| answer(200, fields, exact, asked, true);
        let (text, sending, kept) = framed(&[("content-length", "5"), ("connection", "x"), ("x", "y")], None, ASKED);
        assert_eq!(text, "HTTP/1.1 200 OK\r\ndate: D\r\nx: y\r\ncontent-length: 5\r\n\r\n");
        assert_eq!((sending, kept), (Sending::Length(5), true));
        let (text, sending, _) = framed(&[], Some(0), ASKED);
        assert!(text.ends_with("content-length: 0\r\n\r\n") && sending.is_ended());
        let (text, sending, _) = framed(&[("transfer-encoding", "gzip")], None, ASKED);
        assert!(text.ends_with("D\r\ntransfer-encoding: chunked\r\n\r\n"), "{text}");
        assert_eq!(sending, Sending::Chunked { trailers: false });
        let old = Asked { is_http_10: true, ..ASKED };
        let (text, sending, kept) = framed(&[], None, old);
        assert_eq!((sending, kept), (Sending::UntilClose, false));
        assert_eq!(text, "HTTP/1.0 200 OK\r\ndate: D\r\nconnection: close\r\n\r\n");
        let (text, _, kept) = framed(&[], Some(2), old);
        assert!(text.ends_with("content-length: 2\r\nconnection: keep-alive\r\n\r\n") && kept);
    }

    #[test]
    fn what_has_no_body_has_no_length_of_one() {
        let head = Asked { head_only: true, ..ASKED };
        for (status, asked, fields, exact, length) in [
            (200, head, &[("content-length", "5")][..], Some(0), true),
            (200, head, &[], Some(0), false),
            (200, head, &[], None, false),
            (304, ASKED, &[("content-length", "5")], Some(0), true),
            (204, ASKED, &[("content-length", "5")], Some(0), false),
            (204, ASKED, &[], None, false),
            (304, ASKED, &[], None, false),
        ] {
            let (text, sending, kept) = answer(status, fields, exact, asked, true);
            assert_eq!(text.contains("content-length: 5"), length, "{text}");
            assert!(!text.contains("content-length: 0") && !text.contains("chunked"), "{text}");
            assert!(sending == Sending::Nothing && kept);
        }
        let (text, ..) = answer(101, &[("connection", "Upgrade"), ("upgrade", "websocket")], Some(0), ASKED, false);
        assert_eq!(text, "HTTP/1.1 101 Switching Protocols\r\ndate: D\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    }

    #[test]
    fn trailers_go_to_who_takes_them() {
        let trailers = HeaderMap::from_iter([
            (header::HeaderName::from_static("x-sum"), HeaderValue::from_static("1")),
            (header::CONTENT_LENGTH, HeaderValue::from_static("2")),
        ]);
        for (taken, end) in [(true, "0\r\nx-sum: 1\r\n\r\n"), (false, "0\r\n\r\n")] {
            let mut out = Out::default();
            Sending::Chunked { trailers: taken }.end(&mut out, Some(&trailers)).unwrap();
            assert_eq!(take(&mut out, 9), end.as_bytes());
        }
    }

    #[test]
    fn a_body_is_as_long_as_its_head_said() {
        let mut out = Out::default();
        let mut sending = Sending::Length(3);
        sending.data(&mut out, Bytes::from_static(b"ab")).unwrap();
        assert_eq!(sending.end(&mut out, None), Err(LengthError::Shorter(1)));
        let mut sending = Sending::Length(3);
        assert_eq!(sending.data(&mut out, Bytes::from_static(b"cdef")), Err(LengthError::Longer));
        assert_eq!(take(&mut out, 2), b"abcde");
    }

    #[test]
    fn a_date_is_said_where_there_is_none() {
        let mut out = Out::default();
        write_head(&mut out, &Response::new(()).into_parts().0, Some(0), ASKED, &mut true);
        let text = String::from_utf8(take(&mut out, 1_000)).unwrap();
        assert!(text.contains("\r\ndate: ") && text.contains(" GMT\r\n"), "{text}");
    }

    proptest! {
        /// Whatever the sizes of the pieces and of the writes, what arrives is what was said.
        #[test]
        fn chunks_arrive_in_order(sizes in prop::collection::vec(0usize..5_000, 0..12), step in 1usize..9_000) {
            let (mut out, mut sending) = (Out::default(), Sending::Chunked { trailers: false });
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            for (number, size) in sizes.iter().enumerate() {
                let data = vec![b'a' + u8::try_from(number).unwrap(); *size];
                if *size > 0 {
                    expected.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    expected.extend_from_slice(&data);
                    expected.extend_from_slice(b"\r\n");
                }
                sending.data(&mut out, data.into()).unwrap();
                if number % 3 == 0 {
                    sent.extend(take(&mut out, step));
                }
            }
            sending.end(&mut out, None).unwrap();
            expected.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(out.len(), expected.len() - sent.len());
            sent.extend(take(&mut out, step));
            prop_assert!(sent == expected);
        }
    }
}
