//! Answers in the envelope, and the one place that turns a refusal into one.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use poterne_control_app::{AppError, SignInError, Trouble};
use poterne_control_wire::{ApiError, Envelope, Refusal, Source, codes, query::QueryError, refusal};
use poterne_model::{ShapeError, setting::SettingError};
use serde::Serialize;

use crate::records;

/// Tells SDKs that another try would end the same way (api-v4 §0.15).
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// When to come back to a store that did not answer, in seconds.
const RETRY_SECS: u64 = 2;

/// A status, an envelope, and perhaps when to come back.
pub(crate) struct Answer<T> {
    status: StatusCode,
    envelope: Envelope<T>,
    retry_secs: Option<u64>,
    /// In a box: an answer is an error as well, and those are kept small.
    cookie: Option<Box<HeaderValue>>,
}

/// What a handler gives.
pub(crate) type Answered<T> = Result<Answer<T>, Answer<()>>;

impl<T> Answer<T> {
    pub(crate) fn success(result: T) -> Self {
        Self { status: StatusCode::OK, envelope: Envelope::success(result), retry_secs: None, cookie: None }
    }

    /// Part of a list.
    pub(crate) fn part(result: T, info: impl Serialize) -> Self {
        let mut answer = Self::success(result);
        answer.envelope.result_info = serde_json::to_value(info).ok();
        answer
    }

    /// With this cookie.
    pub(crate) fn with_cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        self.cookie = cookie.map(Box::new);
        self
    }
}

impl Answer<()> {
    pub(crate) fn failure(status: StatusCode, envelope: Envelope<()>) -> Self {
        Self { status, envelope, retry_secs: None, cookie: None }
    }

    /// One error.
    pub(crate) fn error(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self::failure(status, Envelope::failure(vec![ApiError::new(code, message)]))
    }

    /// The node's own failure, and whether another try may do (RFC 9110 §15.6).
    fn failed(trouble: Trouble) -> Self {
        let (status, code, message) = match trouble {
            Trouble::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                codes::UNAVAILABLE,
                "the node's store is busy, or held by another program: nothing was changed; try again",
            ),
            Trouble::Unreachable => (
                StatusCode::SERVICE_UNAVAILABLE,
                codes::UNAVAILABLE,
                "the node's store cannot be reached: nothing was changed; visitors are served meanwhile; try again",
            ),
            Trouble::Full => (
                StatusCode::INSUFFICIENT_STORAGE,
                codes::STORAGE_FULL,
                "the disk of the node's store is full: nothing was changed; its operator has to make room",
            ),
            Trouble::InDoubt => (
                StatusCode::INTERNAL_SERVER_ERROR,
                codes::IN_DOUBT,
                "the node's store went away before it said whether the change was kept: look before you try again",
            ),
            Trouble::Broken => (StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "the node could not do it; its log says why"),
        };
        let answer = Self::error(status, code, message);
        match trouble {
            Trouble::Busy | Trouble::Unreachable => answer.retry_after(RETRY_SECS),
            Trouble::Full | Trouble::InDoubt | Trouble::Broken => answer,
        }
    }

    /// The answer for whatever is not there.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::failure(StatusCode::NOT_FOUND, Envelope::no_route(path))
    }

    pub(crate) fn retry_after(mut self, secs: u64) -> Self {
        self.retry_secs = Some(secs);
        self
    }

    /// Its errors lie within this place of the body.
    fn within(mut self, pointer: &str) -> Self {
        for error in &mut self.envelope.errors {
            let beneath = error.source.take().map_or_else(String::new, |source| source.pointer);
            error.source = Some(Source { pointer: format!("{pointer}{beneath}") });
        }
        self
    }

    /// Its errors' codes, with what lies beneath.
    #[cfg(test)]
    pub(crate) fn codes(&self) -> Vec<i64> {
        let beneath = |error: &ApiError| error.error_chain.iter().map(|error| error.code).collect::<Vec<_>>();
        self.envelope.errors.iter().flat_map(|error| std::iter::once(error.code).chain(beneath(error))).collect()
    }
}

impl From<AppError> for Answer<()> {
    fn from(error: AppError) -> Self {
        let error = match error {
            AppError::InBatch { pointer, error } => return Self::from(*error).within(&pointer),
            error => error,
        };
        let (status, code) = match &error {
            AppError::QuickTunnelsOff => (StatusCode::NOT_FOUND, codes::QUICK_TUNNELS_OFF),
            AppError::QuickTunnelsLimited { .. }
            | AppError::LoginsLimited { .. }
            | AppError::InvitationsLimited { .. }
            | AppError::ChecksLimited { .. }
            | AppError::ScansLimited { .. }
            | AppError::ScanGoesOn
            | AppError::RefusedTooOften { .. } => (StatusCode::TOO_MANY_REQUESTS, codes::RATE_LIMITED),
            AppError::UnknownToken | AppError::Unusable(_) => (StatusCode::FORBIDDEN, codes::UNAUTHORIZED),
            AppError::UnknownKey => (StatusCode::FORBIDDEN, codes::UNKNOWN_KEY),
            AppError::SignIn(error) => of_sign_in(error),
            AppError::Busy => (StatusCode::SERVICE_UNAVAILABLE, codes::BUSY),
            AppError::Forbidden { .. } | AppError::OperatorOnly | AppError::FirstAccountOnly => {
                (StatusCode::FORBIDDEN, codes::FORBIDDEN)
            }
            AppError::NotFound("record") => (StatusCode::NOT_FOUND, codes::RECORD_NOT_FOUND),
            AppError::NotFound(_) | AppError::ZoneNotFound(_) | AppError::TunnelNotFound(_) => {
                (StatusCode::NOT_FOUND, codes::NO_SUCH_OBJECT)
            }
            AppError::ZoneExists(_) => (StatusCode::BAD_REQUEST, codes::ZONE_EXISTS),
            AppError::ZoneHeld { .. } => (StatusCode::BAD_REQUEST, codes::ZONE_HELD),
            AppError::ZoneName { .. } => (StatusCode::BAD_REQUEST, codes::NOT_A_DOMAIN),
            AppError::TunnelExists(_) => (StatusCode::CONFLICT, codes::TUNNEL_EXISTS),
            AppError::TunnelConnected { .. } => (StatusCode::BAD_REQUEST, codes::TUNNEL_CONNECTED),
            AppError::RecordExists { .. } | AppError::HostExists(_) => (StatusCode::BAD_REQUEST, codes::HOST_EXISTS),
            AppError::Name(_)
            | AppError::Invalid { .. }
            | AppError::Hostname { .. }
            | AppError::Chain(_)
            | AppError::TunnelName { .. }
            | AppError::NoZone { .. }
            | AppError::OriginKey { .. }
            | AppError::ZoneServedElsewhere(_)
            | AppError::QuickDomainTaken(_)
            | AppError::Configuration(_) => (StatusCode::BAD_REQUEST, codes::INVALID_VALUE),
            AppError::Shape(error) => return Refusal::from(error.clone()).into(),
            AppError::Entry(inner) => return records::of_record(inner.code(), &error),
            AppError::Conflict(inner) => return records::of_record(inner.code(), &error),
            AppError::ZoneFile(errors) => return records::of_file(errors),
            AppError::Phase(error) => return Refusal::from(error.clone()).into(),
            AppError::Ruleset(error) => return Refusal::from(error.clone()).into(),
            AppError::NoEntryPoint(_) => (StatusCode::NOT_FOUND, codes::NO_ENTRY_POINT),
            AppError::Exists(_) | AppError::InUse { .. } | AppError::DsAtParent(_) => {
                (StatusCode::BAD_REQUEST, refusal::CONFLICT)
            }
            AppError::List(error) => return Refusal::from(error.clone()).into(),
            AppError::AccessRule(error) => return Refusal::from(error.clone()).into(),
            AppError::PrivateRoute(error) => return Refusal::from(error.clone()).into(),
            AppError::VirtualNetwork(error) => return Refusal::from(error.clone()).into(),
            AppError::Setting(error) => return Refusal::from(error.clone()).into(),
            AppError::InBatch { .. } => unreachable!("it was taken apart above"),
            // What is left are our own failures: the log has the reason, strangers do not.
            AppError::Keys(_) | AppError::Store(_) | AppError::Hashing(_) | AppError::Signing(_) => {
                tracing::error!(%error, "a request to the API failed");
                return Self::failed(error.trouble());
            }
        };
        let answer = Self::error(status, code, error.to_string());
        match &error {
            AppError::QuickTunnelsLimited { retry_secs, .. }
            | AppError::LoginsLimited { retry_secs }
            | AppError::InvitationsLimited { retry_secs }
            | AppError::ChecksLimited { retry_secs, .. }
            | AppError::ScansLimited { retry_secs, .. }
            | AppError::RefusedTooOften { retry_secs }
            | AppError::SignIn(SignInError::Throttled { retry_secs }) => answer.retry_after(*retry_secs),
            AppError::Busy => answer.retry_after(1),
            AppError::ScanGoesOn => answer.retry_after(30),
            _ => answer,
        }
    }
}

const fn of_sign_in(error: &SignInError) -> (StatusCode, i64) {
    match error {
        SignInError::Wrong
        | SignInError::WrongCode
        | SignInError::Passkey
        | SignInError::Unfinished
        | SignInError::SessionOver
        | SignInError::LinkOver => (StatusCode::UNAUTHORIZED, codes::NOT_SIGNED_IN),
        SignInError::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, codes::RATE_LIMITED),
        SignInError::SessionNeeded => (StatusCode::FORBIDDEN, codes::SESSION_NEEDED),
        SignInError::ConfirmationNeeded => (StatusCode::FORBIDDEN, codes::CONFIRMATION_NEEDED),
        SignInError::SecondFactorNeeded => (StatusCode::FORBIDDEN, codes::SECOND_FACTOR_NEEDED),
        SignInError::Site(_) => (StatusCode::BAD_REQUEST, codes::INVALID_VALUE),
    }
}

impl From<Refusal> for Answer<()> {
    fn from(Refusal { status, code, message, pointer }: Refusal) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let source = pointer.filter(|pointer| !pointer.is_empty()).map(|pointer| Source { pointer });
        Self::failure(status, Envelope::failure(vec![ApiError { source, ..ApiError::new(code, message) }]))
    }
}

impl From<ShapeError> for Answer<()> {
    fn from(error: ShapeError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<SettingError> for Answer<()> {
    fn from(error: SettingError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<QueryError> for Answer<()> {
    fn from(error: QueryError) -> Self {
        Refusal::from(error).into()
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.envelope).expect("the wire's types are always JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        // Exactly this: stock agents read an error's body only without a charset (tunnel-protocol §9.4).
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let in_doubt = self.envelope.errors.iter().any(|error| error.code == codes::IN_DOUBT);
        if self.status == StatusCode::CONFLICT || in_doubt {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(retry_secs) = self.retry_secs {
            headers.insert(header::RETRY_AFTER, retry_secs.into());
        }
        if let Some(cookie) = self.cookie {
            headers.insert(header::SET_COOKIE, *cookie);
        }
        response
    }
}
