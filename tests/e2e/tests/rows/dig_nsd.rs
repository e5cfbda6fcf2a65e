//! Zones shared with other name servers: NSD here, and the same with Knot DNS in `dig_knotd`.

mod flattened;
mod over_tls;

use poterne_e2e::{
    Api, Dig, Node, eventually,
    name_server::{NameServer, Program, SharedKey, free},
};
use serde_json::{Value, json};

/// What the node is reached at (`node.public_addresses`).
const EDGE: &str = "127.0.0.1";
const ORIGIN: &str = "1.2.3.4";

/// The algorithms differ, so that each is spoken with somebody else's code.
pub(crate) fn key(algorithm: &'static str) -> SharedKey {
    SharedKey { name: "xfr.example.net", algorithm, secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }
}

/// A node that may reach servers on this machine.
pub(crate) fn node() -> (Node, Api) {
    let settings =
        ["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]", "dns.nameservers=[\"ns1.example.net\", \"ns2.example.net\"]"];
    let node = Node::bare(&settings.map(str::to_owned));
    let api = Api::of(&node);
    (node, api)
}

pub(crate) fn shared(api: &Api, what: &str, body: &Value) -> String {
    let made = api.done("POST", &format!("/accounts/{}/secondary_dns/{what}", api.account), body);
    made["id"].as_str().unwrap().to_owned()
}

/// The key, by its id.
pub(crate) fn tsig(api: &Api, key: SharedKey) -> String {
    shared(
        api,
        "tsigs",
        &json!({ "name": format!("{}.", key.name), "algo": format!("{}.", key.algorithm), "secret": key.secret }),
    )
}

/// A peer, by its id.
pub(crate) fn peer(api: &Api, body: &Value) -> String {
    shared(api, "peers", body)
}

pub(crate) fn record(api: &Api, zone: &str, kind: &str, name: &str, content: &str, proxied: bool) -> String {
    let body = json!({ "type": kind, "name": name, "content": content, "proxied": proxied, "ttl": 1 });
    api.done("POST", &format!("{zone}/dns_records"), &body)["id"].as_str().unwrap().to_owned()
}

pub(crate) fn serial(lines: &[String]) -> u32 {
    lines.first().and_then(|line| line.split(' ').nth(2)?.parse().ok()).unwrap_or(0)
}

pub(crate) fn counted(node: &Node, metric: &str) -> u64 {
    let text = node.metrics();
    let line = text.lines().find(|line| line.starts_with(metric));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Another server has a zone of the node's, hears of each change, and gets what changed alone.
pub(crate) fn is_given_to(program: Program, algorithm: &'static str) {
    let ((node, api), at, key) = (node(), free(), key(algorithm));
    let zone = api.zone(&node, "example.com");
    record(&api, &zone, "A", "www", ORIGIN, true);
    record(&api, &zone, "TXT", "www", "beside", false);
    record(&api, &zone, "CNAME", "to", "www.example.com", false);
    let plain = record(&api, &zone, "A", "plain", "192.0.2.7", false);
    let tsig = tsig(&api, key);
    let peer = peer(&api, &json!({ "name": "other", "ip": at.ip().to_string(), "port": at.port(), "tsig_id": tsig }));
    let outgoing = format!("{zone}/secondary_dns/outgoing");
    api.done("POST", &outgoing, &json!({ "name": "example.com.", "peers": [peer] }));

    let other = NameServer::secondary(program, at, "example.com", &node, key);
    other.shows("www.example.com", "A", &[EDGE]);
    other.shows("www.example.com", "TXT", &["\"beside\""]);
    other.shows("plain.example.com", "A", &["192.0.2.7"]);
    other.shows("example.com", "NS", &["ns1.example.net.", "ns2.example.net."]);
    assert_eq!(other.answer("to.example.com", "A"), [EDGE, "www.example.com."]);
    assert_eq!(other.answer("example.com", "SOA"), Dig::at(&node, "example.com", "SOA").answer());
    eventually("the transfer is told", || api.get(&outgoing).unwrap().result()["last_transferred_time"].is_string());
    let before = serial(&other.answer("example.com", "SOA"));

    // It looks by itself every 10,000 seconds.
    api.done("PATCH", &format!("{zone}/dns_records/{plain}"), &json!({ "content": "192.0.2.8" }));
    record(&api, &zone, "A", "new", "192.0.2.9", false);
    other.shows("plain.example.com", "A", &["192.0.2.8"]);
    other.shows("new.example.com", "A", &["192.0.2.9"]);
    assert!(serial(&other.answer("example.com", "SOA")) > before);
    assert!(counted(&node, "poterne_dns_transfers_total{given=\"difference\"}") > 0, "{}", node.metrics());
    assert!(counted(&node, "poterne_dns_notices_total{outcome=\"answered\"}") > 0, "{}", node.metrics());
}

/// A zone, as its primary has it; nobody looks at it by itself within a day.
pub(crate) fn text(serial: u32, more: &str) -> String {
    format!(
        "$ORIGIN example.com.\n$TTL 3600\n@ SOA ns1.elsewhere.example. dns.elsewhere.example. {serial} 86400 3600 604800 300\n\
         @ 7200 NS ns1.elsewhere.example.\nwww A 192.0.2.10\nwww TXT \"beside\"\n*.wild A 192.0.2.11\n{more}"
    )
}

/// The node has a zone of another server's, follows it, and puts something on top.
pub(crate) fn is_taken_from(program: Program, algorithm: &'static str, own: bool) {
    let ((node, api), at, key) = (node(), free(), key(algorithm));
    let made =
        api.done("POST", "/zones", &json!({ "name": "example.com", "account": { "id": api.account }, "type": "secondary" }));
    assert_eq!(made["type"], "secondary");
    node.verb(&["zone", "activate", "example.com"]).unwrap();
    let zone = format!("/zones/{}", made["id"].as_str().unwrap());
    let shows = |name: &str, kind: &str, expected: &[&str]| {
        eventually(&format!("{name} {kind} is {expected:?} here"), || Dig::at(&node, name, kind).answer() == expected);
    };
    assert!(Dig::at(&node, "www.example.com", "A").text().contains("SERVFAIL"), "nothing came yet");

    let primary = NameServer::primary(program, at, "example.com", &text(7, "gone A 192.0.2.12\n"), &node, key, own);
    if !own {
        // Its notices come from another of its addresses.
        let acl = json!({ "name": "this machine", "ip_range": "127.0.0.0/8" });
        shared(&api, "acls", &acl);
    }
    let tsig = tsig(&api, key);
    let peer = peer(&api, &json!({ "name": "other", "ip": at.ip().to_string(), "port": at.port(), "tsig_id": tsig }));
    let incoming = format!("{zone}/secondary_dns/incoming");
    api.done("POST", &incoming, &json!({ "name": "example.com.", "auto_refresh_seconds": 0, "peers": [peer] }));
    shows("www.example.com", "A", &["192.0.2.10"]);
    shows("x.y.wild.example.com", "A", &["192.0.2.11"]);
    shows("gone.example.com", "A", &["192.0.2.12"]);
    shows("example.com", "NS", &["ns1.elsewhere.example."]);
    assert_eq!(Dig::at(&node, "example.com", "SOA").answer(), primary.answer("example.com", "SOA"));
    assert_eq!(api.get(&incoming).unwrap().result()["soa_serial"], 7);

    // Only a notice brings the next version before tomorrow.
    primary.change(&text(8, "new A 192.0.2.13\n"));
    shows("new.example.com", "A", &["192.0.2.13"]);
    shows("gone.example.com", "A", &[]);
    assert_eq!(Dig::at(&node, "example.com", "SOA").answer(), primary.answer("example.com", "SOA"));

    // On top of it.
    let records = api.get(&format!("{zone}/dns_records?name=www.example.com&type=A")).unwrap();
    let www = records.result()[0]["id"].as_str().unwrap().to_owned();
    let path = format!("{zone}/dns_records/{www}");
    let refused = api.ask("PATCH", &path, &json!({ "content": "192.0.2.99" })).unwrap();
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(api.ask("PATCH", &path, &json!({ "proxied": true })).unwrap().status, 400, "overrides are not asked for");
    let body = json!({ "type": "A", "name": "own", "content": "192.0.2.99" });
    assert_eq!(api.ask("POST", &format!("{zone}/dns_records"), &body).unwrap().status, 400);
    api.done("PATCH", &format!("{zone}/dns_settings"), &json!({ "secondary_overrides": true }));
    // Addresses for documentation are nobody's origin.
    primary.change(&text(9, "app A 9.9.9.9\n"));
    shows("app.example.com", "A", &["9.9.9.9"]);
    let records = api.get(&format!("{zone}/dns_records?name=app.example.com&type=A")).unwrap();
    let app = records.result()[0]["id"].as_str().unwrap().to_owned();
    api.done("PATCH", &format!("{zone}/dns_records/{app}"), &json!({ "proxied": true }));
    shows("app.example.com", "A", &[EDGE]);
    primary.change(&text(10, "app A 149.112.112.112\nlast A 192.0.2.14\n"));
    shows("last.example.com", "A", &["192.0.2.14"]);
    shows("app.example.com", "A", &[EDGE]);
    let kept = api.get(&format!("{zone}/dns_records?name=app.example.com")).unwrap();
    assert_eq!((&kept.result()[0]["content"], &kept.result()[0]["proxied"]), (&json!("149.112.112.112"), &json!(true)));
}

#[test]
fn it_has_a_zone_of_ours() {
    is_given_to(Program::Nsd, "hmac-sha256");
}

#[test]
fn we_have_a_zone_of_its() {
    is_taken_from(Program::Nsd, "hmac-sha512", true);
}
