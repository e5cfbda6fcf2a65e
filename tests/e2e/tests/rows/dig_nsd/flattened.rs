//! Names flattened through another provider, whose name server is NLnet Labs' `nsd`, as BIND's `dig` sees them.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{self, Command, Stdio},
};

use poterne_e2e::{Api, Dig, Node, Running, eventually};
use serde_json::json;
use tempfile::TempDir;

/// The other provider.
struct Provider {
    address: SocketAddr,
    process: Running,
    _dir: TempDir,
}

impl Provider {
    fn of(zone: &str, records: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // nsd cannot be handed a socket, so its port was only free a moment ago: at an address of this process's own, where no other
        // test's name server takes it meanwhile, and answers.
        let [_, high, middle, low] = process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | high, middle, low | 1);
        let address = UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap();
        let at = dir.path().display();
        let text =
            format!("$ORIGIN {zone}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 9.9.9.53\n{records}\n");
        fs::write(dir.path().join("zone"), text).unwrap();
        let config = format!(
            "server:\n  ip-address: {}@{}\n  username: \"\"\n  zonesdir: \"{at}\"\n  pidfile: \"{at}/pid\"\n  xfrdfile: \"{at}/xfrd\"\n  \
             zonelistfile: \"{at}/list\"\n  database: \"\"\n  server-count: 1\nremote-control:\n  control-enable: no\n\
             zone:\n  name: {zone}\n  zonefile: \"{at}/zone\"\n",
            address.ip(),
            address.port()
        );
        let file = dir.path().join("nsd.conf");
        fs::write(&file, config).unwrap();
        // Debian has it where only root looks.
        let program = if fs::exists("/usr/sbin/nsd").unwrap() { "/usr/sbin/nsd" } else { "nsd" };
        let mut command = Command::new(program);
        let process = Running::start(command.args(["-d", "-c"]).arg(&file).stderr(Stdio::null()));
        let (ip, port) = (format!("@{}", address.ip()), address.port().to_string());
        eventually("the other provider answers", || {
            let asked = Command::new("dig").args(["-r", &ip, "-p", &port, "+tries=1", "+time=1", zone, "SOA"]).output().unwrap();
            String::from_utf8_lossy(&asked.stdout).contains("status: NOERROR")
        });
        Self { address, process, _dir: dir }
    }
}

fn answer(node: &Node, name: &str, kind: &str) -> Vec<String> {
    Dig::at(node, name, kind).answer()
}

#[test]
fn an_apex_leads_to_another_provider() {
    let mut provider = Provider::of(
        "other.test",
        "host A 9.9.9.77\nhost A 9.9.9.78\nhost AAAA 2620:fe::77\nhost TXT \"theirs\"\nlb CNAME host\nprivate A 192.168.7.7\nback CNAME www.example.com.",
    );
    let node = Node::bare(&[format!("dns.resolvers={}", provider.address)]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    for (name, target, flattened) in [
        ("@", "lb.other.test", false),
        ("flat", "lb.other.test", true),
        ("plain", "lb.other.test", false),
        ("gone", "no.other.test", true),
        ("private", "private.other.test", true),
        ("back", "back.other.test", true),
    ] {
        let mut body = json!({ "type": "CNAME", "name": name, "content": target, "proxied": false, "ttl": 300 });
        if flattened {
            body["settings"] = json!({ "flatten_cname": true });
        }
        api.done("POST", &format!("{zone}/dns_records"), &body);
    }
    api.done(
        "POST",
        &format!("{zone}/dns_records"),
        &json!({ "type": "A", "name": "www", "content": "1.2.3.4", "proxied": true, "ttl": 1 }),
    );
    for name in ["example.com", "flat.example.com"] {
        assert_eq!(answer(&node, name, "A"), ["9.9.9.77", "9.9.9.78"]);
        assert_eq!(answer(&node, name, "AAAA"), ["2620:fe::77"]);
        for kind in ["CNAME", "TXT", "MX"] {
            let text = Dig::at(&node, name, kind).text();
            assert!(text.contains("status: NOERROR") && text.contains("ANSWER: 0"), "{kind}: {text}");
        }
    }
    assert_eq!(answer(&node, "plain.example.com", "A"), ["lb.other.test."], "what is not to be hidden is not");
    let gone = Dig::at(&node, "gone.example.com", "A").text();
    assert!(gone.contains("status: NOERROR") && gone.contains("ANSWER: 0"), "{gone}");
    let private = Dig::at(&node, "private.example.com", "A").text();
    assert!(private.contains("ANSWER: 0") && private.contains("EDE: 15") && !private.contains("192.168"), "{private}");
    // What comes back is answered here: by the edge, of which the other provider knows nothing.
    assert_eq!(answer(&node, "back.example.com", "A"), ["127.0.0.1"]);

    // Signed as everything else is.
    api.done("PATCH", &format!("{zone}/dnssec"), &json!({ "status": "active" }));
    let signed = Dig::at(&node, "example.com", "A").with(&["+dnssec"]).text();
    assert!(signed.contains("RRSIG\tA 13 2 ") && signed.contains("9.9.9.77"), "{signed}");

    // It goes away: what is known goes on, what is not is a failure that says why.
    provider.process.kill();
    assert_eq!(answer(&node, "example.com", "A"), ["9.9.9.77", "9.9.9.78"]);
    let failed = Dig::at(&node, "gone.example.com", "AAAA").text();
    assert!(failed.contains("status: SERVFAIL") && failed.contains("EDE: 22"), "{failed}");
}
