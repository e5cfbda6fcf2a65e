//! What every request passes: credentials, paths, bodies, the limit.

use serde_json::{Value, json};

use super::{Client, client};
use crate::router;

#[tokio::test]
async fn credentials_are_asked_for_and_told_apart() {
    let client = client().await;
    assert_eq!(client.send("GET", "/zones", &[], "").await.codes(), [9106]);
    let unknown = client.send("GET", "/zones", &[("authorization", "Bearer nobodys")], "").await;
    assert_eq!((unknown.status, unknown.codes()), (403, vec![9109]));
    let unknown = client.send("GET", "/user/tokens/verify", &[("authorization", "Bearer nobodys")], "").await;
    assert_eq!((unknown.status, unknown.codes()), (401, vec![1000]));
    let key = client.send("GET", "/zones", &[("x-auth-email", "a@example.com"), ("x-auth-key", "k")], "").await;
    assert_eq!((key.status, key.codes()), (403, vec![9103]));
    assert_eq!(client.get("/user/tokens/verify").await.result()["status"], "active");
    assert_eq!(client.get("/user").await.result()["email"], "admin@poterne.localhost");
}

#[tokio::test]
async fn what_is_not_there_is_no_success() {
    let client = client().await;
    for path in ["/nothing", "/zones/short", "/zones/x/y/z", &format!("/accounts/{}/cfd_tunnel/1", client.account)] {
        let told = client.get(path).await;
        assert_eq!((told.status, told.codes()), (404, vec![7003, 7000]), "{path}");
    }
    let told = client.ask("PUT", "/zones", Value::Null).await;
    assert_eq!((told.status, told.codes()), (405, vec![10405]));
    let told = client.get(&format!("/zones/{}", "0".repeat(32))).await;
    assert_eq!((told.status, told.codes()), (404, vec![7003]));
}

#[tokio::test]
async fn bodies_that_are_none_are_named() {
    let client = client().await;
    let bearer = format!("Bearer {}", client.token);
    let told = client.send("POST", "/zones", &[("authorization", &bearer), ("content-type", "application/json")], "{").await;
    assert_eq!((told.status, told.codes()), (400, vec![6007]));
    let told = client.send("POST", "/zones", &[("authorization", &bearer), ("content-type", "text/xml")], "<zone/>").await;
    assert_eq!(told.status, 415);
    let told = client.ask("POST", "/zones", json!({ "name": 7 })).await;
    assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!("/name")));
    let told = client.ask("POST", "/zones", json!({ "name": "192.0.2.1" })).await;
    assert_eq!(told.codes(), [1049]);
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_back() {
    let client = client().await;
    let client = Client { router: router(client.app.clone(), 2), ..client };
    for left in ["1", "0"] {
        let told = client.get("/user").await;
        assert_eq!(told.headers["ratelimit"], format!("\"default\";r={left};t=60"));
    }
    let told = client.get("/user").await;
    assert_eq!((told.status, told.codes()), (429, vec![971]));
    assert_eq!(told.headers["retry-after"], "60");
}

#[tokio::test]
async fn whoever_guesses_tokens_waits_and_nobody_waits_for_them() {
    let client = client().await;
    client.get("/zones").await.result();
    let guess = async |n: u32, path: &str| client.with_token(&format!("guess-{n}")).get(path).await;
    for n in 0..30 {
        let path = if n % 2 == 0 { "/zones" } else { "/user/tokens/verify" };
        let told = guess(n, path).await;
        assert!(matches!((told.status, told.codes().as_slice()), (403, [9109]) | (401, [1000])), "{}", told.body);
    }
    for path in ["/zones", "/user/tokens/verify"] {
        let told = guess(100, path).await;
        assert_eq!((told.status, told.codes()), (429, vec![971]), "{path}");
        assert_eq!(told.headers["retry-after"], "2");
    }
    let told = guess(101, "/zones").await;
    assert_eq!(
        (&told.headers["ratelimit"], &told.headers["ratelimit-policy"]),
        (&"\"refused\";r=0;t=2".parse().unwrap(), &"\"refused\";q=30;w=60".parse().unwrap())
    );
    // What was refused a moment ago needs no look, and is told as before.
    assert_eq!(guess(0, "/zones").await.codes(), [9109]);
    // The token that works from the same address goes on, though all that was remembered of it is forgotten.
    let made = client.ask("POST", "/zones", json!({ "name": "example.com" })).await;
    made.result();
    client.ask("PATCH", "/user", json!({ "first_name": "Ada" })).await.result();
    client.get("/zones").await.result();
    // Another address has its own.
    let elsewhere = axum::http::Request::builder()
        .uri("/client/v4/zones")
        .header("authorization", "Bearer guess-200")
        .extension(crate::ClientIp([203, 0, 113, 10].into()));
    let response = tower::ServiceExt::oneshot(client.router.clone(), elsewhere.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(response.unwrap().status(), 403);
}

#[tokio::test]
async fn a_token_that_may_not_be_used_is_told_its_quota_too() {
    let client = client().await;
    let client = Client { router: router(client.app.clone(), 100), ..client };
    let reader = client.reader("Zone Read").await;
    let tokens = client.get("/user/tokens").await;
    let token = tokens.result().as_array().unwrap().iter().find(|token| token["name"] == "Zone Read").unwrap().clone();
    let path = format!("/user/tokens/{}", token["id"].as_str().unwrap());
    let off = json!({ "name": "off", "policies": token["policies"], "status": "disabled" });
    client.ask("PUT", &path, off).await.result();
    let told = reader.get("/zones").await;
    assert_eq!((told.status, told.codes()), (403, vec![9109]));
    assert_eq!(told.headers["ratelimit"], "\"default\";r=99;t=60");
}
