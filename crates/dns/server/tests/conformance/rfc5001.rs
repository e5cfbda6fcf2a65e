//! RFC 5001: which node answered.

use poterne_dns_wire::rtype::A;

use crate::{
    ask::{Ask, Opt},
    net::Net,
};

const NSID: u16 = 3;

/// §2.2, §2.3: the name is told to whoever asks for it, and to nobody else.
#[test]
fn it_is_told_to_whoever_asks() {
    let net = Net::start();
    let ask = |opt: Opt| Ask::new("www.example.com", A).with(opt);
    let own = &b"node-1.example.net"[..];
    for told in [ask(Opt::of(1232).option(NSID, b"")).udp(&net), ask(Opt::of(1232).option(NSID, b"")).tcp(&net)] {
        assert_eq!((told.option(NSID), told.answer.len()), (Some(own), 2));
    }
    assert_eq!(ask(Opt::of(1232)).udp(&net).option(NSID), None);
    // §2.1: the question's option is empty; what stands in it means nothing.
    assert_eq!(ask(Opt::of(1232).option(NSID, b"not mine")).udp(&net).option(NSID), Some(own));
    // Whatever is answered.
    assert_eq!(Ask::new("example.org", A).with(Opt::of(1232).option(NSID, b"")).udp(&net).option(NSID), Some(own));
}
