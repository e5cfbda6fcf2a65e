//! What of the answers becomes a proposal, and what is passed over, and why: pure.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
};

use poterne_control_app::{Found, PassedOver};
use poterne_dns_resolver::{Data, Record};
use poterne_model::{
    Name, Rdata, Rtype,
    entry::{TTL_SECS_MAX, TTL_SECS_MIN},
    name::is_within,
    rdata::Host,
};

use super::probes::is_web;

/// Most records that are proposed.
pub const PROPOSALS_MAX: usize = 5000;

/// Most that is said to be passed over.
pub const PASSED_OVER_MAX: usize = 500;

/// Hosts of pages that a provider shows for names nobody uses; whoever has one of them has nothing there.
const PARKING: &[&str] = &[
    "above.com",
    "bodis.com",
    "cashparking.com",
    "parkingcrew.net",
    "parkingpage.namecheap.com",
    "parklogic.com",
    "sedoparking.com",
];

/// What a wildcard answers, where there is one.
#[derive(Debug, Clone, Default)]
pub struct Wildcard {
    records: Vec<Record>,
}

/// What the answers come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposed {
    /// What is proposed.
    pub found: Vec<Found>,
    /// What is not.
    pub passed_over: Vec<PassedOver>,
}

impl Wildcard {
    /// Of what two names that nobody has were answered with: the first asked for every type, the second for addresses. A wildcard
    /// is there where both have the same; addresses that differ from answer to answer (a balancer's) still tell that one is there.
    pub fn detect(first: &[Record], second: &[Record]) -> Option<Self> {
        let web = |records: &[Record]| {
            let types: HashSet<u16> = records.iter().filter(|record| is_web_type(record)).map(Record::number).collect();
            types
        };
        let (one, other) = (web(first), web(second));
        let same = one.contains(&Rtype::Cname.number()) == other.contains(&Rtype::Cname.number())
            && one.contains(&Rtype::A.number()) == other.contains(&Rtype::A.number());
        (same && !first.is_empty()).then(|| Self { records: first.to_vec() })
    }
}

/// The data of records in their order, as text, by what `key` makes of a record. Each is read once: a server that means harm says that it has
/// tens of thousands.
fn texts<'r, K: Eq + Hash>(records: &'r [Record], key: impl Fn(&'r Record) -> K) -> HashMap<K, Vec<String>> {
    let mut texts: HashMap<K, Vec<String>> = HashMap::new();
    for record in records {
        if let Some(rdata) = record.held() {
            texts.entry(key(record)).or_default().push(rdata.canonical());
        }
    }
    texts.values_mut().for_each(|texts| texts.sort());
    texts
}

fn is_web_type(record: &Record) -> bool {
    record.held().is_some_and(|rdata| rdata.rtype().is_web())
}

/// Sorts what was found. `records` are all answers; of a transfer, the zone. `wildcard` is what was detected; a transfer has its own.
pub fn propose(apex: &Name, records: &[Record], wildcard: Option<&Wildcard>) -> Proposed {
    let mut proposed = Proposed::default();
    let mut once = HashSet::new();
    let star = Name::parse(&format!("*.{apex}")).ok();
    let as_wildcard = wildcard.into_iter().flat_map(|wildcard| &wildcard.records).filter_map(|record| {
        let owner = star.clone()?;
        Some(Record { owner, ..record.clone() })
    });
    let all: Vec<Record> = records.iter().cloned().chain(as_wildcard).collect();
    let named: HashSet<Name> = all.iter().filter_map(pointed_at).collect();
    let of_wildcard = wildcard.map(|wildcard| texts(&wildcard.records, Record::number)).unwrap_or_default();
    let of_names =
        if of_wildcard.is_empty() { HashMap::new() } else { texts(records, |record| (&record.owner, record.number())) };
    // Whether a name has exactly what the wildcard answers with.
    let answers_same = |name: &Name, rtype: Rtype| {
        let own = of_names.get(&(name, rtype.number()));
        own.is_some_and(|own| of_wildcard.get(&rtype.number()) == Some(own))
    };
    for record in &all {
        let pass = |why: &str| PassedOver { name: record.owner.to_string(), rtype: shown(record.number()), why: why.to_owned() };
        if !record.owner.is_within(apex) {
            continue;
        }
        let rdata = match passes(apex, record) {
            Ok(rdata) => rdata,
            Err("") => continue,
            Err(why) => {
                let has_room = proposed.passed_over.len() < PASSED_OVER_MAX;
                if has_room && once.insert((record.owner.clone(), record.number(), why.to_owned())) {
                    proposed.passed_over.push(pass(why));
                }
                continue;
            }
        };
        if !record.owner.is_wildcard() && record.owner != *apex && answers_same(&record.owner, rdata.rtype()) {
            continue;
        }
        if !once.insert((record.owner.clone(), rdata.rtype().number(), rdata.canonical())) {
            continue;
        }
        if proposed.found.len() == PROPOSALS_MAX {
            proposed.passed_over.push(pass("there are more than can be proposed: import the rest from a zone file"));
            break;
        }
        let wants_proxy = rdata.rtype().is_web() && is_web(&record.owner, apex) && !named.contains(&record.owner);
        proposed.found.push(Found {
            name: record.owner.clone(),
            rdata: rdata.clone(),
            ttl_secs: record.ttl_secs.clamp(TTL_SECS_MIN, TTL_SECS_MAX),
            wants_proxy,
        });
    }
    proposed.found.sort_by(|one, other| {
        (one.name != *apex, &one.name, one.rdata.rtype()).cmp(&(other.name != *apex, &other.name, other.rdata.rtype()))
    });
    proposed
}

/// A record that may be proposed; or why it is not, an empty text where nobody would miss it.
fn passes<'r>(apex: &Name, record: &'r Record) -> Result<&'r Rdata, &'static str> {
    let rdata = match &record.data {
        Data::Held(rdata) => rdata,
        // What a server makes by itself: it is made here, too.
        Data::Soa { .. } | Data::Unread(6 | 46 | 47 | 50 | 51) => return Err(""),
        Data::Unread(_) => return Err("data of this type cannot be read here: add it by hand, or from a zone file"),
    };
    let first = record.owner.as_str().split('.').next().unwrap_or_default();
    match rdata.rtype() {
        Rtype::Ns if record.owner == *apex => return Err(""),
        Rtype::Dnskey | Rtype::Unknown(59 | 60) => {
            return Err("keys and their digests are made here, when DNSSEC is switched on");
        }
        Rtype::Ds if record.owner == *apex => return Err(""),
        _ => {}
    }
    if first == "_acme-challenge" || first.starts_with("_github-challenge-") {
        return Err("it proves something once, to whoever asked for it");
    }
    if let Rdata::Cname(Host::Name(target)) = rdata
        && PARKING.iter().any(|parking| is_within(target.as_str(), parking))
    {
        return Err("it leads to a page that the present provider shows for names without a use");
    }
    Ok(rdata)
}

/// The host that a record means for something else than HTTP.
fn pointed_at(record: &Record) -> Option<Name> {
    let host = match record.held()? {
        Rdata::Mx(mx) => &mx.host,
        Rdata::Srv(srv) => &srv.target,
        Rdata::Ns(host) => host,
        _ => return None,
    };
    match host {
        Host::Name(name) => Some(name.clone()),
        Host::Root => None,
    }
}

fn shown(number: u16) -> String {
    Rtype::of_number(number).to_string()
}

/// What is to be said of a zone before its name servers are changed. `ds`: how many digests of keys the parent has.
pub fn warnings(apex: &Name, ds: usize, found: &[Found]) -> Vec<String> {
    let mut warnings = Vec::new();
    if ds > 0 {
        warnings.push(format!(
            "the parent has {ds} DS record{} for {apex}: as long as it does, resolvers that validate refuse what this node answers. \
             Remove the DS at the registrar first, wait a day, and change the name servers then",
            if ds == 1 { "" } else { "s" }
        ));
    }
    let proxied: HashSet<&Name> = found.iter().filter(|found| found.wants_proxy).map(|found| &found.name).collect();
    let private = found.iter().filter_map(|found| match &found.rdata {
        Rdata::A(address) => Some((found, IpAddr::from(*address))),
        Rdata::Aaaa(address) => Some((found, IpAddr::from(*address))),
        _ => None,
    });
    for (found, address) in private {
        if poterne_model::address::AddressKind::of(address).is_private() && proxied.contains(&found.name) {
            warnings.push(format!("{} is the private address {address}: it is proposed without the edge before it", found.name));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use poterne_dns_resolver::testing::{TTL_SECS, name, record};

    use super::*;

    fn shown(proposed: &Proposed) -> Vec<String> {
        let line = |found: &Found| {
            let edge = if found.wants_proxy { " proxied" } else { "" };
            format!("{} {} {}{edge}", found.name, found.rdata.rtype(), found.rdata.presentation())
        };
        proposed.found.iter().map(line).collect()
    }

    #[test]
    fn what_serves_the_web_is_proposed_behind_the_edge_and_what_serves_mail_is_not() {
        let records = [
            record("www.example.com", Rtype::Cname, "example.com."),
            record("example.com", Rtype::A, "9.9.9.9"),
            record("example.com", Rtype::A, "9.9.9.9"),
            record("example.com", Rtype::Mx, "10 post.example.com."),
            record("post.example.com", Rtype::A, "9.9.9.8"),
            record("mail.example.com", Rtype::A, "9.9.9.8"),
            record("elsewhere.example.net", Rtype::A, "9.9.9.7"),
        ];
        let proposed = propose(&name("example.com"), &records, None);
        let expected = [
            "example.com A 9.9.9.9 proxied",
            "example.com MX 10 post.example.com.",
            "mail.example.com A 9.9.9.8",
            "post.example.com A 9.9.9.8",
            "www.example.com CNAME example.com. proxied",
        ];
        assert_eq!(shown(&proposed), expected);
        assert!(proposed.passed_over.is_empty() && proposed.found[1].ttl_secs == TTL_SECS);
    }

    #[test]
    fn what_a_wildcard_answers_is_proposed_once_as_the_wildcard() {
        let answer = |owner: &str| record(owner, Rtype::A, "9.9.9.9");
        let wildcard = Wildcard::detect(&[answer("r1.example.com")], &[answer("r2.example.com")]).unwrap();
        let records = [answer("www.example.com"), answer("example.com"), record("api.example.com", Rtype::A, "9.9.9.1")];
        let proposed = propose(&name("example.com"), &records, Some(&wildcard));
        let expected = ["example.com A 9.9.9.9 proxied", "*.example.com A 9.9.9.9 proxied", "api.example.com A 9.9.9.1 proxied"];
        assert_eq!(shown(&proposed), expected);
        assert!(Wildcard::detect(&[], &[]).is_none());
        assert!(Wildcard::detect(&[answer("r1.example.com")], &[]).is_none(), "the second name has nothing");
    }

    #[test]
    fn what_is_made_here_or_was_good_once_is_passed_over() {
        let soa = Record { owner: name("example.com"), ttl_secs: 1, data: Data::Soa { serial: 1, minimum_secs: 1 } };
        let odd = Record { owner: name("x.example.com"), ttl_secs: 1, data: Data::Unread(13) };
        let records = [
            soa,
            odd,
            record("example.com", Rtype::Ns, "ns.old.net."),
            record("sub.example.com", Rtype::Ns, "ns.other.net."),
            record("example.com", Rtype::Dnskey, "257 3 13 AQIDBA=="),
            record("_acme-challenge.www.example.com", Rtype::Txt, "\"token\""),
            record("park.example.com", Rtype::Cname, "x.sedoparking.com."),
        ];
        let proposed = propose(&name("example.com"), &records, None);
        assert_eq!(shown(&proposed), ["sub.example.com NS ns.other.net."]);
        let names: Vec<&str> = proposed.passed_over.iter().map(|passed| passed.name.as_str()).collect();
        assert_eq!(names, ["x.example.com", "example.com", "_acme-challenge.www.example.com", "park.example.com"]);
    }

    /// As many as a scan looks at, each of another name, all of them what the wildcard says: looked at once each, and not each for each.
    #[test]
    fn a_flood_of_records_is_bounded() {
        let answer = |owner: &str| record(owner, Rtype::A, "9.9.9.9");
        let wildcard = Wildcard::detect(&[answer("r1.example.com")], &[answer("r2.example.com")]).unwrap();
        let mut records: Vec<Record> = (0..32_000).map(|number| answer(&format!("n{number}.example.com"))).collect();
        let proposed = propose(&name("example.com"), &records, Some(&wildcard));
        assert_eq!(shown(&proposed), ["*.example.com A 9.9.9.9 proxied"]);
        let proposed = propose(&name("example.com"), &records, None);
        assert_eq!((proposed.found.len(), proposed.passed_over.len()), (PROPOSALS_MAX, 1));
        for record in &mut records {
            record.data = Data::Unread(13);
        }
        let proposed = propose(&name("example.com"), &records, None);
        assert_eq!((proposed.found.len(), proposed.passed_over.len()), (0, PASSED_OVER_MAX));
    }

    #[test]
    fn a_ds_at_the_parent_is_warned_of() {
        assert!(warnings(&name("example.com"), 0, &[]).is_empty());
        let said = warnings(&name("example.com"), 1, &[]);
        assert!(said[0].contains("Remove the DS") && said[0].contains("1 DS record for"), "{said:?}");
    }
}
