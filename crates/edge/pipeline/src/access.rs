//! What is written of each request once it is over, for whoever reads: the access log, and operators who look on.
//!
//! While nobody reads or traces, a request pays a look at an empty pointer for each. With readers, its head is kept beside it (references, not copies), and its
//! answer's body is counted as it flows; a reader that does not want an answer by its head is not asked again.
//!
//! Never in an entry: fields that carry secrets (`Cookie`, `Authorization`, whatever is not listed in [`Entry`]), and bodies.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use http_body::Body as _;
use ipnet::IpNet;
use poterne_edge_http::{Body, BodyError, Connection, Request, Response};
use poterne_model::{AccountId, TunnelId, ZoneId};
use poterne_telemetry::trace::{TraceId, Tracer};

use crate::{
    request::CF_RAY,
    route::Of,
    trace::{Telling, Traced},
    visitor,
};

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it came.
    pub at: SystemTime,
    /// How long it took, to the last byte of its answer.
    pub duration: Duration,
    /// Its Ray id.
    pub ray: HeaderValue,
    /// Who asked: the peer, or whom a trusted proxy vouches for.
    pub visitor: IpAddr,
    /// Over TLS or in clear.
    pub scheme: &'static str,
    /// The version of HTTP.
    pub version: Version,
    /// The method; none where no head could be read.
    pub method: Option<Method>,
    /// The host that was asked for, as the visitor wrote it.
    pub host: Option<HeaderValue>,
    /// The target, query included: whoever writes it decides.
    pub target: Uri,
    /// `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// Of the TLS handshake, where it is known.
    pub ja4: Option<Arc<str>>,
    /// The answer's status.
    pub status: StatusCode,
    /// Bytes of the answer's body that left.
    pub bytes: u64,
    /// Whether the answer reached its end.
    pub whole: bool,
    /// Whose host it is.
    pub zone: Option<ZoneId>,
    /// Likewise.
    pub account: Option<AccountId>,
    /// Through which tunnel, if through one.
    pub tunnel: Option<TunnelId>,
    /// The trace that tells more of it, where one was recorded.
    pub trace: Option<TraceId>,
}

impl Entry {
    /// The host without its port.
    pub fn hostname(&self) -> &str {
        let host = self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        }
    }
}

/// Who reads. Both are called on a request's way: they must not wait.
pub trait Reader: Send + Sync + 'static {
    /// Whether it wants a request that is answered so; called once a request, when the answer's head is there.
    fn wants(&self, status: StatusCode) -> bool;
    /// Takes one that is over.
    fn take(&self, entry: &Arc<Entry>);
}

/// Those who read, now.
#[derive(Default)]
pub struct Readers {
    all: ArcSwapOption<Vec<Arc<dyn Reader>>>,
    /// Changes are made one after the other.
    changing: Mutex<()>,
}

impl Readers {
    /// One more.
    pub fn add(&self, reader: Arc<dyn Reader>) {
        self.change(|all| all.push(reader));
    }

    /// One less.
    pub fn remove(&self, reader: &Arc<dyn Reader>) {
        self.change(|all| all.retain(|other| !Arc::ptr_eq(other, reader)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<dyn Reader>>)) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all.load().as_deref().cloned().unwrap_or_default();
        change(&mut all);
        self.all.store((!all.is_empty()).then(|| Arc::new(all)));
    }

    /// Begins to watch a request, if anybody reads, or somebody traces it.
    pub(crate) fn watch(
        &self,
        request: &Request,
        connection: &Arc<Connection>,
        trusted: &ArcSwap<Vec<IpNet>>,
        is_traced: bool,
    ) -> Option<Watched> {
        let readers = self.all.load();
        if readers.is_none() && !is_traced {
            return None;
        }
        let visitor = visitor::restored(request.headers(), connection.peer.ip(), &trusted.load());
        let mut watched = Watched::new(Option::clone(&readers), connection, visitor);
        watched.of_head(request.method(), request.uri(), request.version(), request.headers());
        Some(watched)
    }

    /// A request that was refused before it was one.
    pub(crate) fn refused(&self, connection: &Connection, head: Option<&http::request::Parts>, answer: &Response) {
        let readers = self.all.load();
        if readers.is_none() {
            return;
        }
        let mut watched = Watched::new(Option::clone(&readers), connection, None);
        if let Some(head) = head {
            watched.of_head(&head.method, &head.uri, head.version, &head.headers);
        }
        watched.of_answer(answer);
        watched.entry.bytes = answer.body().size_hint().exact().unwrap_or(0);
        watched.whole();
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("readers", &self.all.load().as_ref().map_or(0, |all| all.len())).finish_non_exhaustive()
    }
}

/// Whose a request was, on its answer's way to [`Watched::answered`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose(pub Of);

/// A request that somebody reads of or traces, until it is over.
pub(crate) struct Watched {
    readers: Option<Arc<Vec<Arc<dyn Reader>>>>,
    telling: Option<Box<Telling>>,
    /// Those who want it, a bit each.
    wanted: u64,
    begun: Instant,
    entry: Entry,
}

impl Watched {
    fn new(readers: Option<Arc<Vec<Arc<dyn Reader>>>>, connection: &Connection, visitor: Option<IpAddr>) -> Self {
        let entry = Entry {
            at: SystemTime::now(),
            duration: Duration::ZERO,
            ray: HeaderValue::from_static(""),
            visitor: visitor.unwrap_or_else(|| connection.peer.ip()),
            scheme: connection.scheme.as_str(),
            version: Version::HTTP_11,
            method: None,
            host: None,
            target: Uri::default(),
            user_agent: None,
            ja4: connection.ja4.clone(),
            status: StatusCode::OK,
            bytes: 0,
            whole: false,
            zone: None,
            account: None,
            tunnel: None,
            trace: None,
        };
        Self { readers, telling: None, wanted: 0, begun: Instant::now(), entry }
    }

    /// Has `tracer` told of it, too, and be it that nobody is answered.
    pub(crate) fn traced_by(&mut self, tracer: &Tracer, traced: Traced) {
        self.entry.trace = Some(traced.trace());
        self.telling = Some(Box::new(Telling::new(tracer.clone(), traced, self.entry.clone(), self.begun)));
    }

    /// What is told of it.
    pub(crate) fn traced(&mut self) -> Option<&mut Traced> {
        self.telling.as_mut()?.traced()
    }

    /// The readers who may want it: the first 64 are asked.
    fn readers(&self) -> impl Iterator<Item = (usize, &Arc<dyn Reader>)> {
        self.readers.iter().flat_map(|all| all.iter()).take(64).enumerate()
    }

    fn of_head(&mut self, method: &Method, target: &Uri, version: Version, fields: &HeaderMap) {
        let authority = || HeaderValue::try_from(target.authority()?.as_str()).ok();
        let entry = &mut self.entry;
        entry.method = Some(method.clone());
        entry.version = version;
        entry.host = fields.get(header::HOST).cloned().or_else(authority);
        entry.target = target.clone();
        entry.user_agent = fields.get(header::USER_AGENT).cloned();
    }

    fn of_answer(&mut self, answer: &Response) {
        let entry = &mut self.entry;
        entry.status = answer.status();
        if let Some(ray) = answer.headers().get(CF_RAY) {
            entry.ray = ray.clone();
        }
        if let Some(Whose(of)) = answer.extensions().get() {
            (entry.zone, entry.account, entry.tunnel) = (of.zone, Some(of.account), of.tunnel);
        }
        let wants = |(at, reader): (usize, &Arc<dyn Reader>)| u64::from(reader.wants(answer.status())) << at;
        self.wanted = self.readers().map(wants).fold(0, |all, one| all | one);
    }

    /// Sees the answer off: its body is counted where anybody wants the request.
    pub(crate) fn answered(mut self, answer: Response) -> Response {
        self.of_answer(&answer);
        if self.wanted == 0 && self.telling.is_none() {
            return answer;
        }
        if answer.body().is_end_stream() {
            self.whole();
            return answer;
        }
        answer.map(|body| Body::flow(Counted { body, watched: Some(self) }))
    }

    fn whole(mut self) {
        self.entry.whole = true;
        self.over();
    }

    fn over(mut self) {
        self.entry.duration = self.begun.elapsed();
        if let Some(telling) = self.telling.take() {
            telling.over(&self.entry);
        }
        if self.wanted == 0 {
            return;
        }
        let Self { readers, wanted, entry, .. } = self;
        let entry = Arc::new(entry);
        let all = readers.iter().flat_map(|all| all.iter()).take(64).enumerate();
        all.filter(|(at, _)| wanted >> at & 1 == 1).for_each(|(_, reader)| reader.take(&entry));
    }
}

/// An answer's body, counted.
struct Counted {
    body: Body,
    watched: Option<Watched>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(watched), Some(data)) = (&mut self.watched, frame.data_ref()) {
                    watched.entry.bytes += data.len() as u64;
                }
                // Nobody asks again for what is at its end.
                if self.body.is_end_stream()
                    && let Some(watched) = self.watched.take()
                {
                    watched.whole();
                }
            }
            Poll::Ready(None) => {
                if let Some(watched) = self.watched.take() {
                    watched.whole();
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Cut off: by the visitor, by the origin, or by the node's end.
        if let Some(watched) = self.watched.take() {
            watched.over();
        }
    }
}
