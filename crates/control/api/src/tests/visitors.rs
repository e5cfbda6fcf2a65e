//! Certificates of visitors: who vouches, which hosts ask, what is issued.

use std::time::UNIX_EPOCH;

use poterne_control_app::{Caller, MtlsCertificateDraft};
use poterne_keys::{CertificateKey, LocalCa};
use poterne_model::At;
use serde_json::{Value, json};

use super::{Client, client, spec};

fn authority(name: &str) -> String {
    LocalCa::generate(&spec(name), UNIX_EPOCH).unwrap().certificate_pem().to_owned()
}

fn csr() -> String {
    let der = CertificateKey::generate().unwrap().request(&["whatever.test".into()]).unwrap();
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der))
}

async fn bring(client: &Client, account: &str, name: &str) -> Value {
    let body = json!({ "ca": true, "certificates": authority(name), "name": name });
    client.ask("POST", &format!("/accounts/{account}/mtls_certificates"), body).await.result().clone()
}

#[tokio::test]
async fn an_authority_is_brought_named_by_hosts_and_taken_away() {
    let client = client().await;
    let (all, zone) = (format!("/accounts/{}/mtls_certificates", client.account), client.zone("site.test").await);
    let one = bring(&client, &client.account, "devices").await;
    assert_eq!((&one["issuer"], &one["name"], &one["ca"]), (&json!("CN=devices"), &json!("devices"), &json!(true)));
    assert!(one["serial_number"].as_str().unwrap().bytes().all(|digit| digit.is_ascii_digit()), "{one}");
    let other = bring(&client, &client.account, "others").await;
    // Brought in the same instant, so in the order of their ids.
    let first = [&one, &other].into_iter().min_by_key(|one| one["id"].as_str()).unwrap();
    let listed = client.get(&format!("{all}?per_page=1")).await;
    assert_eq!((listed.result(), &listed.body["result_info"]["total_count"]), (&json!([first]), &json!(2)));
    let at = |one: &Value| format!("{all}/{}", one["id"].as_str().unwrap());
    assert_eq!(client.get(&at(&one)).await.result(), &one);
    let hosts = format!("{zone}/certificate_authorities/hostname_associations");
    let put = async |body: Value| client.ask("PUT", &hosts, body).await;
    let named = json!({ "hostnames": ["api.site.test", "API.site.test", "site.test"], "mtls_certificate_id": one["id"] });
    assert_eq!(put(named).await.result(), &json!({ "hostnames": ["api.site.test", "site.test"] }));
    let of = async |id: &Value| {
        client.get(&format!("{hosts}?mtls_certificate_id={}", id.as_str().unwrap())).await.result()["hostnames"].clone()
    };
    assert_eq!((of(&one["id"]).await, of(&other["id"]).await), (json!(["api.site.test", "site.test"]), json!([])));
    assert_eq!(client.get(&hosts).await.result(), &json!({ "hostnames": [] }), "of the zone's own, which there is not");
    let uses = client.get(&format!("{}/associations", at(&one))).await;
    assert_eq!(uses.result()[0], json!({ "service": "hostname_associations", "status": "active", "hostname": "api.site.test" }));
    let refused = client.ask("DELETE", &at(&one), Value::Null).await;
    assert!(refused.status == 400 && refused.body.to_string().contains("api.site.test"), "{}", refused.body);
    put(json!({ "hostnames": [], "mtls_certificate_id": one["id"] })).await.result();
    assert_eq!(client.ask("DELETE", &at(&one), Value::Null).await.result(), &one);
    assert_eq!((client.get(&at(&one)).await.status, client.get(&all).await.result()), (404, &json!([other])));
}

#[tokio::test]
async fn what_is_no_authority_and_whose_host_it_is_not_is_refused() {
    let client = client().await;
    let (all, zone) = (format!("/accounts/{}/mtls_certificates", client.account), client.zone("site.test").await);
    let pointer = async |method: &str, path: &str, body: Value| {
        let told = client.ask(method, path, body).await;
        assert_eq!(told.status, 400, "{}", told.body);
        (told.body["errors"][0]["source"]["pointer"].clone(), told.body.to_string())
    };
    let ca = LocalCa::generate(&spec("ca"), UNIX_EPOCH).unwrap();
    let leaf = ca.issue_client("a leaf", UNIX_EPOCH, None).unwrap();
    let leaf = pem::encode(&pem::Pem::new("CERTIFICATE", leaf.chain[0].to_vec()));
    let (at, told) = pointer("POST", &all, json!({ "ca": true, "certificates": leaf })).await;
    assert!(at == "/certificates" && told.contains("no authority's"), "{told}");
    assert_eq!(pointer("POST", &all, json!({ "ca": false, "certificates": authority("a") })).await.0, "/ca");
    let hosts = format!("{zone}/certificate_authorities/hostname_associations");
    assert_eq!(pointer("PUT", &hosts, json!({ "hostnames": ["a.*.site.test"] })).await.0, "/hostnames/0");
    assert!(pointer("PUT", &hosts, json!({ "hostnames": ["*.test"] })).await.1.contains("*.test"), "more than the zone");
    assert!(pointer("PUT", &hosts, json!({ "hostnames": ["www.other.test"] })).await.1.contains("www.other.test"));
    let unknown = json!({ "hostnames": ["site.test"], "mtls_certificate_id": "0".repeat(32) });
    assert_eq!(client.ask("PUT", &hosts, unknown).await.status, 404);
    // Another account's, whose owner is the node's operator: verbs without a token.
    let made = client.ask("POST", "/accounts", json!({ "name": "other" })).await.result()["id"].as_str().unwrap().to_owned();
    let body = json!({ "ca": true, "certificates": authority("theirs") });
    let draft = MtlsCertificateDraft::read(&At::body(&body)).unwrap();
    let theirs = client.app.mtls_certificate_add(&Caller::Operator, made.parse().unwrap(), draft).await.unwrap().id.to_string();
    let stolen = json!({ "hostnames": ["site.test"], "mtls_certificate_id": theirs });
    assert_eq!(client.ask("PUT", &hosts, stolen).await.status, 404);
    assert_eq!(client.get(&format!("{all}/{theirs}")).await.status, 404);
    let reader = client.reader("Account: SSL and Certificates Read").await;
    assert_eq!((reader.get(&all).await.status, reader.ask("POST", &all, json!({})).await.status), (200, 400));
    let body = json!({ "ca": true, "certificates": authority("a") });
    assert_eq!(reader.ask("POST", &all, body).await.status, 403);
    assert_eq!(client.reader("SSL and Certificates Write").await.get(&all).await.status, 404, "zones' is not accounts'");
}

#[tokio::test]
async fn a_zone_issues_to_visitors_revokes_and_takes_that_back() {
    let client = client().await;
    let zone = client.zone("site.test").await;
    let all = format!("{zone}/client_certificates");
    assert_eq!(client.get(&all).await.result(), &json!([]));
    let issue = async |csr: &str| client.ask("POST", &all, json!({ "csr": csr, "validity_days": 3650 })).await;
    let one = issue(include_str!("../../../app/src/origin_tls/example.csr")).await.result().clone();
    assert_eq!((&one["common_name"], &one["status"]), (&json!("example.com"), &json!("active")));
    assert_eq!(one["certificate_authority"]["name"], "Visitors of site.test");
    let other = issue(&csr()).await.result().clone();
    assert_eq!((&other["common_name"], &other["validity_days"]), (&Value::Null, &json!(3650)), "it names nobody");
    assert_eq!(one["certificate_authority"], other["certificate_authority"], "one authority a zone");
    // What it says is what was told.
    let der = pem::parse(one["certificate"].as_str().unwrap()).unwrap();
    let digest: String = poterne_keys::sha256(der.contents()).iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(one["fingerprint_sha256"], digest);
    let at = |one: &Value| format!("{all}/{}", one["id"].as_str().unwrap());
    assert_eq!(client.get(&at(&one)).await.result(), &one);
    let revoked = client.ask("DELETE", &at(&one), Value::Null).await.result().clone();
    assert_eq!((&revoked["id"], &revoked["status"]), (&one["id"], &json!("revoked")));
    assert_eq!(client.ask("DELETE", &at(&one), Value::Null).await.result(), &revoked, "once is enough");
    let of = async |status: &str| client.get(&format!("{all}?status={status}")).await.result().clone();
    assert_eq!((of("revoked").await, of("active").await), (json!([revoked]), json!([other])));
    assert_eq!(of("all").await.as_array().unwrap().len(), 2);
    assert_eq!(client.ask("PATCH", &at(&one), Value::Null).await.result(), &one);
    let stranger = client.zone("other.test").await;
    let elsewhere = at(&one).replace(&zone, &stranger);
    assert_eq!((client.get(&elsewhere).await.status, client.ask("DELETE", &elsewhere, Value::Null).await.status), (404, 404));
    for (body, pointer) in
        [(json!({ "csr": "x", "validity_days": 1 }), "/csr"), (json!({ "csr": csr(), "validity_days": 0 }), "/validity_days")]
    {
        let told = client.ask("POST", &all, body).await;
        assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!(pointer)));
    }
    let reader = client.reader("SSL and Certificates Read").await;
    assert_eq!((reader.get(&at(&one)).await.status, reader.ask("DELETE", &at(&one), Value::Null).await.status), (200, 403));
    // Its own authority may vouch for visitors of a host without being named.
    let hosts = format!("{zone}/certificate_authorities/hostname_associations");
    let named = json!({ "hostnames": ["site.test"] });
    assert_eq!(client.ask("PUT", &hosts, named.clone()).await.result(), &named);
    assert_eq!(client.get(&hosts).await.result(), &named);
    let wide = json!({ "hostnames": ["*.site.test", "site.test"] });
    assert_eq!(client.ask("PUT", &hosts, wide.clone()).await.result(), &wide);
    assert_eq!(client.get(&hosts).await.result(), &wide);
}
