//! Tunnels, and names that lead to them.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn tunnels_are_made_configured_and_deleted_as_the_agents_program_asks() {
    let client = client().await;
    let base = format!("/accounts/{}/cfd_tunnel", client.account);
    let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let made = client.ask("POST", &base, json!({ "name": "web", "tunnel_secret": secret })).await;
    let id = made.result()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.result()["credentials_file"]["TunnelSecret"], secret);
    assert_eq!((&made.result()["config_src"], &made.result()["status"]), (&json!("local"), &json!("inactive")));
    let again = client.ask("POST", &base, json!({ "name": "web" })).await;
    assert_eq!((again.status, again.codes()), (409, vec![1013]));
    assert_eq!(again.headers["x-should-retry"], "false");
    let path = format!("{base}/{id}");
    assert!(client.get(&format!("{path}/token")).await.result().is_string());
    let found = async |query: &str| client.get(&format!("{base}?{query}")).await.result().as_array().unwrap().len();
    assert_eq!(found(&format!("uuid={id}")).await, 1);
    assert_eq!(found("is_deleted=false&name=web").await, 1);
    assert_eq!(found("name=we").await, 0);
    assert_eq!(found("name_prefix=we&exclude_prefix=x").await, 1);
    assert_eq!(found("uuid=4577e670-7d8a-4f6e-992f-f9785f6e2e9d").await, 0);
    assert_eq!(client.get(&format!("{path}/configurations")).await.result()["version"], 0);
    let wrong = client
        .ask(
            "PUT",
            &format!("{path}/configurations"),
            json!({ "config": { "ingress": [{ "hostname": "a.b", "service": "http://x" }] } }),
        )
        .await;
    assert_eq!(wrong.status, 400, "the last rule is no catch-all");
    let config = json!({ "ingress": [{ "hostname": "a.example.com", "service": "http://localhost:1" }, { "service": "http_status:404" }] });
    let set = client.ask("PUT", &format!("{path}/configurations"), json!({ "config": config })).await;
    assert_eq!((&set.result()["version"], &set.result()["config"]), (&json!(1), &config));
    assert_eq!(client.ask("PATCH", &path, json!({ "name": "site" })).await.result()["name"], "site");
    assert_eq!(client.ask("DELETE", &format!("{path}/connections"), Value::Null).await.result(), &json!({}));
    assert!(client.ask("DELETE", &path, Value::Null).await.result()["deleted_at"].is_string());
    assert!(client.get(&path).await.result()["deleted_at"].is_string(), "a deleted tunnel is still told of");
    assert_eq!(found("is_deleted=false").await, 0);
    assert_eq!(found("").await, 1);
    client.ask("POST", &base, json!({ "name": "site" })).await.result();
}

#[tokio::test]
async fn a_name_is_routed_once_and_again_only_when_told_to() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let base = format!("/accounts/{}/cfd_tunnel", client.account);
    let mut paths = Vec::new();
    for name in ["one", "two"] {
        let made = client.ask("POST", &base, json!({ "name": name })).await;
        paths.push(format!("{zone}/tunnels/{}/routes", made.result()["id"].as_str().unwrap()));
    }
    let body = |overwrite: bool| json!({ "type": "dns", "user_hostname": "app", "overwrite_existing": overwrite });
    let routed = client.ask("PUT", &paths[0], body(false)).await;
    assert_eq!((&routed.result()["cname"], &routed.result()["name"]), (&json!("new"), &json!("app.example.com")));
    assert_eq!(client.ask("PUT", &paths[0], body(false)).await.result()["cname"], "unchanged");
    let taken = client.ask("PUT", &paths[1], body(false)).await;
    assert_eq!((taken.status, taken.codes()), (400, vec![1003]));
    assert_eq!(client.ask("PUT", &paths[1], body(true)).await.result()["cname"], "updated");
}
