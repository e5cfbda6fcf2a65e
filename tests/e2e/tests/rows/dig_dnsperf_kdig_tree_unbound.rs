//! Knot's `kdig` and `dnsperf` at the node's public addresses, in a tree of our own: names are found as everywhere, by asking.

use std::{fs, process::Command};

use poterne_e2e::{
    Tree,
    tree::{NEW, Zone},
};
use serde_json::json;

alone!(name_servers_are_found_by_name_and_asked, many_signed_answers_and_none_is_lost);

fn told(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program} {words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn name_servers_are_found_by_name_and_asked() {
    let tree = Tree::grow(&[]);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    zone.record("A", "www", "185.49.140.7", true);
    zone.come(&tree);
    let ds = zone.sign("13");
    zone.secure(&tree, &ds);
    let ca = format!("+tls-ca={}", node.text("ca_file"));
    for place in NEW {
        let server = format!("@{}", place.name);
        for words in [&["+notcp"][..], &["+tcp"], &[&*ca, "+tls-hostname=www.example.com"]] {
            for family in ["-4", "-6"] {
                let asked = [&["+dnssec", "+retry=1", family, &*server, "www.example.com", "A"], words].concat();
                let text = told("kdig", &asked);
                assert!(text.contains(NEW[0].v4) && text.contains(NEW[1].v4) && text.contains("RRSIG"), "{asked:?}: {text}");
                assert!(!text.contains("185.49.140.7"), "{asked:?}: {text}");
            }
        }
    }
}

fn many_signed_answers_and_none_is_lost() {
    let tree = Tree::grow(&[]);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    let posts: Vec<_> = (0..100)
        .map(|number| json!({ "type": "A", "name": format!("h{number}"), "content": "185.49.140.7", "proxied": number % 10 == 0, "ttl": 1 }))
        .collect();
    zone.api.done("POST", &format!("{}/dns_records/batch", zone.path), &json!({ "posts": posts }));
    zone.come(&tree);
    let ds = zone.sign("13");
    zone.secure(&tree, &ds);
    // Some do not exist. Nobody here has a cookie, so more of those in a second would be cut short: all of them are one answer.
    let questions: String = (0..105).map(|number| format!("h{number}.example.com A\n")).collect();
    let file = node.file("questions");
    fs::write(&file, questions).unwrap();
    for place in NEW {
        for (address, mode) in [(place.v4, "udp"), (place.v6, "tcp")] {
            let words = ["-s", address, "-m", mode, "-D", "-n", "5", "-c", "2", "-Q", "200", "-d", file.to_str().unwrap()];
            let text = told("dnsperf", &words);
            let all = ["Queries sent:         525", "Queries completed:    525 (100.00%)", "Queries lost:         0 (0.00%)"];
            assert!(all.iter().all(|line| text.contains(line)) && text.contains("NOERROR 525 (100.00%)"), "{mode}: {text}");
        }
    }
}
