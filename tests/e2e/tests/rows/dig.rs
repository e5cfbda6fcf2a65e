//! The name server, as BIND's `dig` sees it.

use poterne_e2e::{Agent, Api, Curl, Dig, Kind, Node, Raw, eventually};
use serde_json::{Value, json};

columns!(a_chain_of_names_ends_in_the_tunnel);

/// What the node is reached at (`node.public_addresses`).
const EDGE: &str = "127.0.0.1";
const ORIGIN: &str = "1.2.3.4";

fn record(api: &Api, zone: &str, kind: &str, name: &str, content: &str, proxied: bool) -> String {
    let body = json!({ "type": kind, "name": name, "content": content, "proxied": proxied, "ttl": 1 });
    api.done("POST", &format!("{zone}/dns_records"), &body)["id"].as_str().unwrap().to_owned()
}

/// A zone of the node that waits for its delegation.
fn pending(api: &Api, name: &str) -> String {
    let made = api.done("POST", "/zones", &json!({ "name": name, "account": { "id": api.account } }));
    format!("/zones/{}", made["id"].as_str().unwrap())
}

fn answer(node: &Node, name: &str, kind: &str) -> Vec<String> {
    Dig::at(node, name, kind).answer()
}

/// A deleted zone is nobody's (edge-behaviour §1.11), after a restart too; taken back it is as it was, and in force.
#[test]
fn a_deleted_zone_is_refused_until_it_is_taken_back() {
    let mut node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    record(&api, &zone, "A", "www", ORIGIN, true);
    record(&api, &zone, "A", "plain", "192.0.2.7", false);
    assert_eq!(answer(&node, "www.example.com", "A"), [EDGE]);
    let said = node.verb(&["zone", "delete", "example.com"]).unwrap();
    assert!(said.contains("poterne zone restore example.com"), "{said}");
    for name in ["www.example.com", "plain.example.com", "example.com"] {
        let text = Dig::at(&node, name, "A").text();
        assert!(text.contains("REFUSED") && !text.contains("192.0.2.7"), "{text}");
    }
    node.kill_and_restart();
    assert!(Dig::at(&node, "plain.example.com", "A").text().contains("REFUSED"));
    assert!(!node.verb(&["zone", "list"]).unwrap().contains("example.com"));
    assert!(node.verb(&["zone", "list", "--deleted"]).unwrap().contains("example.com"));
    node.verb(&["zone", "restore", "example.com"]).unwrap();
    assert_eq!(answer(&node, "www.example.com", "A"), [EDGE], "it was in force");
    assert_eq!(answer(&node, "plain.example.com", "A"), ["192.0.2.7"]);
    node.verb(&["zone", "delete", "example.com", "--purge"]).unwrap();
    assert!(node.verb(&["zone", "restore", "example.com"]).is_err());
}

/// Step 2 of the story: one proxied address, a name that follows it, and nothing that tells the origin.
#[test]
fn the_origin_is_hidden() {
    let node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = pending(&api, "example.com");
    let www = record(&api, &zone, "A", "www", ORIGIN, true);
    record(&api, &zone, "CNAME", "git", "www.example.com", true);
    record(&api, &zone, "TXT", "www", "beside", false);
    record(&api, &zone, "A", "plain", "192.0.2.7", false);
    assert_eq!(answer(&node, "www.example.com", "A"), [ORIGIN], "a pending zone is answered as it is");
    assert_eq!(answer(&node, "plain.example.com", "A"), ["192.0.2.7"]);

    node.verb(&["zone", "activate", "example.com"]).unwrap();
    for name in ["www.example.com", "git.example.com"] {
        assert_eq!(answer(&node, name, "A"), [EDGE], "{name}");
        assert!(answer(&node, name, "AAAA").is_empty(), "the node has no IPv6 address");
        let service = answer(&node, name, "HTTPS");
        assert!(service.len() == 1 && service[0].contains("alpn=\"h3,h2\"") && service[0].contains(EDGE), "{service:?}");
        let kinds = [
            "A",
            "AAAA",
            "CNAME",
            "HTTPS",
            "SVCB",
            "TXT",
            "MX",
            "NS",
            "SOA",
            "DS",
            "RRSIG",
            "NSEC",
            "DNSKEY",
            "ANY",
            "TYPE65280",
        ];
        for kind in kinds {
            for words in [&["+dnssec"][..], &["+tcp", "+noedns"]] {
                let text = Dig::at(&node, name, kind).with(words).text();
                assert!(!text.contains(ORIGIN) && !text.contains("CNAME\twww"), "{kind}: {text}");
            }
        }
    }
    assert_eq!(answer(&node, "www.example.com", "TXT"), ["\"beside\""]);
    let refused = Dig::at(&node, "example.com", "AXFR").text();
    assert!(refused.contains("Transfer failed") && !refused.contains(ORIGIN), "{refused}");

    // What is answered once the call has returned is what it made of the record.
    let path = format!("{zone}/dns_records/{www}");
    api.done("PATCH", &path, &json!({ "content": "1.2.3.5" }));
    assert_eq!(answer(&node, "git.example.com", "A"), [EDGE]);
    api.done("PATCH", &path, &json!({ "proxied": false, "ttl": 120 }));
    assert_eq!(answer(&node, "www.example.com", "A"), ["1.2.3.5"], "who shows it himself may");
    let shown = Dig::at(&node, "www.example.com", "A").with(&["+noall", "+answer"]).text();
    assert!(shown.contains("\t120\tIN\tA\t"), "{shown}");
    api.done("DELETE", &path, &Value::Null);
    assert!(Dig::at(&node, "www.example.com", "A").text().contains("status: NOERROR"), "its TXT record is there still");
    assert!(Dig::at(&node, "gone.example.com", "A").text().contains("status: NXDOMAIN"));
}

/// Step 3: a CNAME to a tunnel, and everything that points at it, at any depth; wildcards and the apex too.
fn a_chain_of_names_ends_in_the_tunnel(kind: Kind) {
    let service = Raw::saying("hello");
    let node = Node::serve(&service.url());
    let _agent = Agent::connect(&node, kind);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    let everything = json!({ "config": { "ingress": [{ "service": service.url() }] } });
    api.done("PUT", &format!("/accounts/{}/cfd_tunnel/{}/configurations", api.account, node.tunnel), &everything);
    let tunnel = format!("{}.cfargotunnel.com", node.tunnel);
    for (name, target) in
        [("www", &*tunnel), ("@", "www.example.com"), ("*", "www.example.com"), ("a", "b.example.com"), ("b", "x.y.example.com")]
    {
        record(&api, &zone, "CNAME", name, target, true);
    }
    for name in ["www", "any.thing", "a", "b"] {
        let name = format!("{name}.example.com");
        assert_eq!(answer(&node, &name, "A"), [EDGE], "{name}");
        assert!(!Dig::at(&node, &name, "CNAME").text().contains("cfargotunnel"), "{name}");
    }
    assert_eq!(answer(&node, "example.com", "A"), [EDGE]);
    assert!(answer(&node, "example.com", "SOA").len() == 1);
    for name in ["a.example.com", "any.thing.example.com", "example.com"] {
        eventually("the agent has its configuration", || Curl::http(&node, name, "/").run().text() == "hello");
    }
}

#[test]
fn what_messages_say_of_themselves() {
    let node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    for number in 0..60 {
        record(&api, &zone, "AAAA", "many", &format!("2001:db8::{number:x}"), false);
    }
    let text = |words: &[&str]| Dig::at(&node, "many.example.com", "AAAA").with(words).text();
    let whole = text(&[]);
    assert!(whole.contains("ANSWER: 60") && whole.contains("(TCP)"), "cut over UDP, and whole over TCP: {whole}");
    let cut = text(&["+ignore", "+cookie"]);
    assert!(cut.contains("flags: qr aa tc;") && cut.contains("ANSWER: 0") && cut.contains("(good)"), "{cut}");
    assert!(text(&["+nsid", "+ignore"]).contains("NSID: "));
    assert!(text(&["+edns=7", "+noednsnegotiation"]).contains("status: BADVERS"));
    assert!(text(&["-c", "CH"]).contains("status: REFUSED"));
    assert!(text(&["+opcode=UPDATE"]).contains("status: NOTIMP"));
    let elsewhere = Dig::at(&node, "example.org", "A").text();
    assert!(elsewhere.contains("status: REFUSED") && elsewhere.contains("EDE: 20"), "{elsewhere}");
}

#[test]
fn a_zone_answers_after_its_node_was_killed() {
    let mut node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    record(&api, &zone, "A", "www", "192.0.2.7", false);
    let serial = |node: &Node| answer(node, "example.com", "SOA")[0].split(' ').nth(2).unwrap().parse::<u32>().unwrap();
    let before = serial(&node);
    node.kill_and_restart();
    assert_eq!(answer(&node, "www.example.com", "A"), ["192.0.2.7"]);
    assert_eq!(serial(&node), before, "nothing changed");
    record(&Api::of(&node), &zone, "A", "www", "192.0.2.8", false);
    assert_eq!(answer(&node, "www.example.com", "A"), ["192.0.2.7", "192.0.2.8"]);
    assert!(serial(&node) > before);
}

/// What an authority asks for is seen when the verb returns, and a wildcard answers for everything it answered for before.
#[test]
fn a_challenge_disturbs_no_wildcard() {
    let node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    record(&api, &zone, "A", "*", "192.0.2.7", false);
    record(&api, &zone, "TXT", "_acme-challenge.own", "\"mine\"", false);
    record(&api, &zone, "CNAME", "_acme-challenge.led", "led.dcv.example.net", false);
    for name in ["foo.example.com", "own.example.com", "*.example.com"] {
        node.verb(&["dns", "challenge", "put", name, "token-1"]).unwrap();
    }
    let texts = |name: &str| answer(&node, &format!("_acme-challenge.{name}"), "TXT");
    assert_eq!(texts("foo.example.com"), ["\"token-1\""]);
    assert_eq!(texts("own.example.com"), ["\"mine\"", "\"token-1\""]);
    assert_eq!(texts("example.com"), ["\"token-1\""], "a wildcard is proven by the name it stands under");
    for name in ["foo.example.com", "x.foo.example.com", "_acme-challenge.foo.example.com"] {
        assert_eq!(answer(&node, name, "A"), ["192.0.2.7"], "{name}");
    }
    let refused = node.verb(&["dns", "challenge", "put", "led.example.com", "token-1"]).unwrap_err();
    assert!(refused.contains("is a CNAME to led.dcv.example.net"), "{refused}");
    assert_eq!(texts("led.example.com"), ["led.dcv.example.net."]);

    api.done("PATCH", &format!("{zone}/dnssec"), &json!({ "status": "active" }));
    let signed = Dig::at(&node, "_acme-challenge.foo.example.com", "TXT").with(&["+dnssec"]).text();
    assert!(signed.contains("RRSIG\tTXT 13 4 "), "{signed}");

    node.verb(&["dns", "challenge", "put", "foo.example.com", "token-2"]).unwrap();
    node.verb(&["dns", "challenge", "remove", "foo.example.com", "token-1"]).unwrap();
    assert_eq!(texts("foo.example.com"), ["\"token-2\""]);
    node.verb(&["dns", "challenge", "remove", "foo.example.com"]).unwrap();
    assert!(texts("foo.example.com").is_empty());
    let listed = api.done("GET", &format!("{zone}/dns_records"), &Value::Null);
    assert_eq!(listed.as_array().unwrap().len(), 3, "it is no record of the zone: {listed}");
    node.verb(&["zone", "delete", "example.com"]).unwrap();
    assert!(Dig::at(&node, "foo.example.com", "A").text().contains("status: REFUSED"));
}
