//! A configuration that is read again while visitors are there.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use poterne_e2e::{Curl, Node, certificate, eventually};
use serde_json::Value;

const HOST: &str = "app.site.test";

/// One more request on a connection that stays.
fn asks(visitor: &mut TcpStream) -> String {
    write!(visitor, "GET / HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n").unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(visitor.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    visitor.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn configure(node: &Node, text: &str) {
    fs::write(node.file("poterne.toml"), format!("version = 1\n{text}")).unwrap();
}

fn reload(node: &Node) -> Value {
    serde_json::from_str(&node.verb(&["reload", "--json"]).unwrap()).unwrap()
}

#[test]
fn a_configuration_is_read_again_and_no_connection_is_cut() {
    // Nobody serves the hostname: the page that says so names the visitor.
    let node = Node::serve("http://127.0.0.1:9");
    let mut visitor = TcpStream::connect(node.text("http")).unwrap();
    assert!(asks(&mut visitor).contains("127.0.0.1"));
    assert_eq!(reload(&node)["changed"], serde_json::json!([]));

    let files = certificate::write(&node.file(""), HOST);
    let certificates = format!(
        "[edge]\ncertificates = [{{ cert = {:?}, key = {:?} }}]\n",
        files.chain.to_str().unwrap(),
        files.key.to_str().unwrap()
    );
    let more = "trusted_proxies = [\"127.0.0.1\"]\n[mail]\nlanguage = \"fr\"\n[log]\nlevel = \"debug\"\n";
    configure(&node, &format!("{certificates}{more}"));
    let verified = || {
        let authority: &Path = &files.authority;
        let curl = Curl::https(&node, HOST, "/").with(&["--cacert", authority.to_str().unwrap()]);
        curl.run().status == 530
    };
    assert!(!verified());
    let told = reload(&node);
    assert_eq!(told["changed"], serde_json::json!(["edge.trusted_proxies", "edge.certificates", "log.level"]));
    assert_eq!(told["left"], serde_json::json!(["mail.language"]));
    assert_eq!(told["certificate_names"], 1);
    assert!(verified());
    assert!(asks(&mut visitor).contains("192.0.2.7"), "the same connection, and its proxy is believed now");
    assert_eq!(reload(&node)["left"], serde_json::json!(["mail.language"]), "it is told until it is so");

    // Files are read again although no key changed; by the signal as well.
    certificate::write(&node.file(""), HOST);
    assert!(!verified());
    node.process.hang_up();
    eventually("the certificate is another", verified);

    // What is wrong changes nothing.
    let wrong = [
        ("[edge]\n  trusted = []\n", "poterne.toml:3:3: unknown key \"trusted\" in [edge]"),
        ("[edge]\ntrusted_proxies = [\"nobody\"]\n", "poterne.toml:3:1: [edge] trusted_proxies: \"nobody\" is neither"),
        (
            "[edge]\ncertificates = [{ cert = \"/nowhere.pem\", key = \"/nowhere.key\" }]\n",
            "poterne.toml:3:1: [edge] certificates: /nowhere.pem cannot be read",
        ),
    ];
    for (text, expected) in wrong {
        configure(&node, text);
        let error = node.verb(&["reload"]).unwrap_err();
        assert!(error.contains(expected) && error.contains("nothing was changed"), "{error}");
        assert!(verified());
        assert!(asks(&mut visitor).contains("192.0.2.7"));
    }
    configure(&node, "");
    assert_eq!(reload(&node)["certificate_names"], 0);
    assert!(!verified());
    assert!(asks(&mut visitor).contains("127.0.0.1"));
}
