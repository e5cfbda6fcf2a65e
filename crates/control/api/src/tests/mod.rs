//! The routes as a client meets them: the client here, what it meets in a file a resource.

mod access_rules;
mod accounts;
mod alerting;
mod audit;
mod authenticator;
mod browser;
mod certificates;
mod dnssec;
mod door;
mod external_dns;
mod features;
mod health_checks;
mod holds;
mod lists;
mod logins;
mod management;
mod members;
mod openapi;
mod origin_tls;
mod pages;
mod passkeys;
mod plans;
mod private_networks;
mod quick;
mod records;
mod rule_standings;
mod rulesets;
mod scans;
mod second_factors;
mod secondary_dns;
mod settings;
mod sign_in;
mod terraform;
mod tokens;
mod told;
mod tunnels;
mod visitors;
mod zones;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt;
use poterne_control_app::{App, Caller, OriginAuthorities, Settings};
use poterne_control_store::Store;
use poterne_keys::{CaSpec, LocalCa, NodeKey};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{ClientIp, router};

const VISITOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

/// A node with a token that may do everything.
struct Client {
    router: Router,
    app: App,
    token: String,
    account: String,
    _dir: tempfile::TempDir,
}

struct Told {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Told {
    fn codes(&self) -> Vec<i64> {
        let codes = |errors: &Value| errors.as_array().unwrap().iter().map(|error| error["code"].as_i64().unwrap()).collect();
        codes(&self.body["errors"])
    }

    fn result(&self) -> &Value {
        assert_eq!((self.status, &self.body["success"]), (200, &json!(true)), "{}", self.body);
        assert_eq!(self.body["messages"], json!([]));
        &self.body["result"]
    }
}

async fn client() -> Client {
    client_of(Settings::default()).await
}

async fn client_of(settings: Settings) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let app = App::open(store, &NodeKey::generate(), settings, Arc::new(|| UNIX_EPOCH), None).await.unwrap();
    let authority =
        |name| Arc::new(LocalCa::generate_for(&spec(name), UNIX_EPOCH, Duration::from_secs(30 * 365 * 86_400)).unwrap());
    app.certify_origins_by(OriginAuthorities { origins: authority("origins"), pulls: authority("pulls") });
    let (_, token) = app.api_token_of_operator(&Caller::Operator, "all", &["all".into()]).await.unwrap();
    let account = app.account().to_string();
    Client { router: router(app.clone(), 0), app, token, account, _dir: dir }
}

fn spec(name: &str) -> CaSpec {
    CaSpec { name: name.to_owned(), permitted: Vec::new() }
}

impl Client {
    async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Told {
        let mut request = Request::builder().method(method).uri(format!("/client/v4{path}")).extension(ClientIp(VISITOR));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        assert!(head.headers.contains_key("cf-ray"));
        let body = body.collect().await.unwrap().to_bytes();
        if head.status == StatusCode::NO_CONTENT {
            assert!(body.is_empty() && !head.headers.contains_key(header::CONTENT_TYPE), "{path}: no body, nor a type of one");
            return Told { status: 204, headers: head.headers, body: Value::Null };
        }
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/json", "{path}: exactly, without a charset");
        let body = serde_json::from_slice(&body).unwrap();
        Told { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Told {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &[("authorization", &format!("Bearer {}", self.token))], &body).await
    }

    async fn get(&self, path: &str) -> Told {
        self.ask("GET", path, Value::Null).await
    }

    /// The same node, met with another token.
    fn with_token(&self, token: &str) -> Self {
        let (router, app, account) = (self.router.clone(), self.app.clone(), self.account.clone());
        Self { router, app, token: token.to_owned(), account, _dir: tempfile::tempdir().unwrap() }
    }

    /// The same node, met with a token of that permission group over everything.
    async fn reader(&self, group: &str) -> Self {
        let (_, token) = self.app.api_token_of_operator(&Caller::Operator, group, &[group.into()]).await.unwrap();
        self.with_token(&token)
    }

    /// A zone that serves, and the path to it.
    async fn active_zone(&self, name: &str) -> String {
        let path = self.zone(name).await;
        self.app.zone_activate(&Caller::Operator, name).await.unwrap();
        path
    }

    /// A zone, and the path to it.
    async fn zone(&self, name: &str) -> String {
        let made = self.ask("POST", "/zones", json!({ "name": name })).await;
        format!("/zones/{}", made.result()["id"].as_str().unwrap())
    }
}
