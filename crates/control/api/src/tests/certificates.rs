//! Certificates: packs that are asked for, and certificates that are brought.

use poterne_control_app::{AcmeSettings, App, Caller, Settings};
use poterne_control_store::Store;
use poterne_keys::NodeKey;
use serde_json::{Value, json};

use super::{Client, client};

/// A node that orders of two authorities.
async fn ordering() -> Client {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let authority = |directory: &str| poterne_acme::Authority { directory: directory.into(), profile: None };
    let authorities = ["https://acme-v02.api.letsencrypt.org/directory", "https://dv.acme-v02.api.pki.goog/directory"];
    let acme = AcmeSettings { authorities: authorities.map(authority).to_vec(), methods: vec![poterne_acme::Method::Dns01] };
    let settings = Settings { acme, activate: vec!["*.com".into()], ..Settings::default() };
    let clock = std::sync::Arc::new(|| std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000));
    let app = App::open(store, &NodeKey::generate(), settings, clock, None).await.unwrap();
    let (_, token) = app.api_token_of_operator(&Caller::Operator, "all", &["all".into()]).await.unwrap();
    let account = app.account().to_string();
    Client { router: crate::router(app.clone(), 0), app, token, account, _dir: dir }
}

fn pair(names: &[&str], days: i64) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
    params.not_before = (now - std::time::Duration::from_secs(86_400)).into();
    params.not_after = (now + std::time::Duration::from_secs(86_400 * days.unsigned_abs())).into();
    if days < 0 {
        params.not_after = (now - std::time::Duration::from_secs(60)).into();
    }
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_zone_that_serves_has_a_pack_by_itself() {
    let client = ordering().await;
    let zone = client.zone("example.com").await;
    let id = zone.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(client.get(&format!("{zone}/ssl/certificate_packs?status=all")).await.result(), &json!([]));
    // As the publisher tells it.
    client.app.zones_changed([id].into_iter());
    assert_eq!(client.app.arrange_certificates().await.unwrap(), 1);
    assert_eq!(client.app.arrange_certificates().await.unwrap(), 0);
    assert_eq!(client.get(&format!("{zone}/ssl/certificate_packs")).await.result(), &json!([]), "none is active yet");
    let told = client.get(&format!("{zone}/ssl/certificate_packs?status=all")).await;
    let pack = &told.result()[0];
    assert_eq!((&pack["type"], &pack["status"]), (&json!("universal"), &json!("initializing")));
    assert_eq!(pack["hosts"], json!(["*.example.com", "example.com"]));
    assert_eq!((&pack["certificate_authority"], &pack["validation_method"]), (&json!("lets_encrypt"), &json!("txt")));
    let one = format!("{zone}/ssl/certificate_packs/{}", pack["id"].as_str().unwrap());
    assert_eq!(client.get(&one).await.result(), pack);
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.status, 400, "a zone has it by itself");
    let verified = client.get(&format!("{zone}/ssl/verification")).await;
    assert_eq!(verified.result().as_array().unwrap().len(), 2);
    assert_eq!(verified.result()[0]["verification_status"], false);

    let universal = format!("{zone}/ssl/universal/settings");
    assert_eq!(client.get(&universal).await.result(), &json!({ "enabled": true, "certificate_authority": "lets_encrypt" }));
    assert_eq!(client.ask("PATCH", &universal, json!({ "enabled": false })).await.result()["enabled"], false);
    assert_eq!(client.get(&format!("{zone}/ssl/certificate_packs?status=all")).await.result(), &json!([]));
    client.app.zones_changed([id].into_iter());
    assert_eq!(client.app.arrange_certificates().await.unwrap(), 0, "it is wanted no more");
    client.ask("PATCH", &universal, json!({ "enabled": true })).await.result();
    client.app.zones_changed([id].into_iter());
    assert_eq!(client.app.arrange_certificates().await.unwrap(), 1);
}

#[tokio::test]
async fn a_zone_that_waits_has_none() {
    let client = ordering().await;
    let zone = client.zone("example.org").await;
    client.app.all_zones_changed();
    assert_eq!(client.app.arrange_certificates().await.unwrap(), 0);
    assert!(client.app.certificate_packs_due(9).await.unwrap().is_empty());
    let body = json!({ "type": "advanced", "hosts": ["a.example.org"] });
    client.ask("POST", &format!("{zone}/ssl/certificate_packs/order"), body).await.result();
    assert!(client.app.certificate_packs_due(9).await.unwrap().is_empty(), "what is asked for waits with its zone");
    client.app.zone_activate(&Caller::Operator, "example.org").await.unwrap();
    client.app.all_zones_changed();
    assert_eq!(client.app.arrange_certificates().await.unwrap(), 2, "one more is there, and the other is due");
    assert_eq!(client.app.certificate_packs_due(9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_pack_that_is_asked_for_is_due_at_once() {
    let client = ordering().await;
    let zone = client.zone("example.com").await;
    let order = format!("{zone}/ssl/certificate_packs/order");
    let hosts = ["a.b.example.com", "example.com"];
    let wanted = json!({ "type": "advanced", "hosts": hosts, "certificate_authority": "google", "validation_method": "http", "validity_days": 90 });
    let made = client.ask("POST", &order, wanted.clone()).await;
    let made = made.result();
    assert_eq!((&made["hosts"], &made["type"]), (&json!(hosts), &json!("advanced")));
    assert_eq!(
        (&made["certificate_authority"], &made["validation_method"], &made["validity_days"]),
        (&json!("google"), &json!("http"), &json!(90))
    );
    assert_eq!(client.ask("POST", &order, wanted).await.status, 400, "there is one for exactly these");
    let due = client.app.certificate_packs_due(9).await.unwrap();
    assert_eq!((due.len(), due[0].methods(&[]).len()), (1, 1));
    assert!(client.app.certificate_packs_due(9).await.unwrap().is_empty(), "whoever took it up has it");
    for (body, pointer) in [
        (json!({ "type": "advanced", "hosts": [] }), "/hosts"),
        (json!({ "type": "advanced", "hosts": ["a_b.example.com"] }), "/hosts/0"),
        (json!({ "type": "advanced", "hosts": ["*.example.com"], "validation_method": "http" }), "/validation_method"),
        (json!({ "type": "advanced", "hosts": ["example.com"], "validity_days": 15 }), "/validity_days"),
        (json!({ "type": "universal", "hosts": ["example.com"] }), "/type"),
    ] {
        let refused = client.ask("POST", &order, body).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["source"]["pointer"]), (400, &json!(pointer)));
    }
    for body in [
        json!({ "type": "advanced", "hosts": ["example.org"] }),
        json!({ "type": "advanced", "hosts": ["example.com"], "certificate_authority": "ssl_com" }),
    ] {
        assert_eq!(client.ask("POST", &order, body).await.status, 400);
    }
    let one = format!("{zone}/ssl/certificate_packs/{}", made["id"].as_str().unwrap());
    assert_eq!(client.ask("PATCH", &one, Value::Null).await.result()["id"], made["id"]);
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.result()["id"], made["id"]);
    assert_eq!(client.get(&one).await.status, 404);
    let other = client.zone("example.net.com").await;
    assert_eq!(client.get(&format!("{other}/ssl/certificate_packs/{}", made["id"].as_str().unwrap())).await.status, 404);
}

#[tokio::test]
async fn what_went_wrong_is_told() {
    let client = ordering().await;
    let zone = client.zone("example.com").await;
    client.app.all_zones_changed();
    client.app.arrange_certificates().await.unwrap();
    let due = client.app.certificate_packs_due(9).await.unwrap().remove(0);
    let directory = "https://acme-v02.api.letsencrypt.org/directory";
    let authorities = poterne_acme::Authorities::new(client.app.acme_settings().authorities);
    let trouble = poterne_acme::Trouble::new(poterne_acme::Culprit::Validation, "no TXT record");
    client.app.pack_failed(due.pack.id, Some(directory), trouble, &authorities).await.unwrap();
    let told = client.get(&format!("{zone}/ssl/certificate_packs?status=all")).await;
    let pack = &told.result()[0];
    assert_eq!(pack["validation_errors"], json!([{ "message": "lets_encrypt: no TXT record" }]));
    assert_eq!((&pack["status"], &pack["failures"]), (&json!("pending_validation"), &json!(0)), "another is asked first");
    assert_eq!(client.app.certificate_packs_due(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_that_orders_nothing_says_so() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let body = json!({ "type": "advanced", "hosts": ["example.com"] });
    let refused = client.ask("POST", &format!("{zone}/ssl/certificate_packs/order"), body).await;
    assert!(
        refused.status == 400 && refused.body["errors"][0]["message"].as_str().unwrap().contains("[acme]"),
        "{}",
        refused.body
    );
    let universal = client.get(&format!("{zone}/ssl/universal/settings")).await;
    assert_eq!(universal.result(), &json!({ "enabled": true, "certificate_authority": null }));
}

#[tokio::test]
async fn a_certificate_is_brought_and_its_key_never_shown() {
    let client = ordering().await;
    let zone = client.zone("example.com").await;
    let base = format!("{zone}/custom_certificates");
    let (chain, key) = pair(&["www.example.com", "example.com", "elsewhere.org"], 30);
    let body = json!({ "certificate": chain, "private_key": key, "bundle_method": "force", "type": "sni_custom" });
    let made = client.ask("POST", &base, body).await;
    let made = made.result();
    assert_eq!((&made["hosts"], &made["status"]), (&json!(["example.com", "www.example.com"]), &json!("active")));
    assert_eq!((&made["bundle_method"], &made["signature"]), (&json!("force"), &json!("ECDSAWithSHA256")));
    assert!(!made.to_string().contains("PRIVATE"));
    let one = format!("{base}/{}", made["id"].as_str().unwrap());
    assert_eq!(client.get(&one).await.result(), made);

    let (other_chain, other_key) = pair(&["*.example.com"], 30);
    let second = client.ask("POST", &base, json!({ "certificate": other_chain, "private_key": other_key })).await;
    let second = second.result()["id"].clone();
    let order = |told: &Value| told.as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(order(client.get(&base).await.result()), [second.clone(), made["id"].clone()]);
    let priorities = json!({ "certificates": [{ "id": made["id"], "priority": 9 }] });
    let told = client.ask("PUT", &format!("{base}/prioritize"), priorities).await;
    assert_eq!(order(told.result()), [made["id"].clone(), second]);
    assert_eq!(client.get(&format!("{base}?status=expired")).await.result(), &json!([]));

    let (renewed, renewed_key) = pair(&["www.example.com"], 60);
    let changed = client.ask("PATCH", &one, json!({ "certificate": renewed, "private_key": renewed_key })).await;
    assert_eq!((&changed.result()["id"], &changed.result()["hosts"]), (&made["id"], &json!(["www.example.com"])));
    let (expired, expired_key) = pair(&["example.com"], -1);
    for (chain, key) in [(&chain, &other_key), (&expired, &expired_key), (&"text".to_owned(), &key), (&key, &key)] {
        let refused = client.ask("POST", &base, json!({ "certificate": chain, "private_key": key })).await;
        assert!(refused.status == 400 && !refused.body.to_string().contains("PRIVATE"), "{}", refused.body);
    }
    let (foreign, foreign_key) = pair(&["elsewhere.org"], 30);
    let refused = client.ask("POST", &base, json!({ "certificate": foreign, "private_key": foreign_key })).await;
    assert!(refused.body["errors"][0]["message"].as_str().unwrap().contains("no name of example.com"));
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.result(), &json!({ "id": made["id"] }));
    assert_eq!(client.get(&one).await.status, 404);
}

#[tokio::test]
async fn certificates_have_a_permission_of_their_own() {
    let client = ordering().await;
    let zone = client.zone("example.com").await;
    let reader = client.reader("SSL and Certificates Read").await;
    reader.get(&format!("{zone}/ssl/certificate_packs")).await.result();
    let refused = reader.ask("PATCH", &format!("{zone}/ssl/universal/settings"), json!({ "enabled": false })).await;
    assert_eq!(refused.status, 403);
    let other = client.reader("DNS Read").await;
    assert_eq!(other.get(&format!("{zone}/ssl/certificate_packs")).await.status, 403);
}
