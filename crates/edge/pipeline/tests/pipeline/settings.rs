//! What a zone set, as its visitors and its origin see it.

use std::io::Read as _;

use poterne_model::setting::{EdgeSettings, Hsts, OriginSettings, PseudoIpv4, SslMode};

use super::*;

/// A line of a page that is a hundred times as long.
pub(super) const HTML: &str = "<p>Ceux qui passent par la poterne</p>\n";

fn with(change: impl FnOnce(&mut EdgeSettings)) -> EdgeSettings {
    let mut settings = EdgeSettings::default();
    change(&mut settings);
    settings
}

impl Edge {
    /// The settings of `site.test` from now on.
    fn set(&self, edge: EdgeSettings, ssl: SslMode) {
        let id = ZoneId::from_bytes([1; 16]);
        let origin = OriginSettings { ssl, ..OriginSettings::default() };
        let head = ZoneHead {
            id,
            account: ACCOUNT,
            apex: name("site.test"),
            status: ZoneStatus::Active,
            dns: None,
            origin,
            edge,
            client: None,
            partial: false,
        };
        let generation = self.snapshot.load().generation() + 1;
        let chunks = vec![(ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head).encode()))];
        self.snapshot.apply(&Change { generation, chunks }).unwrap();
    }

    /// What the origin was told, and what the visitor was: over TLS or in clear.
    async fn told(&self, over_tls: bool, request: &str) -> (Option<HeaderMap>, String) {
        let answer = self.ask(over_tls.then_some("site.test"), request).await;
        (self.pretend.last.lock().unwrap().take().map(|(_, head, _)| head), answer)
    }
}

fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: site.test\r\n{more}\r\n")
}

#[tokio::test]
async fn who_comes_in_clear_is_sent_to_https() {
    let edge = edge();
    let always = with(|settings| settings.always_use_https = true);
    edge.set(always, SslMode::Full);
    for (method, path) in [("GET", "/a?b=c"), ("POST", "/.well-known/acme"), ("GET", "/ws")] {
        let (seen, told) = edge.told(false, &request(method, path, "Content-Length: 0\r\n")).await;
        assert!(told.starts_with("HTTP/1.1 301 ") && told.contains(&format!("location: https://site.test{path}\r\n")), "{told}");
        assert!(seen.is_none(), "{path} came to the origin");
    }
    let answers = async |over_tls, path: &str| edge.told(over_tls, &request("GET", path, "")).await.1.ends_with("hello");
    assert!(answers(true, "/").await);
    assert!(answers(false, "/.well-known/acme-challenge/of-the-origins-own").await);
    assert!(edge.get("site.test", "/cdn-cgi/trace").await.starts_with("HTTP/1.1 200 "));
    assert!(edge.get("gone.site.test", "/").await.starts_with("HTTP/1.1 301 "), "whatever the name leads to");
    edge.set(always, SslMode::Off);
    assert!(answers(false, "/").await, "there is nothing to be sent to");
}

#[tokio::test]
async fn who_comes_to_a_port_of_the_nodes_own_is_sent_to_its_own() {
    let edge = edge_with(Settings { ports: Ports { http: 10_088, https: 10_443 }, ..Settings::default() });
    edge.set(with(|settings| settings.always_use_https = true), SslMode::Full);
    let told = async |over_tls: bool, host: &str| {
        let mut visitor = edge.connect(over_tls.then_some(host)).await;
        let port = visitor.peer_addr().unwrap().port();
        let request = format!("GET /a HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
        visitor.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        visitor.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = told(false, "site.test").await;
    assert!(answer.contains("location: https://site.test:10443/a\r\n"), "{answer}");
    let answer = told(true, "clear.test").await;
    assert!(answer.contains("location: http://clear.test:10088/a\r\n"), "{answer}");
    let answer = edge.get("site.test", "/a").await;
    assert!(answer.contains("location: https://site.test/a\r\n"), "{answer}");
}

#[tokio::test]
async fn answers_say_what_browsers_keep_in_mind() {
    let edge = edge();
    let hsts = Hsts { max_age_secs: 600, include_subdomains: true, preload: false, nosniff: true };
    edge.set(with(|settings| settings.hsts = Some(hsts)), SslMode::Full);
    for path in ["/html", "/down", "/"] {
        let (_, told) = edge.told(true, &request("GET", path, "")).await;
        assert!(told.contains("strict-transport-security: max-age=600; includeSubDomains\r\n"), "{told}");
        assert!(told.contains("x-content-type-options: nosniff\r\n") && !told.contains("max-age=1\r\n"), "{told}");
    }
    let (_, told) = edge.told(false, &request("GET", "/html", "")).await;
    assert!(told.contains("strict-transport-security: max-age=1\r\n") && told.contains("x-powered-by: PHP\r\n"), "{told}");
    edge.set(with(|settings| (settings.adds_security, settings.hides_powered_by) = (true, true)), SslMode::Full);
    let (_, told) = edge.told(true, &request("GET", "/html", "")).await;
    assert!(told.contains("x-frame-options: SAMEORIGIN\r\n") && !told.contains("x-powered-by"), "{told}");
    assert!(told.contains("strict-transport-security: max-age=1\r\n"), "the origin's own: {told}");
}

#[tokio::test]
async fn the_origin_is_told_of_the_visitor_what_the_zone_wants() {
    let edge = edge();
    let seen = async |settings| {
        edge.set(settings, SslMode::Full);
        edge.told(true, &request("GET", "/", "True-Client-IP: 6.6.6.6\r\nCF-Pseudo-IPv4: 6.6.6.6\r\n")).await.0.unwrap()
    };
    let plain = seen(EdgeSettings::default()).await;
    assert_eq!((&plain["cf-ipcountry"], plain.get("true-client-ip")), (&"XX".parse().unwrap(), None));
    let told = seen(with(|settings| {
        settings.true_client_ip = true;
        settings.ip_geolocation = false;
        settings.pseudo_ipv4 = PseudoIpv4::Add;
    }))
    .await;
    assert_eq!(told["true-client-ip"], "127.0.0.1");
    assert!(!told.contains_key("cf-ipcountry") && !told.contains_key("cf-pseudo-ipv4"));
    let told = seen(with(|settings| settings.hides_visitor = true)).await;
    for name in ["cf-connecting-ip", "x-forwarded-for", "true-client-ip"] {
        assert!(!told.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_zone_without_websockets_says_so() {
    let edge = edge();
    edge.set(with(|settings| settings.websockets = false), SslMode::Full);
    let opening = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = edge.ask(None, &request("GET", "/ws", opening)).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("WebSockets are switched off"), "{answer}");
    assert!(edge.pretend.last.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_page_comes_compressed_to_whoever_takes_it() {
    let edge = edge();
    let ask = async |more: &str| {
        let mut visitor = edge.connect(None).await;
        let text = format!("GET /html HTTP/1.0\r\nHost: site.test\r\n{more}\r\n");
        visitor.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        visitor.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body = answer.split_off(end);
        (String::from_utf8(answer).unwrap(), body, edge.pretend.last.lock().unwrap().take().unwrap().1)
    };
    let page = HTML.repeat(100);
    let (head, body, asked) = ask("Accept-Encoding: gzip, deflate\r\n").await;
    let mut whole = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut whole).unwrap();
    assert_eq!((whole.as_str(), &asked["accept-encoding"]), (page.as_str(), &"gzip".parse().unwrap()));
    for field in ["content-encoding: gzip\r\n", "vary: accept-encoding\r\n", "etag: W/\"a\"\r\n"] {
        assert!(head.contains(field), "{field} in {head}");
    }
    assert!(!head.contains("content-length") && body.len() < 300, "{head}");
    let (head, body, asked) = ask("Accept-Encoding: gzip, br, zstd\r\n").await;
    assert!(head.contains("content-encoding: zstd\r\n"), "{head}");
    assert_eq!(
        (zstd::stream::decode_all(&body[..]).unwrap(), &asked["accept-encoding"]),
        (page.clone().into(), &"br, gzip".parse().unwrap())
    );
    let (head, body, asked) = ask("").await;
    assert_eq!((String::from_utf8(body).unwrap(), &asked["accept-encoding"]), (page.clone(), &"identity".parse().unwrap()));
    assert!(head.contains("etag: \"a\"\r\n") && head.contains("vary: accept-encoding\r\n"), "{head}");
    let (head, ..) = ask("Accept-Encoding: br\r\n").await;
    assert!(head.contains("content-encoding: br\r\n"), "{head}");
    edge.set(with(|settings| settings.brotli = false), SslMode::Full);
    let (head, body, asked) = ask("Accept-Encoding: br\r\n").await;
    assert!(!head.contains("content-encoding"), "{head}");
    assert_eq!((body.len(), &asked["accept-encoding"]), (page.len(), &"identity".parse().unwrap()));
}
