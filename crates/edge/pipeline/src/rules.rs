//! The rules of a zone and of its account: what they make of a request before it goes on, and of its answer (edge-behaviour §4.1, §4.7, §4.8).
//!
//! What they say is decided in [`poterne_rules`]; here it is done. A zone without rules has its paths put in normal form, and that is all.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, uri};
use poterne_edge_http::{Body, Connection, Negotiated, Request, Response, Scheme};
use poterne_edge_upstream::Place;
use poterne_model::{Name, setting::SslMode};
use poterne_rules::{
    Answer, Facts, Outcome,
    zone::{FieldChange, Going, TroubleKind, change_fields, default_path},
};

use crate::{
    errors::Failure,
    name::Host,
    ray::RayId,
    reserved,
    route::{Route, Rules, Way},
    secure::{self, Elsewhere, Ports},
    visitor_certificate::Standing,
};

/// Whom the request is of, beside its head.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) host: &'a Host,
    pub(crate) connection: &'a Connection,
    pub(crate) visitor: IpAddr,
    pub(crate) ray: &'a RayId,
    pub(crate) ports: Ports,
}

/// What became of a request.
pub(crate) enum Went {
    /// It goes on, and this is still to be done.
    On(After),
    /// It is answered.
    Answered(Response),
}

/// What is done later.
#[derive(Default)]
pub(crate) struct After {
    /// The `Host` that the origin sees; none: the visitor's.
    pub(crate) host_header: Option<HeaderValue>,
    fields: Vec<(HeaderName, FieldChange)>,
    /// Where rules are asked about the answer.
    answer: Option<Box<Kept>>,
}

/// What rules about an answer may ask of its request, which is gone by then.
struct Kept {
    rules: Rules,
    method: Method,
    version: Version,
    secure: bool,
    host: Box<str>,
    target: [String; 4],
    headers: HeaderMap,
    source: IpAddr,
    local: SocketAddr,
    ray: RayId,
    ja4: Option<Arc<str>>,
    tls: Option<Negotiated>,
    shown: Option<Box<Standing>>,
    at: Duration,
}

/// Asks the rules about a request, whose head is the visitor's own, and does what they say of target and route.
pub(crate) fn before(request: &mut Request, route: &mut Route, of: Of<'_>) -> Result<Went, Failure> {
    let Some(rules) = route.rules.take() else {
        if let std::borrow::Cow::Owned(path) = default_path(request.uri().path()).map_err(Failure::BadPath)? {
            let target = request.uri().query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
            aim(request, &target)?;
        }
        return Ok(Went::On(After::default()));
    };
    let (shown, tls) = (route.shown.clone(), of.connection.tls);
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let facts = Facts {
        method: request.method().as_str(),
        version: request.version(),
        secure: of.connection.scheme == Scheme::Https,
        host: &of.host.name,
        path,
        query,
        raw_path: path,
        raw_query: query,
        headers: request.headers(),
        source: of.visitor,
        local: of.connection.local,
        ray: of.ray.as_str(),
        zone: rules.apex.as_str(),
        ja4: of.connection.ja4.as_deref(),
        tls: [tls.map(|tls| tls.version), tls.and_then(|tls| tls.cipher)],
        certificate: shown.as_deref().map(Standing::certificate),
        at,
        answer: None,
    };
    let going = match rules.programs().request(&facts) {
        Outcome::Goes(going) => *going,
        Outcome::Redirect { rule, status, location } => {
            tracing::debug!(ray = %of.ray, host = &*of.host.name, %rule, status, "a rule redirects");
            return Ok(Went::Answered(redirect(status, location)));
        }
        Outcome::Blocked { rule, answer: Some(answer) } => {
            tracing::info!(ray = %of.ray, host = &*of.host.name, visitor = %of.visitor, %rule, "a rule blocks");
            return Ok(Went::Answered(respond(&answer)));
        }
        Outcome::Blocked { rule, answer: None } => {
            tracing::info!(ray = %of.ray, host = &*of.host.name, visitor = %of.visitor, %rule, "a rule blocks");
            return Err(Failure::Blocked(rule));
        }
        Outcome::Failed(trouble) => return Err(Failure::Rule(trouble.rule, trouble.what)),
        Outcome::BadPath(error) => return Err(Failure::BadPath(error)),
    };
    for rule in &going.logged {
        tracing::info!(ray = %of.ray, host = &*of.host.name, visitor = %of.visitor, %rule, "a rule matches");
    }
    let mode = going.ssl.unwrap_or(route.mode);
    if mode == SslMode::Off && facts.secure {
        return Ok(Went::Answered(secure::redirect(Elsewhere::InClear, of.host, of.connection, request.uri(), of.ports)));
    }
    let raw = [path.to_owned(), query.to_owned()];
    let Going { target, path, query, ssl, route: reached, fields, asks_answer, .. } = going;
    if ssl.is_some() {
        route.speak(mode, of.host, of.connection);
    }
    let host_header = reached.host_header.as_ref().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    if let Way::Origin(origin) = &mut route.way {
        let text = |name: Option<Name>| name.map(|name| Arc::<str>::from(name.as_str()));
        // A certificate is for whoever is asked for (edge-behaviour §2.7).
        if let Some(asked) = text(reached.sni.or(reached.host_header)) {
            origin.host = asked;
        }
        if let Some(name) = reached.host {
            origin.place = Place::Name(name);
        }
        origin.leg.port = reached.port.unwrap_or(origin.leg.port);
    }
    let answer = asks_answer.then(|| {
        let [raw_path, raw_query] = raw;
        Box::new(Kept {
            method: request.method().clone(),
            version: request.version(),
            secure: of.connection.scheme == Scheme::Https,
            host: of.host.name.clone(),
            target: [path, query, raw_path, raw_query],
            headers: request.headers().clone(),
            source: of.visitor,
            local: of.connection.local,
            ray: of.ray.clone(),
            ja4: of.connection.ja4.clone(),
            tls,
            shown: shown.clone(),
            at,
            rules: rules.clone(),
        })
    });
    if let Some(target) = target {
        aim(request, &target)?;
    }
    Ok(Went::On(After { host_header, fields, answer }))
}

/// Another target, which rules have written or put in normal form. The edge's own path is nobody's to reach that way.
fn aim(request: &mut Request, target: &str) -> Result<(), Failure> {
    if reserved::is_reserved(target.split('?').next().unwrap_or_default()) {
        return Err(Failure::NoReserved);
    }
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.path_and_query = uri::PathAndQuery::try_from(target).ok().or(parts.path_and_query);
    *request.uri_mut() = uri::Uri::from_parts(parts).unwrap_or_default();
    Ok(())
}

fn redirect(status: u16, location: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn respond(answer: &poterne_rules::definition::Response) -> Response {
    let mut response = Response::new(Body::full(answer.content.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN);
    let kind = match answer.content_type.as_str() {
        kind if kind.starts_with("text/") => format!("{kind}; charset=utf-8"),
        kind => kind.to_owned(),
    };
    if let Ok(kind) = HeaderValue::try_from(kind) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl After {
    /// Changes the fields of a request that is ready for its origin.
    pub(crate) fn prepare(&mut self, request: &mut Request) {
        change_fields(request.headers_mut(), std::mem::take(&mut self.fields));
    }

    /// Changes the fields of an answer that is ready for its visitor. What opens a WebSocket stays as it is.
    pub(crate) fn finish(&self, response: &mut Response) {
        let Some(kept) = self.answer.as_deref().filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) else { return };
        let [path, query, raw_path, raw_query] = kept.target.each_ref().map(String::as_str);
        let facts = Facts {
            method: kept.method.as_str(),
            version: kept.version,
            secure: kept.secure,
            host: &kept.host,
            path,
            query,
            raw_path,
            raw_query,
            headers: &kept.headers,
            source: kept.source,
            local: kept.local,
            ray: kept.ray.as_str(),
            zone: kept.rules.apex.as_str(),
            ja4: kept.ja4.as_deref(),
            tls: [kept.tls.map(|tls| tls.version), kept.tls.and_then(|tls| tls.cipher)],
            certificate: kept.shown.as_deref().map(Standing::certificate),
            at: kept.at,
            answer: Some(Answer { status: response.status().as_u16(), headers: response.headers() }),
        };
        match kept.rules.programs().response(&facts) {
            Ok(changes) => change_fields(response.headers_mut(), changes),
            // The visitor gets the origin's answer as it is.
            Err(trouble) => {
                let what: TroubleKind = trouble.what;
                tracing::warn!(ray = %kept.ray, host = &*kept.host, rule = %trouble.rule, error = %what, "a rule about answers is not followed");
            }
        }
    }
}
