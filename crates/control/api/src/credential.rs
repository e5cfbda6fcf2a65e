//! What a request shows of who it is (api-v4 §1.2). Pure.
//!
//! A bearer token wins over an address and key: SDKs send both where both are configured. A cookie counts where neither is sent: browsers
//! send it with everything.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use poterne_control_app::Credentials;
use poterne_control_wire::{ApiError, Envelope, codes};

use crate::{answer::Answer, cookie};

const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// Longest token or key that is looked at.
const SECRET_BYTES_MAX: usize = 512;

/// Reads them; an error is the answer. `is_local`: the request came in clear, from this machine.
pub(crate) fn read(headers: &HeaderMap, is_local: bool) -> Result<Credentials<'_>, Answer<()>> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer).filter(|token| is_secret(token));
        let token =
            token.ok_or_else(|| invalid(codes::INVALID_AUTHORIZATION_HEADER, "Invalid format for Authorization header"))?;
        return Ok(Credentials::Token(token));
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let cookie = cookie::read(headers, is_local).filter(|_| !headers.contains_key(EMAIL) && !headers.contains_key(KEY));
    if let Some(secret) = cookie {
        return Ok(Credentials::Session(secret));
    }
    match (text(EMAIL), text(KEY)) {
        (None, None) => Err(Answer::failure(
            StatusCode::BAD_REQUEST,
            Envelope::failure(vec![ApiError::new(
                codes::NO_CREDENTIALS,
                "Missing credentials: send an API token as `Authorization: Bearer …`, or X-Auth-Email and X-Auth-Key",
            )]),
        )),
        (email, key) => {
            let email = email.filter(|email| email.contains('@') && email.len() <= 254);
            let email = email.ok_or_else(|| invalid(codes::INVALID_EMAIL_HEADER, "Invalid format for X-Auth-Email header"))?;
            let key = key.filter(|key| is_secret(key));
            let key = key.ok_or_else(|| invalid(codes::INVALID_KEY_HEADER, "Invalid format for X-Auth-Key header"))?;
            Ok(Credentials::Key { email, key })
        }
    }
}

/// The token of `Bearer token`; the scheme in any case (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_secret(text: &str) -> bool {
    !text.is_empty() && text.len() <= SECRET_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid(code: i64, message: &str) -> Answer<()> {
    let beneath = vec![ApiError::new(code, message)];
    let error = ApiError { error_chain: beneath, ..ApiError::new(codes::INVALID_HEADERS, "Invalid request headers") };
    Answer::failure(StatusCode::BAD_REQUEST, Envelope::failure(vec![error]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &[(&'static str, &str)]) -> Result<String, Vec<i64>> {
        let headers = fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        match read(&headers, false) {
            Ok(Credentials::Token(token)) => Ok(token.to_owned()),
            Ok(Credentials::Key { email, key }) => Ok(format!("{email} {key}")),
            Ok(Credentials::Session(secret)) => Ok(format!("cookie {secret}")),
            Err(answer) => Err(answer.codes()),
        }
    }

    #[test]
    fn a_token_wins_over_a_key() {
        let key = [("x-auth-email", "a@example.com"), ("x-auth-key", "k")];
        assert_eq!(shown(&key).unwrap(), "a@example.com k");
        assert_eq!(shown(&[key[0], key[1], ("authorization", "bearer t")]).unwrap(), "t");
        assert_eq!(shown(&[key[0], ("authorization", "Bearer t")]).unwrap(), "t");
        let cookie = ("cookie", "__Host-poterne_session=c");
        assert_eq!(shown(&[cookie]).unwrap(), "cookie c");
        assert_eq!(shown(&[cookie, key[0], key[1]]).unwrap(), "a@example.com k");
        assert_eq!(shown(&[cookie, ("authorization", "Bearer t")]).unwrap(), "t");
        assert_eq!(shown(&[cookie, key[0]]), Err(vec![6003, 6103]), "half a key is an error all the same");
    }

    #[test]
    fn what_is_missing_or_malformed_has_its_own_code() {
        assert_eq!(shown(&[]), Err(vec![9106]));
        assert_eq!(shown(&[("authorization", "Bearer ")]), Err(vec![6003, 6111]));
        assert_eq!(shown(&[("authorization", "Basic eA==")]), Err(vec![6003, 6111]));
        assert_eq!(shown(&[("authorization", &format!("Bearer {}", "x".repeat(513)))]), Err(vec![6003, 6111]));
        assert_eq!(shown(&[("x-auth-key", "k")]), Err(vec![6003, 6102]));
        assert_eq!(shown(&[("x-auth-email", "a@example.com")]), Err(vec![6003, 6103]));
    }
}
