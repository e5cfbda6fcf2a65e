//! Watches the bytes of an HTTP/1.1 visitor before the codec reads them. Pure: no socket, no clock.
//!
//! The codec (hyper) forgives what two readers may understand differently: bare LF, `Transfer-Encoding` beside
//! `Content-Length`, generous chunk lines. The guard follows the framing of the connection, line by line, and refuses those
//! before the codec has seen the end of the line, so the codec never acts on them. What is let through is exactly
//! framed, and the codec frames it the same way.
//!
//! ```text
//!          ┌──────────────── no body ───────────────┐
//!          ▼                                        │
//!   ──→ Between ──first byte──→ Head ──empty line───┼──→ Length ──all read──→ Between
//!                                                   └──→ ChunkLine ⇄ Chunk
//!                                                             └─size 0─→ Trailers ──empty line──→ Between
//! ```
//! Sources: RFC 9112 §2.2, §3, §5, §6, §7; edge-behaviour §5.8.

use crate::{Limits, strict::Refusal};

/// Longest chunk line accepted, size and extensions together, in bytes: 16 digits and 256 of extensions.
const CHUNK_LINE_BYTES_MAX: usize = 16 + 256;

/// Follows one connection.
#[derive(Debug)]
pub struct Guard {
    at: At,
    /// The part of the present line that came with earlier reads; empty for a line that came whole, as most do.
    line: Vec<u8>,
    /// Bytes of the present head (or trailer section) so far; none between chunks.
    head_bytes: usize,
    fields: usize,
    request_line_seen: bool,
    http_10: bool,
    chunked: bool,
    length: Option<u64>,
}

/// Where in a message the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Between,
    Head,
    Length(u64),
    ChunkLine,
    Chunk(u64),
    /// The CRLF after a chunk's data: how many of its bytes were seen.
    ChunkEnd(u8),
    Trailers,
}

/// Bytes that must not reach the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// How many bytes of this read may still pass.
    pub pass: usize,
    /// Why no more.
    pub refusal: Refusal,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            at: At::Between,
            line: Vec::new(),
            head_bytes: 0,
            fields: 0,
            request_line_seen: false,
            http_10: false,
            chunked: false,
            length: None,
        }
    }
}

impl Guard {
    /// Whether a head has begun and is not complete.
    pub fn in_head(&self) -> bool {
        self.at == At::Head
    }

    /// Whether a request's body has begun and is not complete.
    pub fn in_body(&self) -> bool {
        !matches!(self.at, At::Between | At::Head)
    }

    /// Judges the bytes that were just read.
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Stop> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let stop = |refusal| Stop { pass: done, refusal };
            done += match self.at {
                At::Length(left) | At::Chunk(left) => {
                    let take = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - take as u64;
                    self.at = match self.at {
                        At::Chunk(_) if left == 0 => At::ChunkEnd(0),
                        At::Chunk(_) => At::Chunk(left),
                        _ if left == 0 => At::Between,
                        _ => At::Length(left),
                    };
                    take
                }
                At::ChunkEnd(seen) => {
                    if rest[0] != b"\r\n"[usize::from(seen)] {
                        return Err(stop(Refusal::Malformed("a chunk is longer than its size")));
                    }
                    self.at = if seen == 0 { At::ChunkEnd(1) } else { At::ChunkLine };
                    1
                }
                At::Between | At::Head | At::ChunkLine | At::Trailers => self.scan_line(rest, limits).map_err(stop)?,
            };
        }
        Ok(())
    }

    /// Takes the line that `rest` begins with, or keeps it as a beginning; tells how many bytes that was.
    fn scan_line(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, Refusal> {
        if self.at == At::Between {
            self.begin();
        }
        let bound = if self.at == At::ChunkLine { CHUNK_LINE_BYTES_MAX } else { limits.head_bytes_max };
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            // One byte more may be the CR, which is not counted.
            if self.head_bytes + self.line.len() + rest.len() >= bound + 2 {
                return Err(self.too_large(limits, self.line.len() + rest.len()));
            }
            self.line.extend_from_slice(rest);
            return Ok(rest.len());
        };
        if self.head_bytes + self.line.len() + end >= bound + 2 {
            return Err(self.too_large(limits, self.line.len() + end));
        }
        let mut kept = std::mem::take(&mut self.line);
        let line = if kept.is_empty() {
            &rest[..end]
        } else {
            kept.extend_from_slice(&rest[..end]);
            &kept
        };
        let Some(line) = line.strip_suffix(b"\r") else { return Err(Refusal::Malformed("a line ends without CR")) };
        // Field values may hold bytes beyond ASCII (obs-text); nothing may hold controls.
        if line.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(Refusal::Malformed("a control character in a line"));
        }
        match self.at {
            At::ChunkLine => self.chunk_line(line)?,
            _ => {
                self.head_bytes += line.len() + 2;
                self.head_line(line, limits)?;
            }
        }
        Ok(end + 1)
    }

    fn begin(&mut self) {
        *self = Self { at: At::Head, line: std::mem::take(&mut self.line), ..Self::default() };
    }

    fn too_large(&self, limits: &Limits, line_bytes: usize) -> Refusal {
        match self.at {
            At::ChunkLine => Refusal::Malformed("a chunk line is too long"),
            _ if !self.request_line_seen && line_bytes > limits.target_bytes_max => Refusal::TargetTooLong,
            _ => Refusal::HeadTooLarge,
        }
    }

    fn head_line(&mut self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        if line.is_empty() {
            return self.end_of_head();
        }
        if !self.request_line_seen {
            self.request_line_seen = true;
            self.http_10 = request_line(line, limits)?;
            return Ok(());
        }
        self.fields += 1;
        if self.fields > limits.fields_max || line.len() > limits.field_bytes_max {
            return Err(Refusal::HeadTooLarge);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(Refusal::Malformed("a field is folded over two lines"));
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::Malformed("a field line has no colon"))?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
            return Err(Refusal::Malformed("a field name has a character that is not allowed"));
        }
        if self.at == At::Head {
            self.framing_field(name, value)?;
        }
        Ok(())
    }

    /// RFC 9112 §6.1 and §6.3; we refuse where it lets us choose.
    fn framing_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || self.http_10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Malformed("Transfer-Encoding is something else than one chunked"));
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = Some(value)
                .filter(|value| crate::strict::is_length(value))
                .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
                .ok_or(Refusal::Malformed("the Content-Length is no number"))?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Refusal::Malformed("several Content-Length that differ"));
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Refusal> {
        match self.at {
            At::Trailers => self.at = At::Between,
            // RFC 9112 §2.2: one empty line before a request line is forgiven. It is counted in the head, so that a stream
            // of them ends.
            _ if !self.request_line_seen => {
                self.fields += 1;
                if self.fields > 1 {
                    return Err(Refusal::Malformed("empty lines before the request"));
                }
            }
            _ if self.chunked && self.length.is_some() => {
                return Err(Refusal::Malformed("both Transfer-Encoding and Content-Length"));
            }
            _ if self.chunked => {
                self.at = At::ChunkLine;
                self.head_bytes = 0;
            }
            _ => self.at = self.length.filter(|length| *length > 0).map_or(At::Between, At::Length),
        }
        Ok(())
    }

    /// RFC 9112 §7.1: 1 to 16 hexadecimal digits, then perhaps extensions.
    fn chunk_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extensions) = line.split_at(digits);
        let extended = extensions.is_empty() || trim(extensions).first() == Some(&b';');
        let size = std::str::from_utf8(size).ok().filter(|size| (1..=16).contains(&size.len()) && extended);
        let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
        match size.ok_or(Refusal::Malformed("a chunk size is no hexadecimal number"))? {
            0 => {
                self.at = At::Trailers;
                self.head_bytes = 0;
                self.fields = 0;
            }
            size => self.at = At::Chunk(size),
        }
        Ok(())
    }
}

/// RFC 9112 §3: method, one space, target, one space, version. Tells whether the version is 1.0.
fn request_line(line: &[u8], limits: &Limits) -> Result<bool, Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Refusal::Malformed("the request line is not three words"));
    };
    if !(1..=32).contains(&method.len()) || !method.iter().all(|byte| is_token_byte(*byte)) {
        return Err(Refusal::Malformed("the method is no word"));
    }
    if target.len() > limits.target_bytes_max {
        return Err(Refusal::TargetTooLong);
    }
    if target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(Refusal::Malformed("the target has a character that must be percent-encoded"));
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Refusal::Malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
    }
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Only spaces and tabs are trimmed: RFC 9110 §5.6.3.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Result<(), Stop> {
        Guard::default().scan(text.as_bytes(), &Limits::default())
    }

    fn is_refused(text: &str) -> bool {
        scan(text).is_err_and(|stop| matches!(stop.refusal, Refusal::Malformed(_)) && stop.pass < text.len())
    }

    #[test]
    fn well_framed_requests_pass_one_after_the_other() {
        let requests = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ];
        let mut guard = Guard::default();
        for request in requests.iter().chain(&requests) {
            assert_eq!(guard.scan(request.as_bytes(), &Limits::default()), Ok(()), "{request:?}");
        }
        assert!(!guard.in_head());
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let fields = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        for wrong in [
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked\u{0}",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length:",
            "X: a\r\n b",
            "X: a\rb: c",
            "X: a\nb: c",
            "X Y: a",
            ": a",
            "no colon",
            "X: a\u{1}",
        ] {
            assert!(is_refused(&fields(wrong)), "{wrong:?}");
        }
        assert!(is_refused("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(is_refused("GET / HTTP/1.1\nHost: a\n\n"));
        assert!(is_refused("\r\n\r\nGET / HTTP/1.1\r\n"));
    }

    #[test]
    fn odd_request_lines_are_refused() {
        for wrong in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "GET /a b HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "G@T / HTTP/1.1",
            "GET / HTTP/2.0",
            "PRI * HTTP/2.0",
        ] {
            assert!(is_refused(&format!("{wrong}\r\nHost: a\r\n\r\n")), "{wrong:?}");
        }
    }

    #[test]
    fn odd_chunks_are_refused() {
        for wrong in [
            "0x5\r\nhello\r\n",
            "+5\r\n",
            "5 5\r\n",
            "\r\n",
            "_5\r\n",
            "12345678901234567\r\n",
            "5\nhello\r\n",
            "5\r\nhello!\r\n",
        ] {
            assert!(is_refused(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{wrong}")), "{wrong:?}");
        }
        let long = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\n", "x".repeat(300));
        assert!(is_refused(&long));
    }

    #[test]
    fn a_chunk_line_is_bounded_by_itself() {
        let head = format!("POST / HTTP/1.1\r\nX: {}\r\nTransfer-Encoding: chunked\r\n\r\n", "a".repeat(1000));
        let extensions = |bytes: usize| format!("{head}5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(bytes));
        for (bytes, passes) in [(1, true), (CHUNK_LINE_BYTES_MAX - 2, true), (CHUNK_LINE_BYTES_MAX - 1, false)] {
            let text = extensions(bytes);
            assert_eq!(scan(&text).is_ok(), passes, "{bytes}");
            // Byte by byte, the CR apart from the LF.
            let mut guard = Guard::default();
            let in_pieces =
                text.as_bytes().iter().try_for_each(|byte| guard.scan(std::slice::from_ref(byte), &Limits::default()));
            assert_eq!(in_pieces.is_ok(), passes, "{bytes}");
        }
    }

    #[test]
    fn a_head_is_bounded_in_every_direction() {
        let status = |text: &str| scan(text).unwrap_err().refusal;
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(17_000))), Refusal::TargetTooLong);
        assert_eq!(status(&format!("GET /{}", "a".repeat(40_000))), Refusal::TargetTooLong);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nX: {}\r\n", "a".repeat(17_000))), Refusal::HeadTooLarge);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(40_000))), Refusal::HeadTooLarge);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}", "X: a\r\n".repeat(101))), Refusal::HeadTooLarge);
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\n{}", format!("X: {}\r\n", "a".repeat(1000)).repeat(40))),
            Refusal::HeadTooLarge
        );
    }

    proptest! {
        /// However the bytes are cut into reads, the verdict is the same and falls on the same byte.
        #[test]
        fn the_cut_of_reads_changes_nothing(cuts in prop::collection::vec(1usize..40, 1..40), wrong in any::<bool>(), at in 0usize..120) {
            let mut text = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n".to_vec();
            if wrong {
                let at = at % text.len();
                text[at] = 0;
            }
            let whole = Guard::default().scan(&text, &Limits::default()).map_err(|stop| stop.refusal);
            let mut guard = Guard::default();
            let mut rest = &text[..];
            let mut pieces = Ok(());
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() { break }
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                pieces = guard.scan(piece, &Limits::default()).map_err(|stop| stop.refusal);
                if pieces.is_err() { break }
                rest = next;
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Guard::default().scan(&bytes, &Limits::default());
        }
    }
}
