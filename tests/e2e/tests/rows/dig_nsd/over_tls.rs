//! Zones that travel over TLS (RFC 9103), to NSD and from it.

use std::fs;

use poterne_e2e::{
    Dig, certificate, eventually,
    name_server::{NameServer, free},
};
use serde_json::json;

use super::{key, node, peer, record, text, tsig};

/// NSD verifies the node by name, and its peer may have the zone no other way: in clear the same key gets nothing.
#[test]
fn a_zone_of_ours_is_given_over_tls_and_in_clear_no_more() {
    let ((node, api), at, key) = (node(), free(), key("hmac-sha256"));
    let zone = api.zone(&node, "example.com");
    record(&api, &zone, "A", "www", "192.0.2.7", false);
    let tsig = tsig(&api, key);
    let over_tls = json!({ "verify": false });
    let body = json!({ "name": "other", "ip": at.ip().to_string(), "port": at.port(), "tsig_id": tsig, "poterne_tls": over_tls });
    let peer = peer(&api, &body);
    api.done("POST", &format!("{zone}/secondary_dns/outgoing"), &json!({ "name": "example.com.", "peers": [peer] }));

    let other = NameServer::secondary_over_tls(at, "example.com", &node, key, "ns1.example.net");
    other.shows("www.example.com", "A", &["192.0.2.7"]);
    // It is told of changes, and comes for them.
    record(&api, &zone, "A", "new", "192.0.2.9", false);
    other.shows("new.example.com", "A", &["192.0.2.9"]);

    let dig = std::process::Command::new("dig")
        .args(["-r", "@127.0.0.1", "-p", node.text("dns").rsplit(':').next().unwrap(), "-b", &at.ip().to_string(), "example.com"])
        .args(["AXFR", "-y", &format!("{}:{}:{}", key.algorithm, key.name, key.secret)])
        .output()
        .unwrap();
    let refused = String::from_utf8(dig.stdout).unwrap();
    assert!(refused.contains("Transfer failed") && !refused.contains("192.0.2.7"), "{refused}");
}

/// The node verifies NSD by the name and the authority that it was given; while the name is another, nothing comes, and it says why.
#[test]
fn a_zone_of_its_comes_over_tls_from_whom_was_named() {
    let ((node, api), key) = (node(), key("hmac-sha256"));
    let (at, over_tls) = (free(), free());
    let made =
        api.done("POST", "/zones", &json!({ "name": "example.com", "account": { "id": api.account }, "type": "secondary" }));
    node.verb(&["zone", "activate", "example.com"]).unwrap();
    let zone = format!("/zones/{}", made["id"].as_str().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let files = certificate::write(dir.path(), "ns1.elsewhere.example");
    let primary =
        NameServer::primary_over_tls((at, over_tls), "example.com", &text(7, "gone A 192.0.2.12\n"), &node, key, &files);
    primary.shows("www.example.com", "A", &["192.0.2.10"]);

    let (tsig, ca) = (tsig(&api, key), fs::read_to_string(&files.authority).unwrap());
    let body = |name: &str| {
        let tls = json!({ "name": name, "ca": ca });
        json!({ "name": "other", "ip": at.ip().to_string(), "port": over_tls.port(), "tsig_id": tsig, "poterne_tls": tls })
    };
    let id = peer(&api, &body("ns2.elsewhere.example"));
    let incoming = format!("{zone}/secondary_dns/incoming");
    api.done("POST", &incoming, &json!({ "name": "example.com.", "auto_refresh_seconds": 0, "peers": [id] }));
    eventually("it is not the name that was given", || {
        api.get(&incoming).unwrap().result()["poterne_error"].as_str().is_some_and(|error| error.contains("not valid for name"))
    });
    let shows = |name: &str, expected: &[&str]| {
        eventually(&format!("{name} is {expected:?} here"), || Dig::at(&node, name, "A").answer() == expected);
    };
    let peer = format!("/accounts/{}/secondary_dns/peers/{id}", api.account);
    api.done("PUT", &peer, &body("ns1.elsewhere.example"));
    api.done("POST", &format!("{zone}/secondary_dns/force_axfr"), &json!({}));
    shows("www.example.com", &["192.0.2.10"]);
    // A notice in clear, and what changed over TLS.
    primary.change(&text(8, "new A 192.0.2.13\n"));
    shows("new.example.com", &["192.0.2.13"]);
    shows("gone.example.com", &[]);
    // A client that knows nothing of it does not take it away.
    let mut body = body("");
    body.as_object_mut().unwrap().remove("poterne_tls");
    assert_eq!(api.done("PUT", &peer, &body)["poterne_tls"]["name"], "ns1.elsewhere.example");
}
