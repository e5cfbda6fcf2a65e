//! RFC 8484: HTTPS.

use poterne_dns_wire::rtype::{A, AAAA};

use crate::{
    ask::{Ask, Opt, Told, wire},
    https::target,
    net::Net,
};

const MESSAGE: &str = "application/dns-message";

fn posted(net: &Net, fields: &[(&str, &str)], body: &[u8]) -> crate::https::Answered {
    net.http1("POST", "/dns-query", fields, body)
}

/// §4.1, §4.2: by GET in the target and by POST as the body, over both versions of HTTP.
#[test]
fn it_is_asked_by_get_and_by_post() {
    let net = Net::start();
    let query = Ask { id: 0, ..Ask::new("www.example.com", AAAA) }.octets();
    let expected = net.udp(&query);
    let posted = posted(&net, &[("content-type", MESSAGE)], &query);
    assert_eq!((posted.status, posted.field("content-type"), &posted.body), (200, MESSAGE, &expected));
    assert_eq!(net.https(&query), expected);
    let request = |method: &str, target: &str| {
        let request = http::Request::builder().method(method).uri(format!("https://ns1.example.net{target}"));
        request.header("content-type", MESSAGE).body(()).unwrap()
    };
    let answers = net.http2(vec![(request("GET", &target(&query)), Vec::new()), (request("POST", "/dns-query"), query.clone())]);
    for answered in answers {
        assert_eq!((answered.status, answered.field("content-type"), &answered.body), (200, MESSAGE, &expected));
    }
    assert!(net.counts("poterne_dns_queries_total{transport=\"https\"} 4"));
    // RFC 9110 §9.3.2: HEAD is GET without its content.
    let head = net.http1("HEAD", &target(&query), &[], b"");
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, &*expected.len().to_string(), 0));
}

/// §4.2.1: whatever the name server says is a success of HTTP.
#[test]
fn an_error_of_the_names_is_none_of_http() {
    let net = Net::start();
    for (ask, rcode) in [
        (Ask::new("no.example.com", A), 3),
        (Ask::new("example.org", A), 5),
        (Ask::new("round.example.com", A), 2),
        (Ask::new("www.example.com", 253), 4),
    ] {
        assert_eq!(Told::of(net.https(&ask.octets())).rcode, rcode);
    }
    assert_eq!(net.https(&Ask::new("www.example.com", A).octets()[..20])[3], 1);
}

/// §5.1: it is fresh as long as the shortest TTL of its records, or as long as nothing is known to be there; and errors are not kept.
#[test]
fn freshness_is_the_shortest_ttl() {
    let net = Net::start();
    for (name, rtype, expected) in [
        ("www.example.com", A, "max-age=120"),
        ("chain.example.com", A, "max-age=60"),
        ("no.example.com", A, "max-age=1800"),
        ("empty.example.com", A, "max-age=1800"),
        ("far.example.com", A, "max-age=60"),
        ("gone.example.com", A, "max-age=300"),
        ("example.org", A, "max-age=0"),
        ("round.example.com", A, "max-age=0"),
    ] {
        let answered = net.http1("GET", &target(&Ask::new(name, rtype).octets()), &[], b"");
        assert_eq!((answered.status, answered.field("cache-control")), (200, expected), "{name}");
    }
}

/// §4.1: `application/dns-message` is what a body is; other types are not understood.
#[test]
fn a_body_must_be_a_message() {
    let net = Net::start();
    let query = Ask::new("www.example.com", A).octets();
    assert_eq!(posted(&net, &[("content-type", "Application/DNS-Message")], &query).status, 200);
    for fields in [&[][..], &[("content-type", "application/json")], &[("content-type", MESSAGE), ("content-encoding", "gzip")]] {
        let answered = posted(&net, fields, &query);
        assert_eq!((answered.status, answered.field("cache-control")), (415, "no-store"), "{fields:?}");
    }
    assert_eq!(posted(&net, &[("content-type", MESSAGE), ("content-length", "0")], b"").status, 400);
}

/// §6: base64url without padding, and a message that is a query.
#[test]
fn a_target_must_hold_a_query() {
    let net = Net::start();
    let status = |target: &str| net.http1("GET", target, &[], b"").status;
    let good = target(&Ask::new("www.example.com", A).octets());
    assert_eq!(status(&format!("{good}&more=1")), 200);
    for wrong in ["/dns-query", "/dns-query?", "/dns-query?dns", "/dns-query?dns=", "/dns-query?dns=*", "/dns-query?dns=AAAB"] {
        assert_eq!(status(wrong), 400, "{wrong}");
    }
    assert_eq!(status(&format!("{good}=")), 400, "padded");
    assert_eq!(status(&target(&[0x80; 40])), 400, "an answer");
    assert_eq!(status(&target(&[0; 11])), 400, "no header");
}

/// RFC 9110 §15.5.6: other methods are not allowed, and it is said which are.
#[test]
fn other_methods_are_not_allowed() {
    let net = Net::start();
    let query = Ask::new("www.example.com", A).octets();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answered = net.http1(method, &target(&query), &[("content-type", MESSAGE)], b"");
        assert_eq!((answered.status, answered.field("allow")), (405, "GET, HEAD, POST"), "{method}");
    }
}

/// A message has at most 65,535 octets: what says that it is longer is not read, and what turns out longer is read no further.
#[test]
fn a_body_has_a_bound() {
    let net = Net::start();
    let fields = [("content-type", MESSAGE)];
    assert_eq!(posted(&net, &fields, &vec![0; 65_536]).status, 413);
    // As long as a message may be, with nothing of sense in it.
    let longest = posted(&net, &fields, &vec![0; 65_535]);
    assert_eq!((longest.status, longest.body[3]), (200, 1));
    let head = format!("POST /dns-query HTTP/1.1\r\nHost: ns1.example.net\r\nConnection: close\r\nContent-Type: {MESSAGE}\r\n");
    let chunk = [b"4000\r\n", &[0; 0x4000][..], b"\r\n"].concat().repeat(5);
    let chunked = [head.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", &chunk, b"0\r\n\r\n"].concat();
    assert_eq!(net.http1_raw(&chunked).status, 413);
}

/// Many are answered at once, whatever each of them is.
#[test]
fn many_are_answered_at_once() {
    let net = Net::start();
    let requests = (0..100u16).map(|id| {
        let name = if id % 2 == 0 { "many.example.com" } else { "www.example.com" };
        let query = Ask { id, name: wire(name), ..Ask::new("", AAAA) }.with(Opt::of(512)).octets();
        let request = http::Request::post("https://ns1.example.net/dns-query").header("content-type", MESSAGE);
        (request.body(()).unwrap(), query)
    });
    for (id, answered) in (0u16..).zip(net.http2(requests.collect())) {
        let told = Told::of(answered.body);
        assert_eq!(told.octets[..2], id.to_be_bytes());
        assert_eq!((told.tc, told.answer.len()), (false, if id % 2 == 0 { 60 } else { 1 }), "whole, however long");
    }
}
