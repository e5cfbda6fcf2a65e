//! How edge and origins know each other.

use poterne_keys::{CertificateKey, LocalCa};
use serde_json::{Value, json};

use super::{Client, client};

fn request(hosts: &[&str], kind: &str) -> Value {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    json!({ "csr": csr(), "hostnames": hosts, "request_type": kind })
}

fn csr() -> String {
    let der = CertificateKey::generate().unwrap().request(&["whatever.test".into()]).unwrap();
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der))
}

async fn issue(client: &Client, body: Value) -> Result<Value, (u16, Value)> {
    let told = client.ask("POST", "/certificates", body).await;
    if told.status == 200 { Ok(told.result().clone()) } else { Err((told.status, told.body["errors"][0].clone())) }
}

#[tokio::test]
async fn a_certificate_is_issued_listed_shown_and_revoked() {
    let client = client().await;
    let zone = client.active_zone("site.test").await;
    let id = zone.trim_start_matches("/zones/");
    let hosts = ["site.test", "*.site.test", "site.test"];
    let made = issue(&client, request(&hosts, "origin-ecc")).await.unwrap();
    assert_eq!((&made["hostnames"], &made["requested_validity"]), (&json!(["site.test", "*.site.test"]), &json!(5475)));
    assert_eq!((&made["request_type"], &made["expires_on"]), (&json!("origin-ecc"), &json!("1984-12-28 00:00:00 +0000 UTC")));
    assert!(made["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let listed = client.get(&format!("/certificates?zone_id={id}&per_page=5")).await;
    assert_eq!((listed.result(), &listed.body["result_info"]["total_count"]), (&json!([made]), &json!(1)));
    assert_eq!(
        client.get(&format!("/certificates?zone_id={id}&page=2")).await.result(),
        &json!([]),
        "whoever turns pages comes to an end"
    );
    let one = format!("/certificates/{}", made["id"].as_str().unwrap());
    assert_eq!(client.get(&one).await.result(), &made);
    let short = json!({ "requested_validity": 7, "csr": csr(), "hostnames": ["a.b.site.test"], "request_type": "origin-ecc" });
    assert_eq!(issue(&client, short).await.unwrap()["expires_on"], "1970-01-08 00:00:00 +0000 UTC");
    let gone = client.ask("DELETE", &one, Value::Null).await;
    assert_eq!(gone.result()["id"], made["id"]);
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.result(), gone.result(), "once is enough");
    assert!(client.get(&one).await.result()["revoked_at"].is_string());
    assert_eq!(client.get(&format!("/certificates?zone_id={id}")).await.result().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_is_certified_for_what_is_not_his() {
    let client = client().await;
    client.active_zone("site.test").await;
    client.zone("waiting.test").await;
    let pointer = async |body| issue(&client, body).await.unwrap_err().1["source"]["pointer"].clone();
    for host in ["other.test", "waiting.test", "test", "*.test"] {
        let (status, error) = issue(&client, request(&["site.test", host], "origin-ecc")).await.unwrap_err();
        assert!(status == 400 && error["message"].as_str().unwrap().contains(host), "{error}");
    }
    assert_eq!(pointer(request(&["site.test"], "origin-rsa")).await, "/request_type", "the key is on a curve");
    assert_eq!(pointer(request(&[], "origin-ecc")).await, "/hostnames");
    assert_eq!(pointer(json!({ "csr": "x", "hostnames": ["site.test"], "request_type": "origin-ecc" })).await, "/csr");
    let odd = json!({ "requested_validity": 8, "csr": csr(), "hostnames": ["site.test"], "request_type": "origin-ecc" });
    assert_eq!(pointer(odd).await, "/requested_validity");
    let made = issue(&client, request(&["site.test"], "origin-ecc")).await.unwrap();
    let reader = client.reader("SSL and Certificates Read").await;
    assert_eq!(issue(&reader, request(&["site.test"], "origin-ecc")).await.unwrap_err().0, 403);
    let one = format!("/certificates/{}", made["id"].as_str().unwrap());
    assert_eq!((reader.get(&one).await.status, reader.ask("DELETE", &one, Value::Null).await.status), (200, 403));
    let other = client.reader("Zone Read").await;
    assert_eq!(other.get(&one).await.status, 403);
    for unknown in ["/certificates/1", "/certificates/x", "/certificates?zone_id=x"] {
        assert_eq!(client.get(unknown).await.status, 404, "{unknown}");
    }
    assert_eq!(client.get("/certificates").await.status, 400);
}

#[tokio::test]
async fn the_edge_shows_what_was_brought_last() {
    let client = client().await;
    let zone = client.zone("site.test").await;
    let base = format!("{zone}/origin_tls_client_auth");
    let settings = format!("{base}/settings");
    assert_eq!(client.get(&settings).await.result(), &json!({ "enabled": false }));
    assert_eq!(client.ask("PUT", &settings, json!({ "enabled": true })).await.result(), &json!({ "enabled": true }));
    assert_eq!(client.get(&settings).await.result(), &json!({ "enabled": true }));
    assert_eq!(client.ask("PUT", &settings, json!({ "enabled": "on" })).await.status, 400);
    let authority = client.get(&format!("{zone}/poterne/origin_pull_authority")).await;
    assert!(authority.result()["certificate"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    let ca = LocalCa::generate(&super::spec("brought"), std::time::UNIX_EPOCH).unwrap();
    let leaf = || {
        let leaf = ca.issue_client("the edge", std::time::UNIX_EPOCH, None).unwrap();
        let encode = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
        (encode("CERTIFICATE", &leaf.chain[0]), encode("PRIVATE KEY", leaf.key.secret_der()))
    };
    let bring = async |certificate: &str, key: &str| {
        client.ask("POST", &base, json!({ "certificate": certificate, "private_key": key })).await
    };
    let ((one, key), (other, other_key)) = (leaf(), leaf());
    let wrong = bring(&one, &other_key).await;
    assert_eq!((wrong.status, &wrong.body["errors"][0]["source"]["pointer"]), (400, &json!("/private_key")));
    assert!(!wrong.body.to_string().contains("PRIVATE"), "a key is told to nobody");
    let first = bring(&one, &key).await.result().clone();
    assert_eq!((&first["status"], &first["issuer"], &first["certificate"]), (&json!("active"), &json!("brought"), &json!(one)));
    let second = bring(&other, &other_key).await.result().clone();
    assert_eq!(client.get(&base).await.result().as_array().unwrap().len(), 2);
    let at = |one: &Value| format!("{base}/{}", one["id"].as_str().unwrap());
    assert_eq!(client.get(&at(&second)).await.result(), &second);
    assert_eq!(client.ask("DELETE", &at(&second), Value::Null).await.result(), &second);
    assert_eq!((client.get(&at(&second)).await.status, client.get(&base).await.result()), (404, &json!([first])));
    let reader = client.reader("SSL and Certificates Read").await;
    assert_eq!(reader.ask("DELETE", &at(&first), Value::Null).await.status, 403);
}

#[tokio::test]
async fn a_host_shows_what_was_brought_for_it() {
    let client = client().await;
    let zone = client.zone("site.test").await;
    let base = format!("{zone}/origin_tls_client_auth/hostnames");
    let ca = LocalCa::generate(&super::spec("brought"), std::time::UNIX_EPOCH).unwrap();
    let bring = async |path: String| {
        let leaf = ca.issue_client("the edge", std::time::UNIX_EPOCH, None).unwrap();
        let encode = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
        let (certificate, key) = (encode("CERTIFICATE", &leaf.chain[0]), encode("PRIVATE KEY", leaf.key.secret_der()));
        client.ask("POST", &path, json!({ "certificate": certificate, "private_key": key })).await.result().clone()
    };
    let of_zone = bring(format!("{zone}/origin_tls_client_auth")).await;
    let of_hosts = bring(format!("{base}/certificates")).await;
    assert_eq!(client.get(&format!("{base}/certificates")).await.result(), &json!([of_hosts]), "each in its own list");
    assert_eq!(client.get(&format!("{zone}/origin_tls_client_auth")).await.result(), &json!([of_zone]));
    let one = format!("{base}/certificates/{}", of_hosts["id"].as_str().unwrap());
    assert_eq!(client.get(&one).await.result(), &of_hosts);
    assert_eq!(client.get(&one.replace("/hostnames/certificates", "")).await.status, 404);
    let put = async |host: &str, id: &Value, enabled: Value| {
        client.ask("PUT", &base, json!({ "config": [{ "hostname": host, "cert_id": id, "enabled": enabled }] })).await
    };
    let said = put("app.site.test", &of_hosts["id"], json!(true)).await.result()[0].clone();
    assert_eq!((&said["hostname"], &said["cert_id"], &said["enabled"]), (&json!("app.site.test"), &of_hosts["id"], &json!(true)));
    assert_eq!(client.get(&format!("{base}/app.site.test")).await.result(), &said);
    assert_eq!(client.get(&base).await.result(), &json!([said]));
    let refused = client.ask("DELETE", &one, Value::Null).await;
    assert!(refused.status == 400 && refused.body.to_string().contains("app.site.test"), "{}", refused.body);
    assert_eq!(put("app.other.test", &of_hosts["id"], json!(true)).await.status, 400);
    assert_eq!(put("app.site.test", &of_zone["id"], json!(true)).await.status, 400, "it is for all of the zone");
    assert_eq!(put("app.site.test", &of_hosts["id"], Value::Null).await.result(), &json!([]), "nothing is said of it any more");
    assert_eq!(client.get(&format!("{base}/app.site.test")).await.status, 404);
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.result(), &of_hosts);
    let reader = client.reader("SSL and Certificates Read").await;
    let body = json!({ "config": [{ "hostname": "app.site.test", "cert_id": null, "enabled": null }] });
    assert_eq!(reader.ask("PUT", &base, body).await.status, 403);
}
