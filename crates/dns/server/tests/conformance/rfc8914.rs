//! RFC 8914: errors with a reason.

use poterne_dns_wire::rtype::{A, AXFR, NXNAME};
use poterne_snapshot::{Chunk, ChunkKey};

use crate::{
    ask::{Ask, Opt},
    net::{Net, Setup},
};

fn why(net: &Net, name: &str, rtype: u16) -> (u16, Option<u16>) {
    let told = Ask::new(name, rtype).with(Opt::of(1232)).udp(net);
    (told.rcode, told.why())
}

/// §4: what is refused or fails says why, to whoever speaks EDNS (§3).
#[test]
fn an_error_says_why() {
    let net = Net::start();
    assert_eq!(why(&net, "example.org", A), (5, Some(20)), "not authoritative (§4.21)");
    assert_eq!(why(&net, "example.com", AXFR), (5, Some(18)), "prohibited (§4.19)");
    assert_eq!(why(&net, "www.example.com", NXNAME), (1, Some(30)), "invalid query type (RFC 9824 §3.6)");
    let told = Ask::new("round.example.com", A).with(Opt::of(1232)).udp(&net);
    assert_eq!((told.rcode, told.why()), (2, Some(0)), "other (§4.1)");
    let text = String::from_utf8(told.option(15).unwrap()[2..].to_vec()).unwrap();
    assert!(text.contains("CNAME"), "in words: {text}");
    assert!(Ask::new("example.org", A).udp(&net).opt.is_none());
    assert_eq!(why(&net, "www.example.com", A), (0, None), "nothing is wrong");
    assert_eq!(why(&net, "no.example.com", A), (3, None), "nor here");
}

/// §4.15: a zone that has not come whole is not ready.
#[test]
fn a_zone_that_is_not_whole_is_not_ready() {
    let net = Net::with_changed(Setup::default(), |chunks, _| {
        for (key, chunk) in chunks {
            if let (ChunkKey::Zone(_), Chunk::Zone(head)) = (key, chunk) {
                head.dns = None;
            }
        }
    });
    assert_eq!(why(&net, "www.example.com", A), (2, Some(14)));
}
