//! A request's place in a trace, and what is told of it once it is over: the span in which the visitor was served, and the one in which an
//! upstream was asked.
//!
//! Where nobody traces, none of this is made. Where somebody does, every request goes on with a `traceparent` of ours, since whoever is
//! asked next must know whether it is recorded; only one that is recorded keeps anything. Whose word is taken: `Settings::parents`.
//! Attributes are OpenTelemetry's semantic conventions for HTTP. Queries are not among them: they hold what opens doors.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use poterne_edge_http::Request;
use poterne_edge_upstream::{Over, Place, Trail};
use poterne_model::tunnel::Transport;
use poterne_telemetry::trace::{
    Context, Event, Kind, Parent, Parents, Span, TraceId, Tracer, Value,
    span::{self, Attribute},
};

use crate::{access::Entry, request::CF_RAY, route::Way};

/// `error.type` where nobody was there to be answered.
const VISITOR_LEFT: &str = "visitor_left";
const LEFT: &str = "the visitor left, or was cut off, before there was an answer";

/// A request that is part of a trace.
#[derive(Debug)]
pub(crate) struct Traced {
    /// The span in which the visitor is served.
    served: Context,
    /// The span in which an upstream is asked: what the origin reads of.
    asked: Context,
    /// What is told of it, where it is recorded and an upstream is asked.
    asking: Option<Box<Asking>>,
}

/// An upstream that is asked.
#[derive(Debug)]
struct Asking {
    at: SystemTime,
    since: Instant,
    ray: Option<HeaderValue>,
    scheme: &'static str,
    host: HeaderValue,
    target: Uri,
    place: Vec<Attribute>,
    trail: Trail,
    outcome: Option<Result<StatusCode, String>>,
    /// To the head of the answer, or to where it was known that there is none.
    took: Duration,
}

impl Traced {
    pub(crate) fn begin(tracer: &Tracer, headers: &HeaderMap, parents: Parents) -> Self {
        let served = tracer.begin(Parent::of(headers), parents);
        Self { served, asked: served.child(), asking: None }
    }

    pub(crate) fn trace(&self) -> TraceId {
        self.served.trace
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.served.sampled
    }

    /// Tells the upstream whom to call its parent.
    pub(crate) fn prepare(&self, headers: &mut HeaderMap) {
        self.asked.write(headers, self.served.parent.is_none());
    }

    /// The upstream is about to be asked.
    #[cold]
    pub(crate) fn asking(&mut self, way: &Way, request: &Request) {
        let mut place = Vec::new();
        let mut scheme = "http";
        match way {
            Way::Tunnel(tunnel) => place.push(("poterne.tunnel.id", Value::shown(tunnel.tunnel))),
            Way::Origin(origin) => {
                if origin.leg.tls.is_some() {
                    scheme = "https";
                }
                if let Place::Name(name) = &origin.place {
                    place.push(("server.address", Value::shown(name)));
                }
                place.push(("server.port", origin.leg.port.into()));
            }
        }
        self.asking = Some(Box::new(Asking {
            at: SystemTime::now(),
            since: Instant::now(),
            ray: request.headers().get(CF_RAY).cloned(),
            scheme,
            host: request.headers().get(header::HOST).cloned().unwrap_or(HeaderValue::from_static("")),
            target: request.uri().clone(),
            place,
            trail: Trail::off(),
            outcome: None,
            took: Duration::ZERO,
        }));
    }

    /// It has answered, or will not.
    #[cold]
    pub(crate) fn answered(&mut self, trail: Trail, outcome: Result<StatusCode, String>) {
        if let Some(asking) = &mut self.asking {
            asking.trail = trail;
            asking.outcome = Some(outcome);
            asking.took = asking.since.elapsed();
        }
    }

    /// Tells of a request that is over. `answered`: the visitor got an answer, or some of it.
    pub(crate) fn over(self, tracer: &Tracer, entry: &Entry, answered: bool) {
        // One that was answered bears its Ray id.
        let mut ray = &entry.ray;
        if let Some(asking) = &self.asking {
            ray = asking.ray.as_ref().unwrap_or(ray);
        }
        let served = served(self.served, entry, ray, answered);
        if let Some(asking) = self.asking {
            tracer.take(asking.span(self.asked, entry));
        }
        tracer.take(served);
    }
}

/// Tells of a request once it is over, or once nobody is there to be answered.
pub(crate) struct Telling {
    tracer: Tracer,
    traced: Option<Traced>,
    /// What is known of it at its beginning.
    entry: Entry,
    begun: Instant,
}

impl Telling {
    pub(crate) fn new(tracer: Tracer, traced: Traced, entry: Entry, begun: Instant) -> Self {
        Self { tracer, traced: Some(traced), entry, begun }
    }

    pub(crate) fn traced(&mut self) -> Option<&mut Traced> {
        self.traced.as_mut()
    }

    /// It was answered.
    pub(crate) fn over(mut self: Box<Self>, entry: &Entry) {
        if let Some(traced) = self.traced.take() {
            traced.over(&self.tracer, entry, true);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(traced) = self.traced.take() {
            self.entry.duration = self.begun.elapsed();
            traced.over(&self.tracer, &self.entry, false);
        }
    }
}

/// What the visitor was answered.
fn served(context: Context, entry: &Entry, ray: &HeaderValue, answered: bool) -> Span {
    let mut attributes = Vec::with_capacity(20);
    let name = of_method(entry, &mut attributes);
    attributes.extend([
        ("url.scheme", Value::Word(entry.scheme)),
        ("url.path", Value::text(entry.target.path())),
        ("server.address", Value::text(entry.hostname())),
        ("client.address", Value::shown(entry.visitor)),
        ("network.protocol.version", Value::Word(version(entry.version))),
    ]);
    if answered {
        attributes.push(("http.response.status_code", entry.status.as_u16().into()));
        attributes.push(("http.response.body.size", entry.bytes.into()));
    }
    let agent = entry.user_agent.as_ref().map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    if let Some(agent) = agent {
        attributes.push(("user_agent.original", Value::text(&agent)));
    }
    if !entry.whole {
        attributes.push(("poterne.cut", Value::Truth(true)));
    }
    of_whose(entry, ray, &mut attributes);
    let tunnel = entry.tunnel.map(|tunnel| ("poterne.tunnel.id", Value::shown(tunnel)));
    attributes.extend(tunnel);
    // A server's span is an error where the server is to blame.
    let mut error = None;
    if !answered {
        attributes.push(("error.type", Value::Word(VISITOR_LEFT)));
        error = Some(LEFT.to_owned());
    } else if entry.status.is_server_error() {
        attributes.push(("error.type", Value::shown(entry.status.as_u16())));
        error = Some(String::new());
    }
    Span { context, kind: Kind::Server, name, start: entry.at, duration: entry.duration, attributes, events: Vec::new(), error }
}

impl Asking {
    /// Where there was an answer, it lasts as long as its body.
    fn span(self, context: Context, entry: &Entry) -> Span {
        let Self { at, since, ray, scheme, host, target, place, trail, outcome, took } = self;
        let mut attributes = Vec::with_capacity(20);
        let name = of_method(entry, &mut attributes);
        let host = host.to_str().unwrap_or_default();
        attributes.push(("url.full", Value::shown(format_args!("{scheme}://{host}{}", target.path()))));
        if !place.iter().any(|(key, _)| *key == "server.address") {
            attributes.push(("server.address", Value::text(span::without_port(host))));
        }
        attributes.extend(place);
        of_whose(entry, ray.as_ref().unwrap_or(&entry.ray), &mut attributes);
        let (mut duration, mut error) = (took, None);
        match outcome {
            Some(Ok(status)) => {
                duration = (entry.at + entry.duration).duration_since(at).unwrap_or(took).max(took);
                attributes.push(("http.response.status_code", status.as_u16().into()));
                if status.is_client_error() || status.is_server_error() {
                    attributes.push(("error.type", Value::shown(status.as_u16())));
                    error = Some(String::new());
                }
            }
            Some(Err(why)) => {
                attributes.push(("error.type", Value::Word("no_answer")));
                error = Some(span::cut(&why).to_owned());
            }
            None => {
                duration = since.elapsed();
                attributes.push(("error.type", Value::Word(VISITOR_LEFT)));
                error = Some(LEFT.to_owned());
            }
        }
        let tries = trail.into_tries();
        if let Some(again) = tries.len().checked_sub(1).filter(|again| *again > 0) {
            attributes.push(("http.request.resend_count", (again as u64).into()));
        }
        if let Some(last) = tries.last() {
            of_way(&last.over, &mut attributes);
        }
        let events = tries.into_iter().filter_map(|one| {
            let mut attributes = vec![("exception.message", Value::text(&one.failed?))];
            of_way(&one.over, &mut attributes);
            Some(Event { name: "poterne.sent_again", after: one.after, attributes })
        });
        let events = events.collect();
        Span { context, kind: Kind::Client, name, start: at, duration, attributes, events, error }
    }
}

fn of_method(entry: &Entry, attributes: &mut Vec<Attribute>) -> &'static str {
    // Where no head could be read there is none.
    let Some(method) = &entry.method else { return "HTTP" };
    span::method(method, attributes);
    span::name_of(method)
}

/// Ids that tie it to answers, logs and the API.
fn of_whose(entry: &Entry, ray: &HeaderValue, attributes: &mut Vec<Attribute>) {
    if let Some(ray) = ray.to_str().ok().filter(|ray| !ray.is_empty()) {
        attributes.push(("poterne.ray", Value::text(ray)));
    }
    attributes.extend(entry.zone.map(|zone| ("poterne.zone.id", Value::shown(zone))));
    attributes.extend(entry.account.map(|account| ("poterne.account.id", Value::shown(account))));
}

fn of_way(over: &Over, attributes: &mut Vec<Attribute>) {
    let address = match over {
        Over::Tunnel { connection, connector, transport, agent } => {
            attributes.push(("poterne.connection.id", Value::shown(connection)));
            attributes.push(("poterne.connector.id", Value::shown(connector)));
            attributes.push(("poterne.connection.transport", Value::Word(transport_of(*transport))));
            agent
        }
        Over::Origin(address) => address,
    };
    attributes.push(("network.peer.address", Value::shown(address.ip().to_canonical())));
    attributes.push(("network.peer.port", address.port().into()));
}

fn transport_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Quic => "quic",
        Transport::Http2 => "http2",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
