//! Transfers as `dig` and `kdig` ask for them, over TCP and over TLS.

use std::process::Command;

use poterne_e2e::{Api, Dig, Node};
use serde_json::json;

use super::dig_nsd::{key, node, peer, record, tsig};

const ORIGIN: &str = "1.2.3.4";

/// A node whose zone whoever has the key may have.
fn given() -> (Node, Api, String, String) {
    let (node, api) = node();
    let zone = api.zone(&node, "example.com");
    record(&api, &zone, "A", "www", ORIGIN, true);
    record(&api, &zone, "A", "plain", "192.0.2.7", false);
    let tsig = tsig(&api, key("hmac-sha256"));
    let peer = peer(&api, &json!({ "name": "whoever has the key", "tsig_id": tsig }));
    api.done("POST", &format!("{zone}/secondary_dns/outgoing"), &json!({ "name": "example.com.", "peers": [peer] }));
    let words = format!("hmac-sha256:{}:{}", key("hmac-sha256").name, key("hmac-sha256").secret);
    (node, api, zone, words)
}

#[test]
fn a_zone_is_transferred_to_who_signs() {
    let (node, api, zone, key) = given();
    let asked = |words: &[&str]| Dig::at(&node, "example.com", words[0]).with(&words[1..]).text();
    let whole = asked(&["AXFR", "-y", &key]);
    assert!(
        whole.contains("plain.example.com.")
            && whole.contains("; XFR size: ")
            && whole.matches(" SOA\t").count() + whole.matches("\tSOA\t").count() >= 2,
        "{whole}"
    );
    assert!(!whole.contains(ORIGIN) && !whole.contains("verify failure"), "{whole}");
    assert!(asked(&["AXFR"]).contains("Transfer failed"));
    let wrong = key.replace("MDEy", "MDEx");
    let told = Command::new("dig")
        .args(["-r", "@127.0.0.1", "-p", node.text("dns").rsplit(':').next().unwrap(), "example.com", "AXFR", "-y", &wrong])
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("BADSIG") || told.contains("Transfer failed"), "{told}");
    assert!(!told.contains("plain.example.com"), "{told}");
    // Signed questions of any kind are answered so.
    let soa = asked(&["SOA", "-y", &key]);
    assert!(soa.contains("NOERROR") && soa.contains("TSIG") && !soa.contains("WARNING"), "{soa}");

    let before = asked(&["SOA", "+short"]).split(' ').nth(2).unwrap().to_owned();
    record(&api, &zone, "A", "new", "192.0.2.9", false);
    let changed = asked(&[&format!("IXFR={before}"), "-y", &key]);
    assert!(
        changed.contains("new.example.com.") && !changed.contains("plain.example.com."),
        "what this asker was given is remembered: {changed}"
    );
    let old = asked(&["IXFR=1", "-y", &key]);
    assert!(old.contains("plain.example.com."), "of other versions nothing is known, and the zone is whole: {old}");

    api.done("POST", &format!("{zone}/secondary_dns/outgoing/disable"), &json!({}));
    assert!(asked(&["AXFR", "-y", &key]).contains("Transfer failed"));
    assert_eq!(api.get(&format!("{zone}/secondary_dns/outgoing/status")).unwrap().result(), "Disabled");
}

#[test]
fn a_zone_is_transferred_over_tls() {
    let (node, _api, _zone, key) = given();
    let port = node.text("dns_tls").rsplit(':').next().unwrap().to_owned();
    let output =
        Command::new("kdig").args(["@127.0.0.1", "-p", &port, "+tls", "example.com", "AXFR", "-y", &key]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("plain.example.com.") && !text.contains(ORIGIN), "{text} {}", String::from_utf8_lossy(&output.stderr));
}
