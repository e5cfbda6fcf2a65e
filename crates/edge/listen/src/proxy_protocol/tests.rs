use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::*;

fn from(peer: &str, local: &str) -> Next {
    Next::Whole(Told::From { peer: peer.parse().unwrap(), local: local.parse().unwrap() })
}

/// A header of version 2 with this command, family and rest.
fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut head = SIGNATURE.to_vec();
    head.extend([command, family]);
    head.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    head.extend(rest);
    head
}

const IPV4: &[u8] = &[192, 0, 2, 1, 203, 0, 113, 9, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn the_first_version_names_both_ends() {
    assert_eq!(next(b"PROXY TCP4 192.0.2.1 203.0.113.9 12345 443\r\n").unwrap(), from("192.0.2.1:12345", "203.0.113.9:443"));
    assert_eq!(next(b"PROXY TCP6 2001:db8::1 2001:db8::9 1 443\r\n").unwrap(), from("[2001:db8::1]:1", "[2001:db8::9]:443"));
    assert_eq!(next(b"PROXY UNKNOWN\r\n").unwrap(), Next::Whole(Told::Own));
    assert_eq!(next(b"PROXY UNKNOWN 1.2.3.4 whatever\r\n").unwrap(), Next::Whole(Told::Own));
}

#[test]
fn the_second_version_names_both_ends() {
    assert_eq!(next(&second(0x21, 0x11, IPV4)).unwrap(), from("192.0.2.1:12345", "203.0.113.9:443"));
    let mut more = IPV4.to_vec();
    more.extend([0x04, 0, 1, 0]);
    assert_eq!(
        next(&second(0x21, 0x11, &more)).unwrap(),
        from("192.0.2.1:12345", "203.0.113.9:443"),
        "what follows is passed over"
    );
    let mut six = [0; 36];
    six[15] = 1;
    six[31] = 2;
    six[33] = 7;
    six[35] = 8;
    assert_eq!(next(&second(0x21, 0x21, &six)).unwrap(), from("[::1]:7", "[::2]:8"));
    assert_eq!(next(&second(0x20, 0x00, b"")).unwrap(), Next::Whole(Told::Own), "a health check");
    assert_eq!(next(&second(0x21, 0x31, &[0; 216])).unwrap(), Next::Whole(Told::Own), "a local socket");
}

#[test]
fn a_header_is_asked_for_to_its_last_octet_and_no_further() {
    for whole in [second(0x21, 0x11, IPV4), second(0x20, 0, b""), b"PROXY TCP4 192.0.2.1 203.0.113.9 12345 443\r\n".to_vec()] {
        for length in 0..whole.len() {
            match next(&whole[..length]).unwrap() {
                Next::Octets(count) => assert!(count > 0 && length + count <= whole.len(), "{length} and {count}"),
                Next::Line(most) => assert!(length + most <= LINE_MAX && most > 0),
                Next::Whole(_) => panic!("{length} of {} octets are not whole", whole.len()),
            }
        }
    }
}

#[test]
fn what_is_no_header_is_told_apart_from_a_bad_one() {
    for other in [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03abcd", b"proxy TCP4 1.2.3.4"] {
        assert!(matches!(next(other), Err(ProxyProtocolError::Absent(_))), "{other:?}");
    }
    let long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 100]].concat();
    for bad in [
        &b"PROXY TCP4 192.0.2.1 203.0.113.9 12345 443\n"[..],
        b"PROXY TCP4 192.0.2.1 203.0.113.9 12345\r\n",
        b"PROXY TCP4 192.0.2.1 203.0.113.9 12345 443 1\r\n",
        b"PROXY TCP4 192.0.2.1 203.0.113.9 +1 443\r\n",
        b"PROXY TCP4 192.0.2.1 203.0.113.9 65536 443\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::9 1 443\r\n",
        b"PROXY TCP6 192.0.2.1 203.0.113.9 1 443\r\n",
        b"PROXY UDP4 192.0.2.1 203.0.113.9 1 443\r\n",
        b"PROXY TCP4  192.0.2.1 203.0.113.9 1 443\r\n",
        &long,
        &second(0x21, 0x11, &IPV4[..11]),
        &second(0x21, 0x21, IPV4),
        &second(0x31, 0x11, IPV4),
        &second(0x22, 0x11, IPV4),
        &second(0x21, 0x11, &[0; 4097]),
    ] {
        assert!(matches!(next(bad), Err(ProxyProtocolError::Malformed { .. })), "{:?}", bad.escape_ascii().to_string());
    }
}

proptest::proptest! {
    #[test]
    fn no_octets_break_it(head in proptest::collection::vec(proptest::num::u8::ANY, 0..300), with in 0usize..3) {
        let begun = [&b""[..], SIGNATURE, b"PROXY TCP4 "][with];
        let head = [begun, &head[..]].concat();
        if let Ok(Next::Octets(count)) = next(&head) {
            assert!(count > 0 && count <= REST_MAX);
        }
    }
}

#[tokio::test]
async fn what_follows_a_header_is_the_visitors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for header in [second(0x21, 0x11, IPV4), b"PROXY TCP4 192.0.2.1 203.0.113.9 12345 443\r\n".to_vec()] {
        // Whole in one piece with what follows, and octet by octet.
        for piece in [usize::MAX, 1] {
            let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let sent = [header.clone(), b"GET\n".to_vec()].concat();
            let sending = tokio::spawn(async move {
                for piece in sent.chunks(piece.min(sent.len())) {
                    proxy.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                proxy
            });
            let told = read(&mut stream, Duration::from_secs(60)).await.unwrap();
            assert_eq!(Next::Whole(told), from("192.0.2.1:12345", "203.0.113.9:443"));
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET\n");
            drop(sending.await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_header_that_does_not_come_ends_the_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    proxy.write_all(b"PROXY TCP4 192.0.2.1").await.unwrap();
    assert!(matches!(read(&mut stream, Duration::from_millis(20)).await, Err(ProxyProtocolError::Timeout(_))));
    drop(proxy);
    assert!(matches!(read(&mut stream, Duration::from_secs(60)).await, Err(ProxyProtocolError::Ended(_))));
}
