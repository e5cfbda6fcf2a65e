//! A browser as far as signing in is concerned: an origin, a cookie, and perhaps an authenticator.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use http_body_util::BodyExt;
use poterne_control_app::{App, Caller, Settings};
use poterne_control_store::Store;
use poterne_keys::NodeKey;
use poterne_model::Name;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Told, VISITOR};
use crate::{ClientIp, OverTls, router};

pub(super) const NAME: &str = "node.example.net";
pub(super) const ORIGIN: &str = "https://node.example.net";
pub(super) const ADMIN: &str = "admin@node.example.net";
pub(super) const PASSWORD: &str = "a few good words";

/// A node whose clock the test moves.
pub(super) struct Node {
    pub(super) router: Router,
    pub(super) app: App,
    pub(super) store: Store,
    now: Arc<AtomicU64>,
    _dir: tempfile::TempDir,
}

impl Node {
    /// One whose administrator has a password.
    pub(super) async fn begin() -> Self {
        Self::with(false).await
    }

    /// The same, and it sends mail.
    pub(super) async fn mailing() -> Self {
        Self::with(true).await
    }

    async fn with(sends_mail: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
        let now = Arc::new(AtomicU64::new(1_800_000_000));
        let (node_names, pages) = (vec![Name::parse(NAME).unwrap()], format!("https://{NAME}"));
        let settings = Settings { node_names, pages, sends_mail, ..Settings::default() };
        let clock = now.clone();
        let clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
        let app = App::open(store.clone(), &NodeKey::generate(), settings, clock, None).await.unwrap();
        app.user_password_set(&Caller::Operator, ADMIN, Some(PASSWORD), false).await.unwrap();
        Self { router: router(app.clone(), 0), app, store, now, _dir: dir }
    }

    pub(super) fn pass(&self, secs: u64) {
        self.now.fetch_add(secs, Ordering::Relaxed);
    }

    pub(super) fn now_secs(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn browser(&self) -> Browser<'_> {
        Browser { node: self, ip: Cell::new(VISITOR), cookie: RefCell::default(), origin: ORIGIN, over_tls: true }
    }

    /// One whose user is signed in with a password alone.
    pub(super) async fn signed_in(&self) -> Browser<'_> {
        let browser = self.browser();
        assert_eq!(browser.sign_in(ADMIN, PASSWORD).await.result()["state"], "signed_in");
        browser
    }

    pub(super) fn account(&self) -> String {
        self.app.account().to_string()
    }
}

pub(super) struct Browser<'n> {
    pub(super) node: &'n Node,
    pub(super) ip: Cell<IpAddr>,
    /// As `name=value`.
    pub(super) cookie: RefCell<Option<String>>,
    pub(super) origin: &'static str,
    pub(super) over_tls: bool,
}

impl Browser<'_> {
    pub(super) async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: Value) -> Told {
        let mut request = Request::builder().method(method).uri(format!("/client/v4{path}")).extension(ClientIp(self.ip.get()));
        if self.over_tls {
            request = request.extension(OverTls);
        }
        if !fields.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, self.origin.split_once("://").unwrap().1);
        }
        if let Some(cookie) = &*self.cookie.borrow() {
            request = request.header(header::COOKIE, cookie);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.node.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        if let Some(set) = head.headers.get(header::SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            *self.cookie.borrow_mut() = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        Told { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// As a page of the node's does.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> Told {
        let fields = [("origin", self.origin), ("content-type", "application/json"), ("user-agent", "Firefox/150")];
        self.send(method, path, &fields, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Told {
        self.send("GET", path, &[], Value::Null).await
    }

    pub(super) async fn sign_in(&self, email: &str, password: &str) -> Told {
        self.ask("POST", "/poterne/sign_in", json!({ "email": email, "password": password })).await
    }

    /// What the user's own trace says, newest first: what was done, and whether it was.
    pub(super) async fn trace(&self) -> Vec<(String, bool)> {
        let told = self.get("/user/audit_logs?per_page=50").await;
        let word = |event: &Value| event["action"]["type"].as_str().unwrap().to_owned();
        let events = told.result().as_array().unwrap();
        events.iter().map(|event| (word(event), event["action"]["result"].as_bool().unwrap())).collect()
    }
}
