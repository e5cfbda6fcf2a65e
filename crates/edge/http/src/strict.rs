//! What a request's head may say, beyond what its codec checked. Pure.
//!
//! These rules exist so that the origin cannot read a request otherwise than the edge did (edge-behaviour §5.8 and §5.9); the
//! ones about bytes on the wire are in [`crate::http1`]. Each field is looked at once, as it is parsed: [`Facts`].

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

use crate::{Kind, Limits};

/// Why a visitor's request is refused before anything looks at what it asks for. Culprit: always the visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Bytes that are no HTTP/1.1 message as RFC 9112 writes it.
    #[error("the request is not well-formed: {0}")]
    Malformed(&'static str),
    /// The target is longer than [`Limits::target_bytes_max`].
    #[error("the URL is too long")]
    TargetTooLong,
    /// The head is larger than [`Limits`] allow.
    #[error("the request header fields are too large, or too many")]
    HeadTooLarge,
    /// The head did not come within [`Limits::head_timeout`].
    #[error("the request head did not arrive in time")]
    Slow,
    /// CONNECT, TRACE or TRACK.
    #[error("this method is not allowed here")]
    Method,
    /// An expectation other than `100-continue`.
    #[error("the only expectation this server can meet is 100-continue")]
    Expectation,
    /// A WebSocket opening in another version than 13.
    #[error("the WebSocket version must be 13")]
    WebSocketVersion,
    /// The answer's fields are more than the visitor takes (RFC 9114 §4.2.2). Culprit: the origin, or a visitor that takes little.
    #[error("the answer's header fields are larger than the visitor takes")]
    AnswerTooLarge,
}

impl Refusal {
    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::AnswerTooLarge => StatusCode::BAD_GATEWAY,
        }
    }
}

/// What the fields of a head say together.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Fields so far.
    pub(crate) fields: usize,
    /// The body's length, if it is said.
    pub(crate) length: Option<u64>,
    length_digits: usize,
    /// `Transfer-Encoding` was there.
    pub(crate) encoded: bool,
    /// `Connection: close`.
    pub(crate) closes: bool,
    /// `Connection: keep-alive`.
    pub(crate) keeps_alive: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects: bool,
    /// `TE: trailers`.
    pub(crate) takes_trailers: bool,
    /// Which of the fields that may come once came.
    seen: u8,
    upgrades: bool,
    websocket: bool,
    /// Of the first `Sec-WebSocket-Version`: whether it is 13.
    version_13: Option<bool>,
    /// `Sec-WebSocket-Key` fields, and whether all of them are keys.
    keys: u8,
    keys_valid: bool,
    /// The first rule that a field broke.
    wrong: Option<Refusal>,
}

/// Fields of which a second one has no meaning, so that two readers may pick different ones. `Content-Length` is compared apart.
const HOST: u8 = 1;
const AUTHORIZATION: u8 = 2;
const RANGE: u8 = 4;
const CONTENT_TYPE: u8 = 8;

impl Facts {
    /// Looks at one field.
    pub(crate) fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.fields += 1;
        match *name {
            header::HOST => self.once(HOST),
            header::AUTHORIZATION => self.once(AUTHORIZATION),
            header::RANGE => self.once(RANGE),
            header::CONTENT_TYPE => self.once(CONTENT_TYPE),
            // RFC 9110 §8.6: 1 to 19 digits; several values only if they are the same.
            header::CONTENT_LENGTH => match (parse_length(value.as_bytes()), self.length) {
                (None, _) => self.refuse("the Content-Length is no number"),
                // `5` and `05` are not the same to everybody.
                (Some(length), Some(before)) if length != before || value.len() != self.length_digits => {
                    self.refuse("several Content-Length that differ");
                }
                (length, _) => (self.length, self.length_digits) = (length, value.len()),
            },
            header::TRANSFER_ENCODING => self.encoded = true,
            header::EXPECT if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => self.expects = true,
            header::EXPECT => self.wrong = self.wrong.or(Some(Refusal::Expectation)),
            header::CONNECTION => {
                for token in tokens(value) {
                    self.closes |= token.eq_ignore_ascii_case(b"close");
                    self.keeps_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrades |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            header::UPGRADE => self.websocket |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"websocket")),
            header::TE => self.takes_trailers |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers")),
            header::SEC_WEBSOCKET_VERSION => self.version_13 = self.version_13.or(Some(value == "13")),
            header::SEC_WEBSOCKET_KEY => {
                self.keys_valid = is_nonce(value.as_bytes()) && (self.keys == 0 || self.keys_valid);
                self.keys = self.keys.saturating_add(1);
            }
            _ => {}
        }
    }

    fn once(&mut self, field: u8) {
        if self.seen & field != 0 {
            self.refuse("a field that may come once came twice");
        }
        self.seen |= field;
    }

    fn refuse(&mut self, reason: &'static str) {
        self.wrong = self.wrong.or(Some(Refusal::Malformed(reason)));
    }

    /// Judges the head whose every field was noted, and says what the visitor wants. A WebSocket by extended CONNECT (RFC 8441) is
    /// not for this function to see.
    pub(crate) fn judge(
        &self,
        method: &Method,
        uri: &Uri,
        version: Version,
        host: Option<&HeaderValue>,
        limits: &Limits,
    ) -> Result<Kind, Refusal> {
        if matches!(*method, Method::CONNECT | Method::TRACE) || method.as_str() == "TRACK" {
            return Err(Refusal::Method);
        }
        check_target(method, uri, limits)?;
        check_authority(uri, version, host)?;
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if self.encoded && self.length.is_some() {
            return Err(Refusal::Malformed("both Transfer-Encoding and Content-Length"));
        }
        if self.fields > limits.fields_max {
            return Err(Refusal::HeadTooLarge);
        }
        if version == Version::HTTP_11 && self.upgrades && self.websocket {
            return self.judge_websocket(method);
        }
        Ok(Kind::Http)
    }

    /// RFC 6455 §4.2.1. An upgrade to anything but `websocket` is not seen: the request goes on as if it had not asked
    /// (RFC 9110 §7.8 allows a server to ignore it), and `Upgrade` is never forwarded.
    fn judge_websocket(&self, method: &Method) -> Result<Kind, Refusal> {
        if *method != Method::GET {
            return Err(Refusal::Malformed("a WebSocket is opened with GET"));
        }
        if self.encoded || self.length.is_some_and(|length| length > 0) {
            return Err(Refusal::Malformed("a WebSocket opening has no body"));
        }
        if self.version_13 != Some(true) {
            return Err(Refusal::WebSocketVersion);
        }
        if self.keys != 1 || !self.keys_valid {
            return Err(Refusal::Malformed("the Sec-WebSocket-Key is not 16 bytes in base64"));
        }
        Ok(Kind::WebSocket)
    }
}

/// What these fields say.
pub(crate) fn facts(headers: &HeaderMap) -> Facts {
    let mut facts = Facts::default();
    for (name, value) in headers {
        facts.note(name, value);
    }
    facts
}

/// A WebSocket by extended CONNECT (RFC 8441 §5, RFC 9220 §3): the stream is the WebSocket, and the handshake's key and its answer fall
/// away. The service still wants a key.
pub(crate) fn open_websocket(headers: &mut HeaderMap) -> Result<(), Refusal> {
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::WebSocketVersion);
    }
    headers.insert(header::SEC_WEBSOCKET_KEY, websocket_key());
    Ok(())
}

/// A key as RFC 6455 §4.1 wants one: it keeps caches from answering, and is no secret.
fn websocket_key() -> HeaderValue {
    let mut nonce = [0; 16];
    // Without entropy the key is a constant, which only a cache that answers WebSocket openings would mind.
    let _ = getrandom::fill(&mut nonce);
    HeaderValue::try_from(BASE64.encode(nonce)).unwrap_or_else(|_| HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// Makes one field of a visitor's cookies, which HTTP/2 and 3 may send apart: nobody else expects several (RFC 9113 §8.2.3, RFC 9114 §4.2.1).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Each part was a value, and so is what stands between them.
    if let Ok(joined) = HeaderValue::try_from(parts.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// RFC 9112 §3.2: origin-form, absolute-form, or `*` for OPTIONS.
fn check_target(method: &Method, uri: &Uri, limits: &Limits) -> Result<(), Refusal> {
    let Some(path) = uri.path_and_query() else { return Err(Refusal::Malformed("the target is no path")) };
    let path = path.as_str();
    if path.len() > limits.target_bytes_max {
        return Err(Refusal::TargetTooLong);
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refusal::Malformed("the target has a character that must be percent-encoded"));
    }
    match path.as_bytes()[0] {
        b'/' => Ok(()),
        b'*' if path.len() == 1 && method == Method::OPTIONS => Ok(()),
        // An absolute-form without a path, `http://host?query`: http::Uri shows the query alone.
        b'?' if uri.authority().is_some() => Ok(()),
        _ => Err(Refusal::Malformed("the target does not begin with a slash")),
    }
}

/// RFC 9112 §3.2 and RFC 9113 §8.3.1: one host, and no second opinion about it.
fn check_authority(uri: &Uri, version: Version, host: Option<&HeaderValue>) -> Result<(), Refusal> {
    match (host, uri.authority()) {
        (None, None) => Err(Refusal::Malformed("the request names no host")),
        (None, Some(_)) if version < Version::HTTP_2 => Err(Refusal::Malformed("the request has no Host field")),
        (Some(host), Some(authority)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            Err(Refusal::Malformed("the target and the Host field name different hosts"))
        }
        _ => Ok(()),
    }
}

/// A `Content-Length`: 1 to 19 digits (RFC 9110 §8.6); none where it is something else.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// 16 bytes in base64: 22 digits and `==`.
fn is_nonce(key: &[u8]) -> bool {
    key.strip_suffix(b"==")
        .is_some_and(|digits| digits.len() == 22 && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')))
}

/// The items of a comma-separated field.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether a comma-separated field has this token, in any case.
pub fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| tokens(value).any(|item| item.eq_ignore_ascii_case(token.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<Kind, StatusCode> {
        let request =
            fields.iter().fold(http::Request::builder().method(method).uri(uri), |r, (name, value)| r.header(*name, *value));
        let head = request.body(()).unwrap().into_parts().0;
        let host = head.headers.get(header::HOST);
        let judged = facts(&head.headers).judge(&head.method, &head.uri, head.version, host, &Limits::default());
        judged.map_err(Refusal::status)
    }

    const BAD: Result<Kind, StatusCode> = Err(StatusCode::BAD_REQUEST);

    #[test]
    fn ordinary_requests_pass() {
        assert_eq!(judge("GET", "/a?b=c", &[("host", "a.test")]), Ok(Kind::Http));
        assert_eq!(judge("PROPFIND", "/", &[("host", "a.test")]), Ok(Kind::Http));
        assert_eq!(judge("OPTIONS", "*", &[("host", "a.test")]), Ok(Kind::Http));
        assert_eq!(judge("GET", "http://A.test/x", &[("host", "a.TEST")]), Ok(Kind::Http));
        assert_eq!(judge("POST", "/", &[("host", "a.test"), ("expect", "100-Continue")]), Ok(Kind::Http));
        assert_eq!(judge("POST", "/", &[("host", "a.test"), ("content-length", "5"), ("content-length", "5")]), Ok(Kind::Http));
    }

    #[test]
    fn one_host_and_no_second_opinion() {
        assert_eq!(judge("GET", "/", &[]), BAD);
        assert_eq!(judge("GET", "http://a.test/", &[]), BAD);
        assert_eq!(judge("GET", "/", &[("host", "a.test"), ("host", "a.test")]), BAD);
        assert_eq!(judge("GET", "http://a.test/", &[("host", "b.test")]), BAD);
        assert_eq!(judge("GET", "http://a.test:80/", &[("host", "a.test:81")]), BAD);
    }

    #[test]
    fn lengths_are_plain_numbers_and_agree() {
        let with = |fields: &[(&str, &str)]| {
            let mut all = vec![("host", "a.test")];
            all.extend_from_slice(fields);
            judge("POST", "/", &all)
        };
        assert_eq!(with(&[("content-length", "5"), ("content-length", "6")]), BAD);
        for wrong in ["+5", "-1", "0x5", "5 5", "", "12345678901234567890"] {
            assert_eq!(with(&[("content-length", wrong)]), BAD, "{wrong:?}");
        }
        assert_eq!(with(&[("content-length", "5"), ("transfer-encoding", "chunked")]), BAD);
    }

    #[test]
    fn forbidden_methods_targets_and_expectations() {
        for method in ["CONNECT", "TRACE", "TRACK"] {
            assert_eq!(judge(method, "/", &[("host", "a.test")]), Err(StatusCode::METHOD_NOT_ALLOWED), "{method}");
        }
        assert_eq!(judge("GET", "*", &[("host", "a.test")]), BAD);
        assert_eq!(judge("GET", "a.test:80", &[("host", "a.test:80")]), BAD);
        assert_eq!(judge("GET", &format!("/{}", "a".repeat(16 * 1024)), &[("host", "a.test")]), Err(StatusCode::URI_TOO_LONG));
        assert_eq!(judge("POST", "/", &[("host", "a.test"), ("expect", "200-ok")]), Err(StatusCode::EXPECTATION_FAILED));
        for twice in ["authorization", "range", "content-type"] {
            assert_eq!(judge("GET", "/", &[("host", "a.test"), (twice, "a"), (twice, "b")]), BAD, "{twice}");
        }
    }

    #[test]
    fn cookies_that_were_sent_apart_are_one_field() {
        let mut headers = HeaderMap::new();
        for part in ["a=b", "c=d; e=f", "g"] {
            headers.append(header::COOKIE, HeaderValue::from_static(part));
            join_cookies(&mut headers);
        }
        assert_eq!(headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=b; c=d; e=f; g"]);
    }

    #[test]
    fn a_websocket_is_opened_by_the_book() {
        let open = |change: (&str, &str)| {
            let mut fields = vec![
                ("host", "a.test"),
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "WebSocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            fields.iter_mut().filter(|field| field.0 == change.0).for_each(|field| field.1 = change.1);
            if !fields.iter().any(|field| field.0 == change.0) {
                fields.push(change);
            }
            judge("GET", "/", &fields)
        };
        assert_eq!(open(("upgrade", "websocket")), Ok(Kind::WebSocket));
        assert_eq!(open(("upgrade", "h2c")), Ok(Kind::Http));
        assert_eq!(open(("connection", "close")), Ok(Kind::Http));
        assert_eq!(open(("sec-websocket-version", "8")), Err(StatusCode::UPGRADE_REQUIRED));
        assert_eq!(open(("sec-websocket-key", "short")), BAD);
        assert_eq!(open(("content-length", "3")), BAD);
    }
}
