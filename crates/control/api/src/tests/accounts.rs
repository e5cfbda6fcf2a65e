//! Accounts: who makes and deletes them, and what stays apart.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn whoever_owns_the_first_account_makes_others_and_deletes_them_when_they_are_empty() {
    let client = client().await;
    let made = client.ask("POST", "/accounts", json!({ "name": "Ada & Co", "type": "standard" })).await;
    let id = made.result()["id"].as_str().unwrap().to_owned();
    assert_eq!((&made.result()["name"], &made.result()["type"]), (&json!("Ada & Co"), &json!("standard")));
    let path = format!("/accounts/{id}");
    assert_eq!(client.get(&path).await.result()["id"], id);
    assert_eq!(client.get("/accounts").await.result().as_array().unwrap().len(), 2);
    let mine = client.get("/memberships?account.name=Ada%20%26%20Co").await;
    assert_eq!(mine.result()[0]["roles"][0], "Super Administrator - All Privileges");
    // The token reaches the first account alone: what is in the other is not there for it.
    assert_eq!(client.get(&format!("{path}/cfd_tunnel")).await.status, 404);
    let resources = json!({ format!("com.cloudflare.api.account.{id}"): "*" });
    let zones = json!({ format!("com.cloudflare.api.account.{id}"): { "com.cloudflare.api.account.zone.*": "*" } });
    let groups = all_groups(&client).await;
    let policy = |resources: Value| json!({ "effect": "allow", "resources": resources, "permission_groups": groups });
    let body = json!({ "name": "theirs", "policies": [policy(resources), policy(zones)] });
    let token = client.ask("POST", "/user/tokens", body).await.result()["value"].as_str().unwrap().to_owned();
    let theirs = client.with_token(&token);
    assert_eq!(theirs.ask("POST", "/accounts", json!({ "name": "more" })).await.codes(), [10000], "not with this token");
    let zone = theirs.ask("POST", "/zones", json!({ "name": "ada.example", "account": { "id": id } })).await;
    let told = client.ask("DELETE", &path, Value::Null).await;
    assert_eq!((told.status, told.codes()), (400, vec![10_000_409]), "it has a zone");
    theirs.ask("DELETE", &format!("/zones/{}", zone.result()["id"].as_str().unwrap()), Value::Null).await.result();
    let tunnel = theirs.ask("POST", &format!("{path}/cfd_tunnel"), json!({ "name": "web" })).await;
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.codes(), [10_000_409], "it has a tunnel");
    let tunnel = format!("{path}/cfd_tunnel/{}", tunnel.result()["id"].as_str().unwrap());
    theirs.ask("DELETE", &tunnel, Value::Null).await.result();
    let invited = theirs.ask("POST", &format!("{path}/members"), json!({ "email": "bob@example.com", "roles": ["DNS"] })).await;
    invited.result();
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.result()["id"], id);
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.status, 404);
    // Whoever was only invited there is gone: inviting them anew makes another person of the address.
    let again = client
        .ask("POST", &format!("/accounts/{}/members", client.account), json!({ "email": "bob@example.com", "roles": ["DNS"] }))
        .await;
    assert_ne!(again.result()["user"]["id"], invited.result()["user"]["id"]);
    let log = client.get(&format!("/accounts/{}/audit_logs?per_page=100", client.account)).await;
    let traced: Vec<_> = log
        .result()
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["resource"]["type"] == "account")
        .map(|event| (event["resource"]["id"].as_str().unwrap(), event["action"]["type"].as_str().unwrap()))
        .collect();
    assert!(traced.contains(&(id.as_str(), "create")) && traced.contains(&(id.as_str(), "delete")), "{traced:?}");
}

async fn all_groups(client: &super::Client) -> Value {
    let groups = client.get(&format!("/accounts/{}/tokens/permission_groups", client.account)).await;
    groups.result().as_array().unwrap().iter().map(|group| json!({ "id": group["id"] })).collect()
}

#[tokio::test]
async fn nobody_else_makes_accounts_and_the_first_one_stays() {
    let client = client().await;
    let reader = client.reader("Account Settings Read").await;
    let told = reader.ask("POST", "/accounts", json!({ "name": "x" })).await;
    assert_eq!((told.status, told.codes()), (403, vec![10000]));
    let first = format!("/accounts/{}", client.account);
    let told = client.ask("DELETE", &first, Value::Null).await;
    assert_eq!((told.status, told.codes()), (400, vec![10_000_409]));
    assert_eq!(reader.ask("DELETE", &first, Value::Null).await.status, 403);
    assert_eq!(client.ask("DELETE", &format!("/accounts/{}", "0".repeat(32)), Value::Null).await.status, 404);
    for body in
        [json!({}), json!({ "name": " " }), json!({ "name": "x".repeat(101) }), json!({ "name": "x", "type": "enterprise" })]
    {
        assert_eq!(client.ask("POST", "/accounts", body.clone()).await.status, 400, "{body}");
    }
    // An account's own token is nobody.
    let groups = client.get("/user/tokens/permission_groups").await;
    let write =
        groups.result().as_array().unwrap().iter().find(|group| group["name"] == "Account Settings Write").unwrap()["id"].clone();
    let body = json!({ "name": "own", "policies": [{
        "effect": "allow", "permission_groups": [{ "id": write }],
        "resources": { format!("com.cloudflare.api.account.{}", client.account): "*" },
    }] });
    let own = client.ask("POST", &format!("{first}/tokens"), body).await;
    let own = client.with_token(own.result()["value"].as_str().unwrap());
    assert_eq!(own.ask("POST", "/accounts", json!({ "name": "x" })).await.status, 400);
}

#[tokio::test]
async fn an_account_is_changed_by_name_or_settings() {
    let client = client().await;
    let path = format!("/accounts/{}", client.account);
    let before = client.get(&path).await.result().clone();
    for method in ["PUT", "PATCH"] {
        for (body, pointer) in [
            (json!({}), "/name"),
            (json!({ "settings": null }), "/name"),
            (json!({ "name": "x", "settings": "strict" }), "/settings"),
            (json!({ "settings": [true] }), "/settings"),
            (json!({ "settings": { "enforce_twofactor": "yes" } }), "/settings/enforce_twofactor"),
        ] {
            let told = client.ask(method, &path, body.clone()).await;
            assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!(pointer)), "{method} {body}");
        }
        for body in [json!({ "settings": {} }), json!({ "settings": { "enforce_twofactor": false } })] {
            assert_eq!(client.ask(method, &path, body).await.result(), &before, "what is not named stays");
        }
    }
    assert_eq!(client.ask("PATCH", &path, json!({ "name": "home", "settings": {} })).await.result()["name"], "home");
}

#[tokio::test]
async fn zones_begin_with_what_their_account_says() {
    let client = client().await;
    let path = format!("/accounts/{}/dns_settings", client.account);
    assert_eq!(client.get(&path).await.result()["zone_defaults"]["ns_ttl"], 86_400);
    let before = client.zone("before.example").await;
    let set = client.ask("PATCH", &path, json!({ "zone_defaults": { "ns_ttl": 300, "soa": { "retry": 900 } } })).await;
    assert_eq!(set.result()["zone_defaults"]["ns_ttl"], 300);
    let after = client.zone("after.example").await;
    let ttl = async |zone: &str| client.get(&format!("{zone}/dns_settings")).await.result()["ns_ttl"].clone();
    assert_eq!((ttl(&before).await, ttl(&after).await), (json!(86_400), json!(300)));
    for (body, pointer) in [
        (json!({ "zone_defaults": { "ns_ttl": 1 } }), "/zone_defaults/ns_ttl"),
        (
            json!({ "zone_defaults": { "internal_dns": { "reference_zone_id": "0".repeat(32) } } }),
            "/zone_defaults/internal_dns/reference_zone_id",
        ),
        (json!({ "enforce_dns_only": true }), "/enforce_dns_only"),
    ] {
        let told = client.ask("PATCH", &path, body).await;
        assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!(pointer)));
    }
    assert_eq!(client.reader("Zone Read").await.get(&path).await.codes(), [10000]);
    assert_eq!(client.get(&format!("/accounts/{}/dns_settings", "0".repeat(32))).await.status, 404);
}
