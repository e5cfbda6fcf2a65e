//! What a request's head may say, beyond what its codec checked. Pure.
//!
//! These rules exist so that the origin cannot read a request otherwise than the edge did (edge-behaviour §5.8 and §5.9); the
//! ones about bytes on the wire are in [`crate::guard`].

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version, header, request::Parts};

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
        }
    }
}

/// Fields of which a second one has no meaning, so that two readers may pick different ones. `Content-Length` is compared apart.
const SINGLE: [HeaderName; 4] = [header::HOST, header::AUTHORIZATION, header::RANGE, header::CONTENT_TYPE];

/// Judges a parsed head, and says what the visitor wants.
pub fn check(head: &Parts, limits: &Limits) -> Result<Kind, Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) || head.method.as_str() == "TRACK" {
        return Err(Refusal::Method);
    }
    check_target(&head.method, &head.uri, limits)?;
    check_authority(head)?;
    for name in &SINGLE {
        if head.headers.get_all(name).iter().nth(1).is_some() {
            return Err(Refusal::Malformed("a field that may come once came twice"));
        }
    }
    check_lengths(&head.headers)?;
    if head.headers.get_all(header::EXPECT).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::Expectation);
    }
    check_upgrade(head)
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
fn check_authority(head: &Parts) -> Result<(), Refusal> {
    let host = head.headers.get(header::HOST).map(|host| host.as_bytes());
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (host, authority) {
        (None, None) => Err(Refusal::Malformed("the request names no host")),
        (None, Some(_)) if head.version < Version::HTTP_2 => Err(Refusal::Malformed("the request has no Host field")),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            Err(Refusal::Malformed("the target and the Host field name different hosts"))
        }
        _ => Ok(()),
    }
}

/// RFC 9110 §8.6: 1 to 19 digits; several values only if they are the same.
fn check_lengths(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(()) };
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::Malformed("both Transfer-Encoding and Content-Length"));
    }
    if !is_length(first.as_bytes()) || lengths.any(|other| other != first) {
        return Err(Refusal::Malformed("the Content-Length is no number, or several"));
    }
    Ok(())
}

pub(crate) fn is_length(value: &[u8]) -> bool {
    (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
}

/// RFC 6455 §4.2.1. An upgrade to anything but `websocket` is not seen: the request goes on as if it had not asked
/// (RFC 9110 §7.8 allows a server to ignore it), and `Upgrade` is never forwarded.
fn check_upgrade(head: &Parts) -> Result<Kind, Refusal> {
    let wanted = head.version == Version::HTTP_11
        && has_token(&head.headers, header::CONNECTION, "upgrade")
        && has_token(&head.headers, header::UPGRADE, "websocket");
    if !wanted {
        return Ok(Kind::Http);
    }
    if head.method != Method::GET {
        return Err(Refusal::Malformed("a WebSocket is opened with GET"));
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING)
        || head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
    {
        return Err(Refusal::Malformed("a WebSocket opening has no body"));
    }
    if head.headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::WebSocketVersion);
    }
    let mut keys = head.headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_nonce(key.as_bytes()) => Ok(Kind::WebSocket),
        _ => Err(Refusal::Malformed("the Sec-WebSocket-Key is not 16 bytes in base64")),
    }
}

/// 16 bytes in base64: 22 digits and `==`.
fn is_nonce(key: &[u8]) -> bool {
    key.strip_suffix(b"==")
        .is_some_and(|digits| digits.len() == 22 && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')))
}

/// Whether a comma-separated field has this token, in any case.
pub fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let request =
            fields.iter().fold(http::Request::builder().method(method).uri(uri), |r, (name, value)| r.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn judge(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<Kind, StatusCode> {
        check(&head(method, uri, fields), &Limits::default()).map_err(Refusal::status)
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
