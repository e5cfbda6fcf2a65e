//! Holds of zones.

use poterne_control_app::Caller;
use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn a_zone_that_is_held_is_added_by_nobody_else() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let hold = format!("{zone}/hold");
    let none = json!({ "hold": false, "hold_after": null, "include_subdomains": false });
    assert_eq!(client.get(&hold).await.result(), &none);
    let told = client.ask("POST", &hold, Value::Null).await;
    assert_eq!(told.status, 400, "a pending zone could be anybody's");
    assert_eq!(client.ask("PATCH", &hold, json!({ "include_subdomains": true })).await.status, 404);
    client.app.zone_activate(&Caller::Operator, "example.com").await.unwrap();
    let held = client.ask("POST", &hold, Value::Null).await;
    assert_eq!(held.result(), &json!({ "hold": true, "hold_after": null, "include_subdomains": false }));

    // Another account, whose owner is the node's operator: verbs without a token.
    let other = client.ask("POST", "/accounts", json!({ "name": "other" })).await.result()["id"].as_str().unwrap().to_owned();
    let add = async |name: &str| {
        let added = client.app.zone_create(&Caller::Operator, other.parse().unwrap(), name).await;
        added.map(|zone| zone.id).map_err(|error| error.to_string())
    };
    assert!(add("example.com").await.unwrap_err().contains("another account of this node holds example.com"));
    let below = add("a.example.com").await.unwrap();
    client.app.zone_delete(&Caller::Operator, below).await.unwrap();
    let changed = client.ask("PATCH", &hold, json!({ "include_subdomains": true, "hold_after": "" })).await;
    assert_eq!(changed.result()["include_subdomains"], true);
    assert!(add("a.example.com").await.is_err());
    add("anexample.com").await.unwrap();
    // The account itself is not kept out.
    let own = json!({ "name": "b.example.com", "account": { "id": client.account } });
    client.ask("POST", "/zones", own).await.result();
    // Suspended until later; the clock here stands at 1970.
    let suspended = client.ask("DELETE", &format!("{hold}?hold_after=1971-01-01T00:00:00Z"), Value::Null).await;
    assert_eq!(
        suspended.result(),
        &json!({ "hold": false, "hold_after": "1971-01-01T00:00:00.000000Z", "include_subdomains": true })
    );
    let below = add("a.example.com").await.unwrap();
    client.app.zone_delete(&Caller::Operator, below).await.unwrap();
    client.ask("PATCH", &hold, json!({ "hold_after": "1969-12-31T00:00:00Z" })).await.result();
    assert!(add("a.example.com").await.is_err());
    assert_eq!(client.ask("DELETE", &hold, Value::Null).await.result(), &none);
    assert_eq!(client.ask("DELETE", &hold, Value::Null).await.result(), &none);
    add("a.example.com").await.unwrap();
    let reader = client.reader("Zone Read").await;
    assert_eq!(reader.get(&hold).await.result(), &none);
    assert_eq!(reader.ask("POST", &hold, Value::Null).await.codes(), [10000]);
    assert_eq!(client.ask("PATCH", &hold, json!({ "hold_after": "soon" })).await.status, 400);
}

#[tokio::test]
async fn what_a_client_is_told_has_the_code_it_knows() {
    let client = client().await;
    client.zone("example.com").await;
    let own = client.get("/zones?name=example.com").await.result()[0]["id"].as_str().unwrap().to_owned();
    client.app.zone_activate(&Caller::Operator, "example.com").await.unwrap();
    client.ask("POST", &format!("/zones/{own}/hold?include_subdomains=true"), Value::Null).await.result();
    let other = client.ask("POST", "/accounts", json!({ "name": "other" })).await.result()["id"].as_str().unwrap().to_owned();
    let groups = client.get("/user/tokens/permission_groups").await;
    let write = groups.result().as_array().unwrap().iter().find(|group| group["name"] == "Zone Write").unwrap()["id"].clone();
    let resources = json!({ format!("com.cloudflare.api.account.{other}"): { "com.cloudflare.api.account.zone.*": "*" } });
    let body = json!({ "name": "z", "policies": [{ "effect": "allow", "permission_groups": [{ "id": write }], "resources": resources }] });
    let token = client.ask("POST", "/user/tokens", body).await.result()["value"].as_str().unwrap().to_owned();
    let told =
        client.with_token(&token).ask("POST", "/zones", json!({ "name": "a.example.com", "account": { "id": other } })).await;
    assert_eq!((told.status, told.codes()), (400, vec![1099]));
}
