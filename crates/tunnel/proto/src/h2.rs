//! The tunnel over HTTP/2: roles are reversed (the edge is the HTTP/2 client on the connection that the agent dialled), marker
//! fields say what a request is for, and the origin's fields travel serialised in one field of the response.

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use serde::{Deserialize, Serialize};

use crate::{
    config::ConfigurationAnswer,
    metadata::{AgentRequest, Answer, MetadataError, is_reserved},
    stream::ConnectionType,
};

/// Marks control streams, WebSockets and configuration pushes.
pub const CONNECTION_UPGRADE: HeaderName = HeaderName::from_static("cf-cloudflared-proxy-connection-upgrade");
/// Marks TCP flows: the visitor's address.
pub const PROXY_SRC: HeaderName = HeaderName::from_static("cf-cloudflared-proxy-src");
/// The origin's fields, serialised.
pub const RESPONSE_HEADERS: HeaderName = HeaderName::from_static("cf-cloudflared-response-headers");
/// Who made the response, as JSON.
pub const RESPONSE_META: HeaderName = HeaderName::from_static("cf-cloudflared-response-meta");
/// The agent's spans, when traced; never for visitors.
pub const TRACING: HeaderName = HeaderName::from_static("cf-int-cloudflared-tracing");

/// Longest serialised block accepted, in bytes.
pub const HEADERS_BYTES_MAX: usize = 256 * 1024;

/// What a request from the edge is for, in the order an agent checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A configuration push.
    UpdateConfiguration,
    /// A WebSocket.
    WebSocket,
    /// A TCP flow, to the request's authority.
    Tcp,
    /// The control stream.
    ControlStream,
    /// Plain HTTP.
    Http,
}

/// Tells what a request is for.
pub fn request_kind(headers: &HeaderMap) -> Kind {
    match headers.get(CONNECTION_UPGRADE).map(HeaderValue::as_bytes) {
        Some(b"update-configuration") => Kind::UpdateConfiguration,
        Some(b"websocket") => Kind::WebSocket,
        _ if headers.get(PROXY_SRC).is_some_and(|source| !source.is_empty()) => Kind::Tcp,
        Some(b"control-stream") => Kind::ControlStream,
        _ => Kind::Http,
    }
}

/// `name:value` pairs joined by `;`, each part in standard base64 without padding.
pub fn serialize_headers(headers: &HeaderMap) -> HeaderValue {
    let size = headers.iter().map(|(name, value)| (name.as_str().len() + value.len()) * 4 / 3 + 8).sum();
    let mut out = BytesMut::with_capacity(size);
    for (name, value) in headers {
        if !out.is_empty() {
            out.put_u8(b';');
        }
        put_base64(&mut out, name.as_str().as_bytes());
        out.put_u8(b':');
        put_base64(&mut out, value.as_bytes());
    }
    HeaderValue::from_maybe_shared(out.freeze()).expect("base64, ':' and ';' are visible ASCII")
}

fn put_base64(out: &mut BytesMut, bytes: &[u8]) {
    let at = out.len();
    out.resize(at + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64_STANDARD_NO_PAD.encode_slice(bytes, &mut out[at..]).expect("the room is there");
    out.truncate(at + written);
}

/// Reads what [`serialize_headers`] writes. Empty pairs are skipped; a pair without exactly one colon is refused.
pub fn parse_headers(blob: &[u8]) -> Result<HeaderMap, MetadataError> {
    if blob.len() > HEADERS_BYTES_MAX {
        return Err(MetadataError::Block("the serialised headers are too long"));
    }
    let mut headers = HeaderMap::new();
    for pair in blob.split(|b| *b == b';').filter(|pair| !pair.is_empty()) {
        let mut parts = pair.split(|b| *b == b':');
        let (Some(name), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(MetadataError::Block("a serialised header does not have exactly one colon"));
        };
        let decode =
            |part| BASE64_STANDARD_NO_PAD.decode(part).map_err(|_| MetadataError::Block("a serialised header is not base64"));
        let (name, value) = (decode(name)?, decode(value)?);
        let wrong = || MetadataError::Header(String::from_utf8_lossy(&name).chars().take(64).collect());
        let field = HeaderName::from_bytes(&name).map_err(|_| wrong())?;
        let value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| wrong())?;
        if !is_reserved(&field) {
            headers.try_append(field, value).map_err(|_| wrong())?;
        }
    }
    Ok(headers)
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The local service.
    Origin,
    /// The agent itself.
    Agent,
}

/// The [`RESPONSE_META`] field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseMeta {
    /// Who.
    pub src: Source,
    /// The agent's flow limiter refused.
    pub flow_rate_limited: bool,
}

#[derive(Deserialize)]
struct MetaJson {
    src: String,
    #[serde(default)]
    flow_rate_limited: bool,
}

impl ResponseMeta {
    fn parse(value: &HeaderValue) -> Option<Self> {
        let json: MetaJson = serde_json::from_slice(value.as_bytes()).ok()?;
        let src = if json.src == "origin" { Source::Origin } else { Source::Agent };
        Some(Self { src, flow_rate_limited: json.flow_rate_limited })
    }

    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self { src: Source::Origin, .. } => r#"{"src":"origin"}"#,
            Self { flow_rate_limited: false, .. } => r#"{"src":"cloudflared"}"#,
            Self { .. } => r#"{"src":"cloudflared","flow_rate_limited":true}"#,
        })
    }
}

fn marked(method: Method, marker: &'static str) -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.method_mut() = method;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from_static("https://localhost/");
    request.headers_mut().insert(CONNECTION_UPGRADE, HeaderValue::from_static(marker));
    request
}

/// edge → agent: the request that opens the control stream; its body must stay open.
pub fn control_stream_request() -> http::Request<()> {
    marked(Method::GET, "control-stream")
}

/// edge → agent: a visitor's request, with the marker of its kind.
pub fn tunnel_request(head: &http::request::Parts, websocket: bool) -> Result<http::Request<()>, MetadataError> {
    let host = match head.headers.get(header::HOST) {
        Some(host) => host.to_str().map_err(|_| MetadataError::Field("Host"))?,
        None => head.uri.authority().ok_or(MetadataError::Field("Host"))?.as_str(),
    };
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme("https").authority(host).path_and_query(path).build();
    let mut request = http::Request::new(());
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri.map_err(|_| MetadataError::Field("Host"))?;
    let headers = request.headers_mut();
    headers.reserve(head.headers.len() + 1);
    for (name, value) in &head.headers {
        // Connection-specific fields have no place in HTTP/2 (RFC 9113 §8.2.2).
        if ![header::HOST, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE].contains(name) && !is_reserved(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if websocket {
        headers.insert(CONNECTION_UPGRADE, HeaderValue::from_static("websocket"));
    }
    Ok(request)
}

/// edge: what the agent answered.
///
/// The serialised fields count alone where they are there (the clear ones are artefacts of the agent's HTTP library); the clear ones
/// where they are not, as in answers of the agent's management service. For a WebSocket, a 200 with an accept key becomes 101.
pub fn response_head(head: &http::response::Parts, websocket: bool) -> Result<Answer, MetadataError> {
    let meta = head.headers.get(RESPONSE_META).and_then(ResponseMeta::parse);
    let mut parts = Box::new(http::Response::new(()).into_parts().0);
    parts.status = head.status;
    parts.headers = match head.headers.get(RESPONSE_HEADERS) {
        Some(blob) => parse_headers(blob.as_bytes())?,
        None => {
            let mut clear = head.headers.clone();
            clear.remove(RESPONSE_META);
            clear.remove(TRACING);
            clear
        }
    };
    // The agent's own failure carries no words on this transport.
    if let Some(ResponseMeta { src: Source::Agent, flow_rate_limited }) = meta
        && head.status == StatusCode::BAD_GATEWAY
    {
        return Ok(Answer::Error { text: "Unable to reach the origin service.".into(), flow_limited: flow_rate_limited });
    }
    if websocket && head.status == StatusCode::OK && parts.headers.contains_key(header::SEC_WEBSOCKET_ACCEPT) {
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
    }
    Ok(Answer::Head { parts, framed: false })
}

/// agent: a request of kind Http, WebSocket or Tcp; `end_stream`: it has no body.
pub fn agent_request(mut head: http::request::Parts, end_stream: bool) -> Result<AgentRequest, MetadataError> {
    let kind = match request_kind(&head.headers) {
        Kind::Http => ConnectionType::Http,
        Kind::WebSocket => ConnectionType::WebSocket,
        Kind::Tcp => ConnectionType::Tcp,
        Kind::ControlStream | Kind::UpdateConfiguration => return Err(MetadataError::Field("the request's kind")),
    };
    head.headers.remove(CONNECTION_UPGRADE);
    if kind == ConnectionType::Tcp {
        head.headers.remove(PROXY_SRC);
        let authority = head.uri.authority().cloned().ok_or(MetadataError::Field(":authority"))?;
        head.uri = Uri::builder().authority(authority).build().map_err(|_| MetadataError::Field(":authority"))?;
    } else {
        if let Some(authority) = head.uri.authority() {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| MetadataError::Field(":authority"))?;
            head.headers.insert(header::HOST, host);
        }
        let path = head.uri.path_and_query().cloned().ok_or(MetadataError::Field(":path"))?;
        head.uri = Uri::from(path);
    }
    head.version = Version::HTTP_11;
    let ray = head.headers.get("cf-ray").cloned();
    Ok(AgentRequest { head, kind, has_body: !end_stream, framed_request: false, framed_response_allowed: false, ray })
}

/// agent → edge; 101 is turned into 200. Fields that could be taken for the edge's own are left out.
pub fn agent_response(status: StatusCode, headers: &HeaderMap, meta: ResponseMeta) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.version_mut() = Version::HTTP_2;
    *response.status_mut() = if status == StatusCode::SWITCHING_PROTOCOLS { StatusCode::OK } else { status };
    let blob = if headers.keys().any(is_reserved) {
        serialize_headers(&headers.iter().filter(|(n, _)| !is_reserved(n)).map(|(n, v)| (n.clone(), v.clone())).collect())
    } else {
        serialize_headers(headers)
    };
    let out = response.headers_mut();
    if let Some(length) = headers.get(header::CONTENT_LENGTH) {
        out.insert(header::CONTENT_LENGTH, length.clone());
    }
    out.insert(RESPONSE_HEADERS, blob);
    out.insert(RESPONSE_META, meta.value());
    response
}

/// agent → edge: 502 without text.
pub fn agent_error(flow_limited: bool) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.version_mut() = Version::HTTP_2;
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response.headers_mut().insert(RESPONSE_META, ResponseMeta { src: Source::Agent, flow_rate_limited: flow_limited }.value());
    response
}

/// A configuration on its way to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationPush {
    /// Strictly greater than the agent's, or nothing happens.
    pub version: i32,
    /// The configuration, as JSON.
    pub config: Bytes,
}

#[derive(Serialize, Deserialize)]
struct PushJson<'a> {
    version: i32,
    #[serde(borrow)]
    config: &'a serde_json::value::RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PushAnswerJson {
    last_applied_version: i32,
    err: serde_json::Value,
}

/// edge → agent: the request that carries a push.
pub fn configuration_request() -> http::Request<()> {
    marked(Method::POST, "update-configuration")
}

/// Body of a push.
pub fn encode_push(push: &ConfigurationPush) -> Result<Bytes, MetadataError> {
    let config = serde_json::from_slice(&push.config).map_err(|_| MetadataError::Block("the configuration is not JSON"))?;
    let json = serde_json::to_vec(&PushJson { version: push.version, config }).expect("raw JSON serialises");
    Ok(json.into())
}

/// Reads a push.
pub fn parse_push(body: &[u8]) -> Result<ConfigurationPush, MetadataError> {
    let json: PushJson<'_> =
        serde_json::from_slice(body).map_err(|_| MetadataError::Block("the configuration push is not its JSON"))?;
    Ok(ConfigurationPush { version: json.version, config: Bytes::copy_from_slice(json.config.get().as_bytes()) })
}

/// Body of the answer. Ours says what went wrong; the stock agent's `err` is an empty object.
pub fn encode_push_answer(answer: &ConfigurationAnswer) -> Bytes {
    let err = answer.error.clone().map_or(serde_json::Value::Null, serde_json::Value::String);
    serde_json::to_vec(&PushAnswerJson { last_applied_version: answer.latest_applied_version, err })
        .expect("plain JSON serialises")
        .into()
}

/// Reads an answer: anything but null is a failure.
pub fn parse_push_answer(body: &[u8]) -> Result<ConfigurationAnswer, MetadataError> {
    let json: PushAnswerJson =
        serde_json::from_slice(body).map_err(|_| MetadataError::Block("the answer to the push is not its JSON"))?;
    let error = match json.err {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        _ => Some("the agent refused the configuration and did not say why".into()),
    };
    Ok(ConfigurationAnswer { latest_applied_version: json.last_applied_version, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &str =
        "WC1NdWx0aQ:YQ;WC1NdWx0aQ:Yg;Q29udGVudC1MZW5ndGg:MTg4;U2VydmVy:QmFzZUhUVFAvMC42IFB5dGhvbi8zLjExLjc;WC1PcmlnaW4:eWVz";

    #[test]
    fn the_recorded_block_is_read() {
        let headers = parse_headers(RECORDED.as_bytes()).unwrap();
        assert_eq!(headers.get_all("x-multi").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers["content-length"], "188");
        assert_eq!(headers["server"], "BaseHTTP/0.6 Python/3.11.7");
        assert_eq!(parse_headers(serialize_headers(&headers).as_bytes()).unwrap(), headers);
        assert!(parse_headers(b"").unwrap().is_empty());
        assert!(parse_headers(b";;").unwrap().is_empty());
        for wrong in ["YQ", "YQ:YQ:YQ", "Y!:YQ", "YQ:DQo", ":YQ"] {
            assert!(parse_headers(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    fn answered(status: StatusCode, headers: &HeaderMap, websocket: bool) -> (StatusCode, HeaderMap) {
        let meta = ResponseMeta { src: Source::Origin, flow_rate_limited: false };
        let mut head = agent_response(status, headers, meta).into_parts().0;
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match response_head(&head, websocket).unwrap() {
            Answer::Head { parts, .. } => (parts.status, parts.headers),
            Answer::Error { .. } => panic!("a head"),
        }
    }

    #[test]
    fn only_an_accepted_upgrade_becomes_101() {
        let mut headers = HeaderMap::new();
        assert_eq!(answered(StatusCode::OK, &headers, true), (StatusCode::OK, HeaderMap::new()));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("x"));
        assert_eq!(answered(StatusCode::SWITCHING_PROTOCOLS, &headers, true).0, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(answered(StatusCode::OK, &headers, false).0, StatusCode::OK);
        headers.insert("cf-proxy-x", HeaderValue::from_static("forged"));
        assert!(!answered(StatusCode::OK, &headers, false).1.contains_key("cf-proxy-x"));
    }

    #[test]
    fn an_agents_failure_is_an_error_not_a_page() {
        let head = agent_error(true).into_parts().0;
        assert!(matches!(response_head(&head, false), Ok(Answer::Error { flow_limited: true, .. })));
    }

    #[test]
    fn kinds_are_told_in_the_agents_order() {
        let mut headers = HeaderMap::new();
        assert_eq!(request_kind(&headers), Kind::Http);
        headers.insert(CONNECTION_UPGRADE, HeaderValue::from_static("control-stream"));
        assert_eq!(request_kind(&headers), Kind::ControlStream);
        headers.insert(PROXY_SRC, HeaderValue::from_static("192.0.2.1"));
        assert_eq!(request_kind(&headers), Kind::Tcp);
        headers.insert(CONNECTION_UPGRADE, HeaderValue::from_static("websocket"));
        assert_eq!(request_kind(&headers), Kind::WebSocket);
    }

    #[test]
    fn pushes_are_read_and_answered() {
        let push = parse_push(br#"{"version": 3, "config": {"ingress":[]}}"#).unwrap();
        assert_eq!(push, ConfigurationPush { version: 3, config: Bytes::from_static(br#"{"ingress":[]}"#) });
        assert_eq!(parse_push(&encode_push(&push).unwrap()).unwrap(), push);
        assert_eq!(parse_push_answer(br#"{"lastAppliedVersion":3,"err":null}"#).unwrap().error, None);
        assert!(parse_push_answer(br#"{"lastAppliedVersion":2,"err":{}}"#).unwrap().error.is_some());
        let answer = ConfigurationAnswer { latest_applied_version: 2, error: Some("rule 1".into()) };
        assert_eq!(parse_push_answer(&encode_push_answer(&answer)).unwrap(), answer);
    }

    #[test]
    fn a_request_arrives_as_it_left() {
        let (head, ()) = http::Request::get("/x?y=1")
            .header("host", "app.example.test")
            .header("upgrade", "websocket")
            .body(())
            .unwrap()
            .into_parts();
        let sent = tunnel_request(&head, true).unwrap();
        assert_eq!(sent.uri(), "https://app.example.test/x?y=1");
        let got = agent_request(sent.into_parts().0, false).unwrap();
        assert_eq!((got.kind, got.head.uri.to_string().as_str(), got.has_body), (ConnectionType::WebSocket, "/x?y=1", true));
        assert_eq!(got.head.headers[header::HOST], "app.example.test");
        assert!(!got.head.headers.contains_key(header::UPGRADE));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[A-Za-z0-9:;+/]{0,80}") {
            let _ = parse_headers(&bytes);
            let _ = parse_headers(text.as_bytes());
            let _ = parse_push(&bytes);
            let _ = parse_push_answer(&bytes);
        }
    }
}
