//! Heads of requests. Pure: bytes to meaning.
//!
//! Two programs must not read one request in two ways, so what RFC 9112 lets a server forgive is refused: a line ends with CRLF, a
//! field is a token, a colon and a value without controls, and the body is framed once (edge-behaviour §5.8, rules 1 to 8).

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request::Parts};

use super::framing::Framing;
use crate::{
    Kind, Limits,
    strict::{Facts, Refusal},
};

/// Longest method (edge-behaviour §5.8).
const METHOD_BYTES_MAX: usize = 32;
/// Room in the map for what the stages add: a map that grows hashes every name again.
const FIELDS_ADDED: usize = 12;

/// A request's head, its framing understood.
#[derive(Debug)]
pub struct Head {
    /// As sent.
    pub parts: Parts,
    /// What the visitor wants.
    pub kind: Kind,
    /// How long the body is; none while that is not known (it is chunked).
    pub length: Option<u64>,
    /// The visitor keeps the connection open after the answer.
    pub keep_alive: bool,
    /// The body waits for `100 Continue` (RFC 9110 §10.1.1).
    pub expects: bool,
    /// The visitor takes trailers (`TE: trailers`, RFC 9110 §6.5.1).
    pub takes_trailers: bool,
}

/// A head that is refused.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The head, where it could be read.
    pub head: Option<Box<Parts>>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, head: None }
    }
}

/// Follows a head while it comes in, line by line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where the present line begins, and up to where no end of it was found.
    line: usize,
    scanned: usize,
    fields: usize,
    request_line_seen: bool,
    /// An empty line came before the request line, and was dropped.
    blank_seen: bool,
}

impl Scan {
    /// Drops the empty line that may come before a request line (RFC 9112 §2.2); it is no part of a head.
    pub(crate) fn skip_blank(&mut self, buf: &mut BytesMut) {
        if !self.request_line_seen && !self.blank_seen && buf.starts_with(b"\r\n") {
            buf.advance(2);
            *self = Self { blank_seen: true, ..Self::default() };
        }
    }

    /// Looks at what came since the last call with the same, longer `buf`; tells where the head ends once it does.
    pub(crate) fn scan(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        while let Some(newline) = memchr::memchr(b'\n', &buf[self.scanned..]) {
            let end = self.scanned + newline;
            // The last line's own CRLF is not counted.
            if end >= limits.head_bytes_max + 2 {
                return Err(self.too_large(end, limits));
            }
            let line = &buf[self.line..end];
            let Some(line) = line.strip_suffix(b"\r") else { return Err(Refusal::Malformed("a line ends without CR")) };
            (self.line, self.scanned) = (end + 1, end + 1);
            match line {
                [] if self.request_line_seen => return Ok(Some(end + 1)),
                [] => return Err(Refusal::Malformed("empty lines before the request")),
                _ if !self.request_line_seen => {
                    self.request_line_seen = true;
                    RequestLine::check(line, limits)?;
                }
                [b' ' | b'\t', ..] => return Err(Refusal::Malformed("a field is folded over two lines")),
                _ => {
                    self.fields += 1;
                    if self.fields > limits.fields_max || line.len() > limits.field_bytes_max {
                        return Err(Refusal::HeadTooLarge);
                    }
                }
            }
        }
        self.scanned = buf.len();
        if buf.len() >= limits.head_bytes_max + 2 {
            return Err(self.too_large(buf.len(), limits));
        }
        Ok(None)
    }

    fn too_large(&self, end: usize, limits: &Limits) -> Refusal {
        let in_target = !self.request_line_seen && end - self.line > limits.target_bytes_max;
        if in_target { Refusal::TargetTooLong } else { Refusal::HeadTooLarge }
    }
}

/// Reads the head that [`Scan`] found complete, and whose request line it checked; `head` ends with its empty line. Values share its memory.
pub(crate) fn parse(head: &Bytes, scan: &Scan, limits: &Limits) -> Result<(Head, Framing), Refused> {
    let mut lines = Lines(head);
    let line = RequestLine::split(lines.next().unwrap_or_default())?;
    let mut facts = Facts::default();
    let mut headers = HeaderMap::with_capacity(scan.fields + FIELDS_ADDED);
    for field in lines.take_while(|line| !line.is_empty()) {
        let colon = memchr::memchr(b':', field).ok_or(Refusal::Malformed("a field line has no colon"))?;
        let name = HeaderName::from_bytes(&field[..colon])
            .map_err(|_| Refusal::Malformed("a field name has a character that is not allowed"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(trim(&field[colon + 1..])))
            .map_err(|_| Refusal::Malformed("a control character in a line"))?;
        if name == header::TRANSFER_ENCODING
            && (facts.encoded || line.is_http_10 || !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(Refusal::Malformed("Transfer-Encoding is something else than one chunked").into());
        }
        // The same length again says nothing new; another one is refused below.
        let again = name == header::CONTENT_LENGTH && facts.length.is_some();
        facts.note(&name, &value);
        if !again {
            headers.try_append(name, value).map_err(|_| Refusal::HeadTooLarge)?;
        }
    }

    let method = Method::from_bytes(line.method).map_err(|_| Refusal::Malformed("the method is no word"))?;
    let uri = Uri::from_maybe_shared(head.slice_ref(line.target)).map_err(|_| Refusal::Malformed("the target is no URL"))?;
    let version = if line.is_http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    let judged = facts.judge(&method, &uri, version, headers.get(header::HOST), limits);
    let (mut parts, ()) = http::Request::new(()).into_parts();
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, version, headers);
    let kind = match judged {
        Ok(kind) => kind,
        Err(refusal) => return Err(Refused { refusal, head: Some(Box::new(parts)) }),
    };
    let length = if facts.encoded { None } else { facts.length.or(Some(0)) };
    let head = Head {
        parts,
        kind,
        length,
        keep_alive: !facts.closes && (facts.keeps_alive || !line.is_http_10),
        expects: facts.expects && !line.is_http_10,
        takes_trailers: facts.takes_trailers,
    };
    Ok((head, length.map_or(Framing::chunked(), Framing::Length)))
}

/// RFC 9112 §3: method, one space, target, one space, version.
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_http_10: bool,
}

impl<'a> RequestLine<'a> {
    /// As it is written, unchecked but for its version.
    fn split(line: &'a [u8]) -> Result<Self, Refusal> {
        let words = Refusal::Malformed("the request line is not three words");
        let first = memchr::memchr(b' ', line).ok_or(words)?;
        let last = memchr::memrchr(b' ', line).filter(|last| *last > first).ok_or(words)?;
        let is_http_10 = match &line[last + 1..] {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Refusal::Malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
        };
        Ok(Self { method: &line[..first], target: &line[first + 1..last], is_http_10 })
    }

    fn check(line: &'a [u8], limits: &Limits) -> Result<(), Refusal> {
        let Self { method, target, .. } = Self::split(line)?;
        if !(1..=METHOD_BYTES_MAX).contains(&method.len()) || !method.iter().all(|byte| is_token_byte(*byte)) {
            return Err(Refusal::Malformed("the method is no word"));
        }
        if target.len() > limits.target_bytes_max {
            return Err(Refusal::TargetTooLong);
        }
        if target.is_empty() || target.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'#') {
            return Err(Refusal::Malformed("the target has a character that must be percent-encoded"));
        }
        Ok(())
    }
}

/// The lines of a complete head, without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let newline = memchr::memchr(b'\n', self.0)?;
        let line = &self.0[..newline];
        self.0 = &self.0[newline + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Only spaces and tabs are trimmed: RFC 9110 §5.6.3.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Refusal> {
        let (mut scan, mut buf) = (Scan::default(), BytesMut::from(text));
        let limits = Limits::default();
        scan.skip_blank(&mut buf);
        let Some(end) = scan.scan(&buf, &limits)? else { return Ok(None) };
        assert_eq!(end, buf.len(), "{text:?}");
        parse(&buf.freeze(), &scan, &limits).map(|(head, _)| Some(head)).map_err(|refused| refused.refusal)
    }

    fn head(text: &str) -> Head {
        read(text).unwrap().unwrap()
    }

    fn status(text: &str) -> StatusCode {
        read(text).unwrap_err().status()
    }

    #[test]
    fn a_head_is_read_as_it_was_sent() {
        let head = head("\r\nPUT /a?b=%20c HTTP/1.1\r\nHost: a.test\r\nX-Two:  1 \r\nx-two:\t2,3\r\nContent-Length: 5\r\n\r\n");
        assert_eq!((head.parts.method.as_str(), head.parts.uri.to_string().as_str()), ("PUT", "/a?b=%20c"));
        assert_eq!(head.parts.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2,3"]);
        assert_eq!((head.kind, head.length, head.keep_alive, head.expects), (Kind::Http, Some(5), true, false));
    }

    #[test]
    fn a_connection_is_kept_as_the_visitor_says() {
        let kept = |text: &str| head(&format!("{text}\r\nHost: a\r\n\r\n")).keep_alive;
        assert!(kept("GET / HTTP/1.1"));
        assert!(!kept("GET / HTTP/1.1\r\nConnection: x, Close"));
        assert!(!kept("GET / HTTP/1.0"));
        assert!(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive"));
        assert!(!kept("GET / HTTP/1.0\r\nConnection: Keep-Alive, close"));
    }

    #[test]
    fn only_http_11_expects_and_lengths_are_said_once() {
        let post = |fields: &str| head(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
        assert!(post("Expect: 100-Continue\r\nContent-Length: 1").expects);
        assert!(!head("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").expects);
        let twice = post("Content-Length: 5\r\nContent-Length: 5");
        assert_eq!((twice.length, twice.parts.headers.get_all("content-length").iter().count()), (Some(5), 1));
        assert_eq!(post("Transfer-Encoding: Chunked").length, None);
        assert!(post("TE: gzip, Trailers").takes_trailers);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for wrong in [
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked\u{0}",
            "Transfer-Encoding:",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5\r\nContent-Length: 05",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length:",
            "Content-Length: 12345678901234567890",
            "X: a\r\n b",
            "X: a\rb: c",
            "X: a\nb: c",
            "X Y: a",
            ": a",
            "no colon",
            "X: a\u{1}",
            "X: a\u{7f}",
        ] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\nHost: a\r\n{wrong}\r\n\r\n")), 400, "{wrong:?}");
        }
        assert_eq!(status("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\nHost: a\n\n"), 400);
        assert_eq!(status("\r\n\r\nGET / HTTP/1.1\r\n"), 400);
    }

    #[test]
    fn odd_request_lines_are_refused() {
        for wrong in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "GET",
            " / HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /\u{0} HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "G@T / HTTP/1.1",
            "GETGETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1",
            "GET / HTTP/2.0",
            "PRI * HTTP/2.0",
            "GET / http/1.1",
            "GET a.test:80 HTTP/1.1",
            "GET http:// HTTP/1.1",
        ] {
            assert_eq!(status(&format!("{wrong}\r\nHost: a\r\n\r\n")), 400, "{wrong:?}");
        }
        // At once: what speaks no HTTP may wait for an answer before it sends more.
        assert_eq!(status("SSH-2.0-OpenSSH\r\n"), 400);
    }

    #[test]
    fn a_head_is_bounded_in_every_direction() {
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(17_000))), 414);
        assert_eq!(status(&format!("GET /{}", "a".repeat(40_000))), 414);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nX: {}\r\n", "a".repeat(17_000))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(40_000))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}", "X: a\r\n".repeat(101))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}", format!("X: {}\r\n", "a".repeat(1000)).repeat(40))), 431);
    }

    #[test]
    fn what_could_be_read_goes_with_the_refusal() {
        let text = "TRACE / HTTP/1.1\r\nHost: a\r\nAccept-Language: fr\r\n\r\n";
        let mut scan = Scan::default();
        scan.scan(text.as_bytes(), &Limits::default()).unwrap();
        let refused = parse(&Bytes::from_static(text.as_bytes()), &scan, &Limits::default()).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Method);
        assert_eq!(refused.head.unwrap().headers["accept-language"], "fr");
    }
}
