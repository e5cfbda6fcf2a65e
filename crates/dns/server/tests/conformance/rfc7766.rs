//! RFC 7766: TCP. (Time limits are in `dns/server`'s own tests, where the clock is theirs.)

use std::{io::Write as _, net::Shutdown};

use poterne_dns_server::Settings;
use poterne_dns_wire::rtype::A;

use crate::{
    ask::{Ask, Told},
    net::{Net, Setup, framed, is_over, read_framed},
};

/// §5: whatever is answered over UDP is over TCP.
#[test]
fn it_is_answered_without_asking_over_udp_first() {
    let net = Net::start();
    assert_eq!(Ask::new("www.example.com", A).tcp(&net).answer.len(), 2);
}

/// §6.2.1.1: queries may come one after another without waiting; each is answered, by its number and its question.
#[test]
fn queries_need_not_wait_for_answers() {
    let net = Net::start();
    let mut stream = net.tcp_stream();
    let queries: Vec<Vec<u8>> = (0..200)
        .map(|id| {
            let name = if id % 2 == 0 { "www.example.com" } else { "many.example.com" };
            Ask { id, ..Ask::new(name, 28) }.octets()
        })
        .collect();
    let mut writer = stream.try_clone().unwrap();
    let octets = framed(&queries);
    let writes = std::thread::spawn(move || writer.write_all(&octets).unwrap());
    let mut seen = vec![false; queries.len()];
    for _ in &queries {
        let told = Told::of(read_framed(&mut stream));
        let id = usize::from(u16::from_be_bytes([told.octets[0], told.octets[1]]));
        assert_eq!(told.answer.len(), if id % 2 == 0 { 1 } else { 60 });
        assert!(!std::mem::replace(&mut seen[id], true), "{id} is answered once");
    }
    writes.join().unwrap();
}

/// §8: the length and the message may come in any pieces, also octet by octet.
#[test]
fn pieces_are_put_together() {
    let net = Net::start();
    let mut stream = net.tcp_stream();
    for octet in framed(&[Ask::new("www.example.com", A).octets()]) {
        stream.write_all(&[octet]).unwrap();
    }
    assert_eq!(Told::of(read_framed(&mut stream)).answer.len(), 2);
}

/// §6.2.4: a client that has closed its side is still answered what it asked.
#[test]
fn half_a_connection_is_answered() {
    let net = Net::start();
    let mut stream = net.tcp_stream();
    stream.write_all(&framed(&[Ask::new("www.example.com", A).octets()])).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(Told::of(read_framed(&mut stream)).answer.len(), 2);
    assert!(is_over(&mut stream));
}

/// §7, §10: errors are answered as over UDP, and the connection goes on; what is no query ends it.
#[test]
fn an_error_does_not_end_the_connection() {
    let net = Net::start();
    let mut stream = net.tcp_stream();
    let broken = Ask::new("www.example.com", A).octets()[..20].to_vec();
    stream.write_all(&framed(&[broken, Ask::new("example.org", A).octets(), Ask::new("www.example.com", A).octets()])).unwrap();
    let codes: Vec<u8> = (0..3).map(|_| read_framed(&mut stream)[3] & 0x0f).collect();
    assert_eq!(codes, [1, 5, 0]);
    for nothing in [&b"\0\0"[..], b"\0\x05short"] {
        let mut stream = net.tcp_stream();
        stream.write_all(nothing).unwrap();
        assert!(is_over(&mut stream), "{nothing:?}");
    }
}

/// §6.2.2: a client has so many connections, and others have theirs.
#[test]
fn connections_have_a_bound() {
    let settings = Settings { connections_per_prefix_max: 3, ..Settings::default() };
    let net = Net::with(Setup { settings, ..Setup::default() });
    let query = framed(&[Ask::new("www.example.com", A).octets()]);
    let mut held: Vec<_> = (0..3).map(|_| net.tcp_stream()).collect();
    for stream in &mut held {
        stream.write_all(&query).unwrap();
        read_framed(stream);
    }
    let mut more = net.tcp_stream();
    let _ = more.write_all(&query);
    assert!(is_over(&mut more));
    // Those that are there go on.
    held[0].write_all(&query).unwrap();
    assert_eq!(Told::of(read_framed(&mut held[0])).answer.len(), 2);
}
