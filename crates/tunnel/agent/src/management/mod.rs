//! The management service: requests under the management hostname are the agent's own to answer, before any rule (reference §10.3).
//!
//! The edge has checked the token; the stock agent believes it. Ours checks what it can as well: the tunnel, what the token is for,
//! and its signature, where the edge told its keys at registration (`poterne_edges_1`). Not its time: clocks at home may be wrong, and
//! the edge's is asked.

mod logs;

pub(crate) use logs::TCP_TARGET;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poterne_telemetry::Tap;
use poterne_tunnel_proto::{
    h2::Source,
    management::{
        Path, Query, STOCK_HOSTNAME,
        token::{Claims, Token},
        without_port,
    },
    metadata::AgentRequest,
    registration,
};

use crate::{
    Shared,
    side::{Answer, Incoming},
    status, system,
};

/// What of this process `/logs` tells: the agent's own lines, whatever else runs beside it.
pub const LOG_TARGETS: &[&str] = &["poterne_tunnel_agent", "poterne_agent"];

/// Most hostnames and keys believed of an edge.
const LEARNED_MAX: usize = 16;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct ManagementConfig {
    /// The hostname whose requests are the agent's own, besides those that the edge tells. Default: the stock agent's.
    pub hostname: String,
    /// What `/host_details` calls this agent. Default: the machine's host name.
    pub label: Option<String>,
    /// Whether `/metrics` is answered there. Default true.
    pub diagnostics: bool,
    /// Where `/logs` hears of lines: of this process's logs, for [`LOG_TARGETS`]. Absent: nothing is streamed.
    pub tap: Option<Tap>,
}

impl Default for ManagementConfig {
    fn default() -> Self {
        Self { hostname: STOCK_HOSTNAME.to_owned(), label: None, diagnostics: true, tap: None }
    }
}

/// The service of one agent.
pub(crate) struct Management {
    config: ManagementConfig,
    learned: ArcSwap<Learned>,
    stream: logs::Stream,
}

/// What the edge told.
#[derive(Debug, Default)]
struct Learned {
    hostnames: Vec<String>,
    keys: Vec<Vec<u8>>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    /// The stock agent's only words.
    #[error("missing access_token query parameter")]
    Token,
    #[error("the access token is for another tunnel")]
    Tunnel,
    #[error("the access token was not signed by this agent's edge")]
    Signature,
    #[error("the access token is for another resource")]
    Resource,
}

impl Refusal {
    fn status(self) -> (StatusCode, u16) {
        match self {
            Self::Token => (StatusCode::BAD_REQUEST, 1001),
            Self::Signature => (StatusCode::UNAUTHORIZED, 1003),
            Self::Resource => (StatusCode::FORBIDDEN, 1005),
            Self::Tunnel => (StatusCode::FORBIDDEN, 1006),
        }
    }
}

impl Management {
    pub(crate) fn new(mut config: ManagementConfig) -> Self {
        config.hostname = without_port(&config.hostname).to_owned();
        let stream = logs::Stream::new(config.tap.clone());
        Self { config, learned: ArcSwap::default(), stream }
    }

    /// Takes what an edge told at a registration. An edge that tells nothing takes nothing back: another may have told it.
    pub(crate) fn learn(&self, told: Option<&registration::Management>) {
        let Some(told) = told.filter(|told| told.hostnames.len() <= LEARNED_MAX && told.keys.len() <= LEARNED_MAX) else {
            return;
        };
        self.learned.store(Learned { hostnames: told.hostnames.clone(), keys: told.keys() }.into());
    }

    /// Whether requests of this host, which may carry a port, are for the agent itself.
    pub(crate) fn is_meant(&self, host: &str) -> bool {
        let host = without_port(host);
        let is = |name: &str| name.eq_ignore_ascii_case(host);
        is(&self.config.hostname) || self.learned.load().hostnames.iter().any(|name| is(name))
    }

    fn admit(&self, shared: &Shared, query: Query<'_>, path: Path) -> Result<Claims, Refusal> {
        let token = query.access_token.and_then(|text| Token::parse(text).ok()).ok_or(Refusal::Token)?;
        let learned = self.learned.load();
        let keys = &learned.keys;
        let signed =
            |key: &Vec<u8>| UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(token.signed, &token.signature).is_ok();
        if !keys.is_empty() && !keys.iter().any(signed) {
            return Err(Refusal::Signature);
        }
        let claims = token.claims;
        if claims.tun.id != shared.identity.tunnel.to_string() || claims.tun.account_tag != shared.identity.account {
            return Err(Refusal::Tunnel);
        }
        // A stock edge's tokens may not say what they are for.
        if claims.res.is_empty() && keys.is_empty() || claims.allows(path) { Ok(claims) } else { Err(Refusal::Resource) }
    }
}

/// Serves one request to its end.
pub(crate) async fn serve(shared: &Shared, request: AgentRequest, incoming: Incoming, mut answer: Answer) {
    let origin = request.head.headers.get(header::ORIGIN).cloned();
    let may_read = origin.clone().filter(is_dashboard);
    let reply = Reply { origin: may_read.as_ref(), is_head: request.head.method == Method::HEAD };
    let uri = request.head.uri.clone();
    let path = Path::of(uri.path());
    let claims = match shared.management.admit(shared, Query::parse(uri.query().unwrap_or_default()), path) {
        Ok(claims) => claims,
        Err(refusal) => {
            tracing::debug!(%refusal, "a management request was refused");
            let (status, code) = refusal.status();
            let body = serde_json::json!({ "errors": [{ "code": code, "message": refusal.to_string() }] });
            return reply.json(&mut answer, status, &body).await;
        }
    };
    let diagnostics = shared.management.config.diagnostics;
    match (&request.head.method, path) {
        (&Method::OPTIONS, _) => reply.send(&mut answer, StatusCode::OK, None, String::new()).await,
        (&Method::GET, Path::Logs) if origin.is_some() && may_read.is_none() => {
            reply.send(&mut answer, StatusCode::FORBIDDEN, Some(TEXT), "this page may not read logs\n".into()).await;
        }
        (&Method::GET, Path::Logs) => logs::serve(shared, &request, &claims, incoming, answer).await,
        (&Method::GET | &Method::HEAD, Path::Ping) => reply.send(&mut answer, StatusCode::OK, None, String::new()).await,
        (&Method::GET, Path::HostDetails) => reply.json(&mut answer, StatusCode::OK, &host_details(shared)).await,
        (&Method::GET, Path::Other) if diagnostics && uri.path() == "/metrics" => {
            reply.send(&mut answer, StatusCode::OK, Some(status::METRICS_TYPE), status::metrics(shared)).await;
        }
        (&Method::GET, Path::Other) if diagnostics && uri.path().starts_with("/debug/pprof/") => {
            let text = "this agent is no Go program: there are no pprof profiles of it; /metrics tells what it counts\n";
            reply.send(&mut answer, StatusCode::NOT_FOUND, Some(TEXT), text.into()).await;
        }
        _ => reply.send(&mut answer, StatusCode::NOT_FOUND, Some(TEXT), "404 page not found\n".into()).await,
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// How an answer is given, whatever it says.
struct Reply<'a> {
    /// A page that may read it.
    origin: Option<&'a HeaderValue>,
    is_head: bool,
}

impl Reply<'_> {
    async fn json(&self, answer: &mut Answer, status: StatusCode, body: &serde_json::Value) {
        self.send(answer, status, Some("application/json"), body.to_string()).await;
    }

    async fn send(&self, answer: &mut Answer, status: StatusCode, kind: Option<&'static str>, body: String) {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(origin) = self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        let body = Some(body).filter(|body| !body.is_empty() && !self.is_head).map(Bytes::from);
        // Whoever asked may have left.
        let _ = answer.head(status, &headers, Source::Agent, false, body, true).await;
    }
}

/// `https://*.cloudflare.com`, as stock agents allow.
fn is_dashboard(origin: &HeaderValue) -> bool {
    let host = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
    host.and_then(|host| host.strip_suffix(".cloudflare.com")).is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    })
}

fn host_details(shared: &Shared) -> serde_json::Value {
    let label = shared.management.config.label.clone().or_else(system::hostname).unwrap_or_default();
    let ip = shared.connections.edge().and_then(towards).map(|ip| ip.to_string()).unwrap_or_default();
    serde_json::json!({ "connector_id": shared.connector.to_string(), "ip": ip, "hostname": format!("custom:{label}") })
}

/// This machine's address on the way to another. No packet is sent: only the system's routes are asked.
fn towards(edge: IpAddr) -> Option<IpAddr> {
    let any = if edge.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((edge, 7844)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_hostname_and_the_edges_are_meant() {
        let management = Management::new(ManagementConfig { hostname: "localhost:18443".into(), ..ManagementConfig::default() });
        assert!(management.is_meant("localhost") && management.is_meant("LocalHost:9"));
        assert!(!management.is_meant("management.node.test"));
        let told = registration::Management::new(vec!["management.node.test".into()], [[4u8; 65]]);
        management.learn(Some(&told));
        management.learn(None);
        assert!(management.is_meant("management.node.test:443") && management.is_meant("localhost"));
        assert!(!management.is_meant("app.node.test") && !management.is_meant(""));
        assert_eq!(management.learned.load().keys, [vec![4; 65]]);
        let many = registration::Management::new(vec!["x".into(); LEARNED_MAX + 1], [[4u8; 65]]);
        management.learn(Some(&many));
        assert!(!management.is_meant("x"), "too many to be believed");
    }

    #[test]
    fn only_the_known_dashboards_may_read() {
        let is = |origin: &str| is_dashboard(&origin.parse().unwrap());
        assert!(is("https://dash.cloudflare.com") && is("https://one.dash.cloudflare.com"));
        for other in
            ["http://dash.cloudflare.com", "https://cloudflare.com", "https://.cloudflare.com", "https://a.b/.cloudflare.com"]
        {
            assert!(!is(other), "{other}");
        }
        assert!(!is("https://cloudflare.com.evil.test") && !is("null"));
    }

    #[test]
    fn this_machine_has_an_address_on_the_way_to_itself() {
        assert_eq!(towards([127, 0, 0, 1].into()), Some([127, 0, 0, 1].into()));
    }
}
