//! RFC 7858: TLS.

use std::io::Write as _;

use poterne_dns_wire::rtype::A;

use crate::{
    ask::{Ask, Told},
    net::{Net, framed, is_over, read_framed},
};

/// §3.3: messages behind their lengths, as over TCP, and several without waiting.
#[test]
fn it_is_spoken_as_over_tcp() {
    let net = Net::start();
    let mut stream = net.tls_stream(net.dot, &[b"dot"]);
    let queries: Vec<Vec<u8>> = (0..50).map(|id| Ask { id, ..Ask::new("www.example.com", A) }.octets()).collect();
    stream.write_all(&framed(&queries)).unwrap();
    for _ in &queries {
        assert_eq!(Told::of(read_framed(&mut stream)).answer.len(), 2);
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"dot"[..]));
    assert!(net.counts("poterne_dns_queries_total{transport=\"tls\"} 50"));
}

/// A client that names no protocol is served, one that speaks another is not (RFC 7301 §3.2).
#[test]
fn the_protocol_need_not_be_named() {
    let net = Net::start();
    let ask = |protocols: &[&[u8]]| {
        let mut stream = net.tls_stream(net.dot, protocols);
        stream.write_all(&framed(&[Ask::new("www.example.com", A).octets()])).is_ok() && !is_over(&mut stream)
    };
    assert!(ask(&[]));
    assert!(!ask(&[b"http/1.1"]));
}

/// §3.1: a port for TLS speaks nothing else.
#[test]
fn nothing_is_answered_in_clear() {
    let net = Net::start();
    let mut stream = std::net::TcpStream::connect(net.dot).unwrap();
    stream.set_read_timeout(Some(crate::net::PATIENCE)).unwrap();
    stream.write_all(&framed(&[Ask::new("www.example.com", A).octets()])).unwrap();
    let mut received = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut received);
    // An alert, if anything: 21 is its kind of record.
    assert!(received.is_empty() || received[0] == 21, "{received:02x?}");
}
