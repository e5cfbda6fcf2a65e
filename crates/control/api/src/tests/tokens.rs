//! API tokens, and what they may do.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn a_token_does_what_its_policies_say_and_no_more() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let groups = client.get("/user/tokens/permission_groups").await;
    let id = |name: &str| groups.result().as_array().unwrap().iter().find(|group| group["name"] == name).unwrap()["id"].clone();
    let policies = json!([{
        "effect": "allow", "permission_groups": [{ "id": id("Zone Read") }],
        "resources": { "com.cloudflare.api.account.zone.*": "*" },
    }]);
    let made = client.ask("POST", "/user/tokens", json!({ "name": "reader", "policies": policies })).await;
    let (token, secret) = (made.result()["id"].as_str().unwrap(), made.result()["value"].as_str().unwrap());
    let reader = client.with_token(secret);
    assert_eq!(reader.get("/zones").await.result().as_array().unwrap().len(), 1);
    let told = reader.ask("DELETE", &zone, Value::Null).await;
    assert_eq!((told.status, told.codes()), (403, vec![10000]), "seen, and not to be changed");
    let told = reader.get(&format!("/accounts/{}/cfd_tunnel", client.account)).await;
    assert_eq!(told.status, 404, "nothing of the account may be seen");
    // What is changed counts at once.
    let off = json!({ "name": "reader", "policies": policies, "status": "disabled" });
    let told = client.ask("PUT", &format!("/user/tokens/{token}"), off).await;
    let id = |token: &Value| token["policies"][0]["id"].clone();
    assert_eq!(id(told.result()), id(made.result()), "a policy that is repeated is the same one");
    assert_eq!(reader.get("/zones").await.codes(), [9109]);
    assert_eq!(reader.get("/user/tokens/verify").await.result()["status"], "disabled");
    client.ask("DELETE", &format!("/user/tokens/{token}"), Value::Null).await.result();
    assert_eq!(reader.get("/user/tokens/verify").await.codes(), [1000]);
    assert!(client.get(&format!("/user/tokens/{token}")).await.status == 404);
}
