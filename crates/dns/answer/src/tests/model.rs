//! The answer against a naive one: the same questions to a list of records, answered in the plainest way that the RFCs' texts allow.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Ask, world::World};

/// A record of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    owner: String,
    rtype: &'static str,
    data: String,
    proxied: bool,
}

/// What is said: the code, whether with authority, `owner TYPE data` of the answer, and of which zone the end is.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    rcode: u16,
    aa: bool,
    answer: BTreeSet<String>,
    authority: BTreeSet<String>,
}

const APEX: &str = "z.test";

/// RFC 1034 §4.3.2 and RFC 4592 over a list.
struct Naive<'r>(&'r [Record]);

impl Naive<'_> {
    fn within(name: &str, ancestor: &str) -> bool {
        name == ancestor || name.ends_with(&format!(".{ancestor}"))
    }

    fn exists(&self, name: &str) -> bool {
        name == APEX || self.0.iter().any(|record| Self::within(&record.owner, name))
    }

    /// The records that answer for a name: its own, or a wildcard's. None: it does not exist.
    fn at(&self, name: &str) -> Option<Vec<&Record>> {
        let of = |owner: &str| self.0.iter().filter(|record| record.owner == owner).collect::<Vec<_>>();
        if self.exists(name) {
            return Some(of(name));
        }
        let mut encloser = name;
        while !self.exists(encloser) {
            encloser = encloser.split_once('.')?.1;
        }
        let wildcard = of(&format!("*.{encloser}"));
        (!wildcard.is_empty()).then_some(wildcard)
    }

    fn cut(&self, name: &str) -> Option<String> {
        let mut labels: Vec<&str> = name.split('.').collect();
        let mut cut = None;
        while labels.len() > APEX.split('.').count() {
            let here = labels.join(".");
            if self.0.iter().any(|record| record.owner == here && record.rtype == "NS") && !here.starts_with("*.") {
                cut = Some(here);
            }
            labels.remove(0);
        }
        cut
    }

    fn ask(&self, name: &str, rtype: &str) -> Said {
        let soa = BTreeSet::from([format!("{APEX} SOA")]);
        let none = BTreeSet::new;
        let (mut answer, mut at, mut links) = (BTreeSet::new(), name.to_owned(), 0);
        loop {
            if let Some(cut) = self.cut(&at) {
                if links > 0 {
                    return Said { rcode: 0, aa: true, answer, authority: none() };
                }
                let servers = self.0.iter().filter(|record| record.owner == cut && record.rtype == "NS");
                let authority = servers.map(|record| format!("{cut} NS {}", record.data)).collect();
                return Said { rcode: 0, aa: false, answer, authority };
            }
            let Some(records) = self.at(&at) else { return Said { rcode: 3, aa: true, answer, authority: soa } };
            if records.iter().any(|record| record.proxied) {
                match rtype {
                    "A" => drop(answer.insert(format!("{at} A 203.0.113.10"))),
                    _ => answer.extend(
                        records.iter().filter(|r| r.rtype == rtype && !r.proxied).map(|r| format!("{at} {rtype} {}", r.data)),
                    ),
                }
                let authority = if answer.is_empty() { soa } else { none() };
                return Said { rcode: 0, aa: true, answer, authority };
            }
            let wanted: BTreeSet<String> =
                records.iter().filter(|r| r.rtype == rtype).map(|r| format!("{at} {rtype} {}", r.data)).collect();
            let Some(cname) = records.iter().find(|record| record.rtype == "CNAME") else {
                answer.extend(wanted.iter().cloned());
                let authority = if wanted.is_empty() { soa } else { none() };
                return Said { rcode: 0, aa: true, answer, authority };
            };
            match self.end(&at, cname) {
                // Resolvers see it, and go on from there.
                End::Away if rtype == "CNAME" => return Said { rcode: 0, aa: true, answer: wanted, authority: none() },
                End::Away => {
                    answer.insert(format!("{at} CNAME {}", cname.data));
                    if !Self::within(&cname.data, APEX) {
                        return Said { rcode: 0, aa: true, answer, authority: none() };
                    }
                    at.clone_from(&cname.data);
                    links += 1;
                }
                End::Loop if rtype == "A" => return Said { rcode: 2, aa: false, answer: none(), authority: none() },
                End::Addresses(addresses) if rtype == "A" && !addresses.is_empty() => {
                    answer.extend(addresses.iter().map(|address| format!("{at} A {address}")));
                    return Said { rcode: 0, aa: true, answer, authority: none() };
                }
                _ => return Said { rcode: 0, aa: true, answer, authority: soa },
            }
        }
    }

    /// Where a CNAME ends, followed within the zone.
    fn end(&self, start: &str, cname: &Record) -> End {
        let mut at = cname.data.clone();
        for _ in 0..8 {
            if at == start {
                return End::Loop;
            }
            if !Self::within(&at, APEX) || self.cut(&at).is_some() {
                return End::Away;
            }
            let records = self.at(&at).unwrap_or_default();
            if records.iter().any(|record| record.proxied) {
                return End::Addresses(vec!["203.0.113.10".to_owned()]);
            }
            let Some(next) = records.iter().find(|record| record.rtype == "CNAME") else {
                return End::Addresses(records.iter().filter(|r| r.rtype == "A").map(|r| r.data.clone()).collect());
            };
            at.clone_from(&next.data);
        }
        End::Loop
    }
}

enum End {
    Addresses(Vec<String>),
    Away,
    Loop,
}

fn owner() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(APEX.to_owned()),
        4 => "[ab]\\.z\\.test",
        3 => "[ab]\\.[ab]\\.z\\.test",
        2 => "\\*\\.z\\.test",
        2 => "\\*\\.[ab]\\.z\\.test",
        1 => "[ab]\\.[ab]\\.[ab]\\.z\\.test",
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let data = prop_oneof![
        6 => (1u8..4).prop_map(|number| ("A", format!("192.0.2.{number}"))),
        2 => Just(("TXT", "\"t\"".to_owned())),
        2 => owner().prop_filter("no host", |owner| !owner.starts_with('*')).prop_map(|target| ("CNAME", target)),
        1 => Just(("CNAME", "away.example".to_owned())),
    ];
    (owner(), data, prop::bool::weighted(0.2)).prop_map(|(owner, (rtype, data), proxied)| Record {
        owner,
        rtype,
        data,
        proxied: proxied && matches!(rtype, "A" | "CNAME"),
    })
}

/// What control lets stand together: at a name addresses or one CNAME, and text beside a CNAME only where nobody sees it.
fn admit(records: Vec<Record>, cuts: &[String]) -> Vec<Record> {
    let mut kept: Vec<Record> = Vec::new();
    for record in records {
        let beside: Vec<&Record> = kept.iter().filter(|other| other.owner == record.owner).collect();
        let is_apex_cname = record.owner == APEX && record.rtype == "CNAME";
        let clash = beside.iter().any(|other| **other == record || (other.rtype == "CNAME") || record.rtype == "CNAME");
        if !clash && !is_apex_cname && !cuts.contains(&record.owner) {
            kept.push(record);
        }
    }
    // A name's addresses are proxied together.
    let proxied: BTreeSet<String> = kept.iter().filter(|record| record.proxied).map(|record| record.owner.clone()).collect();
    for record in &mut kept {
        record.proxied = proxied.contains(&record.owner) && matches!(record.rtype, "A" | "CNAME");
    }
    for cut in cuts {
        let data = "ns.elsewhere.example".to_owned();
        kept.push(Record { owner: cut.clone(), rtype: "NS", data, proxied: false });
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn it_says_what_a_list_says(
        records in prop::collection::vec(record(), 0..16),
        cuts in prop::collection::btree_set("[ab]\\.z\\.test|[ab]\\.[ab]\\.z\\.test", 0..2),
        names in prop::collection::vec("(\\*\\.)?([abc]\\.){0,4}z\\.test", 16),
    ) {
        let cuts: Vec<String> = cuts.into_iter().collect();
        let records = admit(records, &cuts);
        let lines: Vec<String> = records.iter()
            .map(|r| format!("{}. {} {}{}", r.owner, r.rtype, r.data, if r.proxied { " proxied" } else { "" })).collect();
        let mut world = World::new().zone(APEX, 1, &lines.join("\n"));
        world.node.edge_addresses.retain(|address| address.to_string() == "203.0.113.10");
        let snapshot = world.snapshot();
        let naive = Naive(&records);
        for name in &names {
            for (rtype, number) in [("A", 1), ("TXT", 16), ("CNAME", 5)] {
                let expected = naive.ask(name, rtype);
                let told = Ask::new(name, number).told(&snapshot);
                let cut = |lines: &[String], data: bool| -> BTreeSet<String> {
                    let cut = |line: &String| {
                        let mut words = line.splitn(4, ' ');
                        let (owner, _, rtype) = (words.next().unwrap(), words.next(), words.next().unwrap());
                        let rest = words.next().unwrap().trim_end_matches('.');
                        if data && rtype != "SOA" { format!("{owner} {rtype} {rest}") } else { format!("{owner} {rtype}") }
                    };
                    lines.iter().map(cut).collect()
                };
                let said = Said { rcode: told.rcode, aa: told.aa, answer: cut(&told.answer, true), authority: cut(&told.authority, true) };
                prop_assert_eq!(said, expected, "{} {} in {:#?}", name, rtype, lines);
            }
        }
    }
}
