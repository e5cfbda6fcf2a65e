//! RFC 6891: what messages say of themselves.

use poterne_dns_wire::rtype::{A, TXT};

use crate::{
    ask::{Ask, Opt},
    net::Net,
};

/// §6.1.1, §7: who speaks it is answered in it, and nobody else is; also where nothing is there.
#[test]
fn who_speaks_it_is_answered_in_it() {
    let net = Net::start();
    for name in ["www.example.com", "no.example.com", "example.org", "x.sub.example.com", "round.example.com"] {
        assert!(Ask::new(name, A).udp(&net).opt.is_none(), "{name}");
        let opt = Ask::new(name, A).with(Opt::of(1232)).udp(&net).opt.unwrap();
        assert_eq!((opt.version, opt.octets, opt.dnssec_ok), (0, 1232, false), "{name}");
    }
}

/// §6.1.1: several, one that is not the root's, and one that is not whole are format errors.
#[test]
fn there_is_one_and_it_is_the_roots() {
    let net = Net::start();
    let query = |count: u8, opts: &[u8]| {
        let mut octets = Ask::new("www.example.com", A).octets();
        octets[11] = count;
        octets.extend(opts);
        net.udp(&octets)[3] & 0x0f
    };
    let opt = Opt::of(1232).octets();
    assert_eq!(query(1, &opt), 0);
    assert_eq!(query(2, &opt.repeat(2)), 1);
    assert_eq!(query(1, &[b"\x01x", &opt[..]].concat()), 1);
    assert_eq!(query(1, &opt[..opt.len() - 1]), 1);
    assert_eq!(query(1, &[&opt[..9], &[0, 3, 0, 3, 9]].concat()), 1, "an option that ends early");
    assert_eq!(query(1, &[&opt[..9], &[0, 4, 0, 3, 0, 9]].concat()), 1, "an option that is longer than all");
}

/// §6.1.2: options that are not known are passed over.
#[test]
fn unknown_options_mean_nothing() {
    let net = Net::start();
    let opt = Opt::of(1232).option(65_001, b"what").option(65_001, &[0; 300]).option(8, &[0, 1, 24, 0, 192, 0, 2]);
    let told = Ask::new("www.example.com", A).with(opt).udp(&net);
    assert_eq!((told.rcode, told.answer.len(), told.opt.unwrap().options.len()), (0, 2, 0));
}

/// §6.1.3: another version gets BADVERS and the version that is spoken, and no answer.
#[test]
fn another_version_is_told_ours() {
    let net = Net::start();
    for version in [1, 2, 255] {
        let told = Ask::new("www.example.com", A).with(Opt { version, ..Opt::of(1232) }).udp(&net);
        assert_eq!((told.rcode, told.answer.len(), told.opt.unwrap().version), (16, 0, 0), "{version}");
    }
}

/// §6.1.4: of the flags only those that are known come back.
#[test]
fn unknown_flags_are_not_copied() {
    let net = Net::start();
    let told = Ask::new("www.example.com", A).with(Opt { flags: 0x3f, ..Opt::of(1232) }).udp(&net);
    // Version, the two octets of flags, no data.
    assert!(told.octets.ends_with(&[0, 0, 0, 0, 0, 0]), "{:02x?}", told.octets);
}

/// §6.2.3: less than 512 octets is 512; §6.2.5 with RFC 9715: more than nearly every path carries is never sent.
#[test]
fn sizes_have_bounds() {
    let net = Net::start();
    for said in [0, 1, 511, 512] {
        let told = Ask::new("www.example.com", A).with(Opt::of(said)).udp(&net);
        assert_eq!((told.tc, told.answer.len()), (false, 2), "{said}");
    }
    let long = |said| Ask::new("long.example.com", TXT).with(Opt::of(said)).udp(&net);
    assert!(long(800).tc && long(800).octets.len() <= 800);
    assert!(!long(65_535).tc && long(65_535).octets.len() <= 1232);
    // Over a stream it says nothing (RFC 7766).
    assert!(!Ask::new("many.example.com", 28).with(Opt::of(512)).tcp(&net).tc);
}
