//! Bodies and queries as clients send them: JSON whatever the type says, none at all, lists of both spellings.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use poterne_control_wire::{codes, query};
use serde_json::Value;

use crate::answer::Answer;

/// A JSON body; `null` where there is none.
pub(crate) struct Json(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let stated = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let other = !(stated.is_empty() || stated.contains("json"));
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            Answer::error(status, codes::INVALID_BODY, format!("the body was not read: {}", rejection.body_text()))
                .into_response()
        })?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Value::Null));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let status = if other { StatusCode::UNSUPPORTED_MEDIA_TYPE } else { StatusCode::BAD_REQUEST };
            Answer::error(status, codes::INVALID_BODY, format!("the body is not JSON: {error}")).into_response()
        })
    }
}

/// What stands behind the `?`.
pub(crate) struct Query(pub(crate) query::Query);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Answer<()>> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).into_owned();
        query::Query::new(pairs).map(Self).map_err(Answer::from)
    }
}
