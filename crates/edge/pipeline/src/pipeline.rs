//! The stages in order: read [`Pipeline::handle`].

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use ipnet::IpNet;
use poterne_edge_http::{Connection, Handler, Kind, Refusal, Request, Response};
use poterne_edge_upstream::{Origins, Trail, Tunnels};
use poterne_model::Name;
use poterne_snapshot::SnapshotHandle;
use poterne_telemetry::{Metrics, Tracer, trace::Parents};

use crate::{
    access::{Readers, Whose},
    challenge,
    compress::{Compression, Wish},
    errors::Failure,
    log::{self, Counters},
    management,
    name::{self, Host},
    pages::{self, Subject},
    ray::{RayId, Site},
    request, reserved, response,
    route::{self, Of, Route, Routed, Way},
    rules::{self, Went},
    secure::{self, Ports},
    trace::Traced,
    visitor, visitor_certificate,
};

/// What the operator chose.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Code of this site in Ray ids: letters and digits, at most 8. Default `LOC`.
    pub site: String,
    /// What tells this instance from others in `CDN-Loop`; all edges of an instance share it. Default empty, which makes the
    /// token `poterne`.
    pub instance: String,
    /// Proxies whose `X-Forwarded-For` is believed. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Names of the node, besides those in the snapshot: answered by the [`NodeService`], never routed.
    pub node_names: Vec<Name>,
    /// Who is told of requests as parts of traces. Default nobody: then the fields of a visitor's trace pass as they came.
    pub tracer: Option<Tracer>,
    /// Where visitors come. Default 80 and 443.
    pub ports: Ports,
    /// What becomes of a trace that a visitor's request says it is part of. Default: its ids go on, and whether it is recorded is ours to
    /// decide.
    pub parents: Parents,
}

/// What the node itself answers under its own names (the API). Handed in by the program.
pub trait NodeService: Send + Sync + 'static {
    /// Answers a request whose head is the visitor's own, checked but not rewritten.
    fn handle(&self, request: Request, connection: &Arc<Connection>) -> NodeFuture;
}

/// Where the node's names, and those of its name servers that are nobody's host, take questions (RFC 8484).
const DNS_PATH: &str = "/dns-query";

/// A node's answer to come.
pub type NodeFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// From a visitor's request to its response.
pub struct Pipeline<T> {
    site: Site,
    loop_token: HeaderValue,
    trusted_proxies: ArcSwap<Vec<IpNet>>,
    node_names: Vec<Name>,
    snapshot: SnapshotHandle,
    tunnels: Arc<T>,
    origins: Arc<Origins>,
    node: Option<Arc<dyn NodeService>>,
    dns: OnceLock<Arc<dyn NodeService>>,
    counters: Counters,
    compression: Compression,
    readers: Readers,
    tracer: Option<Tracer>,
    parents: Parents,
    ports: Ports,
}

/// Where a request goes after the stages that need no upstream.
enum Next {
    Answer(Response),
    Node(Arc<dyn NodeService>),
    /// To an origin, with this `CDN-Loop`.
    Route(Route, HeaderValue),
    /// To an agent itself, with this target.
    Agent(Route, Uri),
}

impl<T: Tunnels> Pipeline<T> {
    /// Puts the stages together.
    pub fn new(
        settings: Settings,
        snapshot: SnapshotHandle,
        tunnels: Arc<T>,
        origins: Arc<Origins>,
        node: Option<Arc<dyn NodeService>>,
        metrics: &Metrics,
    ) -> Self {
        let instance: String =
            settings.instance.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect();
        let token = if instance.is_empty() { "poterne".to_owned() } else { format!("poterne-{instance}") };
        Self {
            site: Site::new(&settings.site),
            loop_token: HeaderValue::try_from(token).expect("letters, digits, '-' and '.'"),
            trusted_proxies: ArcSwap::from_pointee(settings.trusted_proxies),
            node_names: settings.node_names,
            snapshot,
            tunnels,
            origins,
            node,
            dns: OnceLock::new(),
            counters: Counters::new(metrics),
            compression: Compression::new(metrics),
            readers: Readers::default(),
            tracer: settings.tracer,
            parents: settings.parents,
            ports: settings.ports,
        }
    }

    /// Hands questions over HTTPS (RFC 8484) to `dns` from now on; whoever comes second is not heard.
    ///
    /// They are taken at `/dns-query` of the node's own names, and of its name servers' where no zone here leads visitors of that name
    /// anywhere: a user's host is never looked at.
    pub fn answer_dns_by(&self, dns: Arc<dyn NodeService>) {
        let _ = self.dns.set(dns);
    }

    /// Who reads of requests that are over.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Believes these proxies from the next request on.
    pub fn trust(&self, proxies: Vec<IpNet>) {
        self.trusted_proxies.store(Arc::new(proxies));
    }

    /// The stages that decide where a request goes. Nothing here waits.
    fn decide(&self, request: &Request, host: &Host, visitor: Visitor<'_>) -> Result<Next, Failure> {
        let snapshot = self.snapshot.load();
        if let Some(answer) = challenge::answer(&snapshot, &host.name, request) {
            return Ok(Next::Answer(answer));
        }
        if snapshot.node().management_names.iter().any(|name| name.as_str() == &*host.name) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            return Ok(match management::route(&snapshot, request.uri(), visitor.connection.scheme, now) {
                Ok((route, target)) => Next::Agent(route, target),
                Err(denied) => {
                    tracing::debug!(host = &*host.name, visitor = visitor.text(), %denied, "a management request was refused");
                    Next::Answer(denied.answer())
                }
            });
        }
        if self.is_node(&host.name, &snapshot.node().names) {
            let node = self.dns_of(request).or(self.node.as_ref()).ok_or(Failure::NoHost)?;
            return Ok(Next::Node(Arc::clone(node)));
        }
        let routed = match route::route(&snapshot, host, visitor.connection, request.uri().path()) {
            Err(failure @ (Failure::NoZone | Failure::NoHost | Failure::ZonePending)) => {
                let is_server = snapshot.node().nameservers.iter().any(|name| name.as_str() == &*host.name);
                let dns = self.dns_of(request).filter(|_| is_server).ok_or(failure)?;
                return Ok(Next::Node(Arc::clone(dns)));
            }
            routed => routed?,
        };
        if reserved::is_reserved(request.uri().path()) {
            let address = visitor.text();
            return reserved::answer(request, &host.name, &address, visitor.connection, &self.site).map(Next::Answer);
        }
        let looped = request::looped(request.headers(), &self.loop_token).ok_or(Failure::Loop)?;
        Ok(match routed {
            Routed::To(route) if !route.edge.websockets && request.extensions().get() == Some(&Kind::WebSocket) => {
                return Err(Failure::WebSocketsOff);
            }
            Routed::To(route) => Next::Route(route, looped),
            Routed::Elsewhere(to) => Next::Answer(secure::redirect(to, host, visitor.connection, request.uri(), self.ports)),
        })
    }

    /// Who answers a question that the request holds, where it is asked at the place for questions.
    fn dns_of(&self, request: &Request) -> Option<&Arc<dyn NodeService>> {
        self.dns.get().filter(|_| request.uri().path() == DNS_PATH)
    }

    fn is_node(&self, host: &str, published: &[Name]) -> bool {
        self.node_names.iter().chain(published).any(|name| name.as_str() == host)
    }

    /// The last stage before the visitor when something failed: counts it, writes it down, and makes the page.
    #[cold]
    fn fail(&self, failure: &Failure, ray: &RayId, host: &str, visitor: &str, of: Option<&Of>, asked: &HeaderMap) -> Response {
        self.counters.failed();
        self.counters.answered(failure.verdict().status);
        log::failure(ray, host, visitor, of, failure);
        let mut page = pages::page(failure, asked, &Subject { ray, host, visitor });
        if let Some(of) = of {
            page.extensions_mut().insert(Whose(*of));
        }
        page
    }
}

impl<T: Tunnels> Handler for Pipeline<T> {
    async fn handle(&self, request: Request, connection: &Arc<Connection>) -> Response {
        let mut traced = self.tracer.as_ref().map(|tracer| Traced::begin(tracer, request.headers(), self.parents));
        let is_recorded = traced.as_ref().is_some_and(Traced::is_recorded);
        let mut offer = None;
        let Some(mut watched) = self.readers.watch(&request, connection, &self.trusted_proxies, is_recorded) else {
            return offered(self.stages(request, connection, false, traced.as_mut(), &mut offer).await, offer);
        };
        if let (Some(tracer), Some(traced)) = (&self.tracer, traced.take_if(|traced| traced.is_recorded())) {
            watched.traced_by(tracer, traced);
        }
        let answer = self.stages(request, connection, true, watched.traced().or(traced.as_mut()), &mut offer).await;
        watched.answered(offered(answer, offer))
    }

    fn refuse(&self, connection: &Connection, head: Option<&http::request::Parts>, refusal: Refusal) -> Response {
        let visitor = Visitor { connection, restored: None };
        let host = head.and_then(|head| head.headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
        let none = HeaderMap::new();
        let asked = head.map_or(&none, |head| &head.headers);
        let answer = self.fail(&Failure::Refused(refusal), &RayId::new(&self.site), host, &visitor.text(), None, asked);
        self.readers.refused(connection, head, &answer);
        answer
    }
}

impl<T: Tunnels> Pipeline<T> {
    /// The stages, one after the other. `watched`: somebody wants to know whose the request was; `traced`: it is part of a trace; `offer`: what
    /// to tell the visitor of HTTP/3, whatever the answer.
    async fn stages(
        &self,
        mut request: Request,
        connection: &Arc<Connection>,
        watched: bool,
        mut traced: Option<&mut Traced>,
        offer: &mut Option<HeaderValue>,
    ) -> Response {
        let ray = RayId::new(&self.site);
        let kind = request.extensions().get::<Kind>().copied().unwrap_or(Kind::Http);
        let asked = Asked::of(request.headers());
        let restored = visitor::restored(request.headers(), connection.peer.ip(), &self.trusted_proxies.load());
        let visitor = Visitor { connection, restored };

        let host = match name::host(request.uri(), request.headers(), connection.scheme) {
            Ok(host) => host,
            Err(failure) => return self.fail(&failure, &ray, "", &visitor.text(), None, &asked.fields()),
        };
        if connection.offers_http3 {
            *offer = Some(response::http3_offer(host.port));
        }

        let (route, looped, mut after) = match self.decide(&request, &host, visitor) {
            Ok(Next::Route(mut route, looped)) => {
                let of = rules::Of { host: &host, connection, visitor: visitor.address(), ray: &ray, ports: self.ports };
                match rules::before(&mut request, &mut route, of) {
                    Ok(Went::On(after)) => (route, looped, after),
                    Ok(Went::Answered(mut answer)) => {
                        secure::finish(answer.headers_mut(), &route.edge, connection.scheme);
                        if watched {
                            answer.extensions_mut().insert(Whose(route.of));
                        }
                        return self.answered(answer, &ray);
                    }
                    Err(failure) => {
                        return self.fail(&failure, &ray, &host.name, &visitor.text(), Some(&route.of), &asked.fields());
                    }
                }
            }
            Ok(Next::Agent(route, target)) => {
                *request.uri_mut() = target;
                let looped = request::looped(request.headers(), &self.loop_token).unwrap_or_else(|| self.loop_token.clone());
                (route, looped, rules::After::default())
            }
            Ok(Next::Node(node)) => return self.answered(node.handle(request, connection).await, &ray),
            Ok(Next::Answer(answer)) => return self.answered(answer, &ray),
            Err(failure) => return self.fail(&failure, &ray, &host.name, &visitor.text(), None, &asked.fields()),
        };

        let version = request.version();
        let method = tracing::enabled!(tracing::Level::DEBUG).then(|| request.method().clone());
        let Host { name, value, .. } = host;
        let Route { way, of, edge, shown, .. } = route;
        let wish = of.zone.map_or(Wish::AsItIs, |_| Wish::of(&request, kind, &edge));
        let value = after.host_header.take().unwrap_or(value);
        request::prepare(&mut request, value, connection, restored, &edge, &ray, looped);
        if edge.tells_certificate {
            visitor_certificate::tell(request.headers_mut(), shown.as_deref());
        }
        let mut trail = Trail::off();
        if let Some(traced) = &mut traced {
            // A zone's rules have the last word on its fields.
            traced.prepare(request.headers_mut());
            if traced.is_recorded() {
                traced.asking(&way, &request);
                trail = Trail::on();
            }
        }
        after.prepare(&mut request);

        let sent = match way {
            Way::Tunnel(tunnel) => self.tunnels.send(tunnel, request, &mut trail).await,
            Way::Origin(origin) => Box::pin(self.origins.send(*origin, request, &mut trail)).await,
        };
        let sent = sent.map_err(Failure::from);
        if let Some(traced) = traced.filter(|traced| traced.is_recorded()) {
            traced.answered(trail, sent.as_ref().map(Response::status).map_err(ToString::to_string));
        }
        let mut answer = match sent.and_then(|mut answer| response::check(&mut answer, kind, version).map(|()| answer)) {
            Ok(mut answer) => {
                response::finish(&mut answer, &ray, of.quick);
                secure::finish(answer.headers_mut(), &edge, connection.scheme);
                after.finish(&mut answer);
                self.compression.apply(&mut answer, wish);
                self.counters.answered(answer.status());
                if let Some(method) = method {
                    log::access(&ray, &name, &method, &of, answer.status());
                }
                answer
            }
            Err(failure) => {
                let mut page = self.fail(&failure, &ray, &name, &visitor.text(), Some(&of), &asked.fields());
                secure::finish(page.headers_mut(), &edge, connection.scheme);
                page
            }
        };
        if watched {
            answer.extensions_mut().insert(Whose(of));
        }
        answer
    }
}

impl<T> Pipeline<T> {
    /// An answer of the node or of the edge itself.
    fn answered(&self, mut answer: Response, ray: &RayId) -> Response {
        response::sign(answer.headers_mut(), ray);
        self.counters.answered(answer.status());
        answer
    }
}

/// The same, with what tells of HTTP/3. A host that this connection is not for was not asked whether it offers it, and whoever reads 421 must
/// ignore the field (RFC 7838 §6).
fn offered(mut answer: Response, offer: Option<HeaderValue>) -> Response {
    if let Some(offer) = offer.filter(|_| answer.status() != StatusCode::MISDIRECTED_REQUEST) {
        answer.headers_mut().insert(header::ALT_SVC, offer);
    }
    answer
}

/// Who asks.
#[derive(Clone, Copy)]
struct Visitor<'a> {
    connection: &'a Connection,
    restored: Option<IpAddr>,
}

impl Visitor<'_> {
    /// The address as text: for pages and logs.
    fn text(&self) -> String {
        self.address().to_string()
    }

    fn address(&self) -> IpAddr {
        self.restored.unwrap_or_else(|| self.connection.peer.ip())
    }
}

/// The fields that choose an error page's format and language, kept while the request itself is away: three references,
/// made into a map only when something failed.
struct Asked([Option<HeaderValue>; 3]);

const ASKED: [header::HeaderName; 3] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE];

impl Asked {
    fn of(headers: &HeaderMap) -> Self {
        let mut found: [Option<HeaderValue>; 3] = Default::default();
        // Once over all names, which are few, rather than three times through the map.
        for (name, value) in headers {
            if let Some(at) = ASKED.iter().position(|asked| asked == name)
                && found[at].is_none()
            {
                found[at] = Some(value.clone());
            }
        }
        Self(found)
    }

    fn fields(self) -> HeaderMap {
        ASKED.into_iter().zip(self.0).filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
