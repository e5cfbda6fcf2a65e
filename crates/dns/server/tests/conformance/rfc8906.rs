//! RFC 8906: what servers often fail to answer. Every question there is put, and each gets an answer.

use poterne_dns_wire::rtype::{A, SOA};

use crate::{
    ask::{Ask, Opt},
    net::Net,
};

/// §8.1: the basic tests.
#[test]
fn basic_questions_are_answered() {
    let net = Net::start();
    let told = Ask::new("example.com", SOA).udp(&net);
    assert!(told.rcode == 0 && told.aa && told.answer.len() == 1 && told.opt.is_none());
    // §8.1.2: an unknown type.
    assert!(Ask::new("example.com", 1000).udp(&net).is_nothing(0, "example.com"));
    // §8.1.3: bits that mean nothing, and CD, AD.
    for flags in [0x40, 0x10, 0x20] {
        let mut query = Ask::new("example.com", SOA).octets();
        query[3] |= flags;
        let answer = net.udp(&query);
        assert_eq!((answer[3] & 0x6f, answer[7]), (0, 1), "{flags:#x}");
    }
    // §8.1.4: an opcode of nobody; §8.1.5: one that recurs not.
    let mut query = Ask::new("example.com", SOA).octets();
    query[2] = 15 << 3;
    assert_eq!(net.udp(&query)[3] & 0x0f, 4);
    query[2] = 0;
    assert_eq!(net.udp(&query)[2..4], [0x84, 0]);
    // §8.1.6: over TCP.
    assert_eq!(Ask::new("example.com", SOA).tcp(&net).answer.len(), 1);
}

/// §8.2: the extended tests: version, options, flags, and all of them together.
#[test]
fn extended_questions_are_answered() {
    let net = Net::start();
    let ask = |opt: Opt| Ask::new("example.com", SOA).with(opt).udp(&net);
    assert_eq!(ask(Opt::of(4096)).opt.unwrap().version, 0);
    assert_eq!(ask(Opt { version: 1, ..Opt::of(4096) }).rcode, 16);
    let told = ask(Opt::of(4096).option(100, b""));
    assert_eq!((told.rcode, told.answer.len(), told.option(100)), (0, 1, None));
    assert_eq!(ask(Opt { flags: 0x40, ..Opt::of(4096) }).answer.len(), 1);
    let all = Opt { version: 1, flags: 0x40, ..Opt::of(4096) }.option(100, b"");
    let told = ask(all);
    assert_eq!((told.rcode, told.opt.unwrap().version), (16, 0));
    // §8.2.8: DNSSEC is spoken, whether the zone is signed or not.
    assert!(ask(Opt { flags: 0x80, ..Opt::of(4096) }).opt.unwrap().dnssec_ok);
    // §8.2.9: several options at once.
    let told = ask(Opt::of(4096).option(3, b"").option(8, &[0, 1, 0, 0]).option(9, b"").option(10, b"12345678"));
    assert_eq!((told.rcode, told.option(3).is_some(), told.option(10).is_some()), (0, true, true));
    assert_eq!(Ask::new("www.example.com", A).with(Opt::of(512)).udp(&net).answer.len(), 2);
}
