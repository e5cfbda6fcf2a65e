//! A request's place in a trace: the span in which it was served here, and the one in which a service was asked.
//!
//! Where nobody traces, the fields of a trace pass as they came, and nothing is kept. Whether a request is recorded is the edge's word where
//! the edge said at registration that it writes these fields itself; through another edge they may be a visitor's, whose word decides
//! nothing (`docs/decisions/0029-traces.md`).

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Instant, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, Uri, header};
use poterne_model::TunnelId;
use poterne_telemetry::trace::{
    Context, Kind, Parent, Parents, Span, Tracer, Value,
    span::{self, Attribute},
};
use poterne_tunnel_proto::metadata::AgentRequest;

use crate::{Shared, proxy::About};

/// Of which connections the edge writes the fields of a trace: a bit each.
#[derive(Debug, Default)]
pub(crate) struct EdgesThatTrace(AtomicU64);

impl EdgesThatTrace {
    /// What the edge of this connection said.
    pub(crate) fn note(&self, index: u8, traces: bool) {
        let bit = bit(index);
        if traces {
            self.0.fetch_or(bit, Relaxed)
        } else {
            self.0.fetch_and(!bit, Relaxed)
        };
    }

    fn parents(&self, index: u8) -> Parents {
        if self.0.load(Relaxed) & bit(index) == 0 { Parents::Continue } else { Parents::Trust }
    }
}

/// None of a connection beyond the 64 that there may be.
fn bit(index: u8) -> u64 {
    1u64.checked_shl(index.into()).unwrap_or(0)
}

/// A request that is recorded.
#[derive(Debug)]
pub(crate) struct Traced {
    tracer: Tracer,
    /// The span in which the request is served.
    served: Context,
    /// The span in which the service is asked: what it reads of.
    asked: Context,
    at: SystemTime,
    since: Instant,
    method: Method,
    target: Uri,
    host: Option<HeaderValue>,
    ray: Option<HeaderValue>,
    tunnel: TunnelId,
    about: About,
    service: String,
    /// When the service was asked, if it was.
    asking: Option<(SystemTime, Instant)>,
    status: Option<StatusCode>,
    error: Option<String>,
}

impl Traced {
    /// Tells whoever is asked next of its parent, and keeps what is told of the request if it is recorded.
    #[cold]
    pub(crate) fn begin(
        tracer: &Tracer,
        shared: &Shared,
        about: About,
        service: &str,
        request: &mut AgentRequest,
    ) -> Option<Box<Self>> {
        let headers = &mut request.head.headers;
        let served = tracer.begin(Parent::of(headers), shared.edges_that_trace.parents(about.index));
        let asked = served.child();
        asked.write(headers, served.parent.is_none());
        served.sampled.then(|| {
            Box::new(Self {
                tracer: tracer.clone(),
                served,
                asked,
                at: SystemTime::now(),
                since: Instant::now(),
                method: request.head.method.clone(),
                target: request.head.uri.clone(),
                host: request.head.headers.get(header::HOST).cloned(),
                ray: request.ray.clone(),
                tunnel: shared.identity.tunnel,
                about,
                service: service.to_owned(),
                asking: None,
                status: None,
                error: None,
            })
        })
    }

    /// The service is about to be asked.
    pub(crate) fn asking(&mut self) {
        self.asking = Some((SystemTime::now(), Instant::now()));
    }

    /// The head of an answer goes back.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status.get_or_insert(status);
    }

    /// Why there is none, or not all of it.
    pub(crate) fn failed(&mut self, why: &str) {
        self.error.get_or_insert_with(|| span::cut(why).to_owned());
    }

    /// Tells of it. `whole`: the answer reached its end.
    pub(crate) fn over(mut self: Box<Self>, whole: bool) {
        if let Some((at, since)) = self.asking {
            let mut attributes = self.attributes();
            attributes
                .push(("url.full", Value::shown(format_args!("{}{}", self.service.trim_end_matches('/'), self.target.path()))));
            let told = Span { start: at, duration: since.elapsed(), ..self.span(self.asked, Kind::Client, attributes, whole) };
            self.tracer.take(told);
        }
        let mut attributes = self.attributes();
        let host = self.host.take();
        let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
        attributes.push(("server.address", Value::text(span::without_port(host))));
        attributes.push(("url.path", Value::text(self.target.path())));
        attributes.push(("poterne.tunnel.id", Value::shown(self.tunnel)));
        attributes.push(("poterne.connection.index", u16::from(self.about.index).into()));
        let told = self.span(self.served, Kind::Server, attributes, whole);
        self.tracer.take(told);
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = Vec::with_capacity(16);
        span::method(&self.method, &mut attributes);
        if let Some(ray) = self.ray.as_ref().and_then(|ray| ray.to_str().ok()) {
            attributes.push(("poterne.ray", Value::text(ray)));
        }
        attributes.push(("poterne.ingress.rule", (self.about.rule as u64).into()));
        attributes.push(("poterne.ingress.service", Value::text(&self.service)));
        attributes
    }

    fn span(&self, context: Context, kind: Kind, mut attributes: Vec<Attribute>, whole: bool) -> Span {
        let mut error = self.error.clone();
        if let Some(status) = self.status {
            attributes.push(("http.response.status_code", status.as_u16().into()));
            // Whoever asked in vain was answered with an error; whoever answered so is to blame for its own alone.
            let is_error = status.is_server_error() || kind == Kind::Client && status.is_client_error();
            if is_error && error.is_none() {
                attributes.push(("error.type", Value::shown(status.as_u16())));
                error = Some(String::new());
            }
        }
        if self.error.is_some() {
            attributes.push(("error.type", Value::Word(if self.status.is_some() { "broken_off" } else { "no_answer" })));
        }
        if !whole {
            attributes.push(("poterne.cut", Value::Truth(true)));
        }
        let name = span::name_of(&self.method);
        let (start, duration) = (self.at, self.since.elapsed());
        Span { context, kind, name, start, duration, attributes, events: Vec::new(), error }
    }
}

/// What became of spans, for the page of metrics.
pub(crate) fn metrics(tracer: &Tracer) -> String {
    let name = "poterne_agent_trace_spans_total";
    let mut page = format!("# HELP {name} Spans, by what became of them.\n# TYPE {name} counter\n");
    for (outcome, count) in tracer.counts() {
        let _ = writeln!(page, "{name}{{outcome=\"{outcome}\"}} {count}");
    }
    let name = "poterne_agent_trace_spans_waiting";
    let _ = write!(page, "# HELP {name} Spans that wait to be sent.\n# TYPE {name} gauge\n{name} {}\n", tracer.waiting());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edges_word_holds_for_its_own_connections() {
        let edges = EdgesThatTrace::default();
        edges.note(0, true);
        edges.note(63, true);
        edges.note(64, true);
        let all = |edges: &EdgesThatTrace| [0, 1, 63, 64, 255].map(|index| edges.parents(index) == Parents::Trust);
        assert_eq!(all(&edges), [true, false, true, false, false]);
        edges.note(0, false);
        assert_eq!(all(&edges), [false, false, true, false, false]);
    }
}
