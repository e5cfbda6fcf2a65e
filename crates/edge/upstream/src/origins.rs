//! The way straight to origins: read [`Origins::send`].
//!
//! ```text
//! request → addresses (records, or names looked up) → an idle connection of the zone ──────────────────→ answer
//!                                    └─ none: guard → happy eyeballs → TLS by the zone's mode ─→ ┘
//! ```
//!
//! * [`mod@leg`]: scheme, port and what is asked of a certificate; pure;
//! * [`identity`]: who the edge says it is;
//! * `candidates`: which of several addresses is tried first, and which rests; pure;
//! * `names`: addresses of names elsewhere, looked up again behind visitors' backs;
//! * `connect`: the guard, and from addresses to a socket; `tls`: from a socket to a TLS session;
//! * `zone`, `pool`: what a zone has of its own, and never shares;
//! * `body`, `down`: bodies up and down; `raw`: a WebSocket after its 101; `http2`: where the origin speaks that.
//!
//! * `look`: a health check's look at an origin ([`crate::health`]), on a connection of its own.
//!
//! HTTP/1.1 itself is `poterne_origin`'s, which the agent links too.
//! Why it is so: `docs/decisions/0021-direct-origins.md`.

mod body;
mod candidates;
mod connect;
mod counters;
mod down;
mod http2;
pub mod identity;
pub mod leg;
mod look;
mod names;
mod pool;
mod raw;
#[cfg(test)]
mod tests;
mod tls;
mod zone;

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Body as _;
use poterne_dns_resolver::Resolver;
use poterne_edge_http::{Body, Kind, Request, Response};
use poterne_guard::Guard;
use poterne_model::{AccountId, Name, ZoneId};
use poterne_origin::{Answer, Outgoing, Patience, encode_request};
use poterne_telemetry::Metrics;
use rustls::RootCertStore;
use tokio_util::{either::Either, sync::CancellationToken};

use crate::{OriginError, Over, Stalls, Trail, UpstreamError};

use self::{
    body::RequestBody,
    counters::Counters,
    http2::{Multiplexed, Ticket},
    names::Names,
    pool::{Connection, Key},
    tls::{Clients, Named, Serial},
    zone::Zone,
};
pub use self::{
    identity::{Identities, Identity, Shown},
    leg::{Certificate, Leg, leg},
    tls::{Revoked, SetupError},
};

const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
/// How often idle connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What origins are granted (edge-behaviour §2.9).
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long all addresses of an origin together may take to answer; beyond it 522. Default 10 seconds.
    pub connect_timeout: Duration,
    /// How long a TLS handshake may take; beyond it 525. Default 10 seconds.
    pub handshake_timeout: Duration,
    /// How long an origin may take nothing of a request; beyond it 524. Default 30 seconds.
    pub write_timeout: Duration,
    /// How long a connection may be idle. Default 60 seconds, less than what web servers grant by default; an origin that says less
    /// (`Keep-Alive: timeout=`) is heeded.
    pub idle_timeout: Duration,
    /// Idle connections kept for one origin. Default 256.
    pub idle_per_origin_max: usize,
    /// Connections to origins, in all, and for one zone: beyond it error 1200. Each costs a file, and up to 256 KiB while bulk flows.
    ///
    /// Default: see [`Settings::for_files`].
    pub connections_max: usize,
    /// See `connections_max`.
    pub connections_per_zone_max: usize,
    /// Who watches answers over HTTP/2 that their visitors do not take. Default: nobody.
    pub stalls: Stalls,
}

impl Settings {
    /// The default for a process that may open this many files: an eighth of them for origins, half of which one zone may have.
    pub fn for_files(nofile: u64) -> Self {
        let connections_max = usize::try_from(nofile / 8).unwrap_or(usize::MAX).max(64);
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            idle_per_origin_max: 256,
            connections_max,
            connections_per_zone_max: connections_max / 2,
            stalls: Stalls::default(),
        }
    }
}

/// Where an origin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At any of these addresses.
    Addresses(Vec<IpAddr>),
    /// Wherever this name leads.
    Name(Name),
}

/// To which origin, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginRoute {
    /// The zone of the visitor's host.
    pub zone: ZoneId,
    /// Its account.
    pub account: AccountId,
    /// The visitor's host, without a port: what the origin is asked for in TLS.
    pub host: Arc<str>,
    /// Where the origin is.
    pub place: Place,
    /// How it is spoken to.
    pub leg: Leg,
    /// Whether HTTP/2 is offered to it, over TLS.
    pub http2: bool,
    /// Whose certificate is shown to it, where it asks for one; none: it is shown none.
    pub identifies: Option<Shown>,
    /// How long it may think about its answer; beyond it 524.
    pub read_timeout: Duration,
}

/// The way straight to origins.
pub struct Origins {
    shared: Arc<Shared>,
    guard: Guard,
    names: Names,
    clients: Clients,
    identities: Option<Arc<dyn Identities>>,
    /// Those that have anything open or remembered.
    zones: RwLock<foldhash::HashMap<ZoneId, Arc<Zone>>>,
    /// Addresses that health checks of a zone call unhealthy.
    avoided: ArcSwap<HashMap<ZoneId, HashSet<IpAddr>>>,
}

/// What all zones share: bounds, and how full they are.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    counters: Counters,
    open: AtomicUsize,
}

impl Origins {
    /// `roots`: who vouches for origins' certificates; `resolver`: none where no name elsewhere is ever looked up.
    ///
    /// # Errors
    /// TLS cannot be prepared.
    pub fn new(
        settings: Settings,
        roots: RootCertStore,
        guard: Guard,
        resolver: Option<Resolver>,
        metrics: &Metrics,
    ) -> Result<Self, SetupError> {
        let counters = Counters::new(metrics);
        counters.max.set(number(settings.connections_max));
        counters.zone_max.set(number(settings.connections_per_zone_max));
        let shared = Arc::new(Shared { settings, counters, open: AtomicUsize::new(0) });
        let clients = Clients::new(roots)?;
        Ok(Self {
            shared,
            guard,
            names: Names::new(resolver),
            clients,
            identities: None,
            zones: RwLock::default(),
            avoided: ArcSwap::default(),
        })
    }

    /// The same, showing origins who it is where a zone wants that.
    #[must_use]
    pub fn identified_by(self, identities: Arc<dyn Identities>) -> Self {
        Self { identities: Some(identities), ..self }
    }

    /// The same, accepting no certificate whose serial number is one that this tells.
    #[must_use]
    pub fn revoking(self, revoked: Arc<Revoked>) -> Self {
        Self { clients: self.clients.revoking(revoked), ..self }
    }

    /// Has these addresses get no request of their zone's while an origin's other addresses will do; no others.
    pub fn avoid(&self, addresses: HashMap<ZoneId, HashSet<IpAddr>>) {
        self.avoided.store(Arc::new(addresses));
    }

    /// Closes what nobody uses any more, until told to stop.
    pub async fn sweep(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL)).await.is_some() {
            self.sweep_at(Instant::now());
        }
    }

    fn sweep_at(&self, now: Instant) {
        self.names.sweep(now);
        let all: Vec<(ZoneId, Arc<Zone>)> = {
            let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
            zones.iter().map(|(id, zone)| (*id, Arc::clone(zone))).collect()
        };
        let mut fullest = 0;
        for (id, zone) in all {
            let of_zone = OnceCell::new();
            let stands = |key: &Key, serial: Option<&Serial>| self.stands(id, &of_zone, key, serial);
            fullest = fullest.max(zone.open());
            if zone.sweep(&stands, now) {
                drop(zone);
                let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
                // Whoever has it in hand may be about to use it.
                if zones.get(&id).is_some_and(|zone| Arc::strong_count(zone) == 1) {
                    zones.remove(&id);
                }
            }
        }
        self.shared.counters.fullest_zone.set(number(fullest));
    }

    /// Whether a connection may carry another request of its zone's: the certificate that it was made with is believed still, and the one
    /// that was shown is still the zone's, or the host's that was asked for. `of_zone` is filled when it is asked for.
    fn stands(&self, zone: ZoneId, of_zone: &OnceCell<Option<Identity>>, key: &Key, serial: Option<&Serial>) -> bool {
        let now = |shown: &Shown| self.identities.as_ref().and_then(|known| known.of(zone, shown).ok());
        let is_shown = |named: &Named, shown: &Identity| {
            of_zone.get_or_init(|| now(&Shown::OfZone)).as_ref() == Some(shown)
                || now(&Shown::OfHost(Arc::clone(&named.host))).as_ref() == Some(shown)
        };
        let named = key.named.as_ref().and_then(|named| Some((named, named.identity.as_ref()?)));
        self.clients.believes(serial) && named.is_none_or(|(named, shown)| is_shown(named, shown))
    }

    fn zone(&self, id: ZoneId) -> Arc<Zone> {
        if let Some(zone) = self.zones.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Arc::clone(zone);
        }
        let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(zones.entry(id).or_insert_with(|| Arc::new(Zone::new(Arc::clone(&self.shared)))))
    }

    /// Sends a request whose head is final (the pipeline has written every field the origin should see, `Host` included) and resolves with
    /// the response head as soon as it is there; bodies flow meanwhile.
    ///
    /// A request is sent again, once and on a new connection, by the rule of design invariant 5: only where it took an idle connection
    /// that turned out dead; each connection is told to `trail`. For a WebSocket request a response of status 101 carries the raw stream
    /// as its body.
    ///
    /// What is not for a request that takes an idle connection of HTTP/1.1 is boxed: this future is made and moved for each request.
    ///
    /// # Errors
    /// There is none, and whose fault it is.
    pub async fn send(&self, route: OriginRoute, request: Request, trail: &mut Trail) -> Result<Response, UpstreamError> {
        self.shared.counters.requests.inc();
        let (mut head, visitor) = request.into_parts();
        let ray = head.headers.get(CF_RAY).cloned();
        let is_websocket = head.extensions.get::<Kind>() == Some(&Kind::WebSocket);
        let zone = self.zone(route.zone);
        let addresses = self.addresses(&zone, &route).await?;
        let named = self.named(&route, route.http2 && !is_websocket)?;
        let patience = self.patience(&route);
        let message = Message::new(&mut head, &visitor, is_websocket, patience);
        if is_websocket {
            let Connected::Http1(mut connection) = Box::pin(self.connect(&zone, &route, addresses, named)).await? else {
                // It was not offered.
                return Err(OriginError::Invalid(route.host.to_string(), "it speaks HTTP/2 unasked".to_owned()).into());
            };
            let origin = connection.key.address;
            trail.sent(|| Over::Origin(origin));
            let sent = Box::pin(connection.http.send(message.outgoing(RequestBody::default()))).await;
            return match sent {
                Ok(answer) if answer.status == StatusCode::SWITCHING_PROTOCOLS => Ok(switched(connection, answer, visitor)),
                Ok(answer) => answered(connection, answer, zone, ray),
                Err(error) => Err(OriginError::of_fault(origin, &error.fault)),
            };
        }
        let mut body = RequestBody::new(visitor);
        let repeatable = message.method.is_idempotent();
        let key = addresses.first().map(|address| Key { address: *address, named: named.clone() });
        let many = key.as_ref().filter(|key| key.named.as_ref().is_some_and(|named| named.http2));
        if let Some(ticket) = many.and_then(|key| zone.ticket(key, |serial| self.clients.believes(serial))) {
            self.shared.counters.reused.inc();
            trail.sent(|| Over::Origin(ticket.address()));
            let sent =
                Box::pin(http2::exchange(ticket, &head, body.keeping(), patience, ray.clone(), &self.shared.settings.stalls))
                    .await;
            let failure = match sent {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.broken || !(failure.unsent || repeatable) {
                return Err(failure.error);
            }
            tracing::debug!(zone = %route.zone, error = %failure.error, "sent again on a new connection");
            trail.failed(&failure.error);
            body = failure.body.rewound().ok_or(failure.error)?;
            self.shared.counters.repeated.inc();
        } else if let Some(mut connection) =
            key.and_then(|key| zone.pool.take(&key, repeatable, |serial| self.clients.believes(serial), Instant::now()))
        {
            self.shared.counters.reused.inc();
            trail.sent(|| Over::Origin(connection.key.address));
            let error = match connection.http.send(message.outgoing(body.keeping())).await {
                Ok(answer) => return answered(connection, answer, zone, ray),
                Err(error) => error,
            };
            let fault = OriginError::of_fault(connection.key.address, &error.fault);
            if !error.may_repeat(repeatable) {
                return Err(fault);
            }
            body = error.body.rewound().ok_or(fault)?;
            self.shared.counters.repeated.inc();
            tracing::debug!(zone = %route.zone, origin = %connection.key.address, error = %error.fault, "sent again on a new connection");
            trail.failed(&error.fault);
        }
        let mut connection = match Box::pin(self.connect(&zone, &route, addresses, named)).await? {
            Connected::Http1(connection) => connection,
            Connected::Http2(ticket) => {
                trail.sent(|| Over::Origin(ticket.address()));
                let sent = Box::pin(http2::exchange(ticket, &head, body, patience, ray, &self.shared.settings.stalls)).await;
                return sent.map_err(|failure| failure.error);
            }
        };
        trail.sent(|| Over::Origin(connection.key.address));
        match Box::pin(connection.http.send(message.outgoing(body))).await {
            Ok(answer) => answered(connection, answer, zone, ray),
            Err(error) => Err(OriginError::of_fault(connection.key.address, &error.fault)),
        }
    }

    /// Where the origin is, in the order in which its addresses are tried.
    async fn addresses(&self, zone: &Zone, route: &OriginRoute) -> Result<Vec<SocketAddr>, OriginError> {
        let at = |address: &IpAddr| SocketAddr::new(address.to_canonical(), route.leg.port);
        let addresses: Vec<SocketAddr> = match &route.place {
            Place::Addresses(addresses) => addresses.iter().map(at).collect(),
            Place::Name(name) => Box::pin(self.names.addresses(route.account, name)).await?.iter().map(at).collect(),
        };
        if addresses.len() < 2 {
            return Ok(addresses);
        }
        let avoided = self.avoided.load();
        let avoided = avoided.get(&route.zone);
        let is_avoided = |address: &SocketAddr| avoided.is_some_and(|avoided| avoided.contains(&address.ip()));
        Ok(zone.ledger().order(addresses, is_avoided, rand::random(), Instant::now()))
    }

    fn named(&self, route: &OriginRoute, http2: bool) -> Result<Option<Named>, OriginError> {
        let Some(certificate) = route.leg.tls else { return Ok(None) };
        let identity = self.identity(route.zone, &route.host, route.identifies.as_ref())?;
        let target = match &route.place {
            Place::Name(name) if certificate == Certificate::Verified => Some(name.as_str().into()),
            Place::Name(_) | Place::Addresses(_) => None,
        };
        Ok(Some(Named { host: Arc::clone(&route.host), target, certificate, http2, identity }))
    }

    /// Who the edge says it is to an origin, where that is wanted.
    fn identity(&self, zone: ZoneId, host: &str, shown: Option<&Shown>) -> Result<Option<Identity>, OriginError> {
        let none = || Err("this node has nothing to show".to_owned());
        match shown.map(|shown| self.identities.as_ref().map_or_else(none, |known| known.of(zone, shown))) {
            None => Ok(None),
            Some(Ok(identity)) => Ok(Some(identity)),
            // Whoever asks for one would turn away who has none, and say less about it.
            Some(Err(why)) => {
                let why = format!("the certificate that it should be shown cannot be: {why}");
                Err(OriginError::Handshake(host.to_owned(), why))
            }
        }
    }

    fn patience(&self, route: &OriginRoute) -> Patience {
        Patience { write: Some(self.shared.settings.write_timeout), answer: Some(route.read_timeout) }
    }

    /// A new connection to the first of these addresses that can be spoken to.
    async fn connect(
        &self,
        zone: &Zone,
        route: &OriginRoute,
        addresses: Vec<SocketAddr>,
        named: Option<Named>,
    ) -> Result<Connected, OriginError> {
        let settings = &self.shared.settings;
        let mut rest = connect::admitted(&self.guard, route.account, addresses)?;
        let share = zone.share()?;
        loop {
            let reached = match connect::first_of(&rest, settings.connect_timeout).await {
                Ok(reached) => reached,
                Err(unreached) => {
                    note_failed(zone, &unreached.failed);
                    return Err(unreached.error);
                }
            };
            let connect::Reached { stream, address, failed } = reached;
            note_failed(zone, &failed);
            let (io, serial) = match &named {
                None => (Either::Left(stream), None),
                Some(named) => {
                    let handshake = tls::handshake(&self.clients, &zone.tls, named, stream);
                    let handshake = tokio::time::timeout(settings.handshake_timeout, handshake).await;
                    let late = || format!("it took longer than {} seconds", settings.handshake_timeout.as_secs());
                    match handshake.unwrap_or_else(|_| Err(tls::Refused::Handshake(late()))) {
                        Ok(tls::Secured { stream, serial }) => (Either::Right(Box::new(stream)), serial),
                        // Nothing of the request was sent: another address may do.
                        Err(refused) => {
                            note_failed(zone, &[address]);
                            rest.retain(|other| *other != address && !failed.contains(other));
                            if rest.is_empty() {
                                return Err(refused.at(address));
                            }
                            continue;
                        }
                    }
                }
            };
            zone.ledger().reached(address);
            self.shared.counters.opened.inc();
            let is_http2 = matches!(&io, Either::Right(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"));
            let key = Key { address, named };
            if !is_http2 {
                return Ok(Connected::Http1(Box::new(Connection::new(key, io, serial, share, settings.idle_timeout))));
            }
            let connection = Multiplexed::begin(io, address, serial, share).await?;
            let ticket = connection
                .ticket()
                .ok_or_else(|| OriginError::Invalid(address.to_string(), "it speaks HTTP/2, and takes no request".to_owned()))?;
            zone.join(key, connection);
            return Ok(Connected::Http2(ticket));
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A new connection.
enum Connected {
    Http1(Box<Connection>),
    Http2(Ticket),
}

fn note_failed(zone: &Zone, addresses: &[SocketAddr]) {
    if !addresses.is_empty() {
        let (mut ledger, now) = (zone.ledger(), Instant::now());
        addresses.iter().for_each(|address| ledger.failed(*address, now));
    }
}

/// A request as it goes over the wire.
struct Message {
    head: Bytes,
    method: Method,
    length: Option<u64>,
    expects: bool,
    patience: Patience,
}

impl Message {
    /// Writes the fields that concern this hop alone (RFC 9110 §7.6.1).
    fn new(head: &mut Parts, body: &Body, is_websocket: bool, patience: Patience) -> Self {
        let headers = &mut head.headers;
        let mut length = None;
        if is_websocket {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        } else {
            length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
            let usually_has_a_body = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
            match length {
                // RFC 9110 §8.6: who might expect a body is told that there is none.
                Some(0) if usually_has_a_body => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0))),
                Some(0) => {}
                Some(length) => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length))),
                None => {
                    headers.remove(header::CONTENT_LENGTH);
                    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
            }
            if headers.contains_key(header::TE) {
                // RFC 9110 §10.1.4.
                headers.insert(header::CONNECTION, HeaderValue::from_static("TE"));
            }
        }
        let expects = headers.contains_key(header::EXPECT);
        Self { head: encode_request(head), method: head.method.clone(), length, expects, patience }
    }

    fn outgoing(&self, body: RequestBody) -> Outgoing<RequestBody> {
        let Self { head, method, length, expects, patience } = self;
        Outgoing { head: head.clone(), method: method.clone(), body, length: *length, expects: *expects, patience: *patience }
    }
}

/// The answer as the pipeline takes it.
fn answered(
    mut connection: Box<Connection>,
    answer: Answer,
    zone: Arc<Zone>,
    ray: Option<HeaderValue>,
) -> Result<Response, UpstreamError> {
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        let why = "it switched protocols without being asked".to_owned();
        return Err(OriginError::Invalid(connection.key.address.to_string(), why).into());
    }
    connection.heed(&answer.headers);
    Ok(response(answer, down::body(connection, zone, ray)))
}

/// The answer that opens a WebSocket.
fn switched(connection: Box<Connection>, answer: Answer, visitor: Body) -> Response {
    let Connection { http, share, .. } = *connection;
    let (io, early) = http.into_upgraded();
    response(answer, raw::body(io, early, visitor, share))
}

fn response(answer: Answer, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// The authorities that this machine trusts for the web; none where it has no list of them.
pub fn web_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    roots
}
