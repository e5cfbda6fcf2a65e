//! Ids in a path: one that has not their form is a path that leads nowhere (api-v4 §1.6).

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use crate::answer::Answer;

/// The one variable of a path.
pub(crate) struct Id<A>(pub(crate) A);

/// Its two variables, in its order.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

/// Its three.
pub(crate) struct Ids3<A, B, C>(pub(crate) A, pub(crate) B, pub(crate) C);

impl<S: Send + Sync, A: FromStr> FromRequestParts<S> for Id<A> {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer<()>> {
        let values = values(parts, state).await?;
        read(&values, 0, parts).map(Self)
    }
}

impl<S: Send + Sync, A: FromStr, B: FromStr> FromRequestParts<S> for Ids<A, B> {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer<()>> {
        let values = values(parts, state).await?;
        Ok(Self(read(&values, 0, parts)?, read(&values, 1, parts)?))
    }
}

impl<S: Send + Sync, A: FromStr, B: FromStr, C: FromStr> FromRequestParts<S> for Ids3<A, B, C> {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer<()>> {
        let values = values(parts, state).await?;
        Ok(Self(read(&values, 0, parts)?, read(&values, 1, parts)?, read(&values, 2, parts)?))
    }
}

async fn values<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<String>, Answer<()>> {
    let path = parts.uri.path().to_owned();
    let values = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Answer::no_route(&path))?;
    Ok(values.iter().map(|(_, value)| value.to_owned()).collect())
}

fn read<T: FromStr>(values: &[String], at: usize, parts: &Parts) -> Result<T, Answer<()>> {
    let value = values.get(at).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Answer::no_route(parts.uri.path()))
}
