//! The whole story of a zone, with the official Python SDK as its user (`peers/with_cloudflare_story.py`), this test as the registrar, and
//! curl as the visitor, who finds the service behind the tunnel as anybody finds anything: by its name.

use std::process::Command;

use poterne_e2e::{
    Agent, Client, Kind, Tree, eventually,
    tree::{NEW, OLD, Previous, RESOLVER, answer, dig},
};
use serde_json::{Value, json};

alone!(the_story_over_quic, the_story_over_http2);

const ORIGIN: &str = "1.2.3.4";

const EXAMPLE: Previous = Previous {
    apex: "example.com",
    records: "@ A 185.49.140.80\nwww A 185.49.140.80\n@ MX 10 mail\nmail A 185.49.140.82\nblog A 185.49.140.84\nunguessed A 185.49.140.83\n",
    is_signed: true,
    is_given: false,
};

fn the_story_over_quic() {
    story("quic");
}

fn the_story_over_http2() {
    story("http2");
}

/// What curl got, which looks the name up by itself, and verifies the certificate.
fn visit(ca_file: &str, url: &str) -> String {
    let mut command = Command::new("curl");
    let output = command.args(["--silent", "--show-error", "--max-time", "60", "--cacert", ca_file, url]).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

fn story(protocol: &'static str) {
    let tree = Tree::grow(&[EXAMPLE]);
    let node = tree.node();
    let ca_file = node.text("ca_file").to_owned();
    let mut user = Client::start("with_cloudflare_story.py", &["story"], &node);

    // 1. The zone was added, scanned and reviewed; now the registrar takes the DS away and, a day later, changes the name servers.
    let told = user.hear();
    assert_eq!(told, json!({ "name_servers": [NEW[0].name, NEW[1].name], "warned": true }));
    assert_eq!(answer(RESOLVER.v4, "www.example.com", "A"), ["185.49.140.80"]);
    tree.delegate("example.com", &[OLD[0].name, OLD[1].name], &[]);
    tree.clock.put_forward(86_400);
    tree.delegate("example.com", &[NEW[0].name, NEW[1].name], &[]);
    user.go_on();

    // 2. One proxied address, and what follows it; never the origin.
    user.hear();
    tree.forget();
    assert_eq!(answer(RESOLVER.v4, "unguessed.example.com", "A"), ["185.49.140.83"]);
    let edge: Vec<String> = NEW.iter().map(|place| place.v4.to_owned()).collect();
    for name in ["www.example.com", "git.example.com"] {
        assert_eq!(answer(RESOLVER.v4, name, "A"), edge, "{name}");
        for kind in ["A", "AAAA", "CNAME", "HTTPS", "TXT", "MX", "ANY", "NSEC", "RRSIG"] {
            let text = dig(NEW[0].v4, name, kind, &["+dnssec"]) + &tree.resolved(name, kind);
            assert!(!text.contains(ORIGIN), "{name} {kind}: {text}");
        }
    }
    assert!(dig(NEW[0].v4, "example.com", "AXFR", &[]).contains("Transfer failed"));
    user.go_on();

    // 3. A tunnel, and names that lead there.
    let tunnel = user.hear();
    let _agent = Agent::run(&node, Kind { stock: false, protocol }, tunnel["token"].as_str().unwrap());
    node.wait_for_agents_of(tunnel["tunnel"].as_str().unwrap(), 1);
    user.go_on();
    user.hear();
    tree.forget();
    let everything =
        ["https://www.example.com/", "https://a.example.com/", "https://any.thing.example.com/", "https://example.com/"];
    for url in everything.iter().chain(&["http://a.example.com/"]) {
        assert_eq!(visit(&ca_file, url), "behind the tunnel", "{url}");
    }
    assert_eq!(answer(RESOLVER.v4, "example.com", "MX"), ["10 mail.example.com."], "which stands beside the CNAME");
    user.go_on();

    // It is signed, and visitors notice nothing.
    let told = user.hear();
    let (_, ds) = told["ds"].as_str().unwrap().split_once(" DS ").unwrap();
    tree.set_ds("example.com", &[ds.to_owned()]);
    tree.clock.put_forward(3600);
    user.go_on();
    user.hear();
    tree.forget();
    for name in ["www.example.com", "a.example.com", "any.thing.example.com", "example.com"] {
        let text = tree.resolved(name, "A");
        assert!(text.contains(" ad;") && edge.iter().all(|address| text.contains(address)), "{name}: {text}");
    }
    // For the node, and not for the agent, an hour passed in no time: the connections between them ended, and come back.
    eventually("the agent is back", || visit(&ca_file, everything[0]) == "behind the tunnel");
    for url in everything {
        assert_eq!(visit(&ca_file, url), "behind the tunnel", "{url}");
    }

    // 4. What the world sees.
    let checked: Value = serde_json::from_str(&node.verb(&["dns", "check", "example.com", "--json"]).unwrap()).unwrap();
    let findings = checked["findings"].as_array().unwrap();
    for (topic, words) in [("delegation", "is delegated here"), ("dnssec", "is signed, and the parent has 1 DS")] {
        let says = |finding: &Value| {
            finding["topic"] == topic && finding["level"] == "fine" && finding["text"].as_str().unwrap().contains(words)
        };
        assert!(findings.iter().any(says), "{words}: {checked}");
    }
    user.go_on();
    user.end();
}
