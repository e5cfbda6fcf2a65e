//! HTTP and WebSocket services.
//!
//! The request's own task drives the service's connection (see [`poterne_origin::connection`]); head and first body bytes go back in one
//! write; a body that breaks off resets the stream, so that the visitor never takes it for whole.

use std::{
    error::Error,
    future::poll_fn,
    pin::{Pin, pin},
    sync::PoisonError,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame};
use hyper::{body::Incoming as OriginBody, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use poterne_origin::{Fault, Outgoing, Patience, encode_request};
use poterne_tunnel_proto::{h2::Source, metadata::AgentRequest, stream::ConnectionType};
use rustls::pki_types::ServerName;
use tokio::{net::UnixStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{About, flow, unreachable};
use crate::{
    Shared,
    origin::{Http1, OriginIo, RULES, connect, pool::RequestBody},
    rules::{HttpTarget, Reach},
    side::{Answer, Incoming},
};

/// Most of a request body kept to learn its length, for `disableChunkedEncoding`.
const BUFFERED_BYTES_MAX: usize = 64 * 1024;
/// How much of one answer over HTTP/2 may lie here for its visitor, and of all on a connection: the most there is, or some visitors who read
/// nothing would hold up all others. How many do so at a time is the edge's to bound.
const SERVICE_STREAM_WINDOW: u32 = 256 * 1024;
const SERVICE_CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");

/// Where the body of an answer comes from.
enum Link {
    Http1(Box<Http1>),
    Http2(Box<OriginBody>),
}

/// A connection to a service, before it has carried anything.
enum Connected {
    Http1(Box<Http1>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error("{0}")]
    Connect(#[from] std::io::Error),
    #[error("TLS with the service: {0}; see originServerName, caPool and noTLSVerify")]
    Tls(std::io::Error),
    #[error("TLS with the service did not finish within {0:?} (tlsTimeout)")]
    TlsTimeout(std::time::Duration),
    #[error("{0:?} cannot be a TLS server name; set originServerName")]
    ServerName(String),
    #[error("it answered 101 (Switching Protocols) to a request that asked for no switch")]
    Unasked,
    #[error("{0}")]
    Http1(#[from] Fault),
    #[error("{}", chain(.0))]
    Http2(#[from] hyper::Error),
}

pub(super) async fn serve(
    shared: &Shared,
    about: About,
    service: &HttpTarget,
    request: Box<AgentRequest>,
    mut incoming: Incoming,
    mut answer: Answer,
) {
    let AgentRequest { mut head, kind, has_body, ray, .. } = *request;
    let ray = ray.as_ref().and_then(|ray| ray.to_str().ok());
    let websocket = kind == ConnectionType::WebSocket;
    let server_name = service.tls.is_some().then(|| sni(service, &head.headers)).flatten();
    // Who says so wants them even if the service does not announce them (RFC 9110 §6.5.1).
    let wants_trailers = head.headers.contains_key(header::TE);
    // Where nothing is left to expect.
    let expects = has_body && !websocket && !service.buffer_chunked;
    prepare(shared, service, websocket, expects, &mut head.headers);
    let mut upload = RequestBody::Empty;
    if has_body && !websocket {
        match body(service, &mut head.headers, incoming).await {
            Ok(body) => upload = body,
            Err(status) => {
                super::fixed(shared, status, &mut answer).await;
                return;
            }
        }
        incoming = Incoming::Empty;
    }
    if let Some(traced) = &mut answer.traced {
        traced.asking();
    }
    let sent = {
        let exchange = pin!(exchange(service, server_name.as_deref(), head, upload, websocket));
        answer.unless_gone(exchange).await
    };
    let unasked = |response: &Response<()>| response.status() == StatusCode::SWITCHING_PROTOCOLS && !websocket;
    let (mut link, response) = match sent {
        Ok(Ok((_, response))) if unasked(&response) => {
            unreachable(shared, ray, &service.name, &ServiceError::Unasked, &mut answer).await;
            return;
        }
        Ok(Ok(exchanged)) => exchanged,
        Ok(Err(ServiceError::Http1(fault @ (Fault::Visitor(_) | Fault::Length)))) => {
            // Nobody is there to be told, and the service is not to blame.
            tracing::debug!(ray, service = service.name, %fault, "a request ended before it was whole");
            answer.failed("the visitor's request ended before it was whole");
            return;
        }
        Ok(Err(error)) => {
            unreachable(shared, ray, &service.name, &error, &mut answer).await;
            return;
        }
        // The visitor left before the service answered: nobody is there to be told.
        Err(_) => {
            answer.failed("the visitor left before the service answered");
            return;
        }
    };
    shared.metrics.answered(response.status());
    tracing::debug!(connIndex = about.index, ray, rule = about.rule, service = service.name, "{}", response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        Box::pin(upgraded(link, response, incoming, answer)).await;
        return;
    }
    match answer_with(&mut link, response, wants_trailers, &mut answer).await {
        Ok(()) => {
            if let Link::Http1(connection) = link {
                service.pool.put(connection, server_name.as_deref(), Instant::now());
            }
        }
        Err(Broken::Service(error)) => {
            tracing::warn!(ray, service = service.name, %error, "the service broke off its answer");
            answer.failed(&format!("the service broke off its answer: {error}"));
        }
        Err(Broken::Visitor) => tracing::debug!(ray, "the visitor left before the end of the answer"),
    }
}

/// Header fields as the service is to see them (reference §4.2).
fn prepare(shared: &Shared, service: &HttpTarget, websocket: bool, expects: bool, headers: &mut HeaderMap) {
    remove_all(headers, |name| {
        is_of_hop(name)
            || !expects && *name == header::EXPECT
            || matches!(name.as_str(), "cf-cloudflared-proxy-connection-upgrade" | "cf-trace-id")
    });
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if let Some(host) = &service.host_header
        && let Some(original) = headers.insert(header::HOST, host.clone())
    {
        headers.insert(X_FORWARDED_HOST, original);
    }
    for (name, value) in &shared.tags {
        headers.insert(name.clone(), value.clone());
    }
}

/// The request's body, or the status that refuses it.
async fn body(service: &HttpTarget, headers: &mut HeaderMap, mut incoming: Incoming) -> Result<RequestBody, StatusCode> {
    if headers.contains_key(header::CONTENT_LENGTH) || service.http2_prior {
        return Ok(RequestBody::Stream(incoming));
    }
    if !service.buffer_chunked {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        return Ok(RequestBody::Stream(incoming));
    }
    let mut whole = BytesMut::new();
    while let Some(data) = incoming.data().await {
        let data = data.map_err(|_| StatusCode::BAD_REQUEST)?;
        if whole.len() + data.len() > BUFFERED_BYTES_MAX {
            tracing::warn!(
                service = service.name,
                "a request body without a length exceeds {BUFFERED_BYTES_MAX} bytes, and disableChunkedEncoding is set: refused with 413"
            );
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        whole.extend_from_slice(&data);
    }
    headers.insert(header::CONTENT_LENGTH, whole.len().into());
    Ok(RequestBody::Whole(Some(whole.freeze())))
}

fn sni(service: &HttpTarget, headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST).filter(|_| service.match_sni_to_host)?.to_str().ok()?;
    let authority: http::uri::Authority = host.parse().ok()?;
    Some(authority.host().to_owned())
}

/// Sends the request and waits for the head of the answer. Once more on a fresh connection when a kept one turned out dead, no
/// byte of an answer was seen, and the request can be repeated (design invariant 5).
async fn exchange(
    service: &HttpTarget,
    server_name: Option<&str>,
    parts: http::request::Parts,
    mut body: RequestBody,
    websocket: bool,
) -> Result<(Link, Response<()>), ServiceError> {
    if !websocket {
        let multiplexed =
            service.http2.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|sender| !sender.is_closed());
        if let Some(sender) = multiplexed {
            return Box::pin(send_http2(service, sender, Request::from_parts(parts, body))).await;
        }
    }
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let expects = parts.headers.contains_key(header::EXPECT);
    let kept = if websocket { None } else { service.pool.take(server_name, Instant::now()) };
    if let Some(mut connection) = kept {
        let (head, method) = (encode_request(&parts), parts.method.clone());
        let outgoing = Outgoing { head, method, body, length, expects, patience: Patience::default() };
        match connection.send(outgoing).await {
            Ok(answer) => return Ok(answered(connection, answer)),
            Err(error) => body = error.again(parts.method.is_idempotent())?,
        }
    }
    match Box::pin(connect(service, server_name, websocket)).await? {
        Connected::Http1(mut connection) => {
            let head = encode_request(&parts);
            let outgoing = Outgoing { head, method: parts.method, body, length, expects, patience: Patience::default() };
            let answer = connection.send(outgoing).await.map_err(|error| error.fault)?;
            Ok(answered(connection, answer))
        }
        Connected::Http2(sender) => {
            *service.http2.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
            Box::pin(send_http2(service, sender, Request::from_parts(parts, body))).await
        }
    }
}

fn answered(connection: Box<Http1>, answer: poterne_origin::Answer) -> (Link, Response<()>) {
    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    (Link::Http1(connection), response)
}

async fn send_http2(
    service: &HttpTarget,
    mut sender: http2::SendRequest<RequestBody>,
    mut request: Request<RequestBody>,
) -> Result<(Link, Response<()>), ServiceError> {
    // HTTP/2 names the authority in its URI (RFC 9113 §8.3.1).
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let scheme = if service.tls.is_some() { "https" } else { "http" };
    if let Ok(uri) = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    // A refusal stops the body by itself here (RST_STREAM).
    request.headers_mut().remove(header::EXPECT);
    if let Some(ray) = request.headers_mut().get_mut(CF_RAY) {
        // Never twice the same: an HPACK encoder that kept it would push out what is (RFC 7541 §7.1.3 names the way).
        ray.set_sensitive(true);
    }
    *request.version_mut() = Version::HTTP_2;
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok((Link::Http2(Box::new(body)), Response::from_parts(head, ())))
}

async fn connect(service: &HttpTarget, server_name: Option<&str>, websocket: bool) -> Result<Connected, ServiceError> {
    enum Raw {
        Tcp(tokio::net::TcpStream),
        Unix(UnixStream),
    }
    let raw = match &service.reach {
        Reach::Tcp { host, port } => Raw::Tcp(connect::tcp(host, *port, service.connect).await?),
        Reach::Unix(path) => {
            let connecting = timeout(service.connect.timeout, UnixStream::connect(path)).await;
            Raw::Unix(connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?)
        }
    };
    let mut is_http2 = service.http2_prior && !websocket;
    let io = match (&service.tls, raw) {
        (None, Raw::Tcp(tcp)) => OriginIo::Tcp(tcp),
        (None, Raw::Unix(unix)) => OriginIo::Unix(unix),
        (Some(config), raw) => {
            let mut config = config.clone();
            if websocket && config.alpn_protocols.len() > 1 {
                // An upgrade needs HTTP/1.1: do not offer h2 for it.
                std::sync::Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
            }
            let wanted = server_name.unwrap_or(&service.server_name);
            let name = ServerName::try_from(wanted.to_owned()).map_err(|_| ServiceError::ServerName(wanted.to_owned()))?;
            let connector = TlsConnector::from(config);
            let handshake = async {
                Ok(match raw {
                    Raw::Tcp(tcp) => OriginIo::Tls(Box::new(connector.connect(name, tcp).await?)),
                    Raw::Unix(unix) => OriginIo::UnixTls(Box::new(connector.connect(name, unix).await?)),
                })
            };
            let limited = timeout(service.tls_timeout, handshake).await;
            let io = limited.map_err(|_| ServiceError::TlsTimeout(service.tls_timeout))?.map_err(ServiceError::Tls)?;
            is_http2 = match &io {
                OriginIo::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
                OriginIo::UnixTls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
                _ => false,
            };
            io
        }
    };
    if !is_http2 {
        return Ok(Connected::Http1(Box::new(Http1::new(io, RULES))));
    }
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(SERVICE_STREAM_WINDOW)
        .initial_connection_window_size(SERVICE_CONNECTION_WINDOW)
        .handshake(TokioIo::new(io))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %chain(&error), "an HTTP/2 connection to a service ended");
        }
    });
    Ok(Connected::Http2(sender))
}

/// Who ended an answer early.
enum Broken {
    Service(ServiceError),
    Visitor,
}

async fn answer_with(link: &mut Link, response: Response<()>, wants_trailers: bool, answer: &mut Answer) -> Result<(), Broken> {
    let (mut head, ()) = response.into_parts();
    let mut last = link.is_end_stream();
    let trailers_possible = !last
        && match link {
            Link::Http2(_) => true,
            // Beside a length HTTP/1.1 has no room for them.
            Link::Http1(_) if head.headers.contains_key(header::CONTENT_LENGTH) => false,
            Link::Http1(_) => wants_trailers || head.headers.contains_key(header::TRAILER),
        };
    strip(&mut head.headers);
    let mut first = None;
    if !last {
        match link.frame_now().await {
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    first = Some(data);
                    last = link.is_end_stream();
                }
                Err(trailers) => {
                    let trailers = trailers.into_trailers().ok();
                    answer
                        .head(head.status, &head.headers, Source::Origin, true, None, false)
                        .await
                        .map_err(|_| Broken::Visitor)?;
                    return answer.finish(trailers).await.map_err(|_| Broken::Visitor);
                }
            },
            Some(None) => last = true,
            // The head was sent by a live service: let the visitor have it, then the reset says the rest.
            Some(Some(Err(error))) => {
                let _ = answer.head(head.status, &head.headers, Source::Origin, false, None, false).await;
                return Err(Broken::Service(error));
            }
            None => {}
        }
    }
    let told = link.during(pin!(answer.head(head.status, &head.headers, Source::Origin, trailers_possible, first, last))).await;
    told.map_err(|_| Broken::Visitor)?;
    if last {
        return Ok(());
    }
    loop {
        let next = match link.frame_now().await {
            Some(next) => next,
            None => answer.unless_gone(pin!(poll_fn(|cx| link.poll_frame(cx)))).await.map_err(|_| Broken::Visitor)?,
        };
        match next {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => link.during(pin!(answer.data(data))).await.map_err(|_| Broken::Visitor)?,
                Err(frame) => return answer.finish(frame.into_trailers().ok()).await.map_err(|_| Broken::Visitor),
            },
            Some(Err(error)) => return Err(Broken::Service(error)),
            None => return answer.finish(None).await.map_err(|_| Broken::Visitor),
        }
    }
}

impl Link {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        match self {
            Self::Http1(connection) => connection.poll_frame(cx).map_err(ServiceError::from),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(ServiceError::from),
        }
    }

    /// The next frame if it is already here. `None`: not yet.
    async fn frame_now(&mut self) -> Option<Option<Result<Frame<Bytes>, ServiceError>>> {
        poll_fn(|cx| match self.poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    async fn during<F: Future>(&mut self, work: Pin<&mut F>) -> F::Output {
        match self {
            Self::Http1(connection) => connection.during(work).await,
            Self::Http2(_) => work.await,
        }
    }
}

/// Removes what concerns the hop to the service alone, the fields its `Connection` names included.
fn strip(headers: &mut HeaderMap) {
    let tokens = |value: &HeaderValue| -> Vec<HeaderName> {
        value.as_bytes().split(|byte| *byte == b',').filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
    };
    // What nearly every service says names no field.
    let plain = |value: &HeaderValue| value.as_bytes() == b"keep-alive" || value.as_bytes() == b"close";
    if !headers.get_all(header::CONNECTION).iter().all(plain) {
        let named: Vec<HeaderName> = headers.get_all(header::CONNECTION).iter().flat_map(tokens).collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_all(headers, is_of_hop);
}

/// What concerns two neighbours alone (RFC 9110 §7.6.1); each side of the tunnel has its own.
fn is_of_hop(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// Removes these of a few names. Most heads have none or one: to look at each name there is costs less than to ask the map for each that
/// might be.
fn remove_all(headers: &mut HeaderMap, these: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| these(name)).cloned() {
        headers.remove(name);
    }
}

/// After `101`: raw bytes both ways until either side ends (reference §4.4).
async fn upgraded(link: Link, response: Response<()>, incoming: Incoming, mut answer: Answer) {
    let Link::Http1(connection) = link else { return };
    let (head, ()) = response.into_parts();
    let (io, early) = connection.into_upgraded();
    let first = Some(early).filter(|early| !early.is_empty());
    if answer.head(head.status, &head.headers, Source::Origin, false, first, false).await.is_ok() {
        flow::pump(incoming, answer, io, None).await;
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_hop_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, X-Private"), ("x-private", "1"), ("keep-alive", "1"), ("x-kept", "1")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
