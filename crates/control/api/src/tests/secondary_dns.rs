//! Zones that are shared with other name servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use poterne_control_app::{App, Caller, Copied, CopiedRecord, Settings};
use poterne_control_store::Store;
use poterne_keys::NodeKey;
use poterne_model::{At, Name, Rdata, Rtype, ZoneId, ZoneKind, rdata::Hosts, secondary::Held};
use serde_json::{Value, json};

use super::{Client, client};

const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn of_account(client: &Client, rest: &str) -> String {
    format!("/accounts/{}/secondary_dns/{rest}", client.account)
}

async fn made(client: &Client, what: &str, body: Value) -> String {
    client.ask("POST", &of_account(client, what), body).await.result()["id"].as_str().unwrap().to_owned()
}

async fn tsig(client: &Client) -> String {
    made(client, "tsigs", json!({ "name": "xfr.example.net.", "algo": "hmac-sha256.", "secret": SECRET })).await
}

#[tokio::test]
async fn networks_keys_and_peers_are_kept_as_the_sdk_has_them() {
    let client = client().await;
    let acl = made(&client, "acls", json!({ "name": "my-acl-1", "ip_range": "192.0.2.53/28" })).await;
    let path = of_account(&client, &format!("acls/{acl}"));
    assert_eq!(client.get(&path).await.result(), &json!({ "id": acl, "name": "my-acl-1", "ip_range": "192.0.2.48/28" }));
    client.ask("PUT", &path, json!({ "name": "other", "ip_range": "2001:db8::/48" })).await.result();
    assert_eq!(client.get(&of_account(&client, "acls")).await.result()[0]["ip_range"], "2001:db8::/48");
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.result(), &json!({ "id": acl }));
    assert_eq!(client.get(&path).await.status, 404);

    let key = tsig(&client).await;
    let path = of_account(&client, &format!("tsigs/{key}"));
    let shown = json!({ "id": key, "name": "xfr.example.net.", "algo": "hmac-sha256.", "secret": SECRET });
    assert_eq!(client.get(&path).await.result(), &shown);
    let reader = client.reader("DNS Read").await;
    assert_eq!(reader.get(&path).await.result()["secret"], Value::Null, "who may not change it does not see it");
    assert_eq!(reader.ask("PUT", &path, shown.clone()).await.status, 403);
    let twice = client.ask("POST", &of_account(&client, "tsigs"), shown).await;
    assert_ne!(twice.status, 200);
    for secret in ["AAAA", "no base64 at all!"] {
        let body = json!({ "name": "weak.", "algo": "hmac-sha256.", "secret": secret });
        let told = client.ask("POST", &of_account(&client, "tsigs"), body).await;
        assert!(told.status == 400 && !told.body.to_string().contains(secret), "{}", told.body);
    }

    let peer = made(&client, "peers", json!({ "name": "my-peer-1" })).await;
    let path = of_account(&client, &format!("peers/{peer}"));
    let body = json!({ "name": "my-peer-1", "ip": "9.9.9.9", "port": 5353, "ixfr_enable": true, "tsig_id": key });
    client.ask("PUT", &path, body.clone()).await.result();
    let mut shown = body.clone();
    shown["id"] = json!(peer);
    assert_eq!(client.get(&path).await.result(), &shown);
    for (member, wrong) in
        [("ip", json!("10.0.0.1")), ("ip", json!("no")), ("tsig_id", json!("0".repeat(32))), ("port", json!(0))]
    {
        let mut body = body.clone();
        body[member] = wrong;
        let told = client.ask("PUT", &path, body).await;
        assert!(told.status == 400 && told.body.to_string().contains(member), "{}", told.body);
    }
    let ca = include_str!("../../../app/src/certificates/example/certificate.pem");
    let mut over_tls = body.clone();
    over_tls["poterne_tls"] = json!({ "name": "ns1.example.net.", "ca": format!("some words\n{ca}") });
    let told = client.ask("PUT", &path, over_tls.clone()).await;
    let expected = json!({ "name": "ns1.example.net", "ca": ca, "verify": true });
    assert_eq!(told.result()["poterne_tls"], expected);
    // Who does not know of it leaves it, and null takes it away.
    assert_eq!(client.ask("PUT", &path, body.clone()).await.result()["poterne_tls"], expected);
    over_tls["poterne_tls"]["ca"] = json!("-----BEGIN SECRET-----");
    let told = client.ask("PUT", &path, over_tls.clone()).await;
    assert!(told.status == 400 && !told.body.to_string().contains("SECRET"), "{}", told.body);
    over_tls["poterne_tls"] = Value::Null;
    client.ask("PUT", &path, over_tls).await.result();
    assert_eq!(client.get(&path).await.result(), &shown);
    let kept = client.ask("DELETE", &of_account(&client, &format!("tsigs/{key}")), Value::Null).await;
    assert!(kept.status != 200 && kept.body.to_string().contains("my-peer-1"), "{}", kept.body);
    client.ask("DELETE", &path, Value::Null).await.result();
    client.ask("DELETE", &of_account(&client, &format!("tsigs/{key}")), Value::Null).await.result();
}

#[tokio::test]
async fn who_may_have_a_zone_is_said_changed_and_taken_back() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let outgoing = format!("{zone}/secondary_dns/outgoing");
    let at = |rest: &str| format!("{outgoing}/{rest}");
    assert_eq!(client.get(&outgoing).await.status, 404);
    assert_eq!(client.ask("POST", &at("enable"), json!({})).await.status, 404);
    let peer = made(&client, "peers", json!({ "name": "my-peer-1", "ip": "9.9.9.9" })).await;
    let body = json!({ "name": "example.com.", "peers": [peer] });
    let shown = client.ask("POST", &outgoing, body.clone()).await;
    let shown = shown.result();
    assert_eq!(
        (&shown["peers"], &shown["soa_serial"], &shown["poterne_allow_unsigned"]),
        (&json!([peer]), &json!(0), &json!(false))
    );
    assert_ne!(client.ask("POST", &outgoing, body.clone()).await.status, 200, "it is there already");
    for (verb, said) in [("disable", "Disabled"), ("enable", "Enabled")] {
        assert_eq!(client.ask("POST", &at(verb), json!({})).await.result(), said);
        assert_eq!(client.get(&at("status")).await.result(), said);
    }
    assert_eq!(client.ask("POST", &at("force_notify"), json!({})).await.result(), "OK");
    let mut stray = body;
    stray["peers"] = json!(["0".repeat(32)]);
    assert_eq!(client.ask("PUT", &outgoing, stray).await.status, 400);
    let kept = client.ask("DELETE", &of_account(&client, &format!("peers/{peer}")), Value::Null).await;
    assert!(kept.status != 200 && kept.body.to_string().contains("example.com"), "{}", kept.body);
    let incoming = format!("{zone}/secondary_dns/incoming");
    let told = client.ask("POST", &incoming, json!({ "name": "x", "peers": [], "auto_refresh_seconds": 0 })).await;
    assert!(told.status == 400 && told.body.to_string().contains("secondary"), "{}", told.body);
    client.ask("DELETE", &outgoing, Value::Null).await.result();
    assert_eq!(client.get(&outgoing).await.status, 404);
}

#[tokio::test]
async fn a_zone_of_another_server_is_told_from_one_made_here() {
    let client = client().await;
    client.zone("example.com").await;
    let made_zone = client.ask("POST", "/zones", json!({ "name": "example.net", "type": "secondary" })).await;
    assert_eq!(made_zone.result()["type"], "secondary");
    let zone = format!("/zones/{}", made_zone.result()["id"].as_str().unwrap());
    assert_eq!(client.get(&zone).await.result()["type"], "secondary");
    let named = async |types: &str| {
        let list = client.get(&format!("/zones?type={types}")).await;
        list.result().as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named("secondary").await, ["example.net"]);
    assert_eq!(named("full").await, ["example.com"]);
    assert_eq!(named("full,secondary").await, ["example.com", "example.net"]);
    assert_eq!(named("partial").await, Vec::<String>::new());
    let outgoing = client.ask("POST", &format!("{zone}/secondary_dns/outgoing"), json!({ "name": "x", "peers": [] })).await;
    assert_eq!(outgoing.status, 200, "it is given on");
    let record = json!({ "type": "A", "name": "www", "content": "192.0.2.1" });
    assert_eq!(client.ask("POST", &format!("{zone}/dns_records"), record).await.status, 400);
    let incoming = format!("{zone}/secondary_dns/incoming");
    assert_eq!(client.get(&incoming).await.status, 404);
    assert_eq!(client.ask("POST", &format!("{zone}/secondary_dns/force_axfr"), json!({})).await.status, 404);
    let nowhere = made(&client, "peers", json!({ "name": "nowhere" })).await;
    let told = client.ask("POST", &incoming, json!({ "name": "x", "peers": [nowhere], "auto_refresh_seconds": 0 })).await;
    assert!(told.status == 400 && told.body.to_string().contains("nowhere"), "{}", told.body);
    let peer = made(&client, "peers", json!({ "name": "my-peer-1", "ip": "9.9.9.9" })).await;
    let body = json!({ "name": "example.net.", "peers": [peer], "auto_refresh_seconds": 86400 });
    let shown = client.ask("POST", &incoming, body).await;
    assert_eq!((&shown.result()["auto_refresh_seconds"], &shown.result()["checked_time"]), (&json!(86_400), &Value::Null));
    assert_eq!(client.ask("POST", &format!("{zone}/secondary_dns/force_axfr"), json!({})).await.result(), "OK");
    client.ask("DELETE", &incoming, Value::Null).await.result();
    assert_eq!(client.get(&incoming).await.status, 404);
    assert_eq!(client.get(&zone).await.result()["type"], "secondary", "it does not become another zone");
}

fn held(serial: u32) -> Held {
    let (mname, rname) = ("ns1.example.net".to_owned(), "dns.example.net".to_owned());
    Held { mname, rname, serial, refresh: 7200, retry: 900, expire: 86_400, minimum: 300, ttl: 3600 }
}

fn record(name: &str, rtype: &str, content: &str) -> CopiedRecord {
    let rdata = Rdata::parse(Rtype::parse(rtype).unwrap(), content, None, Hosts::default()).unwrap();
    CopiedRecord { name: Name::parse(name).unwrap(), rdata, ttl_secs: 5 }
}

struct Copying {
    app: App,
    zone: ZoneId,
    now: Arc<AtomicU64>,
    _dir: tempfile::TempDir,
}

impl Copying {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
        let now = Arc::new(AtomicU64::new(1_700_000_000));
        let clock = Arc::clone(&now);
        let clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
        let app = App::open(store, &NodeKey::generate(), Settings::default(), clock, None).await.unwrap();
        let zone = app.zone_create_of(&Caller::Operator, app.account(), "example.com", ZoneKind::Secondary).await.unwrap().id;
        let peer = json!({ "name": "primary", "ip": "9.9.9.9" });
        let peer = app.transfer_peer_put(&Caller::Operator, app.account(), None, &At::body(&peer)).await.unwrap();
        let body = json!({ "name": "x", "peers": [peer.id], "auto_refresh_seconds": 0 });
        app.zone_incoming_put(&Caller::Operator, zone, true, &At::body(&body)).await.unwrap();
        Self { app, zone, now, _dir: dir }
    }

    async fn records(&self) -> Vec<String> {
        let (page, _) =
            self.app.record_list(&Caller::Operator, self.zone, &Default::default(), Default::default(), 0, 100).await.unwrap();
        let mut lines: Vec<String> = page
            .iter()
            .map(|kept| {
                format!("{} {} {} {}", kept.entry.name, kept.entry.ttl_secs, kept.entry.rdata.rtype(), kept.entry.rdata.content())
            })
            .collect();
        lines.sort();
        lines
    }

    async fn told(&self, copied: Copied) -> poterne_model::secondary::Refresh {
        self.app.copy_told(self.zone, copied).await.unwrap().unwrap()
    }

    async fn due(&self) -> usize {
        self.app.copies_due(8, &std::collections::HashSet::new()).await.unwrap().len()
    }
}

#[tokio::test]
async fn what_comes_is_swapped_in_as_a_whole_or_not_at_all() {
    let copying = Copying::new().await;
    let ns = || record("example.com", "NS", "ns1.example.net");
    let www = |last: u8| record("www.example.com", "A", &format!("192.0.2.{last}"));
    copying.told(Copied::Whole(held(7), vec![ns(), www(1), record("old.example.com", "TXT", "x")])).await;
    let whole = ["example.com 30 NS ns1.example.net", "old.example.com 30 TXT x", "www.example.com 30 A 192.0.2.1"];
    assert_eq!(copying.records().await, whole, "TTLs are brought within what is kept here");

    // A step that does not fit what is kept: nothing of it is, and the zone is asked for whole.
    let misfit = vec![(false, www(1)), (true, www(2)), (false, www(9))];
    let refresh = copying.told(Copied::Steps(held(8), misfit)).await;
    assert!(refresh.wants_whole && refresh.held == Some(held(7)));
    assert_eq!(copying.records().await, whole);
    assert_eq!(copying.due().await, 1);

    let wrong = vec![ns(), www(1), record("www.example.com", "CNAME", "a.example.net")];
    let refresh = copying.told(Copied::Whole(held(8), wrong)).await;
    assert!(refresh.why.unwrap().contains("www.example.com has a CNAME"));
    assert_eq!(copying.records().await, whole);

    let refresh = copying
        .told(Copied::Steps(held(8), vec![(false, www(1)), (true, www(2)), (true, record("new.example.com", "TXT", "y"))]))
        .await;
    assert_eq!((refresh.held, refresh.failures, refresh.wants_whole), (Some(held(8)), 0, false));
    assert_eq!(
        copying.records().await,
        [
            "example.com 30 NS ns1.example.net",
            "new.example.com 30 TXT y",
            "old.example.com 30 TXT x",
            "www.example.com 30 A 192.0.2.2"
        ]
    );
}

/// Many rows are written at once, and those that stay keep their ids.
#[tokio::test]
async fn a_large_copy_is_what_came_whatever_was_kept() {
    let copying = Copying::new().await;
    let host = |number: u32, last: u32| record(&format!("h{number}.example.com"), "A", &format!("192.0.2.{last}"));
    let of = |numbers: std::ops::Range<u32>| numbers.map(|number| host(number, number % 250)).collect::<Vec<_>>();
    let ns = || vec![record("example.com", "NS", "ns1.example.net"), record("example.com", "NS", "NS1.example.net")];
    let kept = async || {
        let every = Default::default();
        let all = copying.app.record_list(&Caller::Operator, copying.zone, &every, Default::default(), 0, 10_000);
        let told = |kept: poterne_control_app::KeptRecord| {
            ((kept.entry.name.to_string(), kept.entry.rdata.content()), (kept.id, kept.created_at, kept.entry.ttl_secs))
        };
        all.await.unwrap().0.into_iter().map(told).collect::<std::collections::BTreeMap<_, _>>()
    };
    copying.told(Copied::Whole(held(7), [ns(), of(0..3000)].concat())).await;
    let first = kept().await;
    assert_eq!(first.len(), 3001);
    copying.now.fetch_add(10, Ordering::Relaxed);
    // Of some the TTL is another, some have gone, some come, one has another address beside its own.
    let mut next = [ns(), of(600..3700), vec![host(2000, 251)]].concat();
    next.iter_mut().skip(2).take(700).for_each(|record| record.ttl_secs = 900);
    let refresh = copying.told(Copied::Whole(held(8), next)).await;
    assert_eq!((refresh.held, refresh.why), (Some(held(8)), None));
    let second = kept().await;
    assert_eq!(second.len(), 3102);
    for (key, (id, created_at, ttl_secs)) in &second {
        let number: Option<u32> = key.0.strip_prefix('h').and_then(|rest| rest.split('.').next()?.parse().ok());
        assert_eq!(*ttl_secs, if number.is_some_and(|number| number < 1300) { 900 } else { 30 });
        match first.get(key) {
            Some((before, made, _)) => assert_eq!((id, created_at), (before, made)),
            None => assert!(
                number.is_some_and(|number| number >= 3000 || key.1 == "192.0.2.251")
                    && *created_at > first[&("h0.example.com".into(), "192.0.2.0".into())].1
            ),
        }
    }
    // What changed alone.
    let steps = vec![(false, host(3000, 0)), (true, host(3000, 9))];
    assert_eq!(copying.told(Copied::Steps(held(9), steps)).await.held, Some(held(9)));
    let third = kept().await;
    let other: Vec<_> = third.iter().filter(|(key, value)| second.get(*key) != Some(*value)).collect();
    assert_eq!((third.len(), other.len(), other[0].0.1.as_str()), (3102, 1, "192.0.2.9"));
}

#[tokio::test]
async fn a_copy_is_looked_after_when_it_is_due_and_expires() {
    let copying = Copying::new().await;
    assert_eq!(copying.due().await, 1);
    assert_eq!(copying.due().await, 0, "it is under way");
    copying.told(Copied::Whole(held(7), vec![record("example.com", "NS", "ns1.example.net")])).await;
    assert_eq!(copying.due().await, 0);
    copying.app.record_event(poterne_feed::Event::ZoneNotified { zone: copying.zone }).await.unwrap();
    assert_eq!(copying.due().await, 1, "a primary says that it changed");
    copying.told(Copied::Same).await;
    copying.now.fetch_add(7200, Ordering::Relaxed);
    assert_eq!(copying.due().await, 1);
    let mut looks = 0;
    loop {
        let refresh = copying.told(Copied::Failed("nobody answers".into())).await;
        if refresh.is_expired {
            break;
        }
        looks += 1;
        copying.now.fetch_add(900, Ordering::Relaxed);
    }
    assert_eq!(looks, (86_400 - 7200) / 900);
    let shown = copying.app.zone_incoming(&Caller::Operator, copying.zone).await.unwrap();
    assert!(shown.refresh.is_expired && shown.refresh.why.is_some());
    assert!(!copying.told(Copied::Same).await.is_expired);
}
