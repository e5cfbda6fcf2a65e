//! Quick tunnels.

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use http_body_util::BodyExt;
use poterne_control_app::{App, QUICK_CREATIONS_MAX, Settings};
use poterne_control_store::Store;
use poterne_control_wire::{QuickAnswerError, parse_quick_answer};
use poterne_keys::NodeKey;
use poterne_model::Name;
use tower::ServiceExt;

use super::VISITOR;
use crate::{ClientIp, RATE_LIMIT, router};

async fn node(quick_domain: Option<&str>) -> (tempfile::TempDir, Router) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let settings = Settings {
        edges: vec!["edge.example.net:7844".into()],
        pin: [7; 32],
        quick_domain: quick_domain.map(|domain| Name::parse(domain).unwrap()),
        ..Settings::default()
    };
    let app = App::open(store, &NodeKey::generate(), settings, Arc::new(|| UNIX_EPOCH), None).await.unwrap();
    (dir, router(app, RATE_LIMIT))
}

async fn ask(router: &Router, method: &str, path: &str) -> (Response<()>, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let request = request.extension(ClientIp(VISITOR)).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn a_quick_tunnel_is_answered_with_all_an_agent_needs() {
    let (_dir, router) = node(Some("quick.example.net")).await;
    let mut names = Vec::new();
    for path in ["/tunnel", "/tunnel/"] {
        let (head, body) = ask(&router, "POST", path).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/json");
        let tunnel = parse_quick_answer(&body).unwrap();
        assert!(tunnel.hostname.is_within(&Name::parse("quick.example.net").unwrap()));
        assert_eq!(tunnel.secret().unwrap().len(), 32);
        assert_eq!(tunnel.p.as_ref().unwrap().pin(), Some([7; 32]));
        assert_eq!(tunnel.p.as_ref().unwrap().e, ["edge.example.net:7844"]);
        assert_eq!(tunnel.account_tag.len(), 32);
        names.push(tunnel.hostname.clone());
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test]
async fn where_quick_tunnels_are_off_the_answer_says_so() {
    let (_dir, router) = node(None).await;
    let (head, body) = ask(&router, "POST", "/tunnel").await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert!(matches!(parse_quick_answer(&body), Err(QuickAnswerError::Refused(text)) if text.contains("quick_domain")));
}

#[tokio::test]
async fn one_address_gets_only_so_many() {
    let (_dir, router) = node(Some("quick.example.net")).await;
    for _ in 0..QUICK_CREATIONS_MAX {
        assert_eq!(ask(&router, "POST", "/tunnel").await.0.status(), StatusCode::OK);
    }
    let (head, body) = ask(&router, "POST", "/tunnel").await;
    assert_eq!(head.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(head.headers()[header::RETRY_AFTER], "3600");
    assert!(matches!(parse_quick_answer(&body), Err(QuickAnswerError::Refused(text)) if text.contains("971")));
}

#[tokio::test]
async fn everything_else_is_the_apis_own_no_route() {
    let (_dir, router) = node(Some("quick.example.net")).await;
    for (method, path) in [
        ("GET", "/tunnel"),
        ("GET", "/"),
        ("GET", "/client/v4/nothing"),
        ("POST", "/client/v4/accounts/0/nothing"),
        ("DELETE", "/tunnel/x"),
        ("OPTIONS", "/tunnel"),
    ] {
        let (head, body) = ask(&router, method, path).await;
        assert_eq!(head.status(), StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/json");
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value["success"], &value["result"]), (&false.into(), &serde_json::Value::Null), "{method} {path}");
        assert_eq!((&value["errors"][0]["code"], &value["errors"][1]["code"]), (&7003.into(), &7000.into()));
    }
}
