//! Private routes and virtual networks.

use serde_json::{Value, json};

use super::{Client, client};

async fn tunnel(client: &Client, name: &str) -> String {
    let made = client.ask("POST", &format!("/accounts/{}/cfd_tunnel", client.account), json!({ "name": name })).await;
    made.result()["id"].as_str().unwrap().to_owned()
}

fn base(client: &Client) -> String {
    format!("/accounts/{}/teamnet", client.account)
}

#[tokio::test]
async fn a_default_network_is_always_there_and_may_be_handed_on() {
    let client = client().await;
    let path = format!("{}/virtual_networks", base(&client));
    let all = client.get(&path).await;
    let first = &all.result()[0];
    assert_eq!(
        (&first["name"], &first["is_default_network"], &first["deleted_at"]),
        (&json!("default"), &json!(true), &Value::Null)
    );
    assert_eq!(client.get(&path).await.result(), all.result(), "the same one");
    let made = client.ask("POST", &path, json!({ "name": "staging", "is_default_network": false, "comment": "c" })).await;
    let one = format!("{path}/{}", made.result()["id"].as_str().unwrap());
    assert_eq!(client.ask("POST", &path, json!({ "name": "staging" })).await.codes(), [10_000_409]);
    assert_eq!(client.ask("PATCH", &one, json!({ "is_default": true })).await.result()["is_default_network"], true);
    let found = client.get(&format!("{path}?is_default=true&is_deleted=false")).await;
    assert_eq!((found.result().as_array().unwrap().len(), &found.result()[0]["name"]), (1, &json!("staging")));
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.status, 400, "the default stays");
    let old = format!("{path}/{}", first["id"].as_str().unwrap());
    assert!(client.ask("DELETE", &old, Value::Null).await.result()["deleted_at"].is_string());
    assert_eq!(client.get(&format!("{path}?is_deleted=true")).await.result()[0]["name"], "default");
    client.ask("POST", &path, json!({ "name": "default" })).await.result();
}

#[tokio::test]
async fn the_longest_route_leads_and_goes_with_its_tunnel_or_network() {
    let client = client().await;
    let (routes, networks) = (format!("{}/routes", base(&client)), format!("{}/virtual_networks", base(&client)));
    let (web, db) = (tunnel(&client, "web").await, tunnel(&client, "db").await);
    let route = async |network: &str, tunnel: &str| {
        client.ask("POST", &routes, json!({ "network": network, "tunnel_id": tunnel, "comment": "c" })).await
    };
    let wide = route("10.0.0.0/8", &web).await;
    let narrow = route("10.1.2.3/16", &db).await;
    assert_eq!(narrow.result()["network"], "10.1.0.0/16");
    assert_eq!(route("10.0.0.0/8", &db).await.codes(), [10_000_409]);
    assert_eq!(route("100.100.0.0/16", &db).await.status, 400);
    let nowhere = route("10.2.0.0/16", "4577e670-7d8a-4f6e-992f-f9785f6e2e9d").await;
    assert_eq!(nowhere.body["errors"][0]["source"]["pointer"], "/tunnel_id");
    let of = async |ip: &str| client.get(&format!("{routes}/ip/{ip}")).await;
    assert_eq!(of("10.1.9.9").await.result()["tunnel_name"], "db");
    assert_eq!(of("10.9.9.9").await.result()["virtual_network_name"], "default");
    assert_eq!(of("192.0.2.1").await.result(), &Value::Null);
    assert_eq!(of("fd00::1").await.result(), &Value::Null);
    assert_eq!(of("home").await.status, 400);
    let found = client.get(&format!("{routes}?network_subset=10.1.0.0/16&is_deleted=false")).await;
    assert_eq!((found.result().as_array().unwrap().len(), &found.body["result_info"]["total_count"]), (1, &json!(1)));
    assert_eq!(client.get(&format!("{routes}?tun_types=warp_connector")).await.result(), &json!([]));
    let path = format!("{routes}/{}", wide.result()["id"].as_str().unwrap());
    assert_eq!(client.ask("PATCH", &path, json!({ "comment": "other" })).await.result()["comment"], "other");
    assert_eq!(client.get(&path).await.result()["comment"], "other");

    // A tunnel that routes lead into goes with them, or not at all.
    let of_db = format!("/accounts/{}/cfd_tunnel/{db}", client.account);
    let told = client.ask("DELETE", &of_db, Value::Null).await;
    assert_eq!((told.status, told.codes()), (400, vec![10_000_409]), "{}", told.body);
    client.ask("DELETE", &format!("{of_db}?cascade=true"), Value::Null).await.result();
    assert_eq!(of("10.1.9.9").await.result()["tunnel_name"], "web");
    assert_eq!(client.get(&format!("{routes}?is_deleted=true&tunnel_id={db}")).await.result().as_array().unwrap().len(), 1);

    // So does a virtual network.
    let made = client.ask("POST", &networks, json!({ "name": "other" })).await;
    let network = made.result()["id"].as_str().unwrap();
    let inside = json!({ "network": "10.0.0.0/8", "tunnel_id": web, "virtual_network_id": network });
    client.ask("POST", &routes, inside).await.result();
    assert_eq!(client.ask("DELETE", &format!("{networks}/{network}"), Value::Null).await.status, 400);
    client.ask("DELETE", &format!("{networks}/{network}?force=true"), Value::Null).await.result();
    assert_eq!(client.get(&format!("{routes}/ip/10.0.0.1?virtual_network_id={network}")).await.result(), &Value::Null);
    let gone = client.ask("DELETE", &path, Value::Null).await;
    assert_eq!((&gone.result()["network"], gone.result()["deleted_at"].is_string()), (&json!("10.0.0.0/8"), true));
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.status, 404);
    route("10.0.0.0/8", &web).await.result();
}
