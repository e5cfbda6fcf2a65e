//! A zone that keeps its name servers, whose owner leads single hosts here by CNAMEs (docs/partial-zones.md): proven by a TXT record there,
//! found by a resolver that validates, visited by curl.

use std::process::Command;

use poterne_e2e::{
    Agent, Api, Kind, Tree, eventually,
    tree::{NEW, Previous, RESOLVER, SUFFIX, Zone, answer, dig},
};
use serde_json::{Value, json};

alone!(a_zone_keeps_its_servers_and_leads_hosts_here);

const RECORDS: &str = "@ A 185.49.140.80\nmail A 185.49.140.82\n";

const EXAMPLE: Previous = Previous { apex: "example.com", records: RECORDS, is_signed: true, is_given: false };

fn a_zone_keeps_its_servers_and_leads_hosts_here() {
    let tree = Tree::grow(&[EXAMPLE]);
    let node = tree.node();
    let api = Api::of(&node);
    let zone = Zone::add_partial(&node, "example.com");
    let shown = zone.shown();
    assert_eq!((&shown["type"], &shown["name_servers"], &shown["cname_suffix"]), (&json!("partial"), &json!([]), &json!(SUFFIX)));

    let tunnel: Value = serde_json::from_str(&node.verb(&["tunnel", "create", "home", "--json"]).unwrap()).unwrap();
    let id = tunnel["tunnel"]["id"].as_str().unwrap();
    let config = json!({ "config": { "ingress": [{ "service": "http_status:204" }] } });
    api.done("PUT", &format!("/accounts/{}/cfd_tunnel/{id}/configurations", api.account), &config);
    zone.record("CNAME", "www", &format!("{id}.cfargotunnel.com"), true);
    zone.record("A", "direct", "1.2.3.4", true);

    // Whoever only says that it is his gets nothing.
    zone.look(&tree);
    assert_eq!(zone.status(), "pending");
    let led = format!("{RECORDS}www CNAME www.example.com.{SUFFIX}.\ndirect CNAME direct.example.com.{SUFFIX}.\n");
    let proof = |text: &str| format!("{led}cloudflare-verify TXT \"{text}\"\n");
    tree.set_previous("example.com", &proof("something else"));
    zone.look(&tree);
    assert_eq!(zone.status(), "pending");
    tree.set_previous("example.com", &proof(shown["verification_key"].as_str().unwrap()));
    zone.look(&tree);
    assert_eq!(zone.status(), "active");

    // By the resolver, from the zone's own servers to here; the CNAME is signed there, and what is below the suffix is not.
    let edge: Vec<String> = NEW.iter().map(|place| place.v4.to_owned()).collect();
    let target = format!("www.example.com.{SUFFIX}.");
    eventually("the node obeys that the zone is active", || answer(NEW[0].v4, &target, "A") == edge);
    tree.forget();
    let mut found = edge.clone();
    found.push(target);
    assert_eq!(answer(RESOLVER.v4, "www.example.com", "A"), found);
    for kind in ["A", "AAAA", "CNAME", "HTTPS", "TXT", "ANY"] {
        let text = dig(NEW[0].v4, &format!("direct.example.com.{SUFFIX}"), kind, &["+dnssec"]);
        assert!(text.contains("NOERROR") && !text.contains("1.2.3.4"), "{kind}: {text}");
    }
    assert!(dig(NEW[0].v4, "www.example.com", "A", &[]).contains("REFUSED"), "it is its own servers' to answer for");
    assert!(dig(NEW[0].v4, &format!("no.example.com.{SUFFIX}"), "A", &[]).contains("NXDOMAIN"));

    let token = node.verb(&["tunnel", "token", "home"]).unwrap();
    let _agent = Agent::run(&node, Kind { stock: false, protocol: "quic" }, token.trim());
    node.wait_for_agents_of(id, 1);
    let mut visit = Command::new("curl");
    visit.args(["--silent", "--show-error", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code}"]);
    let visited = visit.args(["--cacert", node.text("ca_file"), "https://www.example.com/"]).output().unwrap();
    assert_eq!(String::from_utf8(visited.stdout).unwrap(), "204", "{}", String::from_utf8_lossy(&visited.stderr));
}
