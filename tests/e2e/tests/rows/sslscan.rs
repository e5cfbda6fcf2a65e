//! What the edge agrees to in a handshake, as `sslscan` sees it.

use std::process::Command;

use poterne_e2e::Node;

/// TLS 1.2 with forward secrecy and authenticated encryption, TLS 1.3, and nothing before them (edge-behaviour §7.7).
#[test]
fn only_what_is_thought_safe_is_agreed_to() {
    let node = Node::demo();
    let output =
        Command::new("sslscan").args(["--xml=-", &format!("--sni-name={}", node.hostname), node.text("https")]).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    let lines = |element: &str| -> Vec<&str> {
        report.lines().map(str::trim).filter(|line| line.starts_with(&format!("<{element} "))).collect()
    };
    let value = |line: &str, attribute: &str| -> String {
        let (_, rest) = line.split_once(&format!(" {attribute}=\"")).unwrap_or_else(|| panic!("no {attribute} in {line}"));
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let versions: Vec<_> = lines("protocol")
        .into_iter()
        .map(|line| (value(line, "type") + &value(line, "version"), value(line, "enabled")))
        .collect();
    let expected = [("ssl2", "0"), ("ssl3", "0"), ("tls1.0", "0"), ("tls1.1", "0"), ("tls1.2", "1"), ("tls1.3", "1")];
    assert_eq!(versions, expected.map(|(version, enabled)| (version.to_owned(), enabled.to_owned())), "{report}");
    let mut ciphers: Vec<_> = lines("cipher").into_iter().map(|line| value(line, "id")).collect();
    ciphers.sort();
    assert_eq!(ciphers, ["0x1301", "0x1302", "0x1303", "0xC02B", "0xC02C", "0xCCA9"], "{report}");
    for (element, attribute) in [("renegotiation", "supported"), ("heartbleed", "vulnerable")] {
        let said: Vec<_> = lines(element).into_iter().map(|line| value(line, attribute)).collect();
        assert!(!said.is_empty() && said.iter().all(|said| said == "0"), "{element}: {report}");
    }
    assert!(lines("group").iter().any(|line| value(line, "id") == "0x001d"), "X25519 is missing: {report}");
}
