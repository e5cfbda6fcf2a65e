//! Which connection a request takes, and whether it may take another.
//!
//! A request is sent again only if no byte of the response was seen, its body can be replayed, and either its method is idempotent
//! (RFC 9110 §9.2.2) or it provably never reached the agent. Everything else is answered at once: never a hang.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use http::Method;
use poterne_edge_http::{Kind, Request, Response};
use poterne_edge_upstream::{Trail, TunnelRoute, Tunnels, UpstreamError};
use poterne_model::ConnectionId;

use crate::{
    Gateway, Inner,
    connection::{Connection, Link},
    exchange::{self, Outgoing},
    registry::Tunnel,
    settings::ATTEMPTS_MAX,
};

impl Tunnels for Gateway {
    async fn send(&self, route: TunnelRoute, request: Request, trail: &mut Trail) -> Result<Response, UpstreamError> {
        let inner = &*self.0;
        inner.counters.requests.inc();
        let tunnel = inner.registry.tunnel(route.tunnel).or_else(|| expected(inner, route));
        let tunnel = tunnel.ok_or_else(|| absent(inner, route))?;
        let _counted = admit(inner, route, &tunnel)?;
        let (head, body) = request.into_parts();
        let kind = head.extensions.get::<Kind>().copied().unwrap_or(Kind::Http);
        let mut body = Some(body);
        let mut tried: [Option<ConnectionId>; ATTEMPTS_MAX] = [None; ATTEMPTS_MAX];
        let mut attempt = 0;
        loop {
            let Some(connection) = choose(inner, &tunnel, &tried[..attempt], route).await else {
                return Err(absent(inner, route));
            };
            trail.sent(|| connection.told());
            let outgoing = Outgoing {
                head: &head,
                kind,
                body: body.take().expect("given, or given back"),
                guard: connection.begin(),
                stalls: &inner.settings.stalls,
                window: inner.settings.stream_window,
            };
            let timeout = inner.settings.response_timeout;
            let outcome = match &connection.link {
                Link::Quic(quic) => exchange::quic::exchange(quic, connection.trailers, outgoing, timeout).await,
                Link::Http2 { requests, .. } => exchange::http2::exchange(requests.clone(), outgoing, timeout).await,
            };
            let failure = match outcome {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let repeatable = failure.unsent || is_idempotent(&head.method) && kind == Kind::Http;
            if !failure.broken || !repeatable || failure.body.is_none() || attempt + 1 == ATTEMPTS_MAX {
                return Err(failure.error);
            }
            tracing::debug!(tunnel = %route.tunnel, connection = %connection.id, error = %failure.error, "sent again on another connection");
            trail.failed(&failure.error);
            inner.counters.repeated.inc();
            tried[attempt] = Some(connection.id);
            attempt += 1;
            body = failure.body;
        }
    }
}

/// After a start of this node, a tunnel whose agents are on their way back.
fn expected(inner: &Inner, route: TunnelRoute) -> Option<Arc<Tunnel>> {
    inner.snapshot.load().tunnel(route.tunnel)?;
    inner.registry.expected(route.tunnel, inner.settings.connections_per_tunnel_max, Instant::now())
}

fn absent(inner: &Inner, route: TunnelRoute) -> UpstreamError {
    match inner.snapshot.load().tunnel(route.tunnel) {
        Some(_) => UpstreamError::NoConnector(route.tunnel),
        None => UpstreamError::UnknownTunnel(route.tunnel),
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE].contains(method)
}

/// Counts a request of the tunnel until its response head is there; refuses it beyond the tunnel's limit, and where the tunnel was
/// deleted while its agents are still being told.
fn admit<'a>(inner: &'a Inner, route: TunnelRoute, tunnel: &'a Arc<Tunnel>) -> Result<Counted<'a>, UpstreamError> {
    let quick = inner.snapshot.load().tunnel(route.tunnel).ok_or(UpstreamError::UnknownTunnel(route.tunnel))?.quick;
    let limit = if quick { inner.settings.requests_per_quick_tunnel_max } else { inner.settings.requests_per_tunnel_max };
    let running: usize = tunnel.running();
    let counted = Counted::new(&tunnel.in_flight, &inner.counters.in_flight);
    if running < limit {
        return Ok(counted);
    }
    inner.counters.requests_refused.inc();
    Err(UpstreamError::TooManyRequests(limit))
}

struct Counted<'a>(&'a AtomicUsize, &'a poterne_telemetry::metrics::Gauge);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize, gauge: &'a poterne_telemetry::metrics::Gauge) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        gauge.inc();
        Self(count, gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}

/// A connection to send over. When none is left but one may come back (an edge or agent that restarts), waits for it a little.
async fn choose(
    inner: &Inner,
    tunnel: &Arc<Tunnel>,
    tried: &[Option<ConnectionId>],
    route: TunnelRoute,
) -> Option<Arc<Connection>> {
    if let Some(connection) = tunnel.choose(route.connector, tried, crate::random()) {
        return Some(connection);
    }
    if inner.snapshot.load().tunnel(route.tunnel).is_none() || !tunnel.may_come_back(Instant::now()) {
        return None;
    }
    if tunnel.waiting.load(Ordering::Relaxed) >= inner.settings.waiting_per_tunnel_max {
        inner.counters.waiting_refused.inc();
        return None;
    }
    tracing::debug!(tunnel = %route.tunnel, "a request waits for the tunnel to come back");
    let _waiting = Counted::new(&tunnel.waiting, &inner.counters.waiting);
    tokio::time::timeout(inner.settings.waiting_timeout, tunnel.comes(route.connector, tried)).await.ok()
}
