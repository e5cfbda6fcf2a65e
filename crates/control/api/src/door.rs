//! What every request passes: its path as written by any client, a Ray id, who asks, and how often.
//!
//! ```text
//! slash → ray → route → identify → limit → handler
//! ```

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    extract::{FromRef, FromRequestParts, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use poterne_control_app::{App, AppError, Caller, Credentials, LOOK_BACK_AFTER, LOOKS_MAX, Visit, access};
use poterne_control_wire::codes;
use poterne_keys::random_bytes;
use poterne_model::{TokenId, UserId};

use crate::{
    ClientIp, OverTls,
    answer::Answer,
    credential,
    limit::{Limiter, Standing, WINDOW_SECS},
    same_site::{Coming, Way},
};

/// What the routes share.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) app: App,
    pub(crate) limiter: Arc<Limiter<(Option<UserId>, Option<TokenId>)>>,
}

impl FromRef<Door> for App {
    fn from_ref(door: &Door) -> Self {
        door.app.clone()
    }
}

/// A request's id, in its answer and in the log.
#[derive(Debug, Clone)]
pub(crate) struct Ray(pub(crate) String);

const RAY: HeaderName = HeaderName::from_static("cf-ray");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The site that Ray ids end in: an API answers from one place.
const SITE: &str = "API";

/// A slash at the end says nothing: some clients write one (api-v4 §0.7).
pub(crate) fn without_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1 && path.ends_with('/') {
        let bare = path.trim_end_matches('/');
        let rewritten = match request.uri().query() {
            Some(query) => format!("{bare}?{query}"),
            None => bare.to_owned(),
        };
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        // What came as a path is one without its end, too.
        parts.path_and_query = rewritten.parse::<PathAndQuery>().ok().or_else(|| Some(PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/"));
    }
    request
}

/// Gives the request its Ray id, and the answer too.
pub(crate) async fn ray(mut request: Request, next: Next) -> Response {
    let id = random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let ray = format!("{id}-{SITE}");
    request.extensions_mut().insert(Ray(ray.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::try_from(ray) {
        response.headers_mut().entry(RAY).or_insert(value);
    }
    response
}

/// Finds out who asks, and whether not too often.
pub(crate) async fn identify(State(door): State<Door>, request: Request, next: Next) -> Response {
    match identified(&door, request).await {
        Ok((request, standing)) => {
            let mut response = next.run(request).await;
            if let Some(standing) = standing {
                tell(&mut response, standing);
            }
            response
        }
        Err(refused) => *refused,
    }
}

async fn identified(door: &Door, request: Request) -> Result<(Request, Option<Standing>), Box<Response>> {
    let (mut parts, body) = request.into_parts();
    let refuse = |answer: Answer<()>| Box::new(answer.into_response());
    let coming = coming(&parts);
    let credentials = credential::read(&parts.headers, coming.is_local()).map_err(refuse)?;
    if let Credentials::Session(_) = credentials {
        coming.may_change(&parts.method).map_err(refuse)?;
    }
    let context = context(&parts, door);
    let now = context.now;
    let caller = match door.app.identify(credentials, context).await {
        Ok(caller) => caller,
        Err(AppError::RefusedTooOften { retry_secs }) => {
            let mut response = refuse(AppError::RefusedTooOften { retry_secs }.into());
            tell_refused(&mut response, retry_secs);
            return Err(response);
        }
        Err(error) => return Err(refuse(error.into())),
    };
    let Caller::Identified(identity, _) = &caller else { unreachable!("credentials identify somebody, or are refused") };
    let standing = door.limiter.count(identity.key(), now.as_secs().max(0).unsigned_abs());
    if let Some(standing) = standing.filter(|standing| !standing.admitted) {
        let message = format!(
            "Please wait and consider throttling your request speed: {} requests in {WINDOW_SECS} s are allowed",
            standing.quota
        );
        let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, codes::RATE_LIMITED, message).retry_after(standing.reset_secs);
        let mut response = answer.into_response();
        tell(&mut response, standing);
        return Err(Box::new(response));
    }
    if let Err(error) = caller.is_usable() {
        let mut response = refuse(error.into());
        if let Some(standing) = standing {
            tell(&mut response, standing);
        }
        return Err(response);
    }
    parts.extensions.insert(caller);
    Ok((Request::from_parts(parts, body), standing))
}

/// Who asks, as the listener has made sure; all that it says nothing of count as one.
pub(crate) fn client_ip(told: Option<&ClientIp>) -> IpAddr {
    told.map_or(IpAddr::from([0, 0, 0, 0]), |ClientIp(ip)| *ip)
}

/// From where a request comes, and when.
fn context(parts: &Parts, door: &Door) -> access::Request {
    let ip = client_ip(parts.extensions.get::<ClientIp>());
    let ray = parts.extensions.get::<Ray>().map_or_else(String::new, |Ray(ray)| ray.clone());
    access::Request { ip, now: door.app.instant(), ray }
}

/// What it says of where it comes from and goes to.
fn coming(parts: &Parts) -> Coming<'_> {
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(|authority| authority.as_str()).or(named).unwrap_or("");
    Coming { headers: &parts.headers, host, over_tls: parts.extensions.get::<OverTls>().is_some() }
}

/// Somebody who signs in, or shows once more who they are: in a handler, and only over a way where secrets are safe.
pub(crate) struct Visiting {
    pub(crate) visit: Visit,
    pub(crate) way: Way,
    /// The origin of the page, as it was sent.
    pub(crate) origin: Option<String>,
}

impl FromRequestParts<Door> for Visiting {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Answer<()>> {
        let coming = coming(parts);
        coming.may_sign_in(&parts.method)?;
        let way = coming.way()?;
        let device = parts.headers.get(header::USER_AGENT).map_or("", |device| device.to_str().unwrap_or("")).to_owned();
        let origin = coming.origin().map(str::to_owned);
        Ok(Self { visit: Visit { request: context(parts, door), device }, way, origin })
    }
}

fn tell(response: &mut Response, standing: Standing) {
    let Standing { quota, left, reset_secs, .. } = standing;
    let texts =
        [(LIMIT, format!("\"default\";r={left};t={reset_secs}")), (POLICY, format!("\"default\";q={quota};w={WINDOW_SECS}"))];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Nobody's quota is told of here: the one that is used up is the source's, of credentials that nobody has.
fn tell_refused(response: &mut Response, retry_secs: u64) {
    let window_secs = u64::from(LOOKS_MAX) * LOOK_BACK_AFTER.as_secs();
    let texts =
        [(LIMIT, format!("\"refused\";r=0;t={retry_secs}")), (POLICY, format!("\"refused\";q={LOOKS_MAX};w={window_secs}"))];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Who asks, in a handler.
pub(crate) struct Who(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer<()>> {
        let caller = Extension::<Caller>::from_request_parts(parts, state).await;
        // A route without `identify` has nobody.
        Ok(Self(caller.map_or(Caller::Anybody, |Extension(caller)| caller)))
    }
}

/// A method that a path has not.
pub(crate) async fn method_not_allowed() -> Answer<()> {
    Answer::error(StatusCode::METHOD_NOT_ALLOWED, codes::METHOD_NOT_ALLOWED, "Method not allowed for this endpoint")
}

/// Whatever is not there.
pub(crate) async fn no_route(uri: Uri) -> Answer<()> {
    Answer::no_route(uri.path())
}
