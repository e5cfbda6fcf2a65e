//! Logins of agents.

use poterne_control_app::Caller;
use serde_json::{Value, json};

use super::{Client, Told, client};

async fn post(client: &Client, path: &str, body: Value) -> Told {
    client.send("POST", path, &[("content-type", "application/json")], &body.to_string()).await
}

#[tokio::test]
async fn an_agent_gets_a_token_for_one_zone_on_the_operators_word() {
    let client = client().await;
    let zone = client.zone("example.org").await;
    let begun = post(&client, "/poterne/login", json!({"who": "nas\u{1b}[2J"})).await;
    let (code, secret) = (begun.result()["code"].as_str().unwrap(), begun.result()["secret"].as_str().unwrap());
    let claim = async || post(&client, "/poterne/login/claim", json!({ "secret": secret })).await;
    assert_eq!(claim().await.result(), &json!({"status": "waiting"}));
    assert_eq!(post(&client, "/poterne/login/claim", json!({ "secret": code })).await.status, 404);

    let waiting = client.app.login_list(&Caller::Operator).unwrap();
    assert_eq!((waiting.len(), waiting[0].who.as_str(), waiting[0].source), (1, "nas[2J", super::VISITOR));
    assert!(client.app.login_list(&Caller::Anybody).is_err(), "for the operator alone");
    assert!(client.app.login_approve(&Caller::Anybody, code, "example.org").await.is_err());
    assert!(client.app.login_approve(&Caller::Operator, code, "elsewhere.test").await.is_err());
    client.app.login_approve(&Caller::Operator, code, "example.org").await.unwrap();

    let claimed = claim().await;
    let approved = claimed.result();
    assert_eq!((&approved["status"], &approved["zone_name"]), (&json!("approved"), &json!("example.org")));
    let agent = client.with_token(approved["api_token"].as_str().unwrap());
    assert_eq!(agent.get(&zone).await.status, 200);
    assert_ne!(agent.get("/user/tokens").await.status, 200, "it may do what an agent needs");
    assert_eq!(claim().await.status, 404, "it is told once");
}

#[tokio::test]
async fn what_was_refused_is_over_and_one_address_has_a_few() {
    let client = client().await;
    let begin = async || post(&client, "/poterne/login", json!({})).await;
    let begun = begin().await;
    let (code, secret) = (begun.result()["code"].as_str().unwrap(), begun.result()["secret"].clone());
    client.app.login_refuse(&Caller::Operator, code).unwrap();
    let claimed = post(&client, "/poterne/login/claim", json!({ "secret": secret })).await;
    assert_eq!(claimed.status, 404);
    for _ in 0..poterne_control_app::LOGINS_OF_SOURCE_MAX {
        assert_eq!(begin().await.status, 200);
    }
    let limited = begin().await;
    assert_eq!((limited.status, limited.codes()), (429, vec![971]));
    assert_eq!(limited.headers["retry-after"], "600");
}
