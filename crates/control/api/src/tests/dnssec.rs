//! Signing of zones.

use poterne_control_app::App;
use poterne_model::ZoneId;
use serde_json::{Value, json};

use super::{Client, client};

async fn signed(client: &Client) -> (String, ZoneId) {
    let zone = client.zone("example.com").await;
    let id = zone.rsplit('/').next().unwrap().parse().unwrap();
    (format!("{zone}/dnssec"), id)
}

async fn status(client: &Client, path: &str) -> String {
    client.get(path).await.result()["status"].as_str().unwrap().to_owned()
}

async fn seen(app: &App, zone: ZoneId, seen: bool) {
    app.ds_seen(zone, seen).await.unwrap();
}

#[tokio::test]
async fn a_zone_is_signed_and_waits_for_its_parent() {
    let client = client().await;
    let (path, zone) = signed(&client).await;
    let before = client.get(&path).await;
    let fields = before.result().as_object().unwrap();
    assert_eq!((fields.len(), &fields["status"]), (14, &json!("disabled")));
    assert!(fields.iter().all(|(name, value)| name == "status" || value.is_null()), "{fields:?}");
    seen(&client.app, zone, true).await;
    assert_eq!(status(&client, &path).await, "disabled");
    let made = client.ask("PATCH", &path, json!({ "status": "active" })).await;
    let made = made.result();
    assert_eq!((&made["status"], &made["flags"], &made["algorithm"]), (&json!("pending"), &json!(257), &json!("13")));
    assert_eq!((&made["key_type"], &made["digest_type"]), (&json!("ECDSAP256SHA256"), &json!("2")));
    let (tag, digest) = (made["key_tag"].as_u64().unwrap(), made["digest"].as_str().unwrap());
    assert_eq!(made["ds"], format!("example.com. 3600 IN DS {tag} 13 2 {digest}"));
    assert_eq!((digest.len(), made["public_key"].as_str().unwrap().len()), (64, 88));
    assert!(["dnssec_multi_signer", "dnssec_presigned", "dnssec_use_nsec3"].iter().all(|switch| made[switch].is_null()));
    assert_eq!(client.get(&path).await.result(), made);
    assert_eq!(client.ask("PATCH", &path, json!({ "status": "active", "algorithm": "15" })).await.result(), made, "it has keys");
    seen(&client.app, zone, true).await;
    assert_eq!(status(&client, &path).await, "active");
    seen(&client.app, zone, false).await;
    assert_eq!(status(&client, &path).await, "pending");
}

#[tokio::test]
async fn keys_stay_while_a_resolver_may_rely_on_them() {
    let client = client().await;
    let (path, zone) = signed(&client).await;
    assert_eq!(client.ask("PATCH", &path, json!({ "status": "disabled" })).await.result()["status"], "disabled");
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.result(), "");
    client.ask("PATCH", &path, json!({ "status": "active" })).await.result();
    seen(&client.app, zone, true).await;
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.status, 400);
    let key = client.get(&path).await.result()["public_key"].clone();
    assert_eq!(client.ask("PATCH", &path, json!({ "status": "disabled" })).await.result()["status"], "pending-disabled");
    seen(&client.app, zone, false).await;
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.result(), "", "they go as soon as they can");
    assert_eq!(
        (status(&client, &path).await, &client.get(&path).await.result()["public_key"]),
        ("pending-disabled".into(), &key)
    );
    let again = client.ask("PATCH", &path, json!({ "status": "active" })).await;
    assert_eq!((&again.result()["status"], &again.result()["public_key"]), (&json!("pending"), &key));
}

#[tokio::test]
async fn keys_are_rolled_when_somebody_asks() {
    let client = client().await;
    let (path, zone) = signed(&client).await;
    let roll = path.replace("/dnssec", "/poterne/dnssec/roll");
    assert_eq!(client.ask("POST", &roll, json!({ "key": "ksk" })).await.status, 404);
    client.ask("PATCH", &path, json!({ "status": "active", "algorithm": "15" })).await.result();
    assert_eq!(client.app.ds_wanted(zone).await.unwrap().len(), 1);
    assert_eq!(client.ask("POST", &roll, json!({ "key": "ksk" })).await.result()["key_type"], "ED25519");
    assert_eq!(client.app.ds_wanted(zone).await.unwrap().len(), 2, "the parent is asked for both");
    assert_eq!(client.ask("POST", &roll, json!({ "key": "ksk" })).await.status, 400);
    client.ask("POST", &roll, json!({ "key": "zsk" })).await.result();
    assert_eq!(client.ask("POST", &roll, json!({ "key": "csk" })).await.status, 400);
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let client = client().await;
    let (path, _) = signed(&client).await;
    for wrong in [
        json!({ "status": "on" }),
        json!({ "status": "active", "dnssec_use_nsec3": true }),
        json!({ "dnssec_presigned": true }),
        json!({ "status": "active", "algorithm": "8" }),
    ] {
        assert_eq!(client.ask("PATCH", &path, wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(client.ask("PATCH", &path, json!({ "dnssec_presigned": false })).await.result()["status"], "disabled");
    let reader = client.reader("DNS Read").await;
    assert_eq!(reader.get(&path).await.result()["status"], "disabled");
    assert_eq!(reader.ask("PATCH", &path, json!({ "status": "active" })).await.codes(), [10000]);
}

#[tokio::test]
async fn a_zone_whose_ds_is_at_its_parent_is_deleted_only_by_whoever_insists() {
    let client = client().await;
    let (path, zone) = signed(&client).await;
    let of_zone = path.trim_end_matches("/dnssec").to_owned();
    client.ask("PATCH", &path, json!({ "status": "active" })).await.result();
    seen(&client.app, zone, true).await;
    let refused = client.ask("DELETE", &of_zone, Value::Null).await;
    let why = refused.body["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(refused.status == 400 && why.contains("DS record") && why.contains("force=true"), "{why}");
    assert_eq!(client.ask("DELETE", &format!("{of_zone}?force=perhaps"), Value::Null).await.status, 400);
    client.ask("DELETE", &format!("{of_zone}?force=true"), Value::Null).await.result();
    // Where it is not seen, nobody is asked twice.
    let (path, zone) = signed(&client).await;
    client.ask("PATCH", &path, json!({ "status": "active" })).await.result();
    seen(&client.app, zone, true).await;
    seen(&client.app, zone, false).await;
    client.ask("DELETE", path.trim_end_matches("/dnssec"), Value::Null).await.result();
}
