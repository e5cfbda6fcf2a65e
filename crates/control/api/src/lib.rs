//! The REST endpoints, one `IntoResponse` for the envelope.
//!
//! Everything under `/client/v4` asks for a token, a key or a session ([`credential`]) but the question whether a token is valid, the
//! login of an agent, signing in itself ([`sign_in`]), and where the node is (`/ips`). `POST /tunnel`
//! at the root (tunnel-protocol §9.7) is for whoever asks, where the operator has set a quick domain; beside it
//! stand the pages that links in mails lead to ([`pages`]). What is not there is answered
//! as the v4 API answers it, never with a pretended success.
#![forbid(unsafe_code)]

mod access_rules;
mod alerting;
mod answer;
mod audit;
mod body;
mod certificates;
mod cookie;
mod credential;
mod custom_certificates;
mod dnssec;
mod door;
mod features;
mod generation;
mod health_checks;
mod holds;
mod ips;
mod limit;
mod lists;
mod logins;
mod management;
mod members;
mod openapi;
mod origin_tls;
mod origin_tls_brought;
mod origin_tls_hosts;
mod pages;
mod path;
mod plans;
mod private_networks;
mod quick;
mod records;
mod routes;
mod rule_standings;
mod rulesets;
mod same_site;
mod scans;
mod secondary_dns;
mod settings;
mod sign_in;
mod signed_in;
#[cfg(test)]
mod tests;
mod tokens;
mod tunnels;
mod user;
mod visitors;
mod zones;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware,
    routing::MethodRouter,
};
use poterne_control_app::App;
use tower::ServiceExt;

use crate::{door::Door, limit::Limiter, routes::Routes};

/// Longest request body read, in bytes: 3,500 records in one batch. A zone file may be longer ([`records`]).
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many requests a token may make in a minute, unless `[control] rate_limit` says otherwise.
pub const RATE_LIMIT: u32 = 1200;

/// Who asks, as the listener has made sure: an extension of the request. Without it creations count for one common source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

/// That a request came over TLS, as the listener has made sure: an extension of the request. Without it nothing secret is taken from
/// another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverTls;

/// Every route under `/client/v4`.
fn v4_routes() -> Routes {
    Routes::all([
        tokens::routes(),
        user::routes(),
        sign_in::routes(),
        signed_in::routes(),
        members::routes(),
        zones::routes(),
        plans::routes(),
        holds::routes(),
        records::routes(),
        scans::routes(),
        settings::routes(),
        dnssec::routes(),
        certificates::routes(),
        custom_certificates::routes(),
        origin_tls::routes(),
        health_checks::routes(),
        origin_tls_hosts::routes(),
        visitors::routes(),
        secondary_dns::routes(),
        rulesets::routes(),
        access_rules::routes(),
        tunnels::routes(),
        management::routes(),
        private_networks::routes(),
        alerting::routes(),
        lists::routes(),
        audit::routes(),
        features::routes(),
        rule_standings::routes(),
        generation::routes(),
        logins::routes(),
        ips::routes(),
        openapi::document::routes(),
        openapi::page::routes(),
    ])
}

/// Every route there is.
fn all_routes() -> Routes {
    Routes::all([v4_routes(), quick::routes(), pages::routes()])
}

/// The routes in their places.
fn mounted(door: &Door) -> Router<Door> {
    // Whatever else is asked of it: there is no such route.
    let quick = quick::routes().into_router(door).route("/tunnel", MethodRouter::new().fallback(door::no_route));
    quick.merge(pages::routes().into_router(door)).nest("/client/v4", v4_routes().into_router(door))
}

/// All routes, for `127.0.0.1:8600` and for the node's own names. `rate_limit`: requests a minute and token; 0: without limit.
pub fn router(app: App, rate_limit: u32) -> Router {
    let door = Door { app, limiter: Arc::new(Limiter::new(rate_limit)) };
    let routes = mounted(&door)
        .with_state(door)
        .method_not_allowed_fallback(door::method_not_allowed)
        .fallback(door::no_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(door::ray));
    // Before routing: a layer of the router itself would come too late to change the path.
    Router::new().fallback(async move |request: Request| match routes.oneshot(door::without_slash(request)).await {
        Ok(response) => response,
        Err(never) => match never {},
    })
}
