//! Management tokens: who is given which, and what they say.

use poterne_keys::es256_verifies;
use poterne_tunnel_proto::management::{Path, token::Token};
use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn a_token_is_signed_for_what_was_asked_and_leaves_its_trace() {
    let client = client().await;
    let base = format!("/accounts/{}/cfd_tunnel", client.account);
    let id = client.ask("POST", &base, json!({ "name": "web" })).await.result()["id"].as_str().unwrap().to_owned();
    let path = format!("{base}/{id}/management");
    let told = client.ask("POST", &format!("{path}/logs"), Value::Null).await;
    let text = told.result().as_str().unwrap();
    let token = Token::parse(text).unwrap();
    assert!(es256_verifies(&[client.app.management_key()], token.signed, &token.signature));
    assert_eq!((&token.claims.tun.id, &token.claims.tun.account_tag), (&id, &client.account));
    assert_eq!((token.claims.iat, token.claims.exp, &token.claims.res[..]), (0, 3600, &["logs".to_owned(), "ping".into()][..]));
    assert_eq!((token.claims.iss.as_str(), token.claims.actor.support), ("management.argotunnel.com", false));

    let opens = async |path: &str, body: Value| {
        let told = client.ask("POST", path, body).await;
        let claims = Token::parse(told.result().as_str().unwrap()).unwrap().claims;
        ["/logs", "/host_details", "/metrics"].map(|path| claims.allows(Path::of(path)))
    };
    assert_eq!(opens(&format!("{path}/host_details"), Value::Null).await, [false, true, false]);
    assert_eq!(opens(&format!("{path}/admin"), json!({})).await, [true; 3]);
    assert_eq!(opens(&path, json!({ "resources": ["logs", "host_details"] })).await, [true, true, false]);
    for wrong in [json!({}), json!({ "resources": [] }), json!({ "resources": ["mail"] }), json!({ "resources": "logs" })] {
        assert_eq!(client.ask("POST", &path, wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(client.ask("POST", &format!("{path}/mail"), Value::Null).await.status, 404);

    let trace = client.get(&format!("/accounts/{}/audit_logs?action.type=management_token", client.account)).await;
    let events = trace.result().as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event["resource"]["id"] == id && !event.to_string().contains("eyJ")), "{events:?}");
}

#[tokio::test]
async fn logs_are_read_by_readers_and_the_rest_by_those_who_may_change() {
    let client = client().await;
    let base = format!("/accounts/{}/cfd_tunnel", client.account);
    let id = client.ask("POST", &base, json!({ "name": "web" })).await.result()["id"].as_str().unwrap().to_owned();
    let path = format!("{base}/{id}/management");
    let reader = client.reader("Cloudflare Tunnel Read").await;
    assert_eq!(reader.ask("POST", &format!("{path}/logs"), Value::Null).await.status, 200);
    assert_eq!(reader.ask("POST", &format!("{path}/host_details"), Value::Null).await.status, 200);
    assert_eq!(reader.ask("POST", &format!("{path}/admin"), Value::Null).await.status, 403);
    assert_eq!(reader.ask("POST", &path, json!({ "resources": ["logs", "admin"] })).await.status, 403);
    let stranger = client.reader("DNS Read").await;
    assert_eq!(stranger.ask("POST", &format!("{path}/logs"), Value::Null).await.status, 404);
    let absent = format!("{base}/4577e670-7d8a-4f6e-992f-f9785f6e2e9d/management/logs");
    assert_eq!(client.ask("POST", &absent, Value::Null).await.status, 404);
    client.ask("DELETE", &format!("{base}/{id}"), Value::Null).await.result();
    assert_eq!(client.ask("POST", &format!("{path}/logs"), Value::Null).await.status, 404, "a deleted tunnel has no agents");
}
