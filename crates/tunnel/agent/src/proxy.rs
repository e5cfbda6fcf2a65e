//! One request: from the stream's first bytes to the local service and back.
//!
//! * [`http`]: HTTP and WebSocket services;
//! * [`flow`]: TCP behind a WebSocket, SOCKS, private-network TCP;
//! * [`hello`]: the built-in test site.

pub(crate) mod flow;
pub(crate) mod hello;
pub(crate) mod http;

use std::sync::atomic::Ordering::Relaxed;

use ::http::{HeaderMap, StatusCode, header};
use poterne_tunnel_proto::{h2::Source, metadata::AgentRequest, stream::ConnectionType};

use crate::{
    Shared, management,
    metrics::Counted,
    rules::Target,
    side::{Answer, Incoming},
    trace::Traced,
};

/// What every refusal of a service begins with (reference §4.3).
pub(crate) const UNREACHABLE: &str = "Unable to reach the origin service.";

/// Serves one request to its end. Whatever goes wrong is told to the edge, logged here, and stays with this stream.
///
/// What few requests need is boxed, so that the others do not carry its room about: this future is made and moved for each request.
///
/// `index`: of the connection that it came by.
pub(crate) async fn serve(shared: &Shared, index: u8, mut request: Box<AgentRequest>, incoming: Incoming, mut answer: Answer) {
    if request.kind == ConnectionType::Tcp {
        Box::pin(flow::private_network(shared, index, &request, incoming, answer)).await;
        return;
    }
    let host = request.head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.head.uri.host()).unwrap_or_default();
    if shared.management.is_meant(host) {
        Box::pin(management::serve(shared, *request, incoming, answer)).await;
        return;
    }
    shared.metrics.requests.fetch_add(1, Relaxed);
    let _in_flight = Counted::new(&shared.metrics.concurrent);
    let (at, target) = {
        let rules = shared.rules.load();
        let (at, target) = rules.find(host, request.head.uri.path());
        (at, target.clone())
    };
    // Neither query nor fields are told: they hold what opens doors.
    tracing::debug!(
        connIndex = index,
        ray = request.ray(),
        rule = at,
        service = target.name(),
        host,
        path = request.head.uri.path(),
        "{} https://{host}{}",
        request.head.method,
        request.head.uri.path()
    );
    let about = About { index, rule: at };
    if let Some(tracer) = &shared.tracer {
        answer.traced = Traced::begin(tracer, shared, about, target.name(), &mut request);
    }
    match &*target {
        Target::Http(service) => http::serve(shared, about, service, request, incoming, answer).await,
        Target::Status(status) => fixed(shared, *status, &mut answer).await,
        Target::AccessRequired => {
            tracing::warn!(
                ray = request.ray(),
                rule = at,
                "refused: the rule requires an Access token, which this agent cannot verify"
            );
            fixed(shared, StatusCode::FORBIDDEN, &mut answer).await;
        }
        Target::HelloWorld => Box::pin(hello::serve(shared, *request, incoming, answer)).await,
        Target::Flow { host, port, connect } => {
            Box::pin(flow::carried(shared, host, *port, *connect, &request, incoming, answer)).await;
        }
        Target::Bastion { connect } => Box::pin(flow::bastion(shared, *connect, &request, incoming, answer)).await,
        Target::Socks { rules, connect } => Box::pin(flow::by_socks(shared, rules, *connect, &request, incoming, answer)).await,
    }
}

/// What lines about a request say of it besides its Ray id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) index: u8,
    pub(crate) rule: usize,
}

async fn fixed(shared: &Shared, status: StatusCode, answer: &mut Answer) {
    shared.metrics.answered(status);
    let _ = answer.head(status, &HeaderMap::new(), Source::Origin, false, None, true).await;
}

/// Tells edge and log that a service could not be reached.
pub(crate) async fn unreachable(
    shared: &Shared,
    ray: Option<&str>,
    service: &str,
    reason: &(dyn std::fmt::Display + Sync),
    answer: &mut Answer,
) {
    shared.metrics.request_errors.fetch_add(1, Relaxed);
    tracing::error!(ray, service, %reason, "{UNREACHABLE}");
    let text = format!("{UNREACHABLE} The service may be down or it may not be responding to traffic from the agent: {reason}");
    let _ = answer.fail(&text, false).await;
}
