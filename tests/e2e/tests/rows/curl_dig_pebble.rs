//! Certificates that simply appear: Debian's `pebble` as the authority, which proves names by asking the node itself; curl as the visitor, who
//! trusts pebble's root and nothing else; dig for what the name server says meanwhile.

use poterne_e2e::{
    Api, Curl, Dig, Node, eventually,
    pebble::{Pebble, Terms},
};
use serde_json::{Value, json};

const ZONE: &str = "example.com";

/// A zone that waits, a tunnel, and where its names lead.
fn zone(node: &Node, api: &Api) -> String {
    let made = api.done("POST", "/zones", &json!({ "name": ZONE, "account": { "id": api.account } }));
    let zone = format!("/zones/{}", made["id"].as_str().unwrap());
    let tunnel: Value = serde_json::from_str(&node.verb(&["tunnel", "create", "home", "--json"]).unwrap()).unwrap();
    let target = format!("{}.cfargotunnel.com", tunnel["tunnel"]["id"].as_str().unwrap());
    for name in ["@", "www", "a.b", "deep.er.still"] {
        let body = json!({ "type": "CNAME", "name": name, "content": target, "proxied": true, "ttl": 1 });
        api.done("POST", &format!("{zone}/dns_records"), &body);
    }
    zone
}

fn packs(api: &Api, zone: &str) -> Vec<Value> {
    let told = api.done("GET", &format!("{zone}/ssl/certificate_packs?status=all"), &Value::Null);
    told.as_array().unwrap().clone()
}

/// Waits until each pack has what it should.
fn active(api: &Api, zone: &str, count: usize) -> Vec<Value> {
    let start = std::time::Instant::now();
    eventually("every pack is active", || {
        let packs = packs(api, zone);
        if start.elapsed() > std::time::Duration::from_secs(50) {
            eprintln!("{packs:#?}");
        }
        packs.len() == count && packs.iter().all(|pack| pack["status"] == "active")
    });
    packs(api, zone)
}

fn pack<'p>(packs: &'p [Value], kind: &str) -> &'p Value {
    packs.iter().find(|pack| pack["type"] == kind).unwrap()
}

/// What a visitor gets who trusts this authority alone. The edge itself answers: nobody is behind the tunnel.
fn visit(node: &Node, pebble: &Pebble, host: &str) -> (i32, String) {
    let root = pebble.root();
    let answered = Curl::https(node, host, "/cdn-cgi/trace").with(&["--cacert", root.to_str().unwrap()]).run();
    (answered.exit, answered.text() + &answered.told)
}

#[test]
fn a_zone_has_certificates_once_it_is_active() {
    let mut pebble = Pebble::new();
    let node = pebble.node(&["acme.issuers=pebble.test", "acme.email=admin@example.net"]);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    let wanted = json!({ "type": "advanced", "hosts": ["www.example.com"] });
    api.done("POST", &format!("{zone}/ssl/certificate_packs/order"), &wanted);
    let caa = json!({ "type": "CAA", "name": "@", "data": { "flags": 0, "tag": "issue", "value": "other.example" } });
    api.done("POST", &format!("{zone}/dns_records"), &caa);
    assert_eq!(Dig::at(&node, ZONE, "CAA").answer().len(), 1);
    assert_eq!(packs(&api, &zone).len(), 1, "a zone that waits has no more than was asked for, and orders nothing");
    assert_eq!(packs(&api, &zone)[0]["status"], "initializing");

    node.verb(&["zone", "activate", ZONE]).unwrap();
    let packs = active(&api, &zone, 3);
    let universal = pack(&packs, "universal");
    assert_eq!(universal["hosts"], json!(["*.example.com", "example.com"]));
    assert_eq!((&universal["validation_method"], &universal["certificate_authority"]), (&json!("txt"), &json!("127.0.0.1")));
    assert_eq!(universal["validation_errors"], json!([]));
    assert!(universal["certificates"][0]["issuer"].as_str().unwrap().contains("Pebble"), "{universal}");
    assert_eq!(pack(&packs, "total_tls")["hosts"], json!(["a.b.example.com", "deep.er.still.example.com"]));
    for host in ["example.com", "www.example.com", "a.b.example.com", "deep.er.still.example.com"] {
        let (exit, text) = visit(&node, &pebble, host);
        assert!(exit == 0 && text.contains(&format!("h={host}")), "{host}: {text}");
    }
    // The name server lets us issue, by our account, and shows no challenge any more.
    let told = Dig::at(&node, ZONE, "CAA").answer();
    let ours = |tag: &str| told.iter().any(|line| line.contains(&format!("0 {tag} \"pebble.test; accounturi=https://127.0.0.1")));
    assert!(told.len() == 3 && ours("issue") && ours("issuewild"), "{told:?}");
    assert!(Dig::at(&node, "_acme-challenge.example.com", "TXT").answer().is_empty());
    let shown = node.verb(&["zone", "certificates", ZONE]).unwrap();
    assert!(shown.contains("universal") && shown.contains("active") && shown.contains("Pebble"), "{shown}");
    let audit = api.done("GET", &format!("/accounts/{}/audit_logs?action.type=issue", api.account), &Value::Null);
    assert!(!audit.to_string().contains("PRIVATE"));
    assert!(node.log().contains("a certificate was issued"));
}

/// Connections stay, the next visitor has the next certificate, and a node that was killed has what it had.
#[test]
fn a_certificate_is_replaced_and_kept() {
    let mut pebble = Pebble::new();
    let mut node = pebble.node(&[]);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    node.verb(&["zone", "activate", ZONE]).unwrap();
    let before = active(&api, &zone, 2);
    let first = pack(&before, "universal")["certificates"][0]["id"].clone();
    // Off and on again: another key, and another certificate.
    let universal = format!("{zone}/ssl/universal/settings");
    api.done("PATCH", &universal, &json!({ "enabled": false }));
    assert!(packs(&api, &zone).is_empty());
    assert_ne!(visit(&node, &pebble, "www.example.com").0, 0, "what was taken away is not served on");
    api.done("PATCH", &universal, &json!({ "enabled": true }));
    let after = active(&api, &zone, 2);
    assert_ne!(pack(&after, "universal")["certificates"][0]["id"], first);
    assert_eq!(visit(&node, &pebble, "www.example.com").0, 0);
    let root = pebble.root();
    pebble.stop();
    node.kill_and_restart();
    let answered = Curl::https(&node, "www.example.com", "/cdn-cgi/trace").with(&["--cacert", root.to_str().unwrap()]).run();
    assert_eq!(answered.exit, 0, "{}", answered.told);
}

fn proven_by(method: &str, word: &str) {
    let mut pebble = Pebble::new();
    let node = pebble.node(&[&format!("acme.challenges={method}")]);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    node.verb(&["zone", "activate", ZONE]).unwrap();
    let packs = active(&api, &zone, 2);
    assert_eq!(pack(&packs, "total_tls")["validation_method"], word);
    let (exit, text) = visit(&node, &pebble, "a.b.example.com");
    assert_eq!(exit, 0, "{text}");
    // The wildcard was proven by a record all the same.
    assert_eq!(visit(&node, &pebble, "www.example.com").0, 0);
}

#[test]
fn names_are_proven_by_http() {
    proven_by("http-01", "http");
}

#[test]
fn names_are_proven_in_a_handshake() {
    proven_by("tls-alpn-01", "tls-alpn");
}

/// Where a record of ours would not be seen, since the user leads it elsewhere, the other ways are taken.
#[test]
fn a_record_that_is_led_elsewhere_is_passed_by() {
    let mut pebble = Pebble::new();
    let node = pebble.node(&[]);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    let led =
        json!({ "type": "CNAME", "name": "_acme-challenge.a.b", "content": "dcv.example.net", "proxied": false, "ttl": 60 });
    api.done("POST", &format!("{zone}/dns_records"), &led);
    node.verb(&["zone", "activate", ZONE]).unwrap();
    let packs = active(&api, &zone, 2);
    assert_eq!(pack(&packs, "total_tls")["validation_method"], "http");
}

#[test]
fn customers_are_known_by_their_binding() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let mut pebble = Pebble::new();
    let terms = Terms { binding: Some(("kid-1", KEY)) };
    let stranger = pebble.node(&[]);
    pebble.serve(&stranger, terms);
    let api = Api::of(&stranger);
    let of_stranger = zone(&stranger, &api);
    stranger.verb(&["zone", "activate", ZONE]).unwrap();
    eventually("the refusal is told", || {
        packs(&api, &of_stranger)
            .iter()
            .any(|pack| pack["validation_errors"][0]["message"].as_str().is_some_and(|why| why.contains("eab_kid")))
    });
    assert_eq!(packs(&api, &of_stranger)[0]["status"], "pending_validation");
    drop(stranger);
    pebble.stop();

    let node = pebble.node(&["acme.eab_kid=kid-1", &format!("acme.eab_hmac_key={KEY}")]);
    pebble.serve(&node, terms);
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    node.verb(&["zone", "activate", ZONE]).unwrap();
    active(&api, &zone, 2);
    assert_eq!(visit(&node, &pebble, ZONE).0, 0);
    assert!(!node.log().contains(KEY));
}

/// A certificate that somebody brings is served before what was ordered, and its key is not to be had.
#[test]
fn a_certificate_that_is_brought_is_served_first() {
    let mut pebble = Pebble::new();
    let node = pebble.node(&[]);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    node.verb(&["zone", "activate", ZONE]).unwrap();
    active(&api, &zone, 2);
    let ca = poterne_keys::LocalCa::generate(
        &poterne_keys::CaSpec { name: "brought".into(), permitted: Vec::new() },
        std::time::SystemTime::now(),
    )
    .unwrap();
    let leaf = ca.issue(&["www.example.com".into()], std::time::SystemTime::now(), None).unwrap();
    let (chain, key) = (poterne_e2e::pebble::chain(&leaf), poterne_e2e::pebble::key(&leaf));
    let made = api.done("POST", &format!("{zone}/custom_certificates"), &json!({ "certificate": chain, "private_key": key }));
    assert_eq!((&made["status"], &made["hosts"]), (&json!("active"), &json!(["www.example.com"])));
    let file = node.file("brought.pem");
    std::fs::write(&file, ca.certificate_pem()).unwrap();
    let brought =
        |host: &str| Curl::https(&node, host, "/cdn-cgi/trace").with(&["--cacert", file.to_str().unwrap()]).run().exit == 0;
    assert!(brought("www.example.com") && !brought("example.com"));
    api.done("DELETE", &format!("{zone}/custom_certificates/{}", made["id"].as_str().unwrap()), &Value::Null);
    assert!(!brought("www.example.com"));
    assert_eq!(visit(&node, &pebble, "www.example.com").0, 0);
}

/// A key that is not to be trusted any more: its certificate is revoked, and the next visitor has another.
#[test]
fn a_certificate_is_revoked_and_another_ordered() {
    let mut pebble = Pebble::new();
    let node = pebble.node(&[]);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = zone(&node, &api);
    node.verb(&["zone", "activate", ZONE]).unwrap();
    let packs = active(&api, &zone, 2);
    let first = pack(&packs, "universal").clone();
    let serial = serial(&node, "www.example.com");
    assert_eq!(pebble.status_of(&serial).unwrap()["Status"], "Valid");
    let revoke = format!("{zone}/poterne/certificate_packs/{}/revoke", first["id"].as_str().unwrap());
    api.done("POST", &revoke, &json!({ "reason": "key_compromise" }));
    eventually("another certificate is there", || {
        let told = self::packs(&api, &zone);
        let now = pack(&told, "universal");
        now["status"] == "active" && now["certificates"][0]["id"] != first["certificates"][0]["id"]
    });
    let told = pebble.status_of(&serial).unwrap();
    assert_eq!((&told["Status"], &told["Reason"]), (&json!("Revoked"), &json!(1)), "{told}");
    let next = self::serial(&node, "www.example.com");
    assert_ne!(next, serial);
    assert_eq!(pebble.status_of(&next).unwrap()["Status"], "Valid");
}

/// The serial number of what a host is served with, in hexadecimal.
fn serial(node: &Node, host: &str) -> String {
    let connect = node.text("https").to_owned();
    let shown = std::process::Command::new("curl")
        .args(["--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{certs}", "--resolve"])
        .arg(format!("{host}:{}:127.0.0.1", connect.rsplit(':').next().unwrap()))
        .arg(format!("https://{host}:{}/cdn-cgi/trace", connect.rsplit(':').next().unwrap()))
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Serial Number:"));
    line.unwrap_or_else(|| panic!("{text}")).trim().replace(':', "")
}
