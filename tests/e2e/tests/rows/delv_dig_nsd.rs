//! A signed zone, given to NSD: what that answers is what `delv` validates, with the keys that the parent knows.

use poterne_e2e::{
    eventually,
    name_server::{NameServer, Program, free},
};
use serde_json::json;

use super::{
    delv::{ASKED, sign, validated},
    dig_nsd::{key, node, peer, record, tsig},
};

#[test]
fn what_it_answers_of_a_signed_zone_validates() {
    for algorithm in ["13", "15"] {
        let ((node, api), at, key) = (node(), free(), key("hmac-sha256"));
        let (zone, ds) = sign(&node, &api, algorithm);
        record(&api, &zone, "NS", "sub", "ns.sub.example.com", false);
        record(&api, &zone, "A", "ns.sub", "192.0.2.53", false);
        let tsig = tsig(&api, key);
        let peer = peer(&api, &json!({ "name": "other", "ip": at.ip().to_string(), "port": at.port(), "tsig_id": tsig }));
        api.done("POST", &format!("{zone}/secondary_dns/outgoing"), &json!({ "name": "example.com.", "peers": [peer] }));
        let other = NameServer::secondary(Program::Nsd, at, "example.com", &node, key);
        other.shows("www.example.com", "A", &["192.0.2.7"]);
        for (name, kind, is_there) in ASKED {
            // What the edge says of its protocols is no record of the zone.
            let is_there = is_there && kind != "HTTPS";
            let text = validated(at, &ds, name, kind);
            let said = if is_there { "; fully validated" } else { "; negative response, fully validated" };
            assert!(text.contains(said), "{name} {kind}: {text}\n{}", other.log());
        }
        // The chain says what is there: a gap, and a delegation that is not signed.
        let text = validated(at, &ds, "sub.example.com", "DS");
        assert!(text.contains("; negative response, fully validated"), "{text}");
        assert_eq!(other.answer("shown.example.com", "NSEC"), ["sub.example.com. A RRSIG NSEC"]);
        // What changes comes with signatures, too.
        record(&api, &zone, "A", "zz", "192.0.2.9", false);
        eventually("a change is there, and validates", || {
            validated(at, &ds, "zz.example.com", "A").contains("; fully validated")
        });
        assert_eq!(other.answer("zz.example.com", "NSEC"), ["example.com. A RRSIG NSEC"]);
    }
}
