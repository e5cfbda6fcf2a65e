//! RFC 9824: compact denial of existence.

use poterne_dns_wire::rtype::{A, AAAA, CNAME, HTTPS, NSEC, NXNAME, RRSIG, TXT};

use crate::{
    ask::{Ask, Opt, Told},
    net::{Net, now_secs},
};

const APEX: &str = "signed.test";

fn denied(net: &Net, name: &str, rtype: u16) -> (Told, Vec<(String, Vec<u16>)>) {
    let told = Ask::new(name, rtype).signed().udp(net);
    let denied = net.keys.validate(&told.octets, now_secs());
    (told, denied)
}

/// §3.1: a name that does not exist has a record that says so at the name itself, and the code of one that does.
#[test]
fn a_name_that_does_not_exist_says_so_itself() {
    let net = Net::start();
    for name in ["no.signed.test", "x.www.signed.test", "a.b.c.signed.test"] {
        let (told, denied) = denied(&net, name, A);
        assert_eq!((told.rcode, told.answer.len(), Told::types(&told.authority)), (0, 0, vec!["SOA", "NSEC"]), "{name}");
        assert_eq!(denied, [(name.to_owned(), vec![RRSIG, NSEC, NXNAME])]);
        let next = told.authority.iter().find(|line| line.contains(" NSEC ")).unwrap().split(' ').nth(3).unwrap();
        assert_eq!(next, format!("\\000.{name}"), "nothing else is denied, so nobody can walk");
    }
}

/// §3.2: a name without the type lists the types it has, and not the one that was asked for.
#[test]
fn a_name_without_the_type_lists_those_it_has() {
    let net = Net::start();
    for (name, rtype, types) in [
        ("www.signed.test", TXT, vec![A, AAAA, RRSIG, NSEC]),
        ("p.signed.test", TXT, vec![A, AAAA, RRSIG, NSEC, HTTPS]),
        ("x.wild.signed.test", A, vec![TXT, RRSIG, NSEC, 257]),
        // §3.3: an empty non-terminal has none.
        ("ent.signed.test", A, vec![RRSIG, NSEC]),
    ] {
        let (told, denied) = denied(&net, name, rtype);
        assert_eq!((told.rcode, told.answer.len()), (0, 0), "{name}");
        assert_eq!(denied, [(name.to_owned(), types)]);
    }
}

/// §3.4 (and RFC 4035 §3.1.3.3): what a wildcard answers is signed as if it stood there, so that nothing else need be proven.
#[test]
fn a_wildcards_answer_stands_for_itself() {
    let net = Net::start();
    let (told, denied) = denied(&net, "x.y.wild.signed.test", TXT);
    assert_eq!((Told::types(&told.answer), told.authority.len(), denied.len()), (vec!["TXT"], 0, 0));
    let rrsig = told.answer.iter().find(|line| line.contains(" RRSIG ")).unwrap();
    assert_eq!(rrsig.split(' ').nth(5), Some("5"), "labels, all of them: {rrsig}");
}

/// §3.5: NXNAME is nobody's question.
#[test]
fn the_pseudo_type_is_not_asked_for() {
    let net = Net::start();
    for name in ["www.signed.test", "no.signed.test"] {
        let told = Ask::new(name, NXNAME).signed().udp(&net);
        assert_eq!((told.rcode, told.why(), told.answer.len()), (1, Some(30), 0), "{name}");
    }
}

/// §5: whoever says that it knows has the code too; CO comes back, and means nothing without DO.
#[test]
fn the_code_is_given_to_whoever_knows() {
    let net = Net::start();
    let ask = |name: &str, flags| Ask::new(name, A).with(Opt { flags, ..Opt::of(1232) }).udp(&net);
    let told = ask("no.signed.test", 0xc0);
    net.keys.validate(&told.octets, now_secs());
    assert_eq!((told.rcode, Told::types(&told.authority)), (3, vec!["SOA", "NSEC"]));
    assert_eq!(ask("no.signed.test", 0x80).rcode, 0);
    assert!(ask("no.signed.test", 0x40).is_nothing(3, APEX), "unsigned, as for anybody");
    assert_eq!(ask("ent.signed.test", 0xc0).rcode, 0, "an empty non-terminal exists");
}

/// A chain that ends nowhere: the chain is signed, and its end denied.
#[test]
fn the_end_of_a_chain_is_denied() {
    let net = Net::start();
    let (told, denied) = denied(&net, "gone.signed.test", A);
    assert_eq!((told.rcode, Told::types(&told.answer)), (0, vec!["CNAME"]));
    assert_eq!(denied, [("nowhere.other.test".to_owned(), vec![RRSIG, NSEC, NXNAME])]);
    let (told, denied) = self::denied(&net, "gone.signed.test", CNAME);
    assert_eq!((told.answer.len(), denied.len()), (2, 0));
}
