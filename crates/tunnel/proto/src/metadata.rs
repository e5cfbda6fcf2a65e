//! An HTTP exchange as metadata of a data stream, and back.
//!
//! The edge writes requests and reads responses, the agent the other way round. Both run once a request: heads go straight from
//! [`http`]'s types into the message and back, without a list of strings between.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::{
    stream::{self, ConnectRequest, ConnectResponse, ConnectionType, Head, METADATA_MAX, Parsed, StreamError},
    wire::WireError,
};

const METHOD: &str = "HttpMethod";
const HOST: &str = "HttpHost";
const STATUS: &str = "HttpStatus";
const HEADER: &str = "HttpHeader:";
const FLOW_LIMITED: &str = "FlowConnectRateLimited";
/// Ours: the body is framed, see [`crate::framed`].
const FRAMED: &str = "Poterne-Body";
/// Ours: the answer's body may be framed.
const FRAMED_ALLOWED: &str = "Poterne-Trailers";

/// How long a request body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// This many bytes.
    Known(u64),
    /// It ends when it ends.
    Unknown,
}

/// Which bodies are framed ([`crate::framed`]); only towards an agent that announced `poterne_trailers_1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramedBodies {
    /// The request's is.
    pub request: bool,
    /// The response's may be.
    pub response_allowed: bool,
}

/// What the edge adds to a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOptions {
    /// The request opens a WebSocket.
    pub websocket: bool,
    /// Length of the body. An agent drops a body that has neither `Content-Length` nor `Transfer-Encoding: chunked`.
    pub body: BodyLength,
    /// Our extension, where the agent has it.
    pub poterne: Option<FramedBodies>,
}

/// Why a head cannot be carried, or is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Something that must be there is not, or is no such thing.
    #[error("{0} is missing or malformed")]
    Field(&'static str),
    /// A header field is not one.
    #[error("header field {0:?} is malformed")]
    Header(String),
    /// A serialised block, of headers or JSON, is broken.
    #[error("{0}")]
    Block(&'static str),
    /// The opening is broken.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<WireError> for MetadataError {
    fn from(error: WireError) -> Self {
        Self::Stream(error.into())
    }
}

/// The whole preamble (signature, version, message) of an HTTP or WebSocket request, in one buffer.
///
/// The host is the `Host` field, else the URI's authority. `Content-Length` and `Transfer-Encoding` are written from
/// `options.body`, whatever the head says: the request is framed anew.
pub fn encode_http_request(head: &http::request::Parts, options: &RequestOptions) -> Result<Bytes, MetadataError> {
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| head.uri.authority().map(|a| a.as_str().as_bytes())).ok_or(MetadataError::Field("Host"))?;
    let host = std::str::from_utf8(host).map_err(|_| MetadataError::Field("Host"))?;
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
    let length = if let BodyLength::Known(bytes) = options.body { bytes.to_string() } else { String::new() };
    let kind = if options.websocket { ConnectionType::WebSocket } else { ConnectionType::Http };
    let mut message = Head::request(["https://", host, path], kind);
    message.entry([METHOD, ""], head.method.as_str().as_bytes());
    message.entry([HOST, ""], host.as_bytes());
    for (name, value) in &head.headers {
        if *name != header::HOST && *name != header::CONTENT_LENGTH && *name != header::TRANSFER_ENCODING && !is_reserved(name) {
            message.entry([HEADER, name.as_str()], value.as_bytes());
        }
    }
    match options.body {
        _ if options.websocket => {}
        BodyLength::None if head.headers.contains_key(header::CONTENT_LENGTH) => {
            message.entry([HEADER, "Content-Length"], b"0");
        }
        BodyLength::None => {}
        BodyLength::Known(_) => message.entry([HEADER, "Content-Length"], length.as_bytes()),
        BodyLength::Unknown => message.entry([HEADER, "Transfer-Encoding"], b"chunked"),
    }
    if let Some(framed) = options.poterne {
        if framed.request {
            message.entry([FRAMED, ""], b"framed");
        }
        if framed.response_allowed {
            message.entry([FRAMED_ALLOWED, ""], b"1");
        }
    }
    Ok(message.finish())
}

/// Whether a field belongs to edge and agent alone: a visitor must not send it to an agent, nor an origin to a visitor.
pub fn is_reserved(name: &HeaderName) -> bool {
    let Some(rest) = name.as_str().strip_prefix("cf-") else { return false };
    rest == "trace-id" || ["cloudflared-", "int-", "proxy-"].iter().any(|prefix| rest.starts_with(prefix))
}

/// What an agent answered.
#[derive(Debug)]
pub enum Answer {
    /// The origin's head, or one the agent made.
    Head {
        /// Status and fields.
        parts: Box<http::response::Parts>,
        /// The body is framed ([`crate::framed`]).
        framed: bool,
    },
    /// No response could be had.
    Error {
        /// The agent's words, at most 1,000 characters.
        text: String,
        /// Its flow limiter refused.
        flow_limited: bool,
    },
}

/// An answer from its decoded message.
pub fn response_head(response: ConnectResponse) -> Result<Answer, MetadataError> {
    let pairs = response.metadata.iter().map(|(key, value)| Ok((key.as_bytes(), value.as_bytes())));
    answer(&response.error, pairs, Bytes::copy_from_slice)
}

/// Both steps in one (signature → answer), the hot path: no strings between, and all values share one copy of the head.
pub fn parse_response_head(buf: &[u8]) -> Result<Parsed<Answer>, MetadataError> {
    let Some(head) = whole_head(buf)? else { return Ok(Parsed::Incomplete) };
    let Some((message, consumed)) = stream::message(&head)? else { return Ok(Parsed::Incomplete) };
    let root = message.root()?;
    let pairs = root.structs(1, METADATA_MAX)?.map(|pair| Ok((pair.octets(0)?, pair.octets(1)?)));
    Ok(Parsed::Complete { value: answer(root.text(0)?, pairs, |octets| head.slice_ref(octets))?, consumed })
}

/// A copy of the bytes up to the end of the message, once all of it is there. Not a view: the buffer of a whole burst of packets
/// would live as long as the longest of its requests.
fn whole_head(buf: &[u8]) -> Result<Option<Bytes>, MetadataError> {
    Ok(stream::message_len(buf)?.map(|len| Bytes::copy_from_slice(&buf[..len])))
}

/// A key and its value. Keys are not read as text: a name that is no token is refused as a field's.
type Pair<'a> = (&'a [u8], &'a [u8]);

fn answer<'a>(
    error: &str,
    pairs: impl Iterator<Item = Result<Pair<'a>, WireError>>,
    share: impl Fn(&[u8]) -> Bytes,
) -> Result<Answer, MetadataError> {
    let mut parts = Box::new(http::Response::new(()).into_parts().0);
    parts.headers.reserve(pairs.size_hint().0);
    let (mut status, mut flow_limited, mut framed) = (None, false, false);
    for pair in pairs {
        let (key, value) = pair?;
        match key.strip_prefix(HEADER.as_bytes()) {
            Some(name) => {
                if let Some(field) = name_of(name)? {
                    let value = value_of(name, value, &share)?;
                    parts.headers.try_append(field, value).map_err(|_| wrong(name))?;
                }
            }
            None if key == STATUS.as_bytes() => status = Some(value),
            None if key == FLOW_LIMITED.as_bytes() => flow_limited = value == b"true",
            None if key == FRAMED.as_bytes() => framed = value == b"framed",
            None => {}
        }
    }
    if !error.is_empty() {
        return Ok(Answer::Error { text: error.chars().take(1000).collect(), flow_limited });
    }
    let status = status.ok_or(MetadataError::Field(STATUS))?;
    parts.status = StatusCode::from_bytes(status).map_err(|_| MetadataError::Field(STATUS))?;
    Ok(Answer::Head { parts, framed })
}

/// A field's name; none: it belongs to edge and agent alone, and is skipped.
fn name_of(name: &[u8]) -> Result<Option<HeaderName>, MetadataError> {
    if let Some(field) = told_by_edges(name) {
        return Ok(Some(field));
    }
    let field = HeaderName::from_bytes(name).map_err(|_| wrong(name))?;
    Ok(Some(field).filter(|field| !is_reserved(field)))
}

/// A field's value, checked.
fn value_of(name: &[u8], value: &[u8], share: impl Fn(&[u8]) -> Bytes) -> Result<HeaderValue, MetadataError> {
    HeaderValue::from_maybe_shared(share(value)).map_err(|_| wrong(name))
}

#[cold]
fn wrong(name: &[u8]) -> MetadataError {
    MetadataError::Header(String::from_utf8_lossy(name).chars().take(64).collect())
}

/// A name that our edge writes into each request and that [`http`] does not know by itself: it need be neither checked nor allocated.
fn told_by_edges(name: &[u8]) -> Option<HeaderName> {
    const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
    const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
    const CF_IPCOUNTRY: HeaderName = HeaderName::from_static("cf-ipcountry");
    const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
    const CF_VISITOR: HeaderName = HeaderName::from_static("cf-visitor");
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    Some(match name {
        b"cdn-loop" => CDN_LOOP,
        b"cf-connecting-ip" => CF_CONNECTING_IP,
        b"cf-ipcountry" => CF_IPCOUNTRY,
        b"cf-ray" => CF_RAY,
        b"cf-visitor" => CF_VISITOR,
        b"x-forwarded-for" => X_FORWARDED_FOR,
        b"x-forwarded-proto" => X_FORWARDED_PROTO,
        _ => return None,
    })
}

/// A value that our edge writes into nearly each request: it need be neither checked nor counted by those who share the head.
fn said_by_edges(value: &[u8]) -> Option<HeaderValue> {
    const HTTP: HeaderValue = HeaderValue::from_static("http");
    const HTTPS: HeaderValue = HeaderValue::from_static("https");
    const BY_HTTP: HeaderValue = HeaderValue::from_static(r#"{"scheme":"http"}"#);
    const BY_HTTPS: HeaderValue = HeaderValue::from_static(r#"{"scheme":"https"}"#);
    const UNKNOWN: HeaderValue = HeaderValue::from_static("XX");
    const POTERNE: HeaderValue = HeaderValue::from_static("poterne");
    const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
    const BR_GZIP: HeaderValue = HeaderValue::from_static("br, gzip");
    Some(match value {
        b"http" => HTTP,
        b"https" => HTTPS,
        br#"{"scheme":"http"}"# => BY_HTTP,
        br#"{"scheme":"https"}"# => BY_HTTPS,
        b"XX" => UNKNOWN,
        b"poterne" => POTERNE,
        b"identity" => IDENTITY,
        b"br, gzip" => BR_GZIP,
        _ => return None,
    })
}

/// A request as the agent receives it.
#[derive(Debug)]
pub struct AgentRequest {
    /// Method, path and fields; `Host` is among them. `Content-Length` stays when the body's length is known,
    /// `Transfer-Encoding` never does. For TCP the URI's authority is the destination.
    pub head: http::request::Parts,
    /// HTTP, WebSocket or TCP.
    pub kind: ConnectionType,
    /// Whether the stream carries a request body.
    pub has_body: bool,
    /// The request body is framed.
    pub framed_request: bool,
    /// The answer's body may be framed.
    pub framed_response_allowed: bool,
    /// The visitor's Ray id, for the log.
    pub ray: Option<HeaderValue>,
}

impl AgentRequest {
    /// The Ray id as text.
    pub fn ray(&self) -> Option<&str> {
        self.ray.as_ref()?.to_str().ok()
    }
}

/// A request from its decoded message.
pub fn request_head(request: ConnectRequest) -> Result<AgentRequest, MetadataError> {
    let pairs = request.metadata.iter().map(|(key, value)| Ok((key.as_bytes(), value.as_bytes())));
    agent_request(request.kind, &request.dest, pairs, Bytes::copy_from_slice)
}

/// Both steps in one (signature → request), the hot path: as [`parse_response_head`].
pub fn parse_request_head(buf: &[u8]) -> Result<Parsed<AgentRequest>, MetadataError> {
    let Some(head) = whole_head(buf)? else { return Ok(Parsed::Incomplete) };
    let Some((message, consumed)) = stream::message(&head)? else { return Ok(Parsed::Incomplete) };
    let root = message.root()?;
    let pairs = root.structs(1, METADATA_MAX)?.map(|pair| Ok((pair.octets(0)?, pair.octets(1)?)));
    let value = agent_request(stream::kind_of(&root)?, root.text(0)?, pairs, |octets| head.slice_ref(octets))?;
    Ok(Parsed::Complete { value, consumed })
}

fn agent_request<'a>(
    kind: ConnectionType,
    dest: &str,
    pairs: impl Iterator<Item = Result<Pair<'a>, WireError>>,
    share: impl Fn(&[u8]) -> Bytes,
) -> Result<AgentRequest, MetadataError> {
    let mut head = http::Request::new(()).into_parts().0;
    // What the agent adds on the way to the service finds room, too.
    head.headers.reserve(pairs.size_hint().0 + 4);
    let (mut host, mut ray, mut length) = (None, None, None);
    let (mut chunked, mut framed_request, mut framed_response_allowed) = (false, false, false);
    for pair in pairs {
        let (key, value) = pair?;
        match key.strip_prefix(HEADER.as_bytes()) {
            Some(name) if name.eq_ignore_ascii_case(b"content-length") => {
                let value = digits(value).ok_or(MetadataError::Field("Content-Length"))?;
                if length.is_some_and(|earlier| earlier != value) {
                    return Err(MetadataError::Field("Content-Length"));
                }
                length = Some(value);
            }
            Some(name) if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                chunked |= value.to_ascii_lowercase().windows(7).any(|part| part == b"chunked")
            }
            Some(name) => {
                let Some(field) = name_of(name)? else { continue };
                let value = match said_by_edges(value) {
                    Some(value) => value,
                    None => value_of(name, value, &share)?,
                };
                if name.eq_ignore_ascii_case(b"cf-ray") {
                    ray = Some(value.clone());
                }
                head.headers.try_append(field, value).map_err(|_| wrong(name))?;
            }
            None if key == METHOD.as_bytes() && !value.is_empty() => {
                head.method = Method::from_bytes(value).map_err(|_| MetadataError::Field(METHOD))?;
            }
            None if key == HOST.as_bytes() => {
                host = Some(HeaderValue::from_maybe_shared(share(value)).map_err(|_| MetadataError::Field(HOST))?);
            }
            None if key == FRAMED.as_bytes() => framed_request = value == b"framed",
            None if key == FRAMED_ALLOWED.as_bytes() => framed_response_allowed = value == b"1",
            None => {}
        }
    }
    head.uri = uri_of(kind, dest, share).ok_or(MetadataError::Field("dest"))?;
    if let Some(host) = host {
        head.headers.insert(header::HOST, host);
    }
    if let (false, Some(length)) = (chunked, length) {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let has_body = kind != ConnectionType::Http || chunked || length.is_some_and(|length| length > 0);
    Ok(AgentRequest { head, kind, has_body, framed_request, framed_response_allowed, ray })
}

/// 1 to 19 digits (RFC 9110 §8.6; neither sign nor space).
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Path and query of an absolute URL in origin form; for TCP the destination as an authority.
fn uri_of(kind: ConnectionType, dest: &str, share: impl Fn(&[u8]) -> Bytes) -> Option<Uri> {
    if kind == ConnectionType::Tcp {
        return Uri::builder().authority(dest).build().ok();
    }
    // Every edge says this scheme; a longer search is for others.
    let rest = dest.strip_prefix("https://").or_else(|| dest.split_once("://").map(|(_, rest)| rest)).unwrap_or(dest).as_bytes();
    match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
        Some(at) if rest[at] == b'/' => Uri::from_maybe_shared(share(&rest[at..])).ok(),
        Some(at) => Uri::from_maybe_shared(Bytes::from([b"/", &rest[at..]].concat())).ok(),
        None => Some(Uri::from_static("/")),
    }
}

/// The whole preamble of a response with a head.
pub fn encode_http_response(status: StatusCode, headers: &HeaderMap, framed: bool) -> Bytes {
    let mut message = Head::response("");
    message.entry([STATUS, ""], status.as_str().as_bytes());
    for (name, value) in headers {
        message.entry([HEADER, name.as_str()], value.as_bytes());
    }
    if framed {
        message.entry([FRAMED, ""], b"framed");
    }
    message.finish()
}

/// The whole preamble of a refusal.
pub fn encode_error(text: &str, flow_limited: bool) -> Bytes {
    let mut message = Head::response(if text.is_empty() { "unknown error" } else { text });
    if flow_limited {
        message.entry([FLOW_LIMITED, ""], b"true");
    }
    message.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: BodyLength, poterne: Option<FramedBodies>) -> AgentRequest {
        let (head, ()) = http::Request::post("/p?q=1")
            .header("host", "app.example.test")
            .header("x-multi", "a")
            .header("x-multi", "b")
            .body(())
            .expect("a request")
            .into_parts();
        let bytes = encode_http_request(&head, &RequestOptions { websocket: false, body, poterne }).expect("encodes");
        match parse_request_head(&bytes).expect("parses") {
            Parsed::Complete { value, consumed } if consumed == bytes.len() => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_arrives_as_it_left() {
        let got = sent(BodyLength::Known(5), None);
        assert_eq!(got.head.method, Method::POST);
        assert_eq!(got.head.uri, "/p?q=1");
        assert_eq!(got.head.headers[header::HOST], "app.example.test");
        assert_eq!(got.head.headers[header::CONTENT_LENGTH], "5");
        assert_eq!(got.head.headers.get_all("x-multi").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((got.has_body, got.framed_request, got.framed_response_allowed), (true, false, false));
        let got = sent(BodyLength::Unknown, Some(FramedBodies { request: true, response_allowed: true }));
        assert_eq!((got.has_body, got.framed_request, got.framed_response_allowed), (true, true, true));
        assert!(!got.head.headers.contains_key(header::TRANSFER_ENCODING));
        assert!(!sent(BodyLength::None, None).has_body);
    }

    #[test]
    fn a_response_arrives_as_it_left() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        let bytes = encode_http_response(StatusCode::NOT_FOUND, &headers, true);
        let Ok(Parsed::Complete { value: Answer::Head { parts, framed }, .. }) = parse_response_head(&bytes) else {
            panic!("a head")
        };
        assert_eq!((parts.status, framed), (StatusCode::NOT_FOUND, true));
        assert_eq!(parts.headers, headers);
        let bytes = encode_error("Unable to reach the origin service.", true);
        let Ok(Parsed::Complete { value: Answer::Error { text, flow_limited }, .. }) = parse_response_head(&bytes) else {
            panic!()
        };
        assert_eq!((text.as_str(), flow_limited), ("Unable to reach the origin service.", true));
    }

    #[test]
    fn a_visitor_cannot_speak_the_edges_words() {
        let (head, ()) = http::Request::get("/")
            .header("host", "a.test")
            .header("cf-cloudflared-proxy-connection-upgrade", "update-configuration")
            .header("cf-cloudflared-proxy-src", "192.0.2.1")
            .header("cf-trace-id", "1:2:3:1")
            .header("cf-ray", "0123456789abcdef-LAB")
            .body(())
            .expect("a request")
            .into_parts();
        let options = RequestOptions { websocket: false, body: BodyLength::None, poterne: None };
        let bytes = encode_http_request(&head, &options).expect("encodes");
        let Ok(Parsed::Complete { value, .. }) = parse_request_head(&bytes) else { panic!("a request") };
        let names: Vec<_> = value.head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["cf-ray", "host"]);
        let sent = crate::h2::tunnel_request(&head, false).expect("a request");
        assert_eq!(crate::h2::request_kind(sent.headers()), crate::h2::Kind::Http);
        assert_eq!(sent.headers().len(), 1);
    }

    #[test]
    fn octets_that_are_not_utf_8_pass_both_ways() {
        let mut headers = HeaderMap::new();
        headers.insert("content-disposition", HeaderValue::from_bytes(b"attachment; filename=\xe9t\xe9").expect("obs-text"));
        let bytes = encode_http_response(StatusCode::OK, &headers, false);
        let Ok(Parsed::Complete { value: Answer::Head { parts, .. }, .. }) = parse_response_head(&bytes) else {
            panic!("a head")
        };
        assert_eq!(parts.headers, headers);
    }

    #[test]
    fn one_text_cannot_be_read_a_thousand_times() {
        let mut headers = HeaderMap::new();
        headers.insert("a", HeaderValue::from_bytes(&[b'x'; 2000]).expect("text"));
        for _ in 0..40 {
            headers.append("b", HeaderValue::from_static("y"));
        }
        let mut bytes = encode_http_response(StatusCode::OK, &headers, false).to_vec();
        // The pairs begin after signature, table, root, two pointers and the tag; the second one's value is the long text.
        let pairs = 8 + 8 + 8 + 16 + 8;
        let long = pairs + 16 + 8;
        let pointer = u64::from_le_bytes(bytes[long..long + 8].try_into().expect("eight"));
        for pair in 2..42 {
            let at = pairs + 16 * pair + 8;
            let nearer = (at - long) as u64 / 8;
            bytes[at..at + 8].copy_from_slice(&(pointer - (nearer << 2)).to_le_bytes());
        }
        assert!(matches!(
            parse_response_head(&bytes),
            Err(MetadataError::Stream(StreamError::Wire(WireError::Amplified | WireError::Pointer)))
        ));
    }

    #[test]
    fn what_would_split_a_request_is_refused() {
        for pair in
            [("HttpHeader:X", "a\r\nb: c"), ("HttpHeader:X:Y", "a"), ("HttpHeader:Content-Length", "5x"), ("HttpMethod", "GE T")]
        {
            let bytes = stream::encode_request(&ConnectRequest {
                dest: "https://a/".into(),
                kind: ConnectionType::Http,
                metadata: vec![(pair.0.into(), pair.1.into())],
            });
            assert!(parse_request_head(&bytes).is_err(), "{pair:?}");
        }
        // What is skipped is not read.
        let skipped = stream::encode_request(&ConnectRequest {
            dest: "https://a/".into(),
            kind: ConnectionType::Http,
            metadata: vec![("HttpHeader:Cf-Trace-Id".into(), "a\r\nb: c".into()), ("HttpHeader:CF-Ray".into(), "1-LAB".into())],
        });
        let Ok(Parsed::Complete { value, .. }) = parse_request_head(&skipped) else { panic!("a request") };
        assert_eq!((value.ray(), value.head.headers.len()), (Some("1-LAB"), 1));
        let no_status = stream::encode_response(&ConnectResponse::default());
        assert!(matches!(parse_response_head(&no_status), Err(MetadataError::Field("HttpStatus"))));
    }
}
