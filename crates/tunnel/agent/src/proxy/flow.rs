//! TCP through the tunnel: behind a WebSocket, by SOCKS5 inside one, or bare for private networks.

use std::{io, net::SocketAddr, pin::pin, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use poterne_tunnel_proto::{
    h2::Source,
    metadata::AgentRequest,
    socks::{self, Destination, Reply, Step},
    websocket::{self, Control, Unwrap},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::MissedTickBehavior,
};

use super::{UNREACHABLE, unreachable};
use crate::{
    Shared,
    management::TCP_TARGET,
    metrics::Counted,
    origin::connect::{self, ConnectOptions},
    rules::{IpPolicy, is_allowed},
    side::{Answer, Incoming, SideError},
};

/// One read from a service, in bytes; also the largest frame sent.
const READ_BYTES: usize = 64 * 1024;
/// Control frames waiting to be answered; a client that pings faster than it reads loses pongs.
const CONTROLS_MAX: usize = 8;
/// Default connect timeout of private-network flows (reference §7.2).
const PRIVATE_CONNECT: Duration = Duration::from_secs(5);
const PRIVATE_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A rule of type tcp, ssh, rdp, smb…: dial, answer `101`, then frames.
pub(super) async fn carried(
    shared: &Shared,
    host: &str,
    port: u16,
    options: ConnectOptions,
    request: &AgentRequest,
    incoming: Incoming,
    mut answer: Answer,
) {
    match answer.unless_gone(pin!(connect::tcp(host, port, options))).await {
        Ok(Ok(stream)) => {
            let _active = opened(shared);
            if switch(shared, request, &mut answer).await.is_ok() {
                pump(incoming, answer, stream, Some(Unwrap::default())).await;
            }
        }
        Ok(Err(error)) => {
            shared.metrics.connect_errors.fetch_add(1, Relaxed);
            unreachable(shared, request.ray(), &format!("{host}:{port}"), &error, &mut answer).await;
        }
        Err(_) => {}
    }
}

/// The client names the destination in `Cf-Access-Jump-Destination`.
pub(super) async fn bastion(
    shared: &Shared,
    options: ConnectOptions,
    request: &AgentRequest,
    incoming: Incoming,
    mut answer: Answer,
) {
    let named = request.head.headers.get("cf-access-jump-destination").and_then(|value| value.to_str().ok());
    let Some((host, port)) = named.and_then(destination) else {
        let reason = "the request does not say in Cf-Access-Jump-Destination where to go, as host:port";
        unreachable(shared, request.ray(), "bastion", &reason, &mut answer).await;
        return;
    };
    carried(shared, &host, port, options, request, incoming, answer).await;
}

/// `host:port`, with scheme and path stripped.
fn destination(text: &str) -> Option<(String, u16)> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority: http::uri::Authority = text.split(['/', '?', '#']).next()?.parse().ok()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), authority.port_u16()?)).filter(|(host, _)| !host.is_empty())
}

/// SOCKS5 `CONNECT` (RFC 1928) inside a WebSocket, filtered by `ipRules`.
pub(super) async fn by_socks(
    shared: &Shared,
    rules: &[IpPolicy],
    options: ConnectOptions,
    request: &AgentRequest,
    incoming: Incoming,
    mut answer: Answer,
) {
    if switch(shared, request, &mut answer).await.is_err() {
        return;
    }
    let mut session = SocksSession { incoming, answer, unwrap: Unwrap::default(), buffer: BytesMut::new() };
    let stream = match session.negotiate(rules, options).await {
        Ok(Some(stream)) => stream,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(ray = request.ray(), %error, "a SOCKS client broke off");
            return;
        }
    };
    let _active = opened(shared);
    let SocksSession { incoming, answer, unwrap, buffer } = session;
    let mut stream = stream;
    if stream.write_all(&buffer).await.is_ok() {
        pump(incoming, answer, stream, Some(unwrap)).await;
    }
}

struct SocksSession {
    incoming: Incoming,
    answer: Answer,
    unwrap: Unwrap,
    buffer: BytesMut,
}

impl SocksSession {
    /// `None`: refused, and told so.
    async fn negotiate(&mut self, rules: &[IpPolicy], options: ConnectOptions) -> io::Result<Option<tokio::net::TcpStream>> {
        let mut negotiation = socks::Negotiation::default();
        let Destination { host, port } = loop {
            match negotiation.step(&mut self.buffer) {
                Step::Wait => self.read().await?,
                Step::Say(bytes) => self.say(&bytes).await?,
                Step::Connect(destination) => break destination,
                Step::Refuse(bytes) => return self.refuse(&bytes).await,
            }
        };

        // Checked on the address actually connected to, whatever name led there.
        let Ok(addresses) = tokio::net::lookup_host((host.as_str(), port)).await else {
            return self.refuse(&socks::reply(Reply::HostUnreachable)).await;
        };
        let allowed: Vec<SocketAddr> = addresses.filter(|address| is_allowed(rules, address.ip(), address.port())).collect();
        if allowed.is_empty() {
            tracing::warn!(host, port, "a SOCKS destination is not allowed by ipRules");
            return self.refuse(&socks::reply(Reply::NotAllowed)).await;
        }
        for address in allowed {
            if let Ok(stream) = connect::tcp(&address.ip().to_string(), port, options).await {
                self.say(&socks::reply(Reply::Succeeded)).await?;
                return Ok(Some(stream));
            }
        }
        self.refuse(&socks::reply(Reply::Refused)).await
    }

    async fn refuse(&mut self, bytes: &[u8]) -> io::Result<Option<tokio::net::TcpStream>> {
        self.say(bytes).await?;
        self.answer.data(websocket::frame_header(websocket::CLOSE, 0)).await.map_err(io::Error::other)?;
        let _ = self.answer.finish(None).await;
        Ok(None)
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let frame = [&websocket::frame_header(websocket::BINARY, bytes.len()), bytes].concat();
        self.answer.data(frame.into()).await.map_err(io::Error::other)
    }

    /// The next of what the client sends; the negotiation never waits for more than one message, so that the buffer is bounded by one
    /// and what came along with its end.
    async fn read(&mut self) -> io::Result<()> {
        let data = self.incoming.data().await.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
        self.unwrap.push(&data, &mut self.buffer, &mut Vec::new()).map_err(io::Error::other)
    }
}

/// A private-network flow: the destination is an address literal, no rule is asked (reference §4.5).
pub(super) async fn private_network(shared: &Shared, index: u8, request: &AgentRequest, incoming: Incoming, mut answer: Answer) {
    let dest = request.head.uri.authority().map_or("", |authority| authority.as_str());
    let Ok(address) = dest.parse::<SocketAddr>() else {
        shared.metrics.connect_errors.fetch_add(1, Relaxed);
        let _ = answer.fail(&format!("{UNREACHABLE} {dest:?} is not an IP address and a port"), false).await;
        return;
    };
    let warp = shared.rules.load().warp;
    let limit = warp.max_active_flows.unwrap_or(0);
    if limit > 0 && u64::try_from(shared.metrics.tcp_active.load(Relaxed)).unwrap_or(u64::MAX) >= limit {
        tracing::warn!(target: TCP_TARGET, connIndex = index, limit, "a private-network flow was refused: warp-routing.maxActiveFlows is reached");
        let _ = answer.fail("too many active flows", true).await;
        return;
    }
    let options = ConnectOptions {
        timeout: warp.connect_timeout.unwrap_or(PRIVATE_CONNECT),
        keep_alive: warp.tcp_keep_alive.unwrap_or(PRIVATE_KEEP_ALIVE),
        happy_eyeballs: false,
    };
    match answer.unless_gone(pin!(connect::tcp(&address.ip().to_string(), address.port(), options))).await {
        Ok(Ok(stream)) => {
            let _active = opened(shared);
            tracing::debug!(target: TCP_TARGET, connIndex = index, destAddr = %address, "a private-network flow was opened");
            if answer.acknowledge_tcp().await.is_ok() {
                pump(incoming, answer, stream, None).await;
            }
            tracing::debug!(target: TCP_TARGET, connIndex = index, destAddr = %address, "a private-network flow ended");
        }
        Ok(Err(error)) => {
            shared.metrics.connect_errors.fetch_add(1, Relaxed);
            tracing::warn!(target: TCP_TARGET, connIndex = index, destAddr = %address, %error, "a private-network flow could not be opened");
            let _ = answer.fail(&format!("dial {address}: {error}"), false).await;
        }
        Err(_) => {}
    }
}

fn opened(shared: &Shared) -> Counted<'_> {
    shared.metrics.tcp_total.fetch_add(1, Relaxed);
    Counted::new(&shared.metrics.tcp_active)
}

/// `101`, with the handshake's answer when the client asked for it.
pub(super) async fn switch(shared: &Shared, request: &AgentRequest, answer: &mut Answer) -> Result<(), SideError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = request.head.headers.get(header::SEC_WEBSOCKET_KEY) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = websocket::accept_key(key.as_bytes());
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).expect("base64 is visible ASCII"));
    }
    shared.metrics.answered(StatusCode::SWITCHING_PROTOCOLS);
    answer.head(StatusCode::SWITCHING_PROTOCOLS, &headers, Source::Origin, false, None, false).await
}

/// What goes to the visitor next.
enum Next {
    Read(io::Result<usize>),
    Pong(Bytes),
    Ping,
}

/// Copies both ways until either side ends; there is no half-close through the tunnel (reference §4.4). With `unwrap`, client
/// frames become bytes and bytes become binary frames, and an idle client is pinged.
pub(super) async fn pump<S>(mut incoming: Incoming, mut answer: Answer, stream: S, unwrap: Option<Unwrap>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let framed = unwrap.is_some();
    let (mut from_service, mut to_service) = tokio::io::split(stream);
    let (pongs, mut to_pong) = mpsc::channel::<Bytes>(CONTROLS_MAX);
    let up = async {
        let mut unwrap = unwrap;
        let (mut payload, mut controls) = (BytesMut::new(), Vec::new());
        while let Some(Ok(data)) = incoming.data().await {
            let Some(unwrap) = &mut unwrap else {
                if to_service.write_all(&data).await.is_err() {
                    return;
                }
                continue;
            };
            payload.clear();
            let verdict = unwrap.push(&data, &mut payload, &mut controls);
            if to_service.write_all(&payload).await.is_err() {
                return;
            }
            for control in controls.drain(..) {
                match control {
                    Control::Ping(payload) => {
                        let header = websocket::frame_header(websocket::PONG, payload.len());
                        let _ = pongs.try_send([&header, payload.as_slice()].concat().into());
                    }
                    Control::Close => return,
                }
            }
            if let Err(error) = verdict {
                tracing::debug!(%error, "a WebSocket client broke the protocol");
                return;
            }
        }
    };
    let down = async {
        let mut ping = tokio::time::interval(websocket::PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.tick().await;
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            // A service that neither speaks nor reads must not hold what a visitor has left: its end does not come behind what waits.
            let next = async {
                tokio::select! {
                    read = from_service.read_buf(&mut buffer) => Next::Read(read),
                    Some(pong) = to_pong.recv() => Next::Pong(pong),
                    _ = ping.tick(), if framed => Next::Ping,
                }
            };
            let next = answer.unless_gone(pin!(next)).await;
            let sent = match next {
                Ok(Next::Read(Ok(1..))) => {
                    let data = buffer.split().freeze();
                    if framed && answer.data(websocket::frame_header(websocket::BINARY, data.len())).await.is_err() {
                        return;
                    }
                    answer.data(data).await
                }
                Ok(Next::Pong(pong)) => answer.data(pong).await,
                Ok(Next::Ping) => answer.data(websocket::frame_header(websocket::PING, 0)).await,
                Ok(Next::Read(_)) | Err(_) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    let _ = answer.finish(None).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_destination_is_host_and_port() {
        assert_eq!(destination("db.inside:5432"), Some(("db.inside".into(), 5432)));
        assert_eq!(destination("tcp://[fd00::1]:22/path"), Some(("fd00::1".into(), 22)));
        assert_eq!(destination("db.inside"), None);
        assert_eq!(destination("http://:80"), None);
    }
}
