//! Heads of HTTP/1.1 messages to and from a server. Pure.
//!
//! An answer must have one meaning, whoever's the server is: what frames itself twice, or in a way that only some readers accept, is
//! refused (RFC 9112 §6.3; edge-behaviour §5.8). Where [`Rules`] forgive, a bare LF ends a line, as RFC 9112 §2.2 allows: home-made
//! services send it.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};

use super::body::Framing;

/// What an answer may be, by who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Longest head of an answer, in bytes. What waits of one is never more than that and a read.
    pub head_bytes_max: usize,
    /// Most fields in it.
    pub fields_max: usize,
    /// Whether a bare LF ends a line, and spaces may follow a chunk's size.
    pub forgiving: bool,
}

/// What every answer begins with.
const PREFIX: &[u8] = b"HTTP/1.";

/// Why an answer cannot be used. Culprit: the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// No status line.
    #[error("its answer does not begin with an HTTP/1.1 status line; does it speak TLS, or no HTTP at all?")]
    StatusLine,
    /// No field line.
    #[error("a header line of its answer is malformed")]
    Field,
    /// A line that ends as only some readers take it.
    #[error("a header line of its answer ends in LF alone")]
    BareLf,
    /// More than [`Rules::head_bytes_max`].
    #[error("the head of its answer exceeds {0} bytes")]
    TooLarge(usize),
    /// More than [`Rules::fields_max`].
    #[error("the head of its answer has more than {0} fields")]
    TooMany(usize),
    /// Two framings.
    #[error("it sent both Transfer-Encoding and Content-Length")]
    TwoLengths,
    /// No length.
    #[error("it sent a Content-Length that is no number, or several that differ")]
    Length,
    /// No encoding.
    #[error("it sent a Transfer-Encoding other than chunked, or sent one in HTTP/1.0")]
    Encoding,
}

/// An answer's head, its framing already understood.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// As sent, hop-by-hop fields included.
    pub headers: HeaderMap,
    /// How its body ends.
    pub framing: Framing,
    /// The server keeps the connection open after this answer.
    pub keep_alive: bool,
}

/// Reads the head at the start of `buf`, of an answer to `method`, and removes it from there; none while it is incomplete.
///
/// # Errors
/// It cannot become an answer that the rules let through.
pub fn take_answer(buf: &mut BytesMut, method: &Method, rules: &Rules) -> Result<Option<Answer>, HeadError> {
    // What is no HTTP is told at once: it may say no more, and wait for us.
    let known = buf.len().min(PREFIX.len());
    if buf[..known] != PREFIX[..known] {
        return Err(HeadError::StatusLine);
    }
    let too_large = HeadError::TooLarge(rules.head_bytes_max);
    let Some(end) = end_of_head(buf, rules.forgiving)? else {
        return if buf.len() > rules.head_bytes_max { Err(too_large) } else { Ok(None) };
    };
    if end > rules.head_bytes_max {
        return Err(too_large);
    }
    // All values share this one buffer.
    let head = buf.split_to(end).freeze();
    let mut lines = Lines(&head);
    let (status, is_http_10) = status_line(lines.next().ok_or(HeadError::StatusLine)?)?;
    let mut headers = HeaderMap::with_capacity(16);
    let mut facts = Facts::default();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(HeadError::Field)?;
        // A name with a space before the colon, or a folded line, is no token (RFC 9112 §5.1 and §5.2).
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| HeadError::Field)?;
        let value = trim(&line[colon + 1..]);
        facts.note(&name, value);
        let value = HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(|_| HeadError::Field)?;
        if headers.len() >= rules.fields_max {
            return Err(HeadError::TooMany(rules.fields_max));
        }
        headers.try_append(name, value).map_err(|_| too_large)?;
    }
    let framing = facts.framing(status, is_http_10, method)?;
    // A body that must not be there (RFC 9110 §15.3.5) may still come, and would be taken for the next answer.
    let strays =
        status == StatusCode::NO_CONTENT && (facts.encodings > 0 || facts.length.is_some_and(|length| length != Ok((0, 1))));
    let keep_alive = framing != Framing::UntilClose && !strays && if is_http_10 { facts.keeps } else { !facts.closes };
    Ok(Some(Answer { status, headers, framing, keep_alive }))
}

/// Where the empty line ends.
fn end_of_head(buf: &[u8], forgiving: bool) -> Result<Option<usize>, HeadError> {
    let mut at = 0;
    while let Some(newline) = memchr::memchr(b'\n', &buf[at..]) {
        let line = at + newline;
        if !forgiving && !buf[..line].ends_with(b"\r") {
            return Err(HeadError::BareLf);
        }
        at = line + 1;
        match buf[at..] {
            [b'\n', ..] if forgiving => return Ok(Some(at + 1)),
            [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
            _ => {}
        }
    }
    Ok(None)
}

/// Without the spaces and tabs around it, and nothing else (RFC 9110 §5.5).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The lines of a complete head, without their ends, up to the empty one.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let newline = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = (&self.0[..newline], &self.0[newline + 1..]);
        self.0 = rest;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    }
}

/// `HTTP/1.1 200 OK`: the status, and whether the version is 1.0.
fn status_line(line: &[u8]) -> Result<(StatusCode, bool), HeadError> {
    let is_http_10 = match line.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => return Err(HeadError::StatusLine),
    };
    let code = line.get(9..12).ok_or(HeadError::StatusLine)?;
    if !matches!(line.get(12), None | Some(b' ')) {
        return Err(HeadError::StatusLine);
    }
    Ok((StatusCode::from_bytes(code).map_err(|_| HeadError::StatusLine)?, is_http_10))
}

/// What an answer's fields say of the message itself: noted as they come, since a map is asked at a price.
#[derive(Debug, Default)]
struct Facts {
    /// `Transfer-Encoding` fields.
    encodings: usize,
    /// One of them says something else than `chunked`.
    is_other: bool,
    /// `Content-Length`, if it is there, and in how many digits: an error where it has more than one meaning.
    length: Option<Result<(u64, usize), ()>>,
    /// `Connection: close`.
    closes: bool,
    /// `Connection: keep-alive`.
    keeps: bool,
}

impl Facts {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        match *name {
            header::CONTENT_LENGTH => {
                let length = length(value).map(|length| (length, value.len())).ok_or(());
                self.length = Some(if self.length.is_none_or(|before| before == length) { length } else { Err(()) });
            }
            header::TRANSFER_ENCODING => {
                self.encodings += 1;
                self.is_other |= !value.eq_ignore_ascii_case(b"chunked");
            }
            header::CONNECTION => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.closes |= token.eq_ignore_ascii_case(b"close");
                    self.keeps |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
    }

    /// RFC 9112 §6.3, refusing where it would let us choose.
    fn framing(&self, status: StatusCode, is_http_10: bool, method: &Method) -> Result<Framing, HeadError> {
        let length = self.length.transpose().map_err(|()| HeadError::Length)?;
        let is_encoded = self.encodings > 0;
        if is_encoded && length.is_some() {
            return Err(HeadError::TwoLengths);
        }
        if is_encoded && (is_http_10 || self.encodings > 1 || self.is_other) {
            return Err(HeadError::Encoding);
        }
        let bodiless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match length {
            _ if bodiless || method == Method::HEAD => Framing::Length(0),
            _ if is_encoded => Framing::chunked(),
            Some((length, _)) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }
}

/// RFC 9110 §8.6: one number of 1 to 19 digits.
fn length(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// A request's head as the server reads it. Names are written `Like-This`, as the stock agent does: some services compare them.
pub fn encode_request(head: &request::Parts) -> Bytes {
    const VERSION: &[u8] = b" HTTP/1.1\r\n";
    let method = head.method.as_str();
    let target = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    // As long as it will be: what has room to spare costs another allocation to be shared.
    let mut out = Vec::with_capacity(method.len() + 1 + target.len() + VERSION.len() + fields + 2);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(VERSION);
    for (name, value) in &head.headers {
        let begin = out.len();
        out.extend_from_slice(name.as_str().as_bytes());
        let mut word_begins = true;
        for byte in &mut out[begin..] {
            if word_begins {
                byte.make_ascii_uppercase();
            }
            word_begins = *byte == b'-';
        }
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORGIVING: Rules = Rules { head_bytes_max: 128 * 1024, fields_max: 1_000, forgiving: true };
    const STRICT: Rules = Rules { forgiving: false, ..FORGIVING };

    fn answer(text: &str) -> Result<Option<Answer>, HeadError> {
        take_answer(&mut text.as_bytes().into(), &Method::GET, &FORGIVING)
    }

    fn framed(text: &str) -> Framing {
        answer(text).unwrap().unwrap().framing
    }

    #[test]
    fn a_head_is_taken_off_and_its_body_left() {
        let mut buf = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b c \r\n\r\nok");
        let answer = take_answer(&mut buf, &Method::GET, &STRICT).unwrap().unwrap();
        assert_eq!((answer.status, answer.framing, answer.keep_alive), (StatusCode::OK, Framing::Length(2), true));
        assert_eq!(answer.headers["x-a"], "b c");
        assert_eq!(&buf[..], b"ok");
    }

    #[test]
    fn incomplete_heads_wait_and_endless_ones_do_not() {
        for text in ["", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nX: y\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n\r"] {
            assert!(answer(text).unwrap().is_none(), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(FORGIVING.head_bytes_max));
        assert_eq!(answer(&endless).unwrap_err(), HeadError::TooLarge(FORGIVING.head_bytes_max));
        let many = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(answer(&many(1_000)).unwrap().unwrap().headers.len(), 1_000);
        assert_eq!(answer(&many(1_001)).unwrap_err(), HeadError::TooMany(1_000));
    }

    #[test]
    fn an_answer_has_one_length() {
        assert_eq!(framed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), Framing::Length(5));
        assert_eq!(framed("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"), Framing::chunked());
        assert_eq!(framed("HTTP/1.1 200 OK\n\n"), Framing::UntilClose);
        assert_eq!(framed("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), Framing::Length(0));
        assert_eq!(framed("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), Framing::Length(0));
        let head = take_answer(&mut "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".as_bytes().into(), &Method::HEAD, &STRICT);
        assert_eq!(head.unwrap().unwrap().framing, Framing::Length(0));
        for (text, error) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", HeadError::TwoLengths),
            ("TRANSFER-encoding: chunked\r\ncontent-length: 5", HeadError::TwoLengths),
            ("Content-Length: 5\r\nContent-Length: 6", HeadError::Length),
            // Not the same to everybody.
            ("Content-Length: 5\r\nContent-Length: 05", HeadError::Length),
            ("Content-Length: +5", HeadError::Length),
            ("Content-Length: 5, 5", HeadError::Length),
            ("Content-Length:", HeadError::Length),
            ("Transfer-Encoding: gzip, chunked", HeadError::Encoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HeadError::Encoding),
            ("Transfer-Encoding : chunked", HeadError::Field),
            ("Transfer-Encoding: \u{b}chunked", HeadError::Field),
            ("Transfer-Encoding: chunked\u{c}", HeadError::Field),
            ("X: a\r\n b", HeadError::Field),
            ("X: a\u{0}", HeadError::Field),
            ("no colon", HeadError::Field),
        ] {
            assert_eq!(answer(&format!("HTTP/1.1 200 OK\r\n{text}\r\n\r\n")).unwrap_err(), error, "{text:?}");
        }
        assert_eq!(answer("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err(), HeadError::Encoding);
    }

    #[test]
    fn who_does_not_forgive_wants_whole_line_ends() {
        let strict = |text: &str| take_answer(&mut text.as_bytes().into(), &Method::GET, &STRICT);
        assert!(strict("HTTP/1.1 200 OK\r\nX: y\r\n\r\n").unwrap().is_some());
        for text in ["HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\nX: y\n\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n\n"] {
            assert_eq!(strict(text).unwrap_err(), HeadError::BareLf, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_http_says_so() {
        for text in [
            "\u{15}\u{3}\u{3}\n\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
        ] {
            assert_eq!(answer(text).unwrap_err(), HeadError::StatusLine, "{text:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_as_its_version_says() {
        let kept = |text: &str| answer(text).unwrap().unwrap().keep_alive;
        assert!(kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\n\r\n"), "only its end tells the body's");
        assert!(!kept("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(kept("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn a_request_is_written_as_services_expect() {
        let head = http::Request::put("https://ignored/p?q").header("host", "a").header("x-ab-c", "d").body(()).unwrap();
        let bytes = encode_request(&head.into_parts().0);
        assert_eq!(&bytes[..], b"PUT /p?q HTTP/1.1\r\nHost: a\r\nX-Ab-C: d\r\n\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), forgiving in any::<bool>()) {
            let rules = Rules { forgiving, ..STRICT };
            let _ = take_answer(&mut BytesMut::from(&bytes[..]), &Method::GET, &rules);
            let mut after = b"HTTP/1.1 200 OK\r\n".to_vec();
            after.extend_from_slice(&bytes);
            let _ = take_answer(&mut BytesMut::from(&after[..]), &Method::GET, &rules);
        }
    }
}
