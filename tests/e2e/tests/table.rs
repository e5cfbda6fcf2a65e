//! One table for each agent and transport.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use poterne_e2e::{Nginx, Node, eventually};

fn table(stock: bool, protocol: &str) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::start(&dir.path().join("state"), &nginx.url);

    let (status, body) = node.curl("/hello", &[]);
    assert_eq!(status, "530", "without an agent: {}", String::from_utf8_lossy(&body));
    assert!(String::from_utf8_lossy(&body).contains("1033"));

    let mut agent = node.agent(stock, protocol, node.text("tunnel_token"));
    eventually("the page comes through the tunnel", || node.curl("/hello", &[]) == ("200".into(), b"Hello, world\n".to_vec()));

    assert_eq!(node.curl("/absent", &[]).0, "404");
    assert_eq!(node.curl("/hello", &["-I"]).0, "200", "HEAD has a head and no body");
    let (_, seen) = node.curl("/host", &["-H", "X-Forwarded-Proto: gopher", "-H", "CF-Connecting-IP: 192.0.2.1"]);
    let seen = String::from_utf8(seen).unwrap();
    assert_eq!(seen, format!("{}|http|127.0.0.1", node.text("hostname")), "what a visitor forges is overwritten");
    let (status, big) = node.curl("/big", &[]);
    assert_eq!((status.as_str(), big.len()), ("200", 16 << 20));
    assert!(big.iter().all(|byte| *byte == 7));
    let upload = dir.path().join("www/big");
    let (status, _) = node.curl("/hello", &["-X", "PUT", "-T", upload.to_str().unwrap()]);
    assert_eq!(status, "405", "nginx takes the body and refuses the method");

    let https = format!("https://{}:{}/hello", node.text("hostname"), node.text("https").rsplit(':').next().unwrap());
    let resolve = format!("{}:{}:127.0.0.1", node.text("hostname"), node.text("https").rsplit(':').next().unwrap());
    for version in ["--http1.1", "--http2"] {
        let more = [version, "--resolve", &resolve, "--cacert", node.text("ca_file")];
        assert_eq!(node.curl_to(&https, &more), ("200".into(), b"Hello, world\n".to_vec()), "{version}");
    }

    agent.kill();
    eventually("the loss is noticed", || node.curl("/hello", &[]).0 == "530");
    let _agent = node.agent(stock, protocol, node.text("tunnel_token"));
    eventually("the page is back", || node.curl("/hello", &[]).0 == "200");
}

#[test]
fn curl_and_nginx_over_quic() {
    table(false, "quic");
}

#[test]
fn curl_and_nginx_over_http2() {
    table(false, "http2");
}

#[test]
fn curl_and_nginx_over_quic_with_the_stock_agent() {
    table(true, "quic");
}

#[test]
fn curl_and_nginx_over_http2_with_the_stock_agent() {
    table(true, "http2");
}
