//! RFC 9103: zones that travel over TLS.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use poterne_dns_wire::rtype::{A, AXFR};
use poterne_snapshot::{
    Chunk, ChunkKey, TransferChunk,
    transfer::{Outgoing, Peer},
};
use rustls_pki_types::ServerName;

use crate::{
    ask::{Ask, Told},
    net::{Net, PATIENCE, Setup, framed, read_framed},
};

/// A zone that this machine may have, over TLS alone or not.
fn given(over_tls: bool) -> Net {
    Net::with_changed(Setup::default(), |chunks, _| {
        let zone = chunks.iter().find_map(|(_, chunk)| match chunk {
            Chunk::Zone(head) if head.apex.as_str() == "example.com" => Some(head.id),
            _ => None,
        });
        let address = Some("127.0.0.1".parse().unwrap());
        let peer = Peer { id: [6; 16], address, port: 53, takes_differences: true, key: None, over_tls };
        let outgoing = Some(Outgoing { peers: vec![peer], allows_unsigned: true, ..Outgoing::default() });
        let transfer = Chunk::Transfer(TransferChunk { outgoing, incoming: None });
        chunks.push((ChunkKey::Transfer(zone.unwrap()), transfer));
    })
}

fn asked(stream: &mut (impl Read + Write), rtype: u16) -> Told {
    stream.write_all(&framed(&[Ask::new("example.com", rtype).octets()])).unwrap();
    Told::of(read_framed(stream))
}

/// A stream over the older TLS.
fn tls12(net: &Net) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(net.certificate().clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS12]);
    let config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("ns1.example.net").unwrap();
    let stream = TcpStream::connect(net.dot).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    rustls::StreamOwned::new(rustls::ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// §7.2: with TLS 1.3, or not at all; what is no zone is answered as ever.
#[test]
fn an_older_tls_carries_no_zone() {
    let net = given(false);
    let whole = asked(&mut net.tls_stream(net.dot, &[b"dot"]), AXFR);
    assert!(whole.rcode == 0 && whole.answer.len() > 60, "{:?}", whole.answer);
    let mut older = tls12(&net);
    let refused = asked(&mut older, AXFR);
    assert_eq!((refused.rcode, refused.answer.len()), (5, 0));
    // The same connection goes on.
    let other = asked(&mut older, A);
    assert_eq!((other.rcode, older.conn.protocol_version()), (0, Some(rustls::ProtocolVersion::TLSv1_2)));
}

/// §11: who is to have it over TLS has it no other way.
#[test]
fn what_is_for_tls_does_not_leave_in_clear() {
    for (over_tls, in_clear) in [(true, 5), (false, 0)] {
        let net = given(over_tls);
        assert_eq!(asked(&mut net.tcp_stream(), AXFR).rcode, in_clear);
        assert_eq!(asked(&mut net.tls_stream(net.dot, &[b"dot"]), AXFR).rcode, 0);
    }
}
