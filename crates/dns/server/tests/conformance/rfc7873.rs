//! RFC 7873 and 9018: cookies.

use poterne_dns_wire::rtype::A;
use poterne_keys::Purpose;

use crate::{
    ask::{Ask, Opt, Told},
    net::{Net, now_secs},
};

const COOKIE: u16 = 10;
const CLIENT: &[u8; 8] = b"a client";

fn ask(cookie: &[u8]) -> Ask {
    Ask::new("www.example.com", A).with(Opt::of(1232).option(COOKIE, cookie))
}

/// RFC 7873 §5.2.3, RFC 9018 §4: whoever shows a client cookie is given a server cookie of 16 octets, version 1, of this moment.
#[test]
fn a_cookie_is_given_to_whoever_asks() {
    let net = Net::start();
    let told = ask(CLIENT).udp(&net);
    let pair = told.option(COOKIE).unwrap();
    assert_eq!((told.rcode, told.answer.len(), pair.len()), (0, 2, 24));
    assert_eq!((&pair[..8], &pair[8..12]), (&CLIENT[..], &[1, 0, 0, 0][..]));
    let stamp = u32::from_be_bytes(pair[12..16].try_into().unwrap());
    assert!(now_secs().abs_diff(stamp) < 60);
    assert!(Ask::new("www.example.com", A).with(Opt::of(1232)).udp(&net).option(COOKIE).is_none());
    // Another client's is another.
    assert_ne!(ask(b"b client").udp(&net).option(COOKIE).unwrap()[16..], pair[16..]);
}

/// RFC 7873 §5.2.5: one that is right comes back, over whichever transport (RFC 9018 §4.4: the client's address is in it, its port is not).
#[test]
fn a_right_cookie_comes_back() {
    let net = Net::start();
    let pair = ask(CLIENT).udp(&net).option(COOKIE).unwrap().to_vec();
    for told in [ask(&pair).udp(&net), ask(&pair).tcp(&net), ask(&pair).tls(&net), Told::of(net.https(&ask(&pair).octets()))] {
        assert_eq!(told.option(COOKIE), Some(&*pair));
    }
}

/// RFC 7873 §5.2.2: what has no length of a cookie is a format error.
#[test]
fn other_lengths_are_format_errors() {
    let net = Net::start();
    for length in [0, 1, 7, 9, 15, 41, 200] {
        assert_eq!(net.udp(&ask(&vec![1; length]).octets())[3] & 0x0f, 1, "{length}");
    }
    for length in [8, 16, 17, 24, 40] {
        assert_eq!(ask(&vec![1; length]).udp(&net).rcode, 0, "{length}");
    }
}

/// RFC 7873 §5.2.4: a wrong one is answered, with a right one beside, and proves nothing.
#[test]
fn a_wrong_cookie_is_put_right() {
    let net = Net::start();
    let wrong = [&CLIENT[..], &[1, 0, 0, 0, 0, 0, 0, 0], b"forged!!"].concat();
    let told = ask(&wrong).udp(&net);
    let given = told.option(COOKIE).unwrap();
    assert_eq!((told.answer.len(), &given[..8]), (2, &CLIENT[..]));
    assert_ne!(given[8..], wrong[8..]);
}

/// RFC 7873 §5.4: a cookie may be had without a question.
#[test]
fn a_cookie_can_be_had_without_a_question() {
    let net = Net::start();
    let bare = |opt: Opt| Told::of(net.udp(&[&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &opt.octets()].concat()));
    let given = bare(Opt::of(1232).option(COOKIE, CLIENT));
    assert_eq!((given.rcode, given.option(COOKIE).map(<[u8]>::len)), (0, Some(24)));
    assert_eq!(bare(Opt::of(1232).option(COOKIE, given.option(COOKIE).unwrap())).rcode, 0);
    assert_eq!(bare(Opt::of(1232).option(COOKIE, &[9; 24])).rcode, 23, "BADCOOKIE");
    assert_eq!(net.udp(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])[3], 1, "who wants neither wants nothing");
}

/// RFC 9018 §3, §5: nodes that share a secret know each other's cookies, also while it is followed by another.
#[test]
fn nodes_that_share_a_secret_know_each_others_cookies() {
    let start = |secrets: &'static [[u8; 16]]| {
        // Wrapped for each node's own key, which it makes when it starts.
        Net::with_node(move |node, key| {
            node.cookie_secrets =
                secrets.iter().map(|secret| key.seal(Purpose::CookieSecret, b"cookie", secret).into()).collect();
        })
    };
    const OLD: [u8; 16] = [1; 16];
    const NEW: [u8; 16] = [2; 16];
    let (before, told, turned, after) = (start(&[OLD]), start(&[OLD, NEW]), start(&[NEW, OLD]), start(&[NEW]));
    let cookie = |net: &Net| ask(CLIENT).udp(net).option(COOKIE).unwrap().to_vec();
    let knows = |net: &Net, pair: &[u8]| ask(pair).udp(net).option(COOKIE) == Some(pair);
    let (old, new) = (cookie(&before), cookie(&after));
    assert!(knows(&told, &old) && knows(&turned, &old) && !knows(&after, &old));
    assert!(knows(&told, &new) && knows(&turned, &new) && !knows(&before, &new));
    assert!(knows(&before, &cookie(&told)) && knows(&after, &cookie(&turned)), "which one makes them");
}
