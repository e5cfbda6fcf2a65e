//! A zone that comes from NSD and is given on to Knot DNS.

use poterne_e2e::{
    Dig, eventually,
    name_server::{NameServer, Program, free},
};
use serde_json::json;

use super::dig_nsd::{counted, key, node, peer, serial, text, tsig};

/// Each is told by the one before, and gets what changed; what is put on top on the way is seen at the end, under a serial number of its own.
#[test]
fn a_zone_passes_from_server_to_server() {
    let ((node, api), key) = (node(), key("hmac-sha256"));
    let (first, last) = (free(), free());
    let made =
        api.done("POST", "/zones", &json!({ "name": "example.com", "account": { "id": api.account }, "type": "secondary" }));
    node.verb(&["zone", "activate", "example.com"]).unwrap();
    let zone = format!("/zones/{}", made["id"].as_str().unwrap());
    let tsig = tsig(&api, key);
    let named = |name: &str, at: std::net::SocketAddr| {
        peer(&api, &json!({ "name": name, "ip": at.ip().to_string(), "port": at.port(), "tsig_id": tsig }))
    };
    let (from, to) = (named("first", first), named("last", last));
    // Whoever is next may be named before anything came.
    api.done("POST", &format!("{zone}/secondary_dns/outgoing"), &json!({ "name": "example.com.", "peers": [to] }));
    let caa = "@ CAA 0 issue \"ca.example\"\n";
    let primary =
        NameServer::primary(Program::Nsd, first, "example.com", &text(7, &format!("{caa}gone A 192.0.2.12\n")), &node, key, true);
    let incoming = json!({ "name": "example.com.", "auto_refresh_seconds": 0, "peers": [from] });
    api.done("POST", &format!("{zone}/secondary_dns/incoming"), &incoming);
    let secondary = NameServer::secondary(Program::Knot, last, "example.com", &node, key);
    secondary.shows("www.example.com", "A", &["192.0.2.10"]);
    secondary.shows("gone.example.com", "A", &["192.0.2.12"]);
    secondary.shows("example.com", "NS", &["ns1.elsewhere.example."]);
    secondary.shows("example.com", "CAA", &["0 issue \"ca.example\""]);
    assert_eq!(secondary.answer("example.com", "SOA"), primary.answer("example.com", "SOA"));

    // Nobody looks by itself before tomorrow.
    primary.change(&text(8, &format!("{caa}app A 9.9.9.9\n")));
    secondary.shows("app.example.com", "A", &["9.9.9.9"]);
    secondary.shows("gone.example.com", "A", &[]);
    assert_eq!(secondary.answer("example.com", "SOA"), primary.answer("example.com", "SOA"));
    assert!(counted(&node, "poterne_dns_transfers_total{given=\"difference\"}") > 0, "{}", node.metrics());

    // On top of it: the primary knows nothing of that, and the number goes on from its.
    api.done("PATCH", &format!("{zone}/dns_settings"), &json!({ "secondary_overrides": true }));
    let records = api.get(&format!("{zone}/dns_records?name=app.example.com&type=A")).unwrap();
    let app = records.result()[0]["id"].as_str().unwrap().to_owned();
    api.done("PATCH", &format!("{zone}/dns_records/{app}"), &json!({ "proxied": true }));
    secondary.shows("app.example.com", "A", &["127.0.0.1"]);
    let on_top = serial(&secondary.answer("example.com", "SOA"));
    assert!(on_top > 8, "{on_top}");
    // The primary's next number is one that was given already.
    primary.change(&text(9, &format!("{caa}app A 9.9.9.9\nlast A 192.0.2.14\n")));
    secondary.shows("last.example.com", "A", &["192.0.2.14"]);
    let next = serial(&secondary.answer("example.com", "SOA"));
    assert!(next > on_top, "{next}");
    primary.change(&text(2000, caa));
    secondary.shows("last.example.com", "A", &[]);
    eventually("the primary's number is in force again", || serial(&secondary.answer("example.com", "SOA")) == 2000);
    assert_eq!(Dig::at(&node, "example.com", "SOA").answer(), primary.answer("example.com", "SOA"));
}
