//! CNAMEs, seen and flattened (RFC 1034 §3.6.2, RFC 6604, edge-behaviour §1.6).

use poterne_dns_wire::rtype::{A, AAAA, CNAME, TXT};

use super::{Ask, Opt, Told, world::World};

fn lines(told: &Told) -> Vec<String> {
    told.answer.iter().map(|line| line.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn a_chain_through_zones_of_one_account_is_told_as_far_as_it_goes() {
    let snapshot = World::new()
        .zone("one.test", 1, "a CNAME b.two.test\nout CNAME c.two.test\naway CNAME www.example.org\nfar CNAME x.three.test\ngone CNAME no.two.test")
        .zone("two.test", 1, "b 60 CNAME c.one.test\nc A 192.0.2.3\nb2 A 192.0.2.2")
        .zone("three.test", 2, "x A 192.0.2.66")
        .snapshot();
    let told = Ask::new("out.one.test", A).told(&snapshot);
    assert_eq!(lines(&told), ["out.one.test 300 CNAME c.two.test", "c.two.test 300 A 192.0.2.3"]);
    let told = Ask::new("a.one.test", A).told(&snapshot);
    assert_eq!(lines(&told), ["a.one.test 300 CNAME b.two.test", "b.two.test 60 CNAME c.one.test"]);
    assert!(told.rcode == 3 && told.authority[0].starts_with("one.test 1800 SOA"), "the last name's (RFC 6604)");
    // No further than the account's own zones.
    for (name, target) in [("away", "www.example.org"), ("far", "x.three.test")] {
        let told = Ask::new(&format!("{name}.one.test"), A).told(&snapshot);
        assert_eq!((told.rcode, lines(&told)), (0, vec![format!("{name}.one.test 300 CNAME {target}")]));
        assert!(told.authority.is_empty());
    }
    let told = Ask::new("gone.one.test", A).told(&snapshot);
    assert!(told.rcode == 3 && told.authority[0].starts_with("two.test"));
    let told = Ask::new("out.one.test", AAAA).told(&snapshot);
    assert_eq!((told.rcode, told.answer.len()), (0, 1));
    assert!(told.authority[0].starts_with("two.test 1800 SOA"));
    assert_eq!(lines(&Ask::new("out.one.test", CNAME).told(&snapshot)), ["out.one.test 300 CNAME c.two.test"]);
}

#[test]
fn loops_fail_and_long_chains_stop() {
    let mut world = World::new()
        .zone("one.test", 1, "a CNAME b.two.test\nself CNAME self.two.test\nin CNAME in2.one.test\nin2 CNAME in.one.test")
        .zone("two.test", 1, "b CNAME a.one.test\nself CNAME self.one.test");
    for number in 0..12 {
        let line = format!("n CNAME n.z{}.test", number + 1);
        world = world.zone(&format!("z{number}.test"), 1, &line);
    }
    let snapshot = world.snapshot();
    for name in ["a.one.test", "self.one.test", "in.one.test"] {
        let told = Ask::new(name, A).with(Opt::of(1232)).told(&snapshot);
        assert_eq!((told.rcode, told.answer.len(), told.why()), (2, 0, Some(0)), "{name}");
    }
    let told = Ask::new("n.z0.test", A).told(&snapshot);
    assert_eq!((told.rcode, told.answer.len()), (0, 9));
}

#[test]
fn a_cname_within_its_zone_is_answered_with_what_it_leads_to() {
    let snapshot = World::new()
        .zone("one.test", 1, "a 200 CNAME b.one.test\nb 20 CNAME c.one.test\nc A 192.0.2.3\nc A 192.0.2.4\nlong 86400 CNAME l.one.test\nl 86400 A 192.0.2.5\ngone CNAME no.one.test\na TXT \"beside\"")
        .snapshot();
    let told = Ask::new("a.one.test", A).told(&snapshot);
    assert_eq!(lines(&told), ["a.one.test 30 A 192.0.2.3", "a.one.test 30 A 192.0.2.4"]);
    assert_eq!(lines(&Ask::new("long.one.test", A).told(&snapshot)), ["long.one.test 300 A 192.0.2.5"]);
    for (name, rtype) in [("a.one.test", AAAA), ("a.one.test", CNAME), ("gone.one.test", A), ("b.one.test", TXT)] {
        let told = Ask::new(name, rtype).told(&snapshot);
        assert_eq!(told.shape(), (0, 0, vec!["SOA".to_owned()]), "{name}");
    }
    assert_eq!(lines(&Ask::new("a.one.test", TXT).told(&snapshot)), ["a.one.test 300 TXT \"beside\""]);
}

#[test]
fn what_leads_away_is_shown_where_nobody_looks_it_up() {
    let zone = "@ CNAME host.example.org\n@ TXT \"t\"\nwww CNAME app.one.test\napp CNAME host.example.org\nflat CNAME host.example.org flattened";
    let snapshot = World::new().zone("one.test", 1, zone).snapshot();
    let told = Ask::new("www.one.test", A).told(&snapshot);
    assert_eq!(lines(&told), ["www.one.test 300 CNAME app.one.test", "app.one.test 300 CNAME host.example.org"]);
    assert_eq!(lines(&Ask::new("flat.one.test", A).told(&snapshot)), ["flat.one.test 300 CNAME host.example.org"]);
    // An apex has no CNAME for anybody to see.
    let told = Ask::new("one.test", A).with(Opt::of(1232)).told(&snapshot);
    assert_eq!((told.rcode, told.answer.len(), told.why()), (2, 0, Some(0)));
    assert!(!told.reply.lacks && told.reply.sought.is_none());
    assert_eq!(lines(&Ask::new("one.test", TXT).told(&snapshot)), ["one.test 300 TXT \"t\""]);
    assert_eq!(Ask::new("one.test", CNAME).told(&snapshot).shape(), (0, 0, vec!["SOA".to_owned()]));
    assert_eq!(Ask::new("one.test", AAAA).told(&snapshot).rcode, 2);
}

#[test]
fn a_record_or_the_whole_zone_can_be_flattened_through_other_zones() {
    let base = |flags: &str| {
        World::new().zone("two.test", 1, "c A 192.0.2.3").zone(
            "one.test",
            1,
            &format!("a CNAME c.two.test{flags}\n@ CNAME c.two.test"),
        )
    };
    let ask = |world: World, name: &str| lines(&Ask::new(name, A).told(&world.snapshot()));
    assert_eq!(ask(base(""), "a.one.test").len(), 2);
    assert_eq!(ask(base(" flattened"), "a.one.test"), ["a.one.test 300 A 192.0.2.3"]);
    assert_eq!(ask(base(""), "one.test"), ["one.test 300 A 192.0.2.3"]);
    let all = base("").head(|head| head.dns.as_mut().unwrap().flattens_all = true);
    assert_eq!(ask(all, "a.one.test"), ["a.one.test 300 A 192.0.2.3"]);
}
