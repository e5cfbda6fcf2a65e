//! RFC 4592: wildcards. The zone is that of §2.2.1, under another name; the names with an asterisk in the middle cannot be kept here, and
//! exist by nothing.

use poterne_dns_wire::rtype::{A, MX, SRV, TXT};

use crate::{ask::Ask, net::Net};

/// §2.2.1: "responses synthesized from one of the wildcards".
#[test]
fn what_does_not_exist_is_synthesized() {
    let net = Net::start();
    let told = Ask::new("host3.rfc4592.test", MX).udp(&net);
    assert_eq!(told.answer, ["host3.rfc4592.test 3600 MX 10 host1.rfc4592.test"]);
    assert!(Ask::new("host3.rfc4592.test", A).udp(&net).is_nothing(0, "rfc4592.test"), "no data of that type");
    let told = Ask::new("foo.bar.rfc4592.test", TXT).udp(&net);
    assert_eq!(told.answer, ["foo.bar.rfc4592.test 3600 TXT \"this is a wildcard\""]);
}

/// §2.2.1: "responses that would not be synthesized from any of the wildcards".
#[test]
fn what_exists_is_not() {
    let net = Net::start();
    assert!(Ask::new("host1.rfc4592.test", MX).udp(&net).is_nothing(0, "rfc4592.test"), "it exists");
    assert!(Ask::new("host2.rfc4592.test", TXT).udp(&net).is_nothing(0, "rfc4592.test"), "as an empty non-terminal");
    assert!(Ask::new("_tcp.host1.rfc4592.test", TXT).udp(&net).is_nothing(0, "rfc4592.test"));
    assert!(Ask::new("_telnet._tcp.host1.rfc4592.test", SRV).udp(&net).is_nothing(3, "rfc4592.test"), "below what exists");
    let told = Ask::new("host.subdel.rfc4592.test", A).udp(&net);
    assert_eq!((told.aa, told.rcode, told.answer.len(), told.authority.len()), (false, 0, 0, 2), "below a cut");
    assert!(Ask::new("ghost.*.rfc4592.test", MX).udp(&net).is_nothing(3, "rfc4592.test"), "below the wildcard itself");
}

/// §2.1.1, §4: asked for by its own name a wildcard is a name like another.
#[test]
fn a_wildcard_has_a_name() {
    let net = Net::start();
    assert_eq!(Ask::new("*.rfc4592.test", TXT).udp(&net).answer, ["*.rfc4592.test 3600 TXT \"this is a wildcard\""]);
    assert!(Ask::new("*.rfc4592.test", A).udp(&net).is_nothing(0, "rfc4592.test"));
    // §2.1.3: an asterisk anywhere else, or in a longer label, is a letter.
    assert_eq!(Ask::new("a*.rfc4592.test", TXT).udp(&net).answer, ["a*.rfc4592.test 3600 TXT \"this is a wildcard\""]);
}

/// §4.2: the apex and what others answer for are nobody's wildcard.
#[test]
fn the_apex_is_not_covered() {
    let net = Net::start();
    assert!(Ask::new("rfc4592.test", TXT).udp(&net).is_nothing(0, "rfc4592.test"));
}
